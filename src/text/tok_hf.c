/* Hugging Face's tokenizer files from a tokenizer in memory. */
#include "text/tok_hf.h"

#include "fmt/spm_write.h"
#include "text/ggml_split.h"
#include "text/spm_merges.h"
#include "text/tok.h"
#include "text/tok_ggml.h"
#include "text/utf8.h"

#include <inttypes.h>
#include <string.h>

/* ---- tokenizer.model ---- */

static const cs_norm_spm *spm_rules(const cs_tokenizer *t)
{
    for (size_t i = 0; i < t->norm.n_steps; i++)
        if (t->norm.steps[i].kind == CS_NORM_SPM)
            return &t->norm.steps[i].spm;
    return NULL;
}

static cs_status write_model(const cs_tokenizer *t, cs_str *out, cs_error *err)
{
    const cs_norm_spm *rules = spm_rules(t);
    cs_spm m;
    cs_spm_defaults(&m);
    m.type = CS_SPM_BPE;
    m.byte_fallback = t->bpe.byte_fallback;
    m.unk_id = t->unk;
    m.add_dummy_prefix = rules->dummy_prefix;
    m.remove_extra_whitespaces = rules->remove_extra;
    m.escape_whitespaces = rules->escape;
    m.n_pieces = (size_t)t->vocab.n;
    m.pieces = cs_calloc(m.n_pieces, sizeof *m.pieces);
    if (!m.pieces)
        return cs_fail_nomem(err, m.n_pieces * sizeof *m.pieces, "the pieces of a tokenizer");
    for (size_t i = 0; i < m.n_pieces; i++) {
        const cs_piece *p = &t->vocab.pieces[i];
        m.pieces[i] = (cs_spm_piece){.text = {p->text, p->len}, .score = p->score, .type = (cs_piece_type)p->type};
    }
    cs_spm_write(&m, t->bos, t->eos, t->pad, out);
    cs_spm_release(&m);
    CS_TRY(cs_str_check(out, err));
    CS_TRY(cs_spm_parse((const uint8_t *)out->data, out->len, "tokenizer.model", &m, err)); /* GGUF has fewer rules */
    cs_spm_release(&m);
    return CS_OK;
}

/* ---- tokenizer.json ---- */

static void put_pattern(const char *pattern, cs_str *o)
{
    cs_str_puts(o, "{\"type\":\"Split\",\"pattern\":{\"Regex\":");
    cs_str_put_quoted(o, pattern);
    cs_str_puts(o, "},\"behavior\":\"Isolated\",\"invert\":false},");
}

/* GPT-2's own pattern is in the step itself. */
static void put_pretok(const cs_ggml_split *split, cs_str *o)
{
    bool own = !split->pattern[1] && cs_split_find(split->pattern[0], strlen(split->pattern[0])) == cs_split_gpt2;
    cs_str_puts(o, " \"pre_tokenizer\": {\"type\":\"Sequence\",\"pretokenizers\":[");
    for (size_t i = 0; i < CS_GGML_SPLIT_PATTERNS && split->pattern[i] && !own; i++)
        put_pattern(split->pattern[i], o);
    cs_str_printf(o, "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":true,\"use_regex\":%s}]},\n", own ? "true" : "false");
}

static void put_special(const cs_tokenizer *t, int32_t id, int type_id, cs_str *o)
{
    cs_str_puts(o, "{\"SpecialToken\":{\"id\":");
    cs_str_put_quoted(o, t->vocab.pieces[id].text);
    cs_str_printf(o, ",\"type_id\":%d}}", type_id);
}

static void put_sequence(const cs_tokenizer *t, const char *name, int type_id, cs_str *o)
{
    for (size_t i = 0; i < t->n_prefix; i++) {
        put_special(t, t->prefix[i], type_id, o);
        cs_str_putc(o, ',');
    }
    cs_str_printf(o, "{\"Sequence\":{\"id\":\"%s\",\"type_id\":%d}}", name, type_id);
    for (size_t i = 0; i < t->n_suffix; i++) {
        cs_str_putc(o, ',');
        put_special(t, t->suffix[i], type_id, o);
    }
}

