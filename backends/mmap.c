/* mmap.c - the backend `mmap`: large and long-lived blocks straight from the system.
 *
 * An object takes whole 4 KiB pages, and nothing else ever lies in them; when it is freed they
 * return to the system at once, or after `reuse`. So nothing here can hold memory that is not
 * used: no heap top, no leftover. The price is a page fault for each page of each new object;
 * `reuse` avoids it for a program that soon asks for the same sizes again.
 *
 * Two ways to place an object: mmap_shared.c (below 2 MiB) and mmap_large.c; the picture is in
 * mmap.h.
 */
#include <string.h>

#include "backends/builtin.h"
#include "backends/mmap.h"
#include "core/arena.h"
#include "core/chunk.h"
#include "core/log.h"
#include "core/os.h"

#define NS_PER_MS UINT64_C(1000000)
#define NS_PER_S  UINT64_C(1000000000)

/* What an instance of a phase used is kept so long for the next one, where the policy has no `reuse`. */
#define PHASE_KEEP_MS 1000u

/* More than the address space of any process; keeps sums from wrapping. */
#define SIZE_TOO_LARGE ((size_t)1 << 47)

enum { PARAM_REUSE, PARAM_REUSE_LIMIT, PARAM_HUGE_PAGES };

static const char *const huge_choices[] = {"never", "auto", "always", NULL};

static const struct sluice_param params[] = {
    [PARAM_REUSE] = {.name = "reuse",
                     .type = SLUICE_PARAM_DURATION,
                     .default_value = 0,
                     .minimum = 0,
                     .maximum = 24 * 3600 * NS_PER_S,
                     .help = "how long freed pages are kept for the next object; 0: not at all"},
    [PARAM_REUSE_LIMIT] = {.name = "reuse_limit",
                           .type = SLUICE_PARAM_SIZE,
                           .default_value = 0,
                           .minimum = 0,
                           .maximum = UINT64_MAX,
                           .help = "bytes that are kept so at most; 0: the time alone decides"},
    [PARAM_HUGE_PAGES] = {.name = "huge_pages",
                          .type = SLUICE_PARAM_CHOICE,
                          .default_value = MMAP_HUGE_AUTO,
                          .choices = huge_choices,
                          .help =
                              "2 MiB pages: auto for whole pieces of objects of 2 MiB and more; "
                              "always also below smaller ones, and rounds larger ones up"},
};

uint32_t mmap_now_ms(void)
{
    return (uint32_t)(os_now() / NS_PER_MS);
}

bool mmap_is_of_phase(const struct mmap_arena *a)
{
    return a->owner->phase != NULL;
}

void mmap_uncharge_kept(struct mmap_arena *a, size_t bytes)
{
    if (!mmap_is_of_phase(a))
        sluice_arena_uncharge(a->owner, bytes);
}

bool mmap_charge(struct mmap_arena *a, size_t bytes)
{
    if (sluice_arena_charge(a->owner, bytes))
        return true;
    if (mmap_is_of_phase(a))
        return false;
    uint32_t next_ms = UINT32_MAX;
    size_t given = mmap_large_purge(a, 0, &next_ms) + mmap_shared_purge(a, 0, &next_ms);
    return given > 0 && sluice_arena_charge(a->owner, bytes);
}

/* How long free pages are kept, in ms. */
static uint32_t keep_ms(const struct mmap_arena *a)
{
    return mmap_is_of_phase(a) && a->reuse_ms == 0 ? PHASE_KEEP_MS : a->reuse_ms;
}

/* In the lock. */
static void ask_for_purge(struct mmap_arena *a)
{
    if (a->purge_armed)
        return;
    a->purge_armed = true;
    sluice_purge_wanted(a->owner, os_now() + keep_ms(a) * NS_PER_MS);
}

bool mmap_keep(struct mmap_arena *a, size_t bytes)
{
    if (a->reuse_ms == 0 || (a->reuse_limit > 0 && a->kept_bytes + bytes > a->reuse_limit))
        return false;
    a->kept_bytes += bytes;
    if (mmap_is_of_phase(a))
        sluice_arena_uncharge(a->owner, bytes);
    ask_for_purge(a);
    return true;
}

