/* pool.h - the thread-local fixed pool, inside: slabs in chunks, heaps of threads.
 *
 *   arena   owns chunks; a chunk's free pieces are known by two bit masks. Chunks are kept on a list by the
 *           number of their free pieces, and new slabs come from the fullest chunk that has room, so that
 *           others can become empty.
 *   heap    one thread's part of that arena: for each size class a magazine (core/magazine.h) and the slabs behind it: the
 *           current one, from which the magazine is filled, others with room (partial), those without (full); and a reserve
 *           of empty slabs.
 *   orphan  a slab whose thread has gone. The arena keeps it until another thread needs its size class, or
 *           until it is empty.
 *
 * An object is out, in its owner's magazine, in its slab's `free`, or in its slab's `remote`. Few are in magazines: when one
 * is full, the half of it that was freed longest ago goes to the slabs, which so become empty again.
 *
 * A slab is in exactly one state:
 *
 *     FRESH ──► CURRENT ──has nothing──► FULL ──first object back──► PARTIAL ──► CURRENT
 *                  │                                                    │ empty
 *                  └── empty and idle ──► (back to the chunk) ◄── RESERVE ◄──┘
 *
 * The heap's lists belong to its thread (or to who holds the thread, core/thread.h); chunks, pieces, orphans, and the list of
 * heaps are in the arena's lock.
 */
#ifndef SLUICE_BACKENDS_POOL_H
#define SLUICE_BACKENDS_POOL_H

#include <stdbool.h>
#include <stdint.h>

#include <sluice/backend.h>

#include "core/home.h"
#include "core/lock.h"
#include "core/slab.h"

enum pool_param {
    POOL_THREAD_CACHE,
    POOL_PREALLOCATE,
    POOL_RETAIN,
    POOL_PURGE_AFTER,
    POOL_HUGE_PAGES,
    POOL_PARAMS
};
enum pool_huge { POOL_HUGE_NEVER, POOL_HUGE_AUTO, POOL_HUGE_ALWAYS };

enum slab_state {
    SLAB_FREE,
    SLAB_CURRENT,
    SLAB_FULL,
    SLAB_PARTIAL,
    SLAB_RESERVE,
    SLAB_LOST,
    SLAB_AWAY
};

#define POOL_MAX_PIECES 16 /* of one slab */

struct slab_list {
    struct slab *first, *last;
};

/* A chunk that holds slabs, or did when a reset() came: what that has to know of it, so that it reads no chunk's record. */
struct pool_used {
    struct slab_chunk *chunk;
    char *base;
    uint32_t ended_ms;
};

struct pool_arena {
    struct sluice_arena *owner;
    _Atomic uint64_t values[POOL_PARAMS];

    struct lock lock;
    struct slab_chunk *by_free[SLAB_PIECES + 1]; /* chunks by the number of their free pieces */
    struct slab_list orphans[SIZE_CLASS_COUNT];
    _Atomic uint32_t orphan_count[SIZE_CLASS_COUNT];
    uint64_t chunk_count;
    uint64_t dirty_bytes;      /* free pieces that have pages */
    uint64_t heap_bytes;       /* metadata of heaps */
    _Atomic uint64_t purge_at; /* when purge() is announced for; UINT64_MAX: not */
    unsigned rests;            /* looks in a row at which nothing had moved */
    uint32_t trimmed_ms;       /* when somebody last wanted everything back; 0: never */
    /* Of slabs that were given back. */
    uint64_t past_allocs, past_frees;

    uint64_t epoch; /* grows with each reset(); a heap of an older one holds nothing */
    struct pool_used
        *used; /* every chunk with a piece that is not free; `index` says where it stands */
    struct pool_used *ended;              /* chunks as a reset() left them, see pool_end_chunks() */
    size_t used_count, ended_count, room; /* room: for how many each of both is made */

    /* Slabs that purge() found empty in the hands of threads, for thread_flush(). purge() alone uses them. */
    struct slab **flush;
    size_t flush_count;

    struct pool_heap *heaps; /* by next */
};

/* What is behind a magazine. */
struct pool_class {
    struct slab *current; /* it is filled from that; or NULL */
    struct slab_list partial, full;
    uint64_t seen;  /* the magazine's movement at the last look, see pool_purge.c */
    uint32_t most;  /* objects that the magazine may hold */
    uint32_t fulls; /* times in a row that it held more */
    uint32_t frees; /* until that is looked at */
};

struct pool_heap {
    struct slab_heap fast; /* first: the core knows this part */
    struct pool_class of[SIZE_CLASS_COUNT];
    struct pool_arena *arena;
    struct pool_heap *next, *prev;
    uintptr_t token, mark; /* the owning thread's */
    uint64_t epoch;
    struct slab_list reserve[POOL_MAX_PIECES + 1]; /* by number of pieces */
    uint64_t reserve_bytes;
    int64_t
        grown; /* bytes in magazines and out, less what went back to slabs, of which the module was not told yet */
    _Atomic uint64_t used; /* bit k: magazine k is */
    uint64_t
        idle; /* bit k: magazine k was found at rest, with objects in it; set in the lock, by purge() alone */
};

_Static_assert(SIZE_CLASS_COUNT <= 64, "a mask has a bit for each");

static inline uint64_t pool_value(const struct pool_arena *a, enum pool_param p)
{
    return atomic_load_explicit(&a->values[p], memory_order_relaxed);
}

/* Objects that are out, in the owner's magazine, or that others returned and the owner has not collected. */
static inline uint64_t slab_used(const struct slab *s)
{
    return count_load(&s->allocs) - count_load(&s->frees);
}

