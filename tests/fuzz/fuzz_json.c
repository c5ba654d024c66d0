/* JSON: what the strict gate takes the lenient one takes as an equal tree; what either takes is written and read again as an equal tree. The tree
 * is no deeper than the limit, and its members are read by each getter without a fault. */
// seeds: tests/data/*.json tests/data/json/*.json $CS_SHARED_DATA/json/test_parsing/*.json
#include "fuzz/fuzz.h"

#include "base/mem.h"
#include "fmt/json.h"

static void round_trip(const json_t *v)
{
    json_t *again = NULL;
    cs_str text = {0};
    cs_error err = {0};
    FUZZ_CHECK(cs_json_dump(v, 0, &text, &err) == CS_OK);
    FUZZ_CHECK(cs_json_parse(cs_str_cstr(&text), text.len, "again", &again, &err) == CS_OK);
    FUZZ_CHECK(json_equal(v, again));
    json_decref(again);
    cs_str_release(&text);
}

static int depth_of(const json_t *v)
{
    int deepest = 0;
    const char *key;
    size_t i;
    json_t *item;
    if (json_is_object(v)) {
        json_object_foreach((json_t *)v, key, item)
        {
            int d = depth_of(item);
            deepest = d > deepest ? d : deepest;
        }
    } else if (json_is_array(v)) {
        json_array_foreach(v, i, item)
        {
            int d = depth_of(item);
            deepest = d > deepest ? d : deepest;
        }
    } else {
        return 0;
    }
    return deepest + 1;
}

/* A getter gives CS_OK or names the key; it never depends on the type. */
static void getters(const json_t *v)
{
    const char *key;
    json_t *item;
    cs_error err = {0};
    int64_t i;
    double x;
    bool b;
    const char *s;
    if (!json_is_object(v))
        return;
    json_object_foreach((json_t *)v, key, item)
    {
        cs_status got[4] = {cs_json_get_int(v, key, "f", &i, &err), cs_json_get_real(v, key, "f", &x, &err), cs_json_get_bool(v, key, "f", &b, &err),
                            cs_json_get_str(v, key, "f", &s, &err)};
        for (int k = 0; k < 4; k++)
            FUZZ_CHECK(got[k] == CS_OK || got[k] == CS_E_FORMAT);
        FUZZ_CHECK(!json_is_null(item) || (got[0] == CS_OK && got[3] == CS_OK));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t *strict = NULL, *lenient = NULL;
    cs_error err = {0};
    cs_status s = cs_json_parse((const char *)data, size, "f", &strict, &err);
    FUZZ_CHECK(s == CS_OK || fuzz_refused(s, CS_E_FORMAT, &err));
    cs_status l = cs_json_parse_lenient((const char *)data, size, "f", &lenient, &err);
    FUZZ_CHECK(l == CS_OK || fuzz_refused(l, CS_E_FORMAT, &err));
    FUZZ_CHECK(s != CS_OK || (l == CS_OK && json_equal(strict, lenient)));
    if (l == CS_OK) {
        FUZZ_CHECK(depth_of(lenient) <= 64);
        round_trip(lenient);
        getters(lenient);
    }
    json_decref(strict);
    json_decref(lenient);
    return 0;
}
