/* BLOOM's tokenizer from its merges.txt alone. The vocabulary follows from the rules: <unk> <s> </s> <pad>, then the letters of GPT-2's alphabet that
 * occurred in the training text by code point, then the result of every rule in order. 242 letters are there: absent are the bytes that UTF-8
 * never has (C0 C1 F5..FF) and one more, which the rules do not tell; it is a control character without use in text, taken to be 1F. */
#include "text/byte_level.h"
#include "text/merges.h"
#include "text/tok_config.h"
#include "text/tok_json.h"
#include "text/utf8.h"
#include "text/wordsplit.h"

#include <string.h>

enum { N_SPECIALS = 4, N_LETTERS = 242, N_RULES = 250434, LETTER_BYTES = 2, MOST_LETTER = 0x143 };

static const char *const specials[N_SPECIALS] = {"<unk>", "<s>", "</s>", "<pad>"};
static const char pattern[] = " ?[^(\\s|[.,!?\xe2\x80\xa6\xe3\x80\x82\xef\xbc\x8c\xe3\x80\x81\xe0\xa5\xa4\xdb\x94\xd8\x8c])]+";

static bool is_absent(int byte)
{
    return byte == 0xc0 || byte == 0xc1 || byte >= 0xf5 || byte == 0x1f;
}

static void set_piece(cs_tokenizer *t, int32_t id, const char *text, size_t len, bool special)
{
    t->vocab.pieces[id] = (cs_piece){.text = text, .len = (uint32_t)len, .type = special ? CS_PIECE_USER : CS_PIECE_NORMAL, .special = special};
    cs_vocab_index(&t->vocab, id);
}

static cs_status add_base(cs_tokenizer *t, cs_error *err)
{
    char *letters = cs_arena_alloc(&t->mem, N_LETTERS * LETTER_BYTES);
    t->added = cs_arena_calloc(&t->mem, N_SPECIALS, sizeof *t->added);
    if (!letters || !t->added)
        return cs_fail_nomem(err, N_LETTERS * LETTER_BYTES, "a vocabulary");
    for (int32_t i = 0; i < N_SPECIALS; i++) {
        set_piece(t, i, specials[i], strlen(specials[i]), true);
        t->added[t->n_added++] = (cs_added){.id = i, .special = true, .content = {specials[i], strlen(specials[i])}};
    }
    int32_t id = N_SPECIALS;
    for (uint32_t cp = 0x21; cp <= MOST_LETTER; cp++) {
        int byte = cs_byte_level_value(cp);
        if (byte < 0 || is_absent(byte))
            continue;
        bool wide = cp >= 0x80;
        letters[0] = wide ? (char)(0xc0 | cp >> 6) : (char)cp;
        letters[1] = (char)(0x80 | (cp & 0x3f));
        set_piece(t, id++, letters, 1 + wide, false);
        letters += LETTER_BYTES;
    }
    CS_ASSERT(id == N_SPECIALS + N_LETTERS);
    return CS_OK;
}

/* Two passes: the results are pieces before a rule may name them. */
static cs_status add_rules(cs_tokenizer *t, cs_bytes text, const char *name, cs_error *err)
{
    cs_merges m = {.text = text.text, .len = text.len, .name = name};
    cs_bytes a, b;
    bool more = true;
    char *blob = cs_arena_alloc(&t->mem, text.len + 1);
    if (!blob)
        return cs_fail_nomem(err, text.len + 1, "a vocabulary");
    CS_TRY(cs_bpe_init_pairs(&t->bpe, &t->mem, N_RULES, err));
    for (int32_t rank = 0; rank < N_RULES; rank++) {
        CS_TRY(cs_merges_next(&m, &a, &b, &more, err));
        memcpy(blob, a.text, a.len);
        memcpy(blob + a.len, b.text, b.len);
        set_piece(t, N_SPECIALS + N_LETTERS + rank, blob, a.len + b.len, false);
        blob += a.len + b.len;
        CS_TRY(cs_tok_add_merge(t, a, b, (size_t)rank, name, err));
    }
    return CS_OK;
}

cs_status cs_tok_load_bloom(cs_tokenizer *t, cs_bytes merges, const char *name, cs_error *err)
{
    cs_merges m = {.text = merges.text, .len = merges.len, .name = name};
    cs_bytes a, b;
    bool more = true;
    int64_t rules = 0;
    for (;; rules++) {
        CS_TRY(cs_merges_next(&m, &a, &b, &more, err));
        if (!more)
            break;
    }
    if (rules != N_RULES)
        return cs_fail(err, CS_E_FORMAT, "%s: %lld rules without a vocab.json beside them; only BLOOM's %d tell the vocabulary", name,
                       (long long)rules, N_RULES);
    t->lossy_input = true;
    t->bpe.kind = CS_BPE_PAIRS;
    t->bpe.vocab = &t->vocab;
    CS_TRY(cs_vocab_init(&t->vocab, &t->mem, N_SPECIALS + N_LETTERS + N_RULES, err));
    CS_TRY(add_base(t, err));
    CS_TRY(add_rules(t, merges, name, err));
    cs_tok_set_byte_level(t);
    t->pretok.steps[t->pretok.n_steps++] = (cs_pretok_step){
        .kind = CS_PRETOK_SPLIT, .find = {.scan = cs_split_find(pattern, sizeof pattern - 1), .pattern = {pattern, sizeof pattern - 1}},
        .behavior = CS_SPLIT_ISOLATED};
    t->dec.chain.steps[t->dec.chain.n_steps++].kind = CS_DEC_BYTE_LEVEL;
    CS_TRY(cs_bpe_finish(&t->bpe, &t->mem, err));
    t->unk = 0;
    t->bos = 1;
    t->eos = 2;
    t->pad = 3;
    return cs_tok_index_added(t, err);
}
