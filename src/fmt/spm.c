/* SentencePiece ModelProto. Two passes over the top level: count the pieces, then fill. */
#include "fmt/spm.h"

#include "base/mem.h"
#include "fmt/limits.h"
#include "fmt/wire.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <utf8proc.h>

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

/* `at` is the offset of the text. */
static cs_status check_text(const char *name, size_t index, cs_spm_str s, size_t at, cs_error *err)
{
    if (s.len > CS_LIMIT_PIECE_BYTES)
        return cs_fail(err, CS_E_FORMAT, "%s: offset %zu: expected at most %d bytes in piece %zu, found %zu", name, at, CS_LIMIT_PIECE_BYTES, index,
                       s.len);
    for (size_t i = 0; i < s.len;) {
        utf8proc_int32_t code;
        utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)s.text + i, (utf8proc_ssize_t)(s.len - i), &code);
        if (n <= 0)
            return cs_fail(err, CS_E_FORMAT, "%s: offset %zu: expected UTF-8 in piece %zu, found byte 0x%02X", name, at + i, index,
                           (unsigned char)s.text[i]);
        i += (size_t)n;
    }
    return CS_OK;
}

static cs_status read_piece(cs_wire w, size_t index, cs_spm_piece *p, cs_error *err)
{
    cs_wire_field f;
    bool more;
    size_t text_at = w.at, score_at = w.at;
    *p = (cs_spm_piece){.type = CS_PIECE_NORMAL, .offset = w.at};
    for (;;) {
        CS_TRY(cs_wire_next(&w, &f, &more, err));
        if (!more)
            break;
        if (f.number == 1) {
            CS_TRY(cs_wire_want(&w, &f, 2, err));
            p->text = str_field(&f);
            text_at = f.sub.at;
        } else if (f.number == 2) {
            CS_TRY(cs_wire_want(&w, &f, 5, err));
            uint32_t bits = (uint32_t)f.value;
            memcpy(&p->score, &bits, 4);
            score_at = f.at;
        } else if (f.number == 3) {
            CS_TRY(cs_wire_want(&w, &f, 0, err));
            if (f.value < CS_PIECE_NORMAL || f.value > CS_PIECE_BYTE)
                return cs_fail(err, CS_E_FORMAT, "%s: offset %zu: expected a type 1..6 for piece %zu, found %" PRIu64, w.name, f.at, index, f.value);
            p->type = (cs_piece_type)f.value;
        }
    }
    if (p->text.len == 0)
        return cs_fail(err, CS_E_FORMAT, "%s: offset %zu: expected a text for piece %zu, found none", w.name, p->offset, index);
    CS_TRY(check_text(w.name, index, p->text, text_at, err));
    if (!isfinite(p->score))
        return cs_fail(err, CS_E_FORMAT, "%s: offset %zu: expected a finite score for piece %zu, found %f", w.name, score_at, index,
                       (double)p->score);
    if (p->type == CS_PIECE_BYTE && cs_spm_byte_value(p->text.text, p->text.len) < 0)
        return cs_fail(err, CS_E_FORMAT, "%s: offset %zu: expected <0xNN> as the text of byte piece %zu, found another", w.name, text_at, index);
    return CS_OK;
}

/* One of unk_id, bos_id, eos_id, pad_id of the trainer; -1 means none. Only damage is looked for: the pieces say which is which. */
typedef struct special_id {
    int32_t value;
    size_t at;
} special_id;

static cs_status read_trainer(cs_wire w, cs_spm *out, special_id ids[4], cs_error *err)
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
                return cs_fail(err, CS_E_FORMAT, "%s: offset %zu: expected model type 1 (unigram) or 2 (bpe), found %" PRIu64 "%s", w.name, f.at,
                               f.value, f.value == 3 ? " (word)" : f.value == 4 ? " (char)" : "");
            out->type = (cs_spm_type)f.value;
        } else if (f.number == 24 || f.number == 35) {
            CS_TRY(cs_wire_want(&w, &f, 0, err));
            *(f.number == 24 ? &out->whitespace_suffix : &out->byte_fallback) = f.value != 0;
        } else if (f.number >= 40 && f.number <= 43) {
            CS_TRY(cs_wire_want(&w, &f, 0, err));
            ids[f.number - 40] = (special_id){(int32_t)(uint32_t)f.value, f.at}; /* as protobuf reads an int32 */
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
    size_t n = m->charsmap_bytes, at = m->charsmap_offset;
    if (n == 0)
        return CS_OK;
    if (n > CS_LIMIT_CHARSMAP_BYTES)
        return cs_fail(err, CS_E_FORMAT, "%s: offset %zu: expected a normaliser table of at most %d bytes, found %zu", name, at,
                       CS_LIMIT_CHARSMAP_BYTES, n);
    if (n < 4)
        return cs_fail(err, CS_E_FORMAT, "%s: offset %zu: expected the 4 bytes of a trie's size, found %zu", name, at, n);
    size_t trie = (size_t)p[0] | (size_t)p[1] << 8 | (size_t)p[2] << 16 | (size_t)p[3] << 24;
    if (trie == 0 || trie % 4 != 0)
        return cs_fail(err, CS_E_FORMAT, "%s: offset %zu: expected a multiple of 4 bytes as a trie's size, found %zu", name, at, trie);
    if (trie >= n - 4)
        return cs_fail(err, CS_E_FORMAT, "%s: offset %zu: a trie of %zu bytes and its strings, but only %zu bytes follow", name, at, trie, n - 4);
    if (p[n - 1] != '\0')
        return cs_fail(err, CS_E_FORMAT, "%s: offset %zu: expected a NUL behind the last string of the normaliser, found byte 0x%02X", name,
                       at + n - 1, p[n - 1]);
    return CS_OK;
}

