/* See instruct.h. */
#include "data/instruct.h"

#include "base/mem.h"

#include <stdio.h>

cs_status cs_instruct_prefix(const char *prefix, char **out, cs_error *err)
{
    static const char *const tails[] = {"_packed_input_ids_document", "_packed"};
    size_t n = strlen(prefix);
    *out = cs_malloc(n + 1);
    if (!*out)
        return cs_fail_nomem(err, n + 1, prefix);
    for (size_t i = 0; i < sizeof tails / sizeof *tails; i++) {
        size_t tail = strlen(tails[i]);
        if (n > tail && strcmp(prefix + n - tail, tails[i]) == 0) {
            n -= tail;
            break;
        }
    }
    memcpy(*out, prefix, n);
    (*out)[n] = '\0';
    return CS_OK;
}

static cs_status open_pair(cs_idxbin *d, const char *prefix, const char *field, cs_error *err)
{
    size_t n = strlen(prefix) + strlen(field) + 32;
    char *name = cs_malloc(n);
    if (!name)
        return cs_fail_nomem(err, n, prefix);
    snprintf(name, n, "%s_packed_%s_document", prefix, field);
    cs_status s = cs_idxbin_init(d, name, err);
    cs_free(name);
    return s;
}

/* As many records of the same lengths as the ids have. */
static cs_status check_pair(const cs_idx *ids, const cs_idx *other, cs_error *err)
{
    if (other->n_seq != ids->n_seq)
        return cs_fail(err, CS_E_FORMAT, "%s: %lld records, but %s has %lld; make the three pairs anew, in one run of preprocess", other->name,
                       (long long)other->n_seq, ids->name, (long long)ids->n_seq);
    for (int64_t i = 0; i < ids->n_seq; i++)
        if (cs_idx_length(other, i) != cs_idx_length(ids, i))
            return cs_fail(err, CS_E_FORMAT, "%s: record %lld has %d entries, but %d in %s", other->name, (long long)i, cs_idx_length(other, i),
                           cs_idx_length(ids, i), ids->name);
    return CS_OK;
}

cs_status cs_instruct_init(cs_instruct *in, const char *prefix, cs_error *err)
{
    static const char *const fields[] = {"input_ids", "attention_mask", "labels"};
    cs_idxbin *pairs[] = {&in->ids, &in->mask, &in->labels};
    cs_status s = CS_OK;
    *in = (cs_instruct){0};
    for (int i = 0; i < 3 && s == CS_OK; i++)
        s = open_pair(pairs[i], prefix, fields[i], err);
    for (int i = 1; i < 3 && s == CS_OK; i++)
        s = check_pair(&in->ids.idx, &pairs[i]->idx, err);
    if (s != CS_OK)
        cs_instruct_release(in);
    return s;
}

void cs_instruct_release(cs_instruct *in)
{
    cs_idxbin_release(&in->ids);
    cs_idxbin_release(&in->mask);
    cs_idxbin_release(&in->labels);
}

int64_t cs_instruct_rows(const cs_instruct *in, int64_t record, int64_t limit)
{
    int64_t n = cs_idx_length(&in->ids.idx, record) - 1;
    return n < 0 ? 0 : n < limit ? n : limit;
}

cs_status cs_instruct_trained_rows(const cs_instruct *in, int64_t record, int64_t limit, int64_t *rows, cs_error *err)
{
    int64_t n = cs_instruct_rows(in, record, limit);
    for (int32_t mask = 0, label = CS_LABEL_IGNORED; n > 0; n--) {
        CS_TRY(cs_idx_read(&in->labels.idx, in->labels.bin_map.data, record, n, 1, &label, err));
        CS_TRY(cs_idx_read(&in->mask.idx, in->mask.bin_map.data, record, n - 1, 1, &mask, err));
        if (label != CS_LABEL_IGNORED && mask != 0)
            break;
    }
    *rows = n;
    return CS_OK;
}

static cs_status bad_entry(const cs_idxbin *in, int64_t record, int64_t i, int32_t value, const char *expected, int64_t vocab, cs_error *err)
{
    return cs_fail(err, CS_E_FORMAT, "%s: entry %lld of record %lld is %d; expected %s%lld", in->bin_path, (long long)i, (long long)record, value,
                   expected, (long long)vocab);
}

static bool is_id(int32_t v, int64_t vocab)
{
    return v >= 0 && v < vocab;
}

/* ids [n], mask [n], label [n] (of row i: entry i+1 of the file) of one record. */
static cs_status check_entries(const cs_instruct *in, int64_t record, int64_t n, int64_t vocab, const int32_t *ids, const int32_t *mask,
                               const int32_t *label, cs_error *err)
{
    for (int64_t i = 0; i < n; i++) {
        if (!is_id(ids[i], vocab))
            return bad_entry(&in->ids, record, i, ids[i], "an id of the vocabulary, 0 to ", vocab - 1, err);
        if (mask[i] != 0 && mask[i] != 1)
            return bad_entry(&in->mask, record, i, mask[i], "0 or ", 1, err);
        if (!is_id(label[i], vocab) && label[i] != CS_LABEL_IGNORED)
            return bad_entry(&in->labels, record, i + 1, label[i], "-100 (not trained) or an id of the vocabulary, 0 to ", vocab - 1, err);
    }
    return CS_OK;
}

cs_status cs_instruct_append(const cs_instruct *in, int64_t record, int64_t limit, int64_t vocab, int32_t *work, cs_batch_rows *to, cs_error *err)
{
    int64_t n = cs_instruct_rows(in, record, limit), begin = to->n;
    int32_t *ids = work, *mask = work + limit, *label = work + 2 * limit;
    if (n == 0)
        return CS_OK;
    CS_TRY(cs_idx_read(&in->ids.idx, in->ids.bin_map.data, record, 0, n, ids, err));
    CS_TRY(cs_idx_read(&in->mask.idx, in->mask.bin_map.data, record, 0, n, mask, err));
    CS_TRY(cs_idx_read(&in->labels.idx, in->labels.bin_map.data, record, 1, n, label, err));
    CS_TRY(check_entries(in, record, n, vocab, ids, mask, label, err));
    while (n > 0 && (mask[n - 1] == 0 || label[n - 1] == CS_LABEL_IGNORED))
        n--;
    for (int64_t i = 0; i < n; i++) {
        bool trained = label[i] != CS_LABEL_IGNORED;
        if (mask[i] == 0)
            continue;
        to->tokens[to->n] = ids[i];
        to->labels[to->n] = trained ? label[i] : 0;
        to->weights[to->n] = trained ? 1.0f : 0.0f;
        to->pos[to->n++] = (int32_t)i;
    }
    if (to->n > begin)
        to->seq_start[to->n_seq++] = begin;
    return CS_OK;
}
