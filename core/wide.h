/* wide.h - wide tables: arrays with an entry for each part of the address space, of which a process uses a few pages.
 *
 *     │ read-only, zero, no pages │▒▒ may be written ▒▒│ read-only, zero, no pages                │
 *
 * Any entry may be read at any time. Blocks of 64 KiB become writable when the first of their entries is set, so that what is
 * never set can be no page, even in a process that locks all its memory (mlockall(2) makes each page of what may be written
 * resident), or where huge pages are for everybody; and does not count where the system commits no more than it has
 * (vm.overcommit_memory 2).
 */
#ifndef SLUICE_CORE_WIDE_H
#define SLUICE_CORE_WIDE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WIDE_MAX   ((size_t)1 << 29) /* bytes */
#define WIDE_BLOCK ((size_t)1 << 16)

struct wide {
    char *base;
    size_t size;                                       /* bytes */
    _Atomic uint32_t open[WIDE_MAX / WIDE_BLOCK / 32]; /* bit by block: it may be written */
};

/* Maps a table of zeros of so many bytes, a multiple of a page, at most WIDE_MAX. false without address space. */
bool wide_map(struct wide *w, size_t size);

/* Makes entries writable that lie in the table. false: the kernel refused, as it has too many mappings. Any thread, inside sections;
 * without locks. */
bool wide_open(struct wide *w, const void *entries, size_t bytes);

/* May the block of that entry be written? */
static inline bool wide_is_open(const struct wide *w, const void *entry)
{
    size_t block = (size_t)((const char *)entry - w->base) / WIDE_BLOCK;
    return (atomic_load_explicit(&w->open[block / 32], memory_order_acquire) >> block % 32 & 1) !=
           0;
}

#endif
