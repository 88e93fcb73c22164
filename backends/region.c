/* region.c - the backend `region`: bump allocation for phases. See region.h for its parts.
 *
 * A thread allocates by moving a cursor through a piece of memory of its own; reset() drops everything at once, keeps the
 * pages for the next phase, and asks the system for nothing. Between two resets a free gives back what is cheap to give
 * back: the newest object of the thread's piece (or of the chunk, where it lies between pieces), the whole piece when the
 * thread has freed all that it allocated there, and large objects. Everything else stays where it is until the reset; it is counted as freed, and marked, so that
 * a second free is reported.
 *
 * The size of an object stands in 8 bytes before it (core/bump.h). A map of where objects start would cost a power of two
 * no header, but a look at another cache line for each allocation and each free, and 16 KiB to clear for each chunk at
 * a reset.
 */
#include "backends/region.h"

#include <string.h>

#include "backends/builtin.h"
#include "core/arena.h"
#include "core/header.h"
#include "core/log.h"
#include "core/meta.h"
#include "core/os.h"
#include "core/phase.h"

/* More than the address space of any process; keeps sums from wrapping. */
#define SIZE_TOO_LARGE ((size_t)1 << 47)

static char *align_up(char *p, size_t alignment)
{
    return p + (-(uintptr_t)p & (alignment - 1));
}

/* ---- Allocation ----------------------------------------------------------------------------- */

/* One that the heap did not bump. */
static void count_apart(struct region_heap *h, size_t usable)
{
    count_one(&h->bump.objects);
    h->start_objects++;
    region_add(&h->extra, usable + BUMP_HEADER);
}

/* Makes what was allocated from memory that may be other than zero before `touched` zero. */
static void clear(char *p, size_t usable, const char *touched)
{
    if (region_chunk_of(p)->chunk.stale || touched >= p + usable)
        memset(p, 0, usable);
    else if (touched > p)
        memset(p, 0, (size_t)(touched - p));
}

/* From the thread's piece; NULL when it does not fit. */
static char *alloc_in_piece(struct region_heap *h, size_t size, size_t alignment)
{
    char *next = region_pointer(&h->bump.next), *p = align_up(next, alignment);
    if (p == next)
        return bump_take(&h->bump, size);
    if (next == NULL || p >= h->bump.end || (size_t)(h->bump.end - p) < bump_step(size))
        return NULL;
    region_add(&h->extra, (uint64_t)(next - p)); /* the gap is nobody's object */
    region_set_pointer(&h->bump.next, p);
    return bump_take(&h->bump, size);
}

static bool new_piece(struct region_arena *a, struct region_heap *h, size_t need)
{
    size_t want = need > h->piece_size ? need : h->piece_size;
    char *base, *end, *touched;
    lock_acquire(&a->lock);
    bool done = region_take(a, need, want, &base, &end, &touched);
    if (done) {
        region_leave_piece(h);
        region_set_piece(h, base, end, touched);
        if (h->piece_size < REGION_PIECE_MAX)
            h->piece_size *= 2;
    }
    lock_release(&a->lock);
    if (done)
        arena_note_growth(a->owner, end - base);
    return done;
}

/* Straight from a chunk: the thread's piece stays. */
static char *alloc_medium(struct region_arena *a, struct region_heap *h, size_t size,
                          size_t alignment, size_t need, bool zero)
{
    char *base, *end, *touched;
    lock_acquire(&a->lock);
    bool done = region_take(a, need, need, &base, &end, &touched);
    lock_release(&a->lock);
    if (!done)
        return NULL;
    char *p = align_up(base + 2 * BUMP_HEADER, alignment);
    size_t usable = bump_step(size) - BUMP_HEADER;
    atomic_store_explicit(bump_header(p), bump_header_value(a->seal, p, usable | BUMP_APART),
                          memory_order_relaxed);
    if (zero)
        clear(p, usable, touched);
    count_apart(h, usable);
    arena_note_growth(a->owner, (int64_t)need);
    return p;
}

