/* One split of one or several corpora. A corpus (a mapped .idx/.bin pair) is shared by the splits that use it; each (corpus, split) has its own
 * index maps. Invariant: what sample `index` holds depends on the data, --split, seq_length, seed and the number of samples asked for only. */
#include "data/dataset.h"

#include "base/log.h"
#include "base/mem.h"
#include "data/blend.h"
#include "data/indexmap.h"
#include "data/split.h"

#include <stdio.h>
#include <xxhash.h>

#define FIELD(f) offsetof(cs_data_config, f)

const cs_option cs_data_options[] = {
    {"data-path", CS_OPT_LIST, FIELD(data_path), NULL, NULL, "prefix of a .bin/.idx pair, or weights and prefixes in turn: W1 P1 W2 P2 ..", NULL},
    {"split", CS_OPT_STR, FIELD(split), "969,30,1", NULL, "shares of the documents for train, valid and test", NULL},
    {"data-impl", CS_OPT_ENUM, FIELD(data_impl), "infer", "mmap|infer|lazy|cached",
     "kind of data files; only mmap files exist here, lazy and cached are refused", NULL},
    {"eod-mask-loss", CS_OPT_FLAG, FIELD(eod_mask_loss), NULL, NULL, "no loss where the input is the end-of-document token", NULL},
    {"reset-position-ids", CS_OPT_FLAG, FIELD(reset_position_ids), NULL, NULL, "positions start again after the end-of-document token", NULL},
    {"reset-attention-mask", CS_OPT_FLAG, FIELD(reset_attention_mask), NULL, NULL, "no attention across the end-of-document token", NULL},
    {"dataloader-type", CS_OPT_ENUM, FIELD(dataloader_type), "single", "single|cyclic",
     "samples in the order of the index maps, or permuted anew in every pass", NULL},
};
const size_t cs_data_n_options = sizeof cs_data_options / sizeof cs_data_options[0];

static const char *const split_name[CS_SPLIT_COUNT] = {"train", "valid", "test"};

typedef struct corpus {
    cs_idxbin files;
    int users;
} corpus;

typedef struct part {
    corpus *from;
    cs_indexmap map;
} part;

struct cs_dataset {
    part *parts;
    size_t n_parts;
    int64_t seq_length, size;
    bool blended;
    cs_blend blend;
};

/* Everything one cs_datasets_create works with. */
typedef struct builder {
    const cs_data_config *cfg;
    cs_comm *world;
    cs_blend_spec spec;
    double share[CS_SPLIT_COUNT];
    corpus **corpora; /* [spec.n] */
} builder;

static void corpus_drop(corpus *c)
{
    if (!c || --c->users > 0)
        return;
    cs_idxbin_release(&c->files);
    cs_free(c);
}

static cs_status corpus_open(const char *prefix, corpus **out, cs_error *err)
{
    corpus *c = cs_calloc(1, sizeof *c);
    if (!c)
        return cs_fail_nomem(err, sizeof *c, prefix);
    cs_status s = cs_idxbin_init(&c->files, prefix, err);
    if (s != CS_OK) {
        cs_free(c);
        return s;
    }
    c->users = 1;
    *out = c;
    return CS_OK;
}

/* Rank 0: the cached maps if they are good, else new ones, written for the others. */
static cs_status first_rank_map(cs_indexmap *m, const cs_indexmap_key *key, const char *prefix, const char *name, cs_error *err)
{
    cs_error why = {0};
    cs_status s = cs_indexmap_load(m, key, prefix, name, &why);
    if (s == CS_OK || s == CS_E_NOMEM || s == CS_E_USAGE)
        return s == CS_OK ? s : cs_fail(err, s, "%s", why.msg);
    if (s == CS_E_FORMAT)
        cs_note("%s; the index maps are built again", why.msg);
    CS_TRY(cs_indexmap_build(m, key, err));
    if (cs_indexmap_save(m, key, prefix, name, &why) != CS_OK)
        cs_warn("%s; the index maps are kept in memory", why.msg);
    return CS_OK;
}

