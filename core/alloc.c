/* alloc.c - the public allocation calls, and their fast path: a thread's magazines serve an allocation, and take a free.
 *
 *     malloc   cache of the module ─ generation current? ─ magazine of the size class ─ pop       no lock,
 *     free     pagemap ─ slab ─ mine? ─ its magazine ─ push                                        no atomic RMW
 *
 * Where a magazine has run empty its backend is asked for more; what has no slab finds its magazine by its header or its page
 * (core/direct.h), or is allocated and freed by its arena, object by object. What no cache serves goes to alloc_slow().
 */
#include "core/alloc.h"

#include <errno.h>
#include <string.h>

#include "core/alloc_fast.h"
#include "core/alloc_parts.h"
#include "core/bootstrap.h"
#include "core/bump.h"
#include "core/direct.h"
#include "core/emergency.h"
#include "core/error.h"
#include "core/header.h"
#include "core/limit.h"
#include "core/place.h"
#include "core/route.h"
#include "core/size_class.h"
#include "core/thread.h"

/* ---- Counters of a heap: one writer ---------------------------------------------------------- */

static void count_alloc(struct heap *h, size_t usable)
{
    if (arena_is_fast(h->arena))
        return;
    count_add(&h->allocated, 1);
    count_add(&h->allocated_bytes, usable);
}

static void count_free(struct heap *h, size_t usable)
{
    if (arena_is_fast(h->arena))
        return;
    count_add(&h->freed, 1);
    count_add(&h->freed_bytes, usable);
}

/* ---- One arena ------------------------------------------------------------------------------ */

static size_t padding_of(const struct sluice_arena *a, size_t alignment)
{
    size_t padding = header_padding(alignment);
    return a->tracked && padding < TRACK_PADDING ? TRACK_PADDING : padding;
}

static void track_add(struct sluice_arena *a, void *base, size_t padding)
{
    struct track *track = base;
    track->prev = NULL;
    track->padding = padding;
    lock_acquire(&a->track_lock);
    track->next = a->tracks;
    if (a->tracks != NULL)
        a->tracks->prev = track;
    a->tracks = track;
    lock_release(&a->track_lock);
}

static void track_remove(struct sluice_arena *a, void *base)
{
    struct track *track = base;
    lock_acquire(&a->track_lock);
    if (track->prev != NULL)
        track->prev->next = track->next;
    else
        a->tracks = track->next;
    if (track->next != NULL)
        track->next->prev = track->prev;
    lock_release(&a->track_lock);
}

static void *alloc_with_header(struct sluice_arena *a, struct heap *h, size_t size,
                               size_t alignment, unsigned flags, size_t *usable)
{
    size_t padding = padding_of(a, alignment);
    if (size > HEADER_SIZE_MAX - 2 * padding)
        return NULL;
    size = size < ALLOC_OBJECT_MIN ? ALLOC_OBJECT_MIN : size;
    char *base = a->ops->alloc(a->instance, &h->state, size + padding, alignment, flags, usable);
    if (base == NULL)
        return NULL;
    *usable -= padding;
    *usable = direct_usable(a, size, *usable);
    header_write(base + padding, a->id, *usable, padding);
    if (UNLIKELY(a->tracked))
        track_add(a, base, padding);
    return base + padding;
}

void *arena_alloc(struct thread *t, struct sluice_arena *a, size_t size, size_t alignment,
                  unsigned flags)
{
    struct heap *h = heap_of(t, a);
    if (h == NULL)
        return NULL;
    size = direct_size(a, size);
    bool charge = !arena_keeps_limit(a);
    if (charge && !limit_take(h, size))
        return NULL;
    size_t usable = 0;
    void *p = arena_has_headers(a)
                  ? alloc_with_header(a, h, size, alignment, flags, &usable)
                  : a->ops->alloc(a->instance, &h->state, size, alignment, flags, &usable);
    if (p == NULL) {
        if (charge)
            limit_give(h, size);
        return NULL;
    }
    direct_note_class(a, p, usable);
    if (charge)
        h->credit -=
            (int64_t)(usable - size); /* given back with the object; made good at the next */
    count_alloc(h, usable);
    if (UNLIKELY((int64_t)(count_load(&h->allocated_bytes) - count_load(&h->freed_bytes)) >
                 h->look_at))
        heap_note_growth(h);
    return p;
}

