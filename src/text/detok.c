/* Ids to text, one piece at a time; the whole decode is the same machine fed in a loop. */
#include "text/tok.h"
#include "text/utf8.h"

#include <string.h>

/* Appends to the text of a SentencePiece or llama2.c stream. */
static void emit(cs_detok *d, const char *text, size_t len, cs_str *out)
{
    if (len == 0)
        return;
    d->started = true;
    cs_str_append(out, text, len);
}

/* Turns pending bytes into text. final: nothing more can complete them. */
static void settle(cs_detok *d, bool final, cs_str *out)
{
    size_t at = 0;
    while (at < d->n_pending) {
        const uint8_t *p = d->pending + at;
        size_t n = (size_t)d->n_pending - at, good = cs_utf8_valid_prefix(p, n);
        if (good > 0) {
            emit(d, (const char *)p, good, out);
            at += good;
        } else if (!final && cs_utf8_incomplete(p, n)) {
            break;
        } else {
            emit(d, CS_UTF8_REPLACEMENT, 3, out);
            at += d->lossy ? cs_utf8_bad_length(p, n) : 1;
        }
    }
    memmove(d->pending, d->pending + at, d->n_pending - at);
    d->n_pending = (uint8_t)(d->n_pending - at);
}

static void push_bytes(cs_detok *d, const char *bytes, size_t n, cs_str *out)
{
    for (size_t i = 0; i < n; i++) {
        d->pending[d->n_pending++] = (uint8_t)bytes[i];
        if (i + 1 == n || d->n_pending == sizeof d->pending)
            settle(d, false, out);
    }
}

/* Text with its visible spaces made blanks; the first one, or all at the start, may be dropped. */
static void push_visible(const cs_decoder *dec, cs_detok *d, const char *text, size_t len, cs_str *out)
{
    while (dec->drop_blank && !d->started && len >= 3 && memcmp(text, CS_META, 3) == 0) {
        text += 3;
        len -= 3;
        d->started = !dec->drop_all;
    }
    for (const char *hit; (hit = memmem(text, len, CS_META, 3)) != NULL;) {
        emit(d, text, (size_t)(hit - text), out);
        emit(d, " ", 1, out);
        len -= (size_t)(hit - text) + 3;
        text = hit + 3;
    }
    emit(d, text, len, out);
}

static void push_spm(const cs_tokenizer *t, cs_detok *d, const cs_piece *p, bool keep_special, cs_str *out)
{
    int byte = t->dec.byte_pieces ? cs_spm_byte_value(p->text, p->len) : -1;
    bool drop = p->special && !keep_special;
    if (p->type == 0)
        return;
    if (byte >= 0 && !drop) {
        char c = (char)byte;
        push_bytes(d, &c, 1, out);
        return;
    }
    settle(d, true, out); /* in SentencePiece a piece without text still ends a run of byte pieces */
    if (drop)
        return;
    if (p->special)
        emit(d, p->text, p->len, out);
    else if (p->type == CS_PIECE_UNKNOWN)
        emit(d, t->dec.unknown.text, t->dec.unknown.len, out);
    else
        push_visible(&t->dec, d, p->text, p->len, out);
}

/* As run.c prints: a blank behind BOS, and at the start, is not printed. */
static void push_llama2c(const cs_tokenizer *t, cs_detok *d, int32_t id, bool keep_special, cs_str *out)
{
    const cs_piece *p = &t->vocab.pieces[id];
    const char *text = p->text;
    size_t len = p->len;
    int byte = cs_spm_byte_value(text, len);
    char c = (char)byte;
    d->lossy = true;
    if (id == t->bos) {
        settle(d, true, out);
        d->started = false;
    }
    if (p->type == 0 || (p->special && !keep_special))
        return;
    if (byte >= 0) {
        text = &c;
        len = 1;
    }
    bool blank = !d->started && d->n_pending == 0 && len > 0 && *text == ' ';
    d->started |= len > 0;
    push_bytes(d, text + blank, len - blank, out);
    if (id == t->bos) {
        settle(d, true, out);
        d->started = false;
    }
}

static cs_status push_chain(const cs_tokenizer *t, cs_detok *d, int32_t id, bool keep_special, cs_str *out, cs_error *err)
{
    const cs_piece *p = &t->vocab.pieces[id];
    if (p->type == 0 || (p->special && !keep_special))
        return CS_OK;
    if (!d->stream && !(d->stream = cs_dec_stream_create(&t->dec.chain)))
        return cs_fail_nomem(err, 1, "decoding");
    cs_bytes shown = t->shown && t->shown[id].text ? t->shown[id] : (cs_bytes){p->text, p->len};
    return cs_dec_stream_push(d->stream, shown.text, shown.len, out, err);
}

static cs_status push_piece(const cs_tokenizer *t, cs_detok *d, int32_t id, bool keep_special, cs_str *out, cs_error *err)
{
    if (t->dec.kind == CS_DECODE_CHAIN)
        return push_chain(t, d, id, keep_special, out, err);
    if (t->dec.kind == CS_DECODE_SPM)
        push_spm(t, d, &t->vocab.pieces[id], keep_special, out);
    else
        push_llama2c(t, d, id, keep_special, out);
    return cs_str_check(out, err);
}

cs_status cs_detok_push(cs_detok *d, const cs_tokenizer *tok, int32_t id, cs_str *out, cs_error *err)
{
    if (id < 0 || id >= tok->vocab.n)
        return cs_fail(err, CS_E_FORMAT, "token id %d is out of range, the vocabulary has %d", id, tok->vocab.n);
    return push_piece(tok, d, id, d->keep_special, out, err);
}

static cs_status finish(cs_detok *d, cs_str *out, cs_error *err)
{
    cs_status status = CS_OK;
    if (d->stream)
        status = cs_dec_stream_finish(d->stream, out, err);
    settle(d, true, out);
    cs_detok_release(d);
    return status;
}

void cs_detok_finish(cs_detok *d, cs_str *out)
{
    out->failed |= finish(d, out, NULL) != CS_OK;
}

void cs_detok_release(cs_detok *d)
{
    cs_dec_stream_destroy(d->stream);
    *d = (cs_detok){0};
}

cs_status cs_tokenizer_decode(const cs_tokenizer *tok, const int32_t *ids, size_t n, bool keep_special, cs_str *out, cs_error *err)
{
    cs_detok d = {0};
    cs_status status = CS_OK;
    for (size_t i = 0; i < n && status == CS_OK; i++) {
        if (ids[i] < 0 || ids[i] >= tok->vocab.n)
            status = cs_fail(err, CS_E_FORMAT, "token id %d at position %zu is out of range, the vocabulary has %d", ids[i], i, tok->vocab.n);
        else
            status = push_piece(tok, &d, ids[i], keep_special, out, err);
    }
    if (status != CS_OK) {
        cs_detok_release(&d);
        return status;
    }
    CS_TRY(finish(&d, out, err));
    return cs_str_check(out, err);
}
