/* cspeed preprocess: texts to token files for training. */
#include "cli/commands.h"

#include "base/io.h"
#include "base/log.h"
#include "data/hf_params.h"
#include "data/merge.h"
#include "data/prep.h"
#include "fmt/idxbin.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

enum { DOC_LINE, DOC_FILE };
enum { FORMAT_AUTO, FORMAT_TEXT, FORMAT_JSON, FORMAT_CSV, FORMAT_TSV };
enum { TOK_ANY, TOK_HF, TOK_GPT2, TOK_BERT_LOWER, TOK_BERT };

typedef struct prep_flags {
    cs_strlist input, keys, merge;
    const char *prefix, *hf_params, *tokenizer, *vocab_file, *merge_file, *dataset_info, *dataset_name;
    int document, format, tokenizer_type, handler, impl, long_samples;
    int64_t workers, log_interval, seq_length, divisible, pad_to, multiple;
    bool append_eod, skip_bad, train_on_prompt;
} prep_flags;

#define FIELD(f) offsetof(prep_flags, f)

static const cs_option input_rows[] = {
    {"input", CS_OPT_LIST, FIELD(input), NULL, NULL,
     "files, folders, patterns in quotes, - is stdin; text, JSON, JSON lines, CSV or TSV, plain, .gz or .zst; Parquet (required)", NULL},
    {"hf-datasets-params", CS_OPT_STR, FIELD(hf_params), NULL, NULL,
     "in place of --input: JSON with path, name, data_files, split as load_dataset takes them, for data on this machine", NULL},
    {"input-format", CS_OPT_ENUM, FIELD(format), "auto", "auto|text|json|csv|tsv",
     "auto: Parquet by its first bytes; others by name (.txt, .json, .jsonl, .csv, .tsv), else by the first bytes, which tell JSON from text", NULL},
    {"json-keys", CS_OPT_LIST, FIELD(keys), "text", NULL, "keys of JSON records or names of columns; each makes one output", "json-key"},
    {"text-document", CS_OPT_ENUM, FIELD(document), "line", "line|file",
     "what one document is in a text file; a line or record is at most 256 MiB, a file 1 GiB", NULL},
    {"skip-bad", CS_OPT_FLAG, FIELD(skip_bad), NULL, NULL,
     "leave out bad records and what cannot be read behind damage, and count them; without it the first one ends the run", NULL},
    {"handler-name", CS_OPT_ENUM, FIELD(handler), "GeneralPretrainHandler", CS_HANDLER_NAMES,
     "how records become documents (docs/data.md has a record for each); all but the Pretrain ones make samples for instruction tuning", NULL},
    {"dataset-info", CS_OPT_STR, FIELD(dataset_info), NULL, NULL,
     "LLaMA-Factory's dataset_info.json, whose entry names the keys of the records; looked for beside the input with alpaca, sharegpt, openai", NULL},
    {"dataset-name", CS_OPT_STR, FIELD(dataset_name), NULL, NULL,
     "the entry; without it the one whose file_name is the input's. It stands for --input and --handler-name where they are not given", NULL},
};

static const cs_option output_rows[] = {
    {"output-prefix", CS_OPT_STR, FIELD(prefix), NULL, NULL,
     "P: writes P_KEY_document.bin and .idx for every key, or P_packed_{input_ids,attention_mask,labels}_document (required)", NULL},
    {"merge", CS_OPT_LIST, FIELD(merge), NULL, NULL,
     "in place of all else: data sets P1 P2 .. (P.idx or P_packed_input_ids_document.idx) behind one another become that of --output-prefix",
     NULL},
    {"append-eod", CS_OPT_FLAG, FIELD(append_eod), NULL, NULL,
     "end-of-document token (the tokenizer's EOS) behind every document; behind every answer with alpaca, sharegpt, openai", NULL},
    {"workers", CS_OPT_INT, FIELD(workers), "1", "1..256", "tokenizer threads; the output is the same for any number", NULL},
    {"log-interval", CS_OPT_INT, FIELD(log_interval), "100", "1..", "given: a line every so many documents in place of the progress bar", NULL},
    {"dataset-impl", CS_OPT_ENUM, FIELD(impl), "mmap", "mmap", "kind of data files; lazy and cached are not in this version", NULL},
    {"seq-length", CS_OPT_INT, FIELD(seq_length), "0", "0..2147483646",
     "of training. The summary says how many samples an epoch has, or how many are longer", NULL},
};

