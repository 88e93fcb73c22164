/* phases.c - how long it takes until n live objects of 64 bytes are gone.
 *
 * Each contender in turn allocates n objects and writes to each (not timed), then drops them (timed): by the end of a phase,
 * by what other allocators have of that kind, and one by one in the order of allocation. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <sluice/sluice.h>

#include "tools/bench/bench.h"
#include "tools/bench/peers.h"
#include "tools/bench/record.h"
#include "tools/bench/series.h"
#include "tools/build/jemalloc_renamed.h"

#define OBJECT 64

static void **objects; /* of the contender whose turn it is */
static struct mimalloc mi;
static bool has_mimalloc;

/* ---- Contenders: fill() makes n objects, drop() ends them ------------------------------------- */

static sluice_module pool_module, region_module;
static sluice_phase *phase;
static void *heap;
static unsigned je_arena;

static bool keep(size_t i, void *p)
{
    objects[i] = p;
    if (p != NULL)
        *(char *)p = 1;
    return p != NULL;
}

static bool fill_phase(const char *name, sluice_module module, size_t n)
{
    if (sluice_phase_begin(name, &phase) != SLUICE_OK)
        return false;
    for (size_t i = 0; i < n; i++)
        if (!keep(i, sluice_malloc(module, OBJECT)))
            return false;
    return true;
}

static bool fill_pool(size_t n)
{
    return fill_phase("pool", pool_module, n);
}

static bool fill_region(size_t n)
{
    return fill_phase("region", region_module, n);
}

static void end_phase(size_t n)
{
    (void)n;
    sluice_phase_end(phase);
}

static bool fill_mi_heap(size_t n)
{
    heap = mi.heap_new();
    for (size_t i = 0; i < n; i++)
        if (!keep(i, mi.heap_malloc(heap, OBJECT)))
            return false;
    return true;
}

static void destroy_mi_heap(size_t n)
{
    (void)n;
    mi.heap_destroy(heap);
}

static bool fill_je_arena(size_t n)
{
    if (je_arena == 0) {
        size_t size = sizeof je_arena;
        if (je_mallctl("arenas.create", &je_arena, &size, NULL, 0) != 0)
            return false;
    }
    for (size_t i = 0; i < n; i++)
        if (!keep(i, je_mallocx(OBJECT, (int)MALLOCX_ARENA(je_arena) | MALLOCX_TCACHE_NONE)))
            return false;
    return true;
}

static void reset_je_arena(size_t n)
{
    (void)n;
    char name[64];
    snprintf(name, sizeof name, "arena.%u.reset", je_arena);
    je_mallctl(name, NULL, NULL, NULL, 0);
}

static bool fill_with(void *(*make)(size_t), size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!keep(i, make(OBJECT)))
            return false;
    return true;
}

static void free_with(void (*give)(void *), size_t n)
{
    for (size_t i = 0; i < n; i++)
        give(objects[i]);
}

static bool fill_glibc(size_t n)
{
    return fill_with(malloc, n);
}

static void free_glibc(size_t n)
{
    free_with(free, n);
}

static bool fill_je(size_t n)
{
    return fill_with(je_malloc, n);
}

static void free_je(size_t n)
{
    free_with(je_free, n);
}

static bool fill_mi(size_t n)
{
    return fill_with(mi.malloc, n);
}

static void free_mi(size_t n)
{
    free_with(mi.free, n);
}

enum { POOL, REGION, MI_HEAP, JE_ARENA, GLIBC, JEMALLOC, MIMALLOC, CONTENDERS };

static const struct {
    const char *name;
    bool (*fill)(size_t n);
    void (*drop)(size_t n);
} contenders[CONTENDERS] = {
    [POOL] = {"sluice, end of a phase in pool", fill_pool, end_phase},
    [REGION] = {"sluice, end of a phase in region", fill_region, end_phase},
    [MI_HEAP] = {"mimalloc, mi_heap_destroy", fill_mi_heap, destroy_mi_heap},
    [JE_ARENA] = {"jemalloc, arena reset", fill_je_arena, reset_je_arena},
    [GLIBC] = {"glibc, one by one", fill_glibc, free_glibc},
    [JEMALLOC] = {"jemalloc, one by one", fill_je, free_je},
    [MIMALLOC] = {"mimalloc, one by one", fill_mi, free_mi},
};

