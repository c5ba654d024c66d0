/* Facts about a file or folder as a JSON object, for `inspect`. */
#ifndef CS_CLI_FACTS_H
#define CS_CLI_FACTS_H

#include "base/error.h"

#include <jansson.h>

/* {"path", "kind", ...}: sizes, shapes, types, counts, metadata, whatever the kind has. The file is checked as far as its reader checks it.
 * CS_E_IO, CS_E_FORMAT, CS_E_CKPT, CS_E_NOMEM. Free with json_decref. */
cs_status cs_facts_of(const char *path, json_t **out_create, cs_error *err);

#endif