/* What encoding adds in front and behind. */
static void put_post(const cs_tokenizer *t, cs_str *o)
{
    if (t->n_prefix + t->n_suffix == 0) {
        cs_str_puts(o, " \"post_processor\": {\"type\":\"ByteLevel\",\"add_prefix_space\":true,\"trim_offsets\":false,\"use_regex\":true},\n");
        return;
    }
    cs_str_puts(o, " \"post_processor\": {\"type\":\"TemplateProcessing\",\"single\":[");
    put_sequence(t, "A", 0, o);
    cs_str_puts(o, "],\"pair\":[");
    put_sequence(t, "A", 0, o);
    cs_str_putc(o, ',');
    put_sequence(t, "B", 1, o);
    cs_str_puts(o, "],\"special_tokens\":{");
    for (size_t i = 0; i < t->n_prefix + t->n_suffix; i++) {
        int32_t id = i < t->n_prefix ? t->prefix[i] : t->suffix[i - t->n_prefix];
        if (i > 0 && i >= t->n_prefix && t->n_prefix > 0 && id == t->prefix[0])
            continue; /* BOS is EOS */
        cs_str_puts(o, i > 0 ? "," : "");
        cs_str_put_quoted(o, t->vocab.pieces[id].text);
        cs_str_puts(o, ":{\"id\":");
        cs_str_put_quoted(o, t->vocab.pieces[id].text);
        cs_str_printf(o, ",\"ids\":[%d],\"tokens\":[", id);
        cs_str_put_quoted(o, t->vocab.pieces[id].text);
        cs_str_puts(o, "]}");
    }
    cs_str_puts(o, "}},\n");
}

/* Is the piece found in the text itself? */
static bool is_added(const cs_piece *p)
{
    return p->type == CS_PIECE_CONTROL || p->type == CS_PIECE_UNKNOWN || p->type == CS_PIECE_USER;
}

static void put_added_token(const cs_piece *p, cs_str *o)
{
    cs_str_puts(o, "\"content\": ");
    cs_str_put_quoted(o, p->text);
    cs_str_printf(o, ", \"single_word\": false, \"lstrip\": false, \"rstrip\": false, \"normalized\": false, \"special\": %s}",
                  p->special || p->type != CS_PIECE_USER ? "true" : "false");
}

static void put_added(const cs_tokenizer *t, cs_str *o)
{
    const char *comma = "";
    cs_str_puts(o, " \"added_tokens\": [");
    for (int32_t id = 0; id < t->vocab.n; id++) {
        if (!is_added(&t->vocab.pieces[id]))
            continue;
        cs_str_printf(o, "%s\n  {\"id\": %d, ", comma, id);
        put_added_token(&t->vocab.pieces[id], o);
        comma = ",";
    }
    cs_str_puts(o, "],\n");
}

/* Added tokens at the end of the ids are no pieces of a byte-level model, as in files from elsewhere; others must be, to have their ids. */
static int32_t model_size(const cs_tokenizer *t)
{
    int32_t n = t->vocab.n;
    for (size_t i = t->n_added; t->bpe.byte_level && i-- > 0 && t->added[i].id == n - 1;)
        n--;
    return n;
}

/* SentencePiece reads a NUL by its byte piece, never by a piece of its own (InternLM has one). */
static bool is_nul(const cs_tokenizer *t, const cs_piece *p)
{
    return t->bpe.byte_fallback && p->len == 1 && p->text[0] == '\0';
}

static void put_vocab(const cs_tokenizer *t, cs_str *o)
{
    const char *comma = "";
    cs_str_puts(o, "  \"vocab\": {");
    for (int32_t id = 0; id < model_size(t); id++) {
        const cs_piece *p = &t->vocab.pieces[id];
        if (p->len == 0 || is_nul(t, p))
            continue;
        cs_str_printf(o, "%s\n   ", comma);
        cs_str_put_quoted(o, p->text);
        cs_str_printf(o, ":%d", id);
        comma = ",";
    }
    cs_str_puts(o, "},\n");
}

/* By pairs, or by scores. */
static cs_status put_merges(const cs_tokenizer *t, cs_str *o, cs_error *err)
{
    cs_ggml_vocab v = {0};
    cs_spm_merge *rule = NULL;
    cs_str text = {0};
    size_t n = 0;
    cs_status s = t->bpe.byte_level ? cs_ggml_vocab_init(&v, t, t->vocab.n, err) : cs_spm_merges(&t->vocab, &rule, &n, err);
    cs_str_puts(o, "  \"merges\": [");
    for (size_t i = 0; i < v.n_merges; i++) {
        cs_str_puts(o, i > 0 ? ",\n   " : "\n   ");
        cs_str_put_quoted(o, cs_str_cstr(&v.merge[i]));
    }
    for (size_t i = 0; i < n; i++) {
        const cs_piece *p = &t->vocab.pieces[rule[i].id];
        cs_str_clear(&text);
        cs_str_append(&text, p->text, rule[i].left);
        cs_str_putc(&text, ' ');
        cs_str_append(&text, p->text + rule[i].left, p->len - rule[i].left);
        cs_str_puts(o, i > 0 ? ",\n   " : "\n   ");
        cs_str_put_quoted(o, cs_str_cstr(&text));
    }
    cs_str_puts(o, "]}\n}\n");
    o->failed = o->failed || text.failed;
    cs_str_release(&text);
    cs_free(rule);
    if (t->bpe.byte_level)
        cs_ggml_vocab_release(&v);
    return s;
}

