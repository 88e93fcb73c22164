/* blockpool.c - see blockpool.h. */
#include "tools/demo/blockpool.h"

#include <pthread.h>

#include "tools/demo/layer.h"

#define PIECES         (BLOCKPOOL_BLOCK / BLOCKPOOL_PIECE)
#define PRIVATE_PIECES (BLOCKPOOL_PRIVATE / BLOCKPOOL_PIECE)

struct blockpool_block {
    char *memory;      /* BLOCKPOOL_BLOCK bytes */
    size_t free_count; /* pieces on the pool's list */
    struct blockpool_piece pieces[PIECES];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct blockpool_piece *free_pieces; /* of all blocks */

static void push(struct blockpool_piece **list, struct blockpool_piece *piece)
{
    piece->next = *list;
    piece->link = list;
    if (piece->next != NULL)
        piece->next->link = &piece->next;
    *list = piece;
}

static void unlink_piece(struct blockpool_piece *piece)
{
    *piece->link = piece->next;
    if (piece->next != NULL)
        piece->next->link = piece->link;
}

/* The pool's lock is held in the next three. */

static void give_to_pool(struct blockpool_piece *piece)
{
    struct blockpool_block *block = piece->block;
    push(&free_pieces, piece);
    if (++block->free_count < PIECES)
        return;
    for (size_t i = 0; i < PIECES; i++)
        unlink_piece(&block->pieces[i]);
    demo_free(block->memory, BLOCKPOOL_BLOCK);
    demo_free(block, sizeof(*block));
}

static void add_block(void)
{
    struct blockpool_block *block = demo_alloc(DEMO_BLOCKPOOL, sizeof(*block));
    block->memory = demo_alloc(DEMO_BLOCKPOOL, BLOCKPOOL_BLOCK);
    block->free_count = PIECES;
    for (size_t i = 0; i < PIECES; i++) {
        block->pieces[i].memory = block->memory + i * BLOCKPOOL_PIECE;
        block->pieces[i].block = block;
        push(&free_pieces, &block->pieces[i]);
    }
}

static struct blockpool_piece *take_from_pool(void)
{
    if (free_pieces == NULL)
        add_block();
    struct blockpool_piece *piece = free_pieces;
    unlink_piece(piece);
    piece->block->free_count--;
    return piece;
}

struct blockpool_piece *blockpool_take(struct blockpool_cache *cache)
{
    struct blockpool_piece *piece = cache->first;
    if (piece != NULL) {
        unlink_piece(piece);
        cache->count--;
        return piece;
    }
    pthread_mutex_lock(&lock);
    piece = take_from_pool();
    pthread_mutex_unlock(&lock);
    return piece;
}

void blockpool_give(struct blockpool_cache *cache, struct blockpool_piece *piece)
{
    if (cache->count < PRIVATE_PIECES) {
        push(&cache->first, piece);
        cache->count++;
        return;
    }
    pthread_mutex_lock(&lock);
    give_to_pool(piece);
    pthread_mutex_unlock(&lock);
}

void blockpool_flush(struct blockpool_cache *cache)
{
    pthread_mutex_lock(&lock);
    while (cache->first != NULL) {
        struct blockpool_piece *piece = cache->first;
        unlink_piece(piece);
        give_to_pool(piece);
    }
    cache->count = 0;
    pthread_mutex_unlock(&lock);
}
