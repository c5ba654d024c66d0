/* Tokenizer speed on the user's text: loading, encoding line by line and document by document, decoding, and the two texts that are worst for an
 * encoder. One-thread times are processor time of the thread, so that other programs disturb them less. */
#include "cli/bench.h"

#include "base/clock.h"
#include "base/io.h"
#include "base/mem.h"
#include "text/tokenizer.h"

#include <math.h>
#include <omp.h>
#include <string.h>

enum { DOCUMENT_BYTES = 16384, WORST_BYTES = 1000000 };

/* Text and where its pieces begin; starts[n] is the end. */
typedef struct corpus {
    cs_str text;
    size_t *starts, n;
} corpus;

/* Cuts behind line ends, once a piece has at least `least` bytes. Free *starts with cs_free. */
static cs_status cut(const cs_str *text, size_t least, corpus *out, cs_error *err)
{
    size_t cap = 1, at = 0;
    for (size_t i = 0; i < text->len; i++)
        cap += text->data[i] == '\n';
    *out = (corpus){.text = *text, .starts = cs_malloc((cap + 1) * sizeof *out->starts)};
    if (!out->starts)
        return cs_fail_nomem(err, (cap + 1) * sizeof *out->starts, "the lines of the text");
    for (size_t i = 0; i < text->len; i++)
        if (text->data[i] == '\n' && i + 1 - at >= least) {
            out->starts[out->n++] = at;
            at = i + 1;
        }
    if (at < text->len)
        out->starts[out->n++] = at;
    out->starts[out->n] = text->len;
    return CS_OK;
}

typedef struct tokenize_run {
    const cs_tokenizer *tok;
    cs_ids ids;
    cs_error *err;
} tokenize_run;

/* Seconds that one thread needs to encode pieces [from, to); ids of all of them stay in `ids` when `keep`. */
static cs_status encode_range(tokenize_run *r, const corpus *c, size_t from, size_t to, bool keep)
{
    cs_ids_clear(&r->ids);
    for (size_t i = from; i < to; i++) {
        if (!keep)
            cs_ids_clear(&r->ids);
        CS_TRY(cs_tokenizer_encode(r->tok, c->text.data + c->starts[i], c->starts[i + 1] - c->starts[i], CS_TOK_PARSE_SPECIAL, &r->ids, r->err));
    }
    return CS_OK;
}

/* The first pass and the best of the later ones, in seconds. */
static cs_status time_encode(const cs_bench *b, tokenize_run *r, const corpus *c, double *first, double *best)
{
    *best = INFINITY;
    for (int64_t i = 0; i <= b->cfg->repeat; i++) {
        double start = cs_clock_thread();
        CS_TRY(encode_range(r, c, 0, c->n, true));
        double s = cs_clock_thread() - start;
        if (i == 0)
            *first = s;
        else
            *best = fmin(*best, s);
    }
    return CS_OK;
}

/* All threads take lines as they get free; wall time. */
static cs_status time_threads(const cs_bench *b, const tokenize_run *one, const corpus *c, double *best)
{
    cs_status worst = CS_OK;
    *best = INFINITY;
    for (int64_t i = 0; i <= b->cfg->repeat && worst == CS_OK; i++) {
        double start = cs_clock_now();
#pragma omp parallel num_threads(b->threads)
        {
            cs_error own_err = {0};
            tokenize_run r = {.tok = one->tok, .err = &own_err};
#pragma omp for schedule(dynamic, 64)
            for (size_t k = 0; k < c->n; k++) {
                if (encode_range(&r, c, k, k + 1, false) != CS_OK) {
#pragma omp critical(cs_bench_tokenize)
                    {
                        worst = CS_E_NOMEM;
                        *b->err = own_err;
                    }
                }
            }
            cs_ids_release(&r.ids);
        }
        if (i > 0)
            *best = fmin(*best, cs_clock_now() - start);
    }
    return worst;
}

static cs_status time_decode(const cs_bench *b, const tokenize_run *r, size_t *bytes, double *best)
{
    cs_str text = {0};
    cs_status s = CS_OK;
    *best = INFINITY;
    for (int64_t i = 0; i <= b->cfg->repeat && s == CS_OK; i++) {
        cs_str_clear(&text);
        double start = cs_clock_thread();
        s = cs_tokenizer_decode(r->tok, r->ids.data, r->ids.len, true, &text, b->err);
        if (i > 0)
            *best = fmin(*best, cs_clock_thread() - start);
    }
    *bytes = text.len;
    cs_str_release(&text);
    return s;
}

