/* Damaged files from a few words: bytes appended to a growing buffer, hexadecimal text, SentencePiece models from a line of text. For tests. */
#ifndef CS_TESTS_BYTES_SPEC_H
#define CS_TESTS_BYTES_SPEC_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct bytes {
    uint8_t *p;
    size_t n;
} bytes;

static inline void put(bytes *b, const void *from, size_t n)
{
    b->p = realloc(b->p, b->n + n + 1);
    memcpy(b->p + b->n, from, n);
    b->n += n;
}

/* "0a05": pairs of digits, up to the first other character. */
static inline void put_hex(bytes *b, const char *hex)
{
    unsigned v;
    for (; sscanf(hex, "%2x", &v) == 1 && hex[1]; hex += 2) {
        uint8_t byte = (uint8_t)v;
        put(b, &byte, 1);
    }
}

static inline void put_varint(bytes *b, uint64_t v)
{
    do {
        uint8_t byte = (uint8_t)((v & 127) | (v > 127 ? 128 : 0));
        put(b, &byte, 1);
        v >>= 7;
    } while (v);
}

/* A field of type 2: key, length, bytes; the payload's buffer is freed. */
static inline void put_field(bytes *b, uint64_t number, bytes payload)
{
    put_varint(b, number << 3 | 2);
    put_varint(b, payload.n);
    put(b, payload.p ? payload.p : (const uint8_t *)"", payload.n);
    free(payload.p);
}

static inline void put_piece(bytes *b, const char *text, size_t n, int type)
{
    bytes body = {0}, name = {0};
    put(&name, text, n);
    put_field(&body, 1, name);
    put_varint(&body, 3 << 3);
    put_varint(&body, (uint64_t)type);
    put_field(b, 1, body);
}

/* A SentencePiece model from words: U <unk>, N:x normal piece, T4:x piece of type 4, H:hex normal piece of those bytes, B all byte pieces,
 * B-41 all but 0x41, B:41 one of them, P:hex a piece's body, F a trainer with byte_fallback, M3 with model type 3, I41=7 with field 41 = 7,
 * C:hex a normaliser with that table, X:hex bytes as they are, A=n a normal piece of n letters. */
static inline bytes spm_from(const char *spec)
{
    bytes b = {0};
    char word[256], text[8];
    for (int used = 0; sscanf(spec, " %255s%n", word, &used) == 1; spec += used) {
        bytes body = {0}, inner = {0};
        long id = strtol(word + 1, NULL, 10);
        char *value = strchr(word, '=');
        switch (word[0]) {
        case 'U': put_piece(&b, "<unk>", 5, 2); break;
        case 'N': put_piece(&b, word + 2, strlen(word + 2), 1); break;
        case 'T': put_piece(&b, word + 3, strlen(word + 3), word[1] - '0'); break;
        case 'H':
            put_hex(&inner, word + 2);
            put_piece(&b, (char *)inner.p, inner.n, 1);
            free(inner.p);
            break;
        case 'B':
            for (int v = 0; v < 256; v++) {
                snprintf(text, sizeof text, "<0x%02X>", v);
                long named = word[1] ? strtol(word + 2, NULL, 16) : -1;
                if (word[1] != ':' ? v != named : v == named)
                    put_piece(&b, text, 6, 6);
            }
            break;
        case 'P':
            put_hex(&body, word + 2);
            put_field(&b, 1, body);
            break;
        case 'F':
            put_hex(&body, "980201");
            put_field(&b, 2, body);
            break;
        case 'M':
        case 'I':
            put_varint(&body, (uint64_t)(word[0] == 'M' ? 3 : id) << 3);
            put_varint(&body, word[0] == 'M' ? (uint64_t)id : (uint64_t)strtoll(value + 1, NULL, 10));
            put_field(&b, 2, body);
            break;
        case 'C':
            put_hex(&inner, word + 2);
            put_field(&body, 2, inner);
            put_field(&b, 3, body);
            break;
        case 'A': {
            size_t n = (size_t)strtoll(value + 1, NULL, 10);
            char *letters = malloc(n);
            memset(letters, 'a', n);
            put_piece(&b, letters, n, 1);
            free(letters);
            break;
        }
        default: put_hex(&b, word + 2);
        }
    }
    return b;
}

#endif
