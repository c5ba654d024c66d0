/* File name patterns, for shells that do not expand them and for the files that name data. */
#ifndef CS_DATA_GLOB_H
#define CS_DATA_GLOB_H

#include "data/inputs.h"

/* Has it one of * ? [ ? */
bool cs_glob_is_pattern(const char *path);
/* Adds the files that match, sorted bytewise folder by folder: * ? [..] as in a shell, inside one name; a name ** is any number of folders; names
 * that begin with a dot match a pattern that does. CS_E_IO when there is none, else as cs_paths_add_data. */
cs_status cs_glob_expand(const char *pattern, cs_paths *out, cs_error *err);

#endif
