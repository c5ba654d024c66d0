/* Do all ranks say the same? At the start, of flags, model and data: ranks that differ are named with the first thing in which they differ. In
 * debug mode, before every collective, of the operation itself. The most frequent answer counts as right; both sides are always named. */
#include "comm/backend.h"
#include "comm/watch.h"

#include "base/mem.h"

#include <stdio.h>

/* What a rank is about to do. */
typedef struct op_note {
    int64_t kind, bytes, dtype, root, counts;
    uint64_t seq;
    char site[CS_WATCH_TEXT]; /* not compared: branches of the same code may come from different places */
} op_note;

enum { NOTE_BYTES = offsetof(op_note, site) };

/* The answers of the members of c, `stride` bytes apart, of which `width` count. */
typedef struct answers {
    const cs_comm *c;
    const char *first;
    size_t stride, width;
} answers;

static bool equal(const answers *a, int r, int s)
{
    return memcmp(a->first + (size_t)r * a->stride, a->first + (size_t)s * a->stride, a->width) == 0;
}

/* First member with the most frequent answer in *even, first one with another answer in *odd; false when all are equal. */
static bool differ(const answers *a, int *even, int *odd)
{
    int most = 0;
    *odd = -1;
    for (int r = 0; r < a->c->size; r++) {
        int count = 0;
        for (int s = 0; s < a->c->size; s++)
            count += equal(a, r, s);
        if (count == a->c->size)
            return false;
        if (count > most) {
            most = count;
            *even = r;
        }
    }
    while (equal(a, *even, ++*odd))
        ;
    return true;
}

/* The members that answer as r does, by their world ranks. in[world size]: scratch. */
static const char *who_says(const answers *a, int r, bool *in, char *text, size_t size)
{
    memset(in, 0, (size_t)a->c->watch->size);
    for (int s = 0; s < a->c->size; s++)
        in[a->c->member[s]] = equal(a, r, s);
    return cs_ranks_text(in, a->c->watch->size, text, size);
}

static const char *note_text(const op_note *n, char *text, size_t size)
{
    snprintf(text, size, "%s no. %llu of %lld bytes (%s, root %lld) in %.*s", cs_watch_name((int)n->kind), (unsigned long long)n->seq,
             (long long)n->bytes, cs_dtype_name((cs_dtype)n->dtype), (long long)n->root, CS_WATCH_TEXT - 1, n->site);
    return text;
}

void cs_same_check_op(cs_comm *c, uint64_t number, uint64_t counts_hash)
{
    size_t n = (size_t)c->size, bytes = n * (sizeof(op_note) + sizeof(int64_t)) + (size_t)c->watch->size;
    op_note *note = cs_mem_must(cs_calloc(1, bytes), bytes, "the comparison of a collective");
    int64_t *counts = (int64_t *)(note + n);
    const cs_watch_op *op = &c->watch->mine->op[number % CS_WATCH_OPS];
    note[c->rank] = (op_note){.kind = op->kind, .bytes = op->bytes, .dtype = op->dtype, .root = op->peer, .counts = (int64_t)counts_hash,
                            .seq = op->seq};
    memcpy(note[c->rank].site, op->site, CS_WATCH_TEXT);
    for (size_t r = 0; r < n; r++)
        counts[r] = sizeof(op_note);
    c->ops->allgather(c, note, counts, CS_U8);
    const answers a = {c, (const char *)note, sizeof *note, NOTE_BYTES};
    int even = 0, odd = 0;
    if (differ(&a, &even, &odd)) {
        char who[2][300], what[2][200];
        bool *in = (bool *)(counts + n);
        cs_error err;
        cs_fail(&err, CS_E_INTERNAL, "ranks disagree: %s in %s, %s in %s; please report this", who_says(&a, odd, in, who[0], sizeof who[0]),
                note_text(&note[odd], what[0], sizeof what[0]), who_says(&a, even, in, who[1], sizeof who[1]),
                note_text(&note[even], what[1], sizeof what[1]));
        cs_error_last_words(&err);
        cs_watch_end(c->watch, CS_E_INTERNAL);
    }
    cs_free(note);
}

/* One rank's text within the texts of all. */
typedef struct facts {
    const char *text;
    int64_t bytes;
} facts;

static uint64_t hash_text(const char *text, size_t n)
{
    uint64_t h = 0xcbf29ce484222325u; /* FNV-1a */
    for (size_t i = 0; i < n; i++)
        h = (h ^ (unsigned char)text[i]) * 0x100000001b3u;
    return h;
}

/* The line at *at, which moves on to the next one. */
static facts next_line(const facts *f, int64_t *at)
{
    const char *line = f->text + *at, *end = memchr(line, '\n', (size_t)(f->bytes - *at));
    int64_t n = end ? end - line : f->bytes - *at;
    *at += n + (end != NULL);
    return (facts){line, n};
}