static void put_byte_level(const cs_tokenizer *t, cs_str *o)
{
    cs_str_puts(o, " \"normalizer\": null,\n");
    put_pretok(cs_ggml_split_of(t), o);
    put_post(t, o);
    cs_str_puts(o, " \"decoder\": {\"type\":\"ByteLevel\",\"add_prefix_space\":true,\"trim_offsets\":true,\"use_regex\":true},\n");
    cs_str_printf(o, " \"model\": {\"type\":\"BPE\",\"dropout\":null,\"unk_token\":null,\"continuing_subword_prefix\":null,"
                  "\"end_of_word_suffix\":null,\"fuse_unk\":false,\"byte_fallback\":false,\"ignore_merges\":%s,\n",
                  t->bpe.ignore_merges ? "true" : "false");
}

static void put_by_blanks(const cs_tokenizer *t, cs_str *o)
{
    bool prefix = spm_rules(t)->dummy_prefix;
    cs_str_printf(o, " \"normalizer\": {\"type\":\"Sequence\",\"normalizers\":[%s{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},"
                  "\"content\":\"" CS_META "\"}]},\n \"pre_tokenizer\": null,\n",
                  prefix ? "{\"type\":\"Prepend\",\"prepend\":\"" CS_META "\"}," : "");
    put_post(t, o);
    cs_str_printf(o, " \"decoder\": {\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Replace\",\"pattern\":{\"String\":\"" CS_META
                  "\"},\"content\":\" \"},{\"type\":\"ByteFallback\"},{\"type\":\"Fuse\"}%s]},\n",
                  prefix ? ",{\"type\":\"Strip\",\"content\":\" \",\"start\":1,\"stop\":0}" : "");
    cs_str_puts(o, " \"model\": {\"type\":\"BPE\",\"dropout\":null,\"unk_token\":");
    cs_str_put_quoted(o, t->vocab.pieces[t->unk].text);
    cs_str_printf(o, ",\"continuing_subword_prefix\":null,\"end_of_word_suffix\":null,\"fuse_unk\":true,\"byte_fallback\":%s,\n",
                  t->bpe.byte_fallback ? "true" : "false");
}

static bool is_text(const char *text, size_t len)
{
    return cs_utf8_valid_prefix((const uint8_t *)text, len) == len && !memchr(text, '\0', len);
}

/* JSON holds no other text; NUL would cut a piece short. */
static cs_status check_texts(const cs_tokenizer *t, cs_error *err)
{
    const int32_t named[] = {t->bos, t->eos, t->unk, t->pad};
    for (size_t i = 0; i < 4; i++)
        if (named[i] >= 0 && t->vocab.pieces[named[i]].len == 0)
            return cs_fail(err, CS_E_FORMAT, "token %d is a special one, but has no text", named[i]);
    if (t->chat_template.text && !is_text(t->chat_template.text, t->chat_template.len))
        return cs_fail(err, CS_E_FORMAT, "the chat template is no text in UTF-8");
    for (int32_t id = 0; id < t->vocab.n; id++) {
        const cs_piece *p = &t->vocab.pieces[id];
        if (p->len > 0 && !is_text(p->text, p->len) && !is_nul(t, p))
            return cs_fail(err, CS_E_FORMAT, "token %d is no text in UTF-8", id);
    }
    return CS_OK;
}

static cs_status write_json(const cs_tokenizer *t, cs_str *out, cs_error *err)
{
    cs_tokenizer *back = NULL;
    cs_str_puts(out, "{\n \"version\": \"1.0\",\n \"truncation\": null,\n \"padding\": null,\n");
    put_added(t, out);
    if (t->bpe.byte_level)
        put_byte_level(t, out);
    else
        put_by_blanks(t, out);
    put_vocab(t, out);
    CS_TRY(put_merges(t, out, err));
    CS_TRY(cs_str_check(out, err));
    CS_TRY(cs_tokenizer_create_from_bytes("json", (const uint8_t *)out->data, out->len, "tokenizer.json", &back, err)); /* GGUF has fewer rules */
    cs_tokenizer_destroy(back);
    return CS_OK;
}

