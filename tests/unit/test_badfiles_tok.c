/* tokenizer.model, tokenizer.json and llama2.c's tokenizer: every kind of damage with its whole message. */
#include "base/io.h"
#include "base/mem.h"
#include "text/tok.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "bytes_spec.h"
#include "data_path.h"

/* The status and message of a tokenizer from these bytes, at their exact size on the heap. */
static cs_status load(const char *kind, const uint8_t *p, size_t n, cs_error *err)
{
    cs_tokenizer *t = NULL;
    uint8_t *exact = malloc(n ? n : 1);
    int64_t held = cs_mem_bytes();
    *err = (cs_error){0};
    memcpy(exact, p ? p : (const uint8_t *)"", n);
    cs_status s = cs_tokenizer_create_from_bytes(kind, exact, n, "t", &t, err);
    if (s == CS_OK)
        cs_tokenizer_destroy(t);
    assert_int_equal(cs_mem_bytes(), held);
    free(exact);
    return s;
}

static int compare(const char *what, cs_status s, const cs_error *err, const char *message)
{
    if (message ? s == CS_E_FORMAT && strcmp(err->msg, message) == 0 : s == CS_OK)
        return 0;
    print_error("%s: status %d, message \"%s\", expected \"%s\"\n", what, s, err->msg, message ? message : "(accepted)");
    return 1;
}

typedef struct spm_row {
    const char *what, *spec; /* see bytes_spec.h; of JSON the text */
    const char *message;     /* NULL: accepted */
} spm_row;

