/* glob.h - does a name fit a pattern? As fnmatch(3) without flags in the C locale, for bytes:
 *   *  any string   ?  any byte   [abc] [a-z] [!a] [[:digit:]]  one of a set   \x  x itself
 * Written out because fnmatch() may allocate, and may take exponential time. This takes at most
 * length(pattern) x length(name) steps. Any thread; async-signal-safe. */
#ifndef SLUICE_CORE_GLOB_H
#define SLUICE_CORE_GLOB_H

#include <stdbool.h>

bool glob_match(const char *pattern, const char *name);

/* Has the text a character that makes it a pattern? */
bool glob_is_pattern(const char *text);

#endif
