/* PyTorch checkpoints: files of torch.save against what PyTorch says is in them, a real checkpoint, and hostile ones. */
#include "base/failpoint.h"
#include "base/io.h"
#include "base/mem.h"
#include "fmt/json.h"
#include "fmt/torch_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "data_path.h"
#include "zip_build.h"

static uint8_t *read_file(const char *path, size_t *size)
{
    uint8_t *data;
    cs_error err = {0};
    if (cs_io_read_all(path, (size_t)1 << 30, &data, size, &err) != CS_OK)
        fail_msg("%s", err.msg);
    uint8_t *exact = malloc(*size);
    memcpy(exact, data, *size);
    cs_free(data);
    return exact;
}

static uint8_t *read_sample(const char *name, size_t *size)
{
    char path[512];
    snprintf(path, sizeof path, "%s/torch/%s", TEST_DATA, name);
    return read_file(path, size);
}

static int64_t number(const json_t *row, const char *key, size_t i)
{
    const json_t *v = json_object_get(row, key);
    return json_integer_value(json_is_array(v) ? json_array_get(v, i) : v);
}

/* Elements in pieces of odd sizes must be the same as all at once. */
static void check_elements(const cs_torch_tensor *t, const char *hex, const char *name)
{
    size_t size = cs_dtype_size(t->dtype), bytes = (size_t)t->n * size;
    uint8_t *all = malloc(bytes + 1), *parts = malloc(bytes + 1);
    char *text = malloc(2 * bytes + 1);
    cs_torch_read(t, 0, t->n, all);
    text[0] = '\0';
    for (size_t i = 0; i < bytes; i++)
        snprintf(text + 2 * i, 3, "%02x", all[i]);
    if (strcmp(text, hex) != 0)
        fail_msg("%s: %s, expected %s", name, text, hex);
    for (int64_t step = 1; step < 8; step++) {
        for (int64_t lo = 0; lo < t->n; lo += step) {
            int64_t n = t->n - lo < step ? t->n - lo : step;
            cs_torch_read(t, lo, n, parts + (size_t)lo * size);
        }
        assert_memory_equal(all, parts, bytes);
    }
    free(text);
    free(parts);
    free(all);
}

static void check_tensor(const cs_torch_file *f, const cs_torch_named *item, const json_t *row, const uint8_t *bytes)
{
    const cs_torch_tensor *t = item->tensor;
    const char *name = json_string_value(json_object_get(row, "name"));
    assert_string_equal(item->name, name);
    assert_string_equal(cs_dtype_name(t->dtype), json_string_value(json_object_get(row, "dtype")));
    assert_int_equal(t->ndim, json_array_size(json_object_get(row, "shape")));
    for (int i = 0; i < t->ndim; i++)
        if (t->shape[i] != number(row, "shape", (size_t)i) || (t->n > 0 && t->stride[i] != number(row, "stride", (size_t)i)))
            fail_msg("%s: shape or stride %d", name, i);
    assert_int_equal(t->first, number(row, "first", 0));
    assert_int_equal(t->requires_grad, json_is_true(json_object_get(row, "grad")));
    assert_ptr_equal(t->data, bytes + t->offset);
    assert_true(t->storage < f->n_storages);
    check_elements(t, json_string_value(json_object_get(row, "hex")), name);
}

/* Two tensors share a storage here exactly when they did in PyTorch. */
static void check_sharing(const cs_torch_list *list, const json_t *rows)
{
    for (size_t i = 0; i < list->n; i++)
        for (size_t k = 0; k < i; k++) {
            bool want = number(json_array_get(rows, i), "storage", 0) == number(json_array_get(rows, k), "storage", 0);
            if ((list->item[i].tensor->storage == list->item[k].tensor->storage) != want)
                fail_msg("storages of %s and %s", list->item[i].name, list->item[k].name);
        }
}

