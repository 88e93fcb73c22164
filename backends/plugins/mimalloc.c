/* mimalloc.c - the plugin `mimalloc`, from libmimalloc.so.2.
 *
 * One heap for the process; see foreign.h. (mimalloc's own heaps belong to one thread each in
 * version 2, so that they cannot be the arenas of a module.)
 */
#include "foreign.h"

static void (*collect)(bool force);
static void *(*aligned)(size_t size, size_t alignment);

static void *aligned_alloc_in_order(size_t alignment, size_t size)
{
    return aligned(size, alignment);
}

__attribute__((constructor)) static void start(void)
{
    foreign_open("libmimalloc.so.2", "libmimalloc2.0");
    *(void **)&foreign.malloc = foreign_symbol("mi_malloc");
    *(void **)&foreign.calloc = foreign_symbol("mi_calloc");
    *(void **)&aligned = foreign_symbol("mi_malloc_aligned");
    foreign.aligned = aligned_alloc_in_order;
    *(void **)&foreign.realloc = foreign_symbol("mi_realloc");
    *(void **)&foreign.free = foreign_symbol("mi_free");
    *(void **)&foreign.usable_size = foreign_symbol("mi_usable_size");
    *(void **)&collect = foreign_symbol("mi_collect");
}

/* Version 2 does not say what it keeps free: its numbers are of whole segments, resident or not. */
static void stats(void *arena, struct sluice_backend_stats *out)
{
    (void)arena;
    out->cached_bytes = foreign_share(foreign_leftover());
}

static void collect_all(void)
{
    collect(true);
}

static size_t purge(void *arena, uint64_t now, unsigned flags, uint64_t *next_due)
{
    (void)arena;
    (void)now;
    return foreign_purge(collect_all, flags, next_due);
}

__attribute__((visibility("default"))) const struct sluice_backend_ops sluice_backend_plugin = {
    FOREIGN_OPS,
    .name = "mimalloc",
    .stats = stats,
    .purge = purge,
};
