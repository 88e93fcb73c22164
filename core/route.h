/* route.h - route tables: the compiled policy, module x size -> arena.
 *
 * A table is a pure function of a policy and the overrides; it never changes after it is published, except that
 * the entry of a module is filled in when the module is first used. The table in force is one pointer; its
 * generation, a second word, is what the fast path compares.
 *
 * Who reads a table is in a section. A table that was replaced is released after threads_synchronize().
 */
#ifndef SLUICE_CORE_ROUTE_H
#define SLUICE_CORE_ROUTE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/arena.h"
#include "core/policy.h"

struct route_rule {
    size_t max_size; /* the smaller of the rule's and the backend's */
    const struct policy_backend *backend;
    _Atomic(struct sluice_arena *) arena; /* made on first use */
};

struct route {
    struct module *module;
    struct route_rule *soft_fallback,
        *hard_fallback; /* or NULL; point into rules, behind rule_count */
    size_t rule_count;
    struct route_rule rules[];
};

struct route_table {
    uint64_t generation;
    struct policy *policy; /* owned by the newest table that uses it */
    struct meta_region *memory;
    struct lock fill_lock;
    _Atomic(struct route *) *routes; /* MODULE_CAPACITY entries */
};

/* Generation of the table in force; what tcaches compare with. */
extern _Atomic uint64_t route_generation;

/* The table in force. In a section. */
struct route_table *route_table_current(void);

/* The route of a module, filled in when need be. NULL without memory. In a section. */
struct route *route_of(struct route_table *table, struct module *module);

/* The rule that serves a size, or NULL. */
struct route_rule *route_rule_for(struct route *route, size_t size);

/* The arena of a rule, made when need be. In a section. NULL: see arena_get(). */
struct sluice_arena *route_rule_arena(struct route *route, struct route_rule *rule);

/* Makes a table. NULL without memory. */
struct route_table *route_table_create(struct policy *policy);

/* Puts a table in force and releases the one before, with its policy unless the new one has the same. Outside
 * sections, one at a time (the reload lock). */
void route_table_publish(struct route_table *table);

/* Which backends of a policy a module may be served by, override included: sets bits[index] for each. For
 * arenas_follow(). */
void route_backends_of(const struct policy *policy, struct module *module, bool *used);

#endif