static void check_sample(const char *name, const json_t *want)
{
    size_t size;
    cs_torch_file f;
    cs_torch_list list;
    cs_error err = {0};
    int64_t held = cs_mem_bytes();
    uint8_t *bytes = read_sample(name, &size);
    const json_t *rows = json_object_get(want, "tensors"), *message = json_object_get(want, "error");
    assert_true(cs_torch_sniff(bytes, size));
    cs_status s = cs_torch_file_init(&f, bytes, size, name, &err);
    bool opened = s == CS_OK;
    if (opened)
        s = cs_torch_list_init(&list, &f, f.pickle.root, &err);
    if (message) {
        if (s != CS_E_FORMAT || !strstr(err.msg, json_string_value(message)) || !strstr(err.msg, "byte "))
            fail_msg("%s: status %d, message '%s' lacks '%s'", name, s, err.msg, json_string_value(message));
    } else {
        if (s != CS_OK)
            fail_msg("%s", err.msg);
        assert_int_equal(list.n, json_array_size(rows));
        for (size_t i = 0; i < list.n; i++) {
            check_tensor(&f, &list.item[i], json_array_get(rows, i), bytes);
            assert_ptr_equal(cs_torch_list_find(&list, list.item[i].name), list.item[i].tensor);
        }
        check_sharing(&list, rows);
        assert_null(cs_torch_list_find(&list, "absent"));
        assert_int_equal(cs_torch_check_all(&f, &err), CS_OK);
        cs_torch_list_release(&list);
    }
    if (opened)
        cs_torch_file_release(&f);
    assert_int_equal(cs_mem_bytes(), held);
    free(bytes);
}

static void test_samples(void **state)
{
    (void)state;
    char path[512];
    json_t *expected, *want;
    cs_error err = {0};
    const char *name;
    snprintf(path, sizeof path, "%s/torch/expected.json", TEST_DATA);
    if (cs_json_load(path, 1 << 20, &expected, &err) != CS_OK)
        fail_msg("%s", err.msg);
    assert_true(json_object_size(expected) >= 15);
    json_object_foreach(expected, name, want)
        check_sample(name, want);
    json_decref(expected);
}

/* Values beside the tensors: arguments, numbers, opaque ones and their names. */
static void test_training_values(void **state)
{
    (void)state;
    size_t size, n;
    cs_torch_file f;
    cs_torch_list list;
    cs_error err = {0};
    uint8_t *bytes = read_sample("training.pt", &size);
    if (cs_torch_file_init(&f, bytes, size, "training.pt", &err) != CS_OK)
        fail_msg("%s", err.msg);
    const cs_pickle *p = &f.pickle;
    cs_pk_value v;
    assert_true(cs_pickle_find(p, p->root, "args", &v) && v.kind == CS_PK_OBJECT);
    assert_true(cs_pickle_find(p, p->root, "args.num_layers", &v) && v.u.i == 2);
    assert_true(cs_pickle_find(p, p->root, "args.padded_vocab_size", &v) && v.u.i == (int64_t)1 << 40);
    assert_true(cs_pickle_find(p, p->root, "args.negative", &v) && v.u.i == -70000);
    assert_true(cs_pickle_find(p, p->root, "args.lr", &v) && v.kind == CS_PK_FLOAT && v.u.f == 1e-4);
    assert_true(cs_pickle_find(p, p->root, "args.fp16", &v) && v.kind == CS_PK_BOOL && v.u.i);
    assert_true(cs_pickle_find(p, p->root, "args.none", &v) && v.kind == CS_PK_NONE);
    assert_true(cs_pickle_find(p, p->root, "args.name", &v) && cs_pickle_text_is(p, v, "\xe6\xa8\xa1\xe5\x9e\x8b"));
    assert_true(cs_pickle_find(p, p->root, "args.data_path.1", &v) && cs_pickle_text_is(p, v, "x"));
    assert_true(cs_pickle_find(p, p->root, "args.nested.a.3", &v) && v.u.i == 4);
    assert_true(cs_pickle_find(p, p->root, "args.params_dtype", &v) && v.kind == CS_PK_GLOBAL);
    assert_true(cs_pickle_find(p, p->root, "checkpoint_version", &v) && v.u.f == 3.0);
    assert_true(cs_pickle_find(p, p->root, "size", &v) && cs_pickle_items(p, v, &n)[1].u.i == 3 && n == 2);
    assert_true(cs_pickle_find(p, p->root, "optimizer.param_groups.0.betas.1", &v) && v.u.f == 0.999);
    assert_true(cs_pickle_find(p, p->root, "optimizer.state.0.exp_avg", &v) && v.kind == CS_PK_TENSOR);
    static const char *const opaque[] = {"opaque", "numpy_scalar", "set", "bytes", "complex", "huge", "counter", "default"};
    for (size_t i = 0; i < sizeof opaque / sizeof *opaque; i++)
        assert_true(cs_pickle_find(p, p->root, opaque[i], &v) && v.kind == CS_PK_OPAQUE);
    assert_true(cs_pickle_find(p, p->root, "opaque", &v));
    const cs_pk_global *g = cs_pickle_global(p, v);
    assert_memory_equal(g->module, "somewhere", g->module_len);
    assert_memory_equal(g->name, "NotKnown", g->name_len);
    assert_true(cs_pickle_find(p, p->root, "model.language_model.encoder", &v)); /* what a caller asks for, by path */
    assert_int_equal(cs_torch_list_init(&list, &f, v, &err), CS_OK);
    assert_int_equal(list.n, 4);
    assert_string_equal(list.item[0].name, "layers.0.attention.query_key_value.weight");
    cs_torch_list_release(&list);
    assert_true(cs_pickle_find(p, p->root, "iteration", &v));
    assert_int_equal(cs_torch_list_init(&list, &f, v, &err), CS_E_FORMAT);
    assert_non_null(strstr(err.msg, "found int, expected a dict"));
    cs_torch_file_release(&f);
    free(bytes);
}

