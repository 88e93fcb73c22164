/* growth.c - what an operation costs as threads, modules and live memory grow: objects of 8 to 1,024 bytes, replaced at random.
 *
 * There are more threads than processors, so times are of the threads' own CPU clocks. Large sets are slower by themselves, where
 * caches and address translation don't reach: the same walk without an allocator shows it. Sluice is linked, and so is libc. */
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <stdalign.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include <sluice/sluice.h>

#include "tools/bench/bench.h"
#include "tools/bench/record.h"
#include "tools/bench/resident.h"
#include "tools/bench/series.h"

#define THREADS    64
#define MODULES    4096
#define SIZE_MIN   8
#define SIZE_MAX_  1024
#define MEAN       ((SIZE_MIN + SIZE_MAX_) / 2)
#define MIB        ((size_t)1 << 20)
#define LARGE      (256 * MIB) /* takes seconds to fill: a third of the rounds */
#define PER_THREAD 1000        /* objects; about half a MiB */

/* ---- The work --------------------------------------------------------------------------------- */

/* One thread's part of it. */
struct part {
    alignas(64) void **slot;
    size_t slots, operations;
    size_t last_module; /* of those in use: their number, a power of two, less 1 */
    uint64_t x;         /* of the random walk */
    const struct loops *loops;
    uint64_t cpu, walk_cpu;                /* ns */
    uint64_t from, to, walk_from, walk_to; /* series_now() */
};

struct loops {
    void (*fill)(struct part *p), (*replace)(struct part *p, size_t n), (*empty)(struct part *p);
};

/* Aligned, so that nobody writes to the same lines. */
static alignas(64) sluice_module modules[MODULES];

/* G. Marsaglia, "Xorshift RNGs", 2003. Slot, size and module are of different bits. */
static inline uint64_t next(uint64_t x)
{
    x ^= x << 13, x ^= x >> 7, x ^= x << 17;
    return x;
}

static inline size_t slot_of(uint64_t x, size_t slots)
{
    return (x & UINT32_MAX) * slots >> 32;
}

static inline size_t size_of(uint64_t x)
{
    return SIZE_MIN + ((x >> 32 & UINT16_MAX) * (SIZE_MAX_ - SIZE_MIN + 1) >> 16);
}

/* NOLINTBEGIN(clang-analyzer-unix.Malloc): objects live from one loop to the next */
#define LOOPS(name, ALLOC, FREE)                                      \
    static void replace_##name(struct part *p, size_t n)              \
    {                                                                 \
        uint64_t x = p->x;                                            \
        while (n-- > 0) {                                             \
            void **slot = &p->slot[slot_of(x, p->slots)];             \
            FREE(*slot);                                              \
            if ((*slot = ALLOC(p, size_of(x), x)) == NULL)            \
                exit(1);                                              \
            *(uint64_t *)*slot = x;                                   \
            x = next(x);                                              \
        }                                                             \
        p->x = x;                                                     \
    }                                                                 \
    static void fill_##name(struct part *p)                           \
    {                                                                 \
        for (size_t i = 0; i < p->slots; i++, p->x = next(p->x)) {    \
            if ((p->slot[i] = ALLOC(p, size_of(p->x), p->x)) == NULL) \
                exit(1);                                              \
            *(uint64_t *)p->slot[i] = i;                              \
        }                                                             \
    }                                                                 \
    static void empty_##name(struct part *p)                          \
    {                                                                 \
        for (size_t i = 0; i < p->slots; i++)                         \
            FREE(p->slot[i]);                                         \
    }                                                                 \
    static const struct loops name##_loops = {fill_##name, replace_##name, empty_##name};

#define SLUICE(p, size, x) sluice_malloc(modules[(x) >> 48 & (p)->last_module], size)
#define GLIBC(p, size, x)  malloc(size)

LOOPS(sluice, SLUICE, sluice_free)
LOOPS(glibc, GLIBC, free)

/* NOLINTEND(clang-analyzer-unix.Malloc) */

/* The same walk, to the same objects. */
static void only_walk(struct part *p, size_t n)
{
    uint64_t x = p->x;
    while (n-- > 0) {
        *(uint64_t *)p->slot[slot_of(x, p->slots)] = x;
        x = next(x);
    }
    p->x = x;
}

static pthread_barrier_t together;

static uint64_t cpu_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void *work(void *arg)
{
    struct part *p = arg;
    p->loops->fill(p);
    p->loops->replace(p, p->operations / 4);
    pthread_barrier_wait(&together);
    p->from = series_now();
    p->cpu = cpu_now();
    p->loops->replace(p, p->operations);
    p->cpu = cpu_now() - p->cpu;
    p->to = series_now();
    pthread_barrier_wait(&together);
    p->walk_from = series_now();
    p->walk_cpu = cpu_now();
    only_walk(p, p->operations);
    p->walk_cpu = cpu_now() - p->walk_cpu;
    p->walk_to = series_now();
    pthread_barrier_wait(&together);
    p->loops->empty(p);
    return NULL;
}

