/* place.h - where an object is kept: what its address leads to, and whether an object can start there. */
#ifndef SLUICE_CORE_PLACE_H
#define SLUICE_CORE_PLACE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/alloc.h"
#include "core/header.h"
#include "core/os.h"
#include "core/pagemap.h"
#include "core/slab.h"

enum place { PLACE_NOWHERE, PLACE_SLAB, PLACE_CHUNK, PLACE_HEADER, PLACE_EMERGENCY };
struct place_of {
    enum place place;
    uintptr_t entry;
    struct sluice_arena *arena; /* NULL in an emergency */
    struct slab *slab;
    size_t usable;
};

/* Follows the address of a live object. Any thread. */
struct place_of place_find(const void *p);

/* Does an object start at p, where `at` was found? For calls that have the time to ask the backend. Outside sections. */
bool place_starts_object(const struct place_of *at, const void *p);

/* Reports that `call` was given a pointer that is no object, or not any more, and ends the program. */
__attribute__((noreturn, cold)) void place_misuse(const char *call, const void *p);

static inline bool place_is_page_start(const void *p)
{
    return ((uintptr_t)p & (OS_PAGE_SIZE - 1)) <= 2 * HEADER_SIZE;
}

/* Can an object with a header be there at all? */
static inline bool place_is_in_range(const void *p)
{
    uintptr_t at = (uintptr_t)p;
    return (at & (ALLOC_ALIGNMENT - 1)) == 0 &&
           (at - OS_PAGE_SIZE - 1) >> PAGEMAP_ADDRESS_BITS == 0;
}

/* Can the 16 bytes before p be read, and be a header? For an object that should be one only the start of a page is
 * asked for, as what is unmapped ends there: of an object that was the first of a mapping, as libc's large ones are, the
 * header is gone with it. */
static inline bool place_may_have_header(const void *p, uintptr_t entry, bool doubtful)
{
    struct header copy;
    if (entry != 0 || !place_is_in_range(p))
        return false;
    return (!doubtful && !place_is_page_start(p)) || os_read(&copy, header_at(p), sizeof copy);
}

/* The same for an object that is being freed, without asking the system about each one at the start of a page: a page in
 * which a small object has been found once is taken to be there. (Were it unmapped since, and the pointer wrong, the
 * program would die by SIGSEGV instead of by a report.) */
#define PLACE_KNOWN_PAGES ((size_t)1 << 19) /* 2 GiB; pages further apart share a bit */
extern _Atomic uint8_t place_known_pages[PLACE_KNOWN_PAGES / 8];

static inline bool place_page_is_known(const void *p)
{
    size_t page = (uintptr_t)p / OS_PAGE_SIZE % PLACE_KNOWN_PAGES;
    return (atomic_load_explicit(&place_known_pages[page / 8], memory_order_relaxed) >> page % 8 &
            1) != 0;
}

static inline void place_know_page(const void *p)
{
    size_t page = (uintptr_t)p / OS_PAGE_SIZE % PLACE_KNOWN_PAGES;
    atomic_fetch_or_explicit(&place_known_pages[page / 8], (uint8_t)(1u << page % 8),
                             memory_order_relaxed);
}

#endif
