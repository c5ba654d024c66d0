/* The pickle reader: values, names, memo, paths; a table of hostile pickles; every opcode that is not allowed; bounded memory and depth. */
#include "base/mem.h"
#include "fmt/pickle.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define TEXT(s) (s), sizeof(s) - 1
#define REBUILD "ctorch._utils\n_rebuild_tensor_v2\n"
#define OS_SYSTEM "cos\nsystem\n"
#define EVAL "cbuiltins\neval\n"
#define STORAGE(type, n) "(X\7\0\0\0storagectorch\n" type "Storage\nX\1\0\0\0" "0X\3\0\0\0cpuK" n "tQ"
#define TENSOR(storage, offset, size, stride) REBUILD "(" storage offset size stride "\x89}tR"

/* A copy of "\x80\2" + body at its exact size. */
static uint8_t *make(const char *body, size_t n, size_t *size)
{
    uint8_t *p = malloc(n + 2);
    memcpy(p, "\x80\2", 2);
    memcpy(p + 2, body, n);
    *size = n + 2;
    return p;
}

static uint8_t *open_good(cs_pickle *p, const char *body, size_t n)
{
    size_t size;
    cs_error err = {0};
    uint8_t *b = make(body, n, &size);
    if (cs_pickle_init(p, b, size, "x.pt", &err) != CS_OK)
        fail_msg("%s", err.msg);
    return b;
}

