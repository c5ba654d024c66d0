/* Any record through every dataset handler. Byte 0 says how samples are cut, padded and labelled; then come a record of JSON and, behind
 * 0xff 0xfe 0xff, a dataset_info.json whose entry for "d.json" names the keys. A handler refuses the record with file and line, and leaves nothing; or every
 * sequence has ids, mask and labels of one length: a mask of ones and then zeros, labels that are ignored or the id (Baichuan 2's EOS excepted). */
// options: -max_len=8192
#include "fuzz/fuzz.h"

#include "data/handler.h"
#include "fmt/json.h"

#include <string.h>

enum { CUT = 1, DROP = 2, PAD = 4, EOD = 8, PROMPT = 16, LIMIT = 300, MULTIPLE = 16 };

static const cs_tokenizer *tokenizer(void)
{
    static cs_tokenizer *tok;
    cs_error err = {0};
    if (!tok) {
        fuzz_keeps_memory();
        FUZZ_CHECK(cs_tokenizer_create("tests/data/tok_tiny.json", &tok, &err) == CS_OK);
    }
    return tok;
}

static void check_sample(const cs_emit *e, const int32_t *ids, const int32_t *mask, const int32_t *labels, int64_t n)
{
    int64_t real = 0;
    while (real < n && mask[real] == 1)
        real++;
    for (int64_t i = real; i < n; i++)
        FUZZ_CHECK(mask[i] == 0 && ids[i] == e->rules->pad && labels[i] == CS_LABEL_IGNORED);
    for (int64_t i = 0; i < real; i++) {
        FUZZ_CHECK(ids[i] >= 0 && ids[i] < cs_tokenizer_vocab_size(e->rules->tokenizer));
        FUZZ_CHECK(labels[i] == ids[i] || labels[i] == CS_LABEL_IGNORED || (ids[i] == 195 && labels[i] == cs_tokenizer_eos(e->rules->tokenizer)));
        FUZZ_CHECK(!e->rules->train_on_prompt || labels[i] == ids[i]);
    }
    FUZZ_CHECK(real > 0 && n - real < MULTIPLE);
    FUZZ_CHECK(e->rules->multiple <= 1 || n % e->rules->multiple == 0);
    FUZZ_CHECK(e->rules->long_samples == CS_LONG_KEEP || real <= LIMIT + 1);
}

static void check_outputs(const cs_emit *e, bool samples)
{
    int64_t at = 0, total = 0;
    for (size_t k = 0; k < e->n_out; k++) {
        FUZZ_CHECK(e->out[k].n == e->out[0].n && e->out[k].ids.len == e->out[0].ids.len);
        FUZZ_CHECK(e->out[k].n == 0 || e->out[k].seqs[e->out[k].n - 1].ends_document);
    }
    for (size_t i = 0; i < e->out[0].n; i++, at = total) {
        int64_t n = e->out[0].seqs[i].n;
        total += n;
        FUZZ_CHECK(n > 0 && total <= (int64_t)e->out[0].ids.len);
        if (samples) {
            FUZZ_CHECK(e->out[1].seqs[i].n == n && e->out[2].seqs[i].n == n);
            check_sample(e, e->out[0].ids.data + at, e->out[1].ids.data + at, e->out[2].ids.data + at, n);
        }
    }
    FUZZ_CHECK(total == (int64_t)e->out[0].ids.len && total == e->counts->tokens);
    FUZZ_CHECK(e->counts->samples == (samples ? (int64_t)e->out[0].n : 0));
}

static void run(const cs_handler *h, const cs_emit_rules *rules, const json_t *record, const cs_columns *columns)
{
    const char *text[] = {"text"};
    cs_strlist keys = {text, 1};
    bool samples = h->output == CS_HANDLER_SAMPLES;
    cs_token_out out[CS_SAMPLE_OUTPUTS] = {{.n = 0}};
    cs_prep_counts counts = {0};
    cs_error err = {0};
    cs_emit e = {.rules = rules, .out = out, .n_out = samples ? CS_SAMPLE_OUTPUTS : 1, .counts = &counts};
    cs_handler_record r = {.value = record, .file = "f", .line = 7, .keys = &keys, .columns = columns};
    cs_emit_begin(&e);
    cs_status s = h->render(&r, &e, &err);
    if (s == CS_OK) {
        FUZZ_CHECK(cs_emit_end(&e, &err) == CS_OK);
    } else {
        FUZZ_CHECK(fuzz_refused(s, CS_E_FORMAT, &err) && strncmp(err.msg, "f:7: ", 5) == 0);
        cs_emit_undo(&e);
        FUZZ_CHECK(out[0].n == 0 && counts.samples == 0 && counts.documents == 0);
    }
    check_outputs(&e, samples);
    for (size_t k = 0; k < CS_SAMPLE_OUTPUTS; k++)
        cs_token_out_release(&out[k]);
    cs_emit_release(&e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_part part[2];
    cs_error err = {0};
    json_t *record = NULL;
    if (size < 1)
        return 0;
    fuzz_split(data + 1, size - 1, part, 2);
    cs_emit_rules rules = {.tokenizer = tokenizer(), .append_eod = data[0] & EOD, .train_on_prompt = data[0] & PROMPT, .seq_length = LIMIT,
                           .long_samples = data[0] & CUT ? CS_LONG_CUT : data[0] & DROP ? CS_LONG_DROP : CS_LONG_KEEP,
                           .multiple = data[0] & PAD ? MULTIPLE : 1, .pad = 1};
    cs_arena perm;
    cs_dataset_entry entry = {0};
    bool found = false;
    cs_arena_init(&perm, "fuzz");
    if (part[1].n > 0) {
        cs_status s = cs_dataset_entry_load(fuzz_file("dataset_info.json", part[1].bytes, part[1].n), NULL, "d.json", &perm, &found, &entry, &err);
        FUZZ_CHECK(s == CS_OK || fuzz_refused(s, CS_E_FORMAT, &err));
        found &= s == CS_OK;
    }
    if (cs_json_parse_lenient((const char *)part[0].bytes, part[0].n, "f", &record, &err) == CS_OK && json_is_object(record))
        for (size_t i = 0; i < CS_HANDLERS; i++) {
            bool entry_fits = found && i == (entry.sharegpt ? CS_HANDLER_SHAREGPT : CS_HANDLER_ALPACA);
            run(&cs_handlers[i], &rules, record, entry_fits ? &entry.columns : cs_handlers[i].columns);
        }
    json_decref(record);
    cs_arena_release(&perm);
    return 0;
}
