/* fragmentation.c - an hour of a server, of whose objects a twentieth stays for long: resident memory to what lives.
 *
 * Each contender is the malloc of a child, preloaded, and all run at once: it is memory that is measured. The hour goes by
 * faster than it would, but by the clock, not as fast as the processor can: an allocator that gives memory back does so in time,
 * and has less of it here than in a real hour. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "tools/bench/bench.h"
#include "tools/bench/preloaded.h"
#include "tools/bench/record.h"
#include "tools/bench/resident.h"
#include "tools/bench/series.h"
#include "tools/bench/works.h"

#define A_SECOND 400 /* objects; some 115 MiB live */
#define MINUTES  (WORKS_HOUR / 60)
#define SETTLED  20 /* minutes: the longest life. From then on as many go as come */

static const unsigned afterwards = MINUTES - SETTLED;

/* ---- The child -------------------------------------------------------------------------------- */

static uint64_t start, began, hour_ns;
static double resident[MINUTES], live[MINUTES]; /* bytes, at the end of each minute */

static void after_second(unsigned second)
{
    series_wait_until(began + hour_ns / WORKS_HOUR * (second + 1));
    if (second % 60 != 59)
        return;
    uint64_t now = resident_bytes();
    resident[second / 60] = now > start ? (double)(now - start) : 0;
    live[second / 60] = (double)works_live;
}

/* 'h': an hour in n ms. 'm', 'l': what was resident above the start, and lived, at the end of minute n. */
static double answer(char what, size_t n)
{
    if (what == 'm' || what == 'l')
        return n >= MINUTES ? -1 : what == 'm' ? resident[n] : live[n];
    if (what != 'h')
        return 0;
    free(malloc(1)); /* whoever is malloc starts */
    start = resident_bytes();
    began = series_now();
    hour_ns = n * 1000000;
    works_churn(A_SECOND, after_second);
    return 0;
}

int bench_fragmentation_child(void)
{
    return preloaded_serve(answer);
}

/* ---- Who asks --------------------------------------------------------------------------------- */

static struct contender {
    const char *name, *library; /* the library NULL: Sluice's */
    struct preloaded child;
    struct series ratio;      /* each minute's */
    double mean, most, bytes; /* since it has settled; bytes: that lived at the end */
} contenders[] = {
    {.name = "sluice"},
    {.name = "glibc", .library = "libc.so.6"},
    {.name = "jemalloc", .library = "libjemalloc.so.2"},
    {.name = "mimalloc", .library = "libmimalloc.so.2"},
    {.name = "tcmalloc", .library = "libtcmalloc_minimal.so.4"},
};
#define COUNT (sizeof contenders / sizeof *contenders)

static void begin(struct contender *c, size_t hour_ms)
{
    if (c->library == NULL ? preloaded_start_sluice(&c->child, NULL, "fragmentation")
                           : preloaded_start(&c->child, c->library, "fragmentation"))
        preloaded_send(&c->child, 'h', hour_ms);
}

static void end(struct contender *c)
{
    if (c->child.pid == 0 || preloaded_receive(&c->child) < 0)
        return;
    for (size_t i = 0; i < MINUTES; i++) {
        double bytes = preloaded_ask(&c->child, 'm', i);
        c->bytes = preloaded_ask(&c->child, 'l', i);
        if (bytes < 0 || c->bytes <= 0)
            return;
        double ratio = bytes / c->bytes;
        char row[64];
        snprintf(row, sizeof row, "fragmentation: %zu", i + 1);
        record_figure(row, c->name, 0, "x live", ratio);
        series_add(&c->ratio, ratio);
        if (i < SETTLED)
            continue;
        c->mean += ratio / afterwards;
        c->most = ratio > c->most ? ratio : c->most;
    }
    preloaded_end(&c->child);
}

int bench_fragmentation(const struct bench_options *options)
{
    size_t hour_ms = options->quick ? 500 : options->slow ? 3600000 : 120000;
    for (size_t i = 0; i < COUNT; i++)
        begin(&contenders[i], hour_ms);
    for (size_t i = 0; i < COUNT; i++)
        end(&contenders[i]);
    printf(
        "\nAn hour of a server in %.1f s: %d objects of up to 64 KiB a second, a twentieth stays for up to "
        "20 minutes\nResident (Rss less LazyFree, above the start) to what lives, some %.0f MiB, each "
        "minute\n%-12s %10s %10s %10s %10s %10s\n",
        (double)hour_ms / 1000, A_SECOND, contenders[0].bytes / 1048576, "", "minute 20",
        "minute 40", "minute 60", "mean", "the most");
    for (size_t i = 0; i < COUNT; i++) {
        const struct contender *c = &contenders[i];
        if (c->ratio.count == MINUTES)
            printf("%-12s %10.3f %10.3f %10.3f %10.3f %10.3f\n", c->name, c->ratio.value[19],
                   c->ratio.value[39], c->ratio.value[59], c->mean, c->most);
    }
    printf(
        "mean and the most: from minute %d on, the longest life. sluice: preloaded, the built-in "
        "policy\n",
        SETTLED + 1);
    return contenders[0].ratio.count != MINUTES;
}
