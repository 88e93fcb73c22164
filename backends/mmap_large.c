/* mmap_large.c - objects of 2 MiB and more of the mmap backend: a chunk run for each.
 *
 *   |<---------- capacity: whole chunks of address space ---------->|
 *   |<-------- pages: the object, 4 KiB units -------->|  untouched |
 *   |<-- whole 2 MiB pieces: huge pages -->|
 *
 * An object that outgrows its run gets one of twice the size, and its pages are moved there, not copied.
 *
 * Invariant: everything in a run behind `pages` is zero and not resident. So growing inside the
 * run needs no system call, and a tail shorter than 2 MiB never becomes a huge page that would
 * hold more than was asked for.
 */
#include <stdatomic.h>
#include <string.h>

#include "backends/mmap.h"
#include "core/chunk.h"
#include "core/log.h"
#include "core/os.h"

#define CHUNK_PAGES (SLUICE_CHUNK_SIZE / PAGE_MAP_PAGE)

/* Advice on a part of a run splits one kernel mapping in two; a process may have 65,530
 * (vm.max_map_count). So many runs get advice on a part at most, in the whole process. */
#define SPLIT_RUNS_MAX 16384

/* Idle runs that are looked at in one bin before the next. */
#define TRIES_PER_BIN 8

static _Atomic int split_runs;

/* The same for runs whose pages were moved to them. */
#define MOVED_RUNS_MAX 4096

static _Atomic int moved_runs;

/* ---- Lists. In the lock. --------------------------------------------------------------------- */

static void push(struct mmap_run **head, struct mmap_run *r)
{
    r->prev = NULL;
    r->next = *head;
    if (r->next != NULL)
        r->next->prev = r;
    *head = r;
}

static void unlink_from(struct mmap_run **head, struct mmap_run *r)
{
    if (r->next != NULL)
        r->next->prev = r->prev;
    if (r->prev != NULL)
        r->prev->next = r->next;
    else
        *head = r->next;
}

static unsigned idle_bin(size_t chunks)
{
    return chunks < MMAP_IDLE_BINS ? (unsigned)chunks - 1 : MMAP_IDLE_BINS - 1;
}

static void idle_insert(struct mmap_arena *a, struct mmap_run *r)
{
    unsigned bin = idle_bin(r->capacity / CHUNK_PAGES);
    push(&a->idle[bin], r);
    a->idle_mask |= UINT64_C(1) << bin;
    r->newer = NULL;
    r->older = a->newest;
    if (r->older != NULL)
        r->older->newer = r;
    else
        a->oldest = r;
    a->newest = r;
}

static void idle_remove(struct mmap_arena *a, struct mmap_run *r)
{
    unsigned bin = idle_bin(r->capacity / CHUNK_PAGES);
    unlink_from(&a->idle[bin], r);
    if (a->idle[bin] == NULL)
        a->idle_mask &= ~(UINT64_C(1) << bin);
    if (r->older != NULL)
        r->older->newer = r->newer;
    else
        a->oldest = r->newer;
    if (r->newer != NULL)
        r->newer->older = r->older;
    else
        a->newest = r->older;
}

/* An idle run of at least that many chunks, and not more than a quarter too many. */
static struct mmap_run *idle_find(struct mmap_arena *a, size_t chunks, size_t alignment)
{
    size_t most = chunks + chunks / 4;
    for (unsigned bin = idle_bin(chunks); bin <= idle_bin(most); bin++) {
        if ((a->idle_mask >> bin & 1) == 0)
            continue;
        struct mmap_run *r = a->idle[bin];
        for (int tries = 0; r != NULL && tries < TRIES_PER_BIN; r = r->next, tries++) {
            size_t has = r->capacity / CHUNK_PAGES;
            if (has >= chunks && has <= most && ((uintptr_t)r->home.base & (alignment - 1)) == 0)
                return r;
        }
    }
    return NULL;
}

/* ---- Runs. Outside of the lock. -------------------------------------------------------------- */

