/* mmap.h - the parts of the mmap backend, for its own files.
 *
 *                       struct mmap_arena
 *        bins[0..10]           large              idle
 *            │                   │                  │
 *     struct mmap_chunk   struct mmap_run    struct mmap_run
 *     a shared chunk: objects   one object of a      the run of an object that is
 *     below 2 MiB, packed by    chunk or more, in    gone, kept for reuse
 *     pages (page_map.h)        a chunk run of its own
 *
 * Both kinds of record begin with a struct mmap_home, which hangs on the chunk run
 * (sluice_chunk_set_data), so that any address leads to it in constant time.
 *
 * Bytes: live = in objects; kept = free, but the system was not told yet. What is charged to the
 * module's limit is live + kept, always: bytes on their way to the system are uncharged when they
 * have arrived. In the arenas of a phase kept bytes are not charged: its end keeps what the instance
 * used, for the next one, as the other backends do.
 */
#ifndef SLUICE_BACKENDS_MMAP_H
#define SLUICE_BACKENDS_MMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sluice/backend.h>

#include "backends/page_map.h"
#include "core/lock.h"

#define MMAP_BINS \
    11 /* by the binary logarithm of the longest free run, plus one; 0: a full chunk */
#define MMAP_IDLE_BINS 64 /* by the number of chunks; the last one for all that are longer */

enum mmap_home_kind { MMAP_SHARED = 1, MMAP_LARGE };

/* Where an object lives: the start of mmap_chunk and of mmap_run. */
struct mmap_home {
    enum mmap_home_kind kind;
    char *base;
};

struct mmap_chunk {
    struct mmap_home home;
    struct mmap_chunk *next, *prev;             /* its bin */
    struct mmap_chunk *dirty_next, *dirty_prev; /* chunks with dirty pages */
    uint32_t freed_ms;                          /* when pages of it last became dirty */
    uint16_t pending;                           /* threads that give pages of it back right now */
    uint8_t bin;
    bool is_dirty_listed;
    bool
        is_stale; /* pages that are not dirty may have any content, as long as nobody purged them */
    struct page_map map;
};

struct mmap_run {
    struct mmap_home home;
    struct mmap_run *next, *prev;   /* large, or its idle bin */
    struct mmap_run *older, *newer; /* idle: by the time of the free */
    size_t pages;                   /* of the object; idle: those that may be resident */
    size_t capacity;                /* pages of address space */
    uint32_t freed_ms;
    bool is_live;
    bool is_split; /* advice on huge pages holds for a part of it */
    bool is_moved; /* its pages were another run's: a mapping of its own */
};

enum mmap_huge { MMAP_HUGE_NEVER, MMAP_HUGE_AUTO, MMAP_HUGE_ALWAYS };

struct mmap_arena {
    struct lock lock; /* everything below it */
    struct sluice_arena *owner;
    uint32_t reuse_ms;
    size_t reuse_limit; /* bytes; 0: none */
    enum mmap_huge huge;

    struct mmap_chunk *bins[MMAP_BINS];
    struct mmap_chunk *dirty_first, *dirty_last;
    size_t dirty_chunks;
    struct mmap_chunk *
        spare; /* one empty clean chunk, so that a lone object does not fetch and return it again */
    struct mmap_run *large;

    uint64_t idle_mask;
    struct mmap_run *idle[MMAP_IDLE_BINS];
    struct mmap_run *oldest, *newest;

    uint64_t live_bytes, kept_bytes, record_bytes;
    uint64_t allocated, freed;
    bool purge_armed; /* purge() has been asked for */
};

/* Time for the ages of free pages, in ms. Wraps; only differences count. */
uint32_t mmap_now_ms(void);

/* Charges bytes to the limit; when it is reached, gives the arena's kept bytes back and tries
 * again. Not in the lock. */
bool mmap_charge(struct mmap_arena *a, size_t bytes);

/* In the lock: may `bytes` more of freed objects be kept for reuse? When so, counts them and asks
 * for purge() in time. */
bool mmap_keep(struct mmap_arena *a, size_t bytes);

/* Bytes that were kept are so no more: uncharges them, unless kept bytes are not charged. */
void mmap_uncharge_kept(struct mmap_arena *a, size_t bytes);

/* The arena belongs to an instance of a phase. */
bool mmap_is_of_phase(const struct mmap_arena *a);

/* ---- mmap_shared.c: objects below a chunk. The lock is taken inside, unless said otherwise. -- */

void *mmap_shared_alloc(struct mmap_arena *a, size_t pages, size_t alignment, bool zero);
size_t mmap_shared_free(struct mmap_arena *a, struct mmap_chunk *c, void *p);
/* Usable bytes of a live object; needs no lock. */
size_t mmap_shared_size(const struct mmap_chunk *c, const void *p);
bool mmap_shared_is_object(struct mmap_arena *a, const struct mmap_chunk *c, const void *p);
bool mmap_shared_resize(struct mmap_arena *a, struct mmap_chunk *c, void *p, size_t pages);

/* Gives back pages that have been dirty for age_ms; age 0: all, and the spare chunk. Returns the
 * bytes. *next_ms is lowered to the time until more will be due. */
size_t mmap_shared_purge(struct mmap_arena *a, uint32_t age_ms, uint32_t *next_ms);

/* Nobody is inside the arena: every object ends. What the objects had is kept; what was kept already
 * and not used since the last time goes. In the lock. */
void mmap_shared_end_all(struct mmap_arena *a);
void mmap_shared_drop_all(struct mmap_arena *a); /* the same for good: nothing is kept */

/* ---- mmap_large.c: objects of a chunk or more ------------------------------------------------ */

void *mmap_large_alloc(struct mmap_arena *a, size_t pages, size_t alignment, bool zero,
                       size_t *usable);
size_t mmap_large_free(struct mmap_arena *a, struct mmap_run *r, void *p);
bool mmap_large_resize(struct mmap_arena *a, struct mmap_run *r, size_t pages);

/* An object that outgrew its place gets a run with room to grow twice as large, and its content, where that needs no copy of
 * much: the pages of a run are moved. NULL: no memory or the limit forbids, and the object is as it was. */
void *mmap_large_grow(struct mmap_arena *a, struct mmap_run *r, size_t pages);
void *mmap_large_outgrow(struct mmap_arena *a, const void *p, size_t had, size_t pages);
size_t mmap_large_purge(struct mmap_arena *a, uint32_t age_ms, uint32_t *next_ms);
void mmap_large_end_all(struct mmap_arena *a); /* as mmap_shared_end_all() */
void mmap_large_drop_all(struct mmap_arena *a);

#endif