static bool same_bytes(facts a, facts b)
{
    return a.bytes == b.bytes && memcmp(a.text, b.text, (size_t)a.bytes) == 0;
}

/* Cuts the first word off. */
static facts take_word(facts *line)
{
    const char *space = memchr(line->text, ' ', (size_t)line->bytes);
    facts word = {line->text, space ? space - line->text : line->bytes};
    line->text += word.bytes;
    line->bytes -= word.bytes;
    return word;
}

/* Names the first line, "NAME VALUE", in which the two differ. */
static cs_status describe(facts a, facts b, const char *who_a, const char *who_b, cs_error *err)
{
    enum { MOST = 300 };
    facts line_a = {"", 0}, line_b = {"", 0};
    for (int64_t at_a = 0, at_b = 0; (at_a < a.bytes || at_b < b.bytes) && same_bytes(line_a, line_b);) {
        line_a = next_line(&a, &at_a);
        line_b = next_line(&b, &at_b);
    }
    facts name_a = take_word(&line_a), name_b = take_word(&line_b);
    int n_a = (int)(line_a.bytes < MOST ? line_a.bytes : MOST), n_b = (int)(line_b.bytes < MOST ? line_b.bytes : MOST);
    if (!same_bytes(name_a, name_b))
        return cs_fail(err, CS_E_USAGE, "the ranks do not agree: %s has %.*s, %s has %.*s; start all with the same program", who_a, (int)name_a.bytes,
                       name_a.text, who_b, (int)name_b.bytes, name_b.text);
    return cs_fail(err, CS_E_USAGE, "the ranks do not agree: %.*s is%.*s on %s, but%.*s on %s; start all with the same program, flags and files",
                   (int)name_a.bytes, name_a.text, n_a, line_a.text, who_a, n_b, line_b.text, who_b);
}

/* The texts of all ranks one behind the other in *all_create, and their lengths. Collective. */
static cs_status gather_texts(cs_comm *c, const char *text, int64_t *bytes, char **all_create, cs_error *err)
{
    int64_t total = 0, lo = 0;
    memset(bytes, 0, (size_t)c->size * sizeof *bytes);
    bytes[c->rank] = (int64_t)strlen(text);
    cs_comm_allreduce_max(c, bytes, c->size, CS_I64);
    for (int r = 0; r < c->size; r++) {
        lo += r < c->rank ? bytes[r] : 0;
        total += bytes[r];
    }
    *all_create = cs_malloc((size_t)total + 1);
    CS_TRY(cs_agree(c, *all_create ? CS_OK : cs_fail_nomem(err, (size_t)total + 1, "the comparison of the ranks"), err));
    memcpy(*all_create + lo, text, (size_t)bytes[c->rank]);
    cs_comm_allgather_v(c, *all_create, bytes, CS_U8);
    return CS_OK;
}

cs_status cs_comm_check_same(cs_comm *c, const char *text, cs_error *err)
{
    if (c->size == 1)
        return CS_OK;
    size_t n = (size_t)c->size;
    uint64_t *hash = cs_calloc(n * (sizeof *hash + sizeof(int64_t)) + (size_t)c->watch->size, 1);
    cs_status s = cs_agree(c, hash ? CS_OK : cs_fail_nomem(err, n * sizeof *hash, "the comparison of the ranks"), err);
    if (s != CS_OK) {
        cs_free(hash);
        return s;
    }
    int64_t *bytes = (int64_t *)(hash + n);
    for (size_t r = 0; r < n; r++)
        bytes[r] = 1;
    hash[c->rank] = hash_text(text, strlen(text));
    cs_comm_allgather_v(c, hash, bytes, CS_I64);
    const answers a = {c, (const char *)hash, sizeof *hash, sizeof *hash};
    int even = 0, odd = 0;
    if (differ(&a, &even, &odd)) { /* all ranks come to the same verdict */
        char *all = NULL, who[2][300];
        bool *in = (bool *)(bytes + n);
        s = gather_texts(c, text, bytes, &all, err);
        if (s == CS_OK) {
            facts f[2] = {{all, bytes[odd]}, {all, bytes[even]}};
            for (int r = 0; r < c->size; r++) {
                f[0].text += r < odd ? bytes[r] : 0;
                f[1].text += r < even ? bytes[r] : 0;
            }
            s = describe(f[0], f[1], who_says(&a, odd, in, who[0], sizeof who[0]), who_says(&a, even, in, who[1], sizeof who[1]), err);
        }
        cs_free(all);
    }
    cs_free(hash);
    return s;
}
