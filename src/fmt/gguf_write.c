/* GGUF writer. */
#include "fmt/gguf_write.h"

#include "base/dtype.h"
#include "base/mem.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

void cs_gguf_out_release(cs_gguf_out *o)
{
    cs_str_release(&o->kv);
    cs_str_release(&o->header);
    cs_free(o->tensor);
    *o = (cs_gguf_out){0};
}

static void put_int(cs_str *s, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++)
        cs_str_putc(s, (char)(value >> (8 * i)));
}

static void put_text(cs_str *s, const char *text, size_t len)
{
    put_int(s, len, 8);
    cs_str_append(s, text, len);
}

static uint32_t bits_of(float f)
{
    uint32_t u;
    memcpy(&u, &f, 4);
    return u;
}

static void put_key(cs_gguf_out *o, const char *key, cs_gguf_kind kind)
{
    put_text(&o->kv, key, strlen(key));
    put_int(&o->kv, (uint64_t)kind, 4);
    o->n_kv++;
}

void cs_gguf_put_u32(cs_gguf_out *o, const char *key, uint32_t value)
{
    put_key(o, key, CS_GGUF_U32);
    put_int(&o->kv, value, 4);
}

void cs_gguf_put_f32(cs_gguf_out *o, const char *key, float value)
{
    put_key(o, key, CS_GGUF_F32);
    put_int(&o->kv, bits_of(value), 4);
}

void cs_gguf_put_bool(cs_gguf_out *o, const char *key, bool value)
{
    put_key(o, key, CS_GGUF_BOOL);
    put_int(&o->kv, value, 1);
}

void cs_gguf_put_str(cs_gguf_out *o, const char *key, const char *text, size_t len)
{
    put_key(o, key, CS_GGUF_STRING);
    put_text(&o->kv, text, len);
}

void cs_gguf_put_array(cs_gguf_out *o, const char *key, cs_gguf_kind item, uint64_t n)
{
    put_key(o, key, CS_GGUF_ARRAY);
    put_int(&o->kv, (uint64_t)item, 4);
    put_int(&o->kv, n, 8);
}

void cs_gguf_item_str(cs_gguf_out *o, const char *text, size_t len)
{
    put_text(&o->kv, text, len);
}

void cs_gguf_item_i32(cs_gguf_out *o, int32_t value)
{
    put_int(&o->kv, (uint32_t)value, 4);
}

void cs_gguf_item_f32(cs_gguf_out *o, float value)
{
    put_int(&o->kv, bits_of(value), 4);
}

void cs_gguf_out_add(cs_gguf_out *o, const char *name, uint32_t type, int64_t rows, int64_t cols, int64_t tag)
{
    size_t elements, unit, bytes, count, total;
    if (o->n == o->cap) {
        size_t cap = o->cap ? 2 * o->cap : 64;
        cs_gguf_out_tensor *more = cs_realloc_array(o->tensor, cap, sizeof *more);
        if (!more) {
            o->failed = true;
            return;
        }
        o->tensor = more;
        o->cap = cap;
    }
    cs_gguf_type_block(type, &elements, &unit);
    CS_ASSERT(cols > 0 && (size_t)cols % elements == 0 && strlen(name) <= CS_LIMIT_GGUF_NAME);
    count = (size_t)(rows > 0 ? rows : 1);
    if (!cs_mul_checked(count, (size_t)cols / elements, &total) || !cs_mul_checked(total, unit, &bytes)) {
        o->failed = true;
        return;
    }
    cs_gguf_out_tensor *t = &o->tensor[o->n++];
    *t = (cs_gguf_out_tensor){.type = type, .ndim = rows > 0 ? 2 : 1, .dim = {cols, rows}, .bytes = bytes, .tag = tag};
    snprintf(t->name, sizeof t->name, "%s", name);
}

static size_t align(size_t x)
{
    return (x + CS_GGUF_ALIGNMENT - 1) / CS_GGUF_ALIGNMENT * CS_GGUF_ALIGNMENT;
}

cs_status cs_gguf_out_layout(cs_gguf_out *o, cs_error *err)
{
    size_t at = 0;
    cs_str *h = &o->header;
    cs_str_append(h, "GGUF", 4);
    put_int(h, 3, 4);
    put_int(h, o->n, 8);
    put_int(h, o->n_kv, 8);
    cs_str_append(h, o->kv.data, o->kv.len);
    for (size_t i = 0; i < o->n && !o->failed; i++) {
        cs_gguf_out_tensor *t = &o->tensor[i];
        put_text(h, t->name, strlen(t->name));
        put_int(h, (uint64_t)t->ndim, 4);
        for (int d = 0; d < t->ndim; d++)
            put_int(h, (uint64_t)t->dim[d], 8);
        put_int(h, t->type, 4);
        put_int(h, at, 8);
        t->offset = at;
        size_t next;
        o->failed = !cs_add_checked(at, t->bytes, &next) || next > SIZE_MAX / 2;
        at = o->failed ? 0 : align(next);
    }
    while (h->len % CS_GGUF_ALIGNMENT != 0 && !h->failed)
        cs_str_putc(h, 0);
    if (o->failed || o->kv.failed || h->failed)
        return cs_fail_nomem(err, h->len, "a GGUF header");
    for (size_t i = 0; i < o->n; i++)
        o->tensor[i].offset += h->len;
    o->size = h->len + at;
    return CS_OK;
}

void cs_q8_0_pack(const float *x, int64_t n, uint8_t *out)
{
    for (int64_t b = 0; b < n / CS_Q8_0_BLOCK; b++, x += CS_Q8_0_BLOCK, out += CS_Q8_0_BYTES) {
        float top = 0;
        for (int i = 0; i < CS_Q8_0_BLOCK; i++)
            top = fmaxf(top, fabsf(x[i]));
        float scale = top / 127, inverse = scale != 0 ? 1 / scale : 0;
        cs_f16 half = cs_f16_from_f32(scale);
        memcpy(out, &half, 2);
        for (int i = 0; i < CS_Q8_0_BLOCK; i++)
            out[2 + i] = (uint8_t)(int8_t)roundf(x[i] * inverse);
    }
}

void cs_q8_0_unpack(const uint8_t *blocks, int64_t n, float *out)
{
    for (int64_t b = 0; b < n / CS_Q8_0_BLOCK; b++, blocks += CS_Q8_0_BYTES, out += CS_Q8_0_BLOCK) {
        cs_f16 half;
        memcpy(&half, blocks, 2);
        for (int i = 0; i < CS_Q8_0_BLOCK; i++)
            out[i] = cs_f16_to_f32(half) * (float)(int8_t)blocks[2 + i];
    }
}