static void *alloc(void *arena, void **thread_state, size_t size, size_t alignment, unsigned flags,
                   size_t *usable)
{
    struct region_arena *a = arena;
    struct region_heap *h = region_heap_in(a, thread_state);
    bool zero = (flags & SLUICE_ALLOC_ZERO) != 0;
    if (h == NULL || size >= SIZE_TOO_LARGE)
        return NULL;
    if (size > REGION_LARGEST_SHARED || alignment > REGION_LARGEST_SHARED / 2 ||
        size + alignment > REGION_LARGEST_SHARED) {
        void *p = region_large_alloc(a, size, alignment, zero, usable);
        if (p != NULL) {
            count_apart(h, *usable);
            arena_note_growth(a->owner, *usable);
        }
        return p;
    }
    char *p = alloc_in_piece(h, size, alignment);
    if (p == NULL) {
        size_t need = (2 * BUMP_HEADER + bump_step(size) + (alignment - 16) + 63) & ~(size_t)63;
        *usable = bump_step(size) - BUMP_HEADER;
        if (need > REGION_MEDIUM)
            return alloc_medium(a, h, size, alignment, need, zero);
        if (!new_piece(a, h, need))
            return NULL;
        p = alloc_in_piece(h, size, alignment);
    }
    *usable = bump_step(size) - BUMP_HEADER;
    if (zero)
        clear(p, *usable, region_pointer(&h->touched));
    return p;
}

/* ---- Objects -------------------------------------------------------------------------------- */

/* What the header of an object of this epoch says: usable bytes and flags. Other than that where p is none: then bits that
 * no size has are set, those for its alignment among them. */
static inline uint64_t header_of(const struct region_arena *a, const void *p)
{
    if (__builtin_expect(((uintptr_t)p & (CHUNK_SIZE - 1)) < 2 * BUMP_HEADER, 0))
        return UINT64_MAX; /* the header would be in another chunk */
    return region_load(bump_header(p)) ^ bump_header_value(a->seal, p, 0);
}

static inline bool is_object(uint64_t header)
{
    return header >> 28 == 0 && (header & 15 & ~BUMP_FLAGS) == BUMP_HEADER;
}

static inline bool is_live(uint64_t header)
{
    return is_object(header & ~BUMP_APART) && (header & BUMP_FREED) == 0;
}

static __attribute__((noreturn, cold)) void misuse(const struct region_arena *a, const char *call,
                                                   const void *p, uint64_t header)
{
    if (is_object(header))
        log_fatal("%s(%p): it was freed before (backend region)", call, p);
    char phase[320] = "";
    if (a->owner->phase != NULL)
        phase_describe(a->owner->phase, phase, sizeof phase);
    log_fatal("%s(%p): the pointer is not an object's start, or the object went with its phase%s%s "
              "(backend region)",
              call, p, phase[0] == '\0' ? "" : ": ", phase);
}

static inline uint64_t live_header_of(const struct region_arena *a, const void *p, const char *call)
{
    uint64_t header = header_of(a, p);
    if (__builtin_expect(!is_live(header), 0))
        misuse(a, call, p, header);
    return header;
}

/* Memory of the thread's own piece may be used again at once. */
static void free_in_piece(struct region_heap *h, char *p, size_t usable)
{
    char *next = region_pointer(&h->bump.next);
    if ((size_t)(p - h->start) >= (size_t)(next - h->start))
        return;
    if (region_load(&h->bump.objects) - h->start_objects == ++h->piece_freed) {
        region_move_back(h, h->start);
        h->start_objects = region_load(&h->bump.objects);
        h->piece_freed = 0;
    } else if (p + usable + BUMP_HEADER == next) {
        region_move_back(h, p);
    }
}

/* The newest of its chunk goes back to it. */
static void free_medium(struct region_arena *a, char *p, size_t usable)
{
    char *end = align_up(p + usable + BUMP_HEADER, 64);
    const struct region_chunk *c = region_chunk_of(p);
    lock_acquire(&a->lock);
    if (end == c->chunk.base + c->used)
        region_give(a, p - 2 * BUMP_HEADER, end, end);
    lock_release(&a->lock);
}

