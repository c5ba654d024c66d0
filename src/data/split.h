/* --split: shares of train, valid and test, and the documents each gets. */
#ifndef CS_DATA_SPLIT_H
#define CS_DATA_SPLIT_H

#include "base/error.h"

/* "969, 30, 1" (or with '/'), one to three numbers >= 0 with a positive sum, into shares that add up to 1; missing ones are 0. CS_E_USAGE. */
cs_status cs_split_parse(const char *text, double share[3], cs_error *err);

/* Split i gets documents [border[i], border[i+1]) of n: Megatron's rounding (each share to the nearest whole number, halves to even; the surplus
 * of the sum taken from every border behind the first), kept inside 0..n and monotone where that rule would leave it. */
void cs_split_borders(const double share[3], int64_t n, int64_t border[4]);

#endif
