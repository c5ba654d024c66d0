/* The chain's steps. feed = part of a token, end_token = its end, end_list = no more tokens; each step calls those of the next one. */
#include "text/decoder.h"

#include "base/mem.h"
#include "text/byte_level.h"
#include "text/utf8.h"

#include <string.h>

/* What a step remembers. */
typedef struct step_state {
    cs_str held, more; /* text that waits */
    size_t index;      /* tokens so far */
    size_t count;      /* STRIP: dropped in front; BYTES: bytes of `more` known to be good */
    size_t tail;       /* STRIP: code points at the end that wait */
    bool open;         /* a token has begun */
    bool decided;      /* STRIP: the front is over; BYTES: the token is no byte */
    bool bad;          /* BYTES: the run is no UTF-8 */
} step_state;

struct cs_dec_stream {
    const cs_dec_chain *chain;
    cs_str *out;
    cs_regex_work regex;
    cs_status status;
    cs_error *err;
    step_state state[CS_MAX_DEC_STEPS];
};

static void feed(cs_dec_stream *s, size_t i, const char *text, size_t n);
static void end_token(cs_dec_stream *s, size_t i);
static void end_list(cs_dec_stream *s, size_t i);

/* ---- Replace ---- */

/* Longest end of text[0..n) that `from` begins with, shorter than `from`. */
static size_t partial(const char *text, size_t n, cs_bytes from)
{
    for (size_t k = from.len - 1 < n ? from.len - 1 : n; k > 0; k--)
        if (text[n - k] == from.text[0] && memcmp(text + n - k, from.text, k) == 0)
            return k;
    return 0;
}

static void replace_feed(cs_dec_stream *s, size_t i, const char *text, size_t n)
{
    const cs_dec_step *step = &s->chain->steps[i];
    step_state *st = &s->state[i];
    if (st->held.len > 0) {
        cs_str_append(&st->held, text, n);
        text = cs_str_cstr(&st->held);
        n = st->held.len;
    }
    for (const char *hit; (hit = memmem(text, n, step->from.text, step->from.len)) != NULL;) {
        feed(s, i + 1, text, (size_t)(hit - text));
        feed(s, i + 1, step->to.text, step->to.len);
        n -= (size_t)(hit - text) + step->from.len;
        text = hit + step->from.len;
    }
    size_t keep = partial(text, n, step->from);
    feed(s, i + 1, text, n - keep);
    if (st->held.len > 0) {
        memmove(st->held.data, text + n - keep, keep);
        st->held.len = keep;
    } else if (keep > 0) {
        cs_str_append(&st->held, text + n - keep, keep);
    }
}

static void regex_end(cs_dec_stream *s, size_t i)
{
    const cs_dec_step *step = &s->chain->steps[i];
    cs_str *held = &s->state[i].held;
    cs_regex_scan scan = {step->re, &s->regex, cs_str_cstr(held), held->len, 0, SIZE_MAX};
    size_t done = 0;
    for (size_t begin, end; held->len > 0 && s->status == CS_OK;) {
        bool found;
        s->status = cs_regex_next(&scan, &begin, &end, &found, s->err);
        if (s->status != CS_OK || !found)
            break;
        feed(s, i + 1, scan.text + done, begin - done);
        feed(s, i + 1, step->to.text, step->to.len);
        done = end;
    }
    feed(s, i + 1, scan.text + done, held->len - done);
    s->out->failed |= held->failed;
    cs_str_clear(held);
}

/* ---- ByteFallback ---- */

/* The value of <0xNN>, -1 = another token. A plus sign counts as tokenizers' number parser takes it. */
static int byte_of(const cs_str *t)
{
    int v = 0;
    if (t->len != 6 || memcmp(t->data, "<0x", 3) != 0 || t->data[5] != '>')
        return -1;
    for (int k = 3; k < 5; k++) {
        char c = t->data[k];
        int d = c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : k == 3 && c == '+' ? 0 : -1;
        if (d < 0)
            return -1;
        v = v * 16 + d;
    }
    return v;
}

static void put_bad(cs_dec_stream *s, size_t i, size_t n)
{
    for (size_t k = 0; k < n; k++) {
        feed(s, i + 1, CS_UTF8_REPLACEMENT, 3);
        end_token(s, i + 1);
    }
}

static void run_byte(cs_dec_stream *s, size_t i, int byte)
{
    step_state *st = &s->state[i];
    if (st->bad) {
        put_bad(s, i, 1);
        return;
    }
    cs_str_putc(&st->more, (char)byte);
    s->out->failed |= st->more.failed;
    const uint8_t *p = (const uint8_t *)cs_str_cstr(&st->more);
    st->count += cs_utf8_valid_prefix(p + st->count, st->more.len - st->count);
    if (st->count < st->more.len && !cs_utf8_incomplete(p + st->count, st->more.len - st->count)) {
        put_bad(s, i, st->more.len);
        st->more.len = st->count = 0;
        st->bad = true;
    }
}

