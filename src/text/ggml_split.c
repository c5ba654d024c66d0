/* Names of tokenizer.ggml.pre with the patterns that they stand for. */
#include "text/ggml_split.h"

#include "text/tok.h"

#include <string.h>

static const char gpt2[] = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
static const char llama3[] =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
static const char qwen2[] =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
static const char bloom[] = " ?[^(\\s|[.,!?\xe2\x80\xa6\xe3\x80\x82\xef\xbc\x8c\xe3\x80\x81\xe0\xa5\xa4\xdb\x94\xd8\x8c])]+";

/* Of rows with the same patterns the first is the one to write. */
static const cs_ggml_split splits[] = {
    {"gpt-2", {gpt2}, false, false},
    {"phi-2", {gpt2}, false, false},
    {"jina-es", {gpt2}, false, false},
    {"jina-de", {gpt2}, false, false},
    {"mpt", {gpt2}, false, false},
    {"olmo", {gpt2}, false, false},
    {"jais", {gpt2}, false, false},
    {"default", {"[\\p{P}\\$\\+<=>\\^~\\|]+", gpt2, "\\p{N}+", "[0-9][0-9][0-9]"}, false, false},
    {"llama-bpe", {llama3}, true, true},
    {"llama-v3", {llama3}, true, true},
    {"llama3", {llama3}, true, true},
    {"smaug-bpe", {llama3}, false, false},
    {"dbrx", {llama3}, false, false},
    {"qwen2", {qwen2}, false, false},
    {"stablelm2", {qwen2}, false, false},
    {"bloom", {bloom}, false, false},
    {"gpt3-finnish", {bloom}, false, false},
};
enum { N_SPLITS = sizeof splits / sizeof *splits };

const cs_ggml_split *cs_ggml_split_find(const char *pre, size_t len)
{
    for (size_t i = 0; i < N_SPLITS; i++)
        if (strlen(splits[i].pre) == len && memcmp(splits[i].pre, pre, len) == 0)
            return &splits[i];
    return NULL;
}

/* The patterns of a tokenizer's steps; false when a step is no such cut, or there are none or too many. */
static bool patterns_of(const cs_tokenizer *t, cs_bytes out[CS_GGML_SPLIT_PATTERNS], size_t *n)
{
    *n = 0;
    for (size_t i = 0; i < t->pretok.n_steps; i++) {
        const cs_pretok_step *s = &t->pretok.steps[i];
        bool cuts = s->kind == CS_PRETOK_SPLIT || (s->kind == CS_PRETOK_BYTE_LEVEL && s->split);
        if (!cuts && (s->kind == CS_PRETOK_BYTE_LEVEL || s->kind == CS_PRETOK_BYTE_MAP))
            continue;
        if (!cuts || *n == CS_GGML_SPLIT_PATTERNS)
            return false;
        if (s->kind == CS_PRETOK_SPLIT && !(s->find.pattern.text && !s->invert && s->behavior == CS_SPLIT_ISOLATED))
            return false;
        out[(*n)++] = s->kind == CS_PRETOK_SPLIT ? s->find.pattern : (cs_bytes){gpt2, sizeof gpt2 - 1};
    }
    return *n > 0;
}

/* Other spellings of a pattern are known by the function that scans for it. */
static bool same_pattern(const char *known, cs_bytes found)
{
    cs_split_fn *fn = cs_split_find(known, strlen(known));
    return (strlen(known) == found.len && memcmp(known, found.text, found.len) == 0) || (fn && fn == cs_split_find(found.text, found.len));
}

static bool cuts_so(const cs_ggml_split *s, const cs_bytes *pattern, size_t n)
{
    for (size_t i = 0; i < CS_GGML_SPLIT_PATTERNS; i++)
        if ((i < n) != (s->pattern[i] != NULL) || (i < n && !same_pattern(s->pattern[i], pattern[i])))
            return false;
    return true;
}

const cs_ggml_split *cs_ggml_split_of(const cs_tokenizer *t)
{
    cs_bytes pattern[CS_GGML_SPLIT_PATTERNS];
    size_t n;
    const cs_ggml_split *other = NULL;
    if (!patterns_of(t, pattern, &n))
        return NULL;
    for (size_t i = 0; i < N_SPLITS; i++) {
        if (!cuts_so(&splits[i], pattern, n))
            continue;
        if (splits[i].ignore_merges == t->bpe.ignore_merges)
            return &splits[i];
        other = other ? other : &splits[i];
    }
    return t->bpe.whole ? NULL : other; /* whether whole words are taken makes no difference to this vocabulary */
}
