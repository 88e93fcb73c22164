/* work.c - bench work NAME [PART]: does one of works.h once, or 1/PART of it, and says what it took, for works.py:
 * "OPERATIONS WALL CPU PEAK REST LIVE": ns for all operations together, and bytes: the most that was resident, what is so a
 * second after the end beyond what was before (Rss less LazyFree; 0 where memory may stay), and what the work has not freed. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tools/bench/bench.h"
#include "tools/bench/resident.h"
#include "tools/bench/series.h"
#include "tools/bench/works.h"

static uint64_t cpu_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

#define WARM_UP ((size_t)512 << 20)

/* A virtual machine may get memory from its host on first use only, and lose what lies free for a while: then a page costs
 * many times as much, and a huge one most. As much as any work takes is touched by somebody else first. */
static void warm_up(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        char *p = mmap(NULL, WARM_UP, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p == MAP_FAILED)
            _exit(1);
        madvise(p, WARM_UP, MADV_HUGEPAGE);
        for (size_t at = 0; at < WARM_UP; at += 4096)
            p[at] = 1;
        _exit(0);
    }
    waitpid(pid, NULL, 0);
}

int bench_work(const char *name, size_t part)
{
    const struct work *w = works;
    while (w < works + work_count && strcmp(w->name, name) != 0)
        w++;
    if (w == works + work_count || part == 0) {
        fprintf(stderr, "bench: no work \"%s\"\n", name);
        return 2;
    }
    warm_up();
    free(malloc(1)); /* whoever is malloc starts */
    uint64_t before = resident_bytes(), wall = series_now(), cpu = cpu_now();
    size_t operations = w->run(w->n / part);
    wall = series_now() - wall;
    cpu = cpu_now() - cpu;
    uint64_t peak = resident_peak(), rest = before;
    if (w->rests) {
        nanosleep(&(struct timespec){1, 0}, NULL);
        rest = resident_bytes();
    }
    printf("%zu %llu %llu %llu %llu %zu\n", operations, (unsigned long long)wall,
           (unsigned long long)cpu, (unsigned long long)peak,
           (unsigned long long)(rest > before ? rest - before : 0), works_live);
    return 0;
}

int bench_works(void)
{
    for (size_t i = 0; i < work_count; i++)
        printf("%s\t%s\t%d\n", works[i].name, works[i].what, works[i].rests);
    return 0;
}
