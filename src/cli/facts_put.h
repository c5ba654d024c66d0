/* Shared by the files that gather facts: an object being filled, and one filler per kind of file. A filler maps its file, reads headers and closes
 * it; CS_E_FORMAT, CS_E_IO, CS_E_NOMEM. Out of memory while adding a fact sets `failed`, which the caller of the filler checks. */
#ifndef CS_CLI_FACTS_PUT_H
#define CS_CLI_FACTS_PUT_H

#include "base/error.h"
#include "model/spec.h"
#include "text/tokenizer.h"

#include <jansson.h>
#include <string.h>

typedef struct cs_facts {
    json_t *o;
    bool failed;
} cs_facts;

static inline void put(cs_facts *f, const char *key, json_t *value)
{
    f->failed |= json_object_set_new(f->o, key, value) != 0;
}

static inline void add(cs_facts *f, json_t *list, json_t *value)
{
    f->failed |= json_array_append_new(list, value) != 0;
}

static inline void put_int(cs_facts *f, const char *key, int64_t v)
{
    put(f, key, json_integer(v));
}

/* Bytes as a JSON text of at most `most` bytes: cut with "...", what is no UTF-8 becomes U+FFFD. NULL = out of memory. */
json_t *cs_facts_text(const char *text, size_t len, size_t most);
static inline void put_str(cs_facts *f, const char *key, const char *v)
{
    put(f, key, v ? cs_facts_text(v, strlen(v), 1 << 14) : json_null()); /* paths may hold any bytes */
}

/* The scalar members of an object, of the others their number of items. */
json_t *cs_facts_members(cs_facts *f, const json_t *object);

typedef cs_status cs_facts_fn(cs_facts *f, const char *path, cs_error *err);
/* facts_text.c */
void cs_facts_put_tokenizer(cs_facts *f, const cs_tokenizer *t);
cs_facts_fn cs_facts_tokenizer, cs_facts_tok_config, cs_facts_vocab, cs_facts_merges, cs_facts_gguf;
/* facts.c */
void cs_facts_put_spec(cs_facts *f, const cs_spec *s);
/* facts_torch.c */
cs_facts_fn cs_facts_torch, cs_facts_megatron;
/* facts_data.c */
cs_facts_fn cs_facts_idxbin, cs_facts_npy, cs_facts_json, cs_facts_jsonl, cs_facts_text_file, cs_facts_metrics, cs_facts_tfevents, cs_facts_unread;
/* facts_parquet.c */
cs_facts_fn cs_facts_parquet;

#endif