static size_t free_object(void *arena, void **thread_state, void *p)
{
    struct region_arena *a = arena;
    struct region_chunk *c = region_chunk_of(p);
    struct region_heap *h = region_heap_in(a, thread_state);
    arena_note_turn(a->owner);
    size_t usable;
    if (c->is_large) {
        usable = region_large_free(a, c, p);
    } else {
        uint64_t header = live_header_of(a, p, "sluice_free");
        usable = header & ~BUMP_FLAGS;
        atomic_store_explicit(bump_header(p), bump_header_value(a->seal, p, header | BUMP_FREED),
                              memory_order_relaxed);
        if ((header & BUMP_APART) != 0)
            free_medium(a, p, usable);
        else if (h != NULL)
            free_in_piece(h, p, usable);
    }
    if (h != NULL) {
        region_add(&h->freed, 1);
        region_add(&h->freed_bytes, usable);
    } else {
        lock_acquire(&a->lock);
        a->past_freed++;
        a->past_freed_bytes += usable;
        lock_release(&a->lock);
    }
    return usable;
}

static size_t usable_size(void *arena, const void *p)
{
    struct region_arena *a = arena;
    const struct region_chunk *c = region_chunk_of(p);
    return c->is_large ? c->used : live_header_of(a, p, "sluice_usable_size") & ~BUMP_FLAGS;
}

/* The newest object of the thread's piece grows and shrinks in place. Others shrink in name only: their memory would be
 * nobody's. */
static void *resize(void *arena, void **thread_state, void *p, size_t size, size_t *usable)
{
    struct region_arena *a = arena;
    struct region_chunk *c = region_chunk_of(p);
    struct region_heap *h = region_heap_in(a, thread_state);
    if (h == NULL || size >= SIZE_TOO_LARGE)
        return NULL;
    if (c->is_large) {
        size_t before = c->used;
        if (!region_large_resize(a, c, size))
            return NULL;
        *usable = c->used;
        region_add(&h->extra, *usable - before);
        return p;
    }
    size_t before = live_header_of(a, p, "sluice_realloc") & ~BUMP_FLAGS;
    size_t after = bump_step(size) - BUMP_HEADER;
    char *object = p;
    if (object + before + BUMP_HEADER != region_pointer(&h->bump.next) || object < h->start) {
        *usable = before;
        return after <= before ? p : NULL;
    }
    if (after > before && after - before > (size_t)(h->bump.end - object) - before - BUMP_HEADER)
        return NULL;
    region_note_touched(h);
    atomic_store_explicit(bump_header(p), bump_header_value(a->seal, p, after),
                          memory_order_relaxed);
    region_set_pointer(&h->bump.next, object + after + BUMP_HEADER);
    *usable = after;
    return p;
}

static int check(void *arena, const void *p)
{
    struct region_arena *a = arena;
    const struct region_chunk *c = region_chunk_of(p);
    if (c->is_large) {
        lock_acquire(&a->lock);
        bool live = c->state == REGION_LARGE && p == c->chunk.base;
        lock_release(&a->lock);
        return live;
    }
    return is_live(header_of(a, p));
}

/* ---- Arenas --------------------------------------------------------------------------------- */

static void begin_epoch(struct region_arena *a)
{
    a->epoch++;
    a->seal = (header_secret ^ (uintptr_t)a ^ a->epoch * 0x9E3779B97F4A7C15u) * 0xBF58476D1CE4E5B9u;
    a->seal &= ~(uint64_t)UINT32_MAX;
}

static enum sluice_result reset(void *arena)
{
    struct region_arena *a = arena;
    uint64_t now = os_now();
    lock_acquire(&a->lock);
    while (a->active != NULL) {
        region_leave_piece(a->active);
        region_deactivate(a, a->active);
    }
    begin_epoch(a);
    region_drop_all(a, now);
    a->past_freed = a->past_objects;
    a->past_freed_bytes = a->past_bytes;
    lock_release(&a->lock);
    region_announce(a, now);
    return SLUICE_OK;
}

static size_t purge(void *arena, uint64_t now, unsigned flags, uint64_t *next_due)
{
    struct region_arena *a = arena;
    lock_acquire(&a->lock);
    size_t bytes = region_purge_idle(a, now, (flags & SLUICE_PURGE_FORCE) != 0, next_due);
    lock_release(&a->lock);
    return bytes;
}