static void run_end(cs_dec_stream *s, size_t i)
{
    step_state *st = &s->state[i];
    if (st->more.len > 0 && st->count == st->more.len) {
        feed(s, i + 1, st->more.data, st->more.len);
        end_token(s, i + 1);
    } else {
        put_bad(s, i, st->more.len);
    }
    st->more.len = st->count = 0;
    st->bad = false;
}

static void bytes_feed(cs_dec_stream *s, size_t i, const char *text, size_t n)
{
    step_state *st = &s->state[i];
    if (!st->decided) {
        cs_str_append(&st->held, text, n);
        s->out->failed |= st->held.failed;
        if (st->held.len <= 6)
            return;
        run_end(s, i);
        st->decided = true;
        text = st->held.data;
        n = st->held.len;
    }
    feed(s, i + 1, text, n);
}

static void bytes_end(cs_dec_stream *s, size_t i)
{
    step_state *st = &s->state[i];
    int byte = st->decided ? -1 : byte_of(&st->held);
    if (byte >= 0) {
        run_byte(s, i, byte);
    } else {
        if (!st->decided) {
            run_end(s, i);
            feed(s, i + 1, cs_str_cstr(&st->held), st->held.len);
        }
        end_token(s, i + 1);
    }
    cs_str_clear(&st->held);
    st->decided = false;
}

/* ---- Strip and Metaspace ---- */

static void put_many(cs_dec_stream *s, size_t i, cs_bytes what, size_t n)
{
    for (size_t k = 0; k < n; k++)
        feed(s, i + 1, what.text, what.len);
}

static bool is_at(const char *text, size_t n, cs_bytes what)
{
    return n >= what.len && memcmp(text, what.text, what.len) == 0;
}

static void strip_feed(cs_dec_stream *s, size_t i, const char *text, size_t n)
{
    const cs_dec_step *step = &s->chain->steps[i];
    step_state *st = &s->state[i];
    while (!st->decided && st->count < step->start && is_at(text, n, step->from)) {
        st->count++;
        text += step->from.len;
        n -= step->from.len;
    }
    st->decided |= n > 0;
    if (n == 0)
        return;
    size_t tail = 0; /* of this part */
    while (tail < step->stop && is_at(text + n - (n < step->from.len ? n : step->from.len), n, step->from)) {
        tail++;
        n -= step->from.len;
    }
    if (n > 0) {
        put_many(s, i, step->from, st->tail);
        st->tail = 0;
        feed(s, i + 1, text, n);
    }
    st->tail += tail;
    if (st->tail > step->stop) {
        put_many(s, i, step->from, st->tail - step->stop);
        st->tail = step->stop;
    }
}

static void meta_feed(cs_dec_stream *s, size_t i, const char *text, size_t n)
{
    const cs_dec_step *step = &s->chain->steps[i];
    bool drop = step->drop_first && s->state[i].index == 0;
    for (const char *hit; (hit = memmem(text, n, step->from.text, step->from.len)) != NULL;) {
        feed(s, i + 1, text, (size_t)(hit - text));
        if (!drop)
            feed(s, i + 1, " ", 1);
        n -= (size_t)(hit - text) + step->from.len;
        text = hit + step->from.len;
    }
    feed(s, i + 1, text, n);
}

/* ---- ByteLevel ---- */

/* Sends on what is UTF-8 of the bytes that wait; when `final`, also what never will be. */
static void settle(cs_dec_stream *s, size_t i, bool final)
{
    cs_str *b = &s->state[i].more;
    const uint8_t *p = (const uint8_t *)cs_str_cstr(b);
    size_t at = 0;
    while (at < b->len) {
        size_t good = cs_utf8_valid_prefix(p + at, b->len - at);
        feed(s, i + 1, b->data + at, good);
        at += good;
        if (at == b->len || (!final && cs_utf8_incomplete(p + at, b->len - at)))
            break;
        feed(s, i + 1, CS_UTF8_REPLACEMENT, 3);
        at += cs_utf8_bad_length(p + at, b->len - at);
    }
    s->out->failed |= b->failed;
    if (at > 0)
        memmove(b->data, b->data + at, b->len - at);
    b->len -= at;
}

static void byte_level_end(cs_dec_stream *s, size_t i)
{
    step_state *st = &s->state[i];
    if (!cs_byte_level_bytes(cs_str_cstr(&st->held), st->held.len, &st->more))
        cs_str_append(&st->more, cs_str_cstr(&st->held), st->held.len);
    s->out->failed |= st->held.failed;
    cs_str_clear(&st->held);
    settle(s, i, false);
}

/* ---- BPE's suffix ---- */