/* Advice for the object's pages from the page `from` on, which is where it ended before. */
static void advise(const struct mmap_arena *a, struct mmap_run *r, size_t from)
{
    if (a->huge == MMAP_HUGE_NEVER || !os_huge_available())
        return;
    size_t begin = from / CHUNK_PAGES, end = r->pages / CHUNK_PAGES;
    if (begin >= end)
        return;
    if (r->pages % CHUNK_PAGES != 0 && !r->is_split) {
        if (atomic_load_explicit(&split_runs, memory_order_relaxed) >= SPLIT_RUNS_MAX)
            return;
        atomic_fetch_add_explicit(&split_runs, 1, memory_order_relaxed);
        r->is_split = true;
    }
    struct chunk *c = chunk_of(r->home.base);
    if (r->pages == r->capacity) {
        chunk_set_huge(c, true);
        return;
    }
    os_advise_huge(r->home.base + begin * SLUICE_CHUNK_SIZE, (end - begin) * SLUICE_CHUNK_SIZE,
                   OS_HUGE_ALWAYS);
    c->mixed = true;
}

static void drop_pages(struct mmap_run *r, size_t from, size_t to);

/* `capacity` pages of address space at least. */
static struct mmap_run *run_create(struct mmap_arena *a, size_t pages, size_t capacity,
                                   size_t alignment, bool zero)
{
    struct mmap_run *r = sluice_metadata_alloc(sizeof *r);
    if (r == NULL)
        return NULL;
    r->home.kind = MMAP_LARGE;
    bool stale = false; /* what somebody left, and the kernel did not take yet, will do */
    r->home.base =
        zero ? sluice_chunk_acquire(a->owner, capacity * PAGE_MAP_PAGE, alignment)
             : sluice_chunk_acquire_any(a->owner, capacity * PAGE_MAP_PAGE, alignment, &stale);
    if (r->home.base == NULL) {
        sluice_metadata_free(r, sizeof *r);
        return NULL;
    }
    r->pages = pages;
    r->capacity = (capacity + CHUNK_PAGES - 1) / CHUNK_PAGES * CHUNK_PAGES;
    sluice_chunk_set_data(r->home.base, r);
    if (pages < r->capacity || a->huge == MMAP_HUGE_NEVER)
        chunk_set_huge(chunk_of(r->home.base), false);
    if (stale && r->capacity > pages)
        drop_pages(r, pages, r->capacity);
    return r;
}

/* `clean`: it has no pages. */
static void run_destroy_as(struct mmap_run *r, bool clean)
{
    chunk_release(chunk_of(r->home.base), clean);
    if (r->is_split)
        atomic_fetch_sub_explicit(&split_runs, 1, memory_order_relaxed);
    if (r->is_moved)
        atomic_fetch_sub_explicit(&moved_runs, 1, memory_order_relaxed);
    sluice_metadata_free(r, sizeof *r);
}

static void run_destroy(struct mmap_run *r)
{
    run_destroy_as(r, false);
}

/* Makes [from, to) of a run zero and not resident. */
static void drop_pages(struct mmap_run *r, size_t from, size_t to)
{
    char *p = r->home.base + from * PAGE_MAP_PAGE;
    if (!os_purge(p, (to - from) * PAGE_MAP_PAGE))
        memset(p, 0, (to - from) * PAGE_MAP_PAGE); /* locked in memory: zero must do */
}

/* ---- Objects --------------------------------------------------------------------------------- */

/* An idle run for an object of that many pages, which are charged already; NULL when none fits. */
static struct mmap_run *reuse(struct mmap_arena *a, size_t pages, size_t alignment, bool zero)
{
    lock_acquire(&a->lock);
    struct mmap_run *r = idle_find(a, (pages + CHUNK_PAGES - 1) / CHUNK_PAGES, alignment);
    if (r == NULL) {
        lock_release(&a->lock);
        return NULL;
    }
    size_t resident = r->pages;
    idle_remove(a, r);
    push(&a->large, r);
    r->pages = pages;
    r->is_live = true;
    a->kept_bytes -= resident * PAGE_MAP_PAGE;
    a->live_bytes += pages * PAGE_MAP_PAGE;
    a->allocated++;
    lock_release(&a->lock);
    if (resident > pages)
        drop_pages(r, pages, resident);
    else
        advise(a, r, resident);
    mmap_uncharge_kept(a, resident * PAGE_MAP_PAGE);
    if (zero)
        memset(r->home.base, 0, (resident < pages ? resident : pages) * PAGE_MAP_PAGE);
    return r;
}

