/* alloc.h - what the public calls of core/alloc.c are made of, for other parts of the core. */
#ifndef SLUICE_CORE_ALLOC_H
#define SLUICE_CORE_ALLOC_H

#include <sluice/backend.h>

#include "core/arena.h"

/* Alignment of every object; a power of two. */
#define ALLOC_ALIGNMENT     ((size_t)16)
#define ALLOC_ALIGNMENT_MAX ((size_t)1 << 30)

/* Allocates from one arena, header, limit and counters included. In a section of t. */
void *arena_alloc(struct thread *t, struct sluice_arena *arena, size_t size, size_t alignment,
                  unsigned flags);

/* Carries out the frees that were put off while a fork was under way. Outside sections. */
void alloc_free_deferred(void);

#endif
