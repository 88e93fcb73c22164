/* fast.c - the shortest ways: a pair of malloc and free, of one size and of four in turn, and a set of objects that are replaced
 * in random order.
 *
 * Sluice by modules is called directly, as a program does that is linked to it; so is libc. The others, and Sluice once more, are
 * the malloc of a child, preloaded. Every contender's loop is compiled by itself. Times are of one thread, and include the
 * loop. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sluice/sluice.h>

#include "tools/bench/bench.h"
#include "tools/bench/lists.h"
#include "tools/bench/preloaded.h"
#include "tools/bench/record.h"
#include "tools/bench/series.h"
#include "tools/bench/steps.h"

#define MODULES   LISTS_MODULES
#define SLOTS     10000
#define STEPS     (1u << 16) /* of the recorded random walk; walked again and again */
#define PAIR_SIZE 64
#define SIZE_MIN  8
#define SIZE_MAX_ 1024

static sluice_module pool, glibc, jemalloc, pools[MODULES];

/* ---- The work ------------------------------------------------------------------------------- */

static struct step {
    uint16_t slot, size;
} walk[STEPS];
static void *slots[SLOTS];
static size_t pair_size;

static void record_walk(void)
{
    uint64_t x = 88172645463325252u;
    for (size_t i = 0; i < STEPS; i++) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17; /* G. Marsaglia, "Xorshift RNGs", 2003 */
        walk[i].slot = (uint16_t)(x % SLOTS);
        walk[i].size = (uint16_t)(SIZE_MIN + (x >> 32) % (SIZE_MAX_ - SIZE_MIN + 1));
    }
}

/* Keeps the compiler from knowing what p is. */
#define HIDE(p) __asm__ volatile("" : "+r"(p) : : "memory")

/* NOLINTBEGIN(clang-analyzer-unix.Malloc): it does not see through HIDE() */
#define PAIRS(name, ALLOC, FREE, MORE)    \
    static void name(size_t n)            \
    {                                     \
        size_t least = pair_size;         \
        for (size_t i = 0; i < n; i++) {  \
            size_t size = least + (MORE); \
            HIDE(size);                   \
            void *p = ALLOC(size);        \
            HIDE(p);                      \
            FREE(p);                      \
        }                                 \
    }

