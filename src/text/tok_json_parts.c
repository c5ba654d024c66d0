/* The parts of tokenizer.json's pipeline: what they share, normalizer and pre-tokenizer. A table row says how to read a type. */
#include "text/byte_level.h"
#include "text/tok_json.h"
#include "text/unidata.h"
#include "text/utf8.h"

#include <string.h>

/* ---- common ---- */

static cs_status read_one(cs_part_reader *r, const json_t *obj, const char *list, const cs_part_row *rows)
{
    const json_t *type = json_object_get(obj, "type");
    if (!json_is_object(obj))
        return cs_at_expected(&r->at, NULL, "an object", obj);
    if (!json_is_string(type))
        return cs_at_expected(&r->at, "type", "a string", type);
    if (strcmp(json_string_value(type), "Sequence") == 0) {
        const json_t *array = NULL;
        size_t i;
        json_t *v;
        CS_TRY(cs_at_array(&r->at, obj, list, true, &array));
        size_t mark = cs_at_member(&r->at, list);
        json_array_foreach(array, i, v) {
            size_t element = cs_at_element(&r->at, i);
            CS_TRY(read_one(r, v, list, rows)); /* the reader of the file bounds the depth */
            cs_at_leave(&r->at, element);
        }
        cs_at_leave(&r->at, mark);
        return CS_OK;
    }
    for (; rows->type; rows++)
        if (strcmp(rows->type, json_string_value(type)) == 0)
            return rows->read(r, obj);
    return cs_at_refuse(&r->at, "type", "%.80s is not supported", json_string_value(type));
}

cs_status cs_part_read(cs_part_reader *r, const json_t *root, const char *key, const char *list, const cs_part_row *rows, bool *none)
{
    const json_t *obj = json_object_get(root, key);
    *none = !obj || json_is_null(obj);
    if (*none)
        return CS_OK;
    size_t mark = cs_at_member(&r->at, key);
    CS_TRY(read_one(r, obj, list, rows));
    cs_at_leave(&r->at, mark);
    return CS_OK;
}

static cs_status keep(cs_part_reader *r, cs_bytes *b)
{
    *b = cs_tok_keep(r->t, b->text, b->len);
    return b->text ? CS_OK : cs_fail_nomem(r->at.err, b->len, "a tokenizer");
}

cs_status cs_part_bytes(cs_part_reader *r, const json_t *obj, const char *key, cs_bytes *out)
{
    CS_TRY(cs_at_string(&r->at, obj, key, true, out));
    return keep(r, out);
}

cs_status cs_part_regex(cs_part_reader *r, const char *key, cs_bytes pattern, const cs_regex **re)
{
    cs_error why = {0};
    cs_tokenizer *t = r->t;
    if (t->n_regexes == CS_MAX_REGEXES)
        return cs_at_refuse(&r->at, key, "more than %d patterns are not supported", CS_MAX_REGEXES);
    cs_status status = cs_regex_create(pattern.text, pattern.len, &t->regexes[t->n_regexes], &why);
    if (status == CS_E_FORMAT)
        return cs_at_refuse(&r->at, key, "%.300s", why.msg);
    if (status != CS_OK)
        return cs_fail(r->at.err, status, "%s", why.msg);
    *re = t->regexes[t->n_regexes++];
    return CS_OK;
}

cs_status cs_part_pattern(cs_part_reader *r, const json_t *obj, cs_bytes *literal, const cs_regex **re, cs_bytes *text)
{
    const json_t *p = json_object_get(obj, "pattern"), *string = json_object_get(p, "String");
    cs_bytes pattern = {NULL, 0};
    if (!json_is_object(p) || json_object_size(p) != 1 || !(string || json_object_get(p, "Regex")))
        return cs_at_expected(&r->at, "pattern", "{\"String\": ...} or {\"Regex\": ...}", p);
    size_t mark = cs_at_member(&r->at, "pattern");
    if (string) {
        CS_TRY(cs_part_bytes(r, p, "String", literal));
        if (literal->len == 0)
            CS_TRY(cs_part_regex(r, "String", *literal, re));
    } else {
        CS_TRY(cs_at_string(&r->at, p, "Regex", true, &pattern));
        if (!text)
            CS_TRY(cs_part_regex(r, "Regex", pattern, re));
    }
    if (text)
        *text = pattern;
    cs_at_leave(&r->at, mark);
    return CS_OK;
}

