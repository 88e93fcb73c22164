/* direct.h - magazines in front of backends that are asked object by object.
 *
 *     heap ─► magazine[class] ─► object ─► object ─► NULL      all of exactly that class's bytes
 *                 ▲ free pushes, malloc pops                   full: half of them go to the backend
 *
 * Calling an allocator through another one costs both; a magazine is what makes most calls end before the second.
 *
 * Only for backends with SLUICE_BACKEND_MAGAZINES, and not for arenas of phases, whose objects go without being freed. In
 * such an arena small requests are rounded up to their size class, so that what was freed serves whatever comes next. What is
 * in a magazine stays charged to the module's limit.
 *
 * What class an object is of, stands in its header, or it is that of the page where it begins: chunks of arenas with
 * magazines note for each page the class of the object that was allocated last there. As objects that begin in one page are
 * of one size at any time, it is the class of all that live there.
 *
 * An object in a magazine whose objects have headers has a seal of its first word in its second one. A free of an object that
 * looks so, because it is there already or because nobody wrote to it since, has the magazine searched.
 */
#ifndef SLUICE_CORE_DIRECT_H
#define SLUICE_CORE_DIRECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/arena.h"
#include "core/chunk.h"
#include "core/header.h"
#include "core/magazine.h"
#include "core/os.h"
#include "core/size_class.h"

#define DIRECT_SIZE_MAX ((size_t)4096)
#define DIRECT_CLASSES  28 /* classes up to that */

/* A heap gets magazines when it has allocated so many objects: they cost 0.9 KiB, and short threads do without. */
#define DIRECT_AFTER 16

/* ASan finds uses of what was freed, and leaks, only where it sees each free. */
#if defined(__SANITIZE_ADDRESS__)
#define DIRECT_NEEDS (SLUICE_BACKEND_MAGAZINES | SLUICE_BACKEND_OWNS_ADDRESS_SPACE)
#else
#define DIRECT_NEEDS SLUICE_BACKEND_MAGAZINES
#endif

static inline bool arena_uses_magazines(const struct sluice_arena *a)
{
    return (a->ops->capabilities & DIRECT_NEEDS) == DIRECT_NEEDS && a->phase == NULL;
}

/* Its objects have a header, as their addresses tell nothing. */
static inline bool arena_has_headers(const struct sluice_arena *a)
{
    return (a->ops->capabilities & SLUICE_BACKEND_OWNS_ADDRESS_SPACE) == 0;
}

/* What is asked of the arena's backend for an object of `size` bytes. */
static inline size_t direct_size(const struct sluice_arena *a, size_t size)
{
    if (size > DIRECT_SIZE_MAX || !arena_uses_magazines(a))
        return size;
    return size_class_bytes[size_class_of(size)];
}

/* What an object with a header is counted with, of which direct_size() was asked and the backend gave `usable`. */
static inline size_t direct_usable(const struct sluice_arena *a, size_t size, size_t usable)
{
    return size <= DIRECT_SIZE_MAX && arena_uses_magazines(a) ? size : usable;
}

/* After the backend allocated an object, or changed its size. Several threads may say the same of one page at a time. In a
 * section. */
void direct_note_class(const struct sluice_arena *a, const void *p, size_t usable);

/* Does the heap have magazines, or should it have them by now? */
static inline bool heap_wants_magazines(const struct heap *h)
{
    return h->magazines != NULL ||
           (arena_uses_magazines(h->arena) && count_load(&h->allocated) >= DIRECT_AFTER);
}

/* What stands in a bin for objects of `size` bytes that the backend is asked for. Makes the magazines where they are wanted
 * and there is memory. In a section. */
struct magazine *direct_bin(struct heap *h, size_t size);

#define DIRECT_NO_CLASS 255u

/* The class of a magazine that keeps objects of so many usable bytes, or DIRECT_NO_CLASS. */
static inline unsigned direct_class(size_t usable)
{
    if (usable > DIRECT_SIZE_MAX)
        return DIRECT_NO_CLASS;
    unsigned k = size_class_of(usable);
    return size_class_bytes[k] == usable ? k : DIRECT_NO_CLASS;
}

/* For a byte of page_class: those bits that are 0 in the address of each object of its class, as these lie at multiples of the
 * largest power of two in their size. */
extern const uint16_t direct_low_bits[DIRECT_CLASSES + 1];

/* Of an object that is being freed and has no header. Where none of that class can lie, is none. */
static inline unsigned direct_class_of_page(const struct chunk *c, const void *p)
{
    const uint8_t *classes = atomic_load_explicit(&c->page_class, memory_order_acquire);
    if (classes == NULL)
        return DIRECT_NO_CLASS;
    size_t page = (size_t)((const char *)p - c->base) / OS_PAGE_SIZE;
    unsigned class = __atomic_load_n(&classes[page], __ATOMIC_RELAXED);
    return ((uintptr_t)p & direct_low_bits[class]) == 0 ? (class - 1u) & DIRECT_NO_CLASS
                                                        : DIRECT_NO_CLASS;
}

/* Ends the program when the object is in the magazine. */
void direct_expect_absent(const struct magazine *m, const void *p);

static inline uintptr_t direct_seal(const void *p)
{
    return *(const uintptr_t *)p ^ (uintptr_t)p ^ (uintptr_t)header_secret;
}

/* May the object, which has a header, be in the magazine? Then direct_expect_absent() is to be asked. */
static inline bool direct_looks_free(const struct magazine *m, const void *p)
{
    return __builtin_expect(((const uintptr_t *)p)[1] == direct_seal(p), 0) && m->free != NULL;
}

/* The thread returns an object that has a header; true: direct_event() must follow, as after magazine_push(). */
static inline bool direct_push_sealed(struct magazine *m, void *p)
{
    bool event = magazine_push(m, p);
    ((uintptr_t *)p)[1] = direct_seal(p);
    return event;
}

/* After an object came from the backend because the magazine was empty: the next free comes by direct_event(), as the
 * module's memory may have been at its peak. */
static inline void direct_grew(struct magazine *m)
{
    magazine_arm(m, 1);
}

/* Looks at the peak, and returns half to the backend when there are too many. In a section. */
void direct_event(struct heap *h, struct magazine *m);

/* Everything to the backend. In a section, or the thread is held. */
void direct_flush(struct heap *h);

/* Before the heap goes; they have been flushed. */
void direct_free(struct heap *h);

/* Adds what magazines have counted to sums over the heap's counters (modulo 2^64). Any thread. */
struct direct_sums {
    uint64_t allocated, allocated_bytes, freed, freed_bytes;
    uint64_t kept, kept_bytes; /* in the magazines */
    uint64_t own_bytes;        /* of the magazines themselves */
};
void direct_add(const struct heap *h, struct direct_sums *sums);

#endif
