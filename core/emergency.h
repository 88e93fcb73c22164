/* emergency.h - allocation without locks, caches or records: while a fork is under way, while the library starts, and
 * when not even a record for the thread can be had.
 *
 * An object is a mapping of its own at a chunk's start; its size stands in the pagemap. That is slow and costs address
 * space, and happens a few times in the life of a process. Frees that cannot be carried out at once are put on a
 * list inside the objects themselves.
 */
#ifndef SLUICE_CORE_EMERGENCY_H
#define SLUICE_CORE_EMERGENCY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Zero-filled; NULL without address space. Lock-free. */
void *emergency_alloc(size_t size, size_t alignment);

/* entry: the pagemap's for p. */
void emergency_free(void *p, uintptr_t entry);
size_t emergency_usable(uintptr_t entry);

/* Keeps p (of at least 16 bytes) to be freed later. Lock-free. */
void emergency_defer_free(void *p);

/* The objects kept, linked by their first words, or NULL; they are the caller's now. */
void *emergency_take_deferred(void);
bool emergency_has_deferred(void);

/* Bytes that are out. */
uint64_t emergency_bytes(void);

#endif