/* ---- normalizer ---- */

static cs_status new_norm(cs_part_reader *r, cs_norm_kind kind, cs_norm_step **out)
{
    cs_normalizer *n = &r->t->norm;
    if (n->n_steps == CS_MAX_NORM_STEPS)
        return cs_at_refuse(&r->at, NULL, "more than %d steps are not supported", CS_MAX_NORM_STEPS);
    *out = &n->steps[n->n_steps++];
    (*out)->kind = kind;
    return CS_OK;
}

static cs_status norm_prepend(cs_part_reader *r, const json_t *obj)
{
    cs_norm_step *s = NULL;
    CS_TRY(new_norm(r, CS_NORM_PREPEND, &s));
    return cs_part_bytes(r, obj, "prepend", &s->to);
}

static cs_status norm_replace(cs_part_reader *r, const json_t *obj)
{
    cs_norm_step *s = NULL;
    CS_TRY(new_norm(r, CS_NORM_REPLACE, &s));
    CS_TRY(cs_part_pattern(r, obj, &s->from, &s->re, NULL));
    if (s->re)
        s->kind = CS_NORM_REGEX;
    return cs_part_bytes(r, obj, "content", &s->to);
}

static cs_status norm_form(cs_part_reader *r, const json_t *obj)
{
    const char *type = json_string_value(json_object_get(obj, "type")); /* NFC, NFD, NFKC, NFKD */
    cs_norm_step *s = NULL;
    CS_TRY(new_norm(r, CS_NORM_FORM, &s));
    s->compat = type[2] == 'K';
    s->compose = type[strlen(type) - 1] == 'C';
    return CS_OK;
}

static cs_status norm_strip(cs_part_reader *r, const json_t *obj)
{
    cs_norm_step *s = NULL;
    CS_TRY(new_norm(r, CS_NORM_STRIP, &s));
    CS_TRY(cs_at_bool(&r->at, obj, "strip_left", true, &s->left));
    return cs_at_bool(&r->at, obj, "strip_right", true, &s->right);
}

static cs_status norm_plain(cs_part_reader *r, const json_t *obj)
{
    static const struct {
        const char *type;
        cs_norm_kind kind;
    } rows[] = {{"Lowercase", CS_NORM_LOWER}, {"Nmt", CS_NORM_NMT}, {"StripAccents", CS_NORM_ACCENTS}, {"ByteLevel", CS_NORM_BYTES}};
    const char *type = json_string_value(json_object_get(obj, "type"));
    size_t i = 0;
    while (strcmp(rows[i].type, type) != 0)
        i++;
    cs_norm_step *s = NULL;
    return new_norm(r, rows[i].kind, &s);
}

/* Standard base64 with padding; false = it is none. */
static bool base64(cs_bytes in, uint8_t *out, size_t *n)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t pad = in.len > 0 && in.text[in.len - 1] == '=' ? 1 + (in.len > 1 && in.text[in.len - 2] == '=') : 0;
    uint32_t bits = 0;
    *n = 0;
    if (in.len % 4 != 0)
        return false;
    for (size_t i = 0; i < in.len; i++) {
        const char *d = i < in.len - pad ? memchr(digits, in.text[i], 64) : digits;
        if (!d)
            return false;
        bits = bits << 6 | (uint32_t)(d - digits);
        for (int k = 0; i % 4 == 3 && k < (i + 1 == in.len ? 3 - (int)pad : 3); k++)
            out[(*n)++] = (uint8_t)(bits >> (16 - 8 * k));
    }
    return pad == 0 || (bits & (pad == 1 ? 0xff : 0xffff)) == 0;
}