static const cs_option sample_rows[] = {
    {"train-on-prompt", CS_OPT_FLAG, FIELD(train_on_prompt), NULL, NULL, "labels for the whole text; without it only those of answers count", NULL},
    {"long-samples", CS_OPT_ENUM, FIELD(long_samples), "keep", "keep|cut|drop",
     "those of more than --seq-length tokens and one: left whole (training cuts them), cut here, or left out", NULL},
    {"pad-to-multiple-of", CS_OPT_INT, FIELD(multiple), "1", "1..1048576",
     "samples padded to a multiple of so many tokens (pad token or EOS; label ignored, attention mask 0)", NULL},
};

static const cs_option tokenizer_rows[] = {
    {"tokenizer-name-or-path", CS_OPT_STR, FIELD(tokenizer), NULL, NULL,
     "tokenizer file or folder; bytes that are no UTF-8 are kept: byte pieces where the tokenizer has them, else its unknown token", NULL},
    {"tokenizer-type", CS_OPT_ENUM, FIELD(tokenizer_type), "auto", "auto|PretrainedFromHF|GPT2BPETokenizer|BertWordPieceLowerCase|BertWordPieceCase",
     "the files decide; BertWordPiece kinds are not in this version", NULL},
    {"vocab-file", CS_OPT_STR, FIELD(vocab_file), NULL, NULL, "vocabulary file, where --tokenizer-name-or-path is not given", NULL},
    {"merge-file", CS_OPT_STR, FIELD(merge_file), NULL, NULL, "merges.txt in the folder of --vocab-file vocab.json", NULL},
    {"make-vocab-size-divisible-by", CS_OPT_INT, FIELD(divisible), "128", "1..",
     "padding of the vocabulary that the summary names; ids do not change", NULL},
    {"pad-vocab-size-to", CS_OPT_INT, FIELD(pad_to), "0", "0..", "padded vocabulary size, at least the tokenizer's", NULL},
    {"tokenizer-not-use-fast", CS_OPT_IGNORED, 0, NULL, NULL, "one engine for all kinds of tokenizer", NULL},
    {"streaming", CS_OPT_IGNORED, 0, NULL, NULL, "input is always streamed", NULL},
    {"split-sentences", CS_OPT_REFUSED, 0, NULL, NULL, "not in this version: documents are not cut into sentences", NULL},
    {"keep-newlines", CS_OPT_REFUSED, 0, NULL, NULL, "not in this version: it belongs to --split-sentences", NULL},
    {"datasets", CS_OPT_REFUSED, 0, NULL, NULL, "not in this version: give files or folders with --input", NULL},
    {"merge-group-keys", CS_OPT_REFUSED, 0, NULL, NULL, "not in this version: name the data sets behind --merge", NULL},
    {"map-keys", CS_OPT_REFUSED, 0, NULL, NULL, "not in this version: see --json-keys", NULL},
};

#define ROWS(a) a, sizeof a / sizeof a[0]

static size_t groups(void *config, cs_option_group out[CS_MAX_OPTION_GROUPS])
{
    out[0] = (cs_option_group){"Input", ROWS(input_rows), config};
    out[1] = (cs_option_group){"Output", ROWS(output_rows), config};
    out[2] = (cs_option_group){"Samples for instruction tuning", ROWS(sample_rows), config};
    out[3] = (cs_option_group){"Tokenizer", ROWS(tokenizer_rows), config};
    return 4;
}