/* ---- Allocation ----------------------------------------------------------------------------- */

/* In a section of t. What stands in a bin is empty: its backend is asked. NULL: the slow path has to see to it. */
static void *refill(struct thread *t, struct magazine *m, size_t size, unsigned flags)
{
    if (m->kind == MAGAZINE_EMPTY || m->kind == MAGAZINE_BUMPS)
        return NULL;
    struct heap *h = t->heaps[m->arena];
    struct sluice_arena *a = h->arena;
    if (limit_soft_exceeded(a->module) ||
        atomic_load_explicit(&a->module->pending, memory_order_relaxed) != 0)
        return NULL;
    size = size == 0 ? 1 : size;
    if (m->kind == MAGAZINE_SLABS) {
        size_t usable;
        return a->ops->alloc(a->instance, &h->state, size, ALLOC_ALIGNMENT, flags, &usable);
    }
    if (m->kind == MAGAZINE_ASKS && size <= DIRECT_SIZE_MAX && heap_wants_magazines(h))
        return NULL; /* the slow path puts one into the bin */
    void *p = arena_alloc(t, a, size, ALLOC_ALIGNMENT, flags);
    if (m->kind == MAGAZINE_DIRECT)
        direct_grew(m);
    return p;
}

void *alloc_behind(sluice_module module, size_t size, unsigned flags, const void *caller)
{
    struct thread *t = thread_self;
    int saved = errno;
    thread_section_begin(t);
    void *p = refill(t, bin_of(t, module, size), size, flags);
    thread_leave(t);
    if (UNLIKELY(p == NULL))
        return alloc_slow(module, size, ALLOC_ALIGNMENT, flags, NULL, caller);
    struct module *m = module_get(module);
    if (UNLIKELY(atomic_load_explicit(&m->pending, memory_order_relaxed) != 0))
        limit_act_soft(m);
    alloc_after_slow();
    errno = saved;
    return p;
}

void *sluice_malloc(sluice_module module, size_t size)
{
    void *p = alloc_fast(module, size);
    if (LIKELY(p != NULL))
        return p;
    return alloc_behind(module, size, 0, CALLER);
}

void *alloc_for(sluice_module module, size_t size, const void *caller)
{
    void *p = alloc_fast(module, size);
    if (LIKELY(p != NULL))
        return p;
    return alloc_behind(module, size, 0, caller);
}

void *sluice_calloc(sluice_module module, size_t count, size_t size)
{
    size_t total;
    if (UNLIKELY(__builtin_mul_overflow(count, size, &total))) {
        error_set(SLUICE_ERROR_NO_MEMORY, "%zu x %zu bytes are more than there can be", count,
                  size);
        return alloc_fail(module_get(module), ENOMEM);
    }
    if (UNLIKELY(total > ALLOC_CLEARS_MAX))
        return alloc_slow(module, total, ALLOC_ALIGNMENT, SLUICE_ALLOC_ZERO, NULL, CALLER);
    void *p = alloc_fast(module, total);
    if (LIKELY(p != NULL))
        return memset(p, 0, total);
    return alloc_behind(module, total, SLUICE_ALLOC_ZERO, CALLER);
}

void *sluice_aligned_alloc(sluice_module module, size_t alignment, size_t size)
{
    if (UNLIKELY(alignment == 0 || (alignment & (alignment - 1)) != 0 ||
                 alignment > ALLOC_ALIGNMENT_MAX)) {
        error_set(SLUICE_ERROR_INVALID, "alignment %zu is not a power of two up to 1 GiB",
                  alignment);
        return alloc_fail(NULL, EINVAL);
    }
    if (alignment <= ALLOC_ALIGNMENT)
        return alloc_for(module, size, CALLER);
    return alloc_slow(module, size, alignment, 0, NULL, CALLER);
}

