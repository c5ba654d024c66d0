/* Every limit on what a file may claim, at one place. A parser compares with these before it allocates, loops or recurses.
 * The larger ones only bound damage: real files stay far below them. */
#ifndef CS_FMT_LIMITS_H
#define CS_FMT_LIMITS_H

#include <stddef.h>

enum {
    /* JSON */
    CS_LIMIT_JSON_DEPTH = 64,          /* arrays and objects inside each other; also the width of the scanner's stack, a uint64_t */
    CS_LIMIT_JSON_BYTES = 256 << 20,   /* one JSON text: tokenizer.json, an index of shards, a manifest */
    CS_LIMIT_CONFIG_BYTES = 16 << 20,  /* config.json, tokenizer_config.json, trainer/state.json and their like */

    /* safetensors */
    CS_LIMIT_ST_HEADER = 100000000,    /* the format's own limit */
    CS_LIMIT_ST_RANK = 8,
    CS_LIMIT_SHARDS = 1 << 16,
    CS_LIMIT_SHARD_NAME = 200,         /* bytes of a shard's file name in an index */

    /* GGUF */
    CS_LIMIT_GGUF_RANK = 4,
    CS_LIMIT_GGUF_DEPTH = 4,           /* arrays inside arrays */
    CS_LIMIT_GGUF_KEY = 65535,         /* bytes of a key */
    CS_LIMIT_GGUF_NAME = 64,           /* bytes of a tensor's name */

    /* tokenizers */
    CS_LIMIT_TOKENIZER_BYTES = 256 << 20, /* any tokenizer file */
    CS_LIMIT_PIECES = 1 << 24,         /* pieces of one vocabulary; ids stay far inside an int32_t */
    CS_LIMIT_PIECE_BYTES = 1 << 16,    /* one piece of a SentencePiece model */
    CS_LIMIT_LLAMA2C_TOKEN = 512,      /* one token of a llama2.c tokenizer */
    CS_LIMIT_CHARSMAP_BYTES = 16 << 20, /* a SentencePiece normaliser */

    /* models: config.json and llama2.c headers */
    CS_LIMIT_DIM = 1 << 24,            /* width, feed-forward width, vocabulary; heads and positions of a llama2.c model */
    CS_LIMIT_LAYERS = 4096,
    CS_LIMIT_HEADS = 1 << 16,
    CS_LIMIT_HEAD_DIM = 256,
    CS_LIMIT_POSITIONS = 1 << 26,

    /* npy: header text */
    CS_LIMIT_NPY_HEADER = 1 << 16,

    /* Parquet */
    CS_LIMIT_THRIFT_DEPTH = 32,
    CS_LIMIT_PARQUET_DEPTH = 48,       /* groups inside each other: rows stay within CS_LIMIT_JSON_DEPTH */
    CS_LIMIT_PARQUET_NODES = 1 << 16,
    CS_LIMIT_PARQUET_GROUPS = 1 << 20,
    CS_LIMIT_PARQUET_PAGE = 1 << 30,   /* bytes of one page, packed or not */
    CS_LIMIT_PARQUET_DECIMAL = 64,     /* bytes of a decimal */

    /* texts */
    CS_LIMIT_RECORD_BYTES = 256 << 20, /* one line, array element or row */
    CS_LIMIT_DOCUMENT_BYTES = 1 << 30, /* a file that is one document */
    CS_LIMIT_CSV_COLUMNS = 4096,

    /* checkpoints */
    CS_LIMIT_COPIED_BYTES = 1 << 30,   /* a tokenizer file that goes along into a checkpoint */
    CS_LIMIT_MANIFEST_FILES = CS_LIMIT_SHARDS + 64,
    CS_LIMIT_MANIFEST_NAME = 255,      /* bytes of a file name in a manifest */
};

#endif
