/* reload.c - what a thread that allocates notices of others: policies that are reloaded a hundred times a second, and phases of
 * another module that end. Each pair of malloc and free is timed by itself; the largest times are what is asked for. Beside it,
 * a thread that has nothing to do with Sluice, and unmaps memory. */
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include <sluice/sluice.h>

#include "tools/bench/bench.h"
#include "tools/bench/record.h"
#include "tools/bench/series.h"

#define SLOTS 1000

/* Buckets of an eighth of a power of two. */
#define BUCKETS 512

struct histogram {
    uint64_t count[BUCKETS], total, most;
};

static unsigned bucket_of(uint64_t ns)
{
    if (ns < 8)
        return (unsigned)ns;
    unsigned bits = 63u - (unsigned)__builtin_clzll(ns);
    return bits * 8 + (unsigned)(ns >> (bits - 3) & 7);
}

/* The largest time that belongs there. */
static double bucket_end(unsigned bucket)
{
    if (bucket < 8)
        return bucket;
    return (double)((UINT64_C(8) + bucket % 8 + 1) << (bucket / 8 - 3));
}

static void note(struct histogram *h, uint64_t ns)
{
    h->count[bucket_of(ns)]++;
    h->total++;
    if (ns > h->most)
        h->most = ns;
}

static double percentile(const struct histogram *h, double part)
{
    uint64_t below = 0;
    for (unsigned b = 0; b < BUCKETS; b++) {
        below += h->count[b];
        if ((double)below >= part * (double)h->total)
            return bucket_end(b);
    }
    return (double)h->most;
}

/* ---- Who disturbs --------------------------------------------------------------------------------- */

enum disturbance { NOTHING, UNMAPPING, FOR_OTHERS, FOR_THIS, PHASES, DISTURBANCES };

static const char *const names[] = {
    "nothing else",          "100 times/s 8 x munmap",    "100 reloads/s, for others",
    "100 reloads/s, for it", "1,000 phases/s, of others",
};

/* The one in force, and what the reloads change it to, to and fro: another backend for another module, or for this one. */
#define POLICY(measured, another)                                              \
    "sluice: 1\n"                                                              \
    "backends: {small: {kind: pool, retain: 8MiB}}\n"                          \
    "modules:\n"                                                               \
    "  measured: {route: [{max_size: 64KiB, to: " measured "}, {to: mmap}]}\n" \
    "  another: " another "\n"                                                 \
    "  staged: pool\n"                                                         \
    "phases:\n"                                                                \
    "  stage: {modules: [staged], backend: pool}\n"

static const char *const policies[] = {
    [NOTHING] = POLICY("pool", "pool"),
    [FOR_OTHERS] = POLICY("pool", "small"),
    [FOR_THIS] = POLICY("small", "pool"),
};

static _Atomic bool over;
static _Atomic uint64_t happened;
static sluice_module measured, staged;

static bool load(enum disturbance which)
{
    if (sluice_policy_load_string(policies[which], strlen(policies[which])) == SLUICE_OK)
        return true;
    fprintf(stderr, "bench: %s\n", sluice_error_message());
    return false;
}

static void *reload(void *changed)
{
    for (unsigned i = 0; !atomic_load(&over); i++) {
        load(i % 2 == 0 ? *(enum disturbance *)changed : NOTHING);
        atomic_fetch_add(&happened, 1);
        nanosleep(&(struct timespec){0, 10000000}, NULL);
    }
    return NULL;
}

/* Eight ranges of 64 KiB, of which four pages are used. */
static void *map_and_unmap(void *arg)
{
    (void)arg;
    while (!atomic_load(&over)) {
        for (int i = 0; i < 8; i++) {
            size_t size = 64 << 10;
            char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            if (p == MAP_FAILED)
                return NULL;
            for (size_t at = 0; at < size / 4; at += 4096)
                p[at] = 1;
            munmap(p, size);
        }
        atomic_fetch_add(&happened, 1);
        nanosleep(&(struct timespec){0, 10000000}, NULL);
    }
    return NULL;
}

