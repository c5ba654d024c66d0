/* Two slips that hand-written JSON has, put right: a key without its closing quote ("streaming: true) and Python's True, False, None. */
#ifndef CS_FMT_JSON_REPAIR_H
#define CS_FMT_JSON_REPAIR_H

#include "base/str.h"

/* Appends the corrected text to *out and "name:line:column: ..." for every correction to *notes, one a line. Text without these slips is copied as it
 * is; whether it is JSON is for the parser to say. Pure. CS_E_NOMEM. */
cs_status cs_json_repair(const char *bytes, size_t len, const char *name, cs_str *out, cs_str *notes, cs_error *err);

#endif
