/* See merge.h. */
#include "data/merge.h"

#include "base/log.h"
#include "base/str.h"
#include "data/emit.h"
#include "fmt/idxbin.h"

static const char *const sample_parts[CS_SAMPLE_OUTPUTS] = {"_packed_input_ids_document", "_packed_attention_mask_document",
                                                          "_packed_labels_document"};
static const char *const only_part[1] = {""};

/* The pairs of one data set or of the output; n of them are open. */
typedef struct parts {
    size_t n;
    const char *const *suffix;
    cs_str names[CS_SAMPLE_OUTPUTS];
    cs_idxbin open[CS_SAMPLE_OUTPUTS];
    size_t n_open;
} parts;

static void parts_release(parts *p)
{
    for (size_t k = 0; k < CS_SAMPLE_OUTPUTS; k++)
        cs_str_release(&p->names[k]);
    for (size_t k = 0; k < p->n_open; k++)
        cs_idxbin_release(&p->open[k]);
    p->n_open = 0;
}

static cs_status name_parts(parts *p, const char *prefix, bool samples, cs_error *err)
{
    *p = (parts){.n = samples ? CS_SAMPLE_OUTPUTS : 1, .suffix = samples ? sample_parts : only_part};
    for (size_t k = 0; k < p->n; k++) {
        cs_str_printf(&p->names[k], "%s%s", prefix, p->suffix[k]);
        CS_TRY(cs_str_check(&p->names[k], err));
    }
    return CS_OK;
}

/* Which kind of data set `prefix` names. */
static cs_status kind_of(const char *prefix, bool *samples, cs_error *err)
{
    cs_str pair = {0}, sample = {0};
    cs_str_printf(&pair, "%s.idx", prefix);
    cs_str_printf(&sample, "%s%s.idx", prefix, sample_parts[0]);
    cs_status s = cs_str_check(&pair, err);
    if (s == CS_OK)
        s = cs_str_check(&sample, err);
    if (s == CS_OK) {
        bool is_pair = cs_io_kind(cs_str_cstr(&pair), NULL) != CS_FILE_NONE;
        *samples = !is_pair && cs_io_kind(cs_str_cstr(&sample), NULL) != CS_FILE_NONE;
        if (!is_pair && !*samples)
            s = cs_fail(err, CS_E_IO, "%s: neither %s nor %s is there; give the name without .idx", prefix, cs_str_cstr(&pair), cs_str_cstr(&sample));
    }
    cs_str_release(&pair);
    cs_str_release(&sample);
    return s;
}

/* The parts of a sample set have the same sequences. */
static cs_status check_parts(const parts *p, cs_error *err)
{
    for (size_t k = 1; k < p->n; k++) {
        const cs_idx *a = &p->open[0].idx, *b = &p->open[k].idx;
        if (a->n_seq != b->n_seq)
            return cs_fail(err, CS_E_FORMAT, "%s: %lld samples, and %s has %lld", b->name, (long long)b->n_seq, a->name, (long long)a->n_seq);
        for (int64_t i = 0; i < a->n_seq; i++)
            if (cs_idx_length(a, i) != cs_idx_length(b, i))
                return cs_fail(err, CS_E_FORMAT, "%s: sample %lld has %d tokens, and in %s %d", b->name, (long long)i, cs_idx_length(b, i), a->name,
                               cs_idx_length(a, i));
    }
    return CS_OK;
}

static cs_status open_parts(parts *p, cs_error *err)
{
    for (; p->n_open < p->n; p->n_open++)
        CS_TRY(cs_idxbin_init(&p->open[p->n_open], cs_str_cstr(&p->names[p->n_open]), err));
    return check_parts(p, err);
}

/* One data set behind what the writers have; they are opened with the first. */
static cs_status add_input(const char *prefix, bool samples, const parts *out, cs_idxbin_writer *w, bool *writing, cs_merge_counts *counts,
                           cs_error *err)
{
    parts in;
    cs_status s = name_parts(&in, prefix, samples, err);
    if (s == CS_OK)
        s = open_parts(&in, err);
    if (s == CS_OK && !*writing) {
        const char *names[CS_SAMPLE_OUTPUTS];
        for (size_t k = 0; k < out->n; k++)
            names[k] = cs_str_cstr(&out->names[k]);
        s = cs_idxbin_writers_init(w, names, out->n, in.open[0].idx.dtype, err);
        *writing = s == CS_OK;
    }
    for (size_t k = 0; k < in.n && s == CS_OK; k++)
        s = cs_idxbin_writer_append(&w[k], &in.open[k], err);
    if (s == CS_OK) {
        counts->documents += in.open[0].idx.n_doc - 1;
        counts->sequences += in.open[0].idx.n_seq;
        counts->tokens += in.open[0].idx.n_tokens;
    }
    parts_release(&in);
    return s;
}

cs_status cs_merge_run(const cs_strlist *inputs, const char *output, cs_merge_counts *counts, cs_error *err)
{
    CS_ASSERT(inputs->n > 0);
    cs_idxbin_writer w[CS_SAMPLE_OUTPUTS] = {{.lock = -1}};
    parts out;
    bool writing = false;
    cs_progress progress;
    *counts = (cs_merge_counts){0};
    for (size_t i = 0; i < inputs->n; i++) {
        bool samples;
        CS_TRY(kind_of(inputs->items[i], &samples, err));
        if (i > 0 && samples != counts->samples)
            return cs_fail(err, CS_E_USAGE, "--merge: %s is a set of %s and %s is one of %s", inputs->items[0],
                           counts->samples ? "samples" : "documents", inputs->items[i], samples ? "samples" : "documents");
        counts->samples = samples;
    }
    cs_progress_init(&progress, "merge", "data sets", (int64_t)inputs->n);
    cs_status s = name_parts(&out, output, counts->samples, err);
    for (size_t i = 0; i < inputs->n && s == CS_OK; i++) {
        s = add_input(inputs->items[i], counts->samples, &out, w, &writing, counts, err);
        cs_progress_update(&progress, (int64_t)i + 1, NULL);
    }
    if (s == CS_OK)
        s = cs_idxbin_writers_finish(w, out.n, err);
    cs_progress_finish(&progress, (int64_t)inputs->n);
    for (size_t k = 0; writing && k < out.n; k++)
        cs_idxbin_writer_abort(&w[k]);
    parts_release(&out);
    return s;
}
