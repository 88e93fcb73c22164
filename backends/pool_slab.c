/* pool_slab.c - see pool.h. */
#include "backends/pool.h"

const uint8_t pool_pieces[SIZE_CLASS_COUNT] = {
    /* clang-format off */
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 1, 1, 3, 3, 2,
    4, 2, 2, 4, 8, 4, 4, 8, 16, 8, 8, 16, 15, 8, 16, 4, 5, 16, 7, 8, 9,
    1, 2, 3, 4, 6, 8, 16, 8,
    /* clang-format on */
};

static void set_owner(struct slab *s, uintptr_t owner)
{
    _Atomic uintptr_t *of = &slab_chunk_of(s)->owner[s->index];
    for (unsigned i = 0; i < s->pieces; i++)
        atomic_store_explicit(&of[i], owner, memory_order_relaxed);
}

void pool_own(const struct pool_heap *h, struct slab *s)
{
    set_owner(s, h->token);
    home_set(s->base, s->pieces, &h->fast.magazine[s->size_class], h->mark);
}

void pool_disown(struct slab *s, uintptr_t owner)
{
    home_forget(s->base, s->pieces);
    set_owner(s, owner);
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
    if (s->free != NULL) { /* else the list need not be read: others' processors wrote it */
        void **last = first;
        while (*last != NULL)
            last = *last;
        *last = s->free;
    }
    s->free = first;
    count_add(&s->frees, n);
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
    char *first = s->base + (size_t)carved * size;
    /* Chunks begin at equal places of the processor's caches, so the first objects of many slabs would get in each other's
     * way: in each chunk another object of the page comes first. */
    uint32_t at = (uint32_t)((uintptr_t)s->base / CHUNK_SIZE) % n;
    void *list = s->free;
    for (uint32_t i = 0; i < n; i++) {
        at = at == 0 ? n - 1 : at - 1;
        void *p = first + (size_t)at * size;
        *(void **)p = list;
        list = p;
    }
    s->free = list;
    atomic_store_explicit(&s->carved, carved + n, memory_order_relaxed);
    return (size_t)n * size;
}

size_t slab_touched(const struct slab *s)
{
    size_t handed = ((size_t)s->carved * s->object_size + OS_PAGE_SIZE - 1) & -OS_PAGE_SIZE;
    return handed > s->had_bytes ? handed : s->had_bytes;
}