static cs_status check_flags(const cs_cli *cli, const prep_flags *f, cs_error *err)
{
    cs_status s = CS_OK;
    if (cli->options->positional.n > 0)
        s = cs_fail_also(err, CS_E_USAGE, "%s: unexpected argument; files go behind --input", cli->options->positional.items[0]);
    if (f->input.n == 0 && !f->hf_params && !(f->dataset_info && f->dataset_name))
        s = cs_fail_also(err, CS_E_USAGE, "--input: missing; give files, folders or -");
    if (!f->prefix || f->prefix[0] == '\0')
        s = cs_fail_also(err, CS_E_USAGE, "--output-prefix: missing; outputs are named PREFIX_text_document.bin and .idx");
    if (!f->tokenizer && !f->vocab_file)
        s = cs_fail_also(err, CS_E_USAGE, "--tokenizer-name-or-path: missing");
    if (f->tokenizer_type >= TOK_BERT_LOWER)
        s = cs_fail_also(err, CS_E_USAGE, "--tokenizer-type: BertWordPiece tokenizers are not in this version");
    for (size_t k = 0; k < f->keys.n; k++) {
        if (f->keys.items[k][0] == '\0' || strchr(f->keys.items[k], '/'))
            s = cs_fail_also(err, CS_E_USAGE, "--json-keys '%s': a key is part of a file name and may not be empty or hold '/'", f->keys.items[k]);
        for (size_t j = 0; j < k; j++)
            if (strcmp(f->keys.items[j], f->keys.items[k]) == 0)
                s = cs_fail_also(err, CS_E_USAGE, "--json-keys '%s': given twice", f->keys.items[k]);
    }
    for (size_t i = 0, n = 0; i < f->input.n; i++)
        if (strcmp(f->input.items[i], "-") == 0 && n++ > 0)
            s = cs_fail_also(err, CS_E_USAGE, "--input: - (stdin) can be given once");
    return s;
}

/* --vocab-file alone is a tokenizer file; with --merge-file both must be the pair of one folder. */
static cs_status tokenizer_path(const prep_flags *f, cs_arena *perm, const char **out, cs_error *err)
{
    *out = f->tokenizer ? f->tokenizer : f->vocab_file;
    if (f->tokenizer || !f->merge_file)
        return CS_OK;
    const char *v = strrchr(f->vocab_file, '/'), *m = strrchr(f->merge_file, '/');
    size_t n = v ? (size_t)(v - f->vocab_file) : 0, k = m ? (size_t)(m - f->merge_file) : 0;
    if (n != k || strncmp(f->vocab_file, f->merge_file, n) != 0 || strcmp(v ? v + 1 : f->vocab_file, "vocab.json") != 0
        || strcmp(m ? m + 1 : f->merge_file, "merges.txt") != 0)
        return cs_fail(err, CS_E_USAGE, "--vocab-file and --merge-file must be the vocab.json and merges.txt of one folder");
    *out = cs_arena_printf(perm, "%.*s", n > 0 ? (int)n : 1, n > 0 ? f->vocab_file : v ? "/" : ".");
    return *out ? CS_OK : cs_fail_nomem(err, n, "a file name");
}

/* Folder of `path` with its slash, in the arena; "" for none. */
static cs_status folder_of(const char *path, cs_arena *perm, const char **out, cs_error *err)
{
    const char *slash = strrchr(path, '/');
    *out = slash ? cs_arena_printf(perm, "%.*s", (int)(slash + 1 - path), path) : "";
    return *out ? CS_OK : cs_fail_nomem(err, strlen(path), path);
}

static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* The entry of dataset_info.json that was asked for, or that lies beside the input of a handler that looks keys up. */
static cs_status use_dataset_entry(const cs_cli *cli, prep_flags *f, cs_prep_config *cfg, cs_error *err)
{
    bool asked = f->dataset_info || f->dataset_name, named = cs_options_stated(cli->options, "handler-name"), found = false;
    const char *input = f->input.n > 0 ? f->input.items[0] : NULL, *folder = "", *path = f->dataset_info;
    cs_dataset_entry entry;
    if (asked && named && !cs_handlers[f->handler].columns)
        return cs_fail(err, CS_E_USAGE, "--dataset-info, --dataset-name: %s has fixed keys; they go with alpaca, sharegpt and openai",
                       cs_handlers[f->handler].name);
    if (!asked && (!cs_handlers[f->handler].columns || !input || strcmp(input, "-") == 0))
        return CS_OK;
    if (!path) {
        CS_TRY(folder_of(input, cli->perm, &folder, err));
        path = cs_arena_printf(cli->perm, "%sdataset_info.json", folder);
        if (!path)
            return cs_fail_nomem(err, strlen(folder), "a file name");
        if (!asked && cs_io_kind(path, NULL) == CS_FILE_NONE)
            return CS_OK;
    }
    CS_TRY(cs_dataset_entry_load(path, f->dataset_name, input ? last_part(input) : "", cli->perm, &found, &entry, err));
    if (!found)
        return asked ? cs_fail(err, CS_E_USAGE, "--dataset-info %s: no entry has the file_name %s; name one with --dataset-name", path,
                               input ? last_part(input) : "") : CS_OK;
    if (!named)
        f->handler = entry.sharegpt ? CS_HANDLER_SHAREGPT : CS_HANDLER_ALPACA;
    if (entry.sharegpt != (f->handler != CS_HANDLER_ALPACA))
        return cs_fail(err, CS_E_USAGE, "--handler-name %s: %s has formatting %s for this data set", cs_handlers[f->handler].name, path,
                       entry.sharegpt ? "sharegpt" : "alpaca");
    cfg->columns = entry.columns;
    cfg->max_records = entry.num_samples;
    cs_note("%s: keys of the records from the entry of %s", path, entry.file_name);
    if (input)
        return CS_OK;
    CS_TRY(folder_of(path, cli->perm, &folder, err));
    const char **file = cs_arena_calloc(cli->perm, 1, sizeof *file);
    if (file)
        file[0] = cs_arena_printf(cli->perm, "%s%s", entry.file_name[0] == '/' ? "" : folder, entry.file_name);
    if (!file || !file[0])
        return cs_fail_nomem(err, sizeof *file, "a file name");
    f->input = (cs_strlist){file, 1};
    return CS_OK;
}

