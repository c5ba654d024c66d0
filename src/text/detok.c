/* Ids to text, one piece at a time; the whole decode is the same machine fed in a loop. */
#include "text/tok.h"

#include "text/utf8.h"

#include <string.h>

int cs_byte_level_value(uint32_t cp)
{
    /* GPT-2 shows printable Latin-1 as itself and the other 68 bytes, in order, as U+0100... */
    if ((cp >= 0x21 && cp <= 0x7e) || (cp >= 0xa1 && cp <= 0xac) || (cp >= 0xae && cp <= 0xff))
        return (int)cp;
    if (cp < 0x100 || cp > 0x143)
        return -1;
    int k = (int)cp - 0x100;
    return k < 33 ? k : k < 67 ? k - 33 + 0x7f : 0xad;
}

/* Appends to the text, dropping the characters that the start of the text loses. */
static void emit(cs_detok *d, const char *text, size_t len, cs_str *out)
{
    while (!d->started && len > 0 && d->n_stripped < d->n_strip && *text == d->strip) {
        text++;
        len--;
        d->n_stripped++;
    }
    if (len == 0)
        return;
    d->started = true;
    cs_str_append(out, text, len);
}

static void drop_pending(cs_detok *d, size_t n)
{
    memmove(d->pending, d->pending + n, d->n_pending - n);
    d->n_pending = (uint16_t)(d->n_pending - n);
}

/* Turns pending bytes into text. final: nothing more can complete them. */
static void settle(cs_detok *d, bool final, cs_str *out)
{
    cs_bytes_rule rule = (cs_bytes_rule)d->rule;
    if (rule == CS_BYTES_RUN && !final)
        return;
    size_t good = cs_utf8_valid_prefix(d->pending, d->n_pending);
    bool bad_run = rule == CS_BYTES_RUN && good < d->n_pending;
    while (d->n_pending > 0) {
        good = bad_run ? 0 : cs_utf8_valid_prefix(d->pending, d->n_pending);
        if (good > 0) {
            emit(d, (const char *)d->pending, good, out);
            drop_pending(d, good);
        } else if (!final && cs_utf8_incomplete(d->pending, d->n_pending)) {
            return;
        } else {
            emit(d, CS_UTF8_REPLACEMENT, 3, out);
            drop_pending(d, rule == CS_BYTES_LOSSY ? cs_utf8_bad_length(d->pending, d->n_pending) : 1);
        }
    }
}

static void push_bytes(const cs_decoder *dec, cs_detok *d, const char *bytes, size_t n, cs_str *out)
{
    d->rule = (uint8_t)dec->bytes;
    for (size_t i = 0; i < n; i++) {
        if (d->n_pending == sizeof d->pending) { /* a run too long to judge as a whole: what is well-formed so far goes out */
            size_t good = cs_utf8_valid_prefix(d->pending, d->n_pending);
            if (good > 0)
                emit(d, (const char *)d->pending, good, out);
            else
                settle(d, true, out);
            drop_pending(d, good);
        }
        d->pending[d->n_pending++] = (uint8_t)bytes[i];
        if (i + 1 == n || d->n_pending == sizeof d->pending)
            settle(d, false, out);
    }
}

/* The bytes of a piece in GPT-2's alphabet, or its text as it is when it holds anything else. */
static void push_byte_level(const cs_decoder *dec, cs_detok *d, const cs_piece *p, cs_str *out)
{
    char bytes[256];
    uint32_t cp;
    bool mapped = true;
    for (size_t i = 0, n; mapped && i < p->len; i += n) {
        n = cs_utf8_decode((const uint8_t *)p->text + i, p->len - i, &cp);
        mapped = n > 0 && cs_byte_level_value(cp) >= 0;
    }
    if (!mapped) {
        push_bytes(dec, d, p->text, p->len, out);
        return;
    }
    size_t k = 0;
    for (size_t i = 0; i < p->len; i += cs_utf8_decode((const uint8_t *)p->text + i, p->len - i, &cp)) {
        cs_utf8_decode((const uint8_t *)p->text + i, p->len - i, &cp);
        bytes[k++] = (char)cs_byte_level_value(cp);
        if (k == sizeof bytes) {
            push_bytes(dec, d, bytes, k, out);
            k = 0;
        }
    }
    push_bytes(dec, d, bytes, k, out);
}

static void push_plain(const cs_decoder *dec, cs_detok *d, const char *text, size_t len, cs_str *out)
{
    if (dec->bytes == CS_BYTES_LOSSY)
        push_bytes(dec, d, text, len, out);
    else
        emit(d, text, len, out);
}

/* The usual case: one replacement, nothing to store. */
static void push_replaced(const cs_decoder *dec, cs_detok *d, const char *text, size_t len, cs_str *out)
{
    const cs_bytes from = dec->replace[0].from, to = dec->replace[0].to;
    for (const char *hit; (hit = memmem(text, len, from.text, from.len)) != NULL;) {
        push_plain(dec, d, text, (size_t)(hit - text), out);
        push_plain(dec, d, to.text, to.len, out);
        len -= (size_t)(hit - text) + from.len;
        text = hit + from.len;
    }
    push_plain(dec, d, text, len, out);
}

