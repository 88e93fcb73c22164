/* magazine.h - magazines: freed objects that a thread keeps in front of a backend which is asked object by object.
 *
 *     heap ─► magazine[class] ─► object ─► object ─► NULL      all of exactly that class's bytes
 *                 ▲ free pushes, malloc pops                   full: half of them go to the backend
 *
 * Calling an allocator through another one costs both; a magazine is what makes most calls end before the second. It looks
 * like a slab that this thread owns, stands in the bins of the thread's cache like one, and is popped by the same fast path.
 * (After J. Bonwick, J. Adams, "Magazines and Vmem", 2001; theirs are exchanged whole, ours are lists.)
 *
 * Only for backends with SLUICE_BACKEND_MAGAZINES, and not for arenas of phases, whose objects go without being freed. In
 * such an arena small requests are rounded up to their size class, so that what was freed serves whatever comes next.
 *
 * Invariants:  frees - allocs   = objects in the magazine; they stay charged to the module's limit
 *              object_size      = what each of them was counted with, and will be
 *              base             = the heap, as in every stand-in that is marked SLAB_MARK_DIRECT
 *              carved           = what no address of an object has of its bits: alignment - 1
 *
 * What class an object is of, stands in its header, or it is that of the page where it begins: chunks of arenas with
 * magazines note for each page the class of the object that was allocated last there. As objects that begin in one page are
 * of one size at any time, it is the class of all that live there.
 *
 * An object in a magazine has a seal of its first word in its second one. A free of an object that looks so, because it is
 * there already or because nobody wrote to it since, has the magazine searched.
 *
 * All of this is the thread's own, or of who holds it (core/thread.h); only the counters may be read by others.
 */
#ifndef SLUICE_CORE_MAGAZINE_H
#define SLUICE_CORE_MAGAZINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/arena.h"
#include "core/chunk.h"
#include "core/header.h"
#include "core/os.h"
#include "core/slab.h"

#define MAGAZINE_SIZE_MAX ((size_t)4096)
#define MAGAZINE_COUNT    28 /* classes up to that */

/* A heap gets magazines when it has allocated so many objects: they cost 3.5 KiB, and short threads do without. */
#define MAGAZINE_AFTER 16

/* ASan finds uses of what was freed, and leaks, only where it sees each free. */
#if defined(__SANITIZE_ADDRESS__)
#define MAGAZINE_NEEDS (SLUICE_BACKEND_MAGAZINES | SLUICE_BACKEND_OWNS_ADDRESS_SPACE)
#else
#define MAGAZINE_NEEDS SLUICE_BACKEND_MAGAZINES
#endif

static inline bool arena_uses_magazines(const struct sluice_arena *a)
{
    return (a->ops->capabilities & MAGAZINE_NEEDS) == MAGAZINE_NEEDS && a->phase == NULL;
}

/* What is asked of the arena's backend for an object of `size` bytes. */
static inline size_t magazine_size(const struct sluice_arena *a, size_t size)
{
    if (size > MAGAZINE_SIZE_MAX || !arena_uses_magazines(a))
        return size;
    return size_class_bytes[size_class_of(size)];
}

/* Does the heap have them, or should it have them by now? */
static inline bool heap_wants_magazines(const struct heap *h)
{
    return h->magazines != NULL ||
           (arena_uses_magazines(h->arena) &&
            atomic_load_explicit(&h->allocated, memory_order_relaxed) >= MAGAZINE_AFTER);
}

/* What stands in a bin for objects of `size` bytes that the backend is asked for. Makes the magazines where they are wanted
 * and there is memory. In a section. */
struct slab *heap_bin(struct heap *h, size_t size);

/* Is what stands in a bin the heap's? By its address alone: what an old bin leads to may be gone. */
static inline bool heap_is_in_bin(const struct heap *h, const struct slab *in_bin)
{
    return in_bin == &h->stand_in ||
           (h->magazines != NULL &&
            (uintptr_t)in_bin - (uintptr_t)h->magazines < MAGAZINE_COUNT * sizeof *h->magazines);
}

#define MAGAZINE_NONE 255u

/* The class of a magazine that keeps objects of so many usable bytes, or MAGAZINE_NONE. */
static inline unsigned magazine_class(size_t usable)
{
    if (usable > MAGAZINE_SIZE_MAX)
        return MAGAZINE_NONE;
    unsigned k = size_class_of(usable);
    return size_class_bytes[k] == usable ? k : MAGAZINE_NONE;
}

/* Of an object that is being freed and has no header. */
static inline unsigned magazine_class_of_page(const struct chunk *c, const void *p)
{
    const uint8_t *classes = atomic_load_explicit(&c->page_class, memory_order_acquire);
    if (classes == NULL)
        return MAGAZINE_NONE;
    size_t page = (size_t)((const char *)p - c->base) / OS_PAGE_SIZE;
    return (__atomic_load_n(&classes[page], __ATOMIC_RELAXED) - 1u) & MAGAZINE_NONE;
}

/* After the backend allocated an object without a header, or changed its size. Several threads may say the same of one
 * page at a time. In a section. */
void magazine_note_class(const void *p, size_t usable);

/* Ends the program when the object is in the magazine. */
void magazine_expect_absent(const struct slab *magazine, const void *p);

static inline uintptr_t magazine_seal(const void *p)
{
    return *(const uintptr_t *)p ^ (uintptr_t)p ^ (uintptr_t)header_secret;
}

/* No object of that class starts there. */
static inline bool magazine_refuses(const struct slab *m, const void *p)
{
    return ((uintptr_t)p & atomic_load_explicit(&m->carved, memory_order_relaxed)) != 0;
}

/* The thread returns an object; true: magazine_event() must follow. */
static inline bool magazine_push(struct slab *m, void *p)
{
    return slab_push(m, p);
}

static inline bool magazine_push_sealed(struct slab *m, void *p)
{
    if (__builtin_expect(((const uintptr_t *)p)[1] == magazine_seal(p), 0) && m->free != NULL)
        magazine_expect_absent(m, p);
    bool event = slab_push(m, p);
    ((uintptr_t *)p)[1] = magazine_seal(p);
    return event;
}

/* After an object came from the backend because the magazine was empty: the next free comes by magazine_event(), as the
 * module's memory may have been at its peak. */
static inline void magazine_grew(struct slab *m)
{
    m->event_at = slab_load(&m->frees) + 1;
}

/* Looks at the peak, and returns half to the backend when there are too many. In a section. */
void magazine_event(struct slab *magazine);

/* Everything to the backend. In a section, or the thread is held. */
void magazines_flush(struct heap *h);

/* Before the heap goes; they have been flushed. */
void magazines_free(struct heap *h);

/* Adds what magazines have counted to sums over the heap's counters (modulo 2^64). Any thread. */
struct magazine_sums {
    uint64_t allocated, allocated_bytes, freed, freed_bytes;
    uint64_t kept, kept_bytes; /* in the magazines */
    uint64_t own_bytes;        /* of the magazines themselves */
};
void magazines_add(const struct heap *h, struct magazine_sums *sums);

#endif