/* A checkpoint of 48 weights and their AdamW state as people publish them. */
static void test_real(void **state)
{
    (void)state;
    const char *shared = getenv("CS_SHARED_DATA");
    char path[512];
    cs_map map;
    cs_error err = {0};
    if (!shared) {
        print_message("CS_SHARED_DATA is not set\n");
        skip();
    }
    snprintf(path, sizeof path, "%s/models/saltyduck/ckpt.pt", shared);
    assert_int_equal(cs_map_init(&map, path, &err), CS_OK);
    cs_torch_file f;
    cs_torch_list list;
    cs_pk_value model, v;
    if (cs_torch_file_init(&f, map.data, map.size, path, &err) != CS_OK)
        fail_msg("%s", err.msg);
    assert_int_equal(f.zip.n, 191);
    assert_int_equal(f.n_storages, 189);
    assert_int_equal(cs_torch_check_all(&f, &err), CS_OK);
    assert_true(cs_pickle_find(&f.pickle, f.pickle.root, "model_args.n_kv_heads", &v) && v.u.i == 4);
    assert_true(cs_pickle_find(&f.pickle, f.pickle.root, "model", &model));
    assert_int_equal(cs_torch_list_init(&list, &f, model, &err), CS_OK);
    assert_int_equal(list.n, 48);
    const cs_torch_tensor *embed = cs_torch_list_find(&list, "tok_embeddings.weight"), *head = cs_torch_list_find(&list, "output.weight");
    assert_true(embed && embed->dtype == CS_F32 && embed->ndim == 2 && embed->shape[0] == 512 && embed->shape[1] == 64 && embed->contiguous);
    assert_true(head && head->storage == embed->storage); /* tied */
    cs_torch_list_release(&list);
    assert_int_equal(cs_torch_list_init(&list, &f, f.pickle.root, &err), CS_OK); /* the optimizer's too */
    assert_int_equal(list.n, 48 + 3 * 47 + 1); /* and best_val_loss */
    cs_torch_list_release(&list);
    cs_torch_file_release(&f);
    cs_map_release(&map);
}

/* ---- hostile files, built around a pickle ---- */

#define TEXT(s) (s), sizeof(s) - 1
#define REBUILD "ctorch._utils\n_rebuild_tensor_v2\n"
#define STORAGE(type, n) "(X\7\0\0\0storagectorch\n" type "Storage\nX\1\0\0\0" "0X\3\0\0\0cpuK" n "tQ"
#define TENSOR(storage, offset, size, stride) REBUILD "(" storage offset size stride "\x89}tR"
#define WITH(value) "\x80\2}X\1\0\0\0w" value "s."
#define HUGE "\x8a\x8\xff\xff\xff\xff\xff\xff\xff\x7f" /* 2^63 - 1 */

