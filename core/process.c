/* process.c - see process.h. glibc freezes its dynamic thresholds at the first of these calls, and takes M_ARENA_MAX only
 * before its second arena exists; policy_diff() tells the user so. */
#include "core/process.h"

#include <limits.h>
#include <malloc.h>

#include "core/chunk.h"
#include "core/log.h"

void process_follow(const struct policy_process *process)
{
    chunk_set_lazy(process->lazy_free);
    static const struct {
        int parameter;
        const char *name;
    } known[POLICY_MALLOPT_COUNT] = {
        [POLICY_MALLOPT_MMAP_THRESHOLD] = {M_MMAP_THRESHOLD, "mmap_threshold"},
        [POLICY_MALLOPT_TRIM_THRESHOLD] = {M_TRIM_THRESHOLD, "trim_threshold"},
        [POLICY_MALLOPT_ARENA_MAX] = {M_ARENA_MAX, "arena_max"},
        [POLICY_MALLOPT_TOP_PAD] = {M_TOP_PAD, "top_pad"},
        [POLICY_MALLOPT_MMAP_MAX] = {M_MMAP_MAX, "mmap_max"},
    };
    for (int i = 0; i < POLICY_MALLOPT_COUNT; i++) {
        if ((process->mallopt_present & 1u << i) == 0)
            continue;
        uint64_t value = process->mallopt[i];
        if (value > INT_MAX || mallopt(known[i].parameter, (int)value) == 0)
            log_line(LOG_LEVEL_ERROR, "process.mallopt.%s: libc refuses %llu", known[i].name,
                     (unsigned long long)value);
    }
}
