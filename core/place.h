/* place.h - where an object is kept: what its address leads to, and whether an object can start there. */
#ifndef SLUICE_CORE_PLACE_H
#define SLUICE_CORE_PLACE_H

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

/* Can the 16 bytes before p be read, and be a header? For an object that should be one only the start of a page is
 * asked for, as what is unmapped ends there: of an object that was the first of a mapping, as libc's large ones are, the
 * header is gone with it. */
static inline bool place_may_have_header(const void *p, uintptr_t entry, bool doubtful)
{
    struct header copy;
    uintptr_t at = (uintptr_t)p;
    if (entry != 0 || (at & (ALLOC_ALIGNMENT - 1)) != 0 || at <= OS_PAGE_SIZE ||
        at >> PAGEMAP_ADDRESS_BITS != 0)
        return false;
    return (!doubtful && (at & (OS_PAGE_SIZE - 1)) > 2 * HEADER_SIZE) ||
           os_read(&copy, header_at(p), sizeof copy);
}

#endif
