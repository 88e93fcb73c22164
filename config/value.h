/* value.h - single values of a policy: nodes to numbers, words and names.
 *
 * Each function returns false after it reported the mistake, with the key, what was expected and
 * what was found. `key` is how messages call the value. */
#ifndef SLUICE_CONFIG_VALUE_H
#define SLUICE_CONFIG_VALUE_H

#include <stdbool.h>
#include <stdint.h>

struct node;
struct report;

bool value_size(struct report *report, const struct node *node, const char *key, uint64_t minimum,
                uint64_t maximum, uint64_t *out);
bool value_duration(struct report *report, const struct node *node, const char *key,
                    uint64_t minimum, uint64_t maximum, uint64_t *out);
bool value_count(struct report *report, const struct node *node, const char *key, uint64_t minimum,
                 uint64_t maximum, uint64_t *out);
bool value_bool(struct report *report, const struct node *node, const char *key, bool *out);

/* One of a NULL-terminated list of words: *out becomes its index. */
bool value_choice(struct report *report, const struct node *node, const char *key,
                  const char *const *words, uint64_t *out);

/* A name of 1 to 255 bytes without control characters (what sluice_module_register() takes);
 * `what` is such as "a module's name". */
bool value_name(struct report *report, const struct node *node, const char *key, const char *what);

/* Are all keys of the map in one of the lists (NULL-terminated; `more` may be NULL)? Reports
 * each that is not, with the nearest that is. `where` is such as "in backend \"blocks\" (pool)". */
bool value_check_keys(struct report *report, const struct node *map, const char *where,
                      const char *const *keys, const char *const *more);

/* The same question without a report, for who has to make up `where`. */
bool value_knows_keys(const struct node *map, const char *const *keys, const char *const *more);

/* Is it a map? Else reports that `key` should be one, such as `example`. */
bool value_is_map(struct report *report, const struct node *node, const char *key,
                  const char *example);
bool value_is_list(struct report *report, const struct node *node, const char *key,
                   const char *example);

#endif
