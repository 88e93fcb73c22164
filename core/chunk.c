/* chunk.c - see chunk.h.
 *
 * Free runs are records on one list for each size up to 31 chunks and one for the rest; the two ends of
 * a free run are found through two hashes of its first and its last address, so that a run that
 * becomes free can be joined with its neighbours.
 *
 * Lazy runs are on a list of their own, newest first: given out again in that order, dropped from the other end. They
 * are not joined: their pages are worth more than their address space. */
#include "core/chunk.h"

#include <string.h>

#include "core/control.h"
#include "core/lock.h"
#include "core/log.h"
#include "core/meta.h"
#include "core/os.h"

/* The system is asked for at least this much at a time: neighbours merge into one mapping. */
#define GROW_SIZE   ((size_t)32 << 20)
/* Address space kept for later; it holds no pages. Unmapping beyond it keeps the process's size honest
 * for those who watch it. */
#define RESERVE_MAX ((size_t)1 << 30)

#define EXACT_LISTS    32
#define FREE_HASH_BITS 10

struct free_run {
    char *base;
    size_t size;
    struct free_run *next, *prev;           /* list by size */
    struct free_run *start_next, *end_next; /* hash chains */
};

static struct lock chunk_lock;
static struct free_run *lists[EXACT_LISTS];
static struct free_run *by_start[1 << FREE_HASH_BITS], *by_end[1 << FREE_HASH_BITS];
static uint64_t owned_bytes, reserved_bytes, lazy_bytes;

struct lazy_run {
    char *base;
    size_t size;
    uint64_t since; /* CLOCK_MONOTONIC, ns */
    bool huge, mixed;
    struct lazy_run *newer, *older; /* all, by time */
    struct lazy_run *next, *prev;   /* of this size */
};

static struct lazy_run *lazy_newest, *lazy_oldest;
static struct lazy_run *lazy_lists[EXACT_LISTS]; /* as `lists` */
static _Atomic uint64_t lazy_time;

static size_t hash_of(const char *p)
{
    return (size_t)(((uintptr_t)p >> CHUNK_SHIFT) * 0x9E3779B97F4A7C15u >> (64 - FREE_HASH_BITS));
}

static unsigned list_of(size_t size)
{
    size_t n = size >> CHUNK_SHIFT;
    return n < EXACT_LISTS ? (unsigned)n - 1 : EXACT_LISTS - 1;
}

static void free_run_insert(struct free_run *r)
{
    struct free_run **list = &lists[list_of(r->size)];
    r->prev = NULL;
    r->next = *list;
    if (*list != NULL)
        (*list)->prev = r;
    *list = r;
    size_t s = hash_of(r->base), e = hash_of(r->base + r->size);
    r->start_next = by_start[s];
    by_start[s] = r;
    r->end_next = by_end[e];
    by_end[e] = r;
    reserved_bytes += r->size;
}

static void free_run_remove(struct free_run *r)
{
    if (r->prev != NULL)
        r->prev->next = r->next;
    else
        lists[list_of(r->size)] = r->next;
    if (r->next != NULL)
        r->next->prev = r->prev;
    struct free_run **at = &by_start[hash_of(r->base)];
    while (*at != r)
        at = &(*at)->start_next;
    *at = r->start_next;
    at = &by_end[hash_of(r->base + r->size)];
    while (*at != r)
        at = &(*at)->end_next;
    *at = r->end_next;
    reserved_bytes -= r->size;
}

static struct free_run *free_run_starting(const char *p)
{
    struct free_run *r = by_start[hash_of(p)];
    while (r != NULL && r->base != p)
        r = r->start_next;
    return r;
}

static struct free_run *free_run_ending(const char *p)
{
    struct free_run *r = by_end[hash_of(p)];
    while (r != NULL && r->base + r->size != p)
        r = r->end_next;
    return r;
}

