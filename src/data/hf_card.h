/* The part of a data set's README.md that says which files there are: the `configs:` of the YAML between its first two lines of "---". */
#ifndef CS_DATA_HF_CARD_H
#define CS_DATA_HF_CARD_H

#include "data/inputs.h"

enum { CS_HF_CARD_ROWS = 1024 };

typedef struct cs_hf_card_row {
    const char *config, *split, *pattern; /* split: "train" where nothing is said */
} cs_hf_card_row;

typedef struct cs_hf_card {
    cs_hf_card_row *rows; /* in an arena */
    size_t n;
    const char *chosen; /* the configuration marked as default, or NULL */
} cs_hf_card;

/* No README.md, none of this in it, or a README.md of more than 4 MiB: n = 0. CS_E_FORMAT (more than CS_HF_CARD_ROWS patterns), CS_E_IO, CS_E_NOMEM.
 * */
cs_status cs_hf_card_read(const char *dir, cs_arena *perm, cs_hf_card *out, cs_error *err);
/* *config = NULL: the one marked, named "default" or alone. CS_E_FORMAT with the names there are. */
cs_status cs_hf_card_config(const cs_hf_card *card, const char *dir, const char **config, cs_error *err);

#endif
