/* `cspeed tokenize`: one text or one list of ids to its result. */
#include "cli/tokenize.h"

#include "base/mem.h"
#include "fmt/json.h"

#include <string.h>

void cs_tokenize_job_release(cs_tokenize_job *j)
{
    cs_ids_release(&j->ids);
    cs_ids_release(&j->ranges);
}

/* ---- reading ids ---- */

static cs_status end_number(cs_id_reader *r, int32_t limit, const char *name, cs_ids *out, cs_error *err)
{
    if (!r->inside)
        return CS_OK;
    if (r->id >= limit)
        return cs_fail(err, CS_E_FORMAT, "%s: item %zu is not a token id in 0..%d", name, r->count + 1, limit - 1);
    cs_ids_push(out, (int32_t)r->id);
    *r = (cs_id_reader){.count = r->count + 1};
    return CS_OK;
}

cs_status cs_id_reader_feed(cs_id_reader *r, const char *text, size_t n, int32_t limit, const char *name, cs_ids *out, cs_error *err)
{
    for (size_t i = 0; i < n; i++) {
        if (text[i] >= '0' && text[i] <= '9') {
            r->id = r->id < limit ? r->id * 10 + (text[i] - '0') : r->id;
            r->inside = true;
        } else if (text[i] && strchr(" \t\r\n,[]", text[i])) {
            CS_TRY(end_number(r, limit, name, out, err));
        } else {
            return cs_fail(err, CS_E_FORMAT, "%s: item %zu is not a token id in 0..%d", name, r->count + 1, limit - 1);
        }
    }
    if (n == 0)
        CS_TRY(end_number(r, limit, name, out, err));
    return cs_ids_check(out, err);
}

/* ---- results ---- */

static void put_number(cs_str *out, int32_t v)
{
    char digits[12];
    size_t n = sizeof digits;
    uint32_t u = (uint32_t)v; /* ids and byte positions are not negative */
    do
        digits[--n] = (char)('0' + u % 10);
    while ((u /= 10) > 0);
    cs_str_append(out, digits + n, sizeof digits - n);
}

static cs_status put_json(cs_tokenize_job *j, json_t *value, cs_error *err)
{
    cs_status s = value ? cs_json_dump(value, 0, j->out, err) : cs_fail_nomem(err, j->ids.len * 16, "a result");
    json_decref(value);
    cs_str_putc(j->out, '\n');
    return s;
}

/* {"id", "bytes": [begin, end], "piece"}; raw pieces of damaged vocabularies that are not UTF-8 are shown as U+FFFD. */
static json_t *piece_json(const cs_tokenize_job *j, size_t i, bool ranges)
{
    size_t len;
    const char *text = cs_tokenizer_piece(j->tok, j->ids.data[i], &len);
    json_t *piece = json_stringn(text, len);
    if (!piece)
        piece = json_string("\xef\xbf\xbd");
    if (!ranges)
        return json_pack("{s:i, s:o}", "id", j->ids.data[i], "piece", piece);
    return json_pack("{s:i, s:[i,i], s:o}", "id", j->ids.data[i], "bytes", j->ranges.data[2 * i], j->ranges.data[2 * i + 1], "piece", piece);
}

/* A line per token, control bytes of the piece as \xNN. */
static void put_piece_line(cs_tokenize_job *j, size_t i, bool ranges)
{
    size_t len;
    const char *text = cs_tokenizer_piece(j->tok, j->ids.data[i], &len);
    put_number(j->out, j->ids.data[i]);
    for (size_t k = 0; ranges && k < 2; k++) {
        cs_str_putc(j->out, '\t');
        put_number(j->out, j->ranges.data[2 * i + k]);
    }
    cs_str_putc(j->out, '\t');
    for (size_t k = 0; k < len; k++) {
        if ((unsigned char)text[k] < 0x20 || text[k] == 0x7f)
            cs_str_printf(j->out, "\\x%02x", (unsigned char)text[k]);
        else
            cs_str_putc(j->out, text[k]);
    }
    cs_str_putc(j->out, '\n');
}

static cs_status put_pieces(cs_tokenize_job *j, bool ranges, cs_error *err)
{
    if (!j->json) {
        for (size_t i = 0; i < j->ids.len; i++)
            put_piece_line(j, i, ranges);
        return cs_str_check(j->out, err);
    }
    int64_t failures = cs_mem_failures();
    json_t *list = json_array();
    for (size_t i = 0; list && i < j->ids.len; i++) {
        if (json_array_append_new(list, piece_json(j, i, ranges)) != 0 || cs_mem_failures() != failures) { /* not for want of UTF-8 */
            json_decref(list);
            list = NULL;
        }
    }
    return put_json(j, list, err);
}

cs_status cs_tokenize_put_pieces(cs_tokenize_job *j, cs_error *err)
{
    return put_pieces(j, false, err);
}

static void put_ids(cs_tokenize_job *j)
{
    if (j->json)
        cs_str_putc(j->out, '[');
    for (size_t i = 0; i < j->ids.len; i++) {
        if (i > 0)
            cs_str_puts(j->out, j->json ? ", " : " ");
        put_number(j->out, j->ids.data[i]);
    }
    cs_str_puts(j->out, j->json ? "]\n" : "\n");
}

cs_status cs_tokenize_encode(cs_tokenize_job *j, const char *text, size_t len, cs_error *err)
{
    const cs_tokenize_config *c = j->cfg;
    int flags = (c->no_parse_special ? 0 : CS_TOK_PARSE_SPECIAL) | (c->no_special ? 0 : CS_TOK_SPECIAL);
    cs_ids_clear(&j->ids);
    cs_ids_clear(&j->ranges);
    CS_TRY(cs_tokenizer_encode_ranges(j->tok, text, len, flags, &j->ids, c->pieces ? &j->ranges : NULL, err));
    if (c->pieces)
        return put_pieces(j, true, err);
    put_ids(j);
    return cs_str_check(j->out, err);
}

static cs_status decode_line(cs_tokenize_job *j, const char *line, size_t len, const char *name, cs_error *err)
{
    cs_id_reader r = {0};
    cs_str text = {0};
    int32_t limit = cs_tokenizer_vocab_size(j->tok);
    cs_ids_clear(&j->ids);
    if (len > 0)
        CS_TRY(cs_id_reader_feed(&r, line, len, limit, name, &j->ids, err));
    CS_TRY(cs_id_reader_feed(&r, NULL, 0, limit, name, &j->ids, err));
    if (j->cfg->pieces)
        return put_pieces(j, false, err);
    cs_status s = cs_tokenizer_decode(j->tok, j->ids.data, j->ids.len, j->cfg->keep_special, &text, err);
    if (s == CS_OK)
        s = put_json(j, json_stringn(cs_str_cstr(&text), text.len), err);
    cs_str_release(&text);
    return s;
}

cs_status cs_tokenize_line(cs_tokenize_job *j, const char *line, size_t len, const char *name, cs_error *err)
{
    json_t *v = NULL;
    if (j->cfg->decode)
        return decode_line(j, line, len, name, err);
    CS_TRY(cs_json_parse_lenient(line, len, name, &v, err));
    const json_t *text = json_is_object(v) ? json_object_get(v, "text") : v;
    cs_status s = json_is_string(text) ? cs_tokenize_encode(j, json_string_value(text), json_string_length(text), err)
                                       : cs_fail(err, CS_E_FORMAT, "%s: expected a JSON string or an object with a string \"text\"", name);
    json_decref(v);
    return s;
}