static const struct {
    const char *label, *body;
    size_t n;
    const char *word;
} hostile[] = {
    {"nothing", TEXT(""), "ends without STOP"},
    {"STOP on an empty stack", TEXT("."), "STOP with more or less than one value"},
    {"two values", TEXT("NN."), "STOP with more or less than one value"},
    {"open mark", TEXT("N(."), "STOP with more or less than one value"},
    {"bytes behind STOP", TEXT("N.N"), "1 bytes behind STOP"},
    {"second pickle behind STOP", TEXT("N.\x80\2N."), "bytes behind STOP"},
    {"second PROTO", TEXT("\x80\2N."), "opcode 0x80"},
    {"POP", TEXT("N0."), "opcode 0x30"},
    {"DUP", TEXT("N2."), "opcode 0x32"},
    {"INST", TEXT("(ios\nsystem\n."), "opcode 0x69"},
    {"OBJ", TEXT("(" OS_SYSTEM "o."), "opcode 0x6f"},
    {"NEWOBJ_EX", TEXT(OS_SYSTEM ")}\x92."), "opcode 0x92"},
    {"EXT1", TEXT("\x82\1."), "opcode 0x82"},
    {"PERSID", TEXT("Pos.system\n."), "opcode 0x50"},
    {"STRING", TEXT("S'x'\n."), "opcode 0x53"},
    {"INT as text", TEXT("I99999999999999999999\n."), "opcode 0x49"},
    {"LONG as text", TEXT("L9L\n."), "opcode 0x4c"},
    {"FLOAT as text", TEXT("F1e999\n."), "opcode 0x46"},
    {"UNICODE as text", TEXT("Vx\n."), "opcode 0x56"},
    {"GET as text", TEXT("g0\n."), "opcode 0x67"},
    {"PUT as text", TEXT("Np0\n."), "opcode 0x70"},
    {"LONG4 with a huge count", TEXT("\x8b\xff\xff\xff\x7f."), "opcode 0x8b"},
    {"BINUNICODE8 with a huge count", TEXT("\x8d\xff\xff\xff\xff\xff\xff\xff\xff."), "opcode 0x8d"},
    {"BINBYTES8", TEXT("\x8e\0\0\0\0\0\0\0\0."), "opcode 0x8e"},
    {"BYTEARRAY8", TEXT("\x96\0\0\0\0\0\0\0\0."), "opcode 0x96"},
    {"text longer than the pickle", TEXT("X\xff\xff\xff\xff" "abc."), "4294967295 bytes wanted"},
    {"short text longer than the pickle", TEXT("\x8c\xff" "abc."), "255 bytes wanted"},
    {"byte string longer than the pickle", TEXT("U\xff" "abc."), "255 bytes wanted"},
    {"integer cut off", TEXT("J\1\2"), "4 bytes wanted"},
    {"float cut off", TEXT("G\1\2."), "8 bytes wanted"},
    {"LONG1 cut off", TEXT("\x8a\x08\1."), "8 bytes wanted"},
    {"frame longer than the pickle", TEXT("\x95\xff\xff\xff\xff\xff\xff\xff\xff" "N."), "frame"},
    {"text that is not UTF-8", TEXT("X\2\0\0\0\xc0\xaf."), "not UTF-8"},
    {"text with a surrogate", TEXT("X\3\0\0\0\xed\xa0\x80."), "not UTF-8"},
    {"TUPLE without a mark", TEXT("Nt."), "no mark"},
    {"APPENDS without a mark", TEXT("]e."), "no mark"},
    {"TUPLE2 through a mark", TEXT("N(N\x86."), "too few values"},
    {"TUPLE1 on an empty stack", TEXT("\x85."), "too few values"},
    {"APPEND through a mark", TEXT("](Na."), "too few values"},
    {"APPENDS with no list", TEXT("(Ne."), "no container"},
    {"APPENDS to a list under a mark", TEXT("]((Ne."), "no container"},
    {"APPEND to a tuple", TEXT(")Na."), "values added to tuple"},
    {"APPEND to a dict", TEXT("}Na."), "values added to dict"},
    {"SETITEM on a list", TEXT("]NNs."), "values added to list"},
    {"SETITEMS on a global", TEXT(OS_SYSTEM "(NNu."), "values added to global"},
    {"SETITEMS on a tensor", TEXT(TENSOR(STORAGE("Float", "\1"), "K\0", ")", ")") "(NNu."), "values added to tensor"},
    {"SETITEMS with a key alone", TEXT("}(NNNu."), "key without a value"},
    {"DICT with a key alone", TEXT("(Nd."), "key without a value"},
    {"key twice", TEXT("}(X\1\0\0\0aK\1X\1\0\0\0aK\2u."), "a key that its dict has already"},
    {"key twice, one from the memo", TEXT("}X\1\0\0\0aq\0K\1sh\0K\2s."), "a key that its dict has already"},
    {"integer key twice", TEXT("}(K\1NM\1\0Nu."), "a key that its dict has already"},
    {"True beside 1", TEXT("}(K\1N\x88Nu."), "a key that its dict has already"},
    {"key twice in an OrderedDict", TEXT("ccollections\nOrderedDict\n)R(K\1NK\1Nu."), "a key that its dict has already"},
    {"list as a key", TEXT("}]Ns."), "list as key"},
    {"dict as a key", TEXT("}}Ns."), "dict as key"},
    {"memo that was never filled", TEXT("h\0."), "nothing in the memo"},
    {"memo with a gap", TEXT("NNNNNNNNq\7h\3."), "nothing in the memo"},
    {"memo far behind the end", TEXT("j\xff\xff\xff\xff."), "nothing in the memo"},
    {"memo index that would need 64 GiB", TEXT("Nr\xff\xff\xff\xff."), "memo index larger"},
    {"memo of nothing", TEXT("q\0."), "too few values"},
    {"MEMOIZE of nothing", TEXT("(\x94t."), "too few values"},
    {"list in itself", TEXT("]q\0h\0a."), "list that contains itself"},
    {"dict in itself", TEXT("}q\0K\1h\0s."), "dict that contains itself"},
    {"tuple in its own list", TEXT("]q\0h\0\x85q\1a."), "contains itself"},
    {"loop that the root does not reach", TEXT("(]q\0h\0acx\ny\nh\0\x85Rt."), "contains itself"},
    {"namespace in itself", TEXT("cargparse\nNamespace\n)\x81q\0}X\1\0\0\0ah\0sb."), "contains itself"},
    {"call of text", TEXT("X\4\0\0\0eval)R."), "the callee is not a global but str"},
    {"call of a dict", TEXT("})R."), "the callee is not a global but dict"},
    {"call of what a call made", TEXT(OS_SYSTEM ")R)R."), "the callee is not a global but opaque value"},
    {"NEWOBJ of a list", TEXT("])\x81."), "the callee is not a global"},
    {"call with a list of arguments", TEXT(OS_SYSTEM "]R."), "call of os.system: its arguments are no tuple"},
    {"call of a tensor", TEXT(TENSOR(STORAGE("Float", "\1"), "K\0", ")", ")") ")R."), "the callee is not a global"},
    {"REDUCE with nothing", TEXT(")R."), "too few values"},
    {"BUILD with nothing", TEXT("}b."), "too few values"},
    {"state for list", TEXT("]}b."), "state for list"},
    {"state for a plain dict", TEXT("}}b."), "state for a plain dict"},
    {"state for global", TEXT(OS_SYSTEM "}b."), "state for global"},
    {"state for tensor", TEXT(TENSOR(STORAGE("Float", "\1"), "K\0", ")", ")") "}b."), "state for tensor"},
    {"state of a namespace that is no dict", TEXT("cargparse\nNamespace\n)\x81]b."), "not one dict"},
    {"state of a namespace twice", TEXT("cargparse\nNamespace\n)\x81}K\1Nsb}b."), "not one dict"},
    {"namespace with arguments", TEXT("cargparse\nNamespace\nN\x85R."), "takes no arguments"},
    {"global without a name", TEXT("cos\nsystem"), "does not end"},
    {"global with an empty module", TEXT("c\nsystem\n."), "empty, too long or not printable"},
    {"global with a control character", TEXT("cos\nsys\x1b[2Jtem\n."), "not printable"},
    {"STACK_GLOBAL of numbers", TEXT("K\1K\2\x93."), "not text"},
    {"STACK_GLOBAL with one value", TEXT("\x8c\2os\x93."), "too few values"},
    {"OrderedDict of a number", TEXT("ccollections\nOrderedDict\nK\1\x85R."), "one list of pairs"},
    {"OrderedDict of triples", TEXT("ccollections\nOrderedDict\n]NNN\x87" "a\x85R."), "one list of pairs"},
    {"Size of text", TEXT("ctorch\nSize\nX\1\0\0\0a\x85R."), "its argument is not a tuple"},
    {"Size of a negative number", TEXT("ctorch\nSize\nJ\xff\xff\xff\xff\x85\x85R."), "its argument is not a tuple"},
    {"storage type called", TEXT("ctorch\nFloatStorage\nK\1\x85R."), "is not called"},
    {"persistent id that is text", TEXT("X\1\0\0\0aQ."), "persistent id that is not"},
    {"persistent id of another kind", TEXT("(X\6\0\0\0moduleNNNNtQ."), "persistent id that is not"},
    {"persistent id of six", TEXT("(X\7\0\0\0storageNNNNNtQ."), "persistent id that is not"},
    {"storage of no type", TEXT("(X\7\0\0\0storageX\5\0\0\0FloatX\1\0\0\0" "0X\3\0\0\0cpuK\1tQ."), "not a storage type"},
    {"storage of the type OrderedDict", TEXT("(X\7\0\0\0storageccollections\nOrderedDict\nX\1\0\0\0" "0X\3\0\0\0cpuK\1tQ."), "not a storage type"},
    {"storage key with a path", TEXT("(X\7\0\0\0storagectorch\nFloatStorage\nX\4\0\0\0../0X\3\0\0\0cpuK\1tQ."), "storage key that is not"},
    {"storage key that is a number", TEXT("(X\7\0\0\0storagectorch\nFloatStorage\nK\0X\3\0\0\0cpuK\1tQ."), "storage key that is not"},
    {"storage of negative size", TEXT("(X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\0" "0X\3\0\0\0cpuJ\xff\xff\xff\xfftQ."),
     "whose size is not a number"},
    {"tensor without arguments", TEXT(REBUILD ")R."), "wrong number of arguments"},
    {"tensor of a number", TEXT(TENSOR("K\1", "K\0", ")", ")") "."), "not a storage"},
    {"tensor with a negative offset", TEXT(TENSOR(STORAGE("Float", "\1"), "J\xff\xff\xff\xff", ")", ")") "."), "offset is not a number"},
    {"tensor with a negative size", TEXT(TENSOR(STORAGE("Float", "\1"), "K\0", "J\xff\xff\xff\xff\x85", "K\1\x85") "."), "size and stride"},
    {"tensor with a negative stride", TEXT(TENSOR(STORAGE("Float", "\1"), "K\0", "K\1\x85", "J\xff\xff\xff\xff\x85") "."), "size and stride"},
    {"tensor with fewer strides", TEXT(TENSOR(STORAGE("Float", "\1"), "K\0", "K\1\x85", ")") "."), "size and stride"},
    {"tensor of nine dimensions", TEXT(TENSOR(STORAGE("Float", "\1"), "K\0", "(K\1K\1K\1K\1K\1K\1K\1K\1K\1t", ")") "."), "size and stride"},
    {"tensor with a list as size", TEXT(TENSOR(STORAGE("Float", "\1"), "K\0", "]", ")") "."), "size and stride"},
    {"parameter of a number", TEXT("ctorch._utils\n_rebuild_parameter\nK\1\x89}\x87R."), "not a tensor"},
    {"typed tensor by a dict's function", TEXT("ctorch._tensor\n_rebuild_from_type_v2\n(ccollections\nOrderedDict\nctorch\nTensor\n)}tR."),
     "does not build tensors"},
    {"typed tensor by itself", TEXT("ctorch._tensor\n_rebuild_from_type_v2\nq\0(h\0ctorch\nTensor\n)}tR."), "does not build tensors"},
};

