/* One split of one or several corpora. A corpus (mapped .idx/.bin files) is shared by the splits that use it; each (corpus, split) has its own
 * index maps, or its own order of records or packed rows. Invariant: what sample `index` holds depends on the data, the split, seq_length, seed and
 * the number of samples asked for only. */
#include "data/dataset.h"

#include "base/log.h"
#include "base/mem.h"
#include "data/blend.h"
#include "data/indexmap.h"
#include "data/order.h"
#include "data/packing.h"
#include "data/split.h"

#include <math.h>
#include <stdio.h>
#include <xxhash.h>

static const char *const split_name[CS_SPLIT_COUNT] = {"train", "valid", "test"};

typedef struct corpus {
    const char *given; /* as the user wrote it; borrowed while data sets are made */
    char *prefix;      /* as the caches are named, owned */
    cs_instruct files; /* of text: ids alone */
    int users;
} corpus;

typedef struct part {
    corpus *from;
    int64_t lo, hi;     /* documents */
    cs_indexmap map;    /* of text */
    cs_order order;     /* of records, or of packed rows */
    cs_packing packing; /* n_rows 0 = none */
} part;

struct cs_dataset {
    part *parts;
    size_t n_parts;
    bool instruct;
    int64_t seq_length, size;
    int64_t limit; /* rows of a record at most */
    bool blended;
    cs_blend blend;
};

/* Everything one cs_datasets_create works with. */
typedef struct builder {
    const cs_data_config *cfg;
    cs_comm *world;
    cs_blend_spec all, own[CS_SPLIT_COUNT]; /* all.n > 0: cut by --split */
    double share[CS_SPLIT_COUNT];
    corpus **corpora; /* every prefix once */
    size_t n_corpora;
} builder;

/* What determines a cached map. */
typedef struct map_key {
    bool records;
    cs_indexmap_key text;
    cs_order_key order;
} map_key;

static void corpus_drop(corpus *c)
{
    if (!c || --c->users > 0)
        return;
    cs_instruct_release(&c->files);
    cs_free(c->prefix);
    cs_free(c);
}

static cs_status own_copy(const char *text, char **out, cs_error *err)
{
    size_t n = strlen(text) + 1;
    *out = cs_malloc(n);
    if (!*out)
        return cs_fail_nomem(err, n, text);
    memcpy(*out, text, n);
    return CS_OK;
}

/* Text where only the three pairs of instruction data are: says which flag was meant. */
static cs_status open_text(corpus *c, const char *prefix, cs_error *err)
{
    cs_error why = {0};
    cs_instruct other;
    cs_status s = cs_idxbin_init(&c->files.ids, prefix, &why);
    if (s == CS_E_IO && cs_instruct_init(&other, c->prefix, NULL) == CS_OK) {
        cs_instruct_release(&other);
        return cs_fail(err, CS_E_USAGE, "%s is instruction data; add --is-instruction-dataset", prefix);
    }
    return s == CS_OK ? s : cs_fail(err, s, "%s", why.msg);
}

static cs_status corpus_open(const char *prefix, bool instruct, corpus **out, cs_error *err)
{
    corpus *c = cs_calloc(1, sizeof *c);
    if (!c)
        return cs_fail_nomem(err, sizeof *c, prefix);
    cs_status s = instruct ? cs_instruct_prefix(prefix, &c->prefix, err) : own_copy(prefix, &c->prefix, err);
    if (s == CS_OK)
        s = instruct ? cs_instruct_init(&c->files, c->prefix, err) : open_text(c, prefix, err);
    if (s != CS_OK) {
        cs_free(c->prefix);
        cs_free(c);
        return s;
    }
    c->given = prefix;
    c->users = 1;
    *out = c;
    return CS_OK;
}

static cs_status load_map(part *p, const map_key *key, const char *name, cs_error *err)
{
    const char *prefix = p->from->prefix;
    return key->records ? cs_order_load(&p->order, &key->order, prefix, name, err) : cs_indexmap_load(&p->map, &key->text, prefix, name, err);
}

