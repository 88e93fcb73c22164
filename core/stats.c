/* stats.c - the public statistics and module calls: sums over what arenas, modules and the chunk source know. */
#include <errno.h>
#include <string.h>

#include "core/arena.h"
#include "core/bootstrap.h"
#include "core/chunk.h"
#include "core/emergency.h"
#include "core/error.h"
#include "core/limit.h"
#include "core/meta.h"
#include "core/route.h"
#include "core/thread.h"

static void add_module(struct module *m, struct sluice_module_stats *sum)
{
    struct arena_usage usage;
    uint64_t draining;
    module_usage(m, &usage, &draining);
    sum->live_objects += usage.live_objects;
    sum->live_bytes += usage.live_bytes;
    sum->peak_live_bytes += atomic_load_explicit(&m->peak, memory_order_relaxed);
    sum->allocated_objects += usage.allocated;
    sum->freed_objects += usage.freed;
    sum->failed_allocations += atomic_load_explicit(&m->failed, memory_order_relaxed);
    sum->cached_bytes += usage.cached_bytes;
    sum->metadata_bytes += usage.metadata_bytes;
    sum->resident_bytes += usage.live_bytes + usage.cached_bytes + usage.metadata_bytes;
    sum->limit_bytes += atomic_load_explicit(&m->hard, memory_order_relaxed);
    sum->draining_bytes += draining;
}

enum sluice_result sluice_stats_module(sluice_module id, struct sluice_module_stats *out)
{
    if (out == NULL || out->struct_size < 2 * sizeof(size_t))
        return error_set(SLUICE_ERROR_INVALID, "sluice_stats_module: struct_size is not set");
    bootstrap_wait();
    struct module *m = module_get(id);
    if (m == NULL && id != SLUICE_MODULE_ALL)
        return error_set(SLUICE_ERROR_UNKNOWN, "no module with id %u", id);
    struct thread *t = thread_enter_current();
    if (t == NULL)
        return error_set(SLUICE_ERROR_NO_MEMORY, "no memory for statistics");
    struct sluice_module_stats sum = {.struct_size = out->struct_size};
    if (m != NULL)
        add_module(m, &sum);
    else
        for (uint32_t i = 0; i < module_count(); i++)
            add_module(module_get((sluice_module)i), &sum);
    thread_leave_current(t);
    memcpy(out, &sum, out->struct_size < sizeof sum ? out->struct_size : sizeof sum);
    return SLUICE_OK;
}

enum sluice_result sluice_stats_process(struct sluice_process_stats *out)
{
    if (out == NULL || out->struct_size < 2 * sizeof(size_t))
        return error_set(SLUICE_ERROR_INVALID, "sluice_stats_process: struct_size is not set");
    bootstrap_wait();
    struct sluice_reload_status reload = {.struct_size =
                                              offsetof(struct sluice_reload_status, path)};
    sluice_reload_status(&reload);
    struct sluice_module_stats all = {.struct_size = sizeof all};
    enum sluice_result result = sluice_stats_module(SLUICE_MODULE_ALL, &all);
    if (result != SLUICE_OK)
        return result;
    struct sluice_process_stats sum = {
        .struct_size = out->struct_size,
        .modules = module_count(),
        .threads = threads_count(),
        .live_bytes = all.live_bytes + emergency_bytes(),
        .cached_bytes = all.cached_bytes,
        .metadata_bytes = meta_mapped_bytes(),
        .generation = reload.generation,
        .reload_attempts = reload.attempts,
        .reload_successes = reload.successes,
        .reload_failures = reload.failures,
    };
    if (sum.metadata_bytes < all.metadata_bytes)
        sum.metadata_bytes = all.metadata_bytes; /* headers lie in the backends' memory */
    arenas_count(&sum.arenas, &sum.draining_arenas);
    struct thread *t = thread_enter_current();
    if (t != NULL) {
        chunk_totals(&sum.chunk_bytes, &sum.reserved_bytes, &sum.lazy_bytes);
        thread_leave_current(t);
    }
    memcpy(out, &sum, out->struct_size < sizeof sum ? out->struct_size : sizeof sum);
    return SLUICE_OK;
}

size_t sluice_trim(sluice_module id)
{
    bootstrap_wait();
    struct module *m = module_get(id);
    if (m == NULL && id != SLUICE_MODULE_ALL)
        return 0;
    int saved = errno;
    size_t bytes = arenas_trim(m);
    errno = saved;
    return bytes;
}

sluice_module sluice_module_register(const char *name)
{
    bootstrap_wait();
    enum sluice_result why;
    sluice_module id = module_register(name, &why);
    if (why != SLUICE_OK)
        errno = why == SLUICE_ERROR_INVALID ? EINVAL : why == SLUICE_ERROR_LIMIT ? ENOSPC : ENOMEM;
    return id;
}

const char *sluice_module_name(sluice_module id)
{
    bootstrap_wait();
    struct module *m = module_get(id);
    return m == NULL ? NULL : m->name;
}

const char *sluice_version(void)
{
    return SLUICE_VERSION;
}
