/* pool.c - the thread-local fixed pool: see pool.h for its parts.
 *
 * What the fast path of the core cannot do ends here: finding a slab with room for a thread, and keeping empty slabs in reserve
 * or giving them back. What sleeps is found by pool_purge.c. */
#include "backends/pool.h"

#include <string.h>

#include "core/alloc.h"
#include "core/arena.h"
#include "core/error.h"
#include "core/log.h"
#include "core/meta.h"
#include "core/os.h"
#include "core/thread.h"

/* How many full slabs are looked through for frees of other threads before a new slab is made. Each look collects
 * whatever waits, so memory that others free comes back at this rate. */
#define LOOK_AT_FULL 8

void pool_announce(struct pool_arena *a)
{
    uint64_t due = os_now() + pool_value(a, POOL_PURGE_AFTER);
    if (due >= atomic_load_explicit(&a->purge_at, memory_order_relaxed))
        return;
    atomic_store_explicit(&a->purge_at, due, memory_order_relaxed);
    sluice_purge_wanted(a->owner, due);
}

/* An empty slab that is on no list goes back to its chunk. */
static void give_back(struct pool_arena *a, struct slab *s, uint32_t now_ms)
{
    size_t bytes = slab_bytes(s);
    lock_acquire(&a->lock);
    pool_give_pieces(a, s, now_ms);
    lock_release(&a->lock);
    sluice_arena_uncharge(a->owner, bytes);
    pool_announce(a);
}

void pool_slab_is_empty(struct pool_heap *h, struct slab *s)
{
    struct pool_arena *a = h->arena;
    uint32_t now_ms = pool_ms(os_now());
    if (h->reserve_bytes + slab_bytes(s) > pool_value(a, POOL_THREAD_CACHE)) {
        give_back(a, s, now_ms);
        return;
    }
    s->state = SLAB_RESERVE;
    s->since_ms = now_ms;
    slab_list_push(&h->reserve[s->pieces], s);
    h->reserve_bytes += slab_bytes(s);
    sluice_arena_uncharge(a->owner, slab_bytes(s));
    pool_announce(a);
}

void pool_slab_has_room(struct pool_heap *h, struct slab *s)
{
    struct pool_class *of = &h->of[s->size_class];
    slab_list_remove(&of->full, s);
    if (slab_used(s) == 0) {
        pool_slab_is_empty(h, s);
        return;
    }
    s->state = SLAB_PARTIAL;
    /* Behind the others: those in front have had more time to get objects back. */
    slab_list_append(&of->partial, s);
}

/* ---- Finding a slab ------------------------------------------------------------------------- */

/* Looks for a slab among those that ran full: others may have freed objects of it. */
static struct slab *find_in_full(struct pool_heap *h, unsigned k)
{
    struct slab_list *full = &h->of[k].full;
    for (int i = 0; i < LOOK_AT_FULL && full->first != NULL; i++) {
        struct slab *s = full->first;
        slab_list_remove(full, s);
        if (slab_remote_count(s) > 0)
            return s;
        slab_list_append(full, s); /* the others' turn next time */
    }
    return NULL;
}

static void adopt(struct pool_heap *h, struct slab *s)
{
    pool_own(h, s);
    slab_collect(s);
}

static struct slab *find_orphan(struct pool_heap *h, unsigned k)
{
    struct pool_arena *a = h->arena;
    if (atomic_load_explicit(&a->orphan_count[k], memory_order_relaxed) == 0)
        return NULL;
    lock_acquire(&a->lock);
    struct slab *found = NULL;
    struct slab_list *list = &a->orphans[k];
    for (int i = 0; i < LOOK_AT_FULL && list->first != NULL && found == NULL; i++) {
        struct slab *s = list->first;
        slab_list_remove(list, s);
        if (s->free != NULL || s->carved < s->capacity || slab_remote_count(s) > 0)
            found = s;
        else
            slab_list_append(list, s);
    }
    if (found != NULL) {
        a->orphan_count[k]--;
        adopt(h, found); /* in the lock: purge() must not take it for an orphan */
    }
    lock_release(&a->lock);
    return found;
}

/* Makes a slab of a class out of pieces that nobody uses. */
static void slab_prepare(struct pool_heap *h, struct slab *s, unsigned k)
{
    atomic_store_explicit(&s->had_bytes, (uint32_t)(slab_touched(s) - pool_pages_away(s)),
                          memory_order_relaxed);
    s->free = NULL;
    s->object_size = size_class_bytes[k];
    s->capacity = (uint32_t)(slab_bytes(s) / s->object_size);
    s->size_class = (uint8_t)k;
    atomic_store_explicit(&s->carved, 0, memory_order_relaxed);
    atomic_store_explicit(&s->away, 0, memory_order_relaxed);
    pool_own(h, s);
}