static cs_status build_map(part *p, const map_key *key, cs_error *err)
{
    return key->records ? cs_order_build(&p->order, &key->order, err) : cs_indexmap_build(&p->map, &key->text, err);
}

static cs_status save_map(const part *p, const map_key *key, const char *name, cs_error *err)
{
    const char *prefix = p->from->prefix;
    return key->records ? cs_order_save(&p->order, &key->order, prefix, name, err) : cs_indexmap_save(&p->map, &key->text, prefix, name, err);
}

/* Rank 0: the cached maps if they are good, else new ones, written for the others. */
static cs_status first_rank_map(part *p, const map_key *key, const char *name, cs_error *err)
{
    cs_error why = {0};
    cs_status s = load_map(p, key, name, &why);
    if (s == CS_OK || s == CS_E_NOMEM || s == CS_E_USAGE)
        return s == CS_OK ? s : cs_fail(err, s, "%s", why.msg);
    if (s == CS_E_FORMAT)
        cs_note("%s; the index maps are built again", why.msg);
    CS_TRY(build_map(p, key, err));
    if (save_map(p, key, name, &why) != CS_OK)
        cs_warn("%s; the index maps are kept in memory", why.msg);
    return CS_OK;
}

/* Collective over world. */
static cs_status make_map(const builder *b, part *p, const map_key *key, const char *name, cs_error *err)
{
    cs_status s = CS_OK;
    bool first = cs_comm_rank(b->world) == 0;
    if (first)
        s = first_rank_map(p, key, name, err);
    s = cs_agree(b->world, s, err);
    if (s != CS_OK)
        return s;
    if (!first && load_map(p, key, name, NULL) != CS_OK)
        s = build_map(p, key, err);
    return cs_agree(b->world, s, err);
}

static bool is_first(const builder *b)
{
    return cs_comm_rank(b->world) == 0;
}

/* Are there tokens enough for one sample? Too few are an error of a training set; another one is left out. */
static cs_status check_text(const builder *b, const part *p, cs_split split, const map_key *key, bool *enough, cs_error *err)
{
    cs_indexmap_plan plan;
    cs_error small = {0};
    cs_status s = cs_indexmap_plan_init(&plan, &key->text, &small);
    *enough = s == CS_OK;
    if (s == CS_OK)
        return CS_OK;
    if (s != CS_E_USAGE || split == CS_SPLIT_TRAIN || plan.tokens >= key->text.seq_length + 1)
        return cs_fail(err, s, "%s data: %s", split_name[split], small.msg);
    if (is_first(b))
        cs_warn("no %s data from %s: %lld documents with %lld tokens, one sample needs %lld", split_name[split], p->from->prefix,
                (long long)(p->hi - p->lo), (long long)plan.tokens, (long long)key->text.seq_length + 1);
    return CS_OK;
}

/* The same for records: is any token trained? */
static cs_status check_records(const builder *b, const cs_dataset *d, const part *p, cs_split split, bool *enough, cs_error *err)
{
    cs_error none = {0};
    const cs_idx *idx = &p->from->files.labels.idx;
    if (p->hi > INT32_MAX)
        return cs_fail(err, CS_E_FORMAT, "%s: record %lld; record numbers have 31 bits here", idx->name, (long long)p->hi);
    int64_t rows = 0;
    for (int64_t r = p->lo; r < p->hi && rows == 0; r++)
        CS_TRY(cs_instruct_trained_rows(&p->from->files, r, d->limit, &rows, err));
    *enough = rows > 0;
    if (*enough)
        return CS_OK;
    if (p->lo == p->hi)
        cs_fail(&none, CS_E_USAGE, "%s: no record of its %lld is in this split; use more data, or a larger share in --split", idx->name,
                (long long)idx->n_seq);
    else
        cs_fail(&none, CS_E_FORMAT, "%s: records %lld to %lld: not one trained token in the first %lld (all labels are -100)", idx->name,
                (long long)p->lo, (long long)p->hi - 1, (long long)d->limit + 1);
    if (split == CS_SPLIT_TRAIN)
        return cs_fail(err, none.status, "%s data: %s", split_name[split], none.msg);
    if (is_first(b))
        cs_warn("no %s data: %s", split_name[split], none.msg);
    return CS_OK;
}

