/* The manifest as data: building, writing, parsing. Checking files against it is manifest_check.c. */
#include "ckpt/manifest.h"

#include "base/io.h"
#include "fmt/limits.h"
#include "ckpt/hf.h"
#include "fmt/json.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#define XXH_STATIC_LINKING_ONLY /* the state on the stack */
#include <xxhash.h>

enum { FORMAT = 1, HASH_CHUNK = 1 << 18 };
static const char tail_start[] = ",\n\"xxh128\": \""; /* then 32 digits and "\"\n}\n" */

void cs_manifest_init(cs_manifest *m, int64_t iteration)
{
    *m = (cs_manifest){.iteration = iteration};
    cs_arena_init(&m->arena, "manifest");
}

void cs_manifest_release(cs_manifest *m)
{
    cs_arena_release(&m->arena);
    *m = (cs_manifest){0};
}

/* The slot of a name: where it is, or the free one where it would be. */
static size_t slot_of(const cs_manifest *m, const char *name)
{
    size_t mask = 2 * m->cap - 1, at = (size_t)XXH3_64bits(name, strlen(name)) & mask;
    while (m->slot[at] != 0 && strcmp(m->file[m->slot[at] - 1].name, name) != 0)
        at = (at + 1) & mask;
    return at;
}

const cs_manifest_file *cs_manifest_find(const cs_manifest *m, const char *name)
{
    size_t at = m->cap > 0 ? slot_of(m, name) : 0;
    return m->cap > 0 && m->slot[at] != 0 ? &m->file[m->slot[at] - 1] : NULL;
}

static cs_status grow(cs_manifest *m, cs_error *err)
{
    if (m->n_files < m->cap)
        return CS_OK;
    size_t cap = m->cap ? m->cap * 2 : 16;
    cs_manifest_file *more = cs_arena_calloc(&m->arena, cap, sizeof *more);
    uint32_t *slot = cs_arena_calloc(&m->arena, 2 * cap, sizeof *slot);
    if (!more || !slot)
        return cs_fail_nomem(err, cap * sizeof *more, "the manifest");
    if (m->n_files > 0)
        memcpy(more, m->file, m->n_files * sizeof *more);
    m->file = more;
    m->slot = slot;
    m->cap = cap;
    for (size_t i = 0; i < m->n_files; i++)
        m->slot[slot_of(m, m->file[i].name)] = (uint32_t)i + 1;
    return CS_OK;
}

cs_status cs_manifest_add(cs_manifest *m, const char *name, const cs_st_plan *plan, const cs_st_file *plan_file, cs_error *err)
{
    if (cs_manifest_find(m, name))
        return CS_OK;
    CS_TRY(grow(m, err));
    cs_manifest_file *f = &m->file[m->n_files];
    *f = (cs_manifest_file){.name = cs_arena_strdup(&m->arena, name)};
    if (!f->name)
        return cs_fail_nomem(err, strlen(name), "the manifest");
    if (plan) {
        f->bytes = plan_file->size;
        f->n_tensors = plan_file->n;
        f->tensor = cs_arena_calloc(&m->arena, plan_file->n + 1, sizeof *f->tensor);
        if (!f->tensor)
            return cs_fail_nomem(err, plan_file->n * sizeof *f->tensor, "the manifest");
        for (size_t i = 0; i < plan_file->n; i++) {
            const cs_st_entry *e = &plan->entry[plan_file->first + i];
            f->tensor[i] = (cs_manifest_tensor){cs_arena_strdup(&m->arena, e->name), e->offset, e->bytes, 0};
            if (!f->tensor[i].name)
                return cs_fail_nomem(err, strlen(e->name), "the manifest");
        }
    }
    m->slot[slot_of(m, f->name)] = (uint32_t)m->n_files + 1;
    m->n_files++;
    return CS_OK;
}