typedef struct parts {
    const char *pickle;
    size_t n;
    size_t storage; /* bytes of data/0; SIZE_MAX = no such entry */
    const char *version, *order, *extra; /* NULL: the usual version, the usual byteorder, no further entry */
} parts;

static uint8_t *build(const parts *in, size_t *size)
{
    zip_build z = {.b = calloc(1, 1 << 17)};
    uint8_t data[256];
    for (int i = 0; i < 256; i++)
        data[i] = (uint8_t)i;
    zip_add(&z, "x/data.pkl", in->pickle, in->n);
    if (!in->order || *in->order)
        zip_add(&z, "x/byteorder", in->order ? in->order : "little", strlen(in->order ? in->order : "little"));
    if (in->storage != SIZE_MAX)
        zip_add(&z, "x/data/0", data, in->storage);
    if (in->extra)
        zip_add(&z, in->extra, "x", 1);
    if (!in->version || *in->version)
        zip_add(&z, "x/version", in->version ? in->version : "3\n", strlen(in->version ? in->version : "3\n"));
    zip_finish(&z);
    uint8_t *exact = malloc(z.n);
    memcpy(exact, z.b, z.n);
    free(z.b);
    *size = z.n;
    return exact;
}

/* Opens and lists everything; the elements of all tensors are read. */
static cs_status open_all(const uint8_t *bytes, size_t size, cs_error *err)
{
    cs_torch_file f;
    cs_torch_list list;
    CS_TRY(cs_torch_file_init(&f, bytes, size, "x.pt", err));
    for (uint32_t i = 0; i < f.pickle.n_tensor; i++) {
        uint8_t *out = malloc((size_t)f.tensor[i].n * cs_dtype_size(f.tensor[i].dtype) + 1);
        cs_torch_read(&f.tensor[i], 0, f.tensor[i].n, out);
        free(out);
    }
    cs_status s = cs_torch_list_init(&list, &f, f.pickle.root, err);
    if (s == CS_OK)
        cs_torch_list_release(&list);
    cs_torch_file_release(&f);
    return s;
}