static void expect_bad(const uint8_t *b, size_t n, const char *word, const char *label)
{
    cs_pickle p;
    cs_error err = {0};
    int64_t held = cs_mem_bytes();
    cs_status s = cs_pickle_init(&p, b, n, "x.pt", &err);
    if (s != CS_E_FORMAT || !strstr(err.msg, word) || !strstr(err.msg, "x.pt: pickle byte "))
        fail_msg("%s: status %d, message '%s' lacks '%s'", label, s, err.msg, word);
    assert_int_equal(cs_mem_bytes(), held);
}

static void test_hostile(void **state)
{
    (void)state;
    assert_true(sizeof hostile / sizeof *hostile >= 40);
    for (size_t i = 0; i < sizeof hostile / sizeof *hostile; i++) {
        size_t size;
        uint8_t *b = make(hostile[i].body, hostile[i].n, &size);
        expect_bad(b, size, hostile[i].word, hostile[i].label);
        free(b);
    }
}

static void test_protocols(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "\x80", "N.", "\x80\1N.", "\x80\6N.", "}.", "(dp0\n."};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        expect_bad((const uint8_t *)bad[i], strlen(bad[i]), "no pickle of protocol 2 to 5", bad[i]);
    expect_bad((const uint8_t *)"\x80\0N.", 4, "no pickle of protocol", "0");
}

