/* The good tokenizers of the properties that hold for good tokenizers only: one of each algorithm, loaded once. Run from the root of the repository. */
#ifndef CS_TESTS_FUZZ_MODELS_H
#define CS_TESTS_FUZZ_MODELS_H

#include "fuzz/fuzz_tokens.h"

enum { N_MODELS = 5 };

static const char *const model_path[N_MODELS] = {
    "tests/data/tok_tiny.model",    /* SentencePiece BPE */
    "tests/data/tok_unigram.model", /* SentencePiece unigram, byte fallback, spaces kept */
    "tests/data/tok_bytelevel.json", /* byte-level BPE with GPT-2's split */
    "tests/data/tok_tiny.json",     /* LLaMA as tokenizer.json */
    "tests/data/tok512.bin",        /* llama2.c */
};

static cs_tokenizer *model[N_MODELS];

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
    return 0;
}

#endif
