/* A pickle from any bytes: an error with a place, or a tree that can be walked to its leaves within its limit of depth. Memory is bounded. */
#include "fuzz/fuzz.h"

#include "base/mem.h"
#include "fmt/pickle.h"

#include <string.h>

/* Looks at every value below v, at most `budget` of them: a pickle may hold one value in many places. */
static void walk(const cs_pickle *p, cs_pk_value v, int depth, int *budget)
{
    size_t n, len;
    FUZZ_CHECK(depth <= CS_PK_MAX_DEPTH + 1 && v.kind > CS_PK_UNSET && v.kind <= CS_PK_OPAQUE && v.at < p->bytes);
    if (--*budget < 0)
        return;
    const cs_pk_value *item = cs_pickle_items(p, v, &n);
    const char *text = cs_pickle_text(p, v, &len);
    FUZZ_CHECK((v.kind == CS_PK_STR) == (text != NULL) && len <= p->bytes && cs_pk_kind_name(v.kind)[0]);
    const cs_pk_global *g = cs_pickle_global(p, v);
    FUZZ_CHECK((g != NULL) == (v.kind == CS_PK_GLOBAL || v.kind == CS_PK_OPAQUE) && (!g || (g->name_len > 0 && g->module_len <= CS_PK_MAX_GLOBAL)));
    if (v.kind == CS_PK_TENSOR)
        FUZZ_CHECK(p->tensor[v.u.index].storage < p->n_storage && p->tensor[v.u.index].ndim <= CS_PK_MAX_DIMS);
    if (v.kind == CS_PK_DICT || v.kind == CS_PK_OBJECT)
        FUZZ_CHECK(n % 2 == 0);
    for (size_t i = 0; i < n; i++)
        walk(p, item[i], depth + 1, budget);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cs_pickle p;
    cs_error err = {0};
    cs_pk_value v;
    int64_t held = cs_mem_bytes();
    int budget = 100000;
    cs_status s = cs_pickle_init(&p, data, size, "f", &err);
    FUZZ_CHECK((size_t)(cs_mem_peak() - held) <= CS_PK_MEMORY * (size < 65536 ? 65536 : size) + 65536);
    if (s != CS_OK) {
        FUZZ_CHECK(err.status == CS_E_FORMAT && strstr(err.msg, "f: pickle byte ") && cs_mem_bytes() == held);
        return 0;
    }
    walk(&p, p.root, 1, &budget);
    cs_pickle_find(&p, p.root, "model.0.layers.weight", &v);
    uint32_t *list;
    size_t n;
    FUZZ_CHECK(cs_pickle_foreign(&p, &list, &n, &err) == CS_OK && n <= p.n_global);
    cs_free(list);
    cs_pickle_release(&p);
    FUZZ_CHECK(cs_mem_bytes() == held);
    return 0;
}