/* Exactly WORST_BYTES of the text over and over, all of it or what is no white space. */
static cs_status fill(const cs_str *from, bool spaces, cs_str *out, cs_error *err)
{
    size_t before = 0;
    for (size_t i = 0; out->len < WORST_BYTES && !out->failed; i++) {
        if (i == from->len) {
            if (out->len == before) /* nothing but white space */
                return cs_fail(err, CS_E_FORMAT, "bench: the input has no text");
            before = out->len;
            i = 0;
        }
        char c = from->data[i];
        if (spaces || !(c == ' ' || (c >= 9 && c <= 13)))
            cs_str_putc(out, c);
    }
    return cs_str_check(out, err);
}

/* One call on 1 MB: ordinary text, one letter, no spaces. */
static cs_status run_worst(cs_bench *b, tokenize_run *r, const cs_str *text)
{
    static const char *const names[] = {"1 MB of ordinary text at once", "1 MB of one letter", "1 MB without spaces"};
    double ordinary = 0;
    for (int k = 0; k < 3; k++) {
        cs_str sample = {0};
        static const cs_str letter = {.data = "a", .len = 1};
        double first, best;
        cs_status s = fill(k == 1 ? &letter : text, k == 0, &sample, b->err);
        size_t starts[2] = {0, sample.len};
        corpus c = {sample, starts, 1};
        if (s == CS_OK)
            s = time_encode(b, r, &c, &first, &best);
        cs_str_release(&sample);
        CS_TRY(s);
        ordinary = k == 0 ? best : ordinary;
        cs_bench_row(b, "tokenize", names[k], "", WORST_BYTES / best * 1e-6, "MB/s", 0, NULL);
        if (k > 0)
            cs_bench_row(b, "tokenize", k == 1 ? "time of one letter / ordinary" : "time without spaces / ordinary", "", best / ordinary, "x", 0,
                         NULL);
    }
    return CS_OK;
}

static cs_status run_text(cs_bench *b, tokenize_run *r, const corpus *lines, const corpus *documents)
{
    double mb = (double)lines->text.len * 1e-6, first, best, single;
    size_t bytes;
    CS_TRY(time_encode(b, r, lines, &first, &single));
    cs_bench_row(b, "tokenize", "text", "", mb, "MB", 0, NULL);
    cs_bench_row(b, "tokenize", "text per token", "", (double)lines->text.len / (double)r->ids.len, "bytes", 0, NULL);
    cs_bench_row(b, "tokenize", "encode lines, first pass", "", mb / first, "MB/s", 0, NULL);
    cs_bench_row(b, "tokenize", "encode lines", "", mb / single, "MB/s", 0, NULL);
    CS_TRY(time_encode(b, r, documents, &first, &best));
    cs_bench_row(b, "tokenize", "encode documents of 16 KiB", "", mb / best, "MB/s", 0, NULL);
    CS_TRY(time_threads(b, r, lines, &best));
    cs_bench_row(b, "tokenize", "encode lines, all threads", "", mb / best, "MB/s", 0, NULL);
    CS_TRY(time_decode(b, r, &bytes, &best));
    cs_bench_row(b, "tokenize", "decode", "", (double)bytes / best * 1e-6, "MB/s", 0, NULL);
    return CS_OK;
}

static cs_status read_input(const cs_bench *b, cs_str *text)
{
    for (size_t i = 0; i < b->cfg->input.n; i++) {
        uint8_t *data;
        size_t size;
        CS_TRY(cs_io_read_all(b->cfg->input.items[i], (size_t)1 << 30, &data, &size, b->err));
        cs_str_append(text, data, size);
        cs_free(data);
    }
    if (text->len == 0 && !text->failed)
        return cs_fail(b->err, CS_E_FORMAT, "bench: the input has no text");
    return cs_str_check(text, b->err);
}

cs_status cs_bench_tokenize_run(cs_bench *b)
{
    if (!b->cfg->tokenizer || b->cfg->input.n == 0)
        return cs_fail(b->err, CS_E_USAGE, "bench tokenize needs --tokenizer-name-or-path and --input");
    cs_str text = {0};
    cs_tokenizer *tok = NULL;
    corpus lines = {0}, documents = {0};
    cs_status s = read_input(b, &text);
    double start = cs_clock_thread();
    if (s == CS_OK)
        s = cs_tokenizer_create(b->cfg->tokenizer, &tok, b->err);
    double load = cs_clock_thread() - start;
    tokenize_run r = {.tok = tok, .err = b->err};
    if (s == CS_OK)
        s = cut(&text, 1, &lines, b->err);
    if (s == CS_OK)
        s = cut(&text, DOCUMENT_BYTES, &documents, b->err);
    if (s == CS_OK) {
        cs_bench_row(b, "tokenize", "load", "", load * 1e3, "ms", 0, NULL);
        s = run_text(b, &r, &lines, &documents);
    }
    if (s == CS_OK)
        s = run_worst(b, &r, &text);
    cs_free(lines.starts);
    cs_free(documents.starts);
    cs_ids_release(&r.ids);
    cs_str_release(&text);
    cs_tokenizer_destroy(tok);
    return s;
}
