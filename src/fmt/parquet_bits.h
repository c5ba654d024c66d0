/* Integers packed into bits: levels and dictionary indices (runs and groups of 8), and sequences of differences. Readers hand out one value at a time
 * and hold no memory; what they say of a count costs nothing until it is asked for. Pure. */
#ifndef CS_FMT_PARQUET_BITS_H
#define CS_FMT_PARQUET_BITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Runs of one value and groups of 8 packed ones, mixed ("RLE"), or one sequence packed from the high bits ("BIT_PACKED"). */
typedef struct cs_runs {
    const uint8_t *at, *end;
    int width;     /* bits of a value, 0 to 32 */
    bool high;     /* BIT_PACKED */
    bool packed;   /* the current run: packed values from `bits` on, else all of them are `value` */
    uint64_t left; /* values left in it */
    uint32_t value;
    const uint8_t *bits;
    size_t bit;
} cs_runs;

void cs_runs_init(cs_runs *r, const uint8_t *p, size_t n, int width);
/* `n` bytes of BIT_PACKED. */
void cs_runs_init_high(cs_runs *r, const uint8_t *p, size_t n, int width);
/* false when the bytes end. */
bool cs_runs_next(cs_runs *r, uint32_t *out);

/* DELTA_BINARY_PACKED. A function gives NULL, or what is wrong with the bytes. */
typedef struct cs_deltas {
    const uint8_t *at, *end;
    uint64_t left; /* values still to come */
    uint64_t value, least;
    uint64_t per_part, parts; /* values in a part of a block, parts in a block */
    uint64_t part, part_left;
    const uint8_t *widths, *bits, *bits_end;
    size_t bit;
    int width;
    bool first;
} cs_deltas;

const char *cs_deltas_init(cs_deltas *d, const uint8_t *p, size_t n);
const char *cs_deltas_next(cs_deltas *d, int64_t *out);
/* Of a reader that has given nothing yet: where its bytes end. Time is that of the bytes, not of the values. */
const char *cs_deltas_end(const cs_deltas *d, const uint8_t **end);

#endif