static inline size_t slab_bytes(const struct slab *s)
{
    return s->pieces * SLAB_PIECE_SIZE;
}

/* ---- pool.c: heaps ---------------------------------------------------------------------------- */

/* Announces that purge() will have work, unless it is announced already. */
void pool_announce(struct pool_arena *a);

/* A full slab has room again. By its thread, or while that is held, as the next. */
void pool_slab_has_room(struct pool_heap *h, struct slab *s);

/* A slab whose last object came home, and which is not current, is kept in reserve or goes back to its chunk. By its thread. */
void pool_slab_is_empty(struct pool_heap *h, struct slab *s);

/* The slab leaves its heap: to its chunk when it is empty (then as if freed at now_ms), else it is an orphan. */
void pool_leave_slab(struct pool_heap *h, struct slab *s, uint32_t now_ms);

/* ---- pool_magazine.c: by the heap's thread, or while that is held ------------------------------ */

/* Some objects of the slab go to the empty magazine. Its first free then is an event: there the peak is looked at.
 * listed: what the slab's free list consists of, where that is known, else 0. One that is not too long for the
 * magazine is taken whole, and not read: other threads' processors have written it, so that each object takes long to come to. */
void pool_fill_magazine(struct pool_heap *h, struct magazine *m, struct slab *s, uint32_t listed);

/* The magazine's objects go back to their slabs, and slabs that so become empty leave the heap, as if freed at now_ms. */
void pool_empty_magazine(struct pool_heap *h, struct magazine *m, uint32_t now_ms);

/* The op of sluice/backend.h. */
int pool_slab_event(void *arena, void *thread_state, void *magazine);

/* ---- pool_purge.c: ops of sluice/backend.h ---------------------------------------------------- */

size_t pool_purge(void *arena, uint64_t now, unsigned flags, uint64_t *next_due);
void pool_thread_flush(void *arena, void *thread_state);

/* ---- pool_stats.c: ops of sluice/backend.h ---------------------------------------------------- */

uint64_t pool_live_bytes(void *arena);
void pool_stats(void *arena, struct sluice_backend_stats *out);

/* ---- pool_slab.c: shape of slabs, and their lists -------------------------------------------- */

/* How many pieces a slab of a class has: as few as leave at most a 32nd over, and give four objects where so many fit. Of longer
 * objects (core/size_class.h): as few as fill fifteen sixteenths of a chunk with objects, or, where none do, most of it; four
 * objects up to 128 KiB.
 * tests/core/pool_test.c checks that. */
extern const uint8_t pool_pieces[SIZE_CLASS_COUNT];

/* The slab's pieces are the heap's thread's from now on; or nobody's, as SLAB_ORPHAN or SLAB_UNUSED says. */
void pool_own(const struct pool_heap *h, struct slab *s);
void pool_disown(struct slab *s, uintptr_t owner);

void slab_list_push(struct slab_list *list, struct slab *s);   /* in front */
void slab_list_append(struct slab_list *list, struct slab *s); /* behind */
void slab_list_remove(struct slab_list *list, struct slab *s);

/* Takes what other threads returned into the free list; the owner only. Returns the number of objects. */
uint32_t slab_collect(struct slab *s);

/* Hands out more of the slab's untouched memory. Returns the bytes; 0 when all of it was. The owner only. */
size_t slab_carve(struct slab *s);

/* Bytes of the slab that may have pages: those that were handed out, or those that had some before, if these are more. */
size_t slab_touched(const struct slab *s);

/* ---- pool_pages.c: pages inside free objects -------------------------------------------------- */

/* How many free objects the slab has whose pages could go back. In the arena's lock; a guess while the slab is used. */
unsigned pool_objects_with_pages(const struct slab *s);

/* Is that worth the chunk's huge page, if it is one? In the arena's lock. */
bool pool_chunk_gives_pages(const struct slab_chunk *c);

/* Gives them back. The slab's thread is held, or it is an orphan that nobody finds; not in the arena's lock. */
void pool_purge_inside(struct slab *s);

/* How many bytes of the slab's free objects are not there, about. */
size_t pool_pages_away(const struct slab *s);

/* ---- pool_chunk.c: pieces and chunks; all in the arena's lock --------------------------------- */

/* A slab of n pieces, not yet anybody's, or NULL. */
struct slab *pool_take_pieces(struct pool_arena *a, unsigned n);

/* The slab's pieces are free, with their pages. `now_ms`: 0: not purged by time but at once. */
void pool_give_pieces(struct pool_arena *a, struct slab *s, uint32_t now_ms);

/* Gives pages back: free pieces older than the time, beyond `keep` bytes. Returns the bytes; *next_ms gets the time when
 * the next are due, or 0. Unlocks during system calls. */
size_t pool_purge_chunks(struct pool_arena *a, uint32_t now_ms, uint32_t age_ms, uint64_t keep,
                         uint32_t *next_ms);

/* All objects are gone. Chunks that hold slabs are set aside as they are, so that this takes a moment for each and touches
 * neither a slab nor a chunk's record; they are made new one by one, when memory is wanted (pool_take_pieces) or by pool_renew_chunks(). */
void pool_end_chunks(struct pool_arena *a, uint32_t now_ms);
void pool_renew_chunks(struct pool_arena *a);

bool pool_add_chunk(struct pool_arena *a);
void pool_release_all(struct pool_arena *a);

uint32_t pool_ms(uint64_t now_ns); /* never 0 */

extern const struct sluice_backend_ops pool_ops;

#endif
