/* The good tokenizers of the properties that hold for good tokenizers only: one of each algorithm, loaded once, and with CS_SHARED_DATA real ones. A byte
 * below 0x80 means one of the small ones, always the same. Run from the root of the repository. */
#ifndef CS_TESTS_FUZZ_MODELS_H
#define CS_TESTS_FUZZ_MODELS_H

#include "fuzz/fuzz_tokens.h"

enum { N_MODELS = 5, N_REAL = 4 };

static const char *const model_path[N_MODELS] = {
    "tests/data/tok_tiny.model",    /* SentencePiece BPE */
    "tests/data/tok_unigram.model", /* SentencePiece unigram, byte fallback, spaces kept */
    "tests/data/tok_bytelevel.json", /* byte-level BPE with GPT-2's split */
    "tests/data/tok_tiny.json",     /* LLaMA as tokenizer.json */
    "tests/data/tok512.bin",        /* llama2.c */
};

static const char *const real_path[N_REAL] = {"llama/tokenizer.model", "internlm/tokenizer.model", "gpt2/tokenizer.json", "aquila"};

static cs_tokenizer *model[N_MODELS], *real[N_REAL];

/* The tokenizer that a byte names, NULL when it is a real one and there are none. *spm: SentencePiece; *byte_level: GPT-2's bytes. */
static inline const cs_tokenizer *fuzz_model(uint8_t byte, bool *spm, bool *byte_level)
{
    size_t i = byte < 0x80 ? byte % N_MODELS : byte % N_REAL;
    *spm = i < 2;
    *byte_level = byte < 0x80 ? i == 2 : i >= 2;
    return byte < 0x80 ? model[i] : real[i];
}

int LLVMFuzzerInitialize(int *argc, char ***argv);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    cs_error err = {0};
    (void)argc, (void)argv;
    fuzz_keeps_memory();
    for (int i = 0; i < N_MODELS; i++)
        if (cs_tokenizer_create(model_path[i], &model[i], &err) != CS_OK) {
            fprintf(stderr, "%s\n", err.msg);
            abort();
        }
    for (int i = 0; getenv("CS_SHARED_DATA") && i < N_REAL; i++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/tokenizers/%s", getenv("CS_SHARED_DATA"), real_path[i]);
        if (cs_tokenizer_create(path, &real[i], &err) != CS_OK)
            fprintf(stderr, "left out: %s\n", err.msg);
    }
    return 0;
}

#endif
