/* The flags about data: one row each, the rules between them, and where a split with files of its own comes from. */
#include "data/dataset.h"

#include "base/io.h"
#include "base/mem.h"

#include <stdio.h>

#define FIELD(f) offsetof(cs_data_config, f)
#define DEFAULT_SPLIT "969,30,1"
#define OWN(name, k) \
    {name "-data-path", CS_OPT_LIST, FIELD(own_path[k]), NULL, NULL, "the same for " name " alone, without --data-path and --split", NULL}, \
    {name "-weighted-split-paths", CS_OPT_LIST, FIELD(weighted[k]), NULL, NULL, \
     "the same with shares of the documents: \"NAME: WEIGHT FROM:TO PREFIX, ..\"", NULL}, \
    {name "-weighted-split-paths-path", CS_OPT_STR, FIELD(weighted_file[k]), NULL, NULL, "a file with that text", NULL}

const cs_option cs_data_options[] = {
    {"data-path", CS_OPT_LIST, FIELD(data_path), NULL, NULL, "prefix of a .bin/.idx pair, or weights and prefixes in turn: W1 P1 W2 P2 ..", NULL},
    {"split", CS_OPT_STR, FIELD(split), DEFAULT_SPLIT, NULL, "shares of the documents for train, valid and test", NULL},
    OWN("train", CS_SPLIT_TRAIN),
    OWN("valid", CS_SPLIT_VALID),
    OWN("test", CS_SPLIT_TEST),
    {"data-impl", CS_OPT_ENUM, FIELD(data_impl), "infer", "mmap|infer|lazy|cached",
     "kind of data files; only mmap files exist here, lazy and cached are refused", NULL},
    {"is-instruction-dataset", CS_OPT_FLAG, FIELD(instruct), NULL, NULL,
     "PREFIX_packed_{input_ids,attention_mask,labels}_document of preprocess: one record a sample, trained where labels are not -100", NULL},
    {"packing", CS_OPT_FLAG, FIELD(packing), NULL, NULL,
     "with --is-instruction-dataset: a sample is a row of several records, which do not see each other", NULL},
    {"keep-last-token", CS_OPT_FLAG, FIELD(keep_last_token), NULL, NULL,
     "with --is-instruction-dataset: a record is cut to --seq-length tokens, not to as many and the next one to learn", NULL},
    {"eod-mask-loss", CS_OPT_FLAG, FIELD(eod_mask_loss), NULL, NULL, "no loss where the input is the end-of-document token", NULL},
    {"reset-position-ids", CS_OPT_FLAG, FIELD(reset_position_ids), NULL, NULL, "positions start again after the end-of-document token", NULL},
    {"reset-attention-mask", CS_OPT_FLAG, FIELD(reset_attention_mask), NULL, NULL, "no attention across the end-of-document token", NULL},
    {"dataloader-type", CS_OPT_ENUM, FIELD(dataloader_type), "single", "single|cyclic",
     "samples in the order of the index maps, or permuted anew in every pass", NULL},
};
const size_t cs_data_n_options = sizeof cs_data_options / sizeof cs_data_options[0];

static const char *const own_flag[CS_SPLIT_COUNT] = {"--train-data-path", "--valid-data-path", "--test-data-path"};
static const char *const weighted_flag[CS_SPLIT_COUNT] = {"--train-weighted-split-paths", "--valid-weighted-split-paths",
                                                          "--test-weighted-split-paths"};

/* Ways in which a split's own files are given. */
static int n_ways(const cs_data_config *c, int k)
{
    return (c->own_path[k].n > 0) + (c->weighted[k].n > 0) + (c->weighted_file[k] != NULL);
}