/* What handler and flags ask of each other and of the tokenizer. */
static cs_status check_handler(const cs_cli *cli, const prep_flags *f, const cs_prep_config *cfg, cs_error *err)
{
    static const char *const only_samples[] = {"train-on-prompt", "long-samples", "pad-to-multiple-of"};
    const cs_handler *h = cfg->handler;
    const cs_tokenizer *tok = cfg->rules.tokenizer;
    cs_status s = CS_OK;
    for (size_t i = 0; i < 3; i++)
        if (h->output != CS_HANDLER_SAMPLES && cs_options_stated(cli->options, only_samples[i]))
            s = cs_fail_also(err, CS_E_USAGE, "--%s: goes with handlers for instruction tuning, not with %s", only_samples[i], h->name);
    if (h->output != CS_HANDLER_KEYS && (f->keys.n != 1 || strcmp(f->keys.items[0], "text") != 0))
        s = cs_fail_also(err, CS_E_USAGE, "--json-keys: %s looks up keys of its own", h->name);
    if (f->long_samples != CS_LONG_KEEP && f->seq_length == 0)
        s = cs_fail_also(err, CS_E_USAGE, "--long-samples: needs --seq-length");
    if ((f->append_eod || h->needs_eos) && cs_tokenizer_eos(tok) < 0)
        s = cs_fail_also(err, CS_E_USAGE, "%s%s: the tokenizer has no EOS token", f->append_eod ? "--append-eod" : "--handler-name ",
                         f->append_eod ? "" : h->name);
    if (cs_tokenizer_vocab_size(tok) < h->needs_ids)
        s = cs_fail_also(err, CS_E_USAGE, "--handler-name %s: writes the ids up to %d of Baichuan 2, and the tokenizer has %d", h->name,
                         h->needs_ids - 1, cs_tokenizer_vocab_size(tok));
    if (f->multiple > 1 && cfg->rules.pad < 0)
        s = cs_fail_also(err, CS_E_USAGE, "--pad-to-multiple-of: the tokenizer has neither a pad token nor an EOS");
    return s;
}

static void summary_json(const cs_prep_config *cfg, const cs_prep_counts *c, double seconds, int64_t vocab, int64_t padded)
{
    printf("{\"documents\": %lld, \"tokens\": %lld, \"empty\": %lld, \"skipped\": %lld, \"text_bytes\": %lld, ", (long long)c->documents,
           (long long)c->tokens, (long long)c->empty, (long long)c->bad, (long long)c->text_bytes);
    if (cfg->handler->output == CS_HANDLER_SAMPLES)
        printf("\"samples\": %lld, \"trained_tokens\": %lld, \"untrained_samples\": %lld, \"long_samples\": %lld, ", (long long)c->samples,
               (long long)c->trained, (long long)c->untrained, (long long)c->too_long);
    printf("\"dtype\": \"%s\", \"vocab_size\": %lld, \"padded_vocab_size\": %lld, \"seconds\": %.6f}\n", cs_dtype_name(cs_prep_dtype(cfg)),
           (long long)vocab, (long long)padded, seconds);
}

