/* giveback.c - what is still resident after everything was freed, and for how long: also where no thread that allocated calls
 * the allocator any more.
 *
 * Each contender is the malloc of a child, preloaded. Its threads exist, and each has had one small object, before the start is
 * measured. Then each allocates and writes to its share; all is freed, and what is resident above the start is measured at a few
 * moments. */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/bench/bench.h"
#include "tools/bench/preloaded.h"
#include "tools/bench/record.h"
#include "tools/bench/resident.h"
#include "tools/bench/series.h"

#define THREADS 8
#define MIB     1048576.0

enum ending { IDLE, BLOCKED, GONE, BY_ANOTHER, ENDINGS };

static const char *const endings[] = {
    [IDLE] = "idle",
    [BLOCKED] = "blocked",
    [GONE] = "gone",
    [BY_ANOTHER] = "freed by another",
};

/* ---- The child -------------------------------------------------------------------------------- */

static enum ending ending;
static size_t share;
static pthread_barrier_t together; /* of the threads and main: passed after each step */
static void *lists[THREADS];
static uint64_t start, freed_at, lazily_freed;
static int silence[2]; /* a pipe that nobody writes to */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t never = PTHREAD_COND_INITIALIZER;

/* 16 bytes to 256 KiB. Each power of two comes half as often as the one below it, so all have the same bytes. */
static size_t random_size(uint64_t *x)
{
    *x ^= *x << 13, *x ^= *x >> 7, *x ^= *x << 17;
    size_t least = (size_t)16 << __builtin_ctzll(*x | 1 << 13);
    return least + (*x >> 32) % least + 1;
}

static void *fill(uint64_t x)
{
    void *list = NULL;
    for (size_t has = 0; has < share;) {
        size_t size = random_size(&x);
        void **p = malloc(size);
        if (p == NULL)
            exit(1);
        memset(p, 1, size);
        *p = list;
        list = p;
        has += size;
    }
    return list;
}

static void drop(void *list)
{
    for (void *next; list != NULL; list = next) {
        next = *(void **)list;
        free(list);
    }
}

static void *live(void *index)
{
    size_t i = (uintptr_t)index;
    char byte;
    free(malloc(16));
    pthread_barrier_wait(&together); /* all exist */
    pthread_barrier_wait(&together); /* the start was measured */
    lists[i] = fill(88172645463325252u + i);
    pthread_barrier_wait(&together); /* all is there */
    pthread_barrier_wait(&together); /* so it was measured */
    if (ending != BY_ANOTHER)
        drop(lists[i]);
    pthread_barrier_wait(&together);
    if (ending == GONE)
        return NULL;
    if (ending == IDLE) {
        pthread_mutex_lock(&lock);
        for (;;)
            pthread_cond_wait(&never, &lock);
    }
    return read(silence[0], &byte, 1) == 0 ? NULL : &silence;
}

/* Returns the bytes above the start that were resident when all was there. */
static double use_and_free(void)
{
    pthread_t thread[THREADS];
    pthread_barrier_init(&together, NULL, THREADS + 1);
    if (pipe(silence) != 0)
        exit(1);
    for (uintptr_t i = 0; i < THREADS; i++)
        if (pthread_create(&thread[i], NULL, live, (void *)i) != 0)
            exit(1);
    pthread_barrier_wait(&together);
    start = resident_bytes();
    pthread_barrier_wait(&together);
    pthread_barrier_wait(&together);
    double most = (double)resident_bytes() - (double)start;
    pthread_barrier_wait(&together);
    pthread_barrier_wait(&together);
    for (unsigned i = 0; i < THREADS && ending == GONE; i++)
        pthread_join(thread[i], NULL);
    for (unsigned i = 0; i < THREADS && ending == BY_ANOTHER; i++)
        drop(lists[i]);
    freed_at = series_now();
    return most;
}

/* Waits until so many ms after all was freed. The wait is what is measured: how long an allocator takes to give memory back,
 * while the program does nothing. Returns the bytes above the start that are resident. */
static double look_after(size_t ms)
{
    series_wait_until(freed_at + ms * 1000000);
    uint64_t now = resident_bytes();
    lazily_freed = resident_lazily_freed();
    return now > start ? (double)(now - start) : 0;
}

/* '0' + an ending: does that with n bytes for each thread. 'm': a moment, n ms later. 'l': LazyFree of that moment. */
static double answer(char what, size_t n)
{
    if (what == 'm')
        return look_after(n);
    if (what == 'l')
        return (double)lazily_freed;
    ending = (enum ending)(what - '0');
    share = n;
    return use_and_free();
}

int bench_giveback_child(void)
{
    return preloaded_serve(answer);
}

/* ---- Who asks --------------------------------------------------------------------------------- */

static const unsigned moments[] = {0, 1, 2, 4, 8}; /* s after all was freed */
#define MOMENTS (sizeof moments / sizeof *moments)
enum { TABLE = 2 }; /* the moment that contenders are compared at */

/* The built-in policy, but for what its pool keeps for the next stage. */
#define KEEP_NOTHING                                            \
    "sluice: 1\n"                                               \
    "default: direct\n"                                         \
    "backends:\n"                                               \
    "  blocks: {kind: pool, huge_pages: auto, retain: 0}\n"     \
    "  direct: {kind: mmap, reuse: 100ms, huge_pages: never}\n" \
    "modules:\n"                                                \
    "  \"*\": {route: [{max_size: 512KiB, to: blocks}, {to: direct}]}\n"