static void stats(void *arena, struct sluice_backend_stats *out)
{
    struct region_arena *a = arena;
    lock_acquire(&a->lock);
    uint64_t objects = a->past_objects, bytes = a->past_bytes;
    uint64_t freed = a->past_freed, freed_bytes = a->past_freed_bytes;
    uint64_t resident = region_resident(a);
    for (const struct region_heap *h = a->active; h != NULL; h = h->next) {
        /* Frees first: an object that is freed elsewhere meanwhile was allocated before. */
        freed += region_load(&h->freed);
        freed_bytes += region_load(&h->freed_bytes);
        objects += region_load(&h->bump.objects);
        bytes += region_allocated(h);
        resident -= region_heap_untouched(h);
    }
    uint64_t large = a->large_objects, records = a->record_bytes;
    lock_release(&a->lock);
    /* Readings of busy threads may be a little below zero. */
    uint64_t live = (int64_t)(objects - freed) > 0 ? objects - freed : 0;
    uint64_t headers = live > large ? (live - large) * BUMP_HEADER : 0;
    out->allocated_objects = objects;
    out->freed_objects = objects - live;
    out->live_objects = live;
    out->live_bytes = (int64_t)(bytes - freed_bytes) > 0 ? bytes - freed_bytes : 0;
    out->metadata_bytes = records + headers;
    uint64_t used = out->live_bytes + headers;
    out->cached_bytes = (int64_t)(resident - used) > 0 ? resident - used : 0;
}

static void set_values(struct region_arena *a, const uint64_t *values)
{
    for (int i = 0; i < REGION_PARAMS; i++)
        atomic_store_explicit(&a->values[i], values[i], memory_order_relaxed);
}

static enum sluice_result create(const struct sluice_arena_config *config, void **arena)
{
    struct region_arena *a = meta_alloc(sizeof *a);
    if (a == NULL)
        return SLUICE_ERROR_NO_MEMORY;
    a->owner = config->owner;
    a->record_bytes = sizeof *a;
    set_values(a, config->values);
    begin_epoch(a);
    *arena = a;
    return SLUICE_OK;
}

static void destroy(void *arena)
{
    struct region_arena *a = arena;
    lock_acquire(&a->lock);
    region_release_all(a);
    lock_release(&a->lock);
    meta_free(a, sizeof *a);
}

static enum sluice_result configure(void *arena, const struct sluice_arena_config *config)
{
    struct region_arena *a = arena;
    set_values(a, config->values);
    sluice_purge_wanted(a->owner, os_now()); /* what was kept may be due now */
    return SLUICE_OK;
}

static const char *const huge_choices[] = {"never", "auto", "always", NULL};

static const struct sluice_param params[REGION_PARAMS] = {
    [REGION_RETAIN] = {.name = "retain",
                       .type = SLUICE_PARAM_SIZE,
                       .default_value = 0,
                       .maximum = (uint64_t)1 << 40,
                       .help = "bytes of a phase that ended that are kept warm, however long"},
    [REGION_PURGE_AFTER] = {.name = "purge_after",
                            .type = SLUICE_PARAM_DURATION,
                            .default_value = 1000000000u,
                            .maximum = (uint64_t)86400 * 1000000000u,
                            .help = "how long memory is kept warm for the next phase"},
    [REGION_HUGE_PAGES] = {.name = "huge_pages",
                           .type = SLUICE_PARAM_CHOICE,
                           .default_value = REGION_HUGE_AUTO,
                           .choices = huge_choices,
                           .help = "whether chunks are huge pages; auto: from the fifth chunk on"},
};

const struct sluice_backend_ops region_ops = {
    .abi_version = SLUICE_BACKEND_ABI_VERSION,
    .struct_size = sizeof(struct sluice_backend_ops),
    .name = "region",
    .capabilities = SLUICE_BACKEND_OWNS_ADDRESS_SPACE | SLUICE_BACKEND_COUNTS |
                    SLUICE_BACKEND_BULK_RESET | SLUICE_BACKEND_KEEPS_LIMIT | SLUICE_BACKEND_BUMPS,
    .params = params,
    .param_count = REGION_PARAMS,
    .arena_create = create,
    .arena_destroy = destroy,
    .alloc = alloc,
    .free = free_object,
    .usable_size = usable_size,
    .stats = stats,
    .realloc = resize,
    .reset = reset,
    .purge = purge,
    .thread_exit = region_thread_exit,
    .check = check,
    .configure = configure,
};
