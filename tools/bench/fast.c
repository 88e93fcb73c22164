/* fast.c - the shortest ways: a pair of malloc and free, and a set of objects that are replaced in random order.
 *
 * Every contender's loop is compiled by itself, so that each is called as a program would call it: directly where it is linked
 * (Sluice, jemalloc, libc), through a pointer where it was opened (mimalloc, tcmalloc). Times are of one thread, and
 * include the loop. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sluice/sluice.h>

#include "tools/bench/bench.h"
#include "tools/bench/peers.h"
#include "tools/bench/series.h"
#include "tools/build/jemalloc_renamed.h"

#define MODULES   32
#define SLOTS     10000
#define STEPS     (1u << 16) /* of the recorded random walk; walked again and again */
#define SIZE_MIN  8
#define SIZE_MAX_ 1024

static struct mimalloc mi;
static struct tcmalloc tc;
static bool has_mimalloc, has_tcmalloc;
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
#define LOOPS(name, ALLOC, FREE)                        \
    static void pair_##name(size_t n)                   \
    {                                                   \
        size_t size = pair_size;                        \
        for (size_t i = 0; i < n; i++) {                \
            HIDE(size);                                 \
            void *p = ALLOC(size);                      \
            HIDE(p);                                    \
            FREE(p);                                    \
        }                                               \
    }                                                   \
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

/* The least that a call can do: a thread's own list, without sizes, owners, or anything else. */
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

#define POOL(size)     sluice_malloc(pool, size)
#define GLIBC(size)    sluice_malloc(glibc, size)
#define JEMALLOC(size) sluice_malloc(jemalloc, size)
#define MANY(size)     sluice_malloc(pools[i % MODULES], size)

LOOPS(pool, POOL, sluice_free)
LOOPS(many, MANY, sluice_free)
LOOPS(sluice_glibc, GLIBC, sluice_free)
LOOPS(sluice_jemalloc, JEMALLOC, sluice_free)
LOOPS(glibc, malloc, free)
LOOPS(jemalloc, je_malloc, je_free)
LOOPS(mimalloc, mi.malloc, mi.free)
LOOPS(tcmalloc, tc.malloc, tc.free)

static void pair_bare(size_t n)
{
    size_t size = pair_size;
    for (size_t i = 0; i < n; i++) {
        HIDE(size);
        void *p = bare_malloc(size);
        HIDE(p);
        bare_free(p);
    }
}

/* NOLINTEND(clang-analyzer-unix.Malloc) */

/* ---- Contenders ----------------------------------------------------------------------------- */

enum work { PAIR, SET };

static struct contender {
    const char *name;
    void (*pair)(size_t n), (*set)(size_t n), (*empty)(void);
    bool *there; /* NULL: always */
    const char *against;
    struct series ns[2];
} contenders[] = {
    {"sluice, pool", pair_pool, set_pool, empty_pool, NULL, NULL, {{0}}},
    {"sluice, 32 modules", pair_many, set_many, empty_many, NULL, "sluice, pool", {{0}}},
    {"sluice, jemalloc",
     pair_sluice_jemalloc,
     set_sluice_jemalloc,
     empty_sluice_jemalloc,
     NULL,
     "jemalloc",
     {{0}}},
    {"sluice, glibc",
     pair_sluice_glibc,
     set_sluice_glibc,
     empty_sluice_glibc,
     NULL,
     "glibc",
     {{0}}},
    {"a bare list", pair_bare, NULL, NULL, NULL, NULL, {{0}}},
    {"glibc", pair_glibc, set_glibc, empty_glibc, NULL, NULL, {{0}}},
    {"jemalloc", pair_jemalloc, set_jemalloc, empty_jemalloc, NULL, NULL, {{0}}},
    {"mimalloc", pair_mimalloc, set_mimalloc, empty_mimalloc, &has_mimalloc, NULL, {{0}}},
    {"tcmalloc", pair_tcmalloc, set_tcmalloc, empty_tcmalloc, &has_tcmalloc, NULL, {{0}}},
};

#define COUNT (sizeof contenders / sizeof *contenders)

static bool takes_part(const struct contender *c, enum work work)
{
    return (c->there == NULL || *c->there) && (work == PAIR || c->set != NULL);
}

/* Once without looking, so that caches are filled; then the time of one operation, ns. */
static void take_turn(struct contender *c, enum work work, size_t n)
{
    void (*run)(size_t) = work == PAIR ? c->pair : c->set;
    run(work == PAIR ? n / 10 : 2 * SLOTS);
    uint64_t start = series_now();
    run(n);
    series_add(&c->ns[work], (double)(series_now() - start) / (double)n);
    if (work == SET)
        c->empty();
}

static const struct contender *find(const char *name)
{
    for (size_t i = 0; i < COUNT; i++)
        if (strcmp(contenders[i].name, name) == 0)
            return &contenders[i];
    return NULL;
}

static void print(enum work work)
{
    double glibc_ns = series_median(&find("glibc")->ns[work]), best = 0;
    const char *fastest = "";
    for (size_t i = 0; i < COUNT; i++) {
        const struct contender *c = &contenders[i];
        double ns = series_median(&c->ns[work]);
        bool peer = strncmp(c->name, "sluice", 6) != 0 && strcmp(c->name, "a bare list") != 0;
        if (takes_part(c, work) && peer && (best == 0 || ns < best)) {
            best = ns;
            fastest = c->name;
        }
    }
    printf("%-20s %9s %9s %9s %12s\n", "", "ns", "smallest", "x glibc", "x the fastest");
    for (size_t i = 0; i < COUNT; i++) {
        const struct contender *c = &contenders[i];
        if (!takes_part(c, work))
            continue;
        double ns = series_median(&c->ns[work]);
        printf("%-20s %9.2f %9.2f %9.2f %12.2f", c->name, ns, series_smallest(&c->ns[work]),
               ns / glibc_ns, ns / best);
        if (c->against != NULL)
            printf("   %.2f x %s", ns / series_median(&find(c->against)->ns[work]), c->against);
        printf("\n");
    }
    const struct contender *mine = find("sluice, pool");
    printf("the fastest other allocator: %s", fastest);
    if (work == PAIR)
        printf("; sluice, pool is %.2f x a bare list",
               series_median(&mine->ns[PAIR]) / series_median(&find("a bare list")->ns[PAIR]));
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
    has_mimalloc = peers_open_mimalloc(&mi);
    has_tcmalloc = peers_open_tcmalloc(&tc);
    record_walk();
    done = true;
    return true;
}

static int run(const struct bench_options *options, enum work work, size_t n)
{
    unsigned rounds = options->quick ? 5 : 41;
    if (options->quick)
        n /= 20;
    if (!prepare())
        return 1;
    for (unsigned round = 0; round < rounds; round++)
        for (size_t i = 0; i < COUNT; i++)
            if (takes_part(&contenders[i], work))
                take_turn(&contenders[i], work, n);
    printf("%u rounds of %zu operations each, medians\n", rounds, n);
    print(work);
    return 0;
}

int bench_pair(const struct bench_options *options)
{
    pair_size = 64;
    printf("\nA pair of malloc and free, 64 bytes, one thread\n");
    return run(options, PAIR, 4000000);
}

int bench_set(const struct bench_options *options)
{
    printf("\n%d objects of %d to %d bytes, replaced in random order, one thread\n", SLOTS,
           SIZE_MIN, SIZE_MAX_);
    return run(options, SET, 2000000);
}
