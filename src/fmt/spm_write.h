/* SentencePiece ModelProto (tokenizer.model), writing. */
#ifndef CS_FMT_SPM_WRITE_H
#define CS_FMT_SPM_WRITE_H

#include "base/str.h"
#include "fmt/spm.h"

/* Appends the file: pieces, the trainer's type, special pieces and their ids, the normaliser's flags and character map. bos, eos, pad: numbers of the
 * pieces, -1 = none. cs_spm_parse reads the same model from it. Out of memory sets out->failed. */
void cs_spm_write(const cs_spm *m, int32_t bos, int32_t eos, int32_t pad, cs_str *out);

#endif
