/* arena_parts.h - what the files that arenas are made of share, and nobody else needs:
 *
 *   arena.c        the list of arenas: finding, making, draining and ending them; heaps
 *   arena_usage.c  what they hold, and peaks
 *   arena_purge.c  dropping what they hold, and giving memory back
 */
#ifndef SLUICE_CORE_ARENA_PARTS_H
#define SLUICE_CORE_ARENA_PARTS_H

#include "core/arena.h"

/* See the lock order, lock.h. "maintenance" is taken outside of sections, "arenas" in one, or below "maintenance". */
extern struct lock arenas_lock, maintenance_lock;

/* The list of all arenas, by next; in arenas_lock. New ones go in front, and none is ended while somebody has
 * maintenance_lock: who has that may walk on from an element without arenas_lock. */
extern struct sluice_arena *arenas_first;

/* Before all objects of the arena go at once: allocation has turned, and what there is may have been the module's peak. In a
 * section; takes arenas_lock. */
void arena_note_drop(struct sluice_arena *arena);

/* Afterwards: the objects that the core counts are free now. Returns their usable bytes; *charged gets the bytes that the
 * module's limit counts for them, advances to heaps included, which end here. No thread is inside the arena; takes
 * heaps_lock. */
uint64_t arena_forget_objects(struct sluice_arena *arena, uint64_t *charged);

#endif
