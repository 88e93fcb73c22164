/* slab.h - slabs: where the objects of magazines come from.
 *
 * A slab is one or more 64 KiB pieces of a slab chunk, holding objects of one size class. It belongs to
 * one thread at a time (its owner): objects go from its `free` to the owner's magazine of that class, and what
 * the owner frees goes to that magazine (core/home.h), and from there back to `free` when the magazine is full.
 * Everyone else returns objects to `remote`, and the owner collects them.
 *
 *     chunk (2 MiB, aligned)            slab_chunk (a record outside the chunk)
 *     ┌──┬──┬──┬─────────────┬──┐      ┌───────┬──────────────────────┬─────────┬───────────────────────────┐
 *     │p0│p1│p2│     ...     │31│      │ chunk │ owner[32]            │ head[32]│ slab[32], 128 bytes each   │
 *     └──┴──┴──┴─────────────┴──┘      └───────┴──────────────────────┴─────────┴───────────────────────────┘
 *      address >> 16 & 31 = piece       head[piece] = where the record of the piece's slab lies
 *
 * Invariants of a slab in use:
 *     allocs - frees                  = objects that are out, in the owner's magazine, or wait in remote
 *     carved * object_size            = bytes that were ever handed out; behind them nothing was touched
 *
 * The fast path reads nothing of all this, and writes nothing: that an object is out is known to the slab only when
 * the magazine is filled or gives back. The list for other threads is that of mimalloc (D. Leijen, B. Zorn, L. de Moura,
 * "Mimalloc: Free List Sharding in Action", 2019).
 */
#ifndef SLUICE_CORE_SLAB_H
#define SLUICE_CORE_SLAB_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/chunk.h"
#include "core/magazine.h"
#include "core/size_class.h"

#define SLAB_PIECE_SHIFT 16
#define SLAB_PIECE_SIZE  ((size_t)1 << SLAB_PIECE_SHIFT)
#define SLAB_PIECES      32 /* in a chunk */

/* Values of owner that are no thread: no thread's token ever equals them. */
#define SLAB_ORPHAN ((uintptr_t)1) /* the owner has gone; the arena keeps it */
#define SLAB_UNUSED ((uintptr_t)2) /* no slab here */

struct slab {
    /* The owner's line. Counters are atomic only so that others may read them at any time. */
    void *free; /* objects; the first word of each is the next */
    _Atomic uint64_t allocs, frees;
    char *base; /* of the piece that this record is for: never changes, nor does index */
    _Atomic uint32_t carved;           /* objects; the free list has had all of them */
    uint32_t capacity;                 /* objects */
    _Atomic uint32_t object_size;      /* bytes; 0: no slab here */
    uint8_t index;                     /* of that piece in its chunk */
    uint8_t size_class, state, pieces; /* for the backend */

    /* Everyone's line. */
    _Atomic uint64_t remote __attribute__((aligned(64))); /* count << 48 | first object */
    struct slab *next, *prev;                             /* for the backend's lists */
    /* For the backend. */
    uint64_t seen;             /* allocs + frees at the last look */
    _Atomic uint32_t since_ms; /* when it became empty, or was last seen to have moved */
    /* Free objects without pages behind their first word, by bits; the bytes of those pages (of a free piece too); what allocs
     * was then. */
    _Atomic uint32_t away_bytes;
    _Atomic uint64_t away, away_at;
    _Atomic uint32_t had_bytes; /* that had pages when the slab was made of its pieces */
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
    /* Whose the slab is that a piece is part of: token of the owning thread, or SLAB_ORPHAN, SLAB_UNUSED. */
    _Alignas(64) _Atomic uintptr_t owner[SLAB_PIECES];
    /* Where the slab's record is, in bytes from here: stored atomically; stands still where an object is. */
    uint16_t head[SLAB_PIECES];
    _Alignas(64) struct slab slab[SLAB_PIECES];
};

/* The thread state of a backend with slabs begins so: as far as the core knows of it. */
struct slab_heap {
    struct magazine *
        magazine; /* SIZE_CLASS_COUNT of them, of kind EMPTY until they are used; apart, see meta_alloc_beside() */
};

#define SLAB_MAGAZINES_SIZE (SIZE_CLASS_COUNT * sizeof(struct magazine))

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
    return slab_at(c, c->head[slab_piece_of(p)]);
}

/* The same for an address that may be of no object: slabs may come and go there meanwhile. */
static inline struct slab *slab_near(uintptr_t entry, const void *p)
{
    struct slab_chunk *c = (struct slab_chunk *)(entry - PAGEMAP_SLABS);
    return slab_at(c, slab_head(c, slab_piece_of(p)));
}

static inline struct slab_chunk *slab_chunk_of(const struct slab *s)
{
    return (struct slab_chunk *)((uintptr_t)(s - s->index) - offsetof(struct slab_chunk, slab));
}

static inline uintptr_t slab_owner(const struct slab *s)
{
    return atomic_load_explicit(&slab_chunk_of(s)->owner[s->index], memory_order_relaxed);
}

/* Is the piece the first one of its slab (or would it be, were it used)? */
static inline bool slab_is_head(const struct slab_chunk *c, unsigned piece)
{
    return slab_head(c, piece) == (const char *)&c->slab[piece] - (const char *)c;
}

#define SLAB_REMOTE_SHIFT 48
#define SLAB_REMOTE_MASK  (((uint64_t)1 << SLAB_REMOTE_SHIFT) - 1)

/* Anyone returns an object. The exchange is the last access to the slab: once it is done the slab
 * may be emptied and reused. */
static inline void slab_push_remote(struct slab *s, void *p)
{
    uint64_t old = atomic_load_explicit(&s->remote, memory_order_relaxed), head;
    do {
        magazine_expect(p, (void *)(uintptr_t)(old & SLAB_REMOTE_MASK));
        *(void **)p = (void *)(uintptr_t)(old & SLAB_REMOTE_MASK);
        head = ((old >> SLAB_REMOTE_SHIFT) + 1) << SLAB_REMOTE_SHIFT | (uintptr_t)p;
    } while (!atomic_compare_exchange_weak_explicit(&s->remote, &old, head, memory_order_release,
                                                    memory_order_relaxed));
}

static inline uint32_t slab_remote_count(const struct slab *s)
{
    return (uint32_t)(atomic_load_explicit(&s->remote, memory_order_relaxed) >> SLAB_REMOTE_SHIFT);
}

/* Objects that are out or in the owner's magazine, as anyone may ask: exact when nobody is allocating. */
static inline uint64_t slab_live(const struct slab *s)
{
    /* In this order: what the owner collects meanwhile is then missed, not counted twice. */
    uint64_t frees = atomic_load_explicit(&s->frees, memory_order_acquire);
    frees += slab_remote_count(s);
    uint64_t allocs = count_load(&s->allocs);
    return allocs > frees ? allocs - frees : 0;
}

#endif