static struct slab *take_reserve(struct pool_heap *h, unsigned k)
{
    struct slab_list *list = &h->reserve[pool_pieces[k]];
    struct slab *s = list->first;
    if (s == NULL || !sluice_arena_charge(h->arena->owner, slab_bytes(s)))
        return NULL;
    slab_list_remove(list, s);
    h->reserve_bytes -= slab_bytes(s);
    slab_prepare(h, s, k); /* its counters go on: they are its history */
    return s;
}

static struct slab *take_new(struct pool_heap *h, unsigned k)
{
    struct pool_arena *a = h->arena;
    unsigned pieces = pool_pieces[k];
    unsigned least = (size_class_bytes[k] + (unsigned)SLAB_PIECE_SIZE - 1) >> SLAB_PIECE_SHIFT;
    /* Near a limit a slab of many objects may be too much where one object is not. */
    if (!sluice_arena_charge(a->owner, pieces * SLAB_PIECE_SIZE)) {
        if (pieces == least || !sluice_arena_charge(a->owner, least * SLAB_PIECE_SIZE))
            return NULL;
        pieces = least;
    }
    lock_acquire(&a->lock);
    struct slab *s = pool_take_pieces(a, pieces);
    lock_release(&a->lock);
    if (s == NULL) {
        sluice_arena_uncharge(a->owner, pieces * SLAB_PIECE_SIZE);
        return NULL;
    }
    slab_prepare(h, s, k);
    /* Others may free what is in it, and tell nobody. */
    if (atomic_load_explicit(&a->purge_at, memory_order_relaxed) == UINT64_MAX)
        pool_announce(a);
    return s;
}

/* A slab with room for the class, on no list and not current. NULL: no memory, or the limit forbids. */
static struct slab *find_slab(struct pool_heap *h, unsigned k)
{
    struct pool_class *of = &h->of[k];
    struct slab *s = of->partial.first;
    if (s != NULL) {
        slab_list_remove(&of->partial, s);
        return s;
    }
    s = find_in_full(h, k);
    if (s == NULL)
        s = find_orphan(h, k);
    if (s == NULL)
        s = take_reserve(h, k);
    return s != NULL ? s : take_new(h, k);
}

/* Untouched memory waits while others have given back so much: to collect less would fill a magazine with a few objects only. */
#define COLLECT_BYTES 2048

/* Is something in its free list, or can be put there? If that was only now, and by others: so many objects. Else 0. */
static bool has_objects(struct slab *s, uint32_t *listed)
{
    *listed = 0;
    if (s->free == NULL &&
        ((size_t)slab_remote_count(s) * s->object_size >= COLLECT_BYTES || slab_carve(s) == 0))
        *listed = slab_collect(s);
    return s->free != NULL;
}

/* All magazines give back what they hold. false: that was nothing. */
static bool empty_magazines(struct pool_heap *h)
{
    bool any = false;
    uint32_t now_ms = pool_ms(os_now());
    for (unsigned k = 0; k < SIZE_CLASS_COUNT; k++) {
        struct magazine *m = &h->fast.magazine[k];
        any |= m->free != NULL;
        pool_empty_magazine(h, m, now_ms);
    }
    return any;
}

/* Fills the empty magazine of a class. false: no memory, or the limit forbids. */
static bool fill(struct pool_heap *h, unsigned k)
{
    struct pool_class *of = &h->of[k];
    struct slab *s = of->current;
    uint32_t listed;
    arena_note_turn(h->arena->owner); /* also where only other threads free */
    if (s == NULL || !has_objects(s, &listed)) {
        if (s != NULL) {
            s->state = SLAB_FULL;
            slab_list_append(&of->full, s);
        }
        of->current = NULL;
        s = find_slab(h, k);
        if (s == NULL && empty_magazines(h))
            s = find_slab(h, k); /* what they kept had kept slabs */
        if (s == NULL)
            return false;
        of->current = s;
        s->state = SLAB_CURRENT;
        if (!has_objects(s, &listed))
            return false; /* not reached: find_slab() finds none that has nothing */
    }
    pool_fill_magazine(h, &h->fast.magazine[k], s, listed);
    return true;
}

static void *alloc_from_class(struct pool_heap *h, unsigned k)
{
    struct magazine *m = &h->fast.magazine[k];
    if (m->kind == MAGAZINE_EMPTY) {
        magazine_init(m, MAGAZINE_SLABS, h->arena->owner->id, k);
        magazine_arm(m, 1);
        atomic_store_explicit(&h->used, h->used | (uint64_t)1 << k, memory_order_relaxed);
    }
    if (m->free == NULL && !fill(h, k))
        return NULL;
    return magazine_pop(m);
}