static const struct {
    const char *label;
    parts in;
    const char *word;
} hostile[] = {
    {"tensor of os.system", {TEXT(WITH(TENSOR("cos\nsystem\nX\2\0\0\0id\x85R", "K\0", ")", ")"))), 4, 0, 0, 0}, "\"w\" depends on os.system (byte"},
    {"storage by eval", {TEXT(WITH(TENSOR("(X\7\0\0\0storagecbuiltins\neval\nX\1\0\0\0" "0X\3\0\0\0cpuK\1tQ", "K\0", ")", ")"))), 4, 0, 0, 0},
     "\"w\" depends on builtins.eval"},
    {"shape by getattr", {TEXT(WITH(TENSOR(STORAGE("Float", "\1"), "K\0", "c__builtin__\ngetattr\n)R\x85", "K\1\x85"))), 4, 0, 0, 0},
     "\"w\" depends on __builtin__.getattr"},
    {"tensor rebuilt by a hook", {TEXT(WITH("cposix\nsystem\n" TENSOR(STORAGE("Float", "\1"), "K\0", ")", ")") "\x85R")), 4, 0, 0, 0},
     "\"w\" depends on posix.system"},
    {"tensor in an unknown object", {TEXT(WITH("cm\nNet\n)\x81}X\1\0\0\0a" TENSOR(STORAGE("Float", "\1"), "K\0", ")", ")") "sb")), 4, 0, 0, 0},
     "\"w\" depends on m.Net"},
    {"root of an unknown type", {TEXT("\x80\2cm\nNet\n)\x81}b."), 4, 0, 0, 0}, "\"(all)\" depends on m.Net"},
    {"storage missing", {TEXT(WITH(TENSOR(STORAGE("Float", "\1"), "K\0", ")", ")"))), SIZE_MAX, 0, 0, 0}, "\"data/0\" is not in the file"},
    {"storage too small", {TEXT(WITH(TENSOR(STORAGE("Float", "\2"), "K\0", ")", ")"))), 7, 0, 0, 0}, "has 7 bytes"},
    {"storage too large", {TEXT(WITH(TENSOR(STORAGE("Float", "\2"), "K\0", ")", ")"))), 9, 0, 0, 0}, "has 9 bytes"},
    {"storage empty", {TEXT(WITH(TENSOR(STORAGE("Float", "\2"), "K\0", ")", ")"))), 0, 0, 0, 0}, "has 0 bytes"},
    {"storage of another type's size", {TEXT(WITH(TENSOR(STORAGE("Double", "\2"), "K\0", ")", ")"))), 8, 0, 0, 0}, "has 8 bytes"},
    {"storage size overflows",
     {TEXT(WITH(TENSOR("(X\7\0\0\0storagectorch\nDoubleStorage\nX\1\0\0\0" "0X\3\0\0\0cpu" HUGE "tQ", "K\0", ")", ")"))), 8, 0, 0, 0},
     "9223372036854775807 f64 elements"},
    {"one storage with two types",
     {TEXT(WITH("]" TENSOR(STORAGE("Float", "\1"), "K\0", ")", ")") "a" TENSOR(STORAGE("Int", "\1"), "K\0", ")", ")") "a")), 4, 0, 0, 0},
     "is of type i32 here and f32 before"},
    {"one storage with two sizes",
     {TEXT(WITH("]" TENSOR(STORAGE("Float", "\2"), "K\0", ")", ")") "a" TENSOR(STORAGE("Float", "\1"), "K\0", ")", ")") "a")), 8, 0, 0, 0},
     "1 f32 elements, but its entry"},
    {"storage that no tensor uses, wrong size", {TEXT(WITH("]" STORAGE("Float", "\1") "a")), 5, 0, 0, 0}, "has 5 bytes"},
    {"tensor behind its storage", {TEXT(WITH(TENSOR(STORAGE("Float", "\4"), "K\0", "K\5\x85", "K\1\x85"))), 16, 0, 0, 0}, "reaches behind the 4"},
    {"offset behind its storage", {TEXT(WITH(TENSOR(STORAGE("Float", "\4"), "K\4", ")", ")"))), 16, 0, 0, 0}, "reaches behind the 4"},
    {"empty tensor far behind", {TEXT(WITH(TENSOR(STORAGE("Float", "\4"), "K\5", "K\0\x85", "K\1\x85"))), 16, 0, 0, 0}, "reaches behind the 4"},
    {"stride behind its storage",
     {TEXT(WITH(TENSOR(STORAGE("Float", "\4"), "K\0", "K\2K\2\x86", "K\3K\1\x86"))), 16, 0, 0, 0}, "reaches behind the 4"},
    {"shape that overflows",
     {TEXT(WITH(TENSOR(STORAGE("Float", "\4"), "K\0", HUGE HUGE "\x86", "K\0K\0\x86"))), 16, 0, 0, 0}, "reaches behind the 4"},
    {"shape whose bytes overflow", {TEXT(WITH(TENSOR(STORAGE("Float", "\4"), "K\0", HUGE "\x85", "K\0\x85"))), 16, 0, 0, 0}, "repeats the 4"},
    {"stride that overflows", {TEXT(WITH(TENSOR(STORAGE("Float", "\4"), "K\0", "K\3\x85", HUGE "\x85"))), 16, 0, 0, 0}, "reaches behind the 4"},
    {"offset that overflows", {TEXT(WITH(TENSOR(STORAGE("Float", "\4"), HUGE, "K\1\x85", "K\1\x85"))), 16, 0, 0, 0}, "reaches behind the 4"},
    {"repeated a million times", {TEXT(WITH(TENSOR(STORAGE("Float", "\1"), "K\0", "J\x40\x42\x0f\0\x85", "K\0\x85"))), 4, 0, 0, 0}, "repeats the 1"},
    {"big-endian", {TEXT(WITH("N")), 4, 0, "big", 0}, "byte order"},
    {"no byte order known", {TEXT(WITH("N")), 4, 0, "little\n", 0}, "byte order"},
    {"no version", {TEXT(WITH("N")), 4, "", 0, 0}, "no entry \"version\""},
    {"version 0", {TEXT(WITH("N")), 4, "0\n", 0, 0}, "format version"},
    {"version 11", {TEXT(WITH("N")), 4, "11\n", 0, 0}, "format version"},
    {"version of letters", {TEXT(WITH("N")), 4, "abc", 0, 0}, "format version"},
    {"TorchScript", {TEXT(WITH("N")), 4, 0, 0, "x/constants.pkl"}, "TorchScript"},
    {"another folder", {TEXT(WITH("N")), 4, 0, 0, "y/data.pkl"}, "\"y/data.pkl\" is not in the folder"},
    {"another folder with the same start", {TEXT(WITH("N")), 4, 0, 0, "xx/data"}, "is not in the folder"},
    {"second data.pkl", {TEXT(WITH("N")), 4, 0, 0, "x/data.pkl"}, "second entry named"},
    {"entry above the folder", {TEXT(WITH("N")), 4, 0, 0, "x/../../data"}, "entry name that is"},
    {"root that is a number", {TEXT("\x80\2K\1."), 4, 0, 0, 0}, "found int, expected a dict"},
    {"two tensors of one name",
     {TEXT("\x80\2}(X\3\0\0\0a.b" TENSOR(STORAGE("Float", "\1"), "K\0", ")", ")") "q\1X\1\0\0\0a}X\1\0\0\0bh\1su."), 4, 0, 0, 0},
     "two tensors are named \"a.b\""},
    {"key with a newline", {TEXT("\x80\2}X\1\0\0\0\n" TENSOR(STORAGE("Float", "\1"), "K\0", ")", ")") "s."), 4, 0, 0, 0}, "control character"},
    {"key with NUL", {TEXT("\x80\2}X\1\0\0\0\0" TENSOR(STORAGE("Float", "\1"), "K\0", ")", ")") "s."), 4, 0, 0, 0}, "control character"},
    {"key that is a tuple", {TEXT("\x80\2}K\1\x85" TENSOR(STORAGE("Float", "\1"), "K\0", ")", ")") "s."), 4, 0, 0, 0}, "neither text nor a number"},
    {"pickle cut off", {TEXT("\x80\2}X\1\0\0\0w"), 4, 0, 0, 0}, "ends without STOP"},
    {"pickle empty", {TEXT(""), 4, 0, 0, 0}, "no pickle of protocol"},
};

