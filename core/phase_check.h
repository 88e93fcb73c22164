/* phase_check.h - memory of ended instances that is watched: `check: poison` and `check: protect` of a phase.
 *
 *   object   one allocation in an instance with a check: where, how long, from where in the program. All of them are on
 *            record, up to a number (PHASE_CHECK_OBJECTS); an object that is freed before the end stays there.
 *   watched  the instance has ended and its arenas are reset, but the memory of its objects is not used again yet:
 *            filled with a pattern (poison) or out of reach (protect). The newest `keep` instances of a kind are.
 *
 *     begin ──► OPEN: objects are noted ──end──► WATCHED ──keep newer ones have ended──► looked at, IDLE
 *
 * Whole chunks are watched: all objects that lie in them are of the instance, and gone. Their entries in the pagemap say
 * ENDED, so that a late free is reported and reaches no backend, and their arenas are left alone (arena_reset()). When the
 * watch ends, pages are dropped: what a backend thinks to be zero is so again.
 *
 * With a check on, the module's allocations in the phase take the slow path; off, nothing here runs.
 */
#ifndef SLUICE_CORE_PHASE_CHECK_H
#define SLUICE_CORE_PHASE_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/arena.h"
#include "core/phase.h"

/* Objects of an instance that are on record at most: 64 MiB of records. What lies beyond is not checked. */
#define PHASE_CHECK_OBJECTS ((size_t)1 << 20)

/* An object of an instance that has a check was made, or resized: notes it, and the return address of the call that made
 * it. In a section. */
void phase_check_note(struct phase_instance *instance, const struct sluice_arena *arena,
                      const void *p, const void *caller);

/* The instance has ended and its arenas are reset: watches what it had. Nobody else has the instance. In a section. */
void phase_check_watch(struct phase_instance *instance);

/* Looks for writes since, and reports each object that was written to once. Returns their number; 0 with `protect`, where
 * an access does not succeed. Nobody else has the instance. */
size_t phase_check_look(struct phase_instance *instance);

/* Looks a last time and ends the watch: the arenas may be used again. false: the kernel did not give the right to access
 * back, for want of mappings; it is watched still. Nobody else has the instance. In a section, or in the reload lock. */
bool phase_check_release(struct phase_instance *instance);

/* Says on standard error that there was an access to watched memory at that address. false: it is none. In a handler of
 * SIGSEGV, too. `access`: "write to", say. */
bool phase_check_explain(const void *address, const char *access);

#endif
