/* Dataset styles. A handler is one function that turns one record into texts for cs_emit; everything behind that is the same for all.
 * To add one: a function in a handler_*.c file, a row in handler.c, its name in CS_HANDLER_NAMES. */
#ifndef CS_DATA_HANDLER_H
#define CS_DATA_HANDLER_H

#include "data/columns.h"
#include "data/emit.h"
#include "base/options.h"
#include "text/normalize.h"

#include <jansson.h>

/* In the order of the table. */
#define CS_HANDLER_NAMES                                                                                                    \
    "GeneralPretrainHandler|AlpacaPretrainHandler|StackOverflowPythonPretrainHandler|GeneralInstructionHandler"             \
    "|BelleMultiTurnInstructionHandler|MOSSInstructionHandler|MOSSMultiTurnHandler|LeetcodePythonInstructionHandler"        \
    "|alpaca|sharegpt|openai"
enum { CS_HANDLERS = 11, CS_HANDLER_ALPACA = 8, CS_HANDLER_SHAREGPT = 9 };

/* One record of the input; borrowed. */
typedef struct cs_handler_record {
    const json_t *value; /* an object; NULL for a piece of plain text: */
    cs_bytes text;
    const char *file; /* file, line, hint: for messages */
    int64_t line;
    const char *hint; /* name of the flag that says which keys are looked up */
    const cs_strlist *keys;
    const cs_columns *columns; /* of the handlers that use them */
} cs_handler_record;

typedef enum cs_handler_output {
    CS_HANDLER_KEYS,    /* a document for each of --json-keys */
    CS_HANDLER_TEXT,    /* one document, under the key "text" */
    CS_HANDLER_SAMPLES, /* input_ids, attention_mask, labels */
} cs_handler_output;

typedef struct cs_handler {
    const char *name;
    cs_handler_output output;
    bool plain_text;           /* takes records that are no JSON */
    const cs_columns *columns; /* what it looks up unless told otherwise; NULL = its keys are fixed */
    bool needs_eos;
    int32_t needs_ids; /* highest fixed token id + 1 */
    /* Between cs_emit_begin and cs_emit_end. CS_E_FORMAT with file, line and key: the record cannot be used. CS_E_NOMEM. */
    cs_status (*render)(const cs_handler_record *r, cs_emit *e, cs_error *err);
} cs_handler;

extern const cs_handler cs_handlers[CS_HANDLERS];

/* For handlers. `at` is the path of `object` inside of the record ("chat.turn_1"), NULL for the record itself. A string may hold NUL bytes. */
cs_status cs_record_fail(const cs_handler_record *r, cs_error *err, const char *fmt, ...) CS_PRINTF(3, 4);
cs_status cs_record_string(const cs_handler_record *r, const json_t *object, const char *at, const char *key, cs_bytes *out, cs_error *err);
/* Missing, null or key NULL: *out is empty. */
cs_status cs_record_string_or_none(const cs_handler_record *r, const json_t *object, const char *at, const char *key, cs_bytes *out, cs_error *err);

cs_status cs_render_general_pretrain(const cs_handler_record *r, cs_emit *e, cs_error *err);
cs_status cs_render_alpaca_pretrain(const cs_handler_record *r, cs_emit *e, cs_error *err);
cs_status cs_render_stackoverflow(const cs_handler_record *r, cs_emit *e, cs_error *err);
cs_status cs_render_general_instruction(const cs_handler_record *r, cs_emit *e, cs_error *err);
cs_status cs_render_belle(const cs_handler_record *r, cs_emit *e, cs_error *err);
cs_status cs_render_leetcode(const cs_handler_record *r, cs_emit *e, cs_error *err);
cs_status cs_render_moss(const cs_handler_record *r, cs_emit *e, cs_error *err);
cs_status cs_render_moss_multi_turn(const cs_handler_record *r, cs_emit *e, cs_error *err);
cs_status cs_render_alpaca_style(const cs_handler_record *r, cs_emit *e, cs_error *err);
cs_status cs_render_messages(const cs_handler_record *r, cs_emit *e, cs_error *err);

#endif