static void apply(struct mmap_arena *a, const uint64_t *values)
{
    a->reuse_ms = (uint32_t)((values[PARAM_REUSE] + NS_PER_MS - 1) / NS_PER_MS);
    a->reuse_limit = values[PARAM_REUSE_LIMIT];
    a->huge = (enum mmap_huge)values[PARAM_HUGE_PAGES];
}

static enum sluice_result create(const struct sluice_arena_config *config, void **arena)
{
    struct mmap_arena *a = sluice_metadata_alloc(sizeof *a);
    if (a == NULL)
        return SLUICE_ERROR_NO_MEMORY;
    a->owner = config->owner;
    a->record_bytes = sizeof *a;
    apply(a, config->values);
    *arena = a;
    return SLUICE_OK;
}

static enum sluice_result configure(void *arena, const struct sluice_arena_config *config)
{
    struct mmap_arena *a = arena;
    lock_acquire(&a->lock);
    apply(a, config->values);
    lock_release(&a->lock);
    sluice_purge_wanted(a->owner, os_now()); /* what was kept may be due now */
    return SLUICE_OK;
}

/* In a phase the mappings stay: an instance that repeats finds them, and asks the system for none. */
static enum sluice_result reset(void *arena)
{
    struct mmap_arena *a = arena;
    lock_acquire(&a->lock);
    a->kept_bytes = 0; /* counted anew, as far as it stays */
    if (mmap_is_of_phase(a)) {
        mmap_large_end_all(a);
        mmap_shared_end_all(a);
    } else {
        mmap_large_drop_all(a);
        mmap_shared_drop_all(a);
    }
    a->live_bytes = 0;
    a->freed = a->allocated;
    if (a->kept_bytes > 0)
        ask_for_purge(a);
    lock_release(&a->lock);
    return SLUICE_OK;
}

static void destroy(void *arena)
{
    struct mmap_arena *a = arena;
    sluice_arena_uncharge(a->owner, a->live_bytes);
    mmap_uncharge_kept(a, a->kept_bytes);
    mmap_large_drop_all(a);
    mmap_shared_drop_all(a);
    sluice_metadata_free(arena, sizeof(struct mmap_arena));
}

static void *alloc(void *arena, void **thread_state, size_t size, size_t alignment, unsigned flags,
                   size_t *usable)
{
    struct mmap_arena *a = arena;
    bool zero = (flags & SLUICE_ALLOC_ZERO) != 0;
    (void)thread_state;
    if (size >= SIZE_TOO_LARGE)
        return NULL;
    size_t pages = (size + PAGE_MAP_PAGE - 1) / PAGE_MAP_PAGE;
    if (pages >= PAGE_MAP_PAGES || alignment >= SLUICE_CHUNK_SIZE)
        return mmap_large_alloc(a, pages, alignment, zero, usable);
    *usable = pages * PAGE_MAP_PAGE;
    return mmap_shared_alloc(a, pages, alignment, zero);
}

static struct mmap_home *home_of(const void *p)
{
    struct mmap_home *home = sluice_chunk_data(p);
    if (home == NULL)
        log_fatal("%p: not an object of backend mmap", p);
    return home;
}

static size_t free_object(void *arena, void **thread_state, void *p)
{
    struct mmap_home *home = home_of(p);
    (void)thread_state;
    return home->kind == MMAP_LARGE ? mmap_large_free(arena, (struct mmap_run *)home, p)
                                    : mmap_shared_free(arena, (struct mmap_chunk *)home, p);
}

static size_t usable_size(void *arena, const void *p)
{
    const struct mmap_home *home = home_of(p);
    (void)arena;
    return home->kind == MMAP_LARGE ? ((const struct mmap_run *)home)->pages * PAGE_MAP_PAGE
                                    : mmap_shared_size((const struct mmap_chunk *)home, p);
}

