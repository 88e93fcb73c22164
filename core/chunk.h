/* chunk.h - the chunk source: address space in 2 MiB units, aligned, each run owned by one arena.
 *
 * Free runs are kept (without pages) up to a bound and joined with their neighbours; beyond it they are
 * unmapped. A run is handed out zero. The record of a run lies outside of it, so a run that is purged
 * costs no page.
 */
#ifndef SLUICE_CORE_CHUNK_H
#define SLUICE_CORE_CHUNK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sluice/backend.h>

#include "core/pagemap.h"

#define CHUNK_SIZE SLUICE_CHUNK_SIZE

struct chunk {
    struct sluice_arena *arena;
    char *base;
    size_t size;        /* bytes, whole chunks */
    void *data;         /* the owner's */
    size_t record_size; /* of this record: slab chunks have a longer one, with this one in front */
    bool huge;          /* advised to be huge pages; free address space never is */
    struct chunk *next, *prev; /* for the owner's list */
};

/* Takes a run and makes its record (record_size >= sizeof(struct chunk), zero-filled). `tag` is
 * PAGEMAP_SLABS or PAGEMAP_CHUNK. NULL without memory. Inside sections; takes chunk and meta locks. */
struct chunk *chunk_acquire(struct sluice_arena *arena, size_t size, size_t alignment,
                            size_t record_size, unsigned tag);

/* Gives run and record back. `clean`: all pages are gone already, and the run reads as zero. */
void chunk_release(struct chunk *chunk, bool clean);

/* Asks for huge pages on the whole run, or for none. Chunks come without. */
void chunk_set_huge(struct chunk *chunk, bool huge);

/* The chunk that holds an address, or NULL (also for slab chunks this is the record). */
static inline struct chunk *chunk_of(const void *p)
{
    uintptr_t entry = pagemap_lookup(p);
    if ((entry & (PAGEMAP_SLABS | PAGEMAP_CHUNK)) == 0)
        return NULL;
    return (struct chunk *)(entry & ~(uintptr_t)PAGEMAP_TAGS);
}

/* For backends that acquired with sluice_chunk_acquire(): a pointer of the owner's on the run, the
 * run's start. p is any address inside the run. */
void sluice_chunk_set_data(void *run, void *data);
void *sluice_chunk_data(const void *p);
void *sluice_chunk_base(const void *p);

/* Address space: in chunks that arenas own, and kept free. */
void chunk_totals(uint64_t *owned, uint64_t *reserved);

#endif
