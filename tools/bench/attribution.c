/* attribution.c - what it costs to find out who calls: a pair of malloc and free under the preload library, whose policy asks
 * for no attribution, for that by object, and for that by thread too. */
#include <stdint.h>
#include <stdio.h>

#include "tools/bench/bench.h"
#include "tools/bench/preloaded.h"
#include "tools/bench/record.h"
#include "tools/bench/series.h"
#include "tools/bench/steps.h"

#define PAIRS 4000000

static struct contender {
    const char *name, *library, *policy; /* the library NULL: Sluice's */
    struct preloaded child;
    struct series ns;
} contenders[] = {
    {.name = "no attribution", .policy = "{sluice: 1, default: pool}\n"},
    {.name = "by object", .policy = "{sluice: 1, default: pool, attribution: auto}\n"},
    {.name = "by thread too",
     .policy = "{sluice: 1, default: pool, attribution: [{thread: nobody, module: m}, auto]}\n"},
    {.name = "glibc", .library = "libc.so.6"},
    {.name = "jemalloc", .library = "libjemalloc.so.2"},
    {.name = "mimalloc", .library = "libmimalloc.so.2"},
    {.name = "tcmalloc", .library = "libtcmalloc_minimal.so.4"},
};

#define COUNT (sizeof contenders / sizeof *contenders)

static bool start(struct contender *c)
{
    return c->library == NULL ? preloaded_start_sluice(&c->child, c->policy, "pair")
                              : preloaded_start(&c->child, c->library, "pair");
}

static void print(void)
{
    struct contender *base = &contenders[0];
    double base_ns = series_median(&base->ns), base_steps = -1;
    printf("%-20s %9s %9s %9s %13s %9s\n", "", "ns", "smallest", "ratio", "instructions", "ratio");
    for (size_t i = 0; i < COUNT; i++) {
        struct contender *c = &contenders[i];
        if (c->ns.count == 0)
            continue;
        double steps = preloaded_ask(&c->child, 's', STEPPED), ns = series_median(&c->ns);
        if (c == base)
            base_steps = steps;
        printf("%-20s %9.2f %9.2f %9.2f", c->name, ns, series_smallest(&c->ns), ns / base_ns);
        record_series("attribution", c->name, "ns", &c->ns);
        if (steps >= 0)
            record_figure("attribution", c->name, 0, "instructions", steps);
        if (steps >= 0 && base_steps > 0)
            printf(" %13.1f %9.2f", steps, steps / base_steps);
        printf("\n");
    }
}

int bench_attribution(const struct bench_options *options)
{
    printf(
        "\nA pair of malloc and free of 64 bytes, preloaded, one thread and one call site: who calls\n");
    unsigned rounds = options->quick ? 5 : 41;
    size_t n = options->quick ? PAIRS / 20 : PAIRS;
    for (size_t i = 0; i < COUNT; i++)
        if (!start(&contenders[i]) && contenders[i].library == NULL)
            return 1;
    for (unsigned round = 0; round < rounds; round++)
        for (size_t i = 0; i < COUNT; i++) {
            struct contender *c = &contenders[i];
            double ns = c->child.pid > 0 ? preloaded_ask(&c->child, 't', n) : -1;
            if (ns >= 0)
                series_add(&c->ns, ns);
        }
    printf("%u rounds of %zu pairs each, medians\n", rounds, n);
    print();
    for (size_t i = 0; i < COUNT; i++)
        series_print_noise(contenders[i].name, &contenders[i].ns, "ns");
    for (size_t i = 0; i < COUNT; i++)
        preloaded_end(&contenders[i].child);
    return 0;
}