static const spm_row spm_rows[] = {
    {"good", "U N:a N:b", NULL},
    {"good with bytes, ids and a normaliser", "U N:a B F I40=0 I41=-1 I42=1 I43=18446744073709551615 M2 C:040000000000000000", NULL},
    {"unknown fields of every wire type", "U N:a X:f80701 X:f9070102030405060708 X:fa0703616263 X:fd0701020304", NULL},
    {"empty file", "", "t: offset 0: expected 1 to 16777216 pieces, found 0; not a SentencePiece model"},
    {"only zeros", "X:0000000000000000", "t: offset 0: expected a field number from 1 to 2^29 - 1, found 0"},
    {"an HTML page", "X:3c21444f43545950452068746d6c3e", "t: offset 0: expected wire type 0, 1, 2 or 5, found 4 (field 7)"},
    {"JSON", "X:7b7d", "t: offset 0: expected wire type 0, 1, 2 or 5, found 3 (field 15)"},
    {"field number 0", "U X:0000", "t: offset 11: expected a field number from 1 to 2^29 - 1, found 0"},
    {"field number beyond 2^29", "U X:8080808080808001", "t: offset 11: expected a field number from 1 to 2^29 - 1, found 70368744177664"},
    {"varint of 11 bytes as a key", "U X:ffffffffffffffffffff01", "t: offset 11: expected a varint of at most 64 bits, found a longer one"},
    {"varint of 10 bytes beyond 64 bits", "U X:10ffffffffffffffffff7f", "t: offset 12: expected a varint of at most 64 bits, found a longer one"},
    {"varint that ends early", "U X:08ffff", "t: offset 12: expected the rest of a varint, found the end of 2 bytes"},
    {"length varint cut off", "U X:0aff", "t: offset 12: expected the rest of a varint, found the end of 1 bytes"},
    {"length past the end", "U X:0a7f41", "t: offset 11: field 1 has 127 bytes, but only 1 are left"},
    {"length of 2^63", "U X:0a80808080808080808001", "t: offset 11: field 1 has 9223372036854775808 bytes, but only 0 are left"},
    {"fixed64 cut off", "U X:f90701020304", "t: offset 13: expected 8 bytes of a fixed64, found 4"},
    {"fixed32 cut off", "U X:fd070102", "t: offset 13: expected 4 bytes of a fixed32, found 2"},
    {"start of a group", "U X:0b", "t: offset 11: expected wire type 0, 1, 2 or 5, found 3 (field 1)"},
    {"end of a group", "U X:0c", "t: offset 11: expected wire type 0, 1, 2 or 5, found 4 (field 1)"},
    {"wire type 6", "U X:0e", "t: offset 11: expected wire type 0, 1, 2 or 5, found 6 (field 1)"},
    {"wire type 7", "U X:0f", "t: offset 11: expected wire type 0, 1, 2 or 5, found 7 (field 1)"},
    {"pieces as varints", "X:0805", "t: offset 0: expected wire type 2 for field 1, found 0"},
    {"trainer as a varint", "U X:1005", "t: offset 11: expected wire type 2 for field 2, found 0"},
    {"normaliser as fixed32", "U X:1d00000000", "t: offset 11: expected wire type 2 for field 3, found 5"},
    {"a group inside a piece", "U P:0b0c", "t: offset 13: expected wire type 0, 1, 2 or 5, found 3 (field 1)"},
    {"field of a piece past the piece", "U P:0a0561", "t: offset 13: field 1 has 5 bytes, but only 1 are left"},
    {"piece text as a varint", "U P:0801", "t: offset 13: expected wire type 2 for field 1, found 0"},
    {"score as a varint", "U P:0a01611001", "t: offset 16: expected wire type 5 for field 2, found 0"},
    {"type as bytes", "U P:0a01611a0101", "t: offset 16: expected wire type 0 for field 3, found 2"},
    {"empty piece", "U P:0a00", "t: offset 13: expected a text for piece 1, found none"},
    {"piece without text", "U P:1801", "t: offset 13: expected a text for piece 1, found none"},
    {"score NaN", "U P:0a0161150000c07f", "t: offset 16: expected a finite score for piece 1, found nan"},
    {"score infinite", "U P:0a0161150000807f", "t: offset 16: expected a finite score for piece 1, found inf"},
    {"score minus infinite", "U P:0a016115000080ff", "t: offset 16: expected a finite score for piece 1, found -inf"},
    {"type 0", "U P:0a01611800", "t: offset 16: expected a type 1..6 for piece 1, found 0"},
    {"type 7", "U P:0a01611807", "t: offset 16: expected a type 1..6 for piece 1, found 7"},
    {"type of 64 bits", "U P:0a016118ffffffffffffffffff01", "t: offset 16: expected a type 1..6 for piece 1, found 18446744073709551615"},
    {"piece of a lone byte FF", "U H:ff", "t: offset 15: expected UTF-8 in piece 1, found byte 0xFF"},
    {"piece cut inside a character", "U H:61e282", "t: offset 16: expected UTF-8 in piece 1, found byte 0xE2"},
    {"piece with a surrogate", "U H:eda080", "t: offset 15: expected UTF-8 in piece 1, found byte 0xED"},
    {"piece of 65537 bytes", "U A=65537", "t: offset 19: expected at most 65536 bytes in piece 1, found 65537"},
    {"two unknown pieces", "U N:a T2:<other>", "t: offset 20: expected one unknown piece, found piece 0 and piece 2"},
    {"no unknown piece", "N:a N:b", "t: offset 14: expected an unknown piece, found none among 2 pieces"},
    {"piece twice", "U N:a N:b N:a", "t: offset 27: pieces 1 and 3 have the same text"},
    {"user piece like a normal one", "U N:a T4:a", "t: offset 20: pieces 1 and 2 have the same text"},
    {"byte piece missing", "U B-41 F", "t: offset 3076: expected 256 byte pieces with byte_fallback, found none for 0x41 before the end"},
    {"byte piece twice", "U B B:41 F", "t: offset 3085: expected every byte once, found 0x41 as piece 66 and piece 257"},
    {"no byte pieces", "U N:a F", "t: offset 23: expected 256 byte pieces with byte_fallback, found none for 0x00 before the end"},
    {"byte piece without byte_fallback", "U N:a B:41", "t: offset 20: expected no byte pieces without byte_fallback, found piece 2"},
    {"byte piece of another spelling", "U T6:<0xZZ>", "t: offset 15: expected <0xNN> as the text of byte piece 1, found another"},
    {"byte piece too short", "U T6:<0x4>", "t: offset 15: expected <0xNN> as the text of byte piece 1, found another"},
    {"model type word", "U N:a M3", "t: offset 20: expected model type 1 (unigram) or 2 (bpe), found 3 (word)"},
    {"model type char", "U N:a M4", "t: offset 20: expected model type 1 (unigram) or 2 (bpe), found 4 (char)"},
    {"model type 0", "U N:a M0", "t: offset 20: expected model type 1 (unigram) or 2 (bpe), found 0"},
    {"model type as bytes", "U X:12031a0101", "t: offset 13: expected wire type 0 for field 3, found 2"},
    {"bos_id past the pieces", "U N:a I41=2", "t: offset 20: expected -1 or the number of one of 2 pieces as bos_id, found 2"},
    {"unk_id -2", "U N:a I40=-2", "t: offset 20: expected -1 or the number of one of 2 pieces as unk_id, found -2"},
    {"pad_id 2^31-1", "U N:a I43=2147483647", "t: offset 20: expected -1 or the number of one of 2 pieces as pad_id, found 2147483647"},
    {"normaliser table of 3 bytes", "U C:040000", "t: offset 15: expected the 4 bytes of a trie's size, found 3"},
    {"normaliser without a trie", "U C:0000000000", "t: offset 15: expected a multiple of 4 bytes as a trie's size, found 0"},
    {"trie size not a multiple of 4", "U C:0600000000000000000000", "t: offset 15: expected a multiple of 4 bytes as a trie's size, found 6"},
    {"trie size past the table", "U C:400000000000000000", "t: offset 15: a trie of 64 bytes and its strings, but only 5 bytes follow"},
    {"trie size 2^32-4", "U C:fcffffff0000000000", "t: offset 15: a trie of 4294967292 bytes and its strings, but only 5 bytes follow"},
    {"trie without strings", "U C:0400000000000000", "t: offset 15: a trie of 4 bytes and its strings, but only 4 bytes follow"},
    {"strings without a NUL", "U C:040000000000000061", "t: offset 23: expected a NUL behind the last string of the normaliser, found byte 0x61"},
    {"normaliser table as a varint", "U X:1a021001", "t: offset 13: expected wire type 2 for field 2, found 0"},
    {"denormaliser with rules", "U X:2a03120100", "t: offset 13: a denormalizer with rules is not supported"},
};

