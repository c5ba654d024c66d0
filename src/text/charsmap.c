/* Walks the double array: a unit holds label, offset to its children, and a leaf flag; a leaf's value is an offset into the strings. */
#include "text/charsmap.h"

static uint32_t get_u32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

void cs_charsmap_init(cs_charsmap *m, const uint8_t *blob, size_t bytes)
{
    *m = (cs_charsmap){0};
    if (bytes == 0)
        return;
    size_t trie = get_u32(blob);
    *m = (cs_charsmap){blob + 4, trie / 4, (const char *)blob + 4 + trie, bytes - 4 - trie};
}

static uint32_t offset_of(uint32_t unit)
{
    return (unit >> 10) << ((unit & (1u << 9)) >> 6);
}

static size_t match(const cs_charsmap *m, const char *text, size_t n, bool shortest, const char **to)
{
    size_t best = 0;
    if (m->n_units == 0)
        return 0;
    size_t node = offset_of(get_u32(m->units));
    for (size_t i = 0; i < n; i++) {
        node ^= (uint8_t)text[i];
        if (node >= m->n_units)
            break;
        uint32_t unit = get_u32(m->units + 4 * node);
        if ((unit & 0x800000ffu) != (uint8_t)text[i])
            break;
        node ^= offset_of(unit);
        if (node >= m->n_units)
            break;
        if (unit >> 8 & 1) {
            uint32_t value = get_u32(m->units + 4 * node) & 0x7fffffffu;
            if (value < m->strings_bytes) {
                best = i + 1;
                *to = m->strings + value;
                if (shortest)
                    break;
            }
        }
    }
    return best;
}

bool cs_charsmap_begins(const cs_charsmap *m, const char *text, size_t n)
{
    size_t node = m->n_units > 0 ? offset_of(get_u32(m->units)) : 0;
    for (size_t i = 0; i < n && m->n_units > 0; i++) {
        node ^= (uint8_t)text[i];
        if (node >= m->n_units)
            return false;
        uint32_t unit = get_u32(m->units + 4 * node);
        if ((unit & 0x800000ffu) != (uint8_t)text[i])
            return false;
        node ^= offset_of(unit);
    }
    return m->n_units > 0;
}

size_t cs_charsmap_match(const cs_charsmap *m, const char *text, size_t n, const char **to)
{
    return match(m, text, n, false, to);
}

size_t cs_charsmap_shortest(const cs_charsmap *m, const char *text, size_t n, const char **to)
{
    return match(m, text, n, true, to);
}
