/* bump.c - allocation in a row: what the region does for an object, beside a bare cursor behind a call.
 *
 * Each contender in turn allocates n objects and writes to each, in memory that is warm, and drops them all (not timed). */
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>

#include <sluice/sluice.h>

#include "tools/bench/bench.h"
#include "tools/bench/record.h"
#include "tools/bench/series.h"
#include "tools/bench/steps.h"

#define OBJECT  64
#define OBJECTS ((size_t)1000000)
#define ROOM    (OBJECTS * 96)

/* ---- Bare cursors: thread-local, as any allocator's would be --------------------------------- */

static __thread char *next, *end;
static __thread uint64_t counted;
static char *memory;

static __attribute__((noinline)) void *nothing(size_t size)
{
    (void)size;
    return memory;
}

static __attribute__((noinline)) void *bare(size_t size)
{
    char *p = next;
    size = (size + 15) & ~(size_t)15;
    if (__builtin_expect(size > (size_t)(end - p), 0))
        return NULL;
    next = p + size;
    return p;
}

/* With what a region has beside: the size before the object, and a count. */
static __attribute__((noinline)) void *counting(size_t size)
{
    char *p = next;
    size = (size + 23) & ~(size_t)15;
    if (__builtin_expect(size > (size_t)(end - p), 0))
        return NULL;
    next = p + size;
    *(uint64_t *)(p - 8) = size - 8;
    counted++;
    return p;
}

/* ---- Contenders ------------------------------------------------------------------------------- */

static sluice_module region_module, pool_module;
static sluice_phase *phase;
static size_t object_size = OBJECT;

#define HIDE(p) __asm__ volatile("" : "+r"(p) : : "memory")

#define FILL(name, ALLOC)                \
    static void fill_##name(size_t n)    \
    {                                    \
        size_t size = object_size;       \
        for (size_t i = 0; i < n; i++) { \
            HIDE(size);                  \
            char *p = ALLOC;             \
            if (p == NULL)               \
                return;                  \
            *p = 1;                      \
        }                                \
    }

FILL(nothing, nothing(size))
FILL(bare, bare(size))
FILL(counting, counting(size))
FILL(region, sluice_malloc(region_module, size))
FILL(pool, sluice_malloc(pool_module, size))

static void begin_bare(void)
{
    next = memory + 16;
    end = memory + ROOM;
}

static void begin_region(void)
{
    (void)sluice_phase_begin("region", &phase);
}

static void begin_pool(void)
{
    (void)sluice_phase_begin("pool", &phase);
}

static void end_phase(void)
{
    sluice_phase_end(phase);
}

static void stay(void) {}

static const struct {
    const char *name;
    void (*begin)(void), (*fill)(size_t n), (*drop)(void);
} contenders[] = {
    {"a call that does nothing", stay, fill_nothing, stay},
    {"bare cursor", begin_bare, fill_bare, stay},
    {"bare cursor, with sizes and a count", begin_bare, fill_counting, stay},
    {"sluice, region in a phase", begin_region, fill_region, end_phase},
    {"sluice, pool in a phase", begin_pool, fill_pool, end_phase},
};
#define COUNT (sizeof contenders / sizeof *contenders)
enum { NOTHING, BARE };

static double steps_of(size_t c)
{
    contenders[c].begin();
    contenders[c].fill(10);
    double steps = steps_each(contenders[c].fill, STEPPED);
    contenders[c].drop();
    return steps;
}

int bench_bump(const struct bench_options *options, sluice_module region, sluice_module pool)
{
    static struct series times[COUNT];
    region_module = region;
    pool_module = pool;
    memory =
        mmap(NULL, ROOM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (memory == MAP_FAILED)
        return 1;
    for (unsigned round = 0; round < (options->quick ? 3 : 21) + 1u; round++)
        for (size_t c = 0; c < COUNT; c++) {
            contenders[c].begin();
            uint64_t start = series_now();
            contenders[c].fill(OBJECTS);
            double ns = (double)(series_now() - start) / (double)OBJECTS;
            contenders[c].drop();
            if (round > 0) /* the first warms up */
                series_add(&times[c], ns);
        }
    double loop = steps_of(NOTHING), base = steps_of(BARE) - loop;
    double bare_ns = series_median(&times[BARE]);
    printf("\nallocation of %d bytes, %zu in a row\n", OBJECT, OBJECTS);
    printf("  %-36s %11s %11s %7s %13s %7s\n", "", "median, ns", "least, ns", "ratio",
           "instructions", "ratio");
    for (size_t c = 0; c < COUNT; c++) {
        double median = series_median(&times[c]);
        printf("  %-36s %11.2f %11.2f %7.2f", contenders[c].name, median,
               series_smallest(&times[c]), bare_ns > 0 ? median / bare_ns : 0);
        record_series("phases: allocation in a row", contenders[c].name, "ns", &times[c]);
        if (loop < 0) {
            printf(" %13s\n", "-");
            continue;
        }
        double steps = c == NOTHING ? loop : steps_of(c) - loop;
        printf(" %13.1f", steps);
        if (c != NOTHING)
            printf(" %7.2f", steps / base);
        printf("\n");
        record_figure("phases: allocation in a row", contenders[c].name, 0, "instructions", steps);
    }
    printf(
        "  instructions: those of the loop, first line, taken off; counted step by step in a child%s\n",
        loop < 0 ? ", which is not allowed here" : "");
    munmap(memory, ROOM);
    return 0;
}