/* Each of the 256 opcodes with operands enough for any: those outside the list are named in the message. */
static void test_opcodes(void **state)
{
    (void)state;
    static const char allowed[] = "(.NGJKMQRUXabcd}ehjl]qrst)u\x81\x85\x86\x87\x88\x89\x8a\x8c\x8f\x93\x94\x95";
    int refused = 0;
    for (int op = 0; op < 256; op++) {
        uint8_t b[40] = {0x80, 2, 'N', 'N', 'N'};
        char word[40];
        cs_pickle p;
        cs_error err = {0};
        b[5] = (uint8_t)op;
        b[6] = 1;
        snprintf(word, sizeof word, "pickle byte 5: opcode 0x%02x ", op);
        if (cs_pickle_init(&p, b, sizeof b, "x", &err) == CS_OK)
            fail_msg("0x%02x accepted", op);
        bool listed = op != 0 && strchr(allowed, op) != NULL;
        if (listed != (strstr(err.msg, word) == NULL))
            fail_msg("0x%02x: '%s'", op, err.msg);
        refused += !listed;
    }
    assert_int_equal(refused, 256 - 39);
}

static void test_values(void **state)
{
    (void)state;
    static const char body[] = "}(X\1\0\0\0aK\xffX\1\0\0\0bM\xff\xffX\1\0\0\0cJ\xfe\xff\xff\xffX\1\0\0\0d\x8a\5\0\0\0\0\1X\1\0\0\0e\x8a\1\xff"
        "X\1\0\0\0fG\xc0\x04\0\0\0\0\0\0X\1\0\0\0gNX\1\0\0\0h\x88X\1\0\0\0i\x89X\1\0\0\0j\x8a\0X\1\0\0\0k\x8a\x9\0\0\0\0\0\0\0\0\1X\1\0\0\0l\x8f"
        "X\1\0\0\0mU\3xyzX\1\0\0\0nU\1\xffX\1\0\0\0o]q\1(K\1K\2K\3eX\1\0\0\0ph\1X\1\0\0\0q(K\1K\2tX\1\0\0\0r(K\5X\3\0\0\0\xe6\xa8\xa1" "d"
        "X\1\0\0\0sctorch\nfloat16\nX\1\0\0\0t(K\7lX\1\0\0\0u\x8a\x8\0\0\0\0\0\0\0\x80u.";
    cs_pickle p;
    uint8_t *b = open_good(&p, body, sizeof body - 1);
    cs_pk_value v, w;
    size_t n;
    static const struct {
        const char *key;
        int64_t value;
    } ints[] = {{"a", 255}, {"b", 65535}, {"c", -2}, {"d", (int64_t)1 << 32}, {"e", -1}, {"j", 0}, {"u", INT64_MIN}};
    for (size_t i = 0; i < sizeof ints / sizeof *ints; i++)
        assert_true(cs_pickle_get(&p, p.root, ints[i].key, &v) && v.kind == CS_PK_INT && v.u.i == ints[i].value);
    assert_true(cs_pickle_get(&p, p.root, "f", &v) && v.kind == CS_PK_FLOAT && v.u.f == -2.5);
    assert_true(cs_pickle_get(&p, p.root, "g", &v) && v.kind == CS_PK_NONE);
    assert_true(cs_pickle_get(&p, p.root, "h", &v) && v.kind == CS_PK_BOOL && v.u.i == 1);
    assert_true(cs_pickle_get(&p, p.root, "i", &v) && v.kind == CS_PK_BOOL && v.u.i == 0);
    assert_true(cs_pickle_get(&p, p.root, "m", &v) && cs_pickle_text_is(&p, v, "xyz"));
    static const char *const opaque[][2] = {{"k", "int"}, {"l", "set"}, {"n", "bytes"}};
    for (int i = 0; i < 3; i++) {
        assert_true(cs_pickle_get(&p, p.root, opaque[i][0], &v) && v.kind == CS_PK_OPAQUE);
        const cs_pk_global *g = cs_pickle_global(&p, v);
        assert_true(g->name_len == strlen(opaque[i][1]) && memcmp(g->name, opaque[i][1], g->name_len) == 0);
    }
    assert_true(cs_pickle_get(&p, p.root, "o", &v) && cs_pickle_get(&p, p.root, "p", &w));
    assert_true(v.kind == CS_PK_LIST && w.kind == CS_PK_LIST && v.u.index == w.u.index); /* one list in two places */
    assert_int_equal(cs_pickle_items(&p, v, &n)[2].u.i, 3);
    assert_int_equal(n, 3);
    assert_true(cs_pickle_get(&p, p.root, "q", &v) && v.kind == CS_PK_TUPLE);
    assert_true(cs_pickle_find(&p, p.root, "r.5", &v) && cs_pickle_text_is(&p, v, "\xe6\xa8\xa1"));
    assert_true(cs_pickle_get(&p, p.root, "s", &v) && v.kind == CS_PK_GLOBAL && cs_pickle_global(&p, v)->name_len == 7);
    assert_true(cs_pickle_find(&p, p.root, "t.0", &v) && v.u.i == 7);
    assert_false(cs_pickle_get(&p, p.root, "z", &v));
    cs_pickle_release(&p);
    free(b);
}

