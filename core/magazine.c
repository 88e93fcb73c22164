/* magazine.c - see magazine.h. */
#include "core/magazine.h"

#include "core/limit.h"
#include "core/meta.h"
#include "core/place.h"

/* What a magazine holds at most: so many objects, and that part of what a thread may keep of its module's limit. */
#define OBJECTS_MAX      64
#define PARTS_OF_ADVANCE 16

_Static_assert(MAGAZINE_COUNT == 8 + 4 * 5, "classes up to 128, and of five doublings");

/* Objects without a header lie at multiples of their size from a page on; with one, they come as the backend likes. */
static uint32_t alignment_mask(const struct sluice_arena *a, uint32_t size)
{
    bool header = (a->ops->capabilities & SLUICE_BACKEND_OWNS_ADDRESS_SPACE) == 0;
    return (header ? 16u : size & -size) - 1u;
}

struct slab *heap_bin(struct heap *h, size_t size)
{
    if (size > MAGAZINE_SIZE_MAX || !heap_wants_magazines(h))
        return &h->stand_in;
    if (h->magazines == NULL) {
        struct slab *made = meta_alloc(MAGAZINE_COUNT * sizeof *made);
        if (made == NULL)
            return &h->stand_in;
        for (unsigned k = 0; k < MAGAZINE_COUNT; k++) {
            made[k].owner = SLAB_UNUSED;
            made[k].base = (char *)h;
            made[k].capacity = SLAB_MARK_DIRECT;
            made[k].event_at = 1; /* the first free sets when there are too many */
            made[k].object_size = size_class_bytes[k];
            made[k].carved = alignment_mask(h->arena, size_class_bytes[k]);
        }
        lock_acquire(&h->arena->heaps_lock); /* others may be counting */
        h->magazines = made;
        lock_release(&h->arena->heaps_lock);
    }
    return &h->magazines[size_class_of(size)];
}

/* NULL without memory. */
static uint8_t *make_classes(struct chunk *c)
{
    uint8_t *made = meta_alloc(CHUNK_CLASSES(c->size)), *other = NULL;
    if (made == NULL ||
        atomic_compare_exchange_strong_explicit(&c->page_class, &other, made, memory_order_acq_rel,
                                                memory_order_acquire))
        return made;
    meta_free(made, CHUNK_CLASSES(c->size));
    return other;
}

void magazine_note_class(const void *p, size_t usable)
{
    struct chunk *c = chunk_of(p);
    uint8_t class = (uint8_t)(magazine_class(usable) + 1u);
    uint8_t *classes = atomic_load_explicit(&c->page_class, memory_order_acquire);
    if (classes == NULL && (class == 0 || (classes = make_classes(c)) == NULL))
        return;
    size_t page = (size_t)((const char *)p - c->base) / OS_PAGE_SIZE;
    if (__atomic_load_n(&classes[page], __ATOMIC_RELAXED) != class)
        __atomic_store_n(&classes[page], class, __ATOMIC_RELAXED);
}

void magazine_expect_absent(const struct slab *m, const void *p)
{
    for (const void *q = m->free; q != NULL; q = *(void *const *)q)
        if (q == p)
            slab_refuse(p);
}

/* Objects leave the magazine as if they were allocated, and were never allocated before: so the sums over the heap's and the
 * magazines' counters stay what they were. */
static void give_back(struct heap *h, struct slab *m, uint64_t count)
{
    struct sluice_arena *a = h->arena;
    bool header = (a->ops->capabilities & SLUICE_BACKEND_OWNS_ADDRESS_SPACE) == 0;
    size_t size = m->object_size;
    for (uint64_t i = 0; i < count; i++) {
        char *p = m->free;
        m->free = *(void **)p;
        if (header) {
            header_erase(p);
            p -= HEADER_SIZE;
        }
        a->ops->free(a->instance, &h->state, p);
        limit_give(h, size);
    }
    atomic_store_explicit(&m->allocs, slab_load(&m->allocs) + count, memory_order_relaxed);
    atomic_store_explicit(&h->allocated, slab_load(&h->allocated) - count, memory_order_relaxed);
    atomic_store_explicit(&h->allocated_bytes, slab_load(&h->allocated_bytes) - count * size,
                          memory_order_relaxed);
}

static uint64_t kept_in(const struct slab *m)
{
    return slab_load(&m->frees) - slab_load(&m->allocs);
}

void magazine_event(struct slab *m)
{
    struct heap *h = (struct heap *)m->base;
    uint64_t frees = slab_load(&m->frees);
    /* What was just freed was still part of the peak. */
    atomic_store_explicit(&m->frees, frees - 1, memory_order_relaxed);
    heap_note_turn(h);
    atomic_store_explicit(&m->frees, frees, memory_order_relaxed);
    uint64_t most = (uint64_t)limit_advance(h->arena->module) / PARTS_OF_ADVANCE / m->object_size;
    most = most < OBJECTS_MAX ? most : OBJECTS_MAX;
    uint64_t kept = kept_in(m);
    if (kept > most) {
        give_back(h, m, kept - most / 2);
        kept = most / 2;
    }
    m->event_at = frees + most - kept + 1;
}

void magazines_flush(struct heap *h)
{
    for (unsigned k = 0; h->magazines != NULL && k < MAGAZINE_COUNT; k++)
        give_back(h, &h->magazines[k], kept_in(&h->magazines[k]));
}

void magazines_free(struct heap *h)
{
    meta_free(h->magazines, MAGAZINE_COUNT * sizeof *h->magazines);
    h->magazines = NULL;
}

void magazines_add(const struct heap *h, struct magazine_sums *sums)
{
    if (h->magazines == NULL)
        return;
    sums->own_bytes += MAGAZINE_COUNT * sizeof *h->magazines;
    for (unsigned k = 0; k < MAGAZINE_COUNT; k++) {
        const struct slab *m = &h->magazines[k];
        uint64_t frees = slab_load(&m->frees), allocs = slab_load(&m->allocs);
        sums->freed += frees;
        sums->freed_bytes += frees * m->object_size;
        sums->allocated += allocs;
        sums->allocated_bytes += allocs * m->object_size;
        if (frees > allocs) { /* a torn reading of a busy thread */
            sums->kept += frees - allocs;
            sums->kept_bytes += (frees - allocs) * m->object_size;
        }
    }
}