/* Packs what of the records is trained. */
static cs_status pack_records(const builder *b, const cs_dataset *d, part *p, cs_error *err)
{
    int64_t n = p->hi - p->lo;
    int32_t *length = cs_calloc((size_t)n, sizeof *length);
    cs_status s = length ? CS_OK : cs_fail_nomem(err, (size_t)n * sizeof *length, "the lengths of records");
    for (int64_t i = 0; i < n && s == CS_OK; i++) {
        int64_t rows = 0;
        s = cs_instruct_trained_rows(&p->from->files, p->lo + i, d->limit, &rows, err);
        length[i] = (int32_t)rows;
    }
    if (s == CS_OK)
        s = cs_packing_init(&p->packing, length, n, d->seq_length, b->cfg->seed, err);
    cs_free(length);
    return s;
}

/* Says what is cut, and packs if that is asked for. */
static cs_status lay_records(const builder *b, const cs_dataset *d, part *p, cs_split split, cs_error *err)
{
    int64_t n = p->hi - p->lo, cut = 0;
    for (int64_t r = p->lo; r < p->hi; r++)
        cut += cs_idx_length(&p->from->files.ids.idx, r) - 1 > d->limit;
    cs_status s = b->cfg->packing ? pack_records(b, d, p, err) : CS_OK;
    if (s != CS_OK || !is_first(b))
        return s;
    if (cut > 0)
        cs_note("%s: %lld of %lld %s records are longer than --seq-length %lld and are cut", p->from->prefix, (long long)cut, (long long)n,
                split_name[split], (long long)d->seq_length);
    if (b->cfg->packing)
        cs_note("%s: %lld %s records packed into %lld rows of %lld, %.1f%% full", p->from->prefix, (long long)p->packing.n_records,
                split_name[split], (long long)p->packing.n_rows, (long long)d->seq_length,
                100 * (double)p->packing.filled / ((double)p->packing.n_rows * (double)d->seq_length));
    return CS_OK;
}

static const cs_blend_spec *spec_of(const builder *b, cs_split split)
{
    return b->all.n > 0 ? &b->all : &b->own[split];
}

/* Documents of entry i that belong to `split`. */
static void documents_of(const builder *b, const cs_blend_spec *spec, size_t i, cs_split split, part *p)
{
    int64_t n = p->from->files.ids.idx.n_seq, border[4];
    p->lo = 0;
    p->hi = n;
    if (spec == &b->all) {
        cs_split_borders(b->share, n, border);
        p->lo = border[split];
        p->hi = border[split + 1];
    } else if (spec->from) {
        p->lo = (int64_t)rint(spec->from[i] * (double)n);
        p->hi = (int64_t)rint(spec->to[i] * (double)n);
    }
}

static corpus *find_corpus(const builder *b, const char *prefix)
{
    for (size_t i = 0; i < b->n_corpora; i++)
        if (strcmp(b->corpora[i]->given, prefix) == 0)
            return b->corpora[i];
    return NULL;
}

/* Adds entry i of the blend to *d when it has documents enough for `split`. */
static cs_status add_part(const builder *b, cs_dataset *d, size_t i, cs_split split, int64_t n, double *weight, cs_error *err)
{
    const cs_blend_spec *spec = spec_of(b, split);
    part *p = &d->parts[d->n_parts];
    bool enough;
    *p = (part){.from = find_corpus(b, spec->prefix[i])};
    documents_of(b, spec, i, split, p);
    map_key key = {.records = d->instruct, .text = {&p->from->files.ids.idx, p->lo, p->hi, n, b->cfg->seq_length, b->cfg->seed}};
    CS_TRY(d->instruct ? check_records(b, d, p, split, &enough, err) : check_text(b, p, split, &key, &enough, err));
    if (!enough)
        return CS_OK;
    p->from->users++;
    weight[d->n_parts++] = spec->weight[i];
    if (d->instruct) {
        CS_TRY(cs_agree(b->world, lay_records(b, d, p, split, err), err));
        key.order = (cs_order_key){b->cfg->packing ? p->packing.n_rows : p->hi - p->lo, n, b->cfg->seed, b->cfg->packing ? d->seq_length : 0};
    }
    return make_map(b, p, &key, split_name[split], err);
}

