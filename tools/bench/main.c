/* main.c - bench [--quick] [--slow] [--record FILE] [NAME…]: runs the benchmarks of those names, or all. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sluice/sluice.h>

#include "tools/bench/bench.h"
#include "tools/bench/record.h"

static const struct {
    const char *name, *what;
    int (*run)(const struct bench_options *options);
} benches[] = {
    {"pair", "a malloc and a free of 64 bytes, and of four sizes in turn", bench_pair},
    {"set", "10,000 objects replaced in random order", bench_set},
    {"attribution", "what it costs to find out who calls malloc", bench_attribution},
    {"phases", "the end of a phase against freeing its objects one by one", bench_phases},
    {"reload", "the largest times of a malloc while policies are reloaded, and phases end",
     bench_reload},
    {"overhead", "memory of many modules and threads, empty modules, an idle process",
     bench_overhead},
    {"giveback", "what is resident after all was freed, by threads that rest, and how long",
     bench_giveback},
    {"fragmentation", "an hour of a server that keeps a twentieth: resident to live",
     bench_fragmentation},
    {"growth", "an operation of 1 to 64 threads, 1 to 4,096 modules, 1 MiB to 8 GiB live",
     bench_growth},
};

#define COUNT (sizeof benches / sizeof *benches)

static void usage(FILE *to)
{
    fprintf(to, "Usage: bench [--quick] [--slow] [--record FILE] [NAME…]\n\n"
                "Benchmarks, all of them by default:\n");
    for (size_t i = 0; i < COUNT; i++)
        fprintf(to, "  %-14s %s\n", benches[i].name, benches[i].what);
}

static size_t find(const char *name)
{
    size_t i = 0;
    while (i < COUNT && strcmp(benches[i].name, name) != 0)
        i++;
    return i;
}

int main(int argc, char **argv)
{
    if (argc >= 4 && strcmp(argv[1], "measure") == 0)
        return bench_measure(argv[2], argv + 3);
    if (argc == 3 && strcmp(argv[1], "turns") == 0)
        return strcmp(argv[2], "giveback") == 0        ? bench_giveback_child()
               : strcmp(argv[2], "fragmentation") == 0 ? bench_fragmentation_child()
                                                       : bench_turns(argv[2]);
    if (argc == 2 && strcmp(argv[1], "resident") == 0)
        return bench_resident();
    if (argc == 2 && strcmp(argv[1], "works") == 0)
        return bench_works();
    if ((argc == 3 || argc == 4) && strcmp(argv[1], "work") == 0)
        return bench_work(argv[2], argc == 4 ? strtoull(argv[3], NULL, 10) : 1);
    struct bench_options options = {0};
    bool chosen[COUNT] = {false}, any = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0) {
            usage(stdout);
            return 0;
        }
        if (strcmp(argv[i], "--quick") == 0) {
            options.quick = true;
        } else if (strcmp(argv[i], "--slow") == 0) {
            options.slow = true;
        } else if (strcmp(argv[i], "--record") == 0 && i + 1 < argc) {
            if (!record_open(argv[++i]))
                return 1;
        } else if (find(argv[i]) < COUNT) {
            chosen[find(argv[i])] = any = true;
        } else {
            fprintf(stderr, "bench: no benchmark \"%s\"\n", argv[i]);
            usage(stderr);
            return 2;
        }
    }
    int failed = 0;
    for (size_t i = 0; i < COUNT; i++)
        if (chosen[i] || !any)
            failed |= benches[i].run(&options);
    return failed | !record_close();
}