static void test_hostile(void **state)
{
    (void)state;
    assert_true(sizeof hostile / sizeof *hostile >= 40);
    for (size_t i = 0; i < sizeof hostile / sizeof *hostile; i++) {
        size_t size;
        cs_error err = {0};
        int64_t held = cs_mem_bytes();
        uint8_t *b = build(&hostile[i].in, &size);
        cs_status s = open_all(b, size, &err);
        if (s != CS_E_FORMAT || !strstr(err.msg, hostile[i].word) || strncmp(err.msg, "x.pt: ", 6) != 0)
            fail_msg("%s: status %d, message '%s' lacks '%s'", hostile[i].label, s, err.msg, hostile[i].word);
        assert_int_equal(cs_mem_bytes(), held);
        free(b);
    }
}

/* What only looks odd is read: unknown objects without tensors, missing byte order, strides of single elements, empty tensors. */
static void test_tolerated(void **state)
{
    (void)state;
    static const parts in[] = {
        {TEXT(WITH("cos\nsystem\nX\2\0\0\0id\x85R")), 4, 0, 0, 0},
        {TEXT(WITH(TENSOR(STORAGE("Float", "\1"), "K\0", ")", ")"))), 4, "10", "", 0},
        {TEXT(WITH(TENSOR(STORAGE("Float", "\2"), "K\1", "K\1K\1\x86", HUGE HUGE "\x86"))), 8, 0, 0, "x/.data/serialization_id"},
        {TEXT(WITH(TENSOR(STORAGE("Float", "\0"), "K\0", HUGE "K\0" HUGE "\x87", HUGE HUGE HUGE "\x87"))), 0, 0, 0, 0},
        {TEXT(WITH(TENSOR(STORAGE("Float", "\4"), "K\1", "K\2\x85", "K\0\x85"))), 16, "1", 0, 0},
        {TEXT(WITH("(" TENSOR(STORAGE("Byte", "\x9"), "K\0", "K\3K\3\x86", "K\1K\3\x86") "t")), 9, 0, 0, 0},
    };
    for (size_t i = 0; i < sizeof in / sizeof *in; i++) {
        size_t size;
        cs_error err = {0};
        uint8_t *b = build(&in[i], &size);
        if (open_all(b, size, &err) != CS_OK)
            fail_msg("%zu: %s", i, err.msg);
        free(b);
    }
}

