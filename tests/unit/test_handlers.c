/* The pieces under the dataset handlers: cutting of texts as Python does it, and the masks of samples that real data rarely have. */
#include "base/mem.h"
#include "data/handler_text.h"
#include "data/instruction_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "data_path.h"

#define BYTES(s) ((cs_bytes){s, sizeof(s) - 1})

static void assert_bytes(cs_bytes b, const char *want)
{
    assert_int_equal(b.len, strlen(want));
    assert_memory_equal(b.text, want, b.len);
}

static void strip(void **state)
{
    (void)state;
    assert_bytes(cs_text_strip(BYTES("")), "");
    assert_bytes(cs_text_strip(BYTES(" \t\r\n\v\f\x1c\x1f")), "");
    assert_bytes(cs_text_strip(BYTES(" a  b\n")), "a  b");
    assert_bytes(cs_text_strip(BYTES("\u3000\u00a0\u2003x\xc2\x85\u2028")), "x");
    assert_bytes(cs_text_strip(BYTES("\u200bx\ufeff")), "\u200bx\ufeff"); /* no white space to Python */
    assert_bytes(cs_text_strip(BYTES("\xe3\x80x\x80")), "\xe3\x80x\x80");  /* bytes that are no UTF-8 */
}

static void split_and_replace(void **state)
{
    (void)state;
    cs_bytes rest = BYTES("Human:a Human:Human:b");
    assert_bytes(cs_text_next_part(&rest, "Human:"), "");
    assert_bytes(cs_text_next_part(&rest, "Human:"), "a ");
    assert_bytes(cs_text_next_part(&rest, "Human:"), "");
    assert_non_null(rest.text);
    assert_bytes(cs_text_next_part(&rest, "Human:"), "b");
    assert_null(rest.text);
    rest = BYTES("x--");
    assert_bytes(cs_text_next_part(&rest, "--"), "x");
    assert_non_null(rest.text); /* one empty part more */
    assert_bytes(cs_text_next_part(&rest, "--"), "");
    assert_null(rest.text);
    cs_str out = {0};
    cs_text_without(&out, BYTES("<eoh>a<e<eoh>oh><eoh>"), "<eoh>");
    assert_string_equal(cs_str_cstr(&out), "a<eoh>"); /* what comes together is not taken out */
    cs_str_release(&out);
    assert_null(cs_text_find_last(BYTES("ab"), "abc"));
    cs_bytes twice = BYTES("abab");
    assert_ptr_equal(cs_text_find_last(twice, "ab"), twice.text + 2);
    assert_ptr_equal(cs_text_find(twice, "ab"), twice.text);
}

typedef struct made {
    cs_tokenizer *tok;
    cs_emit_rules rules;
    cs_token_out out[CS_SAMPLE_OUTPUTS];
    cs_prep_counts counts;
    cs_emit e;
} made;

static void begin(made *m)
{
    cs_error err = {0};
    *m = (made){0};
    assert_int_equal(cs_tokenizer_create(test_path(TEST_DATA, "tok_tiny.json"), &m->tok, &err), CS_OK);
    m->rules = (cs_emit_rules){.tokenizer = m->tok, .append_eod = true, .pad = 0};
    m->e = (cs_emit){.rules = &m->rules, .out = m->out, .n_out = CS_SAMPLE_OUTPUTS, .counts = &m->counts};
    cs_emit_begin(&m->e);
}

static void end(made *m)
{
    cs_emit_release(&m->e);
    for (size_t k = 0; k < CS_SAMPLE_OUTPUTS; k++)
        cs_token_out_release(&m->out[k]);
    cs_tokenizer_destroy(m->tok);
}

static size_t count(const cs_tokenizer *tok, const char *text)
{
    cs_ids ids = {0};
    cs_error err = {0};
    assert_int_equal(cs_tokenizer_encode(tok, text, strlen(text), CS_TOK_SPECIAL | CS_TOK_PARSE_SPECIAL, &ids, &err), CS_OK);
    size_t n = ids.len;
    cs_ids_release(&ids);
    return n;
}

