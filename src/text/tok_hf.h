/* A tokenizer as the files of a Hugging Face folder. */
#ifndef CS_TEXT_TOK_HF_H
#define CS_TEXT_TOK_HF_H

#include "text/tokenizer.h"

enum { CS_TOK_HF_FILES = 3 };

typedef struct cs_tok_hf_file {
    const char *name; /* "tokenizer.json", "tokenizer_config.json", "tokenizer.model"; NULL = no file */
    cs_str text;
} cs_tok_hf_file;

/* For a tokenizer that was read from a GGUF file: tokenizer_config.json, tokenizer.json and, for SentencePiece's BPE, tokenizer.model (alone when
 * tokenizer.json cannot say the same). What is loaded from them gives the same ids, here and in transformers. max_length: positions of the model, for
 * model_max_length; 0 = not known. CS_E_FORMAT saying what of it these files cannot hold, CS_E_NOMEM. Release after a failure too. */
cs_status cs_tok_hf_files(const cs_tokenizer *tok, int64_t max_length, cs_tok_hf_file file[CS_TOK_HF_FILES], cs_error *err);
void cs_tok_hf_release(cs_tok_hf_file file[CS_TOK_HF_FILES]);

#endif