static void spm_damage(void **state)
{
    (void)state;
    int wrong = 0;
    for (size_t i = 0; i < sizeof spm_rows / sizeof *spm_rows; i++) {
        cs_error err;
        bytes b = spm_from(spm_rows[i].spec);
        cs_status s = load("spm", b.p, b.n, &err);
        wrong += compare(spm_rows[i].what, s, &err, spm_rows[i].message);
        free(b.p);
    }
    assert_int_equal(wrong, 0);
}

/* No prefix of a good model makes a fault; one that ends between fields is a smaller model. */
static void spm_prefixes(void **state)
{
    (void)state;
    bytes b = spm_from("U N:abc B F I41=1 C:040000000000000000");
    for (size_t n = 0; n <= b.n; n++) {
        cs_error err;
        cs_status s = load("spm", b.p, n, &err);
        assert_true(s == CS_OK || s == CS_E_FORMAT);
        if (s != CS_OK)
            assert_non_null(strstr(err.msg, "t: offset "));
    }
    free(b.p);
}

typedef struct patch_row {
    const char *what;
    size_t at;
    const char *hex;
    size_t size; /* of the file, 0: as it is */
    const char *message;
} patch_row;

/* tok512.bin: 512 tokens, the longest 7 bytes. */
static const patch_row llama2c_rows[] = {
    {"good", 0, "", 0, NULL},
    {"empty file", 0, "", SIZE_MAX,
     "t: offset 0: expected the 4 bytes of the longest token's length, found 0"},
    {"three bytes", 0, "", 3, "t: offset 0: expected the 4 bytes of the longest token's length, found 3"},
    {"no tokens", 0, "", 4, "t: offset 4: expected 259 to 16777216 tokens, found 0"},
    {"longest token 0", 0, "00000000", 0, "t: offset 0: expected 1 to 512 as the longest token's length, found 0"},
    {"longest token 513", 0, "01020000", 0, "t: offset 0: expected 1 to 512 as the longest token's length, found 513"},
    {"longest token 2^32-1", 0, "ffffffff", 0, "t: offset 0: expected 1 to 512 as the longest token's length, found 4294967295"},
    {"score cut off", 0, "", 7, "t: offset 4: expected 8 bytes of score and length for token 0, found 3"},
    {"length cut off", 0, "", 11, "t: offset 4: expected 8 bytes of score and length for token 0, found 7"},
    {"text cut off", 0, "", 14, "t: offset 8: token 0 has 5 bytes, but only 2 are left"},
    {"score NaN", 4, "0000c07f", 0,
     "t: offset 4: expected a finite score for token 0, found nan"},
    {"score infinite", 4, "0000807f", 0,
     "t: offset 4: expected a finite score for token 0, found inf"},
    {"length beyond the longest", 8, "08000000", 0, "t: offset 8: expected at most 7 bytes in token 0 (the file's longest), found 8"},
    {"length -1", 8, "ffffffff", 0, "t: offset 8: expected at most 7 bytes in token 0 (the file's longest), found 4294967295"},
    {"byte token misspelled", 54, "58", 0, "t: offset 52: expected <0x00> as token 3, found another"},
    {"fewer than the fixed tokens", 0, "", 48, "t: offset 44: expected 8 bytes of score and length for token 3, found 4"},
    {"last byte missing", 0, "", 6226, "t: offset 6220: token 511 has 3 bytes, but only 2 are left"},
};