static size_t n_ignored(const made *m)
{
    const cs_ids *labels = &m->out[CS_SAMPLE_LABELS].ids;
    size_t n = 0;
    while (n < labels->len && labels->data[n] == CS_LABEL_IGNORED)
        n++;
    for (size_t i = n; i < labels->len; i++)
        assert_int_equal(labels->data[i], m->out[CS_SAMPLE_IDS].ids.data[i]);
    return n;
}

/* The last "### Response:" counts wherever it stands, and a newline behind it is counted whether there is one or not. */
static void last_mark(void **state)
{
    (void)state;
    static const char *const answers[][2] = {{"Once", ""}, {"a\n### Response:\nb", "a\n### Response:\n"}, {"a ### Response: b", "a ### Response:\n"}};
    for (size_t i = 0; i < 3; i++) {
        made m;
        cs_error err = {0};
        cs_str text = {0}, prompt = {0};
        begin(&m);
        cs_instruction_begin(&text, BYTES("S"));
        cs_instruction_user(&text, BYTES("Q"));
        cs_str_puts(&prompt, cs_str_cstr(&text));
        cs_str_puts(&prompt, "### Response:\n");
        cs_str_puts(&prompt, answers[i][1]);
        cs_instruction_assistant(&text, (cs_bytes){answers[i][0], strlen(answers[i][0])});
        assert_int_equal(cs_instruction_emit(&text, &m.e, &err), CS_OK);
        cs_emit_eod(&m.e);
        assert_int_equal(cs_emit_sample(&m.e, &err), CS_OK);
        assert_int_equal(cs_emit_end(&m.e, &err), CS_OK);
        assert_int_equal(n_ignored(&m), count(m.tok, cs_str_cstr(&prompt)));
        assert_int_equal(m.out[CS_SAMPLE_IDS].ids.len, count(m.tok, cs_str_cstr(&text)) + 1);
        assert_int_equal(m.counts.documents, 1);
        cs_str_release(&text);
        cs_str_release(&prompt);
        end(&m);
    }
}

/* A prompt that alone has more tokens than the whole text: all of it is ignored, and no more. */
static void long_prompt(void **state)
{
    (void)state;
    made m;
    cs_error err = {0};
    begin(&m);
    assert_int_equal(cs_emit_whole(&m.e, "Once", 4, "Once upon a time there was", 26, &err), CS_OK);
    assert_int_equal(cs_emit_sample(&m.e, &err), CS_OK);
    assert_int_equal(n_ignored(&m), m.out[CS_SAMPLE_IDS].ids.len);
    assert_int_equal(m.counts.untrained, 1);
    assert_int_equal(m.counts.trained, 0);
    end(&m);
}

/* A record that fails half-way leaves nothing; the next one is as if it had not been. */
static void undo(void **state)
{
    (void)state;
    made m;
    cs_error err = {0};
    begin(&m);
    for (int round = 0; round < 3; round++) {
        cs_emit_begin(&m.e);
        assert_int_equal(cs_emit_segment(&m.e, "Once", 4, false, &err), CS_OK);
        assert_int_equal(cs_emit_segment(&m.e, "upon", 4, true, &err), CS_OK);
        assert_int_equal(cs_emit_sample(&m.e, &err), CS_OK);
        assert_int_equal(cs_emit_segment(&m.e, "a", 1, true, &err), CS_OK);
        if (round == 1) {
            cs_emit_undo(&m.e);
            continue;
        }
        assert_int_equal(cs_emit_sample(&m.e, &err), CS_OK);
        assert_int_equal(cs_emit_end(&m.e, &err), CS_OK);
    }
    assert_int_equal(m.counts.samples, 4);
    assert_int_equal(m.counts.documents, 2);
    for (size_t k = 0; k < CS_SAMPLE_OUTPUTS; k++) {
        int64_t total = 0;
        assert_int_equal(m.out[k].n, 4);
        for (size_t i = 0; i < 4; i++) {
            total += m.out[k].seqs[i].n;
            assert_int_equal(m.out[k].seqs[i].ends_document, i % 2);
        }
        assert_int_equal(total, m.out[k].ids.len);
        assert_int_equal(total, m.counts.tokens);
    }
    end(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(strip), cmocka_unit_test(split_and_replace), cmocka_unit_test(last_mark),
                                       cmocka_unit_test(long_prompt), cmocka_unit_test(undo)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
