/* The reference tables, for select.c. */
#ifndef CS_KERN_REF_H
#define CS_KERN_REF_H

#include "tensor/kernels.h"

extern const cs_kernels cs_ref_f64, cs_ref_f32, cs_ref_bf16, cs_ref_f16;

#endif