/* Collective over world. */
static cs_status make_map(const builder *b, cs_indexmap *m, const cs_indexmap_key *key, const char *prefix, const char *name, cs_error *err)
{
    cs_status s = CS_OK;
    bool first = cs_comm_rank(b->world) == 0;
    if (first)
        s = first_rank_map(m, key, prefix, name, err);
    s = cs_agree(b->world, s, err);
    if (s != CS_OK)
        return s;
    if (!first && cs_indexmap_load(m, key, prefix, name, NULL) != CS_OK)
        s = cs_indexmap_build(m, key, err);
    return cs_agree(b->world, s, err);
}

/* Adds corpus i to *d when it has documents enough for `split`. */
static cs_status add_part(const builder *b, cs_dataset *d, size_t i, cs_split split, int64_t n, double *weight, cs_error *err)
{
    corpus *c = b->corpora[i];
    const char *prefix = b->spec.prefix[i];
    int64_t border[4];
    cs_split_borders(b->share, c->files.idx.n_seq, border);
    cs_indexmap_key key = {&c->files.idx, border[split], border[split + 1], n, b->cfg->seq_length, b->cfg->seed};
    cs_indexmap_plan plan;
    cs_error small = {0};
    cs_status s = cs_indexmap_plan_init(&plan, &key, &small);
    if (s == CS_E_USAGE && split != CS_SPLIT_TRAIN && plan.tokens < key.seq_length + 1) {
        if (cs_comm_rank(b->world) == 0)
            cs_warn("no %s data from %s: %lld documents with %lld tokens, one sample needs %lld", split_name[split], prefix,
                    (long long)(key.hi - key.lo), (long long)plan.tokens, (long long)key.seq_length + 1);
        return CS_OK;
    }
    if (s != CS_OK)
        return cs_fail(err, s, "%s data: %s", split_name[split], small.msg);
    part *p = &d->parts[d->n_parts];
    CS_TRY(make_map(b, &p->map, &key, prefix, split_name[split], err));
    p->from = c;
    c->users++;
    weight[d->n_parts++] = b->spec.weight[i];
    return CS_OK;
}

static cs_status fill_split(const builder *b, cs_dataset *d, cs_split split, int64_t n, double *weight, cs_error *err)
{
    for (size_t i = 0; i < b->spec.n; i++) {
        int64_t ask = b->spec.weighted ? cs_blend_ask(n, b->spec.weight[i]) : n;
        if (ask > 0)
            CS_TRY(add_part(b, d, i, split, ask, weight, err));
    }
    if (d->n_parts == 0)
        return CS_OK;
    d->blended = b->spec.weighted;
    d->size = d->blended ? n : d->parts[0].map.plan.n_sample;
    return d->blended ? cs_blend_init(&d->blend, weight, d->n_parts, n, err) : CS_OK;
}

static cs_status create_split(const builder *b, cs_split split, int64_t n, cs_dataset **out, cs_error *err)
{
    cs_dataset *d = cs_calloc(1, sizeof *d);
    double *weight = cs_calloc(b->spec.n, sizeof *weight);
    cs_status s = d && weight ? CS_OK : cs_fail_nomem(err, sizeof *d, "a data set");
    if (s == CS_OK) {
        d->seq_length = b->cfg->seq_length;
        d->parts = cs_calloc(b->spec.n, sizeof *d->parts);
        if (!d->parts)
            s = cs_fail_nomem(err, b->spec.n * sizeof *d->parts, "a data set");
    }
    s = cs_agree(b->world, s, err);
    if (s == CS_OK)
        s = cs_agree(b->world, fill_split(b, d, split, n, weight, err), err);
    cs_free(weight);
    if (s == CS_OK && d->n_parts > 0) {
        *out = d;
        return CS_OK;
    }
    cs_dataset_destroy(d);
    return s;
}

static cs_status check_config(builder *b, cs_error *err)
{
    const cs_data_config *cfg = b->cfg;
    CS_TRY(cs_blend_spec_init(&b->spec, &cfg->data_path, err));
    CS_TRY(cs_split_parse(cfg->split, b->share, err));
    if (cfg->data_impl > 1)
        return cs_fail(err, CS_E_USAGE, "--data-impl: lazy and cached files cannot be read; make the data with --dataset-impl mmap");
    if (cfg->seq_length < 1 || cfg->seq_length > INT32_MAX - 1)
        return cs_fail(err, CS_E_USAGE, "--seq-length %lld: expected 1..2147483646", (long long)cfg->seq_length);
    if (cfg->seed < 0 || cfg->seed > UINT32_MAX)
        return cs_fail(err, CS_E_USAGE, "--seed %lld: the sample order takes 0..4294967295", (long long)cfg->seed);
    return CS_OK;
}

