/* slab.h - slabs: what the fast path works on.
 *
 * A slab is one or more 64 KiB pieces of a slab chunk, holding objects of one size class. It belongs to
 * one thread at a time (its owner), who alone takes objects from it and returns objects to `free`.
 * Everyone else returns objects to `remote`, and the owner collects them.
 *
 *     chunk (2 MiB, aligned)            slab_chunk (a record outside the chunk)
 *     ┌──┬──┬──┬─────────────┬──┐      ┌───────┬─────────┬───────────────────────────┐
 *     │p0│p1│p2│     ...     │31│      │ chunk │ head[32]│ slab[32], 128 bytes each   │
 *     └──┴──┴──┴─────────────┴──┘      └───────┴─────────┴───────────────────────────┘
 *      address >> 16 & 31 = piece       head[piece] = where the record of the piece's slab lies
 *
 * Invariants of a slab in use:
 *     allocs - frees                  = objects that are out or wait in remote
 *     carved * object_size            = bytes that were ever handed out; behind them nothing was touched
 *     frees == event_at               the owner must act (below); checked once for each free
 *
 * event_at is what keeps counters and flags out of the fast path. It is set, by the owner's slow path, to
 *     - never (SLAB_NO_EVENT)  for the slab that allocations of its class come from,
 *     - frees + 1              for a slab that ran full: the first free makes it useful again,
 *     - allocs                 for a slab with room that is not allocated from: then it is empty.
 * The last one works because allocs stands still while a slab is not allocated from.
 *
 * The shape - a free list for each page, a second one for other threads - is that of mimalloc (D. Leijen,
 * B. Zorn, L. de Moura, "Mimalloc: Free List Sharding in Action", 2019); totals from two counters and the
 * event threshold are ours.
 */
#ifndef SLUICE_CORE_SLAB_H
#define SLUICE_CORE_SLAB_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/chunk.h"
#include "core/size_class.h"

#define SLAB_PIECE_SHIFT 16
#define SLAB_PIECE_SIZE  ((size_t)1 << SLAB_PIECE_SHIFT)
#define SLAB_PIECES      32 /* in a chunk */

#define SLAB_NO_EVENT UINT64_MAX

/* Values of owner that are no thread: no thread's token ever equals them. */
#define SLAB_ORPHAN ((uintptr_t)1) /* the owner has gone; the arena keeps it */
#define SLAB_UNUSED ((uintptr_t)2) /* no slab here */

struct slab {
    /* The owner's line. Counters are atomic only so that others may read them at any time. */
    void *free;              /* objects; the first word of each is the next */
    _Atomic uintptr_t owner; /* token of the owning thread, or SLAB_ORPHAN, SLAB_UNUSED */
    _Atomic uint64_t allocs, frees;
    uint64_t event_at;
    char *base;                        /* of the piece that this record is for: never changes */
    _Atomic uint32_t carved;           /* objects; the free list has had all of them */
    uint32_t capacity;                 /* objects */
    _Atomic uint32_t object_size;      /* bytes; 0: no slab here */
    uint8_t size_class, state, pieces; /* for the backend */

    /* Everyone's line. */
    _Atomic uint64_t remote __attribute__((aligned(64))); /* count << 48 | first object */
    struct slab *next, *prev;                             /* for the backend's lists */
    _Atomic(struct slab_heap *) heap;                     /* whose lists; NULL for orphans */
    /* For the backend. */
    uint64_t seen;             /* allocs + frees at the last look */
    _Atomic uint32_t since_ms; /* when it became empty, or was last seen to have moved */
    /* Free objects without pages behind their first word, by bits; the bytes of those pages (of a free piece too); what allocs
     * was then. */
    _Atomic uint32_t away_bytes;
    _Atomic uint64_t away, away_at;
};

_Static_assert(sizeof(struct slab) == 128, "two cache lines");

struct slab_chunk {
    struct chunk chunk; /* first: the pagemap leads to it */
    /* Near it: who drops an arena at once walks over these, and over nothing else. */
    uint32_t free_pieces;    /* bit i: piece i is free */
    uint32_t dirty_pieces;   /* bit i: piece i is free and may have pages */
    uint32_t freed_ms;       /* when a piece was last freed */
    uint32_t away_pieces;    /* bit i: piece i is being purged just now: neither free nor used */
    uint32_t index;          /* for the backend */
    struct slab_chunk *link; /* for the backend */
    /* Where the slab's record is, in bytes from here: stored atomically; stands still where an object is. */
    uint16_t head[SLAB_PIECES];
    _Alignas(64) struct slab slab[SLAB_PIECES];
};

/* A thread's part of a slab arena, as far as the fast path knows of it. The backend's own follows. */
struct slab_heap {
    struct slab **bins; /* the tcache's, or NULL: where current slabs are installed */
    uintptr_t token;    /* the owning thread's */
    struct slab *current[SIZE_CLASS_COUNT]; /* never NULL: &slab_none */
};

