/* A second judge of safetensors files, written apart from src/fmt and sharing nothing with it: the header as one jansson tree, then the rules of the
 * format as sentences. st_check(bytes, size) is true exactly for the files that the program accepts. Quadratic in the number of tensors. */
#ifndef CS_TESTS_ST_CHECK_H
#define CS_TESTS_ST_CHECK_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

typedef struct st_piece { uint64_t from, to; } st_piece;

/* jansson reads -0 as 0 and a NUL byte as the end; both are refused here. */
static bool st_plain(const char *p, size_t n)
{
    bool quoted = false;
    for (size_t i = 0; i < n; i++) {
        if (p[i] == '"')
            quoted = !quoted;
        else if (quoted && p[i] == '\\')
            i++;
        else if (p[i] == '\0')
            return false;
        else if (!quoted && i > 0 && i + 2 < n && memcmp(p + i, "-0", 2) == 0 && !strchr("eE", p[i - 1]) && (!p[i + 2] || !strchr(".eE", p[i + 2])))
            return false;
    }
    return true;
}

static int st_depth(const json_t *v)
{
    int below = 0, one;
    const char *key;
    json_t *member;
    size_t i;
    json_object_foreach((json_t *)v, key, member) below = (one = st_depth(member)) > below ? one : below;
    json_array_foreach(v, i, member) below = (one = st_depth(member)) > below ? one : below;
    return below + (json_is_object(v) || json_is_array(v));
}

static bool st_entry(const json_t *v, st_piece *out)
{
    static const char type[][8] = {"BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2", "I16", "U16", "F16", "BF16", "I32", "U32", "F32", "F64", "I64", "U64"};
    static const uint64_t width[] = {1, 1, 1, 1, 1, 2, 2, 2, 2, 4, 4, 4, 8, 8, 8};
    const json_t *dtype = json_object_get(v, "dtype"), *shape = json_object_get(v, "shape"), *at = json_object_get(v, "data_offsets"), *d;
    uint64_t bytes = 1;
    size_t i, k = 0;
    while (k < 15 && (json_string_length(dtype) != strlen(type[k]) || strcmp(json_string_value(dtype), type[k]) != 0))
        k++;
    if (k == 15 || !json_is_array(shape) || json_array_size(shape) > 8 || !json_is_array(at) || json_array_size(at) != 2)
        return false;
    json_array_foreach(shape, i, d)
        if (!json_is_integer(d) || json_integer_value(d) < 0 || __builtin_mul_overflow(bytes, (uint64_t)json_integer_value(d), &bytes))
            return false;
    json_array_foreach(at, i, d) if (!json_is_integer(d) || json_integer_value(d) < 0) return false;
    out->from = (uint64_t)json_integer_value(json_array_get(at, 0));
    out->to = (uint64_t)json_integer_value(json_array_get(at, 1));
    return bytes >> 63 == 0 && !__builtin_mul_overflow(bytes, width[k], &bytes) && out->to >= out->from && out->to - out->from == bytes;
}

/* Every byte of the data in exactly one piece, and a piece without bytes not inside another. */
static bool st_tiles(const st_piece *t, size_t n, uint64_t bytes)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < n; k++)
            if (t[i].to > bytes || (k != i && t[k].from < t[i].to && t[i].from < t[k].to))
                return false;
        sum += t[i].to - t[i].from;
    }
    return sum == bytes;
}

static bool st_check(const uint8_t *p, size_t size)
{
    uint64_t n = 0, used = 0;
    for (size_t i = 8; size >= 8 && i-- > 0; )
        n = n << 8 | p[i];
    if (size < 8 || n < 2 || n > 100000000 || n > size - 8 || p[8] != '{' || !st_plain((const char *)p + 8, n))
        return false;
    json_t *tree = json_loadb((const char *)p + 8, n, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL), *v, *text;
    st_piece *piece = calloc(json_object_size(tree) + 1, sizeof *piece);
    bool good = json_is_object(tree) && st_depth(tree) <= 64;
    const char *key, *inner;
    json_object_foreach(tree, key, v)
        if (strcmp(key, "__metadata__") != 0)
            good = good && st_entry(v, &piece[used++]);
        else if (!json_is_null(v)) {
            good = good && json_is_object(v);
            json_object_foreach(v, inner, text) good = good && json_is_string(text);
        }
    good = good && st_tiles(piece, used, size - 8 - n);
    free(piece);
    json_decref(tree);
    return good;
}

#endif
