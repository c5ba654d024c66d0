/* Lines of JSON. */
#include "cli/jsonl.h"

#include <stdio.h>
#include <string.h>

void cs_jsonl_init(cs_jsonl *it, const char *bytes, size_t len, const char *path)
{
    *it = (cs_jsonl){.at = bytes, .end = bytes + len, .path = path};
}

static bool blank(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\t' || *p == '\r'))
        p++;
    return p == end;
}

cs_status cs_jsonl_next(cs_jsonl *it, json_t **out, cs_error *err)
{
    *out = NULL;
    while (it->at < it->end) {
        const char *start = it->at, *stop = memchr(start, '\n', (size_t)(it->end - start));
        if (!stop)
            stop = it->end;
        it->at = stop < it->end ? stop + 1 : stop;
        it->line++;
        if (blank(start, stop))
            continue;
        snprintf(it->name, sizeof it->name, "%s:%lld", it->path, (long long)it->line);
        CS_TRY(cs_json_parse(start, (size_t)(stop - start), it->name, out, err));
        if (json_is_object(*out))
            return CS_OK;
        json_decref(*out);
        *out = NULL;
        return cs_fail(err, CS_E_FORMAT, "%s: expected a JSON object on each line", it->name);
    }
    return CS_OK;
}
