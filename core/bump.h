/* bump.h - bump cursors: what the fast path works on where a backend hands out memory in a row.
 *
 *     │ header │ object │ header │ object │ header │ (free)                 │
 *                                                   ^ next                   ^ end
 *
 * The thread state of a backend with SLUICE_BACKEND_BUMPS begins with a cursor. The core puts its stand-in into a cache's
 * bins: a magazine that is always empty, so that the fast path of magazines has no test more. It
 * belongs to the thread, or to who keeps the thread out of the arena (reset, core/thread.h).
 *
 * Headers are 8 bytes, so that an object of n bytes takes the next multiple of 16 above n + 8, and objects are aligned to
 * 16. A header holds the usable bytes and a check: the object's address, mixed with a seal that changes when everything
 * is dropped. So a pointer that is not an object's start, or that is older than the last reset, is told from one that is.
 *
 * Invariants:  next and end are multiples of 16, or NULL: no piece; next <= end
 *              an object ends 8 bytes before a multiple of 16, where the next one's header lies
 */
#ifndef SLUICE_CORE_BUMP_H
#define SLUICE_CORE_BUMP_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "core/magazine.h"
#include "core/size_class.h"

#define BUMP_HEADER sizeof(uint64_t)
/* In a header, where the low bits of the usable bytes (8 more than a multiple of 16) would be. */
#define BUMP_FREED  ((uint64_t)1)
#define BUMP_APART  ((uint64_t)2) /* for the backend: the object was not bumped */
#define BUMP_FLAGS  (BUMP_FREED | BUMP_APART)

struct bump {
    struct magazine stand_in; /* first: what a bin points to */
    struct magazine **bins;   /* the tcache's, or NULL: where the stand-in may be */
    _Atomic(char *) next;     /* where the next object goes, if it fits */
    char *end;
    uint64_t seal;            /* its low half is 0 */
    _Atomic uint64_t objects; /* allocated; atomic so that others may read */
};

/* What an object of that size takes, its header (or the next one's) included. */
static inline size_t bump_step(size_t size)
{
    return (size + 2 * BUMP_HEADER + 7) & ~(size_t)15;
}

static inline _Atomic uint64_t *bump_header(const void *p)
{
    return (_Atomic uint64_t *)((uintptr_t)p - BUMP_HEADER);
}

/* What the header of a live object says. */
static inline uint64_t bump_header_value(uint64_t seal, const void *p, size_t usable)
{
    return ((uintptr_t)p << 28 ^ seal) | usable;
}

/* Takes an object from the row; NULL when it does not fit. The owner only. */
static inline void *bump_take(struct bump *b, size_t size)
{
    char *p = atomic_load_explicit(&b->next, memory_order_relaxed);
    size_t step = bump_step(size);
    if (__builtin_expect(step > (size_t)(b->end - p), 0))
        return NULL;
    atomic_store_explicit(&b->next, p + step, memory_order_relaxed);
    atomic_store_explicit(bump_header(p), bump_header_value(b->seal, p, step - BUMP_HEADER),
                          memory_order_relaxed);
    count_one(&b->objects);
    return p;
}

/* The same for what a bin holds: NULL when that is no cursor. */
static inline void *bump_take_from_bin(struct magazine *m, size_t size)
{
    return m->kind == MAGAZINE_BUMPS ? bump_take((struct bump *)m, size) : NULL;
}

/* A cursor of no piece. */
static inline void bump_init(struct bump *b)
{
    magazine_init(&b->stand_in, MAGAZINE_BUMPS, 0, 0);
}

/* Before its memory goes: no bin leads to it any more. */
static inline void bump_uninstall(struct bump *b)
{
    for (unsigned k = 0; b->bins != NULL && k < SIZE_CLASS_PLAIN; k++)
        if (b->bins[k] == &b->stand_in)
            b->bins[k] = &magazine_none;
}

#endif
