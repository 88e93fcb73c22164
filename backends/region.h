/* region.h - bump allocation for phases, inside: pieces of threads in chunks, large objects apart.
 *
 *     arena ─┬─ open, full   chunks that this epoch's pieces lie in; `open` ones have room
 *            ├─ idle         chunks that a reset emptied: kept warm, taken first
 *            ├─ large        one object each, in a run of chunks of its own
 *            ├─ idle_large   the runs of large objects that are gone
 *            ├─ spans        what threads that have gone left of their pieces
 *            └─ active       heaps that this epoch has seen
 *
 *     chunk  ┌───────────┬──────────┬─────────┬──────────────────────┐
 *            │ piece of A│ piece of B│ medium │ (not handed out yet) │
 *            └───────────┴──────────┴─────────┴──────────────────────┘
 *                                             ^ used
 *
 *   piece    64 to 256 KiB that a thread bumps through (core/bump.h). Pages come as they are touched.
 *   medium   an object that would leave too much of a piece unused: straight from the chunk.
 *   large    an object of more than 1 MiB, or of an alignment beyond that.
 *   epoch    the time between two resets. A reset empties what lists have, and every cursor, so its
 *            time goes with chunks and pieces. A heap that did nothing in an epoch is not on `active`,
 *            and finds by the number of its epoch that it has to join.
 *
 * Bytes. What is charged to the module's limit is what was handed out: pieces whole, and large
 * objects. Freed objects stay charged until the reset, because their memory is not there for others.
 * Two figures of a chunk tell how much of it is resident: `touched`, and the ends of pieces below it
 * that nobody came to.
 *
 * Everything is in the arena's lock, but for what a heap's thread alone writes.
 */
#ifndef SLUICE_BACKENDS_REGION_H
#define SLUICE_BACKENDS_REGION_H

#include <stdbool.h>
#include <stdint.h>

#include <sluice/backend.h>

#include "core/bump.h"
#include "core/chunk.h"
#include "core/lock.h"

enum region_param { REGION_RETAIN, REGION_PURGE_AFTER, REGION_HUGE_PAGES, REGION_PARAMS };
enum region_huge { REGION_HUGE_NEVER, REGION_HUGE_AUTO, REGION_HUGE_ALWAYS };

enum region_state {
    REGION_OPEN,
    REGION_FULL,
    REGION_IDLE,
    REGION_LARGE,
    REGION_IDLE_LARGE,
    REGION_AWAY /* on no list: purge() gives pages of it back */
};

#define REGION_PIECE_FIRST    ((size_t)64 << 10)
#define REGION_PIECE_MAX      ((size_t)256 << 10)
#define REGION_MEDIUM         ((size_t)32 << 10) /* objects above it may get memory of their own */
#define REGION_LARGEST_SHARED ((size_t)1 << 20)
#define REGION_LARGE_BINS     32 /* by the number of chunks; the last one for all that are longer */

struct region_chunk {
    struct chunk chunk; /* first: the pagemap leads to it */
    bool is_large;      /* a run of large objects; never changes, so anyone may look */
    enum region_state state;
    size_t used;         /* handed out, from the start; of a large object: its usable bytes */
    size_t touched;      /* from the start; may be resident from before this epoch */
    size_t holes;        /* bytes below `touched` that are not */
    size_t rests;        /* ends of this epoch's pieces that stayed untouched */
    uint64_t idle_since; /* CLOCK_MONOTONIC, ns */
};

struct region_list {
    struct region_chunk *first, *last;
};

/* The end of a piece whose thread has gone. */
struct region_span {
    char *base, *end;
    char *touched; /* in between: what lies before may be resident */
    struct region_span *next;
};

struct region_heap {
    struct bump bump;                /* first: the core knows this part */
    struct region_heap *next, *prev; /* active */
    uint64_t epoch;
    char *start;             /* of the piece: where its first object goes; written in the lock */
    _Atomic(char *) touched; /* of the piece: what lies before may be resident, and not zero */
    size_t piece_size;       /* of the last one */
    /* bump.objects at the time when the piece had no objects; how many of those since then this thread freed. */
    uint64_t start_objects, piece_freed;
    /* One writer. Usable bytes that were allocated = extra + (bump.next - start) - 8 * bump.objects. */
    _Atomic uint64_t extra, freed, freed_bytes;
};

struct region_arena {
    struct sluice_arena *owner;
    uint64_t epoch, seal; /* change while nobody is inside */
    _Atomic uint64_t values[REGION_PARAMS];