/* ---- Running ---------------------------------------------------------------------------------- */

static bool is_there(int c)
{
    return c == REGION ? region_module != SLUICE_MODULE_INVALID
                       : (c != MI_HEAP && c != MIMALLOC) || has_mimalloc;
}

/* The kind `region` may not be built in. */
static bool use_policy(void)
{
    static const char with_region[] =
        "sluice: 1\ndefault: pool\n"
        "backends:\n"
        "  slabs: {kind: pool, retain: 4GiB, purge_after: 1h, huge_pages: never}\n"
        "  bump: {kind: region, retain: 4GiB, purge_after: 1h, huge_pages: never}\n"
        "phases:\n"
        "  pool: {modules: [in-pool], backend: slabs}\n"
        "  region: {modules: [in-region], backend: bump}\n";
    if (sluice_policy_load_string(with_region, strlen(with_region)) != SLUICE_OK) {
        fprintf(stderr, "bench: %s\n", sluice_error_message());
        return false;
    }
    pool_module = sluice_module_register("in-pool");
    region_module = sluice_module_register("in-region");
    return true;
}

static bool run_rounds(size_t n, unsigned rounds, struct series *times)
{
    memset(times, 0, CONTENDERS * sizeof *times);
    for (unsigned round = 0; round < rounds + 1; round++) /* the first is for warming up */
        for (int c = 0; c < CONTENDERS; c++) {
            if (!is_there(c))
                continue;
            if (!contenders[c].fill(n)) {
                fprintf(stderr, "bench: %s: no memory for %zu objects\n", contenders[c].name, n);
                return false;
            }
            uint64_t start = series_now();
            contenders[c].drop(n);
            if (round > 0)
                series_add(&times[c], (double)(series_now() - start) / 1000);
        }
    return true;
}

/* times: us. */
static void print(size_t n, const struct series *times)
{
    char row[64];
    snprintf(row, sizeof row, "phases: %zu objects", n);
    double base = series_median(&times[has_mimalloc ? MI_HEAP : GLIBC]);
    printf("\n%zu live objects of %d bytes: until all are gone\n", n, OBJECT);
    printf("  %-34s %14s %14s %12s %10s\n", "", "median, us", "least, us", "ns a 2 MiB", "ratio");
    for (int c = 0; c < CONTENDERS; c++) {
        if (times[c].count == 0)
            continue;
        double median = series_median(&times[c]);
        printf("  %-34s %14.2f %14.2f %12.1f %10.3f\n", contenders[c].name, median,
               series_smallest(&times[c]), 1000 * median / ((double)n * OBJECT / (2 << 20)),
               base > 0 ? median / base : 0);
        record_series(row, contenders[c].name, "us", &times[c]);
    }
}

int bench_phases(const struct bench_options *options)
{
    static const struct {
        size_t n;
        unsigned rounds;
    } sizes[] = {{10000, 101}, {100000, 51}, {1000000, 21}, {10000000, 5}};
    size_t last = options->quick ? 2 : sizeof sizes / sizeof *sizes;
    static struct series times[CONTENDERS];
    size_t bytes = sizes[last - 1].n * sizeof *objects;
    has_mimalloc = peers_open_mimalloc(&mi);
    void *array = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (array == MAP_FAILED || !use_policy())
        return 1;
    objects = array;
    int failed = 0;
    for (size_t i = 0; i < last && !failed; i++) {
        failed = !run_rounds(sizes[i].n, options->quick ? 5 : sizes[i].rounds, times);
        if (!failed)
            print(sizes[i].n, times);
    }
    printf("\nratio: to %s of this run. All in one process, in turns.\n",
           has_mimalloc ? "mi_heap_destroy" : "glibc");
    munmap(array, bytes);
    return failed || bench_bump(options, region_module, pool_module);
}
