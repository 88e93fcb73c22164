/* texts.h - the input of scene two: the text files of this machine. */
#ifndef SLUICE_TOOLS_DEMO_TEXTS_H
#define SLUICE_TOOLS_DEMO_TEXTS_H

#include <stdbool.h>
#include <stdint.h>

/* Finds the regular files of /usr/include and /usr/share/doc that are text (no NUL byte), in the
 * order of their names, up to `max` bytes in all, and writes their names to a list, one a line.
 * Reads each one once, so that every run finds it in the page cache. false: a message is out. */
bool texts_list(const char *list, uint64_t max, uint64_t *files, uint64_t *bytes);

#endif