void cs_data_check(const cs_data_config *c, cs_error *err)
{
    bool own = false;
    for (int k = 0; k < CS_SPLIT_COUNT; k++) {
        own |= n_ways(c, k) > 0;
        if (n_ways(c, k) > 1)
            cs_fail_also(err, CS_E_USAGE, "%s, %s and %s-path exclude each other", own_flag[k], weighted_flag[k], weighted_flag[k]);
        if (c->weighted[k].n > 1)
            cs_fail_also(err, CS_E_USAGE, "%s: %zu groups; give one, in one argument: \"NAME: WEIGHT FROM:TO PREFIX, ..\"", weighted_flag[k],
                         c->weighted[k].n);
    }
    if (!own && c->data_path.n == 0)
        cs_fail_also(err, CS_E_USAGE, "--data-path is missing: the prefix of a .bin/.idx pair, or weights and prefixes");
    if (own && c->data_path.n > 0)
        cs_fail_also(err, CS_E_USAGE, "--data-path excludes --train-data-path, --valid-data-path, --test-data-path and the weighted split paths");
    if (own && c->data_path.n == 0 && n_ways(c, CS_SPLIT_TRAIN) == 0)
        cs_fail_also(err, CS_E_USAGE, "--train-data-path is missing beside the flags for valid and test data");
    if (own && c->split && strcmp(c->split, DEFAULT_SPLIT) != 0)
        cs_fail_also(err, CS_E_USAGE, "--split %s cuts --data-path; files of its own for every split are not cut", c->split);
    if (c->data_impl > 1)
        cs_fail_also(err, CS_E_USAGE, "--data-impl: lazy and cached files cannot be read; make the data with --dataset-impl mmap");
    if (c->seq_length < 0 || c->seq_length > INT32_MAX - 1)
        cs_fail_also(err, CS_E_USAGE, "--seq-length %lld: expected 1..2147483646", (long long)c->seq_length);
    if (c->seed < 0 || c->seed > UINT32_MAX)
        cs_fail_also(err, CS_E_USAGE, "--seed %lld: the sample order takes 0..4294967295", (long long)c->seed);
    if (c->packing && !c->instruct)
        cs_fail_also(err, CS_E_USAGE, "--packing packs records: add --is-instruction-dataset (text is cut without gaps anyway)");
    if (c->keep_last_token && !c->instruct)
        cs_fail_also(err, CS_E_USAGE, "--keep-last-token is about the end of a record: add --is-instruction-dataset");
    if (c->instruct && (c->eod_mask_loss || c->reset_position_ids || c->reset_attention_mask))
        cs_fail_also(err, CS_E_USAGE, "--eod-mask-loss, --reset-position-ids and --reset-attention-mask are for text without borders; records have "
                     "theirs, and labels: leave them out with --is-instruction-dataset");
}

/* What stands in the file, without white space and double quotes around it. */
static cs_status parse_file(const char *path, const char *flag, cs_blend_spec *spec, cs_error *err)
{
    static const char around[] = " \t\r\n\"";
    enum { LIMIT = 16 << 20 };
    uint8_t *data;
    size_t n;
    char message[160];
    CS_TRY(cs_io_read_all(path, LIMIT, &data, &n, err));
    char *text = (char *)data;
    while (n > 0 && strchr(around, text[n - 1]))
        text[--n] = '\0';
    text += strspn(text, around);
    snprintf(message, sizeof message, "%s-path %.100s", flag, path);
    cs_status s;
    if (strlen((char *)data) != n)
        s = cs_fail(err, CS_E_FORMAT, "%s: byte %zu is 0; expected text", message, strlen((char *)data));
    else if (strchr(text, '"'))
        s = cs_fail(err, CS_E_USAGE, "%s: several groups; give one: \"NAME: WEIGHT FROM:TO PREFIX, ..\"", message);
    else
        s = cs_blend_spec_parse(spec, text, message, err);
    cs_free(data);
    return s;
}

cs_status cs_data_source(const cs_data_config *c, cs_split k, cs_blend_spec *spec, cs_error *err)
{
    *spec = (cs_blend_spec){0};
    if (c->own_path[k].n > 0)
        return cs_blend_spec_init(spec, &c->own_path[k], own_flag[k], err);
    if (c->weighted[k].n > 0)
        return cs_blend_spec_parse(spec, c->weighted[k].items[0], weighted_flag[k], err);
    if (c->weighted_file[k])
        return parse_file(c->weighted_file[k], weighted_flag[k], spec, err);
    return CS_OK;
}
