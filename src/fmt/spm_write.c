/* SentencePiece ModelProto: the fields that readers of the format look at, in the order of their numbers. */
#include "fmt/spm_write.h"

#include "fmt/wire.h"

#include <string.h>

enum { PIECES = 1, TRAINER = 2, NORMALIZER = 3 };

static void put_pieces(const cs_spm *m, cs_str *out)
{
    cs_str piece = {0};
    for (size_t i = 0; i < m->n_pieces; i++) {
        const cs_spm_piece *p = &m->pieces[i];
        cs_str_clear(&piece);
        cs_wire_put_bytes(&piece, 1, p->text.text, p->text.len);
        cs_wire_put_float(&piece, 2, p->score);
        if (p->type != CS_PIECE_NORMAL)
            cs_wire_put_varint(&piece, 3, p->type);
        cs_wire_put_bytes(out, PIECES, cs_str_cstr(&piece), piece.len);
    }
    out->failed = out->failed || piece.failed;
    cs_str_release(&piece);
}

static void put_trainer(const cs_spm *m, int32_t bos, int32_t eos, int32_t pad, cs_str *out)
{
    const int32_t id[] = {m->unk_id, bos, eos, pad};
    cs_str t = {0};
    cs_wire_put_varint(&t, 3, m->type);
    cs_wire_put_varint(&t, 4, m->n_pieces);
    if (m->whitespace_suffix)
        cs_wire_put_varint(&t, 24, 1);
    cs_wire_put_varint(&t, 35, m->byte_fallback);
    for (uint32_t i = 0; i < 4; i++)
        cs_wire_put_varint(&t, 40 + i, (uint64_t)(int64_t)id[i]);
    cs_wire_put_bytes(&t, 44, m->unk_surface.text, m->unk_surface.len);
    for (uint32_t i = 0; i < 4; i++)
        if (id[i] >= 0)
            cs_wire_put_bytes(&t, 45 + i, m->pieces[id[i]].text.text, m->pieces[id[i]].text.len);
    cs_wire_put_bytes(out, TRAINER, cs_str_cstr(&t), t.len);
    out->failed = out->failed || t.failed;
    cs_str_release(&t);
}

static void put_normalizer(const cs_spm *m, cs_str *out)
{
    cs_str n = {0};
    const char *name = m->charsmap_bytes > 0 ? "user_defined" : "identity";
    cs_wire_put_bytes(&n, 1, name, strlen(name));
    cs_wire_put_bytes(&n, 2, m->charsmap, m->charsmap_bytes);
    cs_wire_put_varint(&n, 3, m->add_dummy_prefix);
    cs_wire_put_varint(&n, 4, m->remove_extra_whitespaces);
    cs_wire_put_varint(&n, 5, m->escape_whitespaces);
    cs_wire_put_bytes(out, NORMALIZER, cs_str_cstr(&n), n.len);
    out->failed = out->failed || n.failed;
    cs_str_release(&n);
}

void cs_spm_write(const cs_spm *m, int32_t bos, int32_t eos, int32_t pad, cs_str *out)
{
    put_pieces(m, out);
    put_trainer(m, bos, eos, pad, out);
    put_normalizer(m, out);
}
