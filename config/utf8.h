/* utf8.h - is this text that a policy may be made of? */
#ifndef SLUICE_CONFIG_UTF8_H
#define SLUICE_CONFIG_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* NULL, or what is wrong with the first bytes that are not UTF-8 text, with their place from 1
 * (columns count characters). NUL and other control characters than tab, line feed and carriage
 * return are wrong too. */
const char *utf8_find_mistake(const char *text, size_t length, uint32_t *line, uint32_t *column);

#endif