static struct contender {
    const char *name, *library, *policy; /* the library NULL: Sluice's, with that or its own */
    bool missing;
    struct preloaded child;
    struct series most[ENDINGS], left[ENDINGS][MOMENTS], lazy[ENDINGS][MOMENTS]; /* MiB */
} contenders[] = {
    {.name = "sluice"},
    {.name = "retain: 0", .policy = KEEP_NOTHING},
    {.name = "glibc", .library = "libc.so.6"},
    {.name = "jemalloc", .library = "libjemalloc.so.2"},
    {.name = "mimalloc", .library = "libmimalloc.so.2"},
    {.name = "tcmalloc", .library = "libtcmalloc_minimal.so.4"},
};
#define COUNT (sizeof contenders / sizeof *contenders)

static void begin(struct contender *c, enum ending e, size_t each, size_t count)
{
    if (!c->missing)
        c->missing = !(c->library == NULL ? preloaded_start_sluice(&c->child, c->policy, "giveback")
                                          : preloaded_start(&c->child, c->library, "giveback"));
    double most = c->missing ? -1 : preloaded_ask(&c->child, (char)('0' + e), each);
    if (most < 0)
        return;
    series_add(&c->most[e], most / MIB);
    for (size_t i = 0; i < count; i++) {
        preloaded_send(&c->child, 'm', 1000 * moments[i]);
        preloaded_send(&c->child, 'l', 0);
    }
}

static void end(struct contender *c, enum ending e, size_t count)
{
    for (size_t i = 0; i < count && c->child.pid > 0; i++) {
        double left = preloaded_receive(&c->child), lazy = preloaded_receive(&c->child);
        if (left < 0 || lazy < 0)
            return;
        series_add(&c->left[e][i], left / MIB);
        series_add(&c->lazy[e][i], lazy / MIB);
    }
    preloaded_end(&c->child);
}

static void print_curve(const struct contender *c, size_t count)
{
    printf("\n%-20s %10s", c->name, "all live");
    for (size_t m = 0; m < count; m++)
        printf(" %8u s", moments[m]);
    printf("   the most %u s later\n", moments[TABLE]);
    for (enum ending e = IDLE; e < ENDINGS; e++) {
        printf("%-20s %10.2f", endings[e], series_median(&c->most[e]));
        for (size_t m = 0; m < count; m++)
            printf(" %10.2f", series_median(&c->left[e][m]));
        printf(" %10.2f\n", series_largest(&c->left[e][TABLE]));
    }
}

static void print(unsigned rounds, size_t each, size_t count)
{
    printf("\nAfter everything was freed: %d threads had %.0f MiB each, of 16 B to 256 KiB\n"
           "Resident %u s later, MiB above the start: Rss less LazyFree; medians of %u\n%-20s",
           THREADS, (double)each / MIB, moments[TABLE], rounds, "");
    for (size_t i = 0; i < COUNT; i++)
        printf(" %10s", contenders[i].name);
    for (enum ending e = IDLE; e < ENDINGS; e++) {
        printf("\n%-20s", endings[e]);
        for (size_t i = 0; i < COUNT; i++)
            if (contenders[i].left[e][TABLE].count > 0)
                printf(" %10.2f", series_median(&contenders[i].left[e][TABLE]));
            else
                printf(" %10s", "-");
    }
    printf("\n");
    for (size_t i = 0; i < COUNT && contenders[i].library == NULL; i++)
        print_curve(&contenders[i], count);
    for (size_t i = 0; i < COUNT; i++)
        for (enum ending e = IDLE; e < ENDINGS; e++)
            if (series_largest(&contenders[i].lazy[e][TABLE]) > 0)
                printf("and freed lazily, for the system to take: %s, %s, %.2f MiB\n",
                       contenders[i].name, endings[e],
                       series_median(&contenders[i].lazy[e][TABLE]));
    printf("sluice: preloaded, the built-in policy. Its pool, up to 512 KiB, gives back what is "
           "free for 1 s and\nbeyond 2 MiB (retain); larger blocks stay for 100 ms. retain: 0: "
           "the same, but for that\n");
}

static void record(size_t count)
{
    for (enum ending e = IDLE; e < ENDINGS; e++)
        for (size_t i = 0; i < COUNT; i++) {
            char row[64], figure[64];
            const struct contender *c = &contenders[i];
            snprintf(row, sizeof row, "giveback: %s", endings[e]);
            record_series(row, c->name, "MiB", &c->most[e]);
            for (size_t m = 0; m < count; m++) {
                snprintf(figure, sizeof figure, "MiB after %u s", moments[m]);
                record_series(row, c->name, figure, &c->left[e][m]);
                snprintf(figure, sizeof figure, "lazily freed MiB after %u s", moments[m]);
                record_series(row, c->name, figure, &c->lazy[e][m]);
            }
        }
}

int bench_giveback(const struct bench_options *options)
{
    unsigned rounds = options->quick ? 1 : 3;
    size_t each = (size_t)(options->quick ? 8 : 64) << 20, count = options->quick ? 3 : MOMENTS;
    for (unsigned round = 0; round < rounds; round++)
        for (enum ending e = IDLE; e < ENDINGS; e++) {
            /* One after another allocates; they wait together. */
            for (size_t i = 0; i < COUNT; i++)
                begin(&contenders[i], e, each, count);
            for (size_t i = 0; i < COUNT; i++)
                end(&contenders[i], e, count);
        }
    print(rounds, each, count);
    record(count);
    return contenders[0].left[IDLE][TABLE].count == 0;
}