/* ---- One turn --------------------------------------------------------------------------------- */

enum contender { SLUICE_, GLIBC_, WALK, CONTENDERS };

static const char *const contenders[] = {"sluice", "glibc", "walk only"};

/* How much there is of what grows. */
struct size {
    unsigned threads, modules;
    size_t slots; /* of each thread */
};

/* Of one contender at one size: CPU time of an operation, and operations of all threads in a us. */
struct figures {
    struct series ns, rate;
};

static void note(struct figures *f, double cpu, uint64_t wall, double operations)
{
    series_add(&f->ns, cpu / operations);
    series_add(&f->rate, operations / (double)wall * 1000);
}

/* The walk is of Sluice's objects. */
static bool take_turn(enum contender c, const struct size *size, size_t operations,
                      struct figures *figures)
{
    static struct part parts[THREADS];
    pthread_t thread[THREADS];
    size_t bytes = size->threads * size->slots * sizeof(void *);
    void **slots = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (slots == MAP_FAILED)
        return false;
    pthread_barrier_init(&together, NULL, size->threads);
    for (unsigned i = 0; i < size->threads; i++) {
        parts[i] = (struct part){.slot = slots + i * size->slots,
                                 .slots = size->slots,
                                 .operations = operations / size->threads,
                                 .last_module = size->modules - 1,
                                 .x = 88172645463325252u + i,
                                 .loops = c == SLUICE_ ? &sluice_loops : &glibc_loops};
        if (pthread_create(&thread[i], NULL, work, &parts[i]) != 0)
            exit(1); /* the others wait for it */
    }
    uint64_t from = UINT64_MAX, to = 0, walk_from = UINT64_MAX, walk_to = 0;
    double cpu = 0, walk_cpu = 0;
    for (unsigned i = 0; i < size->threads; i++) {
        const struct part *p = &parts[i];
        pthread_join(thread[i], NULL);
        cpu += (double)p->cpu;
        walk_cpu += (double)p->walk_cpu;
        from = p->from < from ? p->from : from;
        to = p->to > to ? p->to : to;
        walk_from = p->walk_from < walk_from ? p->walk_from : walk_from;
        walk_to = p->walk_to > walk_to ? p->walk_to : walk_to;
    }
    double done = (double)(parts[0].operations * size->threads);
    note(&figures[c], cpu, to - from, done);
    if (c == SLUICE_)
        note(&figures[WALK], walk_cpu, walk_to - walk_from, done);
    munmap(slots, bytes);
    /* Sluice gives memory back by itself, and keeps to small pages for a while after a trim. */
    malloc_trim(0);
    return true;
}

/* ---- A series --------------------------------------------------------------------------------- */

#define SIZES 8

struct growth {
    const char *what, *unit; /* what grows; of the rows' labels */
    const char *row;         /* for record.h */
    size_t count, label[SIZES];
    struct size size[SIZES];
};

static unsigned processors(void)
{
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) == 0 ? (unsigned)CPU_COUNT(&set) : 1;
}

static void print_costs(const struct growth *g, struct figures figures[][CONTENDERS])
{
    printf("\n%-9s", g->what);
    for (enum contender c = SLUICE_; c < CONTENDERS; c++)
        printf(" %10s %9s %8s", contenders[c], "smallest", "x first");
    for (size_t i = 0; i < g->count; i++) {
        char label[32];
        snprintf(label, sizeof label, "%zu%s", g->label[i], g->unit);
        printf("\n%-9s", label);
        for (enum contender c = SLUICE_; c < CONTENDERS; c++) {
            const struct series *ns = &figures[i][c].ns;
            printf(" %10.2f %9.2f %8.2f", series_median(ns), series_smallest(ns),
                   series_median(ns) / series_median(&figures[0][c].ns));
        }
    }
    printf("\n");
}

static void print_scaling(const struct growth *g, struct figures figures[][CONTENDERS])
{
    printf("\n%-9s", g->what);
    for (enum contender c = SLUICE_; c < CONTENDERS; c++)
        printf(" %10s %18s", contenders[c], "of linear");
    for (size_t i = 0; i < g->count; i++) {
        printf("\n%-9zu", g->label[i]);
        for (enum contender c = SLUICE_; c < CONTENDERS; c++) {
            double faster = series_median(&figures[i][c].rate) / series_median(&figures[0][c].rate);
            printf(" %10.2f", faster);
            if (g->label[i] <= processors())
                printf(" %18.2f", faster / (double)g->label[i]);
            else
                printf(" %18s", "-");
        }
    }
    printf("\noperations in a second, of all threads together, to those of one thread\n");
}