char *sluice_strdup(sluice_module module, const char *s)
{
    if (s == NULL) {
        error_set(SLUICE_ERROR_INVALID, "sluice_strdup: the string is NULL");
        return alloc_fail(NULL, EINVAL);
    }
    size_t n = strlen(s) + 1;
    char *copy = alloc_for(module, n, CALLER);
    return copy == NULL ? NULL : memcpy(copy, s, n);
}

/* ---- Free ----------------------------------------------------------------------------------- */

/* The backend takes an object that begins `padding` bytes before p (0: without a header). Returns what it was counted with. */
static size_t give_to_backend(struct sluice_arena *a, void **state, void *p, size_t padding)
{
    if (padding == 0)
        return a->ops->free(a->instance, state, p);
    size_t usable = header_usable(p);
    header_erase(p);
    a->ops->free(a->instance, state, (char *)p - padding);
    return usable;
}

/* A thread that has no heap in the arena and no memory for one. */
static void free_without_heap(struct sluice_arena *a, void *p, size_t padding)
{
    void *state = NULL;
    size_t usable = give_to_backend(a, &state, p, padding);
    if (state != NULL && a->ops->thread_exit != NULL)
        a->ops->thread_exit(a->instance, state);
    lock_acquire(&a->heaps_lock);
    a->past_freed++;
    a->past_freed_bytes += usable;
    lock_release(&a->heaps_lock);
    if (!arena_keeps_limit(a))
        limit_uncharge(a->module, usable);
}

void heap_free(struct heap *h, void *p, size_t padding)
{
    size_t usable = give_to_backend(h->arena, &h->state, p, padding);
    if (!arena_keeps_limit(h->arena))
        limit_give(h, usable);
    count_free(h, usable);
}

static void free_to_backend(struct thread *t, struct sluice_arena *a, void *p, size_t padding)
{
    struct heap *h = heap_of(t, a);
    if (UNLIKELY(h == NULL)) {
        free_without_heap(a, p, padding);
        return;
    }
    if (!arena_is_fast(a))
        heap_note_turn(h);
    heap_free(h, p, padding);
}

/* So many objects came home to the magazine that its owner must act. Returns whether memory went back. */
static int slab_event(struct thread *t, struct magazine *m)
{
    struct heap *h = t->heaps[m->arena];
    return h->arena->ops->slab_event(h->arena->instance, h->state, m);
}

/* A slab of this thread's that the map of homes does not know. */
static void free_to_own_slab(struct thread *t, const struct slab *s, const struct sluice_arena *a,
                             void *p)
{
    struct slab_heap *h = t->heaps[a->id]->state;
    struct magazine *m = &h->magazine[s->size_class];
    if (magazine_push(m, p))
        slab_event(t, m);
}

static void free_in_section(struct thread *t, void *p)
{
    struct place_of at = {.entry = pagemap_lookup(p)};
    if ((at.entry & PAGEMAP_SLABS) != 0) {
        struct slab *s = slab_of(at.entry, p);
        uintptr_t owner = slab_owner(s);
        if (UNLIKELY(owner == SLAB_UNUSED))
            place_misuse("sluice_free", p);
        if (owner != (uintptr_t)t)
            slab_push_remote(s, p);
        else
            free_to_own_slab(t, s, ((struct chunk *)(at.entry - PAGEMAP_SLABS))->arena, p);
    } else if ((at.entry & PAGEMAP_CHUNK) != 0) {
        free_to_backend(t, ((struct chunk *)(at.entry - PAGEMAP_CHUNK))->arena, p, 0);
    } else {
        at = place_find(p);
        if (UNLIKELY(at.place != PLACE_HEADER))
            place_misuse("sluice_free", p);
        char *base = header_base(p);
        if (UNLIKELY(at.arena->tracked))
            track_remove(at.arena, base);
        free_to_backend(t, at.arena, p, (size_t)((char *)p - base));
    }
}