static void *end_phases(void *arg)
{
    (void)arg;
    while (!atomic_load(&over)) {
        sluice_phase *instance;
        if (sluice_phase_begin("stage", &instance) != SLUICE_OK)
            return NULL;
        for (unsigned i = 0; i < 100; i++)
            *(char *)sluice_malloc(staged, 1000) = 1;
        sluice_phase_end(instance);
        atomic_fetch_add(&happened, 1);
        nanosleep(&(struct timespec){0, 1000000}, NULL);
    }
    return NULL;
}

/* ---- Who is disturbed ----------------------------------------------------------------------------- */

static void measure(struct histogram *h, uint64_t ns)
{
    static void *slot[SLOTS];
    uint64_t x = 88172645463325252u, end = series_now() + ns, before = series_now();
    while (before < end) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        void **at = &slot[x % SLOTS];
        sluice_free(*at);
        *at = sluice_malloc(measured, 16 + (x >> 32) % 1000);
        uint64_t now = series_now();
        note(h, now - before);
        before = now;
    }
    for (size_t i = 0; i < SLOTS; i++) {
        sluice_free(slot[i]);
        slot[i] = NULL;
    }
}

int bench_reload(const struct bench_options *options)
{
    static struct histogram all[DISTURBANCES];
    static struct series p9999[DISTURBANCES];
    unsigned rounds = options->quick ? 1 : 9;
    uint64_t turn = options->quick ? 50000000 : 1000000000;
    uint64_t events[DISTURBANCES] = {0};
    if (!load(NOTHING))
        return 1;
    measured = sluice_module_register("measured");
    staged = sluice_module_register("staged");
    for (unsigned round = 0; round < rounds; round++)
        for (enum disturbance d = NOTHING; d < DISTURBANCES; d++) {
            static struct histogram one;
            pthread_t other;
            memset(&one, 0, sizeof one);
            atomic_store(&over, d == NOTHING);
            atomic_store(&happened, 0);
            void *(*disturb)(void *) = d == PHASES      ? end_phases
                                       : d == UNMAPPING ? map_and_unmap
                                                        : reload;
            if (pthread_create(&other, NULL, disturb, &d) != 0)
                return 1;
            measure(&one, turn);
            atomic_store(&over, true);
            pthread_join(other, NULL);
            events[d] += atomic_load(&happened);
            series_add(&p9999[d], percentile(&one, 0.9999));
            for (unsigned b = 0; b < BUCKETS; b++)
                all[d].count[b] += one.count[b];
            all[d].total += one.total;
            all[d].most = one.most > all[d].most ? one.most : all[d].most;
        }
    load(NOTHING);
    printf("\nA free and a malloc of 16 to 1,016 bytes, each timed, while another thread disturbs\n"
           "%u rounds of %.2f s each; ns, the clock's own time included\n"
           "%-26s %10s %10s %10s %10s %12s %12s %12s\n",
           rounds, (double)turn / 1e9, "", "median", "99 %", "99.9 %", "99.99 %", "median of it",
           "largest", "disturbances");
    for (enum disturbance d = NOTHING; d < DISTURBANCES; d++)
        printf("%-26s %10.0f %10.0f %10.0f %10.0f %12.0f %12" PRIu64 " %12" PRIu64 "   %.2f x\n",
               names[d], percentile(&all[d], 0.5), percentile(&all[d], 0.99),
               percentile(&all[d], 0.999), percentile(&all[d], 0.9999), series_median(&p9999[d]),
               all[d].most, events[d], series_median(&p9999[d]) / series_median(&p9999[NOTHING]));
    printf("ratio: of the medians of the rounds' 99.99th percentiles\n");
    for (enum disturbance d = NOTHING; d < DISTURBANCES; d++) {
        char row[64];
        snprintf(row, sizeof row, "reload: %s", names[d]);
        series_print_noise(names[d], &p9999[d], "ns");
        record_series(row, "sluice", "99.99 % ns", &p9999[d]);
        record_figure(row, "sluice", 0, "median ns", percentile(&all[d], 0.5));
        record_figure(row, "sluice", 0, "largest ns", (double)all[d].most);
        record_figure(row, "sluice", 0, "disturbances", (double)events[d]);
    }
    return 0;
}
