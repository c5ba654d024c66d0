/* A tokenizer.json made of the merge list in CS_SHARED_DATA. Include after cmocka.h. */
#ifndef CS_TESTS_TOK_BLOOM_H
#define CS_TESTS_TOK_BLOOM_H

#include "text/byte_level.h"
#include "text/utf8.h"
#include "tok_check.h"

/* BLOOM's merge list is there, its tokenizer.json is not: 4 special tokens, 242 byte letters by code point, the results of the merges. The lines of the
 * list are JSON-escaped already. Which byte is the 14th that has no letter is not known, taken to be 0x1F. */
static inline cs_str bloom_json(void)
{
    static const char head[] = "{\"added_tokens\":[{\"id\":0,\"content\":\"<unk>\",\"special\":true},{\"id\":1,\"content\":\"<s>\",\"special\":true},"
                               "{\"id\":2,\"content\":\"</s>\",\"special\":true},{\"id\":3,\"content\":\"<pad>\",\"special\":true}],"
                               "\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":{\"Regex\":"
                               "\" ?[^(\\\\s|[.,!?\xe2\x80\xa6\xe3\x80\x82\xef\xbc\x8c\xe3\x80\x81\xe0\xa5\xa4\xdb\x94\xd8\x8c])]+\"},"
                               "\"behavior\":\"Isolated\",\"invert\":false},{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":false}]},"
                               "\"decoder\":{\"type\":\"ByteLevel\"},\"model\":{\"type\":\"BPE\",\"vocab\":{\"<unk>\":0,\"<s>\":1,\"</s>\":2,\"<pad>\":3";
    cs_str list = read_text(shared_file("tokenizers/bloom/merges.txt")), vocab = {0}, merges = {0};
    int32_t id = 4;
    cs_str_puts(&vocab, head);
    for (uint32_t cp = 0x21; cp < 0x144; cp++) {
        uint8_t letter[4];
        int byte = cs_byte_level_value(cp);
        if (byte < 0 || byte == 0xc0 || byte == 0xc1 || byte == 0x1f || byte >= 0xf5)
            continue;
        size_t n = cs_utf8_encode(cp, letter);
        cs_str_printf(&vocab, ",\"%s%.*s\":%d", cp == '"' || cp == '\\' ? "\\" : "", (int)n, (const char *)letter, id++);
    }
    assert_int_equal(id, 246);
    for (char *line = list.data, *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
        char *space = memchr(line, ' ', (size_t)(end - line));
        assert_non_null(space);
        cs_str_printf(&vocab, ",\"%.*s%.*s\":%d", (int)(space - line), line, (int)(end - space - 1), space + 1, id++);
        cs_str_printf(&merges, "%s\"%.*s\"", merges.len ? "," : "", (int)(end - line), line);
    }
    assert_int_equal(id, 250680);
    cs_str_puts(&vocab, "},\"merges\":[");
    cs_str_append(&vocab, merges.data, merges.len);
    cs_str_puts(&vocab, "]}}");
    cs_str_release(&merges);
    cs_str_release(&list);
    return vocab;
}

static inline cs_tokenizer *open_bloom(void)
{
    cs_str text = bloom_json();
    cs_tokenizer *t = NULL;
    cs_error err = {0};
    if (cs_tokenizer_create_from_bytes("json", (const uint8_t *)text.data, text.len, "bloom", &t, &err) != CS_OK)
        fail_msg("%s", err.msg);
    cs_str_release(&text);
    return t;
}

#endif
