/* jemalloc.h - the parts of the jemalloc backend, for its own files.
 *
 *   struct jemalloc_arena ──► slots[0..count)   jemalloc's own arenas, made when needed
 *                         ──► threads           each thread's slot and tcache
 *                         ──► runs              address space that the slots took
 *
 * Words: a slot is one of jemalloc's own arenas, known by its index there; "arena" alone means
 * Sluice's.
 *
 * Invariants:
 *   - no object of Sluice lies in jemalloc's arena 0: that one holds jemalloc's own things
 *     (tcaches, its page tables);
 *   - an explicit tcache serves one Sluice arena and one thread, so nothing that it holds can
 *     reach another module.
 */
#ifndef SLUICE_BACKENDS_JEMALLOC_H
#define SLUICE_BACKENDS_JEMALLOC_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sluice/backend.h>

#include "core/lock.h"
#include "tools/build/jemalloc_renamed.h"

#define JEMALLOC_SLOTS_MAX 64

struct jemalloc_run {
    struct jemalloc_run *next;
    void *base;
};

struct jemalloc_thread {
    struct jemalloc_thread *next, *prev;
    int alloc_flags, free_flags; /* for mallocx: slot and tcache; the tcache alone */
    unsigned tcache;
    bool has_tcache;
    bool wants_no_tcache; /* none was to be had */
    uint32_t allocs;      /* until it is given a tcache */
    _Atomic int64_t net;  /* bytes that this thread allocated less those it freed */
};

struct jemalloc_arena {
    extent_hooks_t hooks; /* jemalloc hands their address to each hook */
    struct sluice_arena *owner;
    _Atomic int64_t dirty_decay_ms, muzzy_decay_ms; /* written in the lock, read anywhere */
    _Atomic bool purge_armed;
    _Atomic bool ending; /* purging is pointless: all runs are about to be released */

    struct lock lock; /* what follows */
    unsigned slot_count, next_slot;
    _Atomic unsigned slots[JEMALLOC_SLOTS_MAX]; /* 0: not made yet; written once, read anywhere */
    struct jemalloc_thread *threads;
    uint64_t record_bytes;
    _Atomic uint64_t reclaimable; /* bytes of dirty and muzzy pages when last seen */

    _Atomic int64_t net; /* of threads that are gone, and of those that have no record */

    struct lock runs_lock; /* below jemalloc's own locks */
    struct jemalloc_run *runs;
};

/* ---- jemalloc_extent.c ----------------------------------------------------------------------- */

/* Where jemalloc gets its address space from: the chunk source, in the name of the arena. */
extern const extent_hooks_t jemalloc_extent_hooks;

/* Releases every run; jemalloc has forgotten them. */
void jemalloc_runs_release(struct jemalloc_arena *a);

/* ---- jemalloc_ctl.c: jemalloc's controls by name. All of them take its ctl lock. ------------- */

struct jemalloc_usage {
    size_t active;   /* bytes of pages that hold objects, free places between them included */
    size_t dirty;    /* bytes of free pages that are resident */
    size_t muzzy;    /* bytes of free pages that the kernel may take (MADV_FREE) */
    size_t metadata; /* bytes */
};

/* Starts jemalloc, unless it has been: needs 11 KiB of stack. false without memory; may be called again. Any thread. */
bool jemalloc_start(void);

/* A new slot with those hooks, or an error with error_set(). */
enum sluice_result jemalloc_slot_create(const extent_hooks_t *hooks, unsigned *slot);
void jemalloc_slot_destroy(unsigned slot); /* its objects too */
void jemalloc_slot_reset(unsigned slot);   /* drops its objects */
void jemalloc_slot_set_decay(unsigned slot, int64_t dirty_ms, int64_t muzzy_ms);
void jemalloc_slot_decay(unsigned slot); /* gives back what is due */
void jemalloc_slot_purge(unsigned slot); /* gives back all free pages */

/* Makes the next readings new ones. Reading costs jemalloc time for every slot there is, so that
 * readings are reused for a moment that grows with their number, unless `now` says that it must be
 * new. */
void jemalloc_usage_refresh(bool now);
void jemalloc_slot_usage(unsigned slot, struct jemalloc_usage *out);

/* What jemalloc holds for itself, divided by the number of slots. */
size_t jemalloc_overhead_per_slot(void);

/* An explicit tcache; false when there is none to be had: 4,000 in the process, of jemalloc's
 * 4,094. */
bool jemalloc_tcache_create(unsigned *tcache);
void jemalloc_tcache_flush(unsigned tcache); /* from any thread, while its own does not use it */
void jemalloc_tcache_destroy(unsigned tcache);

#endif