/* Whoever maps there next must not find our entries. */
static bool unmap_range(char *base, size_t size)
{
    pagemap_set(base, size, 0);
    if (os_unmap(base, size))
        return true;
    if (pagemap_open(base, size))
        pagemap_set(base, size, PAGEMAP_FREE);
    return false;
}

/* A free run for [base, base + size), joined with its neighbours. Without memory for the record the
 * range is unmapped instead. */
static void free_range(char *base, size_t size)
{
    struct free_run *before = free_run_ending(base), *after = free_run_starting(base + size);
    if (before != NULL) {
        free_run_remove(before);
        base = before->base;
        size += before->size;
    }
    if (after != NULL) {
        free_run_remove(after);
        size += after->size;
    }
    if (before != NULL && after != NULL)
        meta_free(after, sizeof *after);
    struct free_run *r = before != NULL ? before : after != NULL ? after : meta_alloc(sizeof *r);
    if (r == NULL) {
        unmap_range(base, size);
        return;
    }
    r->base = base;
    r->size = size;
    free_run_insert(r);
}

/* The place in r where an aligned range of that size fits, or NULL. */
static char *fit(const struct free_run *r, size_t size, size_t alignment)
{
    uintptr_t at = ((uintptr_t)r->base + alignment - 1) & ~(uintptr_t)(alignment - 1);
    return at + size <= (uintptr_t)r->base + r->size ? (char *)at : NULL;
}

static char *take_free(size_t size, size_t alignment)
{
    for (unsigned i = list_of(size); i < EXACT_LISTS; i++)
        for (struct free_run *r = lists[i]; r != NULL; r = r->next) {
            char *at = fit(r, size, alignment);
            if (at == NULL)
                continue;
            free_run_remove(r);
            char *base = r->base, *end = r->base + r->size;
            meta_free(r, sizeof *r);
            if (at > base)
                free_range(base, (size_t)(at - base));
            if (at + size < end)
                free_range(at + size, (size_t)(end - at - size));
            return at;
        }
    return NULL;
}

static char *map_run(size_t size, size_t alignment)
{
    if (!pagemap_is_window())
        return os_map(size, alignment);
    uintptr_t low, high;
    pagemap_window(&low, &high);
    return os_map_within(size, alignment, low, high);
}

static char *take_new(size_t size, size_t alignment)
{
    size_t grow = size < GROW_SIZE ? GROW_SIZE : size;
    char *p = map_run(grow, alignment);
    if (p == NULL && grow != size)
        p = map_run(grow = size, alignment); /* address space is scarce: exactly what is needed */
    if (p != NULL)
        os_advise_huge(p, grow, OS_HUGE_NEVER); /* an owner that wants huge pages says so */
    if (p != NULL && grow > size)
        free_range(p + size, grow - size);
    return p;
}

/* ---- Lazy runs; in the lock ------------------------------------------------------------------ */

static void lazy_insert(struct lazy_run *r)
{
    r->newer = NULL;
    r->older = lazy_newest;
    if (lazy_newest != NULL)
        lazy_newest->newer = r;
    else
        lazy_oldest = r;
    lazy_newest = r;
    struct lazy_run **list = &lazy_lists[list_of(r->size)];
    r->prev = NULL;
    r->next = *list;
    if (*list != NULL)
        (*list)->prev = r;
    *list = r;
    lazy_bytes += r->size;
}

static void lazy_remove(struct lazy_run *r)
{
    if (r->newer != NULL)
        r->newer->older = r->older;
    else
        lazy_newest = r->older;
    if (r->older != NULL)
        r->older->newer = r->newer;
    else
        lazy_oldest = r->newer;
    if (r->prev != NULL)
        r->prev->next = r->next;
    else
        lazy_lists[list_of(r->size)] = r->next;
    if (r->next != NULL)
        r->next->prev = r->prev;
    lazy_bytes -= r->size;
}

/* Runs of more than 31 chunks share a list; so many of them are looked at. */
#define LAZY_TRIES 16