static void suffix_put(cs_dec_stream *s, size_t i, const char *blank)
{
    cs_str *held = &s->state[i].held;
    cs_str done = {0};
    cs_replace_all(cs_str_cstr(held), held->len, s->chain->steps[i].from, (cs_bytes){blank, strlen(blank)}, &done);
    feed(s, i + 1, cs_str_cstr(&done), done.len);
    end_token(s, i + 1);
    s->out->failed |= done.failed | held->failed;
    cs_str_release(&done);
}

static void suffix_end(cs_dec_stream *s, size_t i)
{
    step_state *st = &s->state[i];
    if (st->index > 0)
        suffix_put(s, i, " ");
    cs_str swap = st->held;
    st->held = st->more;
    st->more = swap;
    cs_str_clear(&st->more);
}

/* ---- the flow ---- */

static void join_begin(cs_dec_stream *s, size_t i)
{
    step_state *st = &s->state[i];
    if (!st->open && st->index > 0)
        feed(s, i + 1, " ", 1);
    st->open = true;
}

static void feed(cs_dec_stream *s, size_t i, const char *text, size_t n)
{
    if (n == 0)
        return;
    if (i == s->chain->n_steps) {
        cs_str_append(s->out, text, n);
        return;
    }
    switch (s->chain->steps[i].kind) {
    case CS_DEC_REPLACE: replace_feed(s, i, text, n); break;
    case CS_DEC_BYTES: bytes_feed(s, i, text, n); break;
    case CS_DEC_STRIP: strip_feed(s, i, text, n); break;
    case CS_DEC_META: meta_feed(s, i, text, n); break;
    case CS_DEC_SUFFIX: cs_str_append(&s->state[i].more, text, n); break;
    case CS_DEC_REGEX:
    case CS_DEC_BYTE_LEVEL: cs_str_append(&s->state[i].held, text, n); break;
    case CS_DEC_JOIN: join_begin(s, i); feed(s, i + 1, text, n); break;
    default: feed(s, i + 1, text, n); break;
    }
}

static void end_token(cs_dec_stream *s, size_t i)
{
    if (i == s->chain->n_steps)
        return;
    step_state *st = &s->state[i];
    switch (s->chain->steps[i].kind) {
    case CS_DEC_FUSE: break;
    case CS_DEC_BYTES: bytes_end(s, i); break;
    case CS_DEC_SUFFIX: suffix_end(s, i); break;
    case CS_DEC_BYTE_LEVEL: byte_level_end(s, i); break;
    case CS_DEC_REPLACE:
        feed(s, i + 1, cs_str_cstr(&st->held), st->held.len);
        s->out->failed |= st->held.failed;
        cs_str_clear(&st->held);
        end_token(s, i + 1);
        break;
    case CS_DEC_REGEX:
        regex_end(s, i);
        end_token(s, i + 1);
        break;
    case CS_DEC_STRIP:
        st->count = st->tail = 0;
        st->decided = false;
        end_token(s, i + 1);
        break;
    case CS_DEC_JOIN:
        join_begin(s, i);
        st->open = false;
        end_token(s, i + 1);
        break;
    default: end_token(s, i + 1); break;
    }
    st->index++;
}

static void end_list(cs_dec_stream *s, size_t i)
{
    if (i == s->chain->n_steps)
        return;
    switch (s->chain->steps[i].kind) {
    case CS_DEC_BYTES: run_end(s, i); break;
    case CS_DEC_FUSE: end_token(s, i + 1); break;
    case CS_DEC_BYTE_LEVEL:
        settle(s, i, true);
        end_token(s, i + 1);
        break;
    case CS_DEC_SUFFIX:
        if (s->state[i].index > 0)
            suffix_put(s, i, "");
        break;
    default: break;
    }
    end_list(s, i + 1);
}

cs_dec_stream *cs_dec_stream_create(const cs_dec_chain *chain)
{
    cs_dec_stream *s = cs_calloc(1, sizeof *s);
    if (s)
        s->chain = chain;
    return s;
}

void cs_dec_stream_destroy(cs_dec_stream *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < CS_MAX_DEC_STEPS; i++) {
        cs_str_release(&s->state[i].held);
        cs_str_release(&s->state[i].more);
    }
    cs_regex_work_release(&s->regex);
    cs_free(s);
}

static cs_status result(cs_dec_stream *s, cs_str *out)
{
    cs_status status = s->status;
    s->status = CS_OK;
    return status != CS_OK ? status : cs_str_check(out, s->err);
}

cs_status cs_dec_stream_push(cs_dec_stream *s, const char *token, size_t len, cs_str *out, cs_error *err)
{
    s->out = out;
    s->err = err;
    s->regex.spent = 0;
    feed(s, 0, token, len);
    end_token(s, 0);
    return result(s, out);
}

cs_status cs_dec_stream_finish(cs_dec_stream *s, cs_str *out, cs_error *err)
{
    s->out = out;
    s->err = err;
    end_list(s, 0);
    return result(s, out);
}
