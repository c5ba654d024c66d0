/* One constant per family; list.c names them all. */
#ifndef CS_MODEL_FAMILY_FAMILIES_H
#define CS_MODEL_FAMILY_FAMILIES_H

#include "model/spec.h"

extern const cs_family cs_family_llama;

#endif
