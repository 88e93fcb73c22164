/* blockpool.h - the global pool of the field report, as its program had it.
 *
 *   block: 2 MiB from the allocator, cut into 32 pieces of 64 KiB
 *   piece: on its thread's private list (8 MiB of them), or on the pool's, or with the program
 *
 * A thread takes from its private list, then from the pool's, then the pool takes one more block.
 * What exceeds a private list goes to the pool, and a block is given back to the allocator when all
 * its pieces are there.
 */
#ifndef SLUICE_TOOLS_DEMO_BLOCKPOOL_H
#define SLUICE_TOOLS_DEMO_BLOCKPOOL_H

#include <stddef.h>

#define BLOCKPOOL_BLOCK   ((size_t)2 << 20)
#define BLOCKPOOL_PIECE   ((size_t)64 << 10)
#define BLOCKPOOL_PRIVATE ((size_t)8 << 20)

struct blockpool_piece {
    void *memory; /* BLOCKPOOL_PIECE bytes */
    struct blockpool_block *block;
    struct blockpool_piece *next, **link; /* on a list */
};

/* A thread's private list, to be zeroed at first. */
struct blockpool_cache {
    struct blockpool_piece *first;
    size_t count;
};

struct blockpool_piece *blockpool_take(struct blockpool_cache *cache);

/* The piece may come from another thread's take. */
void blockpool_give(struct blockpool_cache *cache, struct blockpool_piece *piece);

/* Hands the private list to the pool. */
void blockpool_flush(struct blockpool_cache *cache);

#endif
