/* attribution.h - which module an allocation of an unmodified program counts for: found by the return address.
 *
 *   site    an instruction behind a call of malloc and its kin; where it lies tells the object that called
 *   rank    place of the attribution entry that decides: of a site's and its thread's the smaller one
 *
 * What was found for a site is kept in a table that anyone reads without a lock; one word is one site:
 *
 *      63   62                            16 15                0
 *     +---+---------------------------------+------------------+
 *     | i |    return address, 47 bits      |       value      |     0: empty
 *     +---+---------------------------------+------------------+
 *       i = 0                      value is the module's id: what the fast path takes
 *       i = 1, value < 0xf000      a rank, as some entry of the policy decides by thread: an entry, and behind those
 *                                  a module's id
 *       i = 1, value >= 0xf000     a wrapper's: low bits x 8 is how far up the stack its own caller's frame begins
 *
 * A wrapper (strdup, xmalloc, g_malloc) allocates in the name of its caller. Its frame has the same size whenever it stands
 * at that instruction, so its return address is found with one addition and one load: the stack is walked once for a site,
 * by the unwinder, and never again.
 *
 * Objects that are closed may make room for others at the same addresses: dlclose() empties the table.
 */
#ifndef SLUICE_TOOLS_PRELOAD_ATTRIBUTION_H
#define SLUICE_TOOLS_PRELOAD_ATTRIBUTION_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sluice/sluice.h>

#include "core/brief.h"

#define SITE_BITS  15
#define SITE_COUNT ((size_t)1 << SITE_BITS)
#define RULES_MAX  1024 /* entries of a policy */

struct site_table {
    _Atomic uint64_t sites[SITE_COUNT];
    _Atomic uint32_t generation; /* grows when it is put in force again, for another policy */
    uint16_t
        plain; /* smaller values are modules' ids: all when no entry decides by thread; else 0 */
    uint16_t rule_count;
    _Atomic uint32_t modules_known; /* smaller ids are modules' for sure */
    sluice_module module_of_rule[RULES_MAX];
};

/* NULL: all allocations are of the module "default". Tables are never unmapped: two of them alternate. */
extern _Atomic(struct site_table *) attribution_table HIDDEN;

static inline __attribute__((always_inline)) bool attribution_is_on(void)
{
    return __builtin_expect(atomic_load_explicit(&attribution_table, memory_order_relaxed) != NULL,
                            0);
}

static inline size_t site_hash(uintptr_t pc)
{
    return (size_t)((pc * UINT64_C(0x9E3779B97F4A7C15)) >> (64 - SITE_BITS));
}

/* What the fast path does not know. */
sluice_module attribution_find(struct site_table *table, uintptr_t pc, uintptr_t cfa);

/* cfa: the stack pointer as it was before the call. Any thread; async-signal-safe as far as malloc is. */
static inline __attribute__((always_inline)) sluice_module
attribution_module(const void *return_address, const void *cfa)
{
    struct site_table *table = atomic_load_explicit(&attribution_table, memory_order_acquire);
    if (__builtin_expect(table == NULL, 1))
        return SLUICE_MODULE_DEFAULT;
    uintptr_t pc = (uintptr_t)return_address;
    uint64_t site = atomic_load_explicit(&table->sites[site_hash(pc)], memory_order_relaxed);
    if (__builtin_expect(site >> 16 == pc, 1))
        return (sluice_module)site;
    return attribution_find(table, pc, (uintptr_t)cfa);
}

/* An object was closed, or a thread has another name. */
void attribution_forget_sites(void);
void attribution_forget_threads(void);

#endif
