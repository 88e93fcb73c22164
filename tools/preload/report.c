/* report.c - libc's calls that ask about malloc or tune it: mallinfo2, malloc_info, malloc_stats, malloc_trim, mallopt.
 *
 * What glibc's structures have no place for is left 0. mallopt() goes to glibc's heap, which the backend `glibc` uses.
 */
#include <errno.h>
#include <limits.h>
#include <malloc.h>
#include <stdio.h>

#include <sluice/sluice.h>

#include "tools/preload/caller.h"
#include "tools/preload/libc.h"

static struct sluice_process_stats process_stats(void)
{
    struct sluice_process_stats stats = {.struct_size = sizeof stats};
    (void)sluice_stats_process(&stats);
    return stats;
}

static unsigned long long held(const struct sluice_process_stats *stats)
{
    return stats->live_bytes + stats->cached_bytes + stats->metadata_bytes;
}

EXPORT struct mallinfo2 mallinfo2(void)
{
    struct sluice_process_stats stats = process_stats();
    struct mallinfo2 info = {
        .arena = held(&stats),
        .uordblks = stats.live_bytes,
        .fordblks = stats.cached_bytes,
        .keepcost = stats.cached_bytes,
    };
    return info;
}

static int as_int(size_t n)
{
    return n > INT_MAX ? INT_MAX : (int)n;
}

/* Figures that do not fit are cut to INT_MAX, where glibc lets them wrap. */
EXPORT struct mallinfo mallinfo(void)
{
    struct mallinfo2 info = mallinfo2();
    struct mallinfo small = {
        .arena = as_int(info.arena),
        .uordblks = as_int(info.uordblks),
        .fordblks = as_int(info.fordblks),
        .keepcost = as_int(info.keepcost),
    };
    return small;
}

/* Calls fn for each module that ever allocated. */
static void each_module(void (*fn)(const char *name, const struct sluice_module_stats *stats,
                                   FILE *to),
                        FILE *to)
{
    const char *name;
    for (sluice_module m = 0; (name = sluice_module_name(m)) != NULL; m++) {
        struct sluice_module_stats stats = {.struct_size = sizeof stats};
        if (sluice_stats_module(m, &stats) == SLUICE_OK && stats.allocated_objects > 0)
            fn(name, &stats, to);
    }
}

static void print_line(const char *name, const struct sluice_module_stats *stats, FILE *to)
{
    fprintf(to, "%-32s %14llu %14llu %14llu %14llu\n", name, (unsigned long long)stats->live_bytes,
            (unsigned long long)stats->peak_live_bytes, (unsigned long long)stats->cached_bytes,
            (unsigned long long)stats->resident_bytes);
}

EXPORT void malloc_stats(void)
{
    struct sluice_process_stats stats = process_stats();
    fprintf(stderr, "%-32s %14s %14s %14s %14s\n", "module, bytes", "live", "peak", "cached",
            "resident");
    each_module(print_line, stderr);
    fprintf(stderr, "%-32s %14llu %14s %14llu %14llu\n", "all",
            (unsigned long long)stats.live_bytes, "", (unsigned long long)stats.cached_bytes,
            held(&stats));
}

/* A module's name is any text. */
static void put_escaped(const char *text, FILE *to)
{
    for (; *text != '\0'; text++) {
        switch (*text) {
        case '<':
            fputs("&lt;", to);
            break;
        case '>':
            fputs("&gt;", to);
            break;
        case '&':
            fputs("&amp;", to);
            break;
        case '"':
            fputs("&quot;", to);
            break;
        default:
            fputc(*text, to);
        }
    }
}

static void print_element(const char *name, const struct sluice_module_stats *stats, FILE *to)
{
    fputs("<module name=\"", to);
    put_escaped(name, to);
    fprintf(to, "\">\n<total type=\"live\" count=\"%llu\" size=\"%llu\"/>\n",
            (unsigned long long)stats->live_objects, (unsigned long long)stats->live_bytes);
    fprintf(to, "<total type=\"cached\" size=\"%llu\"/>\n",
            (unsigned long long)stats->cached_bytes);
    fprintf(to, "<total type=\"peak\" size=\"%llu\"/>\n</module>\n",
            (unsigned long long)stats->peak_live_bytes);
}

/* The document's element is glibc's, its content is of modules instead of heaps. */
EXPORT int malloc_info(int options, FILE *to)
{
    if (options != 0) {
        errno = EINVAL;
        return EINVAL;
    }
    struct sluice_process_stats stats = process_stats();
    fputs("<malloc version=\"sluice-1\">\n", to);
    each_module(print_element, to);
    fprintf(to, "<total type=\"live\" size=\"%llu\"/>\n<total type=\"cached\" size=\"%llu\"/>\n",
            (unsigned long long)stats.live_bytes, (unsigned long long)stats.cached_bytes);
    fprintf(to, "<system type=\"current\" size=\"%llu\"/>\n</malloc>\n", held(&stats));
    return ferror(to) ? errno : 0;
}

EXPORT int malloc_trim(size_t pad)
{
    (void)pad;
    int saved = errno;
    int given = sluice_trim(SLUICE_MODULE_ALL) > 0;
    errno = saved;
    return given;
}

EXPORT int mallopt(int parameter, int value)
{
    return libc_mallopt(parameter, value);
}