static void test_paths(void **state)
{
    (void)state;
    static const char body[] = "}(X\1\0\0\0a}(X\3\0\0\0b.cK\1X\1\0\0\0b}X\1\0\0\0cK\2s"
        "X\1\0\0\0l](}K\xcK\3sK\4eJ\xff\xff\xff\xffK\6uX\3\0\0\0q.bK\5u.";
    cs_pickle p;
    uint8_t *b = open_good(&p, body, sizeof body - 1);
    cs_pk_value v;
    static const struct {
        const char *path;
        int64_t value;
    } good[] = {{"a.b.c", 1}, {"q.b", 5}, {"a.l.0.12", 3}, {"a.l.1", 4}, {"a.-1", 6}};
    static const char *const bad[] = {"b", "a.x", "a.l.2", "a.l.01", "a.l.-1", "a.l.1.0", ".a", "a..b", "a.l.0.12.3",
                                      "a.l.99999999999999999999", "."};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(cs_pickle_find(&p, p.root, good[i].path, &v) && v.kind == CS_PK_INT && v.u.i == good[i].value);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(cs_pickle_find(&p, p.root, bad[i], &v));
    assert_true(cs_pickle_find(&p, p.root, "", &v) && v.kind == CS_PK_DICT);
    assert_true(cs_pickle_get(&p, p.root, "a", &v) && cs_pickle_find(&p, v, "b.c", &v) && v.u.i == 1);
    cs_pickle_release(&p);
    free(b);
}

