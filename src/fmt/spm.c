/* SentencePiece ModelProto. Two passes over the top level: count the pieces, then fill. */
#include "fmt/spm.h"

#include "base/mem.h"
#include "fmt/wire.h"

#include <math.h>
#include <string.h>

static cs_spm_str str_of(const char *text)
{
    return (cs_spm_str){text, strlen(text)};
}

static cs_spm_str str_field(const cs_wire_field *f)
{
    return (cs_spm_str){(const char *)f->sub.bytes + f->sub.at, f->sub.end - f->sub.at};
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int cs_spm_byte_value(const char *text, size_t len)
{
    if (len != 6 || memcmp(text, "<0x", 3) != 0 || text[5] != '>')
        return -1;
    int hi = hex_digit(text[3]), lo = hex_digit(text[4]);
    return hi < 0 || lo < 0 ? -1 : hi * 16 + lo;
}

static cs_status read_piece(cs_wire w, size_t index, cs_spm_piece *p, cs_error *err)
{
    cs_wire_field f;
    bool more;
    size_t start = w.at;
    *p = (cs_spm_piece){.type = CS_PIECE_NORMAL};
    for (;;) {
        CS_TRY(cs_wire_next(&w, &f, &more, err));
        if (!more)
            break;
        if (f.number == 1) {
            CS_TRY(cs_wire_want(&w, &f, 2, err));
            p->text = str_field(&f);
        } else if (f.number == 2) {
            CS_TRY(cs_wire_want(&w, &f, 5, err));
            uint32_t bits = (uint32_t)f.value;
            memcpy(&p->score, &bits, 4);
        } else if (f.number == 3) {
            CS_TRY(cs_wire_want(&w, &f, 0, err));
            if (f.value < CS_PIECE_NORMAL || f.value > CS_PIECE_BYTE)
                return cs_fail(err, CS_E_FORMAT, "%s: offset %zu: piece %zu has type %llu, expected 1..6", w.name, f.at, index,
                               (unsigned long long)f.value);
            p->type = (cs_piece_type)f.value;
        }
    }
    if (p->text.len == 0)
        return cs_fail(err, CS_E_FORMAT, "%s: offset %zu: piece %zu is empty", w.name, start, index);
    if (!isfinite(p->score))
        return cs_fail(err, CS_E_FORMAT, "%s: offset %zu: score of piece %zu is not a finite number", w.name, start, index);
    if (p->type == CS_PIECE_BYTE && cs_spm_byte_value(p->text.text, p->text.len) < 0)
        return cs_fail(err, CS_E_FORMAT, "%s: offset %zu: byte piece %zu is not spelled <0xNN>", w.name, start, index);
    return CS_OK;
}

static cs_status read_trainer(cs_wire w, cs_spm *out, cs_error *err)
{
    cs_wire_field f;
    bool more;
    for (;;) {
        CS_TRY(cs_wire_next(&w, &f, &more, err));
        if (!more)
            return CS_OK;
        cs_spm_str *text = f.number == 44 ? &out->unk_surface : f.number == 46 ? &out->bos_piece : f.number == 47 ? &out->eos_piece
                           : f.number == 48 ? &out->pad_piece : NULL;
        if (text) {
            CS_TRY(cs_wire_want(&w, &f, 2, err));
            *text = str_field(&f);
        } else if (f.number == 3) {
            CS_TRY(cs_wire_want(&w, &f, 0, err));
            if (f.value != CS_SPM_UNIGRAM && f.value != CS_SPM_BPE)
                return cs_fail(err, CS_E_FORMAT, "%s: offset %zu: SentencePiece model type %s is not supported, only unigram and bpe", w.name,
                               f.at, f.value == 3 ? "word" : f.value == 4 ? "char" : "(unknown)");
            out->type = (cs_spm_type)f.value;
        } else if (f.number == 24 || f.number == 35) {
            CS_TRY(cs_wire_want(&w, &f, 0, err));
            *(f.number == 24 ? &out->whitespace_suffix : &out->byte_fallback) = f.value != 0;
        }
    }
}

static cs_status read_normalizer(cs_wire w, cs_spm *out, cs_error *err)
{
    cs_wire_field f;
    bool more;
    for (;;) {
        CS_TRY(cs_wire_next(&w, &f, &more, err));
        if (!more)
            return CS_OK;
        if (f.number == 2) {
            CS_TRY(cs_wire_want(&w, &f, 2, err));
            out->charsmap = f.sub.bytes + f.sub.at;
            out->charsmap_bytes = f.sub.end - f.sub.at;
            out->charsmap_offset = f.sub.at;
        } else if (f.number >= 3 && f.number <= 5) {
            CS_TRY(cs_wire_want(&w, &f, 0, err));
            *(f.number == 3 ? &out->add_dummy_prefix : f.number == 4 ? &out->remove_extra_whitespaces : &out->escape_whitespaces) =
                f.value != 0;
        }
    }
}

/* Rules that change decoded text would have to see all of it before any of it can go out. */
static cs_status refuse_denormalizer(cs_wire w, cs_error *err)
{
    cs_wire_field f;
    bool more;
    for (;;) {
        CS_TRY(cs_wire_next(&w, &f, &more, err));
        if (!more)
            return CS_OK;
        if (f.number == 2) {
            CS_TRY(cs_wire_want(&w, &f, 2, err));
            if (f.sub.end > f.sub.at)
                return cs_fail(err, CS_E_FORMAT, "%s: offset %zu: a denormalizer with rules is not supported", w.name, f.at);
        }
    }
}

/* The blob: u32 size of the trie in bytes, the trie, then NUL-terminated strings. */
cs_status cs_spm_check_charsmap(const cs_spm *m, const char *name, cs_error *err)
{
    const uint8_t *p = m->charsmap;
    size_t n = m->charsmap_bytes;
    if (n == 0)
        return CS_OK;
    size_t trie = n < 4 ? 0 : (size_t)p[0] | (size_t)p[1] << 8 | (size_t)p[2] << 16 | (size_t)p[3] << 24;
    if (n < 4 || trie < 4 || trie % 4 != 0 || trie > n - 4 || trie == n - 4 || p[n - 1] != '\0')
        return cs_fail(err, CS_E_FORMAT, "%s: offset %zu: normaliser table of %zu bytes with a trie of %zu bytes is not well formed", name,
                       m->charsmap_offset, n, trie);
    return CS_OK;
}

static cs_status check_pieces(cs_spm *m, const char *name, cs_error *err)
{
    bool seen[256] = {false};
    size_t n_bytes = 0;
    m->unk_id = -1;
    for (size_t i = 0; i < m->n_pieces; i++) {
        const cs_spm_piece *p = &m->pieces[i];
        if (p->type == CS_PIECE_UNKNOWN) {
            if (m->unk_id >= 0)
                return cs_fail(err, CS_E_FORMAT, "%s: pieces %d and %zu are both the unknown piece", name, m->unk_id, i);
            m->unk_id = (int32_t)i;
        } else if (p->type == CS_PIECE_BYTE) {
            int value = cs_spm_byte_value(p->text.text, p->text.len);
            n_bytes += !seen[value];
            seen[value] = true;
        }
    }
    if (m->unk_id < 0)
        return cs_fail(err, CS_E_FORMAT, "%s: no unknown piece among %zu pieces", name, m->n_pieces);
    if (n_bytes != (m->byte_fallback ? 256 : 0))
        return cs_fail(err, CS_E_FORMAT, "%s: %zu byte pieces with byte_fallback %s", name, n_bytes, m->byte_fallback ? "on" : "off");
    return CS_OK;
}

static cs_status parse_model(cs_wire w, cs_spm *out, cs_error *err)
{
    cs_wire_field f;
    bool more;
    size_t n = 0, bytes;
    for (cs_wire count = w;;) {
        CS_TRY(cs_wire_next(&count, &f, &more, err));
        if (!more)
            break;
        if (f.number == 1)
            CS_TRY(cs_wire_want(&w, &f, 2, err));
        n += f.number == 1;
    }
    if (n == 0 || n > INT32_MAX)
        return cs_fail(err, CS_E_FORMAT, "%s: %zu pieces; not a SentencePiece model", w.name, n);
    if (!cs_mul_checked(n, sizeof *out->pieces, &bytes) || !(out->pieces = cs_malloc(bytes)))
        return cs_fail_nomem(err, n * sizeof *out->pieces, "the pieces of a tokenizer");
    for (;;) {
        CS_TRY(cs_wire_next(&w, &f, &more, err));
        if (!more)
            return check_pieces(out, w.name, err);
        if (f.number == 1) {
            CS_TRY(read_piece(f.sub, out->n_pieces, &out->pieces[out->n_pieces], err));
            out->n_pieces++;
        } else if (f.number == 2) {
            CS_TRY(cs_wire_want(&w, &f, 2, err));
            CS_TRY(read_trainer(f.sub, out, err));
        } else if (f.number == 3) {
            CS_TRY(cs_wire_want(&w, &f, 2, err));
            CS_TRY(read_normalizer(f.sub, out, err));
            CS_TRY(cs_spm_check_charsmap(out, w.name, err));
        } else if (f.number == 5) {
            CS_TRY(cs_wire_want(&w, &f, 2, err));
            CS_TRY(refuse_denormalizer(f.sub, err));
        }
    }
}

void cs_spm_defaults(cs_spm *out)
{
    *out = (cs_spm){
        .type = CS_SPM_UNIGRAM, .add_dummy_prefix = true, .remove_extra_whitespaces = true, .escape_whitespaces = true,
        .bos_piece = str_of("<s>"), .eos_piece = str_of("</s>"), .pad_piece = str_of("<pad>"), .unk_surface = str_of(" \xe2\x81\x87 "),
    };
}

cs_status cs_spm_parse(const uint8_t *bytes, size_t len, const char *name, cs_spm *out, cs_error *err)
{
    cs_spm_defaults(out);
    cs_status status = parse_model((cs_wire){bytes, 0, len, name}, out, err);
    if (status != CS_OK)
        cs_spm_release(out);
    return status;
}

void cs_spm_release(cs_spm *spm)
{
    cs_free(spm->pieces);
    *spm = (cs_spm){0};
}
