/* meta.h - Sluice's own memory. It never comes from malloc, so that Sluice can be malloc.
 *
 * Two shapes:
 *   - records (meta_alloc): long-lived structs that come and go one by one. Sizes are rounded up to 64 bytes,
 *     and kept on free lists by size: memory that was a record stays a record of the same size for the life of
 *     the process, so a late reader through a stale pointer reads old data but never faults.
 *   - regions (meta_region): many things that die together, such as one policy. Bump allocation under a budget; destroying
 *     the region unmaps it, or keeps its blocks for the next one.
 */
#ifndef SLUICE_CORE_META_H
#define SLUICE_CORE_META_H

#include <stddef.h>
#include <stdint.h>

/* Zero-filled, aligned to 64 bytes. NULL without memory. Any thread; inside sections. */
void *meta_alloc(size_t size);
/* The same for what the fast path touches: several of that size, up to 2 KiB, lie side by side in their pages, so that many
 * modules take few of the processor's address translations. */
void *meta_alloc_beside(size_t size);
void meta_free(void *p, size_t size); /* the size that was asked for; NULL does nothing */

/* Bytes that meta_alloc and regions have mapped; pages that were never touched are not resident. */
size_t meta_mapped_bytes(void);

/* Those of them that are in use: not free records, nor what records will be cut from. */
size_t meta_used_bytes(void);

struct meta_region;

/* budget: bytes that the region may map at most; 0: no bound. NULL without memory. */
struct meta_region *meta_region_create(size_t budget);
/* The same without budget, growing by single pages: for a handful of short strings. */
struct meta_region *meta_region_create_small(void);
void meta_region_destroy(struct meta_region *region); /* NULL does nothing */

/* Zero-filled, aligned to 16. NULL without memory or over the budget. One thread at a time for a region. */
void *meta_region_alloc(struct meta_region *region, size_t size);
char *meta_region_strndup(struct meta_region *region, const char *s, size_t length);
int meta_region_exhausted(
    const struct meta_region *region); /* the budget was the reason of a NULL */

/* Until that time (CLOCK_MONOTONIC, ns) the blocks of regions that are destroyed are kept, up to 1 MiB, for regions to come:
 * unmapping interrupts every thread of the process, so that its processor forgets addresses, and those that allocate notice.
 * For what happens again and again, such as reloads. A later time counts. In the reload lock. */
void meta_keep_blocks(uint64_t until);

/* Unmaps what is kept when its time has come. *next_due: when that is, or UINT64_MAX. In the maintenance lock. */
void meta_expire_blocks(uint64_t now, uint64_t *next_due);

#endif
