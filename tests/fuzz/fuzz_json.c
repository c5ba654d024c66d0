/* JSON: what is accepted is written and read again as an equal tree. */
// seeds: tests/data/*.json
#include "base/mem.h"
#include "fmt/json.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t *v = NULL, *again = NULL;
    cs_error err = {0};
    cs_status s = cs_json_parse_lenient((const char *)data, size, "fuzz", &v, &err);
    if (s != CS_OK) {
        if (s != CS_E_FORMAT || err.msg[0] == '\0')
            abort();
        return 0;
    }
    cs_str text = {0};
    if (cs_json_dump(v, 0, &text, &err) != CS_OK || cs_json_parse(cs_str_cstr(&text), text.len, "again", &again, &err) != CS_OK ||
        !json_equal(v, again))
        abort();
    json_decref(v);
    json_decref(again);
    cs_str_release(&text);
    return 0;
}
