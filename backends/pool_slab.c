/* pool_slab.c - see pool.h. */
#include "backends/pool.h"

unsigned pool_pieces_of(unsigned size_class)
{
    size_t size = size_class_bytes[size_class];
    for (unsigned n = 1; n < POOL_MAX_PIECES; n++) {
        size_t total = n * SLAB_PIECE_SIZE, objects = total / size;
        if (objects >= 4 && (total - objects * size) * 32 <= total)
            return n;
    }
    return POOL_MAX_PIECES;
}

void slab_list_push(struct slab_list *list, struct slab *s)
{
    s->prev = NULL;
    s->next = list->first;
    if (list->first != NULL)
        list->first->prev = s;
    else
        list->last = s;
    list->first = s;
}

void slab_list_append(struct slab_list *list, struct slab *s)
{
    s->next = NULL;
    s->prev = list->last;
    if (list->last != NULL)
        list->last->next = s;
    else
        list->first = s;
    list->last = s;
}

void slab_list_remove(struct slab_list *list, struct slab *s)
{
    if (s->prev != NULL)
        s->prev->next = s->next;
    else
        list->first = s->next;
    if (s->next != NULL)
        s->next->prev = s->prev;
    else
        list->last = s->prev;
    s->next = s->prev = NULL;
}

uint32_t slab_collect(struct slab *s)
{
    if (atomic_load_explicit(&s->remote, memory_order_relaxed) == 0)
        return 0;
    uint64_t head = atomic_exchange_explicit(&s->remote, 0, memory_order_acquire);
    uint32_t n = (uint32_t)(head >> SLAB_REMOTE_SHIFT);
    void *first = (void *)(uintptr_t)(head & SLAB_REMOTE_MASK);
    void **last = first;
    while (*last != NULL)
        last = *last;
    *last = s->free;
    s->free = first;
    atomic_store_explicit(&s->frees, slab_load(&s->frees) + n, memory_order_relaxed);
    return n;
}

/* A page's worth at a time: links are written into the objects, and a page that is not needed yet should
 * not be touched. */
#define CARVE_BYTES ((size_t)4096)

size_t slab_carve(struct slab *s)
{
    uint32_t carved = atomic_load_explicit(&s->carved, memory_order_relaxed);
    uint32_t size = atomic_load_explicit(&s->object_size, memory_order_relaxed);
    uint32_t n = (uint32_t)(CARVE_BYTES / size);
    n = n == 0 ? 1 : n;
    n = n > s->capacity - carved ? s->capacity - carved : n;
    if (n == 0)
        return 0;
    char *p = s->base + (size_t)carved * size;
    for (uint32_t i = 0; i + 1 < n; i++, p += size)
        *(void **)p = p + size;
    *(void **)p = s->free;
    s->free = s->base + (size_t)carved * size;
    atomic_store_explicit(&s->carved, carved + n, memory_order_relaxed);
    return (size_t)n * size;
}

struct slab_chunk *slab_chunk_of(const struct slab *s)
{
    return (struct slab_chunk *)(pagemap_lookup(s->base) - PAGEMAP_SLABS);
}