static cs_status open_corpora(builder *b, cs_error *err)
{
    CS_TRY(check_config(b, err));
    b->corpora = cs_calloc(b->spec.n, sizeof *b->corpora);
    if (!b->corpora)
        return cs_fail_nomem(err, b->spec.n * sizeof *b->corpora, "--data-path");
    for (size_t i = 0; i < b->spec.n; i++)
        CS_TRY(corpus_open(b->spec.prefix[i], &b->corpora[i], err));
    return CS_OK;
}

cs_status cs_datasets_create(const cs_data_config *cfg, const int64_t n_samples[CS_SPLIT_COUNT], cs_comm *world, cs_dataset *out[CS_SPLIT_COUNT],
                             cs_error *err)
{
    builder b = {.cfg = cfg, .world = world};
    cs_status s = cs_agree(world, open_corpora(&b, err), err);
    for (int k = 0; k < CS_SPLIT_COUNT; k++)
        out[k] = NULL;
    for (int k = 0; k < CS_SPLIT_COUNT && s == CS_OK; k++)
        if (n_samples[k] > 0 && (b.share[k] > 0 || k == CS_SPLIT_TRAIN))
            s = create_split(&b, (cs_split)k, n_samples[k], &out[k], err);
    if (s != CS_OK)
        for (int k = 0; k < CS_SPLIT_COUNT; k++) {
            cs_dataset_destroy(out[k]);
            out[k] = NULL;
        }
    for (size_t i = 0; b.corpora && i < b.spec.n; i++)
        corpus_drop(b.corpora[i]);
    cs_free(b.corpora);
    cs_blend_spec_release(&b.spec);
    return s;
}

void cs_dataset_destroy(cs_dataset *d)
{
    if (!d)
        return;
    for (size_t i = 0; i < d->n_parts; i++) {
        cs_indexmap_release(&d->parts[i].map);
        corpus_drop(d->parts[i].from);
    }
    cs_blend_release(&d->blend);
    cs_free(d->parts);
    cs_free(d);
}

int64_t cs_dataset_size(const cs_dataset *d)
{
    return d->size;
}

static cs_status check_ids(const corpus *c, int64_t doc, int64_t from, int64_t n, const int32_t *ids, int64_t vocab, cs_error *err)
{
    for (int64_t i = 0; i < n; i++)
        if (ids[i] < 0 || ids[i] >= vocab)
            return cs_fail(err, CS_E_FORMAT, "%s: token %lld of sequence %lld is %d, the vocabulary ends at %lld; was it made with "
                           "another tokenizer?",
                           c->files.bin_path, (long long)(from + i), (long long)doc, ids[i], (long long)vocab - 1);
    return CS_OK;
}

cs_status cs_dataset_sample(const cs_dataset *d, int64_t index, int64_t vocab, int32_t *tokens, cs_error *err)
{
    size_t which = 0;
    int64_t k = index, position, from, left = d->seq_length + 1;
    CS_ASSERT(index >= 0 && index < d->size);
    if (d->blended)
        cs_blend_at(&d->blend, index, &which, &k);
    const part *p = &d->parts[which];
    const cs_idxbin *files = &p->from->files;
    k = cs_indexmap_shuffled(&p->map, k % p->map.plan.n_sample);
    cs_indexmap_start(&p->map, k, &position, &from);
    while (left > 0) {
        int64_t doc = p->map.doc[position], n = cs_idx_length(&files->idx, doc) - from;
        n = n < left ? n : left;
        CS_TRY(cs_idx_read(&files->idx, files->bin_map.data, doc, from, n, tokens, err));
        CS_TRY(check_ids(p->from, doc, from, n, tokens, vocab, err));
        tokens += n;
        left -= n;
        from = 0;
        position++;
    }
    return CS_OK;
}

uint64_t cs_dataset_hash(const cs_dataset *d)
{
    uint64_t h = 0;
    for (size_t i = 0; i < d->n_parts; i++)
        h = XXH3_64bits_withSeed(d->parts[i].from->files.idx_map.data, d->parts[i].from->files.idx_map.size, h);
    return h;
}
