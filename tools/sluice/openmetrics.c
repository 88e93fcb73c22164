/* openmetrics.c - a page as OpenMetrics text, version 1.0.0: https://prometheus.io/docs/specs/om/open_metrics_spec/ */
#include <inttypes.h>
#include <stddef.h>
#include <string.h>

#include "tools/sluice/figures.h"

/* A family of metrics, one for each module or one for the process. */
struct family {
    const char *name, *unit, *help;
    bool is_counter;
    bool is_set_only; /* 0 means that there is none */
    size_t offset;    /* of a uint64_t in the struct */
};

#define MODULE(field)  offsetof(struct observe_module, field)
#define PROCESS(field) offsetof(struct observe_process, field)
#define RELOAD(field)  offsetof(struct observe_reload, field)

static const struct family of_modules[] = {
    {"sluice_module_live_objects", "objects", "Objects that are allocated and not freed.", false,
     false, MODULE(live_objects)},
    {"sluice_module_live_bytes", "bytes", "Usable bytes of live objects.", false, false,
     MODULE(live_bytes)},
    {"sluice_module_peak_live_bytes", "bytes", "Largest live bytes since the start.", false, false,
     MODULE(peak_live_bytes)},
    {"sluice_module_resident_bytes", "bytes", "Live, cached and metadata bytes.", false, false,
     MODULE(resident_bytes)},
    {"sluice_module_cached_bytes", "bytes", "Free memory that is kept for reuse.", false, false,
     MODULE(cached_bytes)},
    {"sluice_module_metadata_bytes", "bytes", "Sluice's own memory for the module.", false, false,
     MODULE(metadata_bytes)},
    {"sluice_module_draining_bytes", "bytes", "Live bytes in arenas that no route leads to.", false,
     false, MODULE(draining_bytes)},
    {"sluice_module_limit_bytes", "bytes", "The hard limit, where there is one.", false, true,
     MODULE(limit_bytes)},
    {"sluice_module_allocated_objects", "objects", "Objects allocated since the start.", true,
     false, MODULE(allocated_objects)},
    {"sluice_module_freed_objects", "objects", "Objects freed since the start.", true, false,
     MODULE(freed_objects)},
    {"sluice_module_failed_allocations", "allocations", "Allocations that failed.", true, false,
     MODULE(failed_allocations)},
};

static const struct family of_process[] = {
    {"sluice_modules", NULL, "Modules of the process.", false, false, PROCESS(modules)},
    {"sluice_threads", NULL, "Threads that hold caches.", false, false, PROCESS(threads)},
    {"sluice_arenas", NULL, "Arenas that exist.", false, false, PROCESS(arenas)},
    {"sluice_draining_arenas", NULL, "Arenas that no route leads to.", false, false,
     PROCESS(draining_arenas)},
    {"sluice_live_bytes", "bytes", "Usable bytes of all live objects.", false, false,
     PROCESS(live_bytes)},
    {"sluice_cached_bytes", "bytes", "Free memory of all modules that is kept for reuse.", false,
     false, PROCESS(cached_bytes)},
    {"sluice_metadata_bytes", "bytes", "All of Sluice's own memory.", false, false,
     PROCESS(metadata_bytes)},
    {"sluice_chunk_bytes", "bytes", "Address space in chunks of arenas.", false, false,
     PROCESS(chunk_bytes)},
    {"sluice_reserved_bytes", "bytes", "Address space kept for chunks; not resident.", false, false,
     PROCESS(reserved_bytes)},
    {"sluice_lazy_bytes", "bytes", "Free memory left to the kernel.", false, false,
     PROCESS(lazy_bytes)},
};

static const struct family of_reload[] = {
    {"sluice_policy_generation", NULL, "Number of the route table in force.", false, false,
     RELOAD(generation)},
    {"sluice_policy_loads", NULL, "Attempts to load a policy.", true, false, RELOAD(attempts)},
    {"sluice_policy_load_failures", NULL, "Attempts that failed.", true, false, RELOAD(failures)},
    {"sluice_policy_last_attempt_timestamp_seconds", "seconds", "When a policy was last loaded.",
     false, true, RELOAD(last_attempt_time)},
    {"sluice_policy_last_success_timestamp_seconds", "seconds",
     "When a policy last came into force.", false, true, RELOAD(last_success_time)},
};

static void print_head(const struct family *f, FILE *out)
{
    fprintf(out, "# TYPE %s %s\n", f->name, f->is_counter ? "counter" : "gauge");
    if (f->unit != NULL)
        fprintf(out, "# UNIT %s %s\n", f->name, f->unit);
    fprintf(out, "# HELP %s %s\n", f->name, f->help);
}

static uint64_t value_of(const struct family *f, const void *figures)
{
    uint64_t n;
    memcpy(&n, (const char *)figures + f->offset, sizeof n);
    return n;
}

static void print_label(const char *name, const char *value, FILE *out)
{
    fprintf(out, "%s=\"", name);
    for (; *value != '\0'; value++) {
        if (*value == '"' || *value == '\\')
            putc('\\', out);
        putc(*value, out);
    }
    putc('"', out);
}

static void print_for_modules(const struct family *f, const struct page *page, FILE *out)
{
    print_head(f, out);
    for (uint32_t i = 0; i < page->count; i++) {
        const struct page_module *m = &page->modules[i];
        uint64_t n = value_of(f, &m->figures);
        if (f->is_set_only && n == 0)
            continue;
        fprintf(out, "%s%s{", f->name, f->is_counter ? "_total" : "");
        print_label("module", m->name, out);
        putc(',', out);
        print_label("backend", m->backends, out);
        fprintf(out, "} %" PRIu64 "\n", n);
    }
}

static void print_single(const struct family *f, const void *figures, FILE *out)
{
    uint64_t n = value_of(f, figures);
    print_head(f, out);
    if (!f->is_set_only || n != 0)
        fprintf(out, "%s%s %" PRIu64 "\n", f->name, f->is_counter ? "_total" : "", n);
}

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

void figures_openmetrics(const struct page *page, FILE *out)
{
    for (size_t i = 0; i < LENGTH(of_modules); i++)
        print_for_modules(&of_modules[i], page, out);
    for (size_t i = 0; i < LENGTH(of_process); i++)
        print_single(&of_process[i], &page->process, out);
    for (size_t i = 0; i < LENGTH(of_reload); i++)
        print_single(&of_reload[i], &page->reload, out);
    fprintf(out,
            "# TYPE sluice_policy_last_load_successful gauge\n"
            "# HELP sluice_policy_last_load_successful 1: the last attempt succeeded.\n"
            "sluice_policy_last_load_successful %d\n# EOF\n",
            page->error[0] == '\0');
}