    struct lock lock __attribute__((aligned(64))); /* everything below it */
    struct region_list open, full, idle, large, idle_large[REGION_LARGE_BINS];
    struct region_span *spans;
    struct region_heap *active;
    uint64_t chunk_count; /* without runs of large objects */
    uint64_t idle_bytes;  /* resident in idle chunks and runs */
    uint64_t away_bytes;  /* in those that are on their way to the system */
    uint64_t charged;
    uint64_t record_bytes;
    uint64_t large_objects;
    bool purge_armed; /* purge() has been asked for */
    /* Of heaps that are gone, and of the epochs before. */
    uint64_t past_objects, past_bytes, past_freed, past_freed_bytes;
};

static inline uint64_t region_value(const struct region_arena *a, enum region_param p)
{
    return atomic_load_explicit(&a->values[p], memory_order_relaxed);
}

static inline uint64_t region_load(const _Atomic uint64_t *n)
{
    return atomic_load_explicit(n, memory_order_relaxed);
}

static inline char *region_pointer(char *const _Atomic *p)
{
    return atomic_load_explicit(p, memory_order_relaxed);
}

static inline void region_set_pointer(char *_Atomic *p, char *value)
{
    atomic_store_explicit(p, value, memory_order_relaxed);
}

static inline void region_add(_Atomic uint64_t *n, uint64_t more)
{
    atomic_store_explicit(n, atomic_load_explicit(n, memory_order_relaxed) + more,
                          memory_order_relaxed);
}

/* ---- region_heap.c: pieces of threads. The heap's thread, or who keeps it out; see region.h on the lock ---- */

/* Usable bytes of all that the heap allocated in this epoch. Anyone, in the lock. */
uint64_t region_allocated(const struct region_heap *h);

/* Bytes at the end of its piece that are not resident. Anyone, in the lock. */
uint64_t region_heap_untouched(const struct region_heap *h);

/* What lies before the cursor is not zero, wherever the cursor goes. */
void region_note_touched(struct region_heap *h);

/* The cursor goes back; what it gives up was allocated all the same. */
void region_move_back(struct region_heap *h, char *to);

/* In the lock. [base, end) is the heap's piece from now on; NULL: none. */
void region_set_piece(struct region_heap *h, char *base, char *end, char *touched);

/* In the lock. The unused end of the piece is nobody's in this epoch. */
void region_leave_piece(struct region_heap *h);

/* In the lock. The heap leaves this epoch, and its counts stay with the arena. */
void region_deactivate(struct region_arena *a, struct region_heap *h);

/* A heap that is not there, or from an epoch before. NULL without memory. */
struct region_heap *region_heap_renew(struct region_arena *a, void **thread_state);

/* The thread's heap, in this epoch. NULL without memory. */
static inline struct region_heap *region_heap_in(struct region_arena *a, void **thread_state)
{
    struct region_heap *h = *thread_state;
    return __builtin_expect(h != NULL && h->epoch == a->epoch, 1)
               ? h
               : region_heap_renew(a, thread_state);
}

void region_thread_exit(void *arena, void *thread_state);

/* ---- region_chunk.c: chunks, pieces and runs. In the arena's lock, unless said otherwise. ------ */

/* Memory of at least `need` bytes, `want` if that can be had; both multiples of 64. It is charged. false: no memory, or
 * the limit. Pages before *touched may be resident and other than zero. */
bool region_take(struct region_arena *a, size_t need, size_t want, char **base, char **end,
                 char **touched);

/* Takes the end of a piece back, [base, end). */
void region_give(struct region_arena *a, char *base, char *end, char *touched);

/* The end of a piece that nobody will use in this epoch. */
void region_abandon(char *base, char *end, char *touched);

/* Not in the lock. */
void *region_large_alloc(struct region_arena *a, size_t size, size_t alignment, bool zero,
                         size_t *usable);
size_t region_large_free(struct region_arena *a, struct region_chunk *c, void *p);
bool region_large_resize(struct region_arena *a, struct region_chunk *c, size_t size);

/* Everything that was handed out is free again, and idle. */
void region_drop_all(struct region_arena *a, uint64_t now);

/* Gives idle memory back. Unlocks during system calls. Returns the bytes; *next_due as purge() says it. */
size_t region_purge_idle(struct region_arena *a, uint64_t now, bool force, uint64_t *next_due);

/* Resident bytes, as far as can be told: of all chunks and runs, if pieces in threads' hands were so to their ends. */
uint64_t region_resident(struct region_arena *a);

/* The bytes to subtract from that for the end of a piece which nobody came to. */
uint64_t region_untouched(const char *from, const char *end);

/* For the end of the arena. */
void region_release_all(struct region_arena *a);

/* Not in the lock: asks for purge() when idle memory will be due. */
void region_announce(struct region_arena *a, uint64_t now);

/* The chunk or run that an address lies in; the address is in one. */
static inline struct region_chunk *region_chunk_of(const void *p)
{
    return (struct region_chunk *)chunk_of(p);
}

#endif
