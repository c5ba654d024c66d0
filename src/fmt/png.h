/* PNG writer: 8-bit RGB, one zlib stream, no metadata, so equal pixels are equal bytes. Pure: pixels in, bytes out. */
#ifndef CS_FMT_PNG_H
#define CS_FMT_PNG_H

#include "base/str.h"

/* Appends the file for rgb[height][width][3] to `out`. Sides are 1..65535; CS_E_NOMEM. */
cs_status cs_png_encode(const uint8_t *rgb, size_t width, size_t height, cs_str *out, cs_error *err);

#endif
