/* SentencePiece's BPE has scores of pieces; other programs want rules of pairs. */
#ifndef CS_TEXT_SPM_MERGES_H
#define CS_TEXT_SPM_MERGES_H

#include "text/vocab.h"

typedef struct cs_spm_merge {
    int32_t id;    /* the piece that is made */
    uint32_t left; /* bytes of its left part */
} cs_spm_merge;

/* Every way of making a normal piece from two, best score first, of equal scores the longer left part first, which is the one further left where two
 * overlap. *out_create is cs_malloc'ed, *n long. CS_E_NOMEM: NULL and 0. */
cs_status cs_spm_merges(const cs_vocab *v, cs_spm_merge **out_create, size_t *n, cs_error *err);

#endif
