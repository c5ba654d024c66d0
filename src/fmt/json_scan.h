/* A reader of JSON (RFC 8259) that gives one event at a time, with the byte range of every token. It never recurses and never allocates: an
 * object or array inside another costs one bit. Integers are exact to 2^63; what does not fit is an error, as are NaN, Infinity, a number beyond
 * a double, invalid UTF-8, control characters in strings, a NUL byte and a byte order mark. Linear time. Pure. */
#ifndef CS_FMT_JSON_SCAN_H
#define CS_FMT_JSON_SCAN_H

#include "base/error.h"

typedef enum cs_json_event {
    CS_JSON_END, CS_JSON_OBJECT, CS_JSON_OBJECT_END, CS_JSON_ARRAY, CS_JSON_ARRAY_END, CS_JSON_KEY, CS_JSON_STRING, CS_JSON_INTEGER, CS_JSON_REAL,
    CS_JSON_TRUE, CS_JSON_FALSE, CS_JSON_NULL
} cs_json_event;

typedef struct cs_json_scan {
    /* Set by cs_json_scan_init. */
    const char *bytes; /* borrowed */
    size_t len;
    const char *name;
    size_t base;    /* file offset of bytes[0], for messages by offset */
    bool by_offset; /* messages name "byte N" of the file instead of line:column */
    int64_t line;   /* number of the first line, 1 unless the caller changes it */
    bool big_integers; /* an integer beyond int64 is a real instead of an error */
    /* The event that cs_json_scan_next gave last. */
    cs_json_event event;
    size_t start, end;  /* its token: bytes [start, end), strings with their quotes */
    int64_t integer;    /* of CS_JSON_INTEGER */
    bool escaped;       /* the string has escapes */
    bool nul;           /* the string has an escaped NUL */
    size_t surrogate;   /* position of the first lone surrogate escape, or SIZE_MAX: the caller decides what it means */
    /* Own state. */
    size_t at;
    int depth, state;
    uint64_t objects; /* bit d: level d is an object */
} cs_json_scan;

/* `name` is for messages, which give line:column (both from 1; a column is a character, not a byte). */
void cs_json_scan_init(cs_json_scan *s, const char *bytes, size_t len, const char *name);
/* Reads the next token into s->event, start and end. After the one top-level value comes CS_JSON_END, again and again.
 * CS_E_FORMAT "name:line:column: expected ..., found ...". */
cs_status cs_json_scan_next(cs_json_scan *s, cs_error *err);
/* Reads on behind the end of the value that the current event begins (nothing to do for a scalar). */
cs_status cs_json_scan_skip(cs_json_scan *s, cs_error *err);
/* The text of the current key or string into out, which holds s->end - s->start bytes; a lone surrogate becomes U+FFFD. Returns the length;
 * a NUL is put behind it. */
size_t cs_json_scan_text(const cs_json_scan *s, char *out);
/* True when the current key or string is exactly `text`, of at most 26 ASCII characters. */
bool cs_json_scan_is(const cs_json_scan *s, const char *text);
/* CS_E_FORMAT "<place>: expected <expected>, found <what stands there>" about the byte at `at`; <place> is name:line:column or "name: byte N". */
cs_status cs_json_scan_fail(const cs_json_scan *s, size_t at, const char *expected, cs_error *err);
/* As above for the current token. */
cs_status cs_json_scan_unexpected(const cs_json_scan *s, const char *expected, cs_error *err);

/* Where the byte at `at` is, as it follows the name in a message: ":line:column" or ": byte N". */
void cs_json_scan_place(const cs_json_scan *s, size_t at, char *buf, size_t n);

#endif