static cs_status norm_precompiled(cs_part_reader *r, const json_t *obj)
{
    cs_norm_step *s = NULL;
    cs_bytes text = {0};
    size_t n;
    CS_TRY(new_norm(r, CS_NORM_PRECOMPILED, &s));
    CS_TRY(cs_at_string(&r->at, obj, "precompiled_charsmap", true, &text));
    uint8_t *blob = cs_arena_alloc(&r->t->mem, text.len + 1);
    if (!blob)
        return cs_fail_nomem(r->at.err, text.len, "a normaliser table");
    if (!base64(text, blob, &n))
        return cs_at_expected(&r->at, "precompiled_charsmap", "base64", json_object_get(obj, "precompiled_charsmap"));
    uint32_t trie = n >= 4 ? (uint32_t)blob[0] | (uint32_t)blob[1] << 8 | (uint32_t)blob[2] << 16 | (uint32_t)blob[3] << 24 : 0;
    if (n < 9 || trie < 4 || trie > n - 4 || trie % 4 != 0)
        return cs_at_refuse(&r->at, "precompiled_charsmap", "expected a table and its strings, found %zu bytes with a table of %u", n, trie);
    size_t good = cs_utf8_valid_prefix(blob + 4 + trie, n - 4 - trie);
    if (good < n - 4 - trie)
        return cs_at_refuse(&r->at, "precompiled_charsmap", "expected UTF-8 in the strings, byte %zu is none", 4 + trie + good);
    blob[n] = '\0'; /* the last string may end with the blob */
    cs_charsmap_init(&s->map, blob, n + 1);
    return CS_OK;
}

cs_status cs_tok_json_normalizer(cs_part_reader *r, const json_t *root)
{
    static const cs_part_row rows[] = {
        {"Prepend", norm_prepend}, {"Replace", norm_replace},       {"NFC", norm_form},    {"NFD", norm_form},
        {"NFKC", norm_form},       {"NFKD", norm_form},             {"Lowercase", norm_plain}, {"Strip", norm_strip},
        {"StripAccents", norm_plain}, {"Nmt", norm_plain},          {"ByteLevel", norm_plain}, {"Precompiled", norm_precompiled},
        {NULL, NULL}};
    bool none;
    return cs_part_read(r, root, "normalizer", "normalizers", rows, &none);
}

/* ---- pre_tokenizer ---- */

cs_status cs_part_prefix(cs_part_reader *r, const json_t *obj, cs_prefix_scheme *out)
{
    static const char *const names[] = {"always", "first", "never"};
    bool prefix = true;
    int i = 0;
    CS_TRY(cs_at_bool(&r->at, obj, "add_prefix_space", false, &prefix));
    bool given = json_is_string(json_object_get(obj, "prepend_scheme"));
    CS_TRY(cs_at_choice(&r->at, obj, "prepend_scheme", names, 3, "always, first or never", &i));
    if (!prefix && given && i != CS_PREFIX_NEVER)
        return cs_at_refuse(&r->at, "prepend_scheme", "%s contradicts add_prefix_space: false", names[i]);
    *out = prefix ? (cs_prefix_scheme)i : CS_PREFIX_NEVER;
    return CS_OK;
}

static cs_status new_pretok(cs_part_reader *r, cs_pretok_kind kind, cs_pretok_step **out)
{
    cs_pretok *p = &r->t->pretok;
    if (p->n_steps == CS_MAX_PRETOK_STEPS)
        return cs_at_refuse(&r->at, NULL, "more than %d steps are not supported", CS_MAX_PRETOK_STEPS);
    *out = &p->steps[p->n_steps++];
    (*out)->kind = kind;
    (*out)->prefix = CS_PREFIX_NEVER;
    return CS_OK;
}

