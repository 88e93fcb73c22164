/* observe.c - see observe.h. */
#include "core/observe.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <sluice/sluice.h>

#include "core/module.h"
#include "core/os.h"
#include "core/route.h"
#include "core/system.h"
#include "core/thread.h"

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

#define FIRST_CAPACITY 64

static struct observe_header *page;
static size_t page_size;
static int page_fd = -1;

static struct observe_module *entries(void)
{
    return (struct observe_module *)(page + 1);
}

/* ---- Making it ------------------------------------------------------------------------------- */

void observe_close(void)
{
    if (page != NULL)
        munmap(page, page_size);
    if (page_fd >= 0)
        system_close(page_fd);
    page = NULL;
    page_fd = -1;
}

/* Its size is fixed, so that no reader faults; and nobody else writes it, where the kernel can promise that. */
static bool seal(int fd)
{
    int size = F_SEAL_SHRINK | F_SEAL_GROW;
    return system_fcntl(fd, F_ADD_SEALS, size | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL) == 0 ||
           system_fcntl(fd, F_ADD_SEALS, size | F_SEAL_SEAL) == 0;
}

static const char *make(uint32_t capacity)
{
    size_t size = sizeof(struct observe_header) + capacity * sizeof(struct observe_module);
    int fd = system_memfd_create("sluice-observe", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return "the process cannot make a memory file";
    void *p = MAP_FAILED;
    if (system_ftruncate(fd, (off_t)size) == 0)
        p = system_map_file(fd, size);
    if (p == MAP_FAILED || !seal(fd)) {
        if (p != MAP_FAILED)
            munmap(p, size);
        system_close(fd);
        return "the process has no memory for a page";
    }
    (void)madvise(p, size, MADV_DONTFORK); /* a child is not its parent */
    observe_close();
    page = p;
    page_size = size;
    page_fd = fd;
    page->magic = OBSERVE_MAGIC;
    page->version = OBSERVE_VERSION;
    page->header_size = sizeof *page;
    page->entry_size = sizeof(struct observe_module);
    page->capacity = capacity;
    page->pid = getpid();
    return NULL;
}

int observe_open(const char **why)
{
    uint32_t needed = module_count();
    *why = NULL;
    if (page == NULL || needed > page->capacity)
        *why = make(needed * 2 > FIRST_CAPACITY ? needed * 2 : FIRST_CAPACITY);
    if (*why != NULL)
        return -1;
    observe_refresh(page->period_ms);
    return page_fd;
}

void observe_fork_child(void)
{
    page = NULL; /* it is not mapped here, and the descriptor is not there */
    page_fd = -1;
}

/* ---- Writing it ------------------------------------------------------------------------------ */

static void write_backends(struct module *m, struct observe_module *out)
{
    char override[MODULE_NAME_MAX + 1];
    out->flags = module_get_override(m->name, override) ? OBSERVE_OVERRIDDEN : 0;
    struct thread *t = thread_enter_current();
    if (t == NULL)
        return;
    route_describe(route_table_current()->policy, m, out->backends, sizeof out->backends);
    thread_leave_current(t);
}

static void write_module(struct module *m, struct observe_module *out)
{
    struct sluice_module_stats s = {.struct_size = sizeof s};
    if (sluice_stats_module(m->id, &s) != SLUICE_OK)
        return;
    strncpy(out->name, m->name, sizeof out->name - 1);
    write_backends(m, out);
    out->live_objects = s.live_objects;
    out->live_bytes = s.live_bytes;
    out->peak_live_bytes = s.peak_live_bytes;
    out->allocated_objects = s.allocated_objects;
    out->freed_objects = s.freed_objects;
    out->failed_allocations = s.failed_allocations;
    out->resident_bytes = s.resident_bytes;
    out->cached_bytes = s.cached_bytes;
    out->metadata_bytes = s.metadata_bytes;
    out->limit_bytes = s.limit_bytes;
    out->draining_bytes = s.draining_bytes;
}

static void write_process(struct observe_process *out)
{
    struct sluice_process_stats s = {.struct_size = sizeof s};
    if (sluice_stats_process(&s) != SLUICE_OK)
        return;
    out->modules = s.modules;
    out->threads = s.threads;
    out->arenas = s.arenas;
    out->draining_arenas = s.draining_arenas;
    out->live_bytes = s.live_bytes;
    out->cached_bytes = s.cached_bytes;
    out->metadata_bytes = s.metadata_bytes;
    out->chunk_bytes = s.chunk_bytes;
    out->reserved_bytes = s.reserved_bytes;
    out->lazy_bytes = s.lazy_bytes;
}

static void write_reload(struct observe_reload *out)
{
    static struct sluice_reload_status s;
    s.struct_size = sizeof s;
    if (sluice_reload_status(&s) != SLUICE_OK)
        return;
    out->generation = s.generation;
    out->attempts = s.attempts;
    out->successes = s.successes;
    out->failures = s.failures;
    out->last_attempt_time = s.last_attempt_time;
    out->last_success_time = s.last_success_time;
    memcpy(out->path, s.path, sizeof out->path);
    memcpy(out->last_error, s.last_error, sizeof out->last_error);
    memcpy(out->last_report, s.last_report, sizeof out->last_report);
}

void observe_refresh(uint32_t period_ms)
{
    if (page == NULL || page->modules > page->capacity)
        return;
    uint64_t turn = atomic_load_explicit(&page->sequence, memory_order_relaxed);
    atomic_store_explicit(&page->sequence, turn + 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
    page->period_ms = period_ms;
    page->modules = module_count();
    page->count = page->modules < page->capacity ? page->modules : page->capacity;
    for (uint32_t i = 0; i < page->count; i++)
        write_module(module_get((sluice_module)i), &entries()[i]);
    write_process(&page->process);
    write_reload(&page->reload);
    page->time = os_now();
    page->wall_time = os_wall_time();
    atomic_store_explicit(&page->sequence, turn + 2, memory_order_release);
}