/* From this size on an object that grows gets a chunk run, where the next steps need no other place. */
#define PAGES_TO_GROW (((size_t)256 << 10) / PAGE_MAP_PAGE)

/* Another place for an object that has outgrown its own; NULL: not from here. */
static void *move_to_grow(struct mmap_arena *a, struct mmap_home *home, void *p, size_t pages)
{
    size_t had = usable_size(a, p);
    if (pages < PAGES_TO_GROW || pages * PAGE_MAP_PAGE <= had)
        return NULL;
    if (home->kind == MMAP_LARGE)
        return mmap_large_grow(a, (struct mmap_run *)home, pages);
    void *moved = mmap_large_outgrow(a, p, had, pages);
    if (moved != NULL)
        mmap_shared_free(a, (struct mmap_chunk *)home, p);
    return moved;
}

static void *resize(void *arena, void **thread_state, void *p, size_t size, size_t *usable)
{
    struct mmap_home *home = home_of(p);
    (void)thread_state;
    if (size >= SIZE_TOO_LARGE)
        return NULL;
    size_t pages = size == 0 ? 1 : (size + PAGE_MAP_PAGE - 1) / PAGE_MAP_PAGE;
    bool done = home->kind == MMAP_LARGE
                    ? mmap_large_resize(arena, (struct mmap_run *)home, pages)
                    : mmap_shared_resize(arena, (struct mmap_chunk *)home, p, pages);
    if (!done && (p = move_to_grow(arena, home, p, pages)) == NULL)
        return NULL;
    *usable = usable_size(arena, p);
    return p;
}

static void stats(void *arena, struct sluice_backend_stats *out)
{
    struct mmap_arena *a = arena;
    lock_acquire(&a->lock);
    out->live_objects = a->allocated - a->freed;
    out->live_bytes = a->live_bytes;
    out->allocated_objects = a->allocated;
    out->freed_objects = a->freed;
    out->cached_bytes = a->kept_bytes;
    out->metadata_bytes = a->record_bytes;
    lock_release(&a->lock);
}

static size_t purge(void *arena, uint64_t now, unsigned flags, uint64_t *next_due)
{
    struct mmap_arena *a = arena;
    bool force = (flags & SLUICE_PURGE_FORCE) != 0;
    lock_acquire(&a->lock);
    uint32_t age_ms = force ? 0 : keep_ms(a);
    a->purge_armed = false; /* whoever keeps pages from now on asks again */
    lock_release(&a->lock);
    uint32_t next_ms = UINT32_MAX;
    size_t bytes = mmap_large_purge(a, age_ms, &next_ms);
    bytes += mmap_shared_purge(a, age_ms, &next_ms);
    *next_due = next_ms == UINT32_MAX ? UINT64_MAX : now + (next_ms + 1) * NS_PER_MS;
    return bytes;
}

static int check(void *arena, const void *p)
{
    struct mmap_arena *a = arena;
    const struct mmap_home *home = sluice_chunk_data(p);
    if (home == NULL)
        return 0;
    if (home->kind == MMAP_LARGE)
        return p == home->base && ((const struct mmap_run *)home)->is_live;
    return mmap_shared_is_object(a, (const struct mmap_chunk *)home, p);
}

const struct sluice_backend_ops mmap_ops = {
    .abi_version = SLUICE_BACKEND_ABI_VERSION,
    .struct_size = sizeof(struct sluice_backend_ops),
    .name = "mmap",
    .capabilities = SLUICE_BACKEND_OWNS_ADDRESS_SPACE | SLUICE_BACKEND_COUNTS |
                    SLUICE_BACKEND_BULK_RESET | SLUICE_BACKEND_KEEPS_LIMIT,
    .params = params,
    .param_count = sizeof params / sizeof *params,
    .arena_create = create,
    .arena_destroy = destroy,
    .alloc = alloc,
    .free = free_object,
    .usable_size = usable_size,
    .stats = stats,
    .realloc = resize,
    .reset = reset,
    .purge = purge,
    .check = check,
    .configure = configure,
};