/* One pass over the bytes feeds both hashes, so that the second one finds them in the cache. */
static uint64_t hash_range(XXH3_state_t *whole, const uint8_t *p, size_t n)
{
    XXH3_state_t part;
    XXH3_64bits_reset(&part);
    while (n > 0) {
        size_t k = n < HASH_CHUNK ? n : HASH_CHUNK;
        XXH3_128bits_update(whole, p, k);
        XXH3_64bits_update(&part, p, k);
        p += k;
        n -= k;
    }
    return XXH3_64bits_digest(&part);
}

cs_status cs_manifest_hash_file(cs_manifest *m, size_t i, const char *dir, cs_error *err)
{
    cs_manifest_file *f = &m->file[i];
    char path[PATH_MAX];
    cs_map map;
    XXH3_state_t whole;
    size_t at = 0;
    CS_TRY(cs_hf_path(path, sizeof path, dir, f->name, err));
    CS_TRY(cs_map_init(&map, path, err));
    if (f->n_tensors > 0 && map.size != f->bytes) {
        cs_status s = cs_fail(err, CS_E_IO, "%s: %zu bytes read back, %zu were written", path, map.size, f->bytes);
        cs_map_release(&map);
        return s;
    }
    XXH3_128bits_reset(&whole);
    for (size_t k = 0; k < f->n_tensors; k++) {
        cs_manifest_tensor *t = &f->tensor[k];
        hash_range(&whole, map.data + at, t->offset - at);
        t->hash = hash_range(&whole, map.data + t->offset, t->bytes);
        at = t->offset + t->bytes;
    }
    hash_range(&whole, map.data + at, map.size - at);
    XXH128_hash_t h = XXH3_128bits_digest(&whole);
    f->bytes = map.size;
    f->hash[0] = h.low64;
    f->hash[1] = h.high64;
    cs_map_release(&map);
    return CS_OK;
}

static void put_file(cs_str *s, const cs_manifest_file *f)
{
    cs_str_puts(s, "{\"name\": ");
    cs_str_put_quoted(s, f->name);
    cs_str_printf(s, ", \"size\": %zu, \"xxh128\": \"%016" PRIx64 "%016" PRIx64 "\"", f->bytes, f->hash[1], f->hash[0]);
    if (f->n_tensors > 0)
        cs_str_puts(s, ", \"tensors\": [");
    for (size_t i = 0; i < f->n_tensors; i++) {
        const cs_manifest_tensor *t = &f->tensor[i];
        cs_str_puts(s, i ? ",\n  {\"name\": " : "\n  {\"name\": ");
        cs_str_put_quoted(s, t->name);
        cs_str_printf(s, ", \"offset\": %zu, \"size\": %zu, \"xxh64\": \"%016" PRIx64 "\"}", t->offset, t->bytes, t->hash);
    }
    cs_str_puts(s, f->n_tensors > 0 ? "]}" : "}");
}

cs_status cs_manifest_write(const cs_manifest *m, cs_str *out, cs_error *err)
{
    cs_str_printf(out, "{\n\"format\": %d,\n\"iteration\": %" PRId64, FORMAT, m->iteration);
    if (m->run_id) {
        cs_str_puts(out, ",\n\"run_id\": ");
        cs_str_put_quoted(out, m->run_id);
    }
    if (m->tokenizer_hash) {
        cs_str_puts(out, ",\n\"tokenizer_hash\": ");
        cs_str_put_quoted(out, m->tokenizer_hash);
    }
    cs_str_puts(out, ",\n\"files\": [");
    for (size_t i = 0; i < m->n_files; i++) {
        cs_str_puts(out, i ? ",\n" : "\n");
        put_file(out, &m->file[i]);
    }
    cs_str_puts(out, "]");
    CS_TRY(cs_str_check(out, err));
    XXH128_hash_t h = XXH3_128bits(out->data, out->len);
    cs_str_printf(out, "%s%016" PRIx64 "%016" PRIx64 "\"\n}\n", tail_start, (uint64_t)h.high64, (uint64_t)h.low64);
    return cs_str_check(out, err);
}