/* A dict that gets its tensor after it was put into another: still found. */
static void test_late(void **state)
{
    (void)state;
    static const char body[] = "\x80\2}q\1X\1\0\0\0a}q\2sX\1\0\0\0z(h\2X\1\0\0\0b" TENSOR(STORAGE("Float", "\1"), "K\0", ")", ")") "sts.";
    parts in = {TEXT(body), 4, 0, 0, 0};
    size_t size;
    cs_torch_file f;
    cs_torch_list list;
    cs_error err = {0};
    uint8_t *b = build(&in, &size);
    if (cs_torch_file_init(&f, b, size, "x.pt", &err) != CS_OK || cs_torch_list_init(&list, &f, f.pickle.root, &err) != CS_OK)
        fail_msg("%s", err.msg);
    assert_int_equal(list.n, 2);
    assert_string_equal(list.item[0].name, "a.b");
    assert_string_equal(list.item[1].name, "z.0.b");
    assert_ptr_equal(list.item[0].tensor, list.item[1].tensor);
    cs_torch_list_release(&list);
    cs_torch_file_release(&f);
    free(b);
}

/* Dicts in dicts, each twice in the next: 2^60 names. */
static void test_unfolding(void **state)
{
    (void)state;
    uint8_t body[4096];
    static const char start[] = "\x80\2}X\1\0\0\0w" TENSOR(STORAGE("Float", "\1"), "K\0", ")", ")") "sq\1", unit[] = "}(K\1h\1K\2h\1uq\1";
    size_t n = sizeof start - 1, size;
    cs_error err = {0};
    memcpy(body, "\x80\2", 2); /* everything stays on the stack until one tuple takes it */
    body[2] = '(';
    memcpy(body + 3, start + 2, n - 2);
    n++;
    for (int i = 0; i < 60; i++, n += sizeof unit - 1)
        memcpy(body + n, unit, sizeof unit - 1);
    memcpy(body + n, "t.", 2);
    parts in = {(const char *)body, n + 2, 4, 0, 0, 0};
    int64_t held = cs_mem_bytes();
    uint8_t *b = build(&in, &size);
    assert_int_equal(open_all(b, size, &err), CS_E_FORMAT);
    if (!strstr(err.msg, "far more than the file holds") && !strstr(err.msg, "far longer than the file"))
        fail_msg("%s", err.msg);
    assert_int_equal(cs_mem_bytes(), held);
    free(b);
}

/* Cut at every 1/64, and at every byte of the last kilobyte. */
static void test_truncated(void **state)
{
    (void)state;
    static const char *const names[] = {"dtypes.pt", "views.pt", "training.pt", "protocol4.pt"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        size_t size;
        uint8_t *bytes = read_sample(names[i], &size);
        for (size_t k = 0; k < 64 + 1024; k++) {
            size_t n = k < 64 ? k * size / 64 : size - (k - 63);
            cs_error err = {0};
            uint8_t *cut = malloc(n + 1);
            memcpy(cut, bytes, n);
            assert_int_equal(open_all(cut, n, &err), CS_E_FORMAT);
            assert_true(strstr(err.msg, "byte") != NULL && strncmp(err.msg, "x.pt: ", 6) == 0);
            free(cut);
        }
        free(bytes);
    }
}