static cs_status pretok_metaspace(cs_part_reader *r, const json_t *obj)
{
    cs_pretok_step *s = NULL;
    CS_TRY(new_pretok(r, CS_PRETOK_METASPACE, &s));
    CS_TRY(cs_at_char(&r->at, obj, "replacement", &s->meta));
    CS_TRY(keep(r, &s->meta));
    CS_TRY(cs_part_prefix(r, obj, &s->prefix));
    s->split = true;
    return cs_at_bool(&r->at, obj, "split", false, &s->split);
}

static cs_status pretok_byte_level(cs_part_reader *r, const json_t *obj)
{
    cs_pretok_step *s = NULL;
    bool prefix = true, trim = true;
    CS_TRY(new_pretok(r, CS_PRETOK_BYTE_LEVEL, &s));
    CS_TRY(cs_at_bool(&r->at, obj, "add_prefix_space", false, &prefix));
    CS_TRY(cs_at_bool(&r->at, obj, "trim_offsets", false, &trim)); /* means something in the post-processor only */
    s->prefix = prefix ? CS_PREFIX_ALWAYS : CS_PREFIX_NEVER;
    s->split = true;
    CS_TRY(cs_at_bool(&r->at, obj, "use_regex", false, &s->split));
    return new_pretok(r, CS_PRETOK_BYTE_MAP, &s);
}

static cs_status read_behavior(cs_part_reader *r, const json_t *obj, int start, cs_split_behavior *out)
{
    static const char *const names[] = {"Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"};
    CS_TRY(cs_at_choice(&r->at, obj, "behavior", names, 5, "Removed, Isolated, MergedWithPrevious, MergedWithNext or Contiguous", &start));
    *out = (cs_split_behavior)start;
    return CS_OK;
}

static cs_status pretok_split(cs_part_reader *r, const json_t *obj)
{
    cs_pretok_step *s = NULL;
    cs_bytes text = {0};
    CS_TRY(new_pretok(r, CS_PRETOK_SPLIT, &s));
    CS_TRY(cs_part_pattern(r, obj, &s->find.literal, &s->find.re, &text));
    CS_TRY(read_behavior(r, obj, -1, &s->behavior));
    CS_TRY(cs_at_bool(&r->at, obj, "invert", true, &s->invert));
    if (!text.text)
        return CS_OK;
    CS_TRY(keep(r, &text));
    s->find.pattern = text;
    s->find.scan = cs_split_find(text.text, text.len);
    if (s->find.scan)
        return CS_OK;
    size_t mark = cs_at_member(&r->at, "pattern");
    CS_TRY(cs_part_regex(r, "Regex", text, &s->find.re));
    cs_at_leave(&r->at, mark);
    return CS_OK;
}

static cs_status pretok_digits(cs_part_reader *r, const json_t *obj)
{
    cs_pretok_step *s = NULL;
    bool each = false;
    CS_TRY(new_pretok(r, CS_PRETOK_SPLIT, &s));
    CS_TRY(cs_at_bool(&r->at, obj, "individual_digits", true, &each));
    s->find.is = cs_uni_is_numeric;
    s->behavior = each ? CS_SPLIT_ISOLATED : CS_SPLIT_CONTIGUOUS;
    return CS_OK;
}

static cs_status pretok_punctuation(cs_part_reader *r, const json_t *obj)
{
    cs_pretok_step *s = NULL;
    CS_TRY(new_pretok(r, CS_PRETOK_SPLIT, &s));
    s->find.is = cs_uni_is_punctuation;
    return read_behavior(r, obj, CS_SPLIT_ISOLATED, &s->behavior);
}

static cs_status pretok_whitespace(cs_part_reader *r, const json_t *obj)
{
    cs_pretok_step *s = NULL;
    (void)obj;
    CS_TRY(new_pretok(r, CS_PRETOK_SPLIT, &s));
    s->find.scan = cs_split_words;
    s->invert = true;
    s->behavior = CS_SPLIT_REMOVED;
    return CS_OK;
}

