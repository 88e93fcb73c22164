/* check.h - what `sluice check` says of one policy file. */
#ifndef SLUICE_CONFIG_CHECK_H
#define SLUICE_CONFIG_CHECK_H

#include <stdbool.h>
#include <stddef.h>

struct text;

enum check_flags {
    CHECK_PRINT = 1 /* the policy as it takes effect too, when it is valid */
};

/* Room for what is said of any policy within the limits of reading: pages that are not needed are
 * never touched. */
#define CHECK_TEXT_SIZE ((size_t)32 << 20)

/* Problems as lines to `problems`, and the result to `out`. Returns whether the policy is valid. */
bool check_text(const char *path, unsigned flags, struct text *out, struct text *problems);

/* One JSON object to `out`: the command's --help lists its fields. */
bool check_json(const char *path, unsigned flags, struct text *out);

#endif