static bool parse_hex(const char *text, uint64_t *out)
{
    uint64_t v = 0;
    for (int i = 0; i < 16; i++) {
        char c = text[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
            return false;
        v = v << 4 | (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
    }
    *out = v;
    return true;
}

/* The last member must be the hash of everything before it. */
static cs_status check_self(const char *bytes, size_t len, const char *name, cs_error *err)
{
    size_t tail = sizeof tail_start - 1 + 32 + 4;
    uint64_t hi, lo;
    if (len < tail || memcmp(bytes + len - tail, tail_start, sizeof tail_start - 1) != 0 || memcmp(bytes + len - 4, "\"\n}\n", 4) != 0 ||
        !parse_hex(bytes + len - 36, &hi) || !parse_hex(bytes + len - 20, &lo))
        return cs_fail(err, CS_E_CKPT, "%s: does not end with its own hash at byte %zu; cut off or not a manifest", name,
                       len < tail ? 0 : len - tail);
    XXH128_hash_t h = XXH3_128bits(bytes, len - tail);
    if (h.high64 != hi || h.low64 != lo)
        return cs_fail(err, CS_E_CKPT, "%s: damaged: bytes 0 to %zu do not have the hash at its end", name, len - tail);
    return CS_OK;
}

/* "x" or "trainer/x", nothing that leads elsewhere. */
static bool safe_name(const char *name)
{
    if (strncmp(name, "trainer/", 8) == 0)
        name += 8;
    return *name && *name != '.' && strlen(name) <= CS_LIMIT_MANIFEST_NAME && !strchr(name, '/');
}

static cs_status get_size(const json_t *o, const char *key, const char *name, size_t *out, cs_error *err)
{
    int64_t v = -1;
    CS_TRY(cs_json_get_int(o, key, name, &v, err));
    if (v < 0)
        return cs_fail(err, CS_E_FORMAT, "%s: \"%s\" is missing or negative", name, key);
    *out = (size_t)v;
    return CS_OK;
}

static cs_status parse_tensor(cs_manifest *m, cs_manifest_file *f, const json_t *o, size_t floor, const char *name, cs_error *err)
{
    cs_manifest_tensor *t = &f->tensor[f->n_tensors];
    const char *text = NULL, *hash = NULL;
    CS_TRY(cs_json_get_str(o, "name", name, &text, err));
    CS_TRY(cs_json_get_str(o, "xxh64", name, &hash, err));
    CS_TRY(get_size(o, "offset", name, &t->offset, err));
    CS_TRY(get_size(o, "size", name, &t->bytes, err));
    if (!text || !hash || strlen(hash) != 16 || !parse_hex(hash, &t->hash))
        return cs_fail(err, CS_E_FORMAT, "%s: %s: a tensor without \"name\" or \"xxh64\" of 16 digits", name, f->name);
    if (t->offset < floor || t->offset > f->bytes || t->bytes > f->bytes - t->offset)
        return cs_fail(err, CS_E_FORMAT, "%s: %s: tensor \"%s\" lies outside the file or over the one before", name, f->name, text);
    t->name = cs_arena_strdup(&m->arena, text);
    f->n_tensors++;
    return t->name ? CS_OK : cs_fail_nomem(err, strlen(text), name);
}

static cs_status parse_file(cs_manifest *m, const json_t *o, const char *name, cs_error *err)
{
    const char *text = NULL, *hash = NULL;
    if (!json_is_object(o))
        return cs_fail(err, CS_E_FORMAT, "%s: an entry of \"files\" is not an object", name);
    CS_TRY(cs_json_get_str(o, "name", name, &text, err));
    CS_TRY(cs_json_get_str(o, "xxh128", name, &hash, err));
    if (!text || !safe_name(text) || !hash || strlen(hash) != 32)
        return cs_fail(err, CS_E_FORMAT, "%s: file %zu has no plain \"name\" or no \"xxh128\" of 32 digits", name, m->n_files);
    size_t before = m->n_files;
    CS_TRY(cs_manifest_add(m, text, NULL, NULL, err));
    if (m->n_files == before)
        return cs_fail(err, CS_E_FORMAT, "%s: file \"%s\" is listed twice", name, text);
    cs_manifest_file *f = &m->file[before];
    CS_TRY(get_size(o, "size", name, &f->bytes, err));
    if (!parse_hex(hash, &f->hash[1]) || !parse_hex(hash + 16, &f->hash[0]))
        return cs_fail(err, CS_E_FORMAT, "%s: \"%s\": \"xxh128\" is not 32 hexadecimal digits", name, text);
    const json_t *tensors = json_object_get(o, "tensors");
    f->tensor = cs_arena_calloc(&m->arena, json_array_size(tensors) + 1, sizeof *f->tensor);
    if (!f->tensor)
        return cs_fail_nomem(err, json_array_size(tensors) * sizeof *f->tensor, name);
    for (size_t i = 0, floor = 0; i < json_array_size(tensors); i++) {
        CS_TRY(parse_tensor(m, f, json_array_get(tensors, i), floor, name, err));
        floor = f->tensor[i].offset + f->tensor[i].bytes;
    }
    return CS_OK;
}

static cs_status parse_text(cs_manifest *m, const json_t *tree, const char *key, const char *name, const char **out, cs_error *err)
{
    const char *text = NULL;
    CS_TRY(cs_json_get_str(tree, key, name, &text, err));
    *out = text ? cs_arena_strdup(&m->arena, text) : NULL;
    return text && !*out ? cs_fail_nomem(err, strlen(text), name) : CS_OK;
}

static cs_status parse_tree(cs_manifest *m, const json_t *tree, const char *name, cs_error *err)
{
    int64_t format = 0;
    if (!json_is_object(tree))
        return cs_fail(err, CS_E_FORMAT, "%s: not an object", name);
    CS_TRY(cs_json_get_int(tree, "format", name, &format, err));
    if (format != FORMAT)
        return cs_fail(err, CS_E_FORMAT, "%s: \"format\" is %" PRId64 ", this version reads %d", name, format, FORMAT);
    CS_TRY(cs_json_get_int(tree, "iteration", name, &m->iteration, err));
    CS_TRY(parse_text(m, tree, "run_id", name, &m->run_id, err));
    CS_TRY(parse_text(m, tree, "tokenizer_hash", name, &m->tokenizer_hash, err));
    const json_t *files = json_object_get(tree, "files");
    if (!json_is_array(files))
        return cs_fail(err, CS_E_FORMAT, "%s: no \"files\"", name);
    if (json_array_size(files) > CS_LIMIT_MANIFEST_FILES)
        return cs_fail(err, CS_E_FORMAT, "%s: expected at most %d \"files\", found %zu", name, CS_LIMIT_MANIFEST_FILES, json_array_size(files));
    for (size_t i = 0; i < json_array_size(files); i++)
        CS_TRY(parse_file(m, json_array_get(files, i), name, err));
    return CS_OK;
}

cs_status cs_manifest_parse(cs_manifest *m, const char *bytes, size_t len, const char *name, cs_error *err)
{
    json_t *tree = NULL;
    cs_error own = {0};
    err = err ? err : &own;
    cs_manifest_init(m, -1);
    CS_TRY(check_self(bytes, len, name, err));
    cs_status s = cs_json_parse(bytes, len, name, &tree, err);
    if (s == CS_OK)
        s = parse_tree(m, tree, name, err);
    json_decref(tree);
    if (s != CS_OK)
        cs_manifest_release(m);
    if (s == CS_E_FORMAT)
        s = err->status = CS_E_CKPT;
    return s;
}