static cs_status pretok_whitespace_split(cs_part_reader *r, const json_t *obj)
{
    cs_pretok_step *s = NULL;
    (void)obj;
    CS_TRY(new_pretok(r, CS_PRETOK_SPLIT, &s));
    s->find.is = cs_uni_is_space;
    s->behavior = CS_SPLIT_REMOVED;
    return CS_OK;
}

static cs_status pretok_delimiter(cs_part_reader *r, const json_t *obj)
{
    cs_pretok_step *s = NULL;
    CS_TRY(new_pretok(r, CS_PRETOK_SPLIT, &s));
    CS_TRY(cs_at_char(&r->at, obj, "delimiter", &s->find.literal));
    s->behavior = CS_SPLIT_REMOVED;
    return keep(r, &s->find.literal);
}

static cs_status pretok_fixed(cs_part_reader *r, const json_t *obj)
{
    cs_pretok_step *s = NULL;
    int64_t length = 5;
    CS_TRY(new_pretok(r, CS_PRETOK_FIXED, &s));
    CS_TRY(cs_at_int(&r->at, obj, "length", 1, INT32_MAX, false, &length));
    s->length = (size_t)length;
    return CS_OK;
}

void cs_tok_set_byte_level(cs_tokenizer *t)
{
    t->bpe.byte_level = true;
    for (int b = 0; b < 256; b++)
        t->bpe.byte_symbol[b] = -1;
    for (uint32_t cp = 0; cp <= 0x143; cp++) {
        uint8_t text[4];
        int value = cs_byte_level_value(cp);
        if (value >= 0)
            t->bpe.byte_symbol[value] = cs_vocab_find(&t->vocab, (const char *)text, cs_utf8_encode(cp, text));
    }
}

/* A ByteLevel at the end need not spell the bytes out when the model has a symbol for every one. */
static void use_raw_bytes(cs_tokenizer *t)
{
    cs_pretok *p = &t->pretok;
    if (t->is_unigram || p->n_steps == 0 || p->steps[p->n_steps - 1].kind != CS_PRETOK_BYTE_MAP)
        return;
    cs_tok_set_byte_level(t);
    for (int b = 0; b < 256; b++)
        t->bpe.byte_level &= t->bpe.byte_symbol[b] >= 0;
    p->n_steps -= t->bpe.byte_level;
}

/* Metaspace's "first" asks where a text begins in the input; only steps that may drop text in front make that a question. */
static bool needs_source(const cs_tokenizer *t)
{
    bool drops = false;
    for (size_t i = 0; i < t->norm.n_steps; i++) {
        const cs_norm_step *s = &t->norm.steps[i];
        bool same = s->kind == CS_NORM_LOWER || s->kind == CS_NORM_BYTES || s->kind == CS_NORM_FORM;
        if ((s->kind == CS_NORM_PREPEND || s->kind == CS_NORM_REPLACE) && s->to.len > 0) /* (of one code point) */
            same = s->kind == CS_NORM_PREPEND || cs_utf8_decode((const uint8_t *)s->from.text, s->from.len, NULL) == s->from.len;
        drops |= !same;
    }
    for (size_t i = 0; i < t->pretok.n_steps; i++)
        if (t->pretok.steps[i].prefix == CS_PREFIX_FIRST && (drops || i > 0))
            return true;
    return false;
}

cs_status cs_tok_json_pretok(cs_part_reader *r, const json_t *root)
{
    static const cs_part_row rows[] = {
        {"Metaspace", pretok_metaspace}, {"ByteLevel", pretok_byte_level}, {"Split", pretok_split}, {"Digits", pretok_digits},
        {"Punctuation", pretok_punctuation}, {"Whitespace", pretok_whitespace}, {"WhitespaceSplit", pretok_whitespace_split},
        {"CharDelimiterSplit", pretok_delimiter}, {"FixedLength", pretok_fixed}, {NULL, NULL}};
    bool none;
    CS_TRY(cs_part_read(r, root, "pre_tokenizer", "pretokenizers", rows, &none));
    use_raw_bytes(r->t);
    r->t->needs_source = needs_source(r->t);
    return CS_OK;
}
