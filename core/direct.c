/* direct.c - see direct.h. */
#include "core/direct.h"

#include "core/alloc.h"
#include "core/limit.h"
#include "core/meta.h"

/* What a magazine holds at most: so many objects, and that part of what a thread may keep of its module's limit. */
#define OBJECTS_MAX      64
#define PARTS_OF_ADVANCE 16

_Static_assert(DIRECT_CLASSES == 8 + 4 * 5, "classes up to 128, and of five doublings");

const uint16_t direct_low_bits[DIRECT_CLASSES + 1] = {
    /* clang-format off */
    0, /* none */
    15, 31, 15, 63, 15, 31, 15, 127,
    31, 63, 31, 255, 63, 127, 63, 511,
    127, 255, 127, 1023, 255, 511, 255, 2047,
    511, 1023, 511, 4095,
    /* clang-format on */
};

struct magazine *direct_bin(struct heap *h, size_t size)
{
    if (size > DIRECT_SIZE_MAX || !heap_wants_magazines(h))
        return &h->stand_in;
    if (h->magazines == NULL) {
        struct magazine *made = meta_alloc_beside(DIRECT_CLASSES * sizeof *made);
        if (made == NULL)
            return &h->stand_in;
        for (unsigned k = 0; k < DIRECT_CLASSES; k++) {
            magazine_init(&made[k], MAGAZINE_DIRECT, h->arena->id, k);
            magazine_arm(&made[k], 1); /* the first free sets when there are too many */
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
    atomic_store_explicit(&c->arena_id, c->arena->id, memory_order_relaxed);
    uint8_t *made = meta_alloc(CHUNK_CLASSES(c->size)), *other = NULL;
    if (made == NULL ||
        atomic_compare_exchange_strong_explicit(&c->page_class, &other, made, memory_order_acq_rel,
                                                memory_order_acquire))
        return made;
    meta_free(made, CHUNK_CLASSES(c->size));
    return other;
}

void direct_note_class(const struct sluice_arena *a, const void *p, size_t usable)
{
    if (!arena_uses_magazines(a) || arena_has_headers(a))
        return;
    struct chunk *c = chunk_of(p);
    uint8_t class = (uint8_t)(direct_class(usable) + 1u);
    uint8_t *classes = atomic_load_explicit(&c->page_class, memory_order_acquire);
    if (classes == NULL && (class == 0 || (classes = make_classes(c)) == NULL))
        return;
    size_t page = (size_t)((const char *)p - c->base) / OS_PAGE_SIZE;
    if (__atomic_load_n(&classes[page], __ATOMIC_RELAXED) != class)
        __atomic_store_n(&classes[page], class, __ATOMIC_RELAXED);
}

void direct_expect_absent(const struct magazine *m, const void *p)
{
    for (const void *q = m->free; q != NULL; q = *(void *const *)q)
        if (q == p)
            magazine_refuse(p);
}

static void give_back(struct heap *h, struct magazine *m, uint64_t count)
{
    size_t padding = arena_has_headers(h->arena) ? HEADER_SIZE : 0;
    for (uint64_t i = 0; i < count; i++) {
        void *p = m->free;
        m->free = *(void **)p;
        heap_free(h, p, padding);
    }
    magazine_count_given(m, count);
}

void direct_event(struct heap *h, struct magazine *m)
{
    magazine_count_given(m, 1); /* what was just freed was still part of the peak */
    heap_note_turn(h);
    magazine_count_given(m, -UINT64_C(1));
    uint64_t most = (uint64_t)limit_advance(h->arena->module) / PARTS_OF_ADVANCE /
                    size_class_bytes[m->size_class];
    most = most < OBJECTS_MAX ? most : OBJECTS_MAX;
    if (magazine_kept(m) > most)
        give_back(h, m, magazine_kept(m) - most / 2);
    magazine_arm(m, (uint32_t)(most - magazine_kept(m) + 1));
}

void direct_flush(struct heap *h)
{
    for (unsigned k = 0; h->magazines != NULL && k < DIRECT_CLASSES; k++)
        give_back(h, &h->magazines[k], magazine_kept(&h->magazines[k]));
}

void direct_free(struct heap *h)
{
    meta_free(h->magazines, DIRECT_CLASSES * sizeof *h->magazines);
    h->magazines = NULL;
}

void direct_add(const struct heap *h, struct direct_sums *sums)
{
    if (h->magazines == NULL)
        return;
    sums->own_bytes += DIRECT_CLASSES * sizeof *h->magazines;
    for (unsigned k = 0; k < DIRECT_CLASSES; k++) {
        const struct magazine *m = &h->magazines[k];
        uint64_t frees = magazine_frees(m), allocs = count_load(&m->allocs);
        size_t size = size_class_bytes[k];
        sums->freed += frees;
        sums->freed_bytes += frees * size;
        sums->allocated += allocs;
        sums->allocated_bytes += allocs * size;
        if ((int64_t)(frees - allocs) > 0) { /* a torn reading of a busy thread */
            sums->kept += frees - allocs;
            sums->kept_bytes += (frees - allocs) * size;
        }
    }
}