/* A run that was just made holds an object of its pages from now on. */
static void *begin_object(struct mmap_arena *a, struct mmap_run *r)
{
    r->is_live = true;
    lock_acquire(&a->lock);
    push(&a->large, r);
    a->record_bytes += sizeof *r;
    a->live_bytes += r->pages * PAGE_MAP_PAGE;
    a->allocated++;
    lock_release(&a->lock);
    return r->home.base;
}

void *mmap_large_alloc(struct mmap_arena *a, size_t pages, size_t alignment, bool zero,
                       size_t *usable)
{
    if (a->huge == MMAP_HUGE_ALWAYS)
        pages = (pages + CHUNK_PAGES - 1) / CHUNK_PAGES * CHUNK_PAGES;
    size_t bytes = pages * PAGE_MAP_PAGE;
    if (!mmap_charge(a, bytes))
        return NULL;
    *usable = bytes;
    struct mmap_run *r = reuse(a, pages, alignment, zero);
    if (r != NULL)
        return r->home.base;
    r = run_create(a, pages, pages, alignment, zero);
    if (r == NULL) {
        sluice_arena_uncharge(a->owner, bytes);
        return NULL;
    }
    advise(a, r, 0);
    return begin_object(a, r);
}

size_t mmap_large_free(struct mmap_arena *a, struct mmap_run *r, void *p)
{
    lock_acquire(&a->lock);
    if (p != r->home.base || !r->is_live) {
        lock_release(&a->lock);
        log_fatal("free(%p): no object of backend mmap starts there: freed before, or a pointer "
                  "into an object",
                  p);
    }
    size_t bytes = r->pages * PAGE_MAP_PAGE;
    unlink_from(&a->large, r);
    r->is_live = false;
    a->live_bytes -= bytes;
    a->freed++;
    bool keep = mmap_keep(a, bytes);
    if (keep) {
        r->freed_ms = mmap_now_ms();
        idle_insert(a, r);
    } else {
        a->record_bytes -= sizeof *r;
    }
    lock_release(&a->lock);
    if (!keep) {
        run_destroy(r);
        sluice_arena_uncharge(a->owner, bytes);
    }
    return bytes;
}

bool mmap_large_resize(struct mmap_arena *a, struct mmap_run *r, size_t pages)
{
    size_t had = r->pages; /* the caller's object: nobody else changes it */
    if (a->huge == MMAP_HUGE_ALWAYS)
        pages = (pages + CHUNK_PAGES - 1) / CHUNK_PAGES * CHUNK_PAGES;
    if (pages == had)
        return true;
    if (pages > r->capacity)
        return false;
    if (pages > had && !mmap_charge(a, (pages - had) * PAGE_MAP_PAGE))
        return false;
    if (pages < had)
        drop_pages(r, pages, had);
    lock_acquire(&a->lock);
    r->pages = pages;
    a->live_bytes += (pages - had) * PAGE_MAP_PAGE; /* modulo 2^64 */
    lock_release(&a->lock);
    if (pages < had)
        sluice_arena_uncharge(a->owner, (had - pages) * PAGE_MAP_PAGE);
    else
        advise(a, r, had);
    return true;
}

/* The idle run that was freed first goes back. In the lock, which is left meanwhile. Returns the bytes. */
static size_t give_oldest(struct mmap_arena *a)
{
    struct mmap_run *r = a->oldest;
    size_t bytes = r->pages * PAGE_MAP_PAGE;
    idle_remove(a, r);
    a->kept_bytes -= bytes;
    a->record_bytes -= sizeof *r;
    lock_release(&a->lock);
    run_destroy(r);
    mmap_uncharge_kept(a, bytes);
    lock_acquire(&a->lock);
    return bytes;
}

/* A run of zeros with room to grow, where there is so much address space. What is idle is of no use to it, so as many pages
 * of that go as there will be new ones. */
