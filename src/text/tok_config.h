/* What lies beside a tokenizer's own file in a Hugging Face folder: tokenizer_config.json, special_tokens_map.json, added_tokens.json. */
#ifndef CS_TEXT_TOK_CONFIG_H
#define CS_TEXT_TOK_CONFIG_H

#include "text/tok.h"

/* One token that the configuration names. Strings are borrowed from the JSON trees. */
typedef struct cs_config_token {
    const char *content;
    int64_t id;       /* -1 = the id it has in the vocabulary, else the next free one */
    bool special, lstrip, rstrip, normalized;
    bool only_id;     /* from added_tokens.json: a name for it elsewhere says the rest */
    const char *file, *key; /* for messages */
} cs_config_token;

struct cs_tok_config {
    json_t *config, *map, *added;            /* the three files, owned, NULL = not there */
    const char *config_name, *map_name, *added_name; /* their paths, borrowed */
    const char *bos, *eos, *unk, *pad;       /* NULL = not given (the empty text of old LLaMA folders counts as not given) */
    const char *class_name;                  /* "tokenizer_class" or NULL */
    int add_bos, add_eos, legacy, add_prefix_space; /* -1 = not given */
    bool aquila;                             /* config.json says so */
    cs_config_token *token;                  /* in the order in which transformers adds them; owned */
    size_t n_tokens;
};

/* Checks the trees and fills the rest. Of a token that both files name, special_tokens_map.json counts, but not when tokenizer_config.json has
 * added_tokens_decoder (then the map and added_tokens.json only fill gaps). CS_E_FORMAT "file: key: expected ..., found ...", CS_E_NOMEM. */
cs_status cs_tok_config_read(cs_tok_config *c, cs_error *err);
void cs_tok_config_release(cs_tok_config *c);
/* Brings a loaded tokenizer in line with the configuration: added tokens, the ids of BOS, EOS, UNK and PAD, what encoding adds in front and
 * behind. `own_template`: the file has a post-processor (tokenizer.json), which counts unless tokenizer_class is a LLaMA one. */
cs_status cs_tok_config_apply(cs_tokenizer *t, const cs_tok_config *c, bool own_template, cs_error *err);

#endif
