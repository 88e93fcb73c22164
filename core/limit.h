/* limit.h - soft and hard limits of a module.
 *
 * What is charged is what objects need: whole slabs and mappings where a backend says so itself
 * (SLUICE_BACKEND_KEEPS_LIMIT), else the objects' bytes, in advances (credits) of each thread so that most allocations
 * touch no shared counter. Near the limit advances shrink to the object itself.
 *
 * Crossing the soft limit is noted inside the section and acted on outside of it, once until the module has
 * fallen below nine tenths of the limit.
 */
#ifndef SLUICE_CORE_LIMIT_H
#define SLUICE_CORE_LIMIT_H

#include <stdbool.h>
#include <stddef.h>

#include "core/arena.h"

enum { LIMIT_PENDING_SOFT = 1 };

/* Takes bytes from the module's budget; false when the hard limit forbids it. Inside sections. */
bool limit_charge(struct module *module, size_t bytes);
void limit_uncharge(struct module *module, size_t bytes);

/* The same for one object through the heap's credit. */
bool limit_take(struct heap *heap, size_t bytes);
void limit_give(struct heap *heap, size_t bytes);
void limit_return_credit(struct heap *heap); /* all of it */

/* What a thread takes in advance of a module's limit, or may keep of what it freed: bytes. So many where there is no limit, or
 * none that is tight. */
#define LIMIT_ADVANCE ((int64_t)256 << 10)

int64_t limit_advance(const struct module *module);

/* Sets the limits of all modules (or one) from a policy. */
void limits_follow(const struct policy *policy);
void limit_follow_module(const struct policy *policy, struct module *module);

/* Carries out what crossing the soft limit asks for. Outside sections. */
void limit_act_soft(struct module *module);

/* An allocation of that size failed, at the hard limit (limit_hit) or for want of memory. true: something was given
 * back, try once more. Outside sections. */
bool limit_act_hard(struct module *module, size_t size, bool limit_hit);

/* Sets the error message of an allocation of that size that a limit refused. */
void limit_explain(struct module *module, size_t size);

/* The module's soft limit is exceeded and asks for another backend. */
static inline bool limit_soft_exceeded(struct module *module)
{
    uint64_t soft = atomic_load_explicit(&module->soft, memory_order_relaxed);
    return soft != 0 && atomic_load_explicit(&module->held, memory_order_relaxed) > soft;
}

#endif