/* ---- Ops ------------------------------------------------------------------------------------ */

#define HEAP_BYTES (sizeof(struct pool_heap) + SLAB_MAGAZINES_SIZE)

static struct pool_heap *heap_create(struct pool_arena *a)
{
    struct pool_heap *h = meta_alloc(sizeof *h);
    struct magazine *magazines = meta_alloc_beside(SLAB_MAGAZINES_SIZE);
    if (h == NULL || magazines == NULL) {
        meta_free(h, sizeof *h);
        meta_free(magazines, SLAB_MAGAZINES_SIZE);
        return NULL;
    }
    h->fast.magazine = magazines;
    h->arena = a;
    h->epoch = a->epoch;
    h->token = (uintptr_t)thread_self;
    h->mark = home_mark(thread_self->number);
    lock_acquire(&a->lock);
    a->heap_bytes += HEAP_BYTES;
    h->next = a->heaps;
    if (h->next != NULL)
        h->next->prev = h;
    a->heaps = h;
    lock_release(&a->lock);
    return h;
}

/* What a heap's magazines have counted goes to the arena's totals. What a reset() ended was freed. In the lock. */
static void forget_magazine(struct pool_heap *h, struct magazine *m)
{
    struct pool_arena *a = h->arena;
    uint64_t allocs = count_load(&m->allocs);
    a->past_allocs += allocs;
    a->past_frees += h->epoch == a->epoch ? magazine_frees(m) : allocs;
    atomic_store_explicit(&m->allocs, 0, memory_order_relaxed);
    magazine_count_given(m, magazine_frees(m));
    m->free = NULL;
}

/* What the heap held went with a reset: it begins anew. */
static void heap_renew(struct pool_heap *h)
{
    struct pool_arena *a = h->arena;
    lock_acquire(&a->lock); /* others may be adding up */
    for (unsigned k = 0; k < SIZE_CLASS_COUNT; k++) {
        struct pool_class *of = &h->of[k];
        if (h->fast.magazine[k].kind == MAGAZINE_EMPTY)
            continue;
        forget_magazine(h, &h->fast.magazine[k]);
        of->current = NULL;
        of->partial = of->full = (struct slab_list){NULL, NULL};
    }
    memset(h->reserve, 0, sizeof h->reserve);
    h->reserve_bytes = 0;
    h->grown = 0;
    h->epoch = a->epoch;
    lock_release(&a->lock);
}

static void *pool_alloc(void *arena, void **thread_state, size_t size, size_t alignment,
                        unsigned flags, size_t *usable)
{
    struct pool_heap *h = *thread_state;
    if (h == NULL && (*thread_state = h = heap_create(arena)) == NULL)
        return NULL;
    if (h->epoch != h->arena->epoch)
        heap_renew(h);
    if (size > SIZE_CLASS_MAX || alignment > SLAB_PIECE_SIZE)
        return NULL;
    if ((flags & SLUICE_ALLOC_ZERO) != 0 && size > ALLOC_CLEARS_MAX)
        return NULL; /* the next rule's */
    unsigned k = alignment > 16 ? size_class_aligned(size, alignment) : size_class_of(size);
    if (k == SIZE_CLASS_COUNT)
        return NULL;
    void *p = alloc_from_class(h, k);
    *usable = size_class_bytes[k];
    if (p != NULL && (flags & SLUICE_ALLOC_ZERO) != 0)
        memset(p, 0, size);
    return p;
}

/* Reached only by a thread that could not get a heap record: the core frees to slabs by itself. */
static size_t pool_free(void *arena, void **thread_state, void *p)
{
    (void)arena;
    (void)thread_state;
    struct slab *s = slab_of(pagemap_lookup(p), p);
    slab_push_remote(s, p);
    return s->object_size;
}

static size_t pool_usable_size(void *arena, const void *p)
{
    (void)arena;
    return slab_of(pagemap_lookup(p), p)->object_size;
}

static int pool_check(void *arena, const void *p)
{
    (void)arena;
    const struct slab *s = slab_near(pagemap_lookup(p), p);
    size_t offset = (size_t)((const char *)p - s->base);
    return slab_owner(s) != SLAB_UNUSED && offset % s->object_size == 0 &&
           offset / s->object_size < s->carved;
}

/* ---- Threads that leave or sleep ------------------------------------------------------------- */

