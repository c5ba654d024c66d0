/* tokenizer.model from any bytes: an error, or a tokenizer that works; and a model that was parsed, written by the small writer below and parsed
 * again, is the same model. */
// seeds: tests/data/*.model $CS_SHARED_DATA/tokenizers/small_spm/*.model
#include "fuzz/fuzz_tokens.h"

#include "base/mem.h"
#include "fmt/spm.h"

static void put_varint(cs_str *out, uint64_t v)
{
    for (; v >= 0x80; v >>= 7)
        cs_str_putc(out, (char)((v & 0x7f) | 0x80));
    cs_str_putc(out, (char)v);
}

static void put_number(cs_str *out, uint32_t field, uint64_t v)
{
    put_varint(out, (uint64_t)field << 3);
    put_varint(out, v);
}

static void put_bytes(cs_str *out, uint32_t field, const void *bytes, size_t n)
{
    put_varint(out, (uint64_t)field << 3 | 2);
    put_varint(out, n);
    cs_str_append(out, bytes, n);
}

static void put_text(cs_str *out, uint32_t field, cs_spm_str text)
{
    if (text.text)
        put_bytes(out, field, text.text, text.len);
}

/* The fields of ModelProto that the reader knows, in the order of their numbers. */
static void write_model(const cs_spm *m, cs_str *out)
{
    cs_str part = {0};
    for (size_t i = 0; i < m->n_pieces; i++) {
        cs_str_clear(&part);
        put_text(&part, 1, m->pieces[i].text);
        put_varint(&part, 2 << 3 | 5);
        cs_str_append(&part, &m->pieces[i].score, 4);
        put_number(&part, 3, m->pieces[i].type);
        put_bytes(out, 1, cs_str_cstr(&part), part.len);
    }
    cs_str_clear(&part);
    put_number(&part, 3, m->type);
    put_number(&part, 24, m->whitespace_suffix);
    put_number(&part, 35, m->byte_fallback);
    put_number(&part, 40, (uint64_t)m->unk_id);
    put_text(&part, 44, m->unk_surface);
    put_text(&part, 46, m->bos_piece);
    put_text(&part, 47, m->eos_piece);
    put_text(&part, 48, m->pad_piece);
    put_bytes(out, 2, cs_str_cstr(&part), part.len);
    cs_str_clear(&part);
    put_bytes(&part, 2, m->charsmap, m->charsmap_bytes);
    put_number(&part, 3, m->add_dummy_prefix);
    put_number(&part, 4, m->remove_extra_whitespaces);
    put_number(&part, 5, m->escape_whitespaces);
    put_bytes(out, 3, cs_str_cstr(&part), part.len);
    cs_str_release(&part);
}

static bool same_text(cs_spm_str a, cs_spm_str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.text, b.text, a.len) == 0);
}

static void check_same(const cs_spm *a, const cs_spm *b)
{
    FUZZ_CHECK(a->n_pieces == b->n_pieces && a->type == b->type && a->unk_id == b->unk_id);
    for (size_t i = 0; i < a->n_pieces; i++)
        FUZZ_CHECK(same_text(a->pieces[i].text, b->pieces[i].text) && a->pieces[i].type == b->pieces[i].type &&
                   memcmp(&a->pieces[i].score, &b->pieces[i].score, 4) == 0);
    FUZZ_CHECK(a->byte_fallback == b->byte_fallback && a->whitespace_suffix == b->whitespace_suffix);
    FUZZ_CHECK(a->add_dummy_prefix == b->add_dummy_prefix && a->remove_extra_whitespaces == b->remove_extra_whitespaces &&
               a->escape_whitespaces == b->escape_whitespaces);
    FUZZ_CHECK(same_text(a->bos_piece, b->bos_piece) && same_text(a->eos_piece, b->eos_piece) && same_text(a->pad_piece, b->pad_piece) &&
               same_text(a->unk_surface, b->unk_surface));
    FUZZ_CHECK(a->charsmap_bytes == b->charsmap_bytes && (a->charsmap_bytes == 0 || memcmp(a->charsmap, b->charsmap, a->charsmap_bytes) == 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cs_spm a, b;
    cs_str out = {0};
    cs_error err = {0};
    cs_status s = cs_spm_parse(data, size, "f", &a, &err);
    if (s == CS_OK) {
        write_model(&a, &out);
        FUZZ_CHECK(cs_spm_parse((const uint8_t *)cs_str_cstr(&out), out.len, "again", &b, &err) == CS_OK);
        check_same(&a, &b);
        cs_spm_release(&a);
        cs_spm_release(&b);
        cs_str_release(&out);
    } else {
        FUZZ_CHECK(fuzz_refused(s, CS_E_FORMAT, &err));
    }
    fuzz_tokenizer("spm", data, size);
    return 0;
}
