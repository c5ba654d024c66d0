/* Normaliser steps that look at neighbouring code points. */
#ifndef CS_TEXT_NORM_UNICODE_H
#define CS_TEXT_NORM_UNICODE_H

#include "text/normalize.h"

/* NFD, NFKD (compat), NFC (compose), NFKC (both). Appends to *out; out of memory sets work->failed or out->text.failed. */
void cs_norm_form(bool compat, bool compose, cs_view in, uint32_t base, cs_norm_changes *work, cs_mapped *out);
/* SentencePiece's character map by grapheme clusters of less than 6 bytes, else by code points; the shortest rule wins. */
void cs_norm_precompiled(const cs_charsmap *map, cs_view in, uint32_t base, cs_norm_changes *work, cs_mapped *out);

#endif