static void summary_samples(const cs_prep_config *cfg, const cs_prep_counts *c)
{
    static const char *const what[] = {"kept, training cuts them", "cut", "left out"};
    cs_note("%s_packed_{input_ids,attention_mask,labels}_document: %lld records, %lld samples, %lld tokens (%s), %lld of them trained; %lld records "
            "without a sample, %lld bad records skipped", cfg->prefix, (long long)c->documents, (long long)c->samples, (long long)c->tokens,
            cs_dtype_name(cs_prep_dtype(cfg)), (long long)c->trained, (long long)c->empty, (long long)c->bad);
    if (c->too_long > 0)
        cs_note("%lld samples of more than %lld tokens: %s", (long long)c->too_long, (long long)cfg->rules.seq_length + 1,
                what[cfg->rules.long_samples]);
    if (c->untrained > 0)
        cs_warn("%lld samples have no trained token", (long long)c->untrained);
}

static void summary(const prep_flags *f, const cs_common *common, const cs_prep_config *cfg, const cs_prep_counts *c)
{
    int64_t vocab = cs_tokenizer_vocab_size(cfg->rules.tokenizer);
    int64_t padded = f->pad_to > 0 ? f->pad_to : (vocab + f->divisible - 1) / f->divisible * f->divisible;
    double seconds = c->seconds > 0 ? c->seconds : 1e-9;
    if (common->json) {
        summary_json(cfg, c, seconds, vocab, padded);
        return;
    }
    if (cfg->handler->output == CS_HANDLER_SAMPLES)
        summary_samples(cfg, c);
    else
        cs_note("%s_%s_document%s: %lld documents, %lld tokens (%s); %lld empty texts left out, %lld bad records skipped", f->prefix,
                cfg->outputs.items[0], cfg->outputs.n > 1 ? " and the other keys" : "", (long long)c->documents, (long long)c->tokens,
                cs_dtype_name(cs_prep_dtype(cfg)), (long long)c->empty, (long long)c->bad);
    cs_note("%.2f s, %.2f MB/s of text; vocabulary %lld, padded %lld", seconds, (double)c->text_bytes / seconds / 1e6, (long long)vocab,
            (long long)padded);
    if (f->seq_length > 0 && cfg->handler->output != CS_HANDLER_SAMPLES)
        cs_note("%lld samples of %lld tokens in one epoch", (long long)((c->tokens - 1) / f->seq_length), (long long)f->seq_length);
}

static cs_status find_inputs(const cs_cli *cli, const prep_flags *f, cs_inputs *out, cs_error *err)
{
    static const cs_record_kind kinds[] = {[FORMAT_AUTO] = CS_RECORD_AUTO, [FORMAT_TEXT] = CS_RECORD_LINES, [FORMAT_JSON] = CS_RECORD_JSON,
                                           [FORMAT_CSV] = CS_RECORD_CSV, [FORMAT_TSV] = CS_RECORD_TSV};
    cs_record_kind kind = f->document == DOC_FILE ? CS_RECORD_WHOLE : kinds[f->format];
    if (f->document == DOC_FILE && f->format > FORMAT_TEXT)
        return cs_fail(err, CS_E_USAGE, "--text-document file goes with text, not with another --input-format");
    if (!f->hf_params)
        return cs_inputs_expand(&f->input, kind, cli->perm, out, err);
    if (f->input.n > 0)
        cs_note("--input is not used: --hf-datasets-params goes before it");
    CS_TRY(cs_hf_params_read(f->hf_params, cli->perm, out, err));
    for (size_t i = 0; i < out->n && kind != CS_RECORD_AUTO; i++)
        out->parts[i].kind = kind;
    return CS_OK;
}

static cs_status with_tokenizer(const cs_cli *cli, prep_flags *f, cs_prep_config *cfg, cs_error *err)
{
    const cs_tokenizer *tok = cfg->rules.tokenizer;
    int32_t vocab = cs_tokenizer_vocab_size(tok), pad = cs_tokenizer_pad(tok);
    if (f->pad_to > 0 && f->pad_to < vocab)
        return cs_fail(err, CS_E_USAGE, "--pad-vocab-size-to %lld: the tokenizer has %d tokens", (long long)f->pad_to, vocab);
    cfg->rules.append_eod = f->append_eod;
    cfg->rules.train_on_prompt = f->train_on_prompt;
    cfg->rules.seq_length = f->seq_length;
    cfg->rules.long_samples = f->long_samples;
    cfg->rules.multiple = f->multiple;
    cfg->rules.pad = pad >= 0 ? pad : cs_tokenizer_eos(tok);
    CS_TRY(check_handler(cli, f, cfg, err));
    cs_inputs inputs;
    CS_TRY(find_inputs(cli, f, &inputs, err));
    cfg->inputs = &inputs;
    cs_prep_counts counts = {0};
    CS_TRY(cs_preprocess_run(cfg, &counts, err));
    summary(f, cli->common, cfg, &counts);
    return CS_OK;
}