/* Every bit of a pickle flipped, with its CRC put right: an error with a place, or a file whose tensors can all be read. */
static void test_mutated(void **state)
{
    (void)state;
    static const char *const names[] = {"views.pt", "list.pt", "protocol4.pt"};
    int accepted = 0, refused = 0;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        size_t size;
        cs_zip zip;
        uint8_t *bytes = read_sample(names[i], &size);
        assert_int_equal(cs_zip_init(&zip, bytes, size, names[i], NULL), CS_OK);
        const cs_zip_entry *pickle = NULL;
        for (size_t k = 0; k < zip.n; k++)
            if (zip.entry[k].name_len > 9 && memcmp(zip.entry[k].name + zip.entry[k].name_len - 9, "/data.pkl", 9) == 0)
                pickle = &zip.entry[k];
        assert_non_null(pickle);
        uint8_t *central = memmem(bytes, size, "PK\1\2", 4); /* the pickle is the first entry */
        for (size_t bit = 0; bit < 8 * pickle->bytes; bit++) {
            cs_error err = {0};
            bytes[pickle->offset + bit / 8] ^= (uint8_t)(1 << bit % 8);
            uint32_t crc = cs_zip_crc(0, pickle->data, pickle->bytes);
            cs_le_put(central + 16, 4, crc);
            cs_le_put(bytes + pickle->offset + pickle->bytes + 4, 4, crc);
            cs_status s = open_all(bytes, size, &err);
            if (s != CS_OK && (s != CS_E_FORMAT || (!strstr(err.msg, "byte ") && !strstr(err.msg, "two tensors"))))
                fail_msg("bit %zu: status %d: %s", bit, s, err.msg);
            accepted += s == CS_OK;
            refused += s != CS_OK;
            bytes[pickle->offset + bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
        cs_zip_release(&zip);
        free(bytes);
    }
    assert_true(accepted > 100 && refused > 1000);
}

/* A damaged storage is found when it is asked for. */
static void test_damage(void **state)
{
    (void)state;
    size_t size;
    cs_torch_file f;
    cs_error err = {0};
    uint8_t *bytes = read_sample("dtypes.pt", &size);
    assert_int_equal(cs_torch_file_init(&f, bytes, size, "dtypes.pt", &err), CS_OK);
    bytes[f.storage[3].entry->offset] ^= 1;
    for (size_t i = 0; i < f.n_storages; i++)
        assert_int_equal(cs_torch_check_storage(&f, i, &err), i == 3 ? CS_E_FORMAT : CS_OK);
    assert_non_null(strstr(err.msg, "the file is damaged"));
    assert_int_equal(cs_torch_check_all(&f, &err), CS_E_FORMAT);
    cs_torch_file_release(&f);
    free(bytes);
}

/* Each allocation fails in turn: status 5, nothing held. */
static void test_no_memory(void **state)
{
    (void)state;
    size_t size;
    uint8_t *bytes = read_sample("training.pt", &size);
    int64_t held = cs_mem_bytes();
    cs_status s = CS_E_NOMEM;
    int n = 1;
    for (; s != CS_OK && n < 10000; n++) {
        char spec[32];
        cs_error err = {0};
        snprintf(spec, sizeof spec, "mem@%d", n);
        assert_int_equal(cs_failpoint_arm(spec, &err), CS_OK);
        s = open_all(bytes, size, &err);
        cs_failpoint_arm(NULL, &err);
        assert_true(s == CS_OK || (s == CS_E_NOMEM && err.status == CS_E_NOMEM));
        assert_int_equal(cs_mem_bytes(), held);
    }
    assert_true(s == CS_OK && n > 40);
    free(bytes);
}

static void test_other_files(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t n;
        const char *word;
    } files[] = {{TEXT(""), "not a zip file"}, {TEXT("PK"), "not a zip file"}, {TEXT("PK\3\4"), "at least 22"}, {TEXT("\x80\2}."), "bare pickle"},
                 {TEXT("\x80\4}."), "bare pickle"}, {TEXT("\x1f\x8b\x08"), "not a zip file"}, {TEXT("GGUF"), "not a zip file"},
                 {TEXT("\x80\3\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."), "before version 1.6"}};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        cs_error err = {0};
        assert_int_equal(open_all((const uint8_t *)files[i].bytes, files[i].n, &err), CS_E_FORMAT);
        if (!strstr(err.msg, files[i].word))
            fail_msg("%s", err.msg);
    }
    assert_false(cs_torch_sniff((const uint8_t *)"GGUF", 4));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_samples), cmocka_unit_test(test_training_values), cmocka_unit_test(test_real), cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_tolerated), cmocka_unit_test(test_late), cmocka_unit_test(test_unfolding), cmocka_unit_test(test_truncated), cmocka_unit_test(test_mutated),
        cmocka_unit_test(test_damage), cmocka_unit_test(test_no_memory), cmocka_unit_test(test_other_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
