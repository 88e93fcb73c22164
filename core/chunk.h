/* chunk.h - the chunk source: address space in 2 MiB units, aligned, each run owned by one arena.
 *
 * Free runs are kept (without pages) up to a bound and joined with their neighbours; beyond it they are
 * unmapped. A run is handed out zero. The record of a run lies outside of it, so a run that is purged
 * costs no page.
 */
#ifndef SLUICE_CORE_CHUNK_H
#define SLUICE_CORE_CHUNK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sluice/backend.h>

#include "core/os.h"
#include "core/pagemap.h"

#define CHUNK_SIZE SLUICE_CHUNK_SIZE

/* Bytes of page_class. */
#define CHUNK_CLASSES(size) ((size) / OS_PAGE_SIZE)

struct chunk {
    struct sluice_arena *arena;
    char *base;
    _Atomic(uint8_t *) page_class; /* one for each page: see core/direct.h; or NULL */
    _Atomic uint32_t arena_id;     /* where page_class is: the arena's */
    size_t size;                   /* bytes, whole chunks */
    void *data;                    /* the owner's */
    size_t record_size; /* of this record: slab chunks have a longer one, with this one in front */
    _Atomic bool huge;  /* advised to be huge pages; free address space never is */
    bool mixed;         /* the owner gave advice of its own, on parts */
    bool stale;         /* the content is not known to be zero */
    struct chunk *next, *prev; /* for the owner's list */
};

/* Takes a run and makes its record (record_size >= sizeof(struct chunk), zero-filled). `tag` is
 * PAGEMAP_SLABS or PAGEMAP_CHUNK. The run is zero; with `any_content` it may be a lazy one, and then is
 * `stale`. NULL without memory. Inside sections; takes chunk and meta locks. */
struct chunk *chunk_acquire(struct sluice_arena *arena, size_t size, size_t alignment,
                            size_t record_size, unsigned tag, bool any_content);

/* Gives run and record back. `clean`: all pages are gone already, and the run reads as zero. */
void chunk_release(struct chunk *chunk, bool clean);

/* Asks for huge pages on the whole run, or for none. Chunks come without, except that lazy ones come as they were. */
void chunk_set_huge(struct chunk *chunk, bool huge);

/* The chunk that holds an address, or NULL (also for slab chunks this is the record). */
static inline struct chunk *chunk_of(const void *p)
{
    uintptr_t entry = pagemap_lookup(p);
    if ((entry & (PAGEMAP_SLABS | PAGEMAP_CHUNK)) == 0)
        return NULL;
    return (struct chunk *)(entry & ~(uintptr_t)PAGEMAP_TAGS);
}

/* Lazy runs: how long a run that was given back is left to the kernel (MADV_FREE: it takes the pages when it needs
 * memory) before its pages are dropped; until then it costs no page fault to use it again, also for another module. 0:
 * pages are dropped at once. Outside sections. */
void chunk_set_lazy(uint64_t nanoseconds);

/* Drops the pages of runs that have been lazy for so long; of all when `all`. Returns the bytes. *next_due: when there is
 * more to do, or UINT64_MAX. */
size_t chunk_expire_lazy(uint64_t now, bool all, uint64_t *next_due);

/* For backends that acquired with sluice_chunk_acquire(): a pointer of the owner's on the run, the
 * run's start. p is any address inside the run. */
void sluice_chunk_set_data(void *run, void *data);
void *sluice_chunk_data(const void *p);
void *sluice_chunk_base(const void *p);

/* As sluice_chunk_acquire(), of any content: *stale tells whether it may be other than zero. What was advised on huge
 * pages holds still, see chunk_set_huge(). */
void *sluice_chunk_acquire_any(struct sluice_arena *owner, size_t size, size_t alignment,
                               bool *stale);

/* Address space: in chunks that arenas own, kept free, and of the latter lazy. */
void chunk_totals(uint64_t *owned, uint64_t *reserved, uint64_t *lazy);

#endif
