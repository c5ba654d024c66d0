/* The list of families: add a file in this folder and one line here. */
#include "model/family/families.h"

const cs_family *const cs_families[] = {&cs_family_llama, NULL};