static char *take_lazy(size_t size, size_t alignment, struct chunk *c)
{
    struct lazy_run *r = lazy_lists[list_of(size)];
    for (int i = 0; r != NULL && i < LAZY_TRIES; r = r->next, i++)
        if (r->size == size && ((uintptr_t)r->base & (alignment - 1)) == 0) {
            char *base = r->base;
            atomic_store_explicit(&c->huge, r->huge, memory_order_relaxed);
            c->mixed = r->mixed;
            lazy_remove(r);
            meta_free(r, sizeof *r);
            return base;
        }
    return NULL;
}

/* true: the run is lazy now. Outside of the lock. */
static bool make_lazy(char *base, size_t size, bool huge, bool mixed)
{
    uint64_t time = atomic_load_explicit(&lazy_time, memory_order_relaxed);
    if (time == 0 || !os_lazy_free(base, size))
        return false;
    struct lazy_run *r = meta_alloc(sizeof *r);
    if (r == NULL)
        return false;
    r->base = base;
    r->size = size;
    r->huge = huge;
    r->mixed = mixed;
    r->since = os_now();
    lock_acquire(&chunk_lock);
    lazy_insert(r);
    owned_bytes -= size;
    lock_release(&chunk_lock);
    control_wake_at(r->since + time);
    return true;
}

void chunk_set_lazy(uint64_t nanoseconds)
{
    if (atomic_exchange_explicit(&lazy_time, nanoseconds, memory_order_relaxed) > nanoseconds)
        control_wake_at(0);
}

/* ---- Acquiring and releasing ----------------------------------------------------------------- */

/* The range's pages are dropped, and it is free. Not in the lock; `owned`: it counts as such. */
static void drop_range(char *base, size_t size, bool advised, bool clean, bool owned)
{
    bool unmap = size > RESERVE_MAX / 4;
    if (advised && !unmap)
        os_advise_huge(base, size, OS_HUGE_NEVER);
    if (!clean && !unmap && !os_purge(base, size))
        unmap = true;
    lock_acquire(&chunk_lock);
    if (owned)
        owned_bytes -= size;
    if (reserved_bytes + size > RESERVE_MAX)
        unmap = true;
    /* Still in the lock: another thread that maps must not find the range in our books and the
     * kernel's at once. */
    if (!unmap || !unmap_range(base, size)) {
        if (unmap &&
            !os_purge(base, size)) /* too many mappings to split one more: keep the range */
            memset(base, 0, size);
        free_range(base, size);
    }
    lock_release(&chunk_lock);
}

struct chunk *chunk_acquire(struct sluice_arena *arena, size_t size, size_t alignment,
                            size_t record_size, unsigned tag, bool any_content)
{
    if (size == 0 || size > (size_t)PTRDIFF_MAX)
        return NULL;
    size = (size + CHUNK_SIZE - 1) & ~(CHUNK_SIZE - 1);
    if (alignment < CHUNK_SIZE)
        alignment = CHUNK_SIZE;
    struct chunk *c = meta_alloc(record_size);
    if (c == NULL)
        return NULL;
    lock_acquire(&chunk_lock);
    char *base = any_content ? take_lazy(size, alignment, c) : NULL;
    bool stale = base != NULL;
    if (base == NULL)
        base = take_free(size, alignment);
    if (base == NULL)
        base = take_new(size, alignment);
    bool scarce = base == NULL && lazy_bytes > 0;
    if (base != NULL)
        owned_bytes += size;
    lock_release(&chunk_lock);
    if (scarce) { /* lazy runs hold address space that an unmapped one would not */
        uint64_t next;
        chunk_expire_lazy(0, true, &next);
        lock_acquire(&chunk_lock);
        base = take_free(size, alignment);
        if (base == NULL)
            base = take_new(size, alignment);
        if (base != NULL)
            owned_bytes += size;
        lock_release(&chunk_lock);
    }
    if (base != NULL && !pagemap_open(base, size)) {
        drop_range(base, size, false, true, true);
        base = NULL;
    }
    if (base == NULL) {
        meta_free(c, record_size);
        return NULL;
    }
    c->arena = arena;
    c->base = base;
    c->size = size;
    c->stale = stale;
    c->record_size = record_size;
    pagemap_set(base, size, (uintptr_t)c | tag);
    return c;
}

