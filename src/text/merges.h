/* Lines of a merges.txt: "left right", best first, behind an optional line "#version ...". Empty lines are passed over. Pure. */
#ifndef CS_TEXT_MERGES_H
#define CS_TEXT_MERGES_H

#include "base/error.h"
#include "text/normalize.h"

typedef struct cs_merges {
    const char *text; /* borrowed */
    size_t len, at, line; /* line: number of the rule that was read last, from 1 */
    const char *name; /* for messages */
} cs_merges;

/* The next rule; *more = false at the end. Start with at = line = 0. CS_E_FORMAT "name:line: ...". */
cs_status cs_merges_next(cs_merges *m, cs_bytes *left, cs_bytes *right, bool *more, cs_error *err);
/* Takes the escapes \" and \\ out of a list that was cut out of a JSON file as it stood (BLOOM's circulates so): one that has \" and no other
 * quote. In place; returns the new length. */
size_t cs_merges_unescape(char *text, size_t len);
/* Upper bound of the number of rules. */
size_t cs_merges_most(const char *text, size_t len);
/* True when a text is merge rules: it begins with "#version", or the first rules use only single characters and results of rules before. */
bool cs_merges_detect(const char *text, size_t len);

#endif
