/* Rules of pairs from the scores of a SentencePiece vocabulary. */
#include "text/spm_merges.h"

#include <stdlib.h>

typedef struct rule {
    cs_spm_merge merge;
    uint32_t rank;
} rule;

static bool is_piece(const cs_vocab *v, const char *text, size_t len)
{
    int32_t id = cs_vocab_find(v, text, len);
    return id >= 0 && v->pieces[id].type == CS_PIECE_NORMAL;
}

/* The rules of one piece into out (NULL = only count). */
static size_t rules_of(const cs_vocab *v, int32_t id, rule *out)
{
    const cs_piece *p = &v->pieces[id];
    size_t n = 0;
    for (uint32_t left = p->len; p->type == CS_PIECE_NORMAL && left-- > 1;) {
        if (((unsigned char)p->text[left] & 0xc0) == 0x80 || !is_piece(v, p->text, left) || !is_piece(v, p->text + left, p->len - left))
            continue;
        if (out)
            out[n] = (rule){{id, left}, p->rank};
        n++;
    }
    return n;
}

static int by_rank(const void *a, const void *b)
{
    const rule *x = a, *y = b;
    if (x->rank != y->rank)
        return x->rank < y->rank ? -1 : 1;
    if (x->merge.left != y->merge.left)
        return x->merge.left > y->merge.left ? -1 : 1;
    return (x->merge.id > y->merge.id) - (x->merge.id < y->merge.id);
}

cs_status cs_spm_merges(const cs_vocab *v, cs_spm_merge **out_create, size_t *n, cs_error *err)
{
    size_t at = 0;
    *n = 0;
    for (int32_t id = 0; id < v->n; id++)
        *n += rules_of(v, id, NULL);
    rule *rules = cs_calloc(*n + 1, sizeof *rules);
    *out_create = cs_calloc(*n + 1, sizeof **out_create);
    if (!rules || !*out_create) {
        cs_free(rules);
        cs_free(*out_create);
        *out_create = NULL;
        at = *n;
        *n = 0;
        return cs_fail_nomem(err, at * sizeof *rules, "merge rules");
    }
    for (int32_t id = 0; id < v->n; id++)
        at += rules_of(v, id, rules + at);
    qsort(rules, *n, sizeof *rules, by_rank);
    for (size_t i = 0; i < *n; i++)
        (*out_create)[i] = rules[i].merge;
    cs_free(rules);
    return CS_OK;
}