void chunk_set_huge(struct chunk *chunk, bool huge)
{
    if (atomic_load_explicit(&chunk->huge, memory_order_relaxed) != huge || chunk->mixed)
        os_advise_huge(chunk->base, chunk->size, huge ? OS_HUGE_ALWAYS : OS_HUGE_NEVER);
    atomic_store_explicit(&chunk->huge, huge, memory_order_relaxed);
    chunk->mixed = false;
}

void chunk_release(struct chunk *chunk, bool clean)
{
    char *base = chunk->base;
    size_t size = chunk->size;
    bool huge = atomic_load_explicit(&chunk->huge, memory_order_relaxed), mixed = chunk->mixed;
    pagemap_set(base, size, PAGEMAP_FREE);
    meta_free(chunk->page_class, CHUNK_CLASSES(chunk->size));
    meta_free(chunk, chunk->record_size);
    if (clean || !make_lazy(base, size, huge, mixed))
        drop_range(base, size, huge || mixed, clean, true);
}

size_t chunk_expire_lazy(uint64_t now, bool all, uint64_t *next_due)
{
    size_t bytes = 0;
    uint64_t time = atomic_load_explicit(&lazy_time, memory_order_relaxed);
    *next_due = UINT64_MAX;
    for (;;) {
        lock_acquire(&chunk_lock);
        struct lazy_run *r = lazy_oldest;
        if (r != NULL && !all && r->since + time > now) {
            *next_due = r->since + time;
            r = NULL;
        }
        if (r != NULL)
            lazy_remove(r);
        lock_release(&chunk_lock);
        if (r == NULL)
            return bytes;
        bytes += r->size;
        drop_range(r->base, r->size, r->huge || r->mixed, false, false);
        meta_free(r, sizeof *r);
    }
}

void chunk_totals(uint64_t *owned, uint64_t *reserved, uint64_t *lazy)
{
    lock_acquire(&chunk_lock);
    *owned = owned_bytes;
    *reserved = reserved_bytes;
    *lazy = lazy_bytes;
    lock_release(&chunk_lock);
}

void *sluice_chunk_acquire(struct sluice_arena *owner, size_t size, size_t alignment)
{
    struct chunk *c =
        chunk_acquire(owner, size, alignment, sizeof(struct chunk), PAGEMAP_CHUNK, false);
    return c == NULL ? NULL : c->base;
}

void *sluice_chunk_acquire_any(struct sluice_arena *owner, size_t size, size_t alignment,
                               bool *stale)
{
    struct chunk *c =
        chunk_acquire(owner, size, alignment, sizeof(struct chunk), PAGEMAP_CHUNK, true);
    *stale = c != NULL && c->stale;
    return c == NULL ? NULL : c->base;
}

void sluice_chunk_release(struct sluice_arena *owner, void *run)
{
    struct chunk *c = chunk_of(run);
    if (c == NULL || c->base != run || c->arena != owner)
        log_fatal("sluice_chunk_release(%p): not the start of a run of that arena", run);
    c->mixed = true; /* the owner may have given advice of its own on parts of the run */
    chunk_release(c, false);
}

void sluice_chunk_set_data(void *run, void *data)
{
    chunk_of(run)->data = data;
}

void *sluice_chunk_data(const void *p)
{
    struct chunk *c = chunk_of(p);
    return c == NULL ? NULL : c->data;
}

void *sluice_chunk_base(const void *p)
{
    struct chunk *c = chunk_of(p);
    return c == NULL ? NULL : c->base;
}