static struct slab_list *list_of(struct pool_heap *h, struct slab *s)
{
    switch ((enum slab_state)s->state) {
    case SLAB_FULL:
        return &h->of[s->size_class].full;
    case SLAB_PARTIAL:
        return &h->of[s->size_class].partial;
    case SLAB_RESERVE:
        return &h->reserve[s->pieces];
    default:
        return NULL;
    }
}

/* Takes a slab off its heap's lists, whatever its state. */
static void detach(struct pool_heap *h, struct slab *s)
{
    if (s->state == SLAB_CURRENT)
        h->of[s->size_class].current = NULL;
    else
        slab_list_remove(list_of(h, s), s);
    if (s->state == SLAB_RESERVE)
        h->reserve_bytes -= slab_bytes(s);
}

static void orphan(struct pool_arena *a, struct slab *s)
{
    s->state = SLAB_LOST;
    lock_acquire(&a->lock);
    pool_disown(s, SLAB_ORPHAN);
    slab_list_push(&a->orphans[s->size_class], s);
    a->orphan_count[s->size_class]++;
    lock_release(&a->lock);
    pool_announce(a); /* others will free what is in it, and tell nobody */
}

void pool_leave_slab(struct pool_heap *h, struct slab *s, uint32_t now_ms)
{
    struct pool_arena *a = h->arena;
    bool reserve = s->state == SLAB_RESERVE;
    detach(h, s);
    slab_collect(s);
    if (slab_used(s) > 0) {
        orphan(a, s);
        return;
    }
    if (reserve) { /* was uncharged when it went there */
        lock_acquire(&a->lock);
        pool_give_pieces(a, s, now_ms);
        lock_release(&a->lock);
        pool_announce(a);
    } else {
        give_back(a, s, now_ms);
    }
}

static void pool_thread_exit(void *arena, void *thread_state)
{
    struct pool_arena *a = arena;
    struct pool_heap *h = thread_state;
    uint32_t now_ms = pool_ms(os_now());
    if (h->epoch != a->epoch)
        heap_renew(h);
    for (unsigned k = 0; k < SIZE_CLASS_COUNT; k++) {
        struct pool_class *of = &h->of[k];
        pool_empty_magazine(h, &h->fast.magazine[k], now_ms);
        if (of->current != NULL)
            pool_leave_slab(h, of->current, now_ms);
        while (of->partial.first != NULL)
            pool_leave_slab(h, of->partial.first, now_ms);
        while (of->full.first != NULL)
            pool_leave_slab(h, of->full.first, now_ms);
    }
    for (unsigned n = 1; n <= POOL_MAX_PIECES; n++)
        while (h->reserve[n].first != NULL)
            pool_leave_slab(h, h->reserve[n].first, now_ms);
    lock_acquire(&a->lock);
    for (unsigned k = 0; k < SIZE_CLASS_COUNT; k++)
        forget_magazine(h, &h->fast.magazine[k]);
    if (h->prev != NULL)
        h->prev->next = h->next;
    else
        a->heaps = h->next;
    if (h->next != NULL)
        h->next->prev = h->prev;
    a->heap_bytes -= HEAP_BYTES;
    lock_release(&a->lock);
    arena_note_growth(a->owner, h->grown);
    meta_free(h->fast.magazine, SLAB_MAGAZINES_SIZE);
    meta_free(h, sizeof *h);
}

/* ---- Arenas --------------------------------------------------------------------------------- */

static void set_values(struct pool_arena *a, const uint64_t *values)
{
    for (int i = 0; i < POOL_PARAMS; i++)
        atomic_store_explicit(&a->values[i], values[i], memory_order_relaxed);
}

static enum sluice_result pool_arena_create(const struct sluice_arena_config *config, void **arena)
{
    struct pool_arena *a = meta_alloc(sizeof *a);
    if (a == NULL)
        return SLUICE_ERROR_NO_MEMORY;
    a->owner = config->owner;
    a->purge_at = UINT64_MAX;
    set_values(a, config->values);
    uint64_t wanted = (pool_value(a, POOL_PREALLOCATE) + CHUNK_SIZE - 1) / CHUNK_SIZE;
    for (uint64_t i = 0; i < wanted; i++) {
        if (!pool_add_chunk(a)) {
            pool_release_all(a);
            meta_free(a, sizeof *a);
            return error_set(SLUICE_ERROR_NO_MEMORY, "cannot preallocate %llu bytes",
                             (unsigned long long)pool_value(a, POOL_PREALLOCATE));
        }
        struct slab_chunk *c = a->by_free[SLAB_PIECES];
        int why = os_populate(c->chunk.base, CHUNK_SIZE);
        if (c->dirty_pieces == 0) { /* also after a failure: some pages may be resident */
            c->dirty_pieces = c->free_pieces;
            c->freed_ms = pool_ms(os_now());
            a->dirty_bytes += CHUNK_SIZE;
        }
        if (why != 0) {
            log_line(LOG_LEVEL_WARN, "backend \"%s\": preallocation ends at %llu of %llu bytes: %s",
                     config->name, (unsigned long long)i * CHUNK_SIZE,
                     (unsigned long long)pool_value(a, POOL_PREALLOCATE), strerrordesc_np(why));
            break;
        }
    }
    *arena = a;
    return SLUICE_OK;
}

