/* tcmalloc.c - the plugin `tcmalloc`: gperftools' allocator, from libtcmalloc_minimal.so.4.
 *
 * One heap for the process; see foreign.h. tcmalloc gives free pages back by itself, slowly, while
 * it frees others.
 */
#include "foreign.h"

static void (*release_free_memory)(void);
static void (*mark_thread_idle)(void);
static int (*numeric_property)(const char *name, size_t *value);

__attribute__((constructor)) static void start(void)
{
    foreign_open("libtcmalloc_minimal.so.4", "libtcmalloc-minimal4");
    *(void **)&foreign.malloc = foreign_symbol("tc_malloc");
    *(void **)&foreign.calloc = foreign_symbol("tc_calloc");
    *(void **)&foreign.aligned = foreign_symbol("tc_memalign");
    *(void **)&foreign.realloc = foreign_symbol("tc_realloc");
    *(void **)&foreign.free = foreign_symbol("tc_free");
    *(void **)&foreign.usable_size = foreign_symbol("tc_malloc_size");
    *(void **)&release_free_memory = foreign_symbol("MallocExtension_ReleaseFreeMemory");
    *(void **)&mark_thread_idle = foreign_symbol("MallocExtension_MarkThreadIdle");
    *(void **)&numeric_property = foreign_symbol("MallocExtension_GetNumericProperty");
}

static int64_t property(const char *name)
{
    size_t value = 0;
    return numeric_property(name, &value) ? (int64_t)value : 0;
}

/* What tcmalloc took from the system, neither returned nor in live objects: free pages, and objects
 * in the caches of threads. */
static void stats(void *arena, struct sluice_backend_stats *out)
{
    (void)arena;
    out->cached_bytes =
        foreign_share(property("generic.heap_size") - property("tcmalloc.pageheap_unmapped_bytes") -
                      property("generic.current_allocated_bytes"));
}

/* Of the caches of threads only the caller's own can be emptied. */
static void give_back(void)
{
    mark_thread_idle();
    release_free_memory();
}

static size_t purge(void *arena, uint64_t now, unsigned flags, uint64_t *next_due)
{
    (void)arena;
    (void)now;
    return foreign_purge(give_back, flags, next_due);
}

__attribute__((visibility("default"))) const struct sluice_backend_ops sluice_backend_plugin = {
    FOREIGN_OPS,
    .name = "tcmalloc",
    .stats = stats,
    .purge = purge,
};