/* Names outside the table build opaque values, whatever is then done to them, and are listed once each. */
static void test_foreign(void **state)
{
    (void)state;
    static const char body[] = "}(K\1" OS_SYSTEM "X\2\0\0\0id\x85RK\2" EVAL "X\1\0\0\0" "1\x85RK\3cx\nY\n)\x81}X\1\0\0\0aNsb"
        "K\4cx\nL\n)R(K\1eK\5cx\nD\n)R(K\1Nu"
        "K\6" OS_SYSTEM "K\7\x8c\6subpro\x8c\5Popen\x93]\x85RK\x8" "ccollections\nOrderedDict\n)R}X\x9\0\0\0_metadataNsb"
        "K\x9" EVAL STORAGE("Float", "\1") "\x85RK\xa"
        "cargparse\nNamespace\n)\x81}X\1\0\0\0nK\3sbu.";
    cs_pickle p;
    uint8_t *b = open_good(&p, body, sizeof body - 1);
    uint32_t *list;
    size_t n;
    cs_pk_value v;
    char all[200] = "";
    assert_int_equal(cs_pickle_foreign(&p, &list, &n, NULL), CS_OK);
    for (size_t i = 0; i < n; i++) {
        const cs_pk_global *g = &p.global[list[i]];
        snprintf(all + strlen(all), sizeof all - strlen(all), "%.*s.%.*s ", (int)g->module_len, g->module, (int)g->name_len, g->name);
    }
    assert_string_equal(all, "builtins.eval os.system subpro.Popen x.D x.L x.Y ");
    cs_free(list);
    for (int i = 1; i <= 9; i++) {
        char key[16];
        snprintf(key, sizeof key, "%d", i);
        assert_true(cs_pickle_find(&p, p.root, key, &v));
        assert_int_equal(v.kind, i == 6 ? CS_PK_GLOBAL : i == 8 ? CS_PK_DICT : CS_PK_OPAQUE);
        if (v.kind == CS_PK_OPAQUE)
            assert_int_equal(p.object[v.u.index].has_tensor, i == 9);
    }
    assert_true(p.object[p.root.u.index].has_tensor);
    assert_true(cs_pickle_find(&p, p.root, "10.n", &v) && v.u.i == 3);
    cs_pickle_release(&p);
    free(b);
}