/* All byte pieces once, or none. `end` is the offset behind the file. */
static cs_status check_byte_pieces(const cs_spm *m, size_t end, const char *name, cs_error *err)
{
    int64_t seen[256];
    memset(seen, -1, sizeof seen);
    for (size_t i = 0; i < m->n_pieces; i++) {
        const cs_spm_piece *p = &m->pieces[i];
        if (p->type != CS_PIECE_BYTE)
            continue;
        int value = cs_spm_byte_value(p->text.text, p->text.len);
        if (!m->byte_fallback)
            return cs_fail(err, CS_E_FORMAT, "%s: offset %zu: expected no byte pieces without byte_fallback, found piece %zu", name, p->offset, i);
        if (seen[value] >= 0)
            return cs_fail(err, CS_E_FORMAT, "%s: offset %zu: expected every byte once, found 0x%02X as piece %" PRId64 " and piece %zu", name,
                           p->offset, value, seen[value], i);
        seen[value] = (int64_t)i;
    }
    for (int v = 0; m->byte_fallback && v < 256; v++)
        if (seen[v] < 0)
            return cs_fail(err, CS_E_FORMAT, "%s: offset %zu: expected 256 byte pieces with byte_fallback, found none for 0x%02X before the end",
                           name, end, v);
    return CS_OK;
}

static cs_status check_pieces(cs_spm *m, const special_id ids[4], size_t end, const char *name, cs_error *err)
{
    static const char *const id_name[4] = {"unk_id", "bos_id", "eos_id", "pad_id"};
    m->unk_id = -1;
    for (size_t i = 0; i < m->n_pieces; i++) {
        const cs_spm_piece *p = &m->pieces[i];
        if (p->type != CS_PIECE_UNKNOWN)
            continue;
        if (m->unk_id >= 0)
            return cs_fail(err, CS_E_FORMAT, "%s: offset %zu: expected one unknown piece, found piece %d and piece %zu", name, p->offset, m->unk_id,
                           i);
        m->unk_id = (int32_t)i;
    }
    if (m->unk_id < 0)
        return cs_fail(err, CS_E_FORMAT, "%s: offset %zu: expected an unknown piece, found none among %zu pieces", name, end, m->n_pieces);
    for (int k = 0; k < 4; k++)
        if (ids[k].value < -1 || ids[k].value >= (int64_t)m->n_pieces)
            return cs_fail(err, CS_E_FORMAT, "%s: offset %zu: expected -1 or the number of one of %zu pieces as %s, found %d", name, ids[k].at,
                           m->n_pieces, id_name[k], ids[k].value);
    return check_byte_pieces(m, end, name, err);
}

static cs_status parse_model(cs_wire w, cs_spm *out, cs_error *err)
{
    cs_wire_field f;
    bool more;
    size_t n = 0;
    special_id ids[4] = {{-1, 0}, {-1, 0}, {-1, 0}, {-1, 0}};
    for (cs_wire count = w;;) {
        CS_TRY(cs_wire_next(&count, &f, &more, err));
        if (!more)
            break;
        if (f.number == 1)
            CS_TRY(cs_wire_want(&w, &f, 2, err));
        n += f.number == 1;
    }
    if (n == 0 || n > CS_LIMIT_PIECES)
        return cs_fail(err, CS_E_FORMAT, "%s: offset %zu: expected 1 to %d pieces, found %zu; not a SentencePiece model", w.name, w.end,
                       CS_LIMIT_PIECES, n);
    out->pieces = cs_realloc_array(NULL, n, sizeof *out->pieces);
    if (!out->pieces)
        return cs_fail_nomem(err, n * sizeof *out->pieces, "the pieces of a tokenizer");
    for (;;) {
        CS_TRY(cs_wire_next(&w, &f, &more, err));
        if (!more)
            return check_pieces(out, ids, w.end, w.name, err);
        if (f.number == 1) {
            CS_TRY(read_piece(f.sub, out->n_pieces, &out->pieces[out->n_pieces], err));
            out->n_pieces++;
        } else if (f.number == 2) {
            CS_TRY(cs_wire_want(&w, &f, 2, err));
            CS_TRY(read_trainer(f.sub, out, ids, err));
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
