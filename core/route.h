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
#include "core/brief.h"
#include "core/policy.h"

struct route_rule {
    size_t max_size; /* the smaller of the rule's and the backend's */
    const struct policy_backend *backend;
    _Atomic(struct sluice_arena *) arena; /* made on first use */
    _Atomic uint32_t refusals;            /* of making it, in a row */
    _Atomic uint64_t ask_again;           /* not before then: CLOCK_MONOTONIC, ns */
};

struct route {
    struct module *module;
    struct phase_kind *phase;       /* the module is bound to it; or NULL */
    struct route_rule *phase_rules; /* phase_rule_count of them, behind the fallbacks */
    size_t phase_rule_count;
    bool phase_tracked;
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

/* Generation of the table in force. */
extern _Atomic uint64_t route_generation;

/* For each module a number that grows whenever another arena may serve it: a table that serves it otherwise, a phase that
 * begins or ends. What tcaches compare with. */
extern _Atomic uint64_t route_module_generation[MODULE_CAPACITY] HIDDEN;

static inline void route_outdate_caches(sluice_module module)
{
    atomic_fetch_add_explicit(&route_module_generation[module], 1, memory_order_release);
}

/* The table in force. In a section. */
struct route_table *route_table_current(void);

/* The route of a module, filled in when need be. NULL without memory. In a section. */
struct route *route_of(struct route_table *table, struct module *module);

/* The rule that serves a size, or NULL. */
struct route_rule *route_rule_for(struct route *route, size_t size);

/* The arena of a rule, made when need be. In a section. NULL: the backend refuses (see arena_get()), or has refused and is
 * asked again later: after 1 ms, twice as long each time, a second at most, or by the next table. *asked tells which.
 * Logged once for a table. */
struct sluice_arena *route_rule_arena(struct route *route, struct route_rule *rule, bool *asked);

/* The same in parts, for the arenas of a phase: may this thread ask the rule's backend for an arena now (after a refusal,
 * one thread at a time may); and what came of it. */
bool route_rule_may_ask(struct route_rule *rule);
void route_rule_note(struct route *route, struct route_rule *rule, bool refused);

/* Makes a table. NULL without memory. */
struct route_table *route_table_create(struct policy *policy);

/* Puts a table in force and releases the one before, with its policy unless the new one has the same. Outside
 * sections, one at a time (the reload lock). */
void route_table_publish(struct route_table *table);

/* The backends that serve a phase's modules while an instance is open, in the order in which they are asked: the phase's
 * own and, where that has a largest size, `mmap` for what is larger. Indexes of the policy; returns their number. */
#define ROUTE_PHASE_BACKENDS 2
size_t route_phase_backends(const struct policy *policy, const struct policy_phase *phase,
                            uint32_t backends[ROUTE_PHASE_BACKENDS]);

/* Are objects of that first backend tracked one by one? Not where it can drop all of them at once. */
bool route_phase_tracks(const struct policy *policy, const struct policy_phase *phase);

/* Which backends of a policy a module may be served by, override included: sets bits[index] for each. For
 * arenas_follow(). */
void route_backends_of(const struct policy *policy, struct module *module, bool *used);

/* Names of the backends that serve a module, in the order of its route, parted by commas; override included. What does not
 * fit is cut, and ends in "...". size > 3. */
void route_describe(const struct policy *policy, struct module *m, char *out, size_t size);

#endif
