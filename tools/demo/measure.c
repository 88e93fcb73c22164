/* measure.c - see measure.h. */
#include "tools/demo/measure.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096

/* A host gives memory to each processor on its own. */
#define WARM_UP_THREADS 4

uint64_t measure_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* A small file's text, terminated. false: there is none. */
static bool read_text(const char *path, char *text, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    size_t done = 0;
    ssize_t got;
    while (done < size - 1 && (got = read(fd, text + done, size - 1 - done)) > 0)
        done += (size_t)got;
    close(fd);
    text[done] = '\0';
    return done > 0;
}

/* The figure of a line "name:   123 kB", in bytes; 0 without such a line. */
static uint64_t field(const char *text, const char *name)
{
    size_t length = strlen(name);
    for (const char *line = text; line != NULL; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, name, length) == 0 && line[length] == ':')
            return strtoull(line + length + 1, NULL, 10) * 1024;
    }
    return 0;
}

bool measure_process(pid_t pid, struct reading *out)
{
    char path[64], text[4096];
    snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)pid);
    if (!read_text(path, text, sizeof(text)))
        return false;
    out->rss = field(text, "Rss");
    out->lazyfree = field(text, "LazyFree");
    return out->rss > 0;
}

uint64_t measure_peak(pid_t pid)
{
    char path[64], text[4096];
    snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    return read_text(path, text, sizeof(text)) ? field(text, "VmHWM") : 0;
}

/* The lowest limit on the way from a cgroup up to the root. */
static uint64_t cgroup_limit(const char *root, char *group, const char *file)
{
    uint64_t lowest = UINT64_MAX;
    for (;;) {
        char path[4096 + 64], text[64];
        snprintf(path, sizeof(path), "%s%s/%s", root, group, file);
        if (read_text(path, text, sizeof(text)) && text[0] >= '0' && text[0] <= '9') {
            uint64_t limit = strtoull(text, NULL, 10);
            lowest = limit < lowest ? limit : lowest;
        }
        char *slash = strrchr(group, '/');
        if (slash == NULL)
            return lowest;
        *slash = '\0';
    }
}

static uint64_t lowest_cgroup_limit(void)
{
    uint64_t lowest = UINT64_MAX;
    char text[4096];
    if (!read_text("/proc/self/cgroup", text, sizeof(text)))
        return lowest;
    for (char *line = text; line != NULL && *line != '\0';) {
        char *next = strchr(line, '\n');
        if (next != NULL)
            *next++ = '\0';
        uint64_t limit = UINT64_MAX;
        char *v1 = strstr(line, ":memory:");
        if (strncmp(line, "0::", 3) == 0)
            limit = cgroup_limit("/sys/fs/cgroup", line + 3, "memory.max");
        else if (v1 != NULL)
            limit = cgroup_limit("/sys/fs/cgroup/memory", v1 + 8, "memory.limit_in_bytes");
        lowest = limit < lowest ? limit : lowest;
        line = next;
    }
    return lowest;
}

uint64_t measure_room(void)
{
    char text[8192];
    uint64_t limit = lowest_cgroup_limit();
    uint64_t available =
        read_text("/proc/meminfo", text, sizeof(text)) ? field(text, "MemAvailable") : 0;
    return limit < available ? limit : available;
}

struct part {
    char *memory;
    uint64_t bytes;
};

static void *touch_part(void *arg)
{
    const struct part *part = arg;
    for (uint64_t i = 0; i < part->bytes; i += PAGE)
        part->memory[i] = 1;
    return NULL;
}

pid_t measure_warm_up(uint64_t bytes)
{
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    char *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        _exit(1);
    madvise(memory, bytes, MADV_HUGEPAGE);
    struct part parts[WARM_UP_THREADS];
    pthread_t threads[WARM_UP_THREADS];
    for (size_t i = 0; i < WARM_UP_THREADS; i++) {
        parts[i].bytes = bytes / WARM_UP_THREADS;
        parts[i].memory = memory + i * parts[i].bytes;
        if (pthread_create(&threads[i], NULL, touch_part, &parts[i]) != 0)
            _exit(1);
    }
    for (size_t i = 0; i < WARM_UP_THREADS; i++)
        pthread_join(threads[i], NULL);
    _exit(0);
}

double measure_touch_time(void)
{
    size_t size = (size_t)64 << 20;
    char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return 0;
    madvise(memory, size, MADV_NOHUGEPAGE);
    uint64_t start = measure_now();
    for (size_t i = 0; i < size; i += PAGE)
        memory[i] = 1;
    double seconds = (double)(measure_now() - start) * 1e-9;
    munmap(memory, size);
    return seconds * 16;
}
