/* measure.h - memory as the kernel sees it, read from outside the measured process. */
#ifndef SLUICE_TOOLS_DEMO_MEASURE_H
#define SLUICE_TOOLS_DEMO_MEASURE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Bytes. Pages given back with MADV_FREE count in rss until the kernel takes them: they are
 * lazyfree too. */
struct reading {
    uint64_t rss, lazyfree;
};

/* What a process really holds. */
static inline uint64_t reading_resident(struct reading reading)
{
    return reading.rss - reading.lazyfree;
}

/* From /proc/PID/smaps_rollup. false: the process is gone, or has no memory any more. */
bool measure_process(pid_t pid, struct reading *out);

/* The largest rss that the process ever had (VmHWM); 0 when it is gone. */
uint64_t measure_peak(pid_t pid);

/* The memory that there is for a process: MemAvailable, or what its cgroups allow if that is
 * lower. */
uint64_t measure_room(void);

/* Nanoseconds of CLOCK_MONOTONIC. */
uint64_t measure_now(void);

/* Starts a process that writes to `bytes` of fresh memory once and then gives them back. A virtual
 * machine may get memory from its host on first use only, and lose what lies free for a while, and
 * then a page costs many times as much: this puts all runs on the same footing. Returns its pid,
 * for waitpid(), or -1. */
pid_t measure_warm_up(uint64_t bytes);

/* Seconds that it takes here to touch 1 GiB in pages of 4 KiB. */
double measure_touch_time(void);

#endif