/* Text of a piece through the replacements, one pass each. */
static void push_text(const cs_decoder *dec, cs_detok *d, const char *text, size_t len, cs_str *out)
{
    cs_str a = {0}, b = {0};
    if (dec->n_replace <= 1) {
        if (dec->n_replace == 1)
            push_replaced(dec, d, text, len, out);
        else
            push_plain(dec, d, text, len, out);
        return;
    }
    for (size_t i = 0; i < dec->n_replace && !a.failed; i++) {
        cs_str_clear(&b);
        cs_replace_all(text, len, dec->replace[i].from, dec->replace[i].to, &b);
        cs_str swap = a;
        a = b;
        b = swap;
        text = cs_str_cstr(&a);
        len = a.len;
    }
    out->failed |= a.failed || b.failed;
    push_plain(dec, d, text, len, out);
    cs_str_release(&a);
    cs_str_release(&b);
}

/* SentencePiece and HF Metaspace drop the visible space at the start. */
static void push_piece_text(const cs_tokenizer *t, cs_detok *d, const cs_piece *p, bool first, cs_str *out)
{
    const cs_decoder *dec = &t->dec;
    const char *text = p->text;
    size_t len = p->len;
    if (p->type == CS_PIECE_UNKNOWN && dec->unk_surface.text) {
        emit(d, dec->unk_surface.text, dec->unk_surface.len, out);
        return;
    }
    if (dec->spm_prefix && !d->started && len >= 3 && memcmp(text, CS_META, 3) == 0) {
        text += 3;
        len -= 3;
        d->started = !dec->spm_all_leading;
    }
    if (!dec->meta_prefix || !first) {
        push_text(dec, d, text, len, out);
        return;
    }
    cs_str kept = {0};
    cs_replace_all(text, len, dec->replace[0].from, (cs_bytes){"", 0}, &kept);
    push_text(dec, d, cs_str_cstr(&kept), kept.len, out);
    out->failed |= kept.failed;
    cs_str_release(&kept);
}

void cs_tok_push_piece(const cs_tokenizer *t, cs_detok *d, int32_t id, bool keep_special, cs_str *out)
{
    const cs_decoder *dec = &t->dec;
    const cs_piece *p = &t->vocab.pieces[id];
    d->strip = dec->strip;
    d->n_strip = dec->n_strip;
    if (dec->strip_after_bos && id == t->bos) {
        settle(d, true, out);
        d->started = false;
        d->n_stripped = 0;
    }
    if (p->type == 0 || (p->special && !keep_special)) {
        if (dec->bytes == CS_BYTES_CODE_POINT && p->type != 0)
            settle(d, true, out); /* in SentencePiece a piece without text still ends a run of byte pieces */
        return;
    }
    bool first = !d->any && !d->started;
    d->any = true;
    int byte = dec->byte_pieces ? cs_spm_byte_value(p->text, p->len) : -1;
    if (byte >= 0) {
        char c = (char)byte;
        push_bytes(dec, d, &c, 1, out);
        return;
    }
    if (dec->bytes != CS_BYTES_LOSSY)
        settle(d, true, out);
    if (dec->space_between && !first)
        emit(d, " ", 1, out);
    if (dec->byte_level)
        push_byte_level(dec, d, p, out);
    else if (p->special && dec->unk_surface.text)
        emit(d, p->text, p->len, out);
    else
        push_piece_text(t, d, p, first, out);
    if (dec->strip_after_bos && id == t->bos)
        d->started = false;
}

cs_status cs_detok_push(cs_detok *d, const cs_tokenizer *tok, int32_t id, cs_str *out, cs_error *err)
{
    if (id < 0 || id >= tok->vocab.n)
        return cs_fail(err, CS_E_FORMAT, "token id %d is out of range, the vocabulary has %d", id, tok->vocab.n);
    cs_tok_push_piece(tok, d, id, d->keep_special, out);
    return cs_str_check(out, err);
}

void cs_detok_finish(cs_detok *d, cs_str *out)
{
    settle(d, true, out);
    *d = (cs_detok){0};
}

cs_status cs_tokenizer_decode(const cs_tokenizer *tok, const int32_t *ids, size_t n, bool keep_special, cs_str *out, cs_error *err)
{
    cs_detok d = {0};
    for (size_t i = 0; i < n; i++) {
        if (ids[i] < 0 || ids[i] >= tok->vocab.n)
            return cs_fail(err, CS_E_FORMAT, "token id %d at position %zu is out of range, the vocabulary has %d", ids[i], i, tok->vocab.n);
        cs_tok_push_piece(tok, &d, ids[i], keep_special, out);
    }
    cs_detok_finish(&d, out);
    return cs_str_check(out, err);
}
