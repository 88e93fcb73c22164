/* alloc.h - what the public calls of core/alloc.c are made of, for other parts of the core. */
#ifndef SLUICE_CORE_ALLOC_H
#define SLUICE_CORE_ALLOC_H

#include <sluice/backend.h>

#include "core/arena.h"

/* Alignment of every object; a power of two. */
#define ALLOC_ALIGNMENT     ((size_t)16)
#define ALLOC_ALIGNMENT_MAX ((size_t)1 << 30)

/* Larger memory that shall be zero is not taken where it would be cleared, but from a backend that may know of pages which are
 * zero already: clearing makes all of it resident, and who asks for so much of it often uses a part. Bytes. */
#define ALLOC_CLEARS_MAX ((size_t)64 << 10)

/* Allocates from one arena, header, limit and counters included. In a section of t. */
void *arena_alloc(struct thread *t, struct sluice_arena *arena, size_t size, size_t alignment,
                  unsigned flags);

/* Gives an object to its backend, limit and counters included; its header is in front of it and begins `padding` bytes before
 * p (0: it has none). In a section of the heap's thread, or that is held. */
void heap_free(struct heap *h, void *p, size_t padding);

/* Carries out the frees that were put off while a fork was under way. Outside sections. */
void alloc_free_deferred(void);

#endif
