/* resident.h - memory of this process as the kernel sees it. */
#ifndef SLUICE_TOOLS_BENCH_RESIDENT_H
#define SLUICE_TOOLS_BENCH_RESIDENT_H

#include <stdint.h>

/* Rss less LazyFree, bytes; 0 when it cannot be read. Takes no memory: that would be measured. */
uint64_t resident_bytes(void);

/* LazyFree: what the system takes when it needs memory, bytes. */
uint64_t resident_lazily_freed(void);

/* MemAvailable of the machine, bytes. */
uint64_t resident_available(void);

/* The most that it ever was (VmHWM; LazyFree is part of it). */
uint64_t resident_peak(void);

#endif
