/* What describes data of Hugging Face, the three parts of the input: hand-written JSON with slips, the README.md of a data set, the name of a split.
 * JSON without slips stays as it is, a repaired one needs no repair; every row of a card has its three words and every pattern may be expanded. */
// seeds: tests/fuzz/corpus/hf_params/*
#include "fuzz/fuzz.h"

#include "base/mem.h"
#include "data/hf_card.h"
#include "data/hf_params.h"
#include "fmt/json.h"
#include "fmt/json_repair.h"

#include <string.h>

static void repair(const fuzz_part *part)
{
    cs_str once = {0}, notes = {0}, twice = {0}, none = {0};
    cs_error err = {0};
    json_t *root = NULL;
    bool valid = cs_json_parse((const char *)part->bytes, part->n, "f", &root, &err) == CS_OK;
    json_decref(root);
    FUZZ_CHECK(cs_json_repair((const char *)part->bytes, part->n, "f", &once, &notes, &err) == CS_OK);
    if (valid)
        FUZZ_CHECK(notes.len == 0 && once.len == part->n && memcmp(cs_str_cstr(&once), part->bytes, part->n) == 0);
    FUZZ_CHECK(cs_json_repair(cs_str_cstr(&once), once.len, "f", &twice, &none, &err) == CS_OK);
    FUZZ_CHECK(none.len == 0 && strcmp(cs_str_cstr(&once), cs_str_cstr(&twice)) == 0);
    cs_str_release(&once);
    cs_str_release(&notes);
    cs_str_release(&twice);
    cs_str_release(&none);
}

static void read_card(const fuzz_part *part, cs_arena *perm)
{
    cs_hf_card card;
    cs_error err = {0};
    const char *config = NULL;
    fuzz_file("README.md", part->bytes, part->n);
    cs_status s = cs_hf_card_read(fuzz_dir(), perm, &card, &err);
    if (s != CS_OK) {
        FUZZ_CHECK(fuzz_refused(s, CS_E_FORMAT, &err));
        return;
    }
    for (size_t i = 0; i < card.n; i++)
        FUZZ_CHECK(card.rows[i].config && card.rows[i].split && card.rows[i].pattern && card.rows[i].pattern[0]);
    if (card.n > 0 && cs_hf_card_config(&card, "d", &config, &err) == CS_OK)
        FUZZ_CHECK(config != NULL);
}

static void parse_split(const fuzz_part *part, cs_arena *perm)
{
    cs_inputs in;
    const char **names;
    cs_error err = {0};
    char *text = cs_strndup((const char *)part->bytes, part->n);
    FUZZ_CHECK(text != NULL);
    cs_status s = cs_hf_split_parse(text, "f", perm, &in, &names, &err);
    FUZZ_CHECK(s == CS_OK || fuzz_refused(s, CS_E_FORMAT, &err));
    for (size_t i = 0; s == CS_OK && i < in.n; i++)
        FUZZ_CHECK(names[i][0] && (!in.parts[i].from.percent || in.parts[i].from.value <= 100) && (in.parts[i].to.given || in.parts[i].to.value == 0));
    cs_free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_part part[3];
    cs_arena perm;
    cs_arena_init(&perm, "names");
    fuzz_split(data, size, part, 3);
    repair(&part[0]);
    read_card(&part[1], &perm);
    parse_split(&part[2], &perm);
    cs_arena_release(&perm);
    return 0;
}