static void test_tensor(void **state)
{
    (void)state;
    static const char body[] = "}(K\1" TENSOR(STORAGE("BFloat16", "\6"), "K\1", "K\2K\1\x86", "K\3K\1\x86")
        "K\2" TENSOR(OS_SYSTEM ")R", "K\0", ")", ")")
        "K\3" TENSOR(STORAGE("Float", "\1"), "K\0", "K\1" EVAL "\x86", "K\1K\1\x86")
        "K\4" "ctorch._utils\n_rebuild_parameter\n" TENSOR(STORAGE("Half", "\1"), "K\0", ")", ")") "\x88}\x87RK\5"
        "(X\7\0\0\0storagectorch\nQInt8Storage\nX\1\0\0\0" "0X\3\0\0\0cpuK\1tQK\6"
        "ctorch._tensor\n_rebuild_from_type_v2\n(" REBUILD "ctorch.nn.parameter\nParameter\n(" STORAGE("Char", "\1") "K\0))\x88}t}tRu.";
    cs_pickle p;
    uint8_t *b = open_good(&p, body, sizeof body - 1);
    cs_pk_value v;
    static const int kinds[] = {CS_PK_TENSOR, CS_PK_OPAQUE, CS_PK_OPAQUE, CS_PK_TENSOR, CS_PK_OPAQUE, CS_PK_TENSOR};
    static const char *const missing[] = {NULL, "system", "eval", NULL, "QInt8Storage", NULL};
    for (int i = 0; i < 6; i++) {
        char key[16];
        snprintf(key, sizeof key, "%d", i + 1);
        assert_true(cs_pickle_find(&p, p.root, key, &v));
        assert_int_equal(v.kind, kinds[i]);
        if (missing[i]) {
            const cs_pk_global *g = cs_pickle_global(&p, v);
            assert_true(g->name_len == strlen(missing[i]) && memcmp(g->name, missing[i], g->name_len) == 0 && p.object[v.u.index].has_tensor);
        }
    }
    const cs_pk_tensor *t = &p.tensor[0];
    const cs_pk_storage *s = &p.storage[t->storage];
    assert_true(t->ndim == 2 && t->shape[0] == 2 && t->shape[1] == 1 && t->stride[0] == 3 && t->stride[1] == 1 && t->offset == 1);
    assert_true(s->dtype == CS_BF16 && s->n == 6 && p.string[s->key].len == 1 && p.string[s->key].text[0] == '0');
    cs_pickle_release(&p);
    free(b);
}

/* Nested to the limit and one deeper, as lists inside, tuples outside, and through the memo. */
static void test_depth(void **state)
{
    (void)state;
    for (int extra = 0; extra < 2; extra++)
        for (int kind = 0; kind < 3; kind++) {
            char body[4 * CS_PK_MAX_DEPTH + 16];
            size_t n = 0, size;
            int depth = CS_PK_MAX_DEPTH + extra;
            cs_pickle p;
            cs_error err = {0};
            if (kind == 0) {
                memset(body, ']', (size_t)depth);
                memset(body + depth, 'a', (size_t)depth - 1);
                n = 2 * (size_t)depth - 1;
            } else {
                body[n++] = ')';
                for (int i = 1; i < depth; i++) {
                    if (kind == 2)
                        body[n++] = 'N';
                    body[n++] = kind == 1 ? '\x85' : '\x86';
                }
            }
            body[n++] = '.';
            uint8_t *b = make(body, n, &size);
            cs_status s = cs_pickle_init(&p, b, size, "x", &err);
            assert_int_equal(s, extra ? CS_E_FORMAT : CS_OK);
            if (extra)
                assert_non_null(strstr(err.msg, "nested more than 200 deep"));
            else
                cs_pickle_release(&p);
            free(b);
        }
    char marks[1000];
    size_t size;
    memset(marks, '(', sizeof marks);
    uint8_t *b = make(marks, sizeof marks, &size);
    expect_bad(b, size, "too many marks", "marks");
    free(b);
}

