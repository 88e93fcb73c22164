/* jemalloc_extent.c - jemalloc's address space comes from the chunk source.
 *
 * jemalloc asks for extents of any size (2.5 MiB, say) and splits and joins them as it likes. Each
 * request becomes a chunk run of its own; what lies beyond the requested size is never touched.
 * Runs stay with the arena until it ends (jemalloc keeps their address space, `retain`), and only
 * their pages go back. So an extent never outlives its run, and two runs are never joined even
 * when they are neighbours: they are released one by one.
 *
 * The hooks run with some of jemalloc's locks held: they take only runs_lock and the core's own.
 */
#include <string.h>
#include <sys/mman.h>

#include "backends/jemalloc.h"
#include "core/chunk.h"
#include "core/os.h"

static struct jemalloc_arena *arena_of(extent_hooks_t *hooks)
{
    return (struct jemalloc_arena *)((char *)hooks - offsetof(struct jemalloc_arena, hooks));
}

static void *extent_alloc(extent_hooks_t *hooks, void *new_addr, size_t size, size_t alignment,
                          bool *zero, bool *commit, unsigned slot)
{
    struct jemalloc_arena *a = arena_of(hooks);
    (void)slot;
    if (new_addr != NULL)
        return NULL; /* a wish for a certain address; may be refused */
    struct jemalloc_run *run = sluice_metadata_alloc(sizeof *run);
    if (run == NULL)
        return NULL;
    run->base = sluice_chunk_acquire(a->owner, size, alignment);
    if (run->base == NULL) {
        sluice_metadata_free(run, sizeof *run);
        return NULL;
    }
    lock_acquire(&a->runs_lock);
    run->next = a->runs;
    a->runs = run;
    lock_release(&a->runs_lock);
    *zero = true;
    *commit = true;
    return run->base;
}

static bool extent_purge_forced(extent_hooks_t *hooks, void *p, size_t size, size_t offset,
                                size_t length, unsigned slot)
{
    (void)size;
    (void)slot;
    if (atomic_load_explicit(&arena_of(hooks)->ending, memory_order_relaxed))
        return false;
    return !os_purge((char *)p + offset, length);
}

static bool extent_purge_lazy(extent_hooks_t *hooks, void *p, size_t size, size_t offset,
                              size_t length, unsigned slot)
{
    (void)size;
    (void)slot;
    if (atomic_load_explicit(&arena_of(hooks)->ending, memory_order_relaxed))
        return false;
    return madvise((char *)p + offset, length, MADV_FREE) != 0;
}

static bool extent_split(extent_hooks_t *hooks, void *p, size_t size, size_t a, size_t b,
                         bool committed, unsigned slot)
{
    (void)hooks, (void)p, (void)size, (void)a, (void)b, (void)committed, (void)slot;
    return false; /* true would be a refusal */
}

static bool extent_merge(extent_hooks_t *hooks, void *a, size_t size_a, void *b, size_t size_b,
                         bool committed, unsigned slot)
{
    (void)hooks, (void)size_a, (void)size_b, (void)committed, (void)slot;
    return sluice_chunk_base(a) != sluice_chunk_base(b);
}

/* Where an entry is NULL jemalloc gets a refusal: it then keeps the address space, and never takes
 * the right to access away. */
const extent_hooks_t jemalloc_extent_hooks = {
    .alloc = extent_alloc,
    .purge_forced = extent_purge_forced,
    .purge_lazy = extent_purge_lazy,
    .split = extent_split,
    .merge = extent_merge,
};

void jemalloc_runs_release(struct jemalloc_arena *a)
{
    while (a->runs != NULL) {
        struct jemalloc_run *run = a->runs;
        a->runs = run->next;
        sluice_chunk_release(a->owner, run->base);
        sluice_metadata_free(run, sizeof *run);
    }
}