static struct mmap_run *create_to_grow(struct mmap_arena *a, size_t pages, size_t more)
{
    lock_acquire(&a->lock);
    for (size_t given = 0; given < more * PAGE_MAP_PAGE && a->oldest != NULL;)
        given += give_oldest(a);
    lock_release(&a->lock);
    struct mmap_run *r = run_create(a, pages, 2 * pages, SLUICE_CHUNK_SIZE, true);
    return r != NULL ? r : run_create(a, pages, pages, SLUICE_CHUNK_SIZE, true);
}

/* The pages of r become those of `to`; false: they had to be copied. */
static bool move_pages(struct mmap_run *r, struct mmap_run *to)
{
    size_t bytes = r->pages * PAGE_MAP_PAGE;
    if (atomic_load_explicit(&moved_runs, memory_order_relaxed) >= MOVED_RUNS_MAX ||
        !os_move_pages(r->home.base, to->home.base, bytes)) {
        memcpy(to->home.base, r->home.base, bytes);
        return false;
    }
    to->is_moved = true;
    atomic_fetch_add_explicit(&moved_runs, 1, memory_order_relaxed);
    chunk_of(to->home.base)->mixed = true; /* advice moves with the pages */
    to->is_split = r->is_split;
    r->is_split = false;
    return true;
}

void *mmap_large_grow(struct mmap_arena *a, struct mmap_run *r, size_t pages)
{
    size_t had = r->pages; /* the caller's object: nobody else changes it */
    if (a->huge == MMAP_HUGE_ALWAYS)
        pages = (pages + CHUNK_PAGES - 1) / CHUNK_PAGES * CHUNK_PAGES;
    if (!mmap_charge(a, (pages - had) * PAGE_MAP_PAGE))
        return NULL;
    struct mmap_run *to = create_to_grow(a, pages, pages - had);
    if (to == NULL) {
        sluice_arena_uncharge(a->owner, (pages - had) * PAGE_MAP_PAGE);
        return NULL;
    }
    bool clean = move_pages(r, to);
    advise(a, to, clean ? had : 0);
    to->is_live = true;
    lock_acquire(&a->lock);
    unlink_from(&a->large, r);
    push(&a->large, to);
    a->live_bytes += (pages - had) * PAGE_MAP_PAGE;
    lock_release(&a->lock);
    void *p = to->home.base;
    run_destroy_as(r, clean);
    return p;
}

void *mmap_large_outgrow(struct mmap_arena *a, const void *p, size_t had, size_t pages)
{
    size_t bytes = pages * PAGE_MAP_PAGE;
    if (!mmap_charge(a, bytes))
        return NULL;
    struct mmap_run *to = create_to_grow(a, pages, pages);
    if (to == NULL) {
        sluice_arena_uncharge(a->owner, bytes);
        return NULL;
    }
    advise(a, to, 0);
    memcpy(to->home.base, p, had);
    return begin_object(a, to);
}

size_t mmap_large_purge(struct mmap_arena *a, uint32_t age_ms, uint32_t *next_ms)
{
    size_t total = 0;
    uint32_t now = mmap_now_ms();
    lock_acquire(&a->lock);
    while (a->oldest != NULL) {
        struct mmap_run *r = a->oldest;
        uint32_t age = now - r->freed_ms;
        if (age_ms > 0 && (int32_t)age < (int32_t)age_ms) {
            if (age_ms - age < *next_ms)
                *next_ms = age_ms - age;
            break;
        }
        total += give_oldest(a);
    }
    lock_release(&a->lock);
    return total;
}

static void drop_idle(struct mmap_arena *a)
{
    while (a->oldest != NULL) {
        struct mmap_run *r = a->oldest;
        idle_remove(a, r);
        a->record_bytes -= sizeof *r;
        run_destroy(r);
    }
}

void mmap_large_end_all(struct mmap_arena *a)
{
    drop_idle(a);
    while (a->large != NULL) {
        struct mmap_run *r = a->large;
        unlink_from(&a->large, r);
        r->is_live = false;
        r->freed_ms = mmap_now_ms();
        a->kept_bytes += r->pages * PAGE_MAP_PAGE;
        idle_insert(a, r);
    }
}

void mmap_large_drop_all(struct mmap_arena *a)
{
    drop_idle(a);
    while (a->large != NULL) {
        struct mmap_run *r = a->large;
        unlink_from(&a->large, r);
        a->record_bytes -= sizeof *r;
        run_destroy(r);
    }
}
