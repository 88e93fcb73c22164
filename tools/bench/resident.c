/* resident.c - see resident.h. */
#include "tools/bench/resident.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A line "NAME:  123 kB" of a file, in bytes. */
static uint64_t read_line(const char *file, const char *name)
{
    static char text[8192];
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    ssize_t n = 0, got;
    while (fd >= 0 && n < (ssize_t)sizeof text - 1 &&
           (got = read(fd, text + n, sizeof text - 1 - (size_t)n)) > 0)
        n += got;
    if (fd >= 0)
        close(fd);
    text[n] = '\0';
    const char *at = strstr(text, name);
    return at == NULL ? 0 : strtoull(at + strlen(name), NULL, 10) * 1024;
}

uint64_t resident_bytes(void)
{
    return read_line("/proc/self/smaps_rollup", "\nRss:") - resident_lazily_freed();
}

uint64_t resident_lazily_freed(void)
{
    return read_line("/proc/self/smaps_rollup", "\nLazyFree:");
}

uint64_t resident_available(void)
{
    return read_line("/proc/meminfo", "\nMemAvailable:");
}

uint64_t resident_peak(void)
{
    return read_line("/proc/self/status", "\nVmHWM:");
}
