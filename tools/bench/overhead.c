/* overhead.c - what modules and threads cost in memory: many of both with little each, modules that hold nothing, and a process
 * that has Sluice and does not use it. */
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sluice/sluice.h>

#include "tools/bench/bench.h"
#include "tools/bench/preloaded.h"
#include "tools/bench/record.h"
#include "tools/bench/resident.h"

#define MODULES 64
#define THREADS 16
#define EMPTY   4000

static sluice_module modules[MODULES];
static size_t live_each;
static _Atomic uint64_t asked;
static pthread_barrier_t filled, looked;

static size_t random_size(uint64_t *x)
{
    *x ^= *x << 13, *x ^= *x >> 7, *x ^= *x << 17;
    size_t top = (size_t)16 << *x % 7; /* up to 1 KiB, each power of two as likely as any other */
    return top / 2 + (*x >> 32) % (top / 2) + 1;
}

static void *fill(void *index)
{
    uint64_t x = 88172645463325252u + (uintptr_t)index, mine = 0;
    void *list = NULL;
    for (unsigned m = 0; m < MODULES; m++)
        for (size_t has = 0; has < live_each;) {
            size_t size = random_size(&x);
            void **p = sluice_malloc(modules[m], size < sizeof(void *) ? sizeof(void *) : size);
            if (p == NULL)
                exit(1);
            memset(p, 1, size);
            *p = list;
            list = p;
            has += size;
            mine += size;
        }
    atomic_fetch_add(&asked, mine);
    pthread_barrier_wait(&filled);
    pthread_barrier_wait(&looked);
    for (void *next; list != NULL; list = next) {
        next = *(void **)list;
        sluice_free(list);
    }
    return NULL;
}

static void many(void)
{
    pthread_t thread[THREADS];
    pthread_barrier_init(&filled, NULL, THREADS + 1);
    pthread_barrier_init(&looked, NULL, THREADS + 1);
    atomic_store(&asked, 0);
    uint64_t before = resident_bytes();
    for (uintptr_t i = 0; i < THREADS; i++)
        if (pthread_create(&thread[i], NULL, fill, (void *)i) != 0)
            exit(1);
    pthread_barrier_wait(&filled);
    uint64_t after = resident_bytes();
    struct sluice_process_stats stats = {.struct_size = sizeof stats};
    sluice_stats_process(&stats);
    printf(
        "%4d modules x %d threads, %8.2f KiB each: %8.1f MiB asked for, %8.1f MiB resident, %.3f x\n",
        MODULES, THREADS, (double)live_each / 1024, (double)atomic_load(&asked) / 1048576,
        (double)(after - before) / 1048576, (double)(after - before) / (double)atomic_load(&asked));
    char row[64];
    snprintf(row, sizeof row, "overhead: %zu KiB each", live_each >> 10);
    record_figure(row, "sluice", 0, "asked MiB", (double)atomic_load(&asked) / 1048576);
    record_figure(row, "sluice", 0, "resident MiB", (double)(after - before) / 1048576);
    record_figure(row, "sluice", 0, "ratio",
                  (double)(after - before) / (double)atomic_load(&asked));
    pthread_barrier_wait(&looked);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
    sluice_trim(SLUICE_MODULE_ALL);
}

/* What an idle child is resident with; library: NULL or what is preloaded. */
static double idle_child(const char *library)
{
    int out[2];
    char text[64] = "";
    if (pipe(out) != 0)
        return 0;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(out[1], STDOUT_FILENO);
        if (library != NULL)
            setenv("LD_PRELOAD", library, 1);
        execl("/proc/self/exe", "bench", "resident", (char *)NULL);
        _exit(127);
    }
    close(out[1]);
    ssize_t n = read(out[0], text, sizeof text - 1);
    close(out[0]);
    waitpid(pid, NULL, 0);
    return n > 0 ? strtod(text, NULL) : 0;
}

int bench_resident(void)
{
    usleep(200000); /* a rest for threads that start with the process: their memory is part of it */
    printf("%" PRIu64 "\n", resident_bytes());
    return 0;
}

int bench_overhead(const struct bench_options *options)
{
    static const char policy[] =
        "sluice: 1\n"
        "modules:\n"
        "  \"bench-many*\": {route: [{max_size: 64KiB, to: pool}, {to: mmap}]}\n";
    if (sluice_policy_load_string(policy, sizeof policy - 1) != SLUICE_OK) {
        fprintf(stderr, "bench: %s\n", sluice_error_message());
        return 1;
    }
    printf("\nMemory beside what was asked for, as the kernel sees it: Rss less LazyFree\n");
    uint64_t before = resident_bytes();
    for (unsigned i = 0; i < EMPTY; i++) {
        char name[32];
        snprintf(name, sizeof name, "bench-empty-%u", i);
        sluice_module_register(name);
    }
    double empty = (double)(resident_bytes() - before) / EMPTY;
    printf("%4d modules that hold nothing: %.0f bytes each\n", EMPTY, empty);
    record_figure("overhead: an empty module", "sluice", 0, "bytes", empty);
    for (unsigned i = 0; i < MODULES; i++) {
        char name[32];
        snprintf(name, sizeof name, "bench-many-%u", i);
        modules[i] = sluice_module_register(name);
    }
    for (live_each = 16 << 10; live_each <= (options->quick ? 16u << 10 : 1u << 20); live_each *= 4)
        many();
    unsetenv("SLUICE_POLICY");
    double plain = idle_child("libc.so.6"), with = idle_child(preloaded_sluice());
    printf("a process that allocates nothing: %.0f KiB, with Sluice preloaded %.0f KiB more\n",
           plain / 1024, (with - plain) / 1024);
    record_figure("overhead: an idle process", "glibc", 0, "KiB", plain / 1024);
    record_figure("overhead: an idle process", "sluice", 0, "KiB", with / 1024);
    return 0;
}