/* An object without a slab, of an arena that this thread has a heap in: in a short section. The backend's object begins
 * `padding` bytes before p. false: the long way. */
static inline bool free_to_heap(struct thread *t, struct sluice_arena *a, void *p, size_t padding)
{
    thread_section_begin(t);
    struct heap *h = NULL;
    if (LIKELY(atomic_load_explicit(&t->token, memory_order_acquire) == (uintptr_t)t &&
               a->id < t->heap_capacity))
        h = t->heaps[a->id];
    if (UNLIKELY(h == NULL)) {
        thread_leave(t);
        return false;
    }
    bool may_ask_for_purge = true;
    if (arena_bumps(a)) {
        may_ask_for_purge = a->ops->free(a->instance, &h->state, p) > SIZE_CLASS_MAX;
    } else {
        free_to_backend(t, a, p, padding);
    }
    thread_leave(t);
    if (may_ask_for_purge)
        alloc_after_slow();
    return true;
}

/* The short ways of objects without a slab. */
static inline bool free_quickly(struct thread *t, uintptr_t entry, void *p)
{
    if ((entry & PAGEMAP_CHUNK) != 0)
        return free_to_heap(t, ((struct chunk *)(entry - PAGEMAP_CHUNK))->arena, p, 0);
    if (!place_may_have_header(p, entry, false) || !header_is_valid(p))
        return false;
    struct sluice_arena *a = arena_by_id(header_arena(p));
    return a != NULL && !a->tracked &&
           free_to_heap(t, a, p, (size_t)((char *)p - (char *)header_base(p)));
}

static __attribute__((noinline)) void free_slow(void *p)
{
    if (p == NULL)
        return;
    if (UNLIKELY((uintptr_t)p % ALLOC_ALIGNMENT != 0))
        place_misuse("sluice_free", p);
    int saved = errno;
    uintptr_t entry = pagemap_lookup(p);
    if ((entry & (PAGEMAP_SLABS | PAGEMAP_EMERGENCY)) == 0 && free_quickly(thread_self, entry, p)) {
        errno = saved;
        return;
    }
    if ((entry & (PAGEMAP_SLABS | PAGEMAP_CHUNK | PAGEMAP_EMERGENCY)) == PAGEMAP_EMERGENCY) {
        if (((uintptr_t)p & (SLUICE_CHUNK_SIZE - 1)) != 0)
            place_misuse("sluice_free", p);
        emergency_free(p, entry);
        errno = saved;
        return;
    }
    if (!bootstrap_done())
        place_misuse("sluice_free", p); /* nothing but emergencies was ever allocated */
    threads_reap();
    struct thread *t = thread_current();
    if (t == NULL || !thread_enter(t)) {
        emergency_defer_free(p);
    } else {
        free_in_section(t, p);
        thread_leave(t);
        alloc_after_slow();
    }
    errno = saved;
}

/* In a section of t, which ends here. */
static __attribute__((noinline)) void free_direct_event(struct thread *t, struct magazine *m)
{
    int saved = errno;
    direct_event(t->heaps[m->arena], m);
    thread_leave(t);
    alloc_after_slow();
    errno = saved;
}

static __attribute__((noinline)) void free_at_page_start(void *p)
{
    if (place_may_have_header(p, 0, false) && header_is_valid(p) &&
        header_usable(p) <= DIRECT_SIZE_MAX)
        place_know_page(p);
    free_slow(p);
}

/* In a section of t, which ends here. */
static __attribute__((noinline)) void free_direct_doubtful(struct thread *t, struct magazine *m,
                                                           void *p)
{
    direct_expect_absent(m, p);
    if (UNLIKELY(direct_push_sealed(m, p)))
        return free_direct_event(t, m);
    thread_leave(t);
}