static void llama2c_damage(void **state)
{
    (void)state;
    uint8_t *data;
    size_t n;
    cs_error err = {0};
    int wrong = 0;
    assert_int_equal(cs_io_read_all(test_path(TEST_DATA, "tok512.bin"), 1 << 24, &data, &n, &err), CS_OK);
    for (size_t i = 0; i < sizeof llama2c_rows / sizeof *llama2c_rows; i++) {
        const patch_row *r = &llama2c_rows[i];
        bytes file = {0}, patch = {0};
        put(&file, data, n);
        put_hex(&patch, r->hex);
        memcpy(file.p + r->at, patch.p ? patch.p : (const uint8_t *)"", patch.n);
        cs_status s = load("llama2c", file.p, r->size == SIZE_MAX ? 0 : r->size ? r->size : n, &err);
        wrong += compare(r->what, s, &err, r->message);
        free(file.p);
        free(patch.p);
    }
    cs_free(data);
    assert_int_equal(wrong, 0);
}

/* tokenizer.json: the syntax by line and column, everything else by its path in the document. */
#define M(vocab, merges) "{\"model\":{\"type\":\"BPE\",\"vocab\":" vocab ",\"merges\":" merges "}}"
#define W(part) "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[]}," part "}"

static const spm_row json_rows[] = {
    {"good", M("{\"a\":0,\"b\":1,\"ab\":2}", "[\"a b\"]"), NULL},
    {"good unigram", "{\"model\":{\"type\":\"Unigram\",\"unk_id\":0,\"vocab\":[[\"<unk>\",0],[\"a\",-1.5]]}}", NULL},
    {"empty file", "", "t:1:1: expected a JSON value, found the end of the text"},
    {"cut off", "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0", "t:1:38: expected ',' or '}', found the end of the text"},
    {"a comma too many", "{\"version\":\"1.0\",\n\"model\":{},}", "t:2:12: expected a key in quotes, found '}'"},
    {"not UTF-8", "{\"model\":{\"vocab\":{\"\xff\":0}}}", "t:1:21: expected UTF-8, found byte 0xFF at offset 20"},
    {"a piece twice", M("{\"a\":0,\"b\":1,\"a\":2}", "[]"), "t:1:45: expected every key of an object once, found \"a\" again"},
    {"half a surrogate pair", M("{\"\\ud800\":0}", "[]"), "t:1:34: expected surrogate escapes in pairs, \\ud8XX\\udcXX, found '\\'"},
    {"an id of 2^63", M("{\"a\":9223372036854775808}", "[]"), "t:1:37: expected an integer from -2^63 to 2^63 - 1, found 9223372036854775808"},
    {"deep nesting", "{\"model\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
     "t:1:73: expected at most 64 levels of arrays and objects, found one more"},
    {"an array", "[]", "t: the document: expected an object, as tokenizer.json is, found an array of 0"},
    {"no model", "{}", "t: model: expected an object, found nothing"},
    {"model is a number", "{\"model\":7}", "t: model: expected an object, found 7"},
    {"another version", "{\"version\":\"2.0\",\"model\":{}}", "t: version: expected \"1.0\", found \"2.0\""},
    {"version is a number", "{\"version\":1.0,\"model\":{}}", "t: version: expected \"1.0\", found 1"},
    {"model type is a number", "{\"model\":{\"type\":1,\"vocab\":{}}}", "t: model.type: expected a string, found 1"},
    {"model type WordPiece", "{\"model\":{\"type\":\"WordPiece\",\"vocab\":{}}}", "t: model.type: WordPiece is not supported"},
    {"no vocabulary", "{\"model\":{\"type\":\"BPE\",\"merges\":[]}}", "t: model.vocab: expected an object, found nothing"},
    {"vocabulary of BPE is an array", M("[]", "[]"), "t: model.vocab: expected an object, found an array of 0"},
    {"empty vocabulary", M("{}", "[]"), "t: model.vocab: is empty"},
    {"id is a string", M("{\"a\":\"0\"}", "[]"), "t: model.vocab.a: expected an integer from 0 to 100003, found \"0\""},
    {"id is a real number", M("{\"a\":0.0}", "[]"), "t: model.vocab.a: expected an integer from 0 to 100003, found 0"},
    {"id -1", M("{\"a\":-1}", "[]"), "t: model.vocab.a: expected an integer from 0 to 100003, found -1"},
    {"id 2^31 - 1", M("{\"a\":2147483647}", "[]"), "t: model.vocab.a: expected an integer from 0 to 100003, found 2147483647"},
    {"two pieces with one id", M("{\"a\":0,\"b\":0}", "[]"), "t: model.vocab: \"a\" and \"b\" have the same id 0"},
    {"no merges", "{\"model\":{\"vocab\":{\"a\":0}}}", "t: model.merges: expected an array, found nothing"},
    {"merges are an object", M("{\"a\":0}", "{}"), "t: model.merges: expected an array, found an object"},
    {"merge of one side", M("{\"a\":0}", "[\"a\"]"), "t: model.merges[0]: expected \"a b\" or [\"a\", \"b\"], found \"a\""},
    {"merge of three sides", M("{\"a\":0}", "[\"a a a\"]"), "t: model.merges[0]: expected \"a b\" or [\"a\", \"b\"], found \"a a a\""},
    {"merge of an empty side", M("{\"a\":0}", "[\"a \"]"), "t: model.merges[0]: expected \"a b\" or [\"a\", \"b\"], found \"a \""},
    {"merge is a number", M("{\"a\":0}", "[7]"), "t: model.merges[0]: expected \"a b\" or [\"a\", \"b\"], found 7"},
    {"merge is an array of three", M("{\"a\":0}", "[[\"a\",\"b\",\"c\"]]"),
     "t: model.merges[0]: expected \"a b\" or [\"a\", \"b\"], found an array of 3"},
    {"merge without its result", M("{\"a\":0,\"b\":1}", "[\"a b\"]"), "t: merge 0: \"a\" and \"b\": a side or the result is not in the vocabulary"},
    {"second merge of an unknown piece", M("{\"a\":0,\"b\":1,\"ab\":2}", "[\"a b\",\"ab x\"]"),
     "t: merge 1: \"ab\" and \"x\": a side or the result is not in the vocabulary"},
    {"unk_token that is no piece", "{\"model\":{\"unk_token\":\"?\",\"vocab\":{\"a\":0},\"merges\":[]}}",
     "t: model.unk_token: \"?\" is not in the vocabulary"},
    {"unk_token is a number", "{\"model\":{\"unk_token\":7,\"vocab\":{\"a\":0},\"merges\":[]}}", "t: model.unk_token: expected a string, found 7"},
    {"byte_fallback is a string", "{\"model\":{\"byte_fallback\":\"yes\",\"vocab\":{\"a\":0},\"merges\":[]}}",
     "t: model.byte_fallback: expected true or false, found \"yes\""},
    {"subword prefix", "{\"model\":{\"continuing_subword_prefix\":\"##\",\"vocab\":{\"a\":0},\"merges\":[]}}",
     "t: model.continuing_subword_prefix: is not supported"},
    {"dropout", "{\"model\":{\"dropout\":0.1,\"vocab\":{\"a\":0},\"merges\":[]}}", "t: model.dropout: is not supported"},
    {"unigram piece without a score", "{\"model\":{\"type\":\"Unigram\",\"vocab\":[[\"a\"]]}}",
     "t: model.vocab[0]: expected [\"piece\", score], found an array of 1"},
    {"unigram score is a string", "{\"model\":{\"type\":\"Unigram\",\"vocab\":[[\"a\",\"b\"]]}}",
     "t: model.vocab[0]: expected [\"piece\", score], found an array of 2"},
    {"unigram piece is a number", "{\"model\":{\"type\":\"Unigram\",\"vocab\":[[\"a\",0],[1,0]]}}",
     "t: model.vocab[1]: expected [\"piece\", score], found an array of 2"},
    {"unigram score beyond a double", "{\"model\":{\"type\":\"Unigram\",\"vocab\":[[\"a\",-1e999]]}}",
     "t:1:42: expected a number within the range of a double, found -1e999"},
    {"unk_id past the vocabulary", "{\"model\":{\"type\":\"Unigram\",\"unk_id\":1,\"vocab\":[[\"a\",0]]}}",
     "t: model.unk_id: expected an integer from 0 to 0, found 1"},
    {"unk_id -1", "{\"model\":{\"type\":\"Unigram\",\"unk_id\":-1,\"vocab\":[[\"a\",0]]}}",
     "t: model.unk_id: expected an integer from 0 to 0, found -1"},
    {"added tokens are an object", W("\"added_tokens\":{}"), "t: added_tokens: expected an array, found an object"},
    {"added token is a string", W("\"added_tokens\":[\"<s>\"]"), "t: added_tokens[0]: expected an object, found \"<s>\""},
    {"added token without an id", W("\"added_tokens\":[{\"content\":\"<s>\"}]"),
     "t: added_tokens[0].id: expected an integer from 0 to 100007, found nothing"},
    {"added token without a text", W("\"added_tokens\":[{\"id\":1}]"), "t: added_tokens[0].content: expected a string, found nothing"},
    {"added token with the id of another piece", W("\"added_tokens\":[{\"id\":0,\"content\":\"x\"}]"),
     "t: added_tokens[0].id: 0 belongs to \"a\" already"},
    {"added token with an id of 2^40", W("\"added_tokens\":[{\"id\":1099511627776,\"content\":\"x\"}]"),
     "t: added_tokens[0].id: expected an integer from 0 to 100007, found 1099511627776"},
    {"special is a number", W("\"added_tokens\":[{\"id\":1,\"content\":\"x\",\"special\":1}]"),
     "t: added_tokens[0].special: expected true or false, found 1"},
    {"normalizer is an array", W("\"normalizer\":[]"), "t: normalizer: expected an object, found an array of 0"},
    {"normalizer without a type", W("\"normalizer\":{}"), "t: normalizer.type: expected a string, found nothing"},
    {"unknown normalizer", W("\"normalizer\":{\"type\":\"Bert\"}"), "t: normalizer.type: Bert is not supported"},
    {"unknown normalizer inside a sequence", W("\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFC\"},{\"type\":\"X\"}]}"),
     "t: normalizer.normalizers[1].type: X is not supported"},
    {"sequence without members", W("\"normalizer\":{\"type\":\"Sequence\"}"), "t: normalizer.normalizers: expected an array, found nothing"},
    {"replacement without a pattern", W("\"normalizer\":{\"type\":\"Replace\",\"content\":\"x\"}"),
     "t: normalizer.pattern: expected {\"String\": ...} or {\"Regex\": ...}, found nothing"},
    {"pattern that does not compile", W("\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(\"},\"behavior\":\"Isolated\",\"invert\":false}"),
     "t: pre_tokenizer.pattern.Regex: a group without ) in the pattern"},
    {"unknown behaviour", W("\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"String\":\" \"},\"behavior\":\"Odd\",\"invert\":false}"),
     "t: pre_tokenizer.behavior: expected Removed, Isolated, MergedWithPrevious, MergedWithNext or Contiguous, found \"Odd\""},
    {"charsmap that is not base64", W("\"normalizer\":{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"***\"}"),
     "t: normalizer.precompiled_charsmap: expected base64, found \"***\""},
    {"charsmap that is cut off", W("\"normalizer\":{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"QAAAAA==\"}"),
     "t: normalizer.precompiled_charsmap: expected a table and its strings, found 4 bytes with a table of 64"},
    {"unknown pre-tokenizer", W("\"pre_tokenizer\":{\"type\":\"X\"}"), "t: pre_tokenizer.type: X is not supported"},
    {"unknown decoder", W("\"decoder\":{\"type\":\"X\"}"), "t: decoder.type: X is not supported"},
    {"unknown post-processor", W("\"post_processor\":{\"type\":\"X\"}"), "t: post_processor.type: X is not supported"},
    {"template with a token that is not there",
     W("\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"<s>\",\"type_id\":0}},"
       "{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}],\"pair\":[],\"special_tokens\":{}}"),
     "t: post_processor.single[0].SpecialToken.id: \"<s>\" is not among special_tokens"},
    {"replacement character of two", W("\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"ab\",\"prepend_scheme\":\"always\"}"),
     "t: pre_tokenizer.replacement: expected one character, found \"ab\""},
};

static void json_damage(void **state)
{
    (void)state;
    int wrong = 0;
    for (size_t i = 0; i < sizeof json_rows / sizeof *json_rows; i++) {
        cs_error err;
        cs_status s = load("json", (const uint8_t *)json_rows[i].spec, strlen(json_rows[i].spec), &err);
        wrong += compare(json_rows[i].what, s, &err, json_rows[i].message);
    }
    assert_int_equal(wrong, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(spm_damage), cmocka_unit_test(spm_prefixes), cmocka_unit_test(llama2c_damage),
                                       cmocka_unit_test(json_damage)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
