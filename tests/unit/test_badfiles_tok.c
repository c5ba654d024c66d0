/* tokenizer.model and llama2.c's tokenizer: every kind of damage with its whole message. */
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
    const char *what, *spec; /* see bytes_spec.h */
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

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(spm_damage), cmocka_unit_test(spm_prefixes), cmocka_unit_test(llama2c_damage)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