static enum sluice_result pool_reset(void *arena)
{
    struct pool_arena *a = arena;
    lock_acquire(&a->lock);
    a->epoch++;
    memset(a->orphans, 0, sizeof a->orphans);
    for (unsigned k = 0; k < SIZE_CLASS_COUNT; k++)
        atomic_store_explicit(&a->orphan_count[k], 0, memory_order_relaxed);
    pool_end_chunks(a, pool_ms(os_now()));
    lock_release(&a->lock);
    pool_announce(a);
    return SLUICE_OK;
}

static void pool_arena_destroy(void *arena)
{
    struct pool_arena *a = arena;
    lock_acquire(&a->lock);
    for (unsigned k = 0; k < SIZE_CLASS_COUNT; k++) /* empty, but still charged */
        for (struct slab *s = a->orphans[k].first; s != NULL; s = s->next)
            sluice_arena_uncharge(a->owner, slab_bytes(s));
    pool_release_all(a);
    lock_release(&a->lock);
    meta_free(a, sizeof *a);
}

static enum sluice_result pool_configure(void *arena, const struct sluice_arena_config *config)
{
    struct pool_arena *a = arena;
    set_values(
        a,
        config->values); /* preallocation counts at the start only, as memory to keep from now on */
    return SLUICE_OK;
}

static const char *const huge_choices[] = {"never", "auto", "always", NULL};

static const struct sluice_param pool_params[POOL_PARAMS] = {
    [POOL_THREAD_CACHE] = {.name = "thread_cache",
                           .type = SLUICE_PARAM_SIZE,
                           .default_value = 8u << 20,
                           .maximum = (uint64_t)1 << 40,
                           .help = "empty slabs that each thread keeps for itself, in bytes"},
    [POOL_PREALLOCATE] = {.name = "preallocate",
                          .type = SLUICE_PARAM_SIZE,
                          .maximum = (uint64_t)1 << 40,
                          .help = "bytes made resident when the arena is made, and kept"},
    [POOL_RETAIN] = {.name = "retain",
                     .type = SLUICE_PARAM_SIZE,
                     .default_value = 16u << 20,
                     .maximum = (uint64_t)1 << 40,
                     .help = "free bytes that are kept warm for the next stage"},
    [POOL_PURGE_AFTER] = {.name = "purge_after",
                          .type = SLUICE_PARAM_DURATION,
                          .default_value = 1000000000u,
                          .maximum = (uint64_t)86400 * 1000000000u,
                          .help = "how long memory stays free before it goes back to the system"},
    [POOL_HUGE_PAGES] =
        {.name = "huge_pages",
         .type = SLUICE_PARAM_CHOICE,
         .default_value = POOL_HUGE_AUTO,
         .choices = huge_choices,
         .help =
             "whether chunks are huge pages; auto: from the fifth chunk on, where slabs are well used"},
};

const struct sluice_backend_ops pool_ops = {
    .abi_version = SLUICE_BACKEND_ABI_VERSION,
    .struct_size = sizeof(struct sluice_backend_ops),
    .name = "pool",
    .capabilities = SLUICE_BACKEND_OWNS_ADDRESS_SPACE | SLUICE_BACKEND_COUNTS |
                    SLUICE_BACKEND_KEEPS_LIMIT | SLUICE_BACKEND_BULK_RESET,
    .max_size = SIZE_CLASS_MAX,
    .params = pool_params,
    .param_count = POOL_PARAMS,
    .arena_create = pool_arena_create,
    .arena_destroy = pool_arena_destroy,
    .alloc = pool_alloc,
    .free = pool_free,
    .usable_size = pool_usable_size,
    .stats = pool_stats,
    .reset = pool_reset,
    .purge = pool_purge,
    .thread_exit = pool_thread_exit,
    .check = pool_check,
    .configure = pool_configure,
    .slab_event = pool_slab_event,
    .thread_flush = pool_thread_flush,
    .live_bytes = pool_live_bytes,
};