static cs_status fill_config(const cs_cli *cli, prep_flags *f, cs_prep_config *cfg, cs_error *err)
{
    *cfg = (cs_prep_config){.prefix = f->prefix, .skip_bad = f->skip_bad, .workers = f->workers};
    if (cs_handlers[f->handler].columns)
        cfg->columns = *cs_handlers[f->handler].columns;
    CS_TRY(use_dataset_entry(cli, f, cfg, err));
    cfg->handler = &cs_handlers[f->handler];
    cfg->keys = f->keys;
    cfg->outputs = cs_prep_outputs(cfg->handler, &cfg->keys);
    cfg->log_interval = cs_options_given(cli->options, "log-interval") ? f->log_interval : 0;
    return CS_OK;
}

/* No other flag of this command has anything to do. */
static cs_status merge(const cs_cli *cli, const prep_flags *f, cs_error *err)
{
    cs_option_group mine[CS_MAX_OPTION_GROUPS];
    cs_merge_counts c;
    cs_status s = CS_OK;
    for (size_t g = 0, n = groups(NULL, mine); g < n; g++)
        for (size_t i = 0; i < mine[g].n_rows; i++) {
            const char *name = mine[g].rows[i].name;
            if (strcmp(name, "merge") != 0 && strcmp(name, "output-prefix") != 0 && cs_options_given(cli->options, name))
                s = cs_fail_also(err, CS_E_USAGE, "--%s: does not go with --merge", name);
        }
    if (cli->options->positional.n > 0)
        s = cs_fail_also(err, CS_E_USAGE, "%s: unexpected argument; data sets go behind --merge", cli->options->positional.items[0]);
    if (!f->prefix || f->prefix[0] == '\0')
        s = cs_fail_also(err, CS_E_USAGE, "--output-prefix: missing; the merged data set is PREFIX.bin and .idx, or PREFIX_packed_..");
    CS_TRY(s);
    CS_TRY(cs_merge_run(&f->merge, f->prefix, &c, err));
    if (cli->common->json)
        printf("{\"documents\": %lld, \"sequences\": %lld, \"tokens\": %lld}\n", (long long)c.documents, (long long)c.sequences, (long long)c.tokens);
    else
        cs_note("%s%s: %lld documents, %lld %s, %lld tokens", f->prefix, c.samples ? "_packed_{input_ids,attention_mask,labels}_document" : "",
                (long long)c.documents, (long long)c.sequences, c.samples ? "samples" : "sequences", (long long)c.tokens);
    return CS_OK;
}

static cs_status run(const cs_cli *cli, void *config, cs_error *err)
{
    static const char *const text_key[] = {"text"};
    prep_flags *f = config;
    const char *path;
    cs_tokenizer *tok;
    cs_prep_config cfg;
    if (f->merge.n > 0)
        return merge(cli, f, err);
    if (f->keys.n == 0)
        f->keys = (cs_strlist){(const char **)text_key, 1};
    CS_TRY(check_flags(cli, f, err));
    CS_TRY(tokenizer_path(f, cli->perm, &path, err));
    CS_TRY(fill_config(cli, f, &cfg, err));
    CS_TRY(cs_tokenizer_create(path, &tok, err));
    cfg.rules.tokenizer = tok;
    cs_status s = with_tokenizer(cli, f, &cfg, err);
    cs_tokenizer_destroy(tok);
    return s;
}

const cs_command cs_command_preprocess = {
    .name = "preprocess",
    .aliases = "preprocess_data preprocess-data",
    .usage = "cspeed preprocess --input FILE.. --output-prefix P --tokenizer-name-or-path TOK [flags]",
    .summary = "turn text, JSON, CSV, TSV or Parquet into token files for training",
    .config_bytes = sizeof(prep_flags),
    .groups = groups,
    .run = run,
};