static int64_t part_size(const cs_dataset *d, const part *p)
{
    return d->instruct ? p->order.n : p->map.plan.n_sample;
}

static cs_status fill_split(const builder *b, cs_dataset *d, cs_split split, int64_t n, double *weight, cs_error *err)
{
    const cs_blend_spec *spec = spec_of(b, split);
    for (size_t i = 0; i < spec->n; i++) {
        int64_t ask = spec->weighted ? cs_blend_ask(n, spec->weight[i]) : n;
        if (ask > 0)
            CS_TRY(add_part(b, d, i, split, ask, weight, err));
    }
    if (d->n_parts == 0)
        return CS_OK;
    d->blended = spec->weighted;
    d->size = d->blended ? n : part_size(d, &d->parts[0]);
    return d->blended ? cs_blend_init(&d->blend, weight, d->n_parts, n, err) : CS_OK;
}

static cs_status create_split(const builder *b, cs_split split, int64_t n, cs_dataset **out, cs_error *err)
{
    size_t n_parts = spec_of(b, split)->n;
    cs_dataset *d = cs_calloc(1, sizeof *d);
    double *weight = cs_calloc(n_parts, sizeof *weight);
    cs_status s = d && weight ? CS_OK : cs_fail_nomem(err, sizeof *d, "a data set");
    if (s == CS_OK) {
        d->seq_length = b->cfg->seq_length;
        d->instruct = b->cfg->instruct;
        d->limit = d->seq_length - b->cfg->keep_last_token;
        d->parts = cs_calloc(n_parts, sizeof *d->parts);
        if (!d->parts)
            s = cs_fail_nomem(err, n_parts * sizeof *d->parts, "a data set");
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

/* Where the documents of every split come from. */
static cs_status read_sources(builder *b, cs_error *err)
{
    const cs_data_config *cfg = b->cfg;
    cs_error found = {0};
    cs_data_check(cfg, &found);
    if (found.status != CS_OK) {
        *err = found;
        return found.status;
    }
    if (cfg->seq_length < 1)
        return cs_fail(err, CS_E_USAGE, "--seq-length %lld: expected 1..2147483646", (long long)cfg->seq_length);
    if (cfg->data_path.n > 0) {
        CS_TRY(cs_split_parse(cfg->split, b->share, err));
        return cs_blend_spec_init(&b->all, &cfg->data_path, "--data-path", err);
    }
    for (int k = 0; k < CS_SPLIT_COUNT; k++)
        CS_TRY(cs_data_source(cfg, (cs_split)k, &b->own[k], err));
    return CS_OK;
}

static cs_status open_corpora(builder *b, cs_error *err)
{
    CS_TRY(read_sources(b, err));
    size_t most = b->all.n + b->own[CS_SPLIT_TRAIN].n + b->own[CS_SPLIT_VALID].n + b->own[CS_SPLIT_TEST].n;
    b->corpora = cs_calloc(most, sizeof *b->corpora);
    if (!b->corpora)
        return cs_fail_nomem(err, most * sizeof *b->corpora, "--data-path");
    for (int k = 0; k < CS_SPLIT_COUNT; k++) {
        const cs_blend_spec *spec = spec_of(b, (cs_split)k);
        for (size_t i = 0; i < spec->n; i++) {
            if (find_corpus(b, spec->prefix[i]))
                continue;
            CS_TRY(corpus_open(spec->prefix[i], b->cfg->instruct, &b->corpora[b->n_corpora], err));
            b->n_corpora++;
        }
    }
    return CS_OK;
}

static void builder_release(builder *b)
{
    for (size_t i = 0; i < b->n_corpora; i++)
        corpus_drop(b->corpora[i]);
    cs_free(b->corpora);
    cs_blend_spec_release(&b->all);
    for (int k = 0; k < CS_SPLIT_COUNT; k++)
        cs_blend_spec_release(&b->own[k]);
}

cs_status cs_datasets_create(const cs_data_config *cfg, const int64_t n_samples[CS_SPLIT_COUNT], cs_comm *world, cs_dataset *out[CS_SPLIT_COUNT],
                             cs_error *err)
{
    builder b = {.cfg = cfg, .world = world};
    cs_status s = cs_agree(world, open_corpora(&b, err), err);
    for (int k = 0; k < CS_SPLIT_COUNT; k++)
        out[k] = NULL;
    for (int k = 0; k < CS_SPLIT_COUNT && s == CS_OK; k++) {
        bool any = b.all.n > 0 ? b.share[k] > 0 || k == CS_SPLIT_TRAIN : b.own[k].n > 0;
        if (n_samples[k] > 0 && any)
            s = create_split(&b, (cs_split)k, n_samples[k], &out[k], err);
    }
    if (s != CS_OK)
        for (int k = 0; k < CS_SPLIT_COUNT; k++) {
            cs_dataset_destroy(out[k]);
            out[k] = NULL;
        }
    builder_release(&b);
    return s;
}

void cs_dataset_destroy(cs_dataset *d)
{
    if (!d)
        return;
    for (size_t i = 0; i < d->n_parts; i++) {
        cs_indexmap_release(&d->parts[i].map);
        cs_order_release(&d->parts[i].order);
        cs_packing_release(&d->parts[i].packing);
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
                           c->files.ids.bin_path, (long long)(from + i), (long long)doc, ids[i], (long long)vocab - 1);
    return CS_OK;
}

/* Where sample `index` is: sample or unit *k of the part that comes back. */
static const part *find_sample(const cs_dataset *d, int64_t index, int64_t *k)
{
    size_t which = 0;
    CS_ASSERT(index >= 0 && index < d->size);
    *k = index;
    if (d->blended)
        cs_blend_at(&d->blend, index, &which, k);
    const part *p = &d->parts[which];
    *k %= part_size(d, p);
    *k = d->instruct ? p->order.at[*k] : cs_indexmap_shuffled(&p->map, *k);
    return p;
}

cs_status cs_dataset_sample(const cs_dataset *d, int64_t index, int64_t vocab, int32_t *tokens, cs_error *err)
{
    int64_t k, position, from, left = d->seq_length + 1;
    CS_ASSERT(!d->instruct);
    const part *p = find_sample(d, index, &k);
    const cs_idxbin *files = &p->from->files.ids;
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

cs_status cs_dataset_append(const cs_dataset *d, int64_t index, int64_t vocab, int32_t *work, cs_batch_rows *to, cs_error *err)
{
    int64_t k;
    CS_ASSERT(d->instruct);
    const part *p = find_sample(d, index, &k);
    if (p->packing.n_rows == 0)
        return cs_instruct_append(&p->from->files, p->lo + k, d->limit, vocab, work, to, err);
    for (int64_t i = p->packing.start[k]; i < p->packing.start[k + 1]; i++)
        CS_TRY(cs_instruct_append(&p->from->files, p->lo + p->packing.record[i], d->limit, vocab, work, to, err));
    return CS_OK;
}

uint64_t cs_dataset_hash(const cs_dataset *d)
{
    uint64_t h = 0;
    for (size_t i = 0; i < d->n_parts; i++) {
        const part *p = &d->parts[i];
        h = XXH3_64bits_withSeed(p->from->files.ids.idx_map.data, p->from->files.ids.idx_map.size, h + (uint64_t)p->packing.n_rows);
    }
    return h;
}
