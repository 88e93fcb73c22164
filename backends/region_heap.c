/* region_heap.c - see region.h. A thread's part of an arena: its piece, its cursor and its counts. */
#include "backends/region.h"

#include "core/meta.h"

uint64_t region_allocated(const struct region_heap *h)
{
    return region_load(&h->extra) + (uint64_t)(region_pointer(&h->bump.next) - h->start) -
           BUMP_HEADER * region_load(&h->bump.objects);
}

uint64_t region_heap_untouched(const struct region_heap *h)
{
    const char *next = region_pointer(&h->bump.next), *touched = region_pointer(&h->touched);
    return region_untouched(touched > next ? touched : next, h->bump.end);
}

void region_note_touched(struct region_heap *h)
{
    char *next = region_pointer(&h->bump.next);
    if (next > region_pointer(&h->touched))
        region_set_pointer(&h->touched, next);
}

void region_move_back(struct region_heap *h, char *to)
{
    region_note_touched(h);
    region_add(&h->extra, (uint64_t)(region_pointer(&h->bump.next) - to));
    region_set_pointer(&h->bump.next, to);
}

void region_set_piece(struct region_heap *h, char *base, char *end, char *touched)
{
    char *start = base == NULL ? NULL : base + 2 * BUMP_HEADER;
    region_add(&h->extra, (uint64_t)(region_pointer(&h->bump.next) - h->start));
    h->start = start;
    region_set_pointer(&h->bump.next, start);
    h->bump.end = end;
    region_set_pointer(&h->touched, touched);
    h->start_objects = region_load(&h->bump.objects);
    h->piece_freed = 0;
}

void region_leave_piece(struct region_heap *h)
{
    if (h->start != NULL)
        region_abandon(region_pointer(&h->bump.next), h->bump.end, region_pointer(&h->touched));
    region_set_piece(h, NULL, NULL, NULL);
}

void region_deactivate(struct region_arena *a, struct region_heap *h)
{
    a->past_bytes += region_allocated(h);
    a->past_objects += region_load(&h->bump.objects);
    a->past_freed += region_load(&h->freed);
    a->past_freed_bytes += region_load(&h->freed_bytes);
    atomic_store_explicit(&h->bump.objects, 0, memory_order_relaxed);
    atomic_store_explicit(&h->extra, 0, memory_order_relaxed);
    atomic_store_explicit(&h->freed, 0, memory_order_relaxed);
    atomic_store_explicit(&h->freed_bytes, 0, memory_order_relaxed);
    h->start_objects = 0;
    h->epoch = 0;
    if (h->prev != NULL)
        h->prev->next = h->next;
    else
        a->active = h->next;
    if (h->next != NULL)
        h->next->prev = h->prev;
}

static void activate(struct region_arena *a, struct region_heap *h)
{
    lock_acquire(&a->lock);
    h->epoch = a->epoch;
    h->bump.seal = a->seal;
    h->prev = NULL;
    h->next = a->active;
    if (a->active != NULL)
        a->active->prev = h;
    a->active = h;
    lock_release(&a->lock);
}

struct region_heap *region_heap_renew(struct region_arena *a, void **thread_state)
{
    struct region_heap *h = *thread_state;
    if (h == NULL) {
        h = *thread_state = meta_alloc(sizeof *h);
        if (h == NULL)
            return NULL;
        bump_init(&h->bump);
        h->piece_size = REGION_PIECE_FIRST;
        lock_acquire(&a->lock);
        a->record_bytes += sizeof *h;
        lock_release(&a->lock);
    }
    activate(a, h);
    return h;
}

void region_thread_exit(void *arena, void *thread_state)
{
    struct region_arena *a = arena;
    struct region_heap *h = thread_state;
    lock_acquire(&a->lock);
    if (h->epoch == a->epoch) {
        if (h->start != NULL) {
            char *rest = region_pointer(&h->bump.next);
            rest -= rest == h->start ? 2 * BUMP_HEADER : 0; /* the whole piece */
            region_give(a, rest, h->bump.end, region_pointer(&h->touched));
        }
        region_set_piece(h, NULL, NULL, NULL);
        region_deactivate(a, h);
    }
    a->record_bytes -= sizeof *h;
    lock_release(&a->lock);
    bump_uninstall(&h->bump);
    meta_free(h, sizeof *h);
}
