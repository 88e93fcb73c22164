/* magazine.h - magazines: what the fast path works on.
 *
 *     bin of a thread's cache ─► magazine ─► object ─► object ─► NULL      malloc takes the first
 *     slab, header or page    ─► magazine                                  free puts in front of it
 *
 * A magazine is one thread's list of free objects of one size class and one arena. What was freed last is handed out first:
 * it is in the processor's caches still. An empty one asks the arena's backend for more, and one that holds too many gives some
 * back; where the objects come from is the backend's: slabs (core/slab.h), or one by one (core/direct.h).
 * (After J. Bonwick, J. Adams, "Magazines and Vmem", 2001; theirs are exchanged whole, ours are lists.)
 *
 * Invariants:  frees - allocs   = objects in the magazine, modulo 2^64
 *              room             = frees that are left until the owner must act (ops->slab_event, direct_event)
 *              event_at         = what frees will be then: frees are counted down, which is shorter than up and compared
 *
 * Objects that come from the backend are counted as if allocs went down, and those that go to it as if frees did, so that the
 * sums over a heap's magazines and its backend's counters count what the program did, and nothing else.
 *
 * All of it is the thread's own, or of who holds it (core/thread.h); only the counters may be read by others.
 */
#ifndef SLUICE_CORE_MAGAZINE_H
#define SLUICE_CORE_MAGAZINE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/brief.h"

enum magazine_kind {
    MAGAZINE_EMPTY, /* always: the slow path decides */
    MAGAZINE_SLABS, /* filled from slabs */
    MAGAZINE_DIRECT, /* filled by frees alone, in front of a backend that is asked object by object */
    MAGAZINE_ASKS,   /* always empty: that backend is asked for each object */
    MAGAZINE_BUMPS, /* always empty: the cursor of core/bump.h that this is a part of serves */
};

/* Half a cache line: where modules are many, so are these. */
struct magazine {
    void *free; /* objects; the first word of each is the next */
    _Atomic uint64_t allocs;
    _Atomic uint64_t event_at;
    _Atomic uint32_t room;
    uint16_t arena; /* its id */
    uint8_t size_class;
    uint8_t kind;
} __attribute__((aligned(32)));

static inline void magazine_init(struct magazine *m, enum magazine_kind kind, uint32_t arena,
                                 unsigned size_class)
{
    m->arena = (uint16_t)arena;
    m->size_class = (uint8_t)size_class;
    m->kind = (uint8_t)kind;
}

/* Stands where there is none, so that the fast path needs no NULL check. Never written. */
extern struct magazine magazine_none;

/* Takes an object; NULL when the list is empty. */
static inline void *magazine_pop(struct magazine *m)
{
    void *p = m->free;
    if (__builtin_expect(p != NULL, 1)) {
        void *next = *(void **)p;
        m->free = next;
        count_one(&m->allocs);
    }
    return p;
}

/* Reports a pointer that cannot be an object, and ends the program (core/place.c). */
__attribute__((noreturn, cold)) void magazine_refuse(const void *p);

/* What can be told for nothing of a pointer that comes back: it is not the object that came back last. */
static inline void magazine_expect(const void *p, const void *last)
{
    if (__builtin_expect(p == last, 0))
        magazine_refuse(p);
}

/* Returns an object; true: the owner must act, and arm it anew. */
static inline bool magazine_push(struct magazine *m, void *p)
{
    magazine_expect(p, m->free);
    *(void **)p = m->free;
    m->free = p;
    return count_down(&m->room);
}

/* Exact for the owner. What others see of a busy thread may be a little off; where the processor keeps loads and stores in
 * order, as x86 does, it is rather more than less: room is read first, and written last. */
static inline uint64_t magazine_frees(const struct magazine *m)
{
    uint32_t room = atomic_load_explicit(&m->room, memory_order_relaxed);
    atomic_signal_fence(memory_order_acquire);
    return count_load(&m->event_at) - room;
}

/* Objects in it, as exact as that. */
static inline uint64_t magazine_kept(const struct magazine *m)
{
    uint64_t allocs = count_load(&m->allocs);
    atomic_signal_fence(memory_order_acquire);
    return magazine_frees(m) - allocs;
}

/* The owner acts after so many more frees, at least one. */
static inline void magazine_arm(struct magazine *m, uint32_t frees)
{
    atomic_store_explicit(&m->event_at, magazine_frees(m) + frees, memory_order_relaxed);
    atomic_signal_fence(memory_order_release);
    atomic_store_explicit(&m->room, frees, memory_order_relaxed);
}

/* Objects that the owner took out otherwise than by magazine_pop(), or put in otherwise than by magazine_push(). */
static inline void magazine_count_given(struct magazine *m, uint64_t objects)
{
    count_add(&m->event_at, -objects);
}

static inline void magazine_count_filled(struct magazine *m, uint64_t objects)
{
    count_add(&m->allocs, -objects);
}

#endif