/* Of one size, each call waits for what the one before it stored; of four sizes in turn, they go side by side. */
#define LOOPS(name, ALLOC, FREE)                        \
    PAIRS(pair_##name, ALLOC, FREE, 0)                  \
    PAIRS(four_##name, ALLOC, FREE, i % 4 * 16)         \
    static void set_##name(size_t n)                    \
    {                                                   \
        for (size_t i = 0; i < n; i++) {                \
            const struct step *step = &walk[i % STEPS]; \
            void **slot = &slots[step->slot];           \
            FREE(*slot);                                \
            *slot = ALLOC(step->size);                  \
            if (*slot != NULL)                          \
                *(char *)*slot = 1;                     \
        }                                               \
    }                                                   \
    static void empty_##name(void)                      \
    {                                                   \
        for (size_t i = 0; i < SLOTS; i++) {            \
            FREE(slots[i]);                             \
            slots[i] = NULL;                            \
        }                                               \
    }

/* The least that a call can do: a thread's own list, without sizes, owners, or anything else. With sizes and modules: lists.h. */
static __thread void *bare_list;

static __attribute__((noinline)) void *bare_malloc(size_t size)
{
    void *p = bare_list;
    if (p == NULL)
        return malloc(size < 16 ? 16 : size);
    bare_list = *(void **)p;
    return p;
}

static __attribute__((noinline)) void bare_free(void *p)
{
    *(void **)p = bare_list;
    bare_list = p;
}

#define POOL(size)       sluice_malloc(pool, size)
#define GLIBC(size)      sluice_malloc(glibc, size)
#define JEMALLOC(size)   sluice_malloc(jemalloc, size)
#define MANY(size)       sluice_malloc(pools[i % MODULES], size)
#define LISTS(size)      lists_malloc(0, size)
#define MANY_LISTS(size) lists_malloc(i % MODULES, size)

LOOPS(pool, POOL, sluice_free)
LOOPS(many, MANY, sluice_free)
LOOPS(sluice_glibc, GLIBC, sluice_free)
LOOPS(sluice_jemalloc, JEMALLOC, sluice_free)
LOOPS(lists, LISTS, lists_free)
LOOPS(many_lists, MANY_LISTS, lists_free)
LOOPS(glibc, malloc, free)

PAIRS(pair_bare, bare_malloc, bare_free, 0)

/* NOLINTEND(clang-analyzer-unix.Malloc) */

/* ---- Contenders ----------------------------------------------------------------------------- */

enum work { PAIR, FOUR, SET, WORKS };

/* These are no allocators: floors. */
#define BARE    "a bare list"
#define BY_SIZE "lists by size"

#define RUNS(name) .run = {pair_##name, four_##name, set_##name}, .empty = empty_##name

static struct contender {
    const char *name;
    void (*run[WORKS])(size_t n);
    void (*empty)(void); /* NULL: in a child, or no part of it */
    const char *library; /* of the child */
    const char *against;
    struct preloaded child;
    struct series ns[WORKS];
} contenders[] = {
    {.name = "sluice, pool", RUNS(pool)},
    {.name = "sluice, 32 modules", RUNS(many), .against = "sluice, pool"},
    {.name = "sluice, jemalloc", RUNS(sluice_jemalloc), .against = "jemalloc"},
    {.name = "sluice, glibc", RUNS(sluice_glibc), .against = "glibc"},
    {.name = BARE, .run = {pair_bare}},
    {.name = BY_SIZE, RUNS(lists)},
    {.name = "lists, 32 modules", RUNS(many_lists), .against = BY_SIZE},
    {.name = "glibc", RUNS(glibc)},
    {.name = "sluice preloaded", .library = "", .against = "glibc"},
    {.name = "jemalloc", .library = "libjemalloc.so.2"},
    {.name = "mimalloc", .library = "libmimalloc.so.2"},
    {.name = "tcmalloc", .library = "libtcmalloc_minimal.so.4"},
};

#define COUNT (sizeof contenders / sizeof *contenders)

static const char *const names_of_work[] = {"pair", "pair: four sizes", "set"};

static bool takes_part(const struct contender *c, enum work work)
{
    return c->child.pid > 0 || c->run[work] != NULL;
}

/* Once without looking, so that caches are filled; then the time of one operation, ns. */
static double time_of(const struct contender *c, enum work work, size_t n)
{
    c->run[work](work == SET ? 2 * SLOTS : n / 10);
    uint64_t start = series_now();
    c->run[work](n);
    double ns = (double)(series_now() - start) / (double)n;
    if (work == SET)
        c->empty();
    return ns;
}

static void take_turn(struct contender *c, enum work work, size_t n)
{
    double ns = c->child.pid > 0 ? preloaded_ask(&c->child, 't', n) : time_of(c, work, n);
    if (ns >= 0)
        series_add(&c->ns[work], ns);
}

static const struct contender *find(const char *name)
{
    for (size_t i = 0; i < COUNT; i++)
        if (strcmp(contenders[i].name, name) == 0)
            return &contenders[i];
    return NULL;
}

static double instructions_of(struct contender *c)
{
    return c->child.pid > 0 ? preloaded_ask(&c->child, 's', STEPPED)
                            : steps_each(c->run[PAIR], STEPPED);
}

static void print(enum work work)
{
    double glibc_ns = series_median(&find("glibc")->ns[work]), best = 0;
    const char *fastest = "";
    for (size_t i = 0; i < COUNT; i++) {
        const struct contender *c = &contenders[i];
        double ns = series_median(&c->ns[work]);
        bool peer = strncmp(c->name, "sluice", 6) != 0 && strcmp(c->name, BARE) != 0 &&
                    strncmp(c->name, "lists", 5) != 0;
        if (c->ns[work].count > 0 && peer && (best == 0 || ns < best)) {
            best = ns;
            fastest = c->name;
        }
    }
    printf("%-20s %9s %9s %9s %13s", "", "ns", "smallest", "x glibc", "x the fastest");
    printf(work == PAIR ? " %13s\n" : "\n", "instructions");
    for (size_t i = 0; i < COUNT; i++) {
        struct contender *c = &contenders[i];
        if (c->ns[work].count == 0)
            continue;
        double ns = series_median(&c->ns[work]);
        printf("%-20s %9.2f %9.2f %9.2f %13.2f", c->name, ns, series_smallest(&c->ns[work]),
               ns / glibc_ns, ns / best);
        double steps = work == PAIR ? instructions_of(c) : -1;
        record_series(names_of_work[work], c->name, "ns", &c->ns[work]);
        if (steps >= 0) {
            printf(" %13.1f", steps);
            record_figure(names_of_work[work], c->name, 0, "instructions", steps);
        }
        if (c->against != NULL && find(c->against)->ns[work].count > 0)
            printf("   %.2f x %s", ns / series_median(&find(c->against)->ns[work]), c->against);
        printf("\n");
    }
    double mine = series_median(&find("sluice, pool")->ns[work]);
    printf("the fastest other allocator: %s; sluice, pool is %.2f x " BY_SIZE, fastest,
           mine / series_median(&find(BY_SIZE)->ns[work]));
    if (work == PAIR)
        printf(", %.2f x " BARE, mine / series_median(&find(BARE)->ns[PAIR]));
    printf("\n");
}

static bool prepare(void)
{
    static const char policy[] =
        "sluice: 1\n"
        "modules:\n"
        "  \"bench-pool*\": {route: [{max_size: 64KiB, to: pool}, {to: mmap}]}\n"
        "  bench-glibc: glibc\n"
        "  bench-jemalloc: jemalloc\n";
    static bool done;
    if (done)
        return true;
    if (sluice_policy_load_string(policy, sizeof policy - 1) != SLUICE_OK) {
        fprintf(stderr, "bench: %s\n", sluice_error_message());
        return false;
    }
    pool = sluice_module_register("bench-pool");
    glibc = sluice_module_register("bench-glibc");
    jemalloc = sluice_module_register("bench-jemalloc");
    for (int i = 0; i < MODULES; i++) {
        char name[32];
        snprintf(name, sizeof name, "bench-pool-%d", i);
        pools[i] = sluice_module_register(name);
    }
    record_walk();
    done = true;
    return true;
}

static void start_children(enum work work)
{
    for (size_t i = 0; i < COUNT; i++) {
        struct contender *c = &contenders[i];
        if (c->library != NULL)
            preloaded_start(&c->child, *c->library == '\0' ? preloaded_sluice() : c->library,
                            names_of_work[work]);
    }
}

static enum work work_of_child;

static double answer(char what, size_t n)
{
    const struct contender *c = find("glibc"); /* by name: whoever is malloc here */
    return what == 's' ? steps_each(c->run[PAIR], n) : time_of(c, work_of_child, n);
}

int bench_turns(const char *work)
{
    work_of_child = PAIR; /* also of other benchmarks' */
    for (enum work w = PAIR; w < WORKS; w++)
        if (strcmp(work, names_of_work[w]) == 0)
            work_of_child = w;
    pair_size = PAIR_SIZE;
    record_walk();
    return preloaded_serve(answer);
}

static int run(const struct bench_options *options, enum work work, size_t n)
{
    unsigned rounds = options->quick ? 5 : 41;
    if (options->quick)
        n /= 20;
    if (!prepare())
        return 1;
    unsetenv("SLUICE_POLICY"); /* children have the built-in one */
    start_children(work);
    for (unsigned round = 0; round < rounds; round++)
        for (size_t i = 0; i < COUNT; i++)
            if (takes_part(&contenders[i], work))
                take_turn(&contenders[i], work, n);
    printf("%u rounds of %zu operations each, medians.\n"
           "\"sluice, …\" by module, linked; libc linked; the others preloaded\n",
           rounds, n);
    print(work);
    for (size_t i = 0; i < COUNT; i++)
        series_print_noise(contenders[i].name, &contenders[i].ns[work], "ns");
    for (size_t i = 0; i < COUNT; i++)
        preloaded_end(&contenders[i].child);
    return 0;
}

int bench_pair(const struct bench_options *options)
{
    pair_size = PAIR_SIZE;
    printf("\nA pair of malloc and free, %d bytes, one thread\n", PAIR_SIZE);
    if (run(options, PAIR, 4000000) != 0)
        return 1;
    printf("\nThe same with four sizes in turn, %d to %d bytes\n", PAIR_SIZE, PAIR_SIZE + 3 * 16);
    return run(options, FOUR, 4000000);
}

int bench_set(const struct bench_options *options)
{
    printf("\n%d objects of %d to %d bytes, replaced in random order, one thread\n", SLOTS,
           SIZE_MIN, SIZE_MAX_);
    return run(options, SET, 2000000);
}
