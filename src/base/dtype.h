/* Element types and the 16-bit float conversions. */
#ifndef CS_BASE_DTYPE_H
#define CS_BASE_DTYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef enum cs_dtype {
    CS_F64, CS_F32, CS_BF16, CS_F16, CS_I64, CS_I32, CS_I16, CS_I8, CS_U64, CS_U32, CS_U16, CS_U8, CS_BOOL, CS_F8_E4M3, CS_F8_E5M2,
    CS_DTYPE_COUNT
} cs_dtype;

typedef uint16_t cs_bf16; /* bit pattern */
typedef uint16_t cs_f16;  /* bit pattern */

/* Bytes of one element. */
static inline size_t cs_dtype_size(cs_dtype t)
{
    static const uint8_t size[CS_DTYPE_COUNT] = {8, 4, 2, 2, 8, 4, 2, 1, 8, 4, 2, 1, 1, 1, 1};
    return size[t];
}

/* "f64", "f32", "bf16", "f16", "i64", ... */
static inline const char *cs_dtype_name(cs_dtype t)
{
    static const char *const name[CS_DTYPE_COUNT] = {"f64", "f32", "bf16", "f16", "i64", "i32", "i16", "i8",
                                                     "u64", "u32", "u16", "u8", "bool", "f8_e4m3", "f8_e5m2"};
    return name[t];
}

static inline float cs_bf16_to_f32(cs_bf16 x)
{
    uint32_t u = (uint32_t)x << 16;
    float f;
    memcpy(&f, &u, 4);
    return f;
}

/* Round to nearest even; NaN stays a quiet NaN. */
static inline cs_bf16 cs_bf16_from_f32(float f)
{
    uint32_t u;
    memcpy(&u, &f, 4);
    if ((u & 0x7fffffffu) > 0x7f800000u)
        return (cs_bf16)((u >> 16) | 0x40);
    return (cs_bf16)((u + 0x7fffu + ((u >> 16) & 1)) >> 16);
}

static inline float cs_f16_to_f32(cs_f16 h)
{
    uint32_t sign = (uint32_t)(h & 0x8000u) << 16, e = (h >> 10) & 31, m = h & 1023u, u;
    if (e == 31) {
        u = sign | 0x7f800000u | (m << 13);
    } else if (e != 0) {
        u = sign | ((e + 112) << 23) | (m << 13);
    } else {
        float f = (float)m * 5.9604644775390625e-8f; /* 2^-24 */
        memcpy(&u, &f, 4);
        u |= sign;
    }
    float f;
    memcpy(&f, &u, 4);
    return f;
}

/* Round to nearest even; overflow gives infinity. */
static inline cs_f16 cs_f16_from_f32(float f)
{
    uint32_t u;
    memcpy(&u, &f, 4);
    uint32_t sign = (u >> 16) & 0x8000u;
    u &= 0x7fffffffu;
    if (u > 0x7f800000u)
        return (cs_f16)(sign | 0x7e00u);
    if (u >= 0x477ff000u)
        return (cs_f16)(sign | 0x7c00u);
    if (u < 0x38800000u) { /* subnormal: add 0.5 so that the hardware rounds at bit 2^-24 */
        float a, magic = 0.5f;
        memcpy(&a, &u, 4);
        a += magic;
        memcpy(&u, &a, 4);
        return (cs_f16)(sign | (u - 0x3f000000u));
    }
    return (cs_f16)(sign | ((u - 0x38000000u + 0xfffu + ((u >> 13) & 1)) >> 13));
}

#endif
