/* page_map.h - which pages of one 2 MiB chunk hold what. Pure bookkeeping: no memory is touched,
 * no lock taken.
 *
 * Words:
 *   page    4 KiB; a chunk has 512
 *   run     consecutive pages: an object, or the free pages between two objects
 *   used    the page belongs to an object, or is on its way to the system (held)
 *   dirty   free, but it may still be resident and hold old data
 *   clean   free and zero
 *
 *   page   0        3     5               9
 *          | object | free| object        | free ...
 *   used   1  1  1  0  0  1  1  1  1  1   0
 *   dirty  0  0  0  1  1  0  0  0  0  0   0     pages 3 and 4 were freed; from 10 on never used
 *   info   3  0  0  t  t  5  0  0  0  0   -
 *
 * Invariants:
 *   - dirty implies not used;
 *   - info[i] is the length of the object that starts at page i; 0 for the other used pages; the
 *     time in ms when it was freed for a dirty page; undefined for a clean one;
 *   - used_count, dirty_count and longest (of the free runs) agree with the bits after every call.
 */
#ifndef SLUICE_BACKENDS_PAGE_MAP_H
#define SLUICE_BACKENDS_PAGE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAGE_MAP_PAGE_SHIFT 12
#define PAGE_MAP_PAGE       ((size_t)1 << PAGE_MAP_PAGE_SHIFT)
#define PAGE_MAP_PAGES      512u
#define PAGE_MAP_WORDS      (PAGE_MAP_PAGES / 64)

/* A set of pages. */
struct page_set {
    uint64_t word[PAGE_MAP_WORDS];
};

struct page_map {
    struct page_set used;
    struct page_set dirty;
    uint16_t used_count;
    uint16_t dirty_count;
    uint16_t longest;
    uint16_t object_count;
    uint32_t oldest; /* no dirty page was freed before this time; only while dirty_count > 0 */
    uint32_t info[PAGE_MAP_PAGES];
};

/* A zero-filled map becomes one with all pages clean. */
void page_map_init(struct page_map *map);

/* The smallest free run that has room for `count` pages from a multiple of `alignment` (a power of
 * two, in pages; chunks are aligned to their size). Returns its first page, or PAGE_MAP_PAGES when
 * there is none. */
unsigned page_map_find(const struct page_map *map, unsigned count, unsigned alignment);

/* Makes the free pages [first, first + count) an object. *was_dirty gets those that were dirty;
 * their number returns. */
unsigned page_map_take(struct page_map *map, unsigned first, unsigned count,
                       struct page_set *was_dirty);

/* Length in pages of the object that starts at this page; 0: none does. */
unsigned page_map_length(const struct page_map *map, unsigned first);

/* Lets the object grow by `more` pages behind it. False: they are not all free, nothing changed. */
bool page_map_extend(struct page_map *map, unsigned first, unsigned more,
                     struct page_set *was_dirty, unsigned *dirty_count);

/* Cuts an object to `keep` pages, 1 or more; the tail is held, as after page_map_hold. */
void page_map_shrink(struct page_map *map, unsigned first, unsigned keep);

/* Ends an object; its pages stay used, held until one of the next two calls. Returns their number.
 */
unsigned page_map_hold(struct page_map *map, unsigned first);

/* Held pages become free and dirty, at the time now_ms. */
void page_map_keep(struct page_map *map, unsigned first, unsigned count, uint32_t now_ms);

/* Held pages become free and clean: the system has taken their content. */
void page_map_clean(struct page_map *map, const struct page_set *held);

/* Takes the dirty pages that were freed `age_ms` or longer before now_ms and holds them. Returns
 * their number. */
unsigned page_map_hold_due(struct page_map *map, uint32_t now_ms, uint32_t age_ms,
                           struct page_set *held);

/* All objects end; their pages become free and dirty, at the time now_ms. Nothing is held. */
void page_map_end_all(struct page_map *map, uint32_t now_ms);

/* ---- Sets ------------------------------------------------------------------------------------ */

void page_set_fill(struct page_set *set, unsigned first, unsigned count);

/* The next run of the set at or after *first: sets *first and returns its length; 0 at the end. */
unsigned page_set_next(const struct page_set *set, unsigned *first);

#endif