/* Capacities of what stands in a bin and is no slab, but looks like one that is always empty. */
#define SLAB_MARK_BUMP UINT32_MAX /* a cursor, core/bump.h */
#define SLAB_MARK_DIRECT \
    (UINT32_MAX - 1) /* base is a heap whose backend is asked for each object, core/arena.h */

/* An always empty slab, so that the fast path needs no NULL check. Never written. */
extern struct slab slab_none;

static inline struct slab *slab_at(struct slab_chunk *c, uint16_t head)
{
    return (struct slab *)((char *)c + head);
}

static inline unsigned slab_piece_of(const void *p)
{
    return ((uintptr_t)p >> SLAB_PIECE_SHIFT) & (SLAB_PIECES - 1);
}

static inline uint16_t slab_head(const struct slab_chunk *c, unsigned piece)
{
    return __atomic_load_n(&c->head[piece], __ATOMIC_RELAXED);
}

static inline struct slab *slab_of(uintptr_t entry, const void *p)
{
    struct slab_chunk *c = (struct slab_chunk *)(entry - PAGEMAP_SLABS);
    struct slab *s = slab_at(c, c->head[slab_piece_of(p)]);
    __asm__(
        ""
        : "+r"(s)); /* one register for all its fields, which compilers else address one by one */
    return s;
}

/* The same for an address that may be of no object: slabs may come and go there meanwhile. */
static inline struct slab *slab_near(uintptr_t entry, const void *p)
{
    struct slab_chunk *c = (struct slab_chunk *)(entry - PAGEMAP_SLABS);
    return slab_at(c, slab_head(c, slab_piece_of(p)));
}

/* Is the piece the first one of its slab (or would it be, were it used)? */
static inline bool slab_is_head(const struct slab_chunk *c, unsigned piece)
{
    return slab_head(c, piece) == (const char *)&c->slab[piece] - (const char *)c;
}

static inline uint64_t slab_load(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

/* One writer: a plain increment that others may read. */
static inline void slab_increment(_Atomic uint64_t *counter)
{
#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__)
    __asm__("incq %0" : "+m"(*counter)); /* where compilers make three of it, as it is atomic */
#else
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + 1,
                          memory_order_relaxed);
#endif
}

/* The same, when the new value is wanted. */
static inline uint64_t slab_count(_Atomic uint64_t *counter)
{
    uint64_t n = atomic_load_explicit(counter, memory_order_relaxed) + 1;
    atomic_store_explicit(counter, n, memory_order_relaxed);
    return n;
}

/* The owner takes an object; NULL when the list is empty. */
static inline void *slab_pop(struct slab *s)
{
    void *p = s->free;
    if (__builtin_expect(p != NULL, 1)) {
        s->free = *(void **)p;
        slab_increment(&s->allocs);
    }
    return p;
}

/* Reports a pointer that cannot be an object of the slab, and ends the program (core/place.c). */
__attribute__((noreturn, cold)) void slab_refuse(const void *p);

/* What can be told for nothing of a pointer that comes back, given the object that came back last: it is aligned as objects
 * are, and is not that one. */
static inline void slab_expect(const void *p, const void *last)
{
    if (__builtin_expect(p == last || ((uintptr_t)p & 15) != 0, 0))
        slab_refuse(p);
}

/* The owner returns an object; true: the owner must act. */
static inline bool slab_push(struct slab *s, void *p)
{
    slab_expect(p, s->free);
    *(void **)p = s->free;
    s->free = p;
    return __builtin_expect(slab_count(&s->frees) == s->event_at, 0);
}

#define SLAB_REMOTE_SHIFT 48
#define SLAB_REMOTE_MASK  (((uint64_t)1 << SLAB_REMOTE_SHIFT) - 1)

/* Anyone returns an object. The exchange is the last access to the slab: once it is done the slab
 * may be emptied and reused. */
static inline void slab_push_remote(struct slab *s, void *p)
{
    uint64_t old = atomic_load_explicit(&s->remote, memory_order_relaxed), head;
    do {
        slab_expect(p, (void *)(uintptr_t)(old & SLAB_REMOTE_MASK));
        *(void **)p = (void *)(uintptr_t)(old & SLAB_REMOTE_MASK);
        head = ((old >> SLAB_REMOTE_SHIFT) + 1) << SLAB_REMOTE_SHIFT | (uintptr_t)p;
    } while (!atomic_compare_exchange_weak_explicit(&s->remote, &old, head, memory_order_release,
                                                    memory_order_relaxed));
}

static inline uint32_t slab_remote_count(const struct slab *s)
{
    return (uint32_t)(atomic_load_explicit(&s->remote, memory_order_relaxed) >> SLAB_REMOTE_SHIFT);
}

/* Objects that are out, as anyone may ask: exact when nobody is allocating. */
static inline uint64_t slab_live(const struct slab *s)
{
    /* In this order: what the owner collects meanwhile is then missed, not counted twice. */
    uint64_t frees = atomic_load_explicit(&s->frees, memory_order_acquire);
    frees += slab_remote_count(s);
    uint64_t allocs = slab_load(&s->allocs);
    return allocs > frees ? allocs - frees : 0;
}

#endif