static void note_rounds(const struct growth *g, struct figures figures[][CONTENDERS])
{
    for (size_t i = 0; i < g->count; i++)
        for (enum contender c = SLUICE_; c < CONTENDERS; c++) {
            char row[96];
            snprintf(row, sizeof row, "%s at %zu%s", contenders[c], g->label[i], g->unit);
            series_print_noise(row, &figures[i][c].ns, "ns");
            snprintf(row, sizeof row, "%s: %zu", g->row, g->label[i]);
            record_series(row, contenders[c], "cpu ns", &figures[i][c].ns);
            record_series(row, contenders[c], "operations/us", &figures[i][c].rate);
        }
}

static bool run(const struct growth *g, unsigned rounds, size_t operations)
{
    static struct figures figures[SIZES][CONTENDERS];
    memset(figures, 0, sizeof figures);
    for (unsigned round = 0; round < rounds; round++)
        for (size_t i = 0; i < g->count; i++) {
            if (g->size[i].slots * MEAN >= LARGE && round % 3 != 0)
                continue;
            for (enum contender c = SLUICE_; c < WALK; c++)
                if (!take_turn(c, &g->size[i], operations, figures[i])) {
                    fprintf(stderr, "bench: no memory for %zu objects\n", g->size[i].slots);
                    return false;
                }
        }
    print_costs(g, figures);
    if (g->size[g->count - 1].threads > 1)
        print_scaling(g, figures);
    note_rounds(g, figures);
    return true;
}

/* ---- The three of them ------------------------------------------------------------------------ */

static bool by_threads(unsigned rounds, size_t operations)
{
    struct growth g = {.what = "threads", .unit = "", .row = "growth by threads"};
    printf("\n%d objects of each thread, %zu operations of all threads together", PER_THREAD,
           operations);
    for (unsigned n = 1; n <= THREADS; n *= 2, g.count++) {
        g.label[g.count] = n;
        g.size[g.count] = (struct size){n, 1, PER_THREAD};
    }
    return run(&g, rounds, operations);
}

static bool by_modules(unsigned rounds, size_t operations, size_t objects)
{
    char row[64];
    struct growth g = {.what = "modules", .unit = "", .row = row};
    snprintf(row, sizeof row, "growth by modules, %zu objects", objects);
    printf("\n%zu objects of all modules together, %zu operations", objects, operations);
    for (unsigned n = 1; n <= MODULES; n *= 4, g.count++) {
        g.label[g.count] = n;
        g.size[g.count] = (struct size){1, n, objects};
    }
    return run(&g, rounds, operations);
}

static bool by_live(unsigned rounds, size_t operations, size_t most)
{
    struct growth g = {.what = "live", .unit = " MiB", .row = "growth by live MiB"};
    uint64_t room = resident_available() / 2;
    for (size_t n = 1; n <= most; n = n == 4096 ? 8192 : n * 4) {
        if (n * MIB > room) {
            printf(
                "without %zu MiB live and more: half of the memory that is available is %zu MiB\n",
                n, (size_t)(room / MIB));
            break;
        }
        g.label[g.count] = n;
        g.size[g.count++] = (struct size){1, 1, n * MIB / MEAN};
    }
    printf("\none thread, one module, %zu operations", operations);
    return g.count == 0 || run(&g, rounds, operations);
}

static bool prepare(void)
{
    static const char policy[] =
        "sluice: 1\n"
        "modules:\n"
        "  \"bench-growth-*\": {route: [{max_size: 64KiB, to: pool}, {to: mmap}]}\n";
    if (sluice_policy_load_string(policy, sizeof policy - 1) != SLUICE_OK) {
        fprintf(stderr, "bench: %s\n", sluice_error_message());
        return false;
    }
    for (unsigned i = 0; i < MODULES; i++) {
        char name[32];
        snprintf(name, sizeof name, "bench-growth-%u", i);
        modules[i] = sluice_module_register(name);
        if (modules[i] == SLUICE_MODULE_INVALID) {
            fprintf(stderr, "bench: %s: %s\n", name, sluice_error_message());
            return false;
        }
    }
    return true;
}

int bench_growth(const struct bench_options *options)
{
    unsigned rounds = options->quick ? 3 : 9;
    size_t operations = options->quick ? 200000 : 4000000;
    if (!prepare())
        return 1;
    printf(
        "\nGrowth: objects of %d to %d bytes, replaced at random; sluice and libc linked\n"
        "ns of CPU time of an operation, medians of %u rounds, of a third of them from 256 MiB on\n"
        "walk only: the same walk, which writes to the objects that are there, of sluice\n"
        "%u processors\n",
        SIZE_MIN, SIZE_MAX_, rounds, processors());
    if (!by_threads(rounds, operations * 4) || !by_modules(rounds, operations, 10000))
        return 1;
    if (!options->quick && !by_modules(rounds, operations, 1000000))
        return 1;
    return !by_live(rounds, operations, options->quick ? 16 : 8192);
}