/* This thread's magazine for a class of a backend without slabs, if it has one. In a section of t. */
static inline struct magazine *direct_magazine(struct thread *t, uint32_t arena, unsigned k)
{
    struct heap *h = NULL;
    if (LIKELY(atomic_load_explicit(&t->token, memory_order_acquire) == (uintptr_t)t &&
               arena < t->heap_capacity))
        h = t->heaps[arena];
    return UNLIKELY(h == NULL || h->magazines == NULL) ? NULL : &h->magazines[k];
}

/* What a backend without slabs allocated in a chunk: into this thread's magazine, if it has one for it. As in sluice_free(),
 * every other way out is a jump; so in the next one. */
static __attribute__((noinline)) void free_in_chunk(struct thread *t, void *p, uintptr_t entry)
{
    const struct chunk *c = (struct chunk *)(entry - PAGEMAP_CHUNK);
    unsigned k = direct_class_of_page(c, p);
    if (k == DIRECT_NO_CLASS)
        return free_slow(p);
    thread_section_begin(t);
    struct magazine *m =
        direct_magazine(t, atomic_load_explicit(&c->arena_id, memory_order_relaxed), k);
    if (UNLIKELY(m == NULL)) {
        thread_leave(t);
        return free_slow(p);
    }
    if (UNLIKELY(magazine_push(m, p)))
        return free_direct_event(t, m);
    thread_leave(t);
}

/* What has a header. */
static __attribute__((noinline)) void free_with_header(struct thread *t, void *p)
{
    if (UNLIKELY(place_is_page_start(p)) && !place_page_is_known(p))
        return free_at_page_start(p);
    if (UNLIKELY(!header_is_valid(p) || !header_is_next_to(p)))
        return free_slow(p);
    unsigned k = direct_class(header_usable(p));
    if (k == DIRECT_NO_CLASS)
        return free_slow(p);
    thread_section_begin(t);
    struct magazine *m = direct_magazine(t, header_arena(p), k);
    if (UNLIKELY(m == NULL)) {
        thread_leave(t);
        return free_slow(p);
    }
    if (UNLIKELY(direct_looks_free(m, p)))
        return free_direct_doubtful(t, m, p);
    if (UNLIKELY(direct_push_sealed(m, p)))
        return free_direct_event(t, m);
    thread_leave(t);
}

void free_event(struct thread *t, struct magazine *m)
{
    int went_back = slab_event(t, m);
    thread_leave(t);
    if (went_back)
        alloc_after_slow(); /* it may have left work for a control thread that does not run yet */
}

/* What is in a slab of another thread's, or of nobody's: into the slab's list for everyone. */
static __attribute__((noinline)) void free_to_other(struct thread *t, void *p, uintptr_t entry)
{
    struct slab_chunk *c = (struct slab_chunk *)(entry - PAGEMAP_SLABS);
    unsigned piece = slab_piece_of(p);
    thread_section_begin(t);
    uintptr_t owner = atomic_load_explicit(&c->owner[piece], memory_order_relaxed);
    if (UNLIKELY(atomic_load_explicit(&t->token, memory_order_acquire) != (uintptr_t)t ||
                 owner == (uintptr_t)t || owner == SLAB_UNUSED)) {
        thread_leave(t);
        return free_slow(p);
    }
    slab_push_remote(slab_at(c, slab_head(c, piece)), p);
    thread_leave(t);
}

void free_elsewhere(struct thread *t, void *p)
{
    uintptr_t entry = pagemap_lookup_object(&t->map, p);
    if ((entry & PAGEMAP_SLABS) != 0)
        return free_to_other(t, p, entry);
    if ((entry & PAGEMAP_CHUNK) != 0)
        return free_in_chunk(t, p, entry);
    /* Without a record a thread has no pagemap: p may be of a slab. */
    if (UNLIKELY(entry != 0 || !place_is_in_range(p) || t->map.slot == NULL))
        return free_slow(p);
    return free_with_header(t, p);
}

void sluice_free(void *p)
{
    free_fast(p);
}

void sluice_free_sized(void *p, size_t size)
{
    (void)size;
    sluice_free(p);
}
