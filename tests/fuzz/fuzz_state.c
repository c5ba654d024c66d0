/* trainer/state.json: an error, or a state that written has the bytes it has when written again. */
// seeds: tests/fuzz/corpus/state/*
#include "fuzz/fuzz.h"

#include "base/mem.h"
#include "fmt/json.h"
#include "train/state.h"

#include <string.h>

static cs_status write_state(const json_t *o, cs_str *out, cs_error *err)
{
    cs_train_state st;
    cs_train_identity id;
    cs_status s = cs_train_state_from_json(o, "state.json", &st, &id, err);
    if (s == CS_OK)
        FUZZ_CHECK(cs_train_state_to_json(&st, &id, out, err) == CS_OK);
    return s;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t *o = NULL, *back = NULL;
    cs_str first = {0}, second = {0};
    cs_error err = {0};
    if (cs_json_parse((const char *)data, size, "state.json", &o, &err) != CS_OK)
        return 0;
    cs_status s = write_state(o, &first, &err);
    if (s == CS_OK) {
        FUZZ_CHECK(cs_json_parse(cs_str_cstr(&first), first.len, "again", &back, &err) == CS_OK && write_state(back, &second, &err) == CS_OK);
        FUZZ_CHECK(first.len == second.len && memcmp(first.data, second.data, first.len) == 0);
    } else {
        FUZZ_CHECK((s == CS_E_CKPT || s == CS_E_FORMAT) && err.msg[0]);
    }
    json_decref(o);
    json_decref(back);
    cs_str_release(&first);
    cs_str_release(&second);
    return 0;
}