/* Whatever a megabyte is filled with, memory stays below the stated multiple. */
static void test_memory(void **state)
{
    (void)state;
    static const struct {
        const char *start, *unit;
        size_t n;
    } fill[] = {{"", TEXT("N")}, {"", TEXT("]")}, {"", TEXT("}")}, {"", TEXT(")")}, {"", TEXT("\x8f")}, {"", TEXT("N\x94")}, {"", TEXT("]\x94")},
                {"N", TEXT("\x85")}, {"]", TEXT("Na")}, {"", TEXT("]Na")}, {"", TEXT("}NNs")}, {"", TEXT("U\0")}, {"", TEXT("cA\nB\n")},
                {"", TEXT("cA\nB\n)R")}, {"cA\nB\nq\1)q\2", TEXT("h\1h\2R")}, {"", TEXT("\x8a\0")}, {"]", TEXT("(NNNe")},
                {"", TEXT("NN\x86")}, {"", TEXT("(t")}, {"", TEXT("(l")}, {"", TEXT("(d")}, {"(", TEXT("U\1x")},
                {"", TEXT("ccollections\nOrderedDict\n)R")},
                {REBUILD "q\1(" STORAGE("Float", "\1") "K\0))\x89}tq\2", TEXT("h\1h\2R")}, {"}", TEXT("U\1aNs")}};
    int64_t held = cs_mem_bytes();
    size_t most = (1 << 18) + 4096; /* right behind a power of two, where growing arrays are at their worst */
    int accepted = 0;
    for (size_t i = 0; i < sizeof fill / sizeof *fill; i++) {
        uint8_t *b = malloc(most + 64);
        size_t n = strlen(fill[i].start) + 3;
        if (strstr(fill[i].start, "storage")) /* has NULs in it */
            n = sizeof(REBUILD "q\1(" STORAGE("Float", "\1") "K\0))\x89}tq\2") - 1 + 3;
        memcpy(b, "\x80\2(", 3);
        memcpy(b + 3, fill[i].start, n - 3);
        for (; n + fill[i].n + 2 < most; n += fill[i].n)
            memcpy(b + n, fill[i].unit, fill[i].n);
        b[n++] = 't'; /* one tuple of all, so that the checks of a finished tree run too */
        b[n++] = '.';
        cs_pickle p;
        cs_error err = {0};
        if (cs_pickle_init(&p, b, n, "x", &err) == CS_OK) {
            accepted++;
            cs_pickle_release(&p);
        } else {
            assert_int_equal(err.status, CS_E_FORMAT);
        }
        if (cs_mem_peak() - held > (int64_t)(CS_PK_MEMORY * n + 65536))
            fail_msg("fill %zu: %lld bytes for %zu", i, (long long)(cs_mem_peak() - held), n);
        free(b);
    }
    assert_true(accepted > 15);
    print_message("peak %.1f bytes per byte\n", (double)(cs_mem_peak() - held) / (double)most);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory), cmocka_unit_test(test_hostile), cmocka_unit_test(test_protocols), cmocka_unit_test(test_opcodes),
        cmocka_unit_test(test_values), cmocka_unit_test(test_paths), cmocka_unit_test(test_foreign), cmocka_unit_test(test_tensor),
        cmocka_unit_test(test_depth),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