/* Pieces of the user are matched before anything else, and a blank goes in front of the text only: added tokens are not like that when a blank
 * goes in front of what follows them. */
static bool json_can_say_it(const cs_tokenizer *t)
{
    const cs_norm_spm *rules = spm_rules(t);
    return t->bpe.byte_level || (rules->escape && !rules->remove_extra && (!t->bpe.user || !rules->dummy_prefix));
}

/* ---- tokenizer_config.json ---- */

static void put_name(const cs_tokenizer *t, const char *key, int32_t id, cs_str *o)
{
    if (id < 0)
        return;
    cs_str_printf(o, "  \"%s\": ", key);
    cs_str_put_quoted(o, t->vocab.pieces[id].text);
    cs_str_puts(o, ",\n");
}

/* Control pieces of a SentencePiece model; tokenizer.json lists its own. */
static void put_decoder(const cs_tokenizer *t, cs_str *o)
{
    const char *comma = "";
    cs_str_puts(o, "  \"added_tokens_decoder\": {");
    for (int32_t id = 0; id < t->vocab.n; id++) {
        if (!is_added(&t->vocab.pieces[id]) || t->vocab.pieces[id].type == CS_PIECE_USER)
            continue;
        cs_str_printf(o, "%s\n    \"%d\": {", comma, id);
        put_added_token(&t->vocab.pieces[id], o);
        comma = ",";
    }
    cs_str_puts(o, "\n  },\n");
}

/* transformers' own class for LLaMA does not double a blank at the start of the text, whatever tokenizer.json says. */
static cs_status write_config(const cs_tokenizer *t, int64_t max_length, cs_str *o, cs_error *err)
{
    cs_str_printf(o, "{\n  \"add_bos_token\": %s,\n  \"add_eos_token\": %s,\n", t->n_prefix > 0 ? "true" : "false",
                  t->n_suffix > 0 ? "true" : "false");
    if (!t->bpe.byte_level) {
        cs_str_printf(o, "  \"add_prefix_space\": %s,\n", spm_rules(t)->dummy_prefix ? "true" : "false");
        put_decoder(t, o);
    }
    put_name(t, "bos_token", t->bos, o);
    if (t->chat_template.text) {
        cs_str_puts(o, "  \"chat_template\": ");
        cs_str_put_quoted(o, t->chat_template.text);
        cs_str_puts(o, ",\n");
    }
    cs_str_puts(o, "  \"clean_up_tokenization_spaces\": false,\n");
    put_name(t, "eos_token", t->eos, o);
    if (!t->bpe.byte_level)
        cs_str_puts(o, "  \"legacy\": true,\n");
    if (max_length > 0)
        cs_str_printf(o, "  \"model_max_length\": %" PRId64 ",\n", max_length);
    put_name(t, "pad_token", t->pad, o);
    put_name(t, "unk_token", t->unk, o);
    cs_str_printf(o, "  \"tokenizer_class\": \"%s\"\n}\n", json_can_say_it(t) ? "PreTrainedTokenizerFast" : "LlamaTokenizer");
    return cs_str_check(o, err);
}

cs_status cs_tok_hf_files(const cs_tokenizer *t, int64_t max_length, cs_tok_hf_file file[CS_TOK_HF_FILES], cs_error *err)
{
    bool bytes = t->bpe.byte_level && !t->is_unigram;
    for (int i = 0; i < CS_TOK_HF_FILES; i++)
        file[i] = (cs_tok_hf_file){0};
    if (t->is_unigram)
        return cs_fail(err, CS_E_FORMAT, "a unigram vocabulary has no tokenizer class of transformers that gives its ids");
    if (!bytes && (t->bpe.kind != CS_BPE_TEXT || !spm_rules(t) || spm_rules(t)->map.n_units > 0))
        return cs_fail(err, CS_E_FORMAT, "a character map has no tokenizer class of transformers that applies it");
    CS_TRY(check_texts(t, err));
    file[0].name = "tokenizer_config.json";
    CS_TRY(write_config(t, max_length, &file[0].text, err));
    if (json_can_say_it(t)) {
        file[1].name = "tokenizer.json";
        CS_TRY(write_json(t, &file[1].text, err));
    }
    if (bytes)
        return CS_OK;
    file[2].name = "tokenizer.model";
    return write_model(t, &file[2].text, err);
}

void cs_tok_hf_release(cs_tok_hf_file file[CS_TOK_HF_FILES])
{
    for (int i = 0; i < CS_TOK_HF_FILES; i++)
        cs_str_release(&file[i].text);
}
