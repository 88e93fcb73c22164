/* page_map.c - which pages of one chunk hold what; see page_map.h. */
#include "backends/page_map.h"

#include <string.h>

/* ---- Sets ------------------------------------------------------------------------------------ */

static bool set_has(const struct page_set *set, unsigned page)
{
    return set->word[page / 64] >> (page % 64) & 1;
}

/* The words that [first, first + count) touches: from first / 64 to before this one. */
static unsigned words_end(unsigned first, unsigned count)
{
    return (first + count + 63) / 64;
}

/* The bits of word w that [first, first + count) covers. */
static uint64_t word_mask(unsigned w, unsigned first, unsigned count)
{
    unsigned low = w * 64, end = first + count;
    if (end <= low || first >= low + 64)
        return 0;
    unsigned from = first > low ? first - low : 0;
    unsigned to = end < low + 64 ? end - low : 64;
    return (to - from == 64 ? ~UINT64_C(0) : (UINT64_C(1) << (to - from)) - 1) << from;
}

void page_set_fill(struct page_set *set, unsigned first, unsigned count)
{
    for (unsigned w = first / 64; w < words_end(first, count); w++)
        set->word[w] |= word_mask(w, first, count);
}

/* First page at or after `from` whose bit is `value`; PAGE_MAP_PAGES when there is none. */
static unsigned set_find(const struct page_set *set, unsigned from, bool value)
{
    if (from >= PAGE_MAP_PAGES)
        return PAGE_MAP_PAGES;
    unsigned w = from / 64;
    uint64_t flip = value ? 0 : ~UINT64_C(0);
    uint64_t bits = (set->word[w] ^ flip) & ~UINT64_C(0) << (from % 64);
    while (bits == 0) {
        if (++w == PAGE_MAP_WORDS)
            return PAGE_MAP_PAGES;
        bits = set->word[w] ^ flip;
    }
    return w * 64 + (unsigned)__builtin_ctzll(bits);
}

/* The page behind the last one before `from` whose bit is set; 0 when there is none. */
static unsigned set_find_back(const struct page_set *set, unsigned from)
{
    for (unsigned end = from; end > 0; end = (end - 1) / 64 * 64) {
        unsigned w = (end - 1) / 64;
        uint64_t bits = set->word[w] & ~UINT64_C(0) >> (63 - (end - 1) % 64);
        if (bits != 0)
            return w * 64 + 64 - (unsigned)__builtin_clzll(bits);
    }
    return 0;
}

unsigned page_set_next(const struct page_set *set, unsigned *first)
{
    unsigned start = set_find(set, *first, true);
    *first = start;
    return start == PAGE_MAP_PAGES ? 0 : set_find(set, start, false) - start;
}

/* ---- The map --------------------------------------------------------------------------------- */

static void update_longest(struct page_map *map)
{
    unsigned longest = 0, start = 0;
    while ((start = set_find(&map->used, start, false)) < PAGE_MAP_PAGES) {
        unsigned end = set_find(&map->used, start, true);
        if (end - start > longest)
            longest = end - start;
        start = end;
    }
    map->longest = (uint16_t)longest;
}

/* Length of the free run around [first, first + count), which is free. */
static unsigned run_around(const struct page_map *map, unsigned first, unsigned count)
{
    return set_find(&map->used, first + count, true) - set_find_back(&map->used, first);
}

void page_map_init(struct page_map *map)
{
    memset(map, 0, sizeof *map);
    map->longest = PAGE_MAP_PAGES;
}

unsigned page_map_find(const struct page_map *map, unsigned count, unsigned alignment)
{
    unsigned best = PAGE_MAP_PAGES, best_length = PAGE_MAP_PAGES + 1, start = 0;
    if (count > map->longest)
        return best;
    while ((start = set_find(&map->used, start, false)) < PAGE_MAP_PAGES) {
        unsigned end = set_find(&map->used, start, true);
        unsigned aligned = (start + alignment - 1) & ~(alignment - 1);
        if (aligned + count <= end && end - start < best_length) {
            best = aligned;
            best_length = end - start;
            if (best_length == count)
                break;
        }
        start = end;
    }
    return best;
}

/* Free pages become used, without an object of their own. */
static unsigned claim(struct page_map *map, unsigned first, unsigned count,
                      struct page_set *was_dirty)
{
    unsigned dirty = 0;
    bool was_longest = run_around(map, first, count) == map->longest;
    memset(was_dirty, 0, sizeof *was_dirty);
    for (unsigned w = first / 64; w < words_end(first, count); w++) {
        uint64_t mask = word_mask(w, first, count);
        was_dirty->word[w] = map->dirty.word[w] & mask;
        dirty += (unsigned)__builtin_popcountll(was_dirty->word[w]);
        map->dirty.word[w] &= ~mask;
        map->used.word[w] |= mask;
    }
    memset(&map->info[first], 0, count * sizeof map->info[0]);
    map->used_count = (uint16_t)(map->used_count + count);
    map->dirty_count = (uint16_t)(map->dirty_count - dirty);
    if (was_longest)
        update_longest(map);
    return dirty;
}

unsigned page_map_take(struct page_map *map, unsigned first, unsigned count,
                       struct page_set *was_dirty)
{
    unsigned dirty = claim(map, first, count, was_dirty);
    map->info[first] = count;
    map->object_count++;
    return dirty;
}

unsigned page_map_length(const struct page_map *map, unsigned first)
{
    return set_has(&map->used, first) ? map->info[first] : 0;
}

bool page_map_extend(struct page_map *map, unsigned first, unsigned more,
                     struct page_set *was_dirty, unsigned *dirty_count)
{
    unsigned end = first + map->info[first];
    if (end + more > PAGE_MAP_PAGES || set_find(&map->used, end, true) < end + more)
        return false;
    *dirty_count = claim(map, end, more, was_dirty);
    map->info[first] += more;
    return true;
}

void page_map_shrink(struct page_map *map, unsigned first, unsigned keep)
{
    map->info[first] = keep;
}

unsigned page_map_hold(struct page_map *map, unsigned first)
{
    unsigned count = map->info[first];
    map->info[first] = 0;
    map->object_count--;
    return count;
}

void page_map_keep(struct page_map *map, unsigned first, unsigned count, uint32_t now_ms)
{
    if (map->dirty_count == 0)
        map->oldest = now_ms;
    for (unsigned w = first / 64; w < words_end(first, count); w++) {
        uint64_t mask = word_mask(w, first, count);
        map->used.word[w] &= ~mask;
        map->dirty.word[w] |= mask;
    }
    for (unsigned i = first; i < first + count; i++)
        map->info[i] = now_ms;
    map->used_count = (uint16_t)(map->used_count - count);
    map->dirty_count = (uint16_t)(map->dirty_count + count);
    unsigned run = run_around(map, first, count);
    if (run > map->longest)
        map->longest = (uint16_t)run;
}

void page_map_end_all(struct page_map *map, uint32_t now_ms)
{
    if (map->dirty_count == 0)
        map->oldest = now_ms;
    for (unsigned w = 0; w < PAGE_MAP_WORDS; w++) {
        for (uint64_t bits = map->used.word[w]; bits != 0; bits &= bits - 1)
            map->info[w * 64 + (unsigned)__builtin_ctzll(bits)] = now_ms;
        map->dirty.word[w] |= map->used.word[w];
        map->used.word[w] = 0;
    }
    map->dirty_count = (uint16_t)(map->dirty_count + map->used_count);
    map->used_count = map->object_count = 0;
    map->longest = PAGE_MAP_PAGES;
}

void page_map_clean(struct page_map *map, const struct page_set *held)
{
    unsigned count = 0;
    for (unsigned w = 0; w < PAGE_MAP_WORDS; w++) {
        map->used.word[w] &= ~held->word[w];
        count += (unsigned)__builtin_popcountll(held->word[w]);
    }
    map->used_count = (uint16_t)(map->used_count - count);
    update_longest(map);
}

unsigned page_map_hold_due(struct page_map *map, uint32_t now_ms, uint32_t age_ms,
                           struct page_set *held)
{
    unsigned count = 0;
    uint32_t oldest = now_ms;
    memset(held, 0, sizeof *held);
    for (unsigned w = 0; w < PAGE_MAP_WORDS; w++) {
        for (uint64_t bits = map->dirty.word[w]; bits != 0; bits &= bits - 1) {
            unsigned page = w * 64 + (unsigned)__builtin_ctzll(bits);
            uint32_t freed = map->info[page];
            /* Times wrap after 49 days; differences do not mind. A page may be younger than
             * now_ms. */
            if ((int32_t)(now_ms - freed) >= (int32_t)age_ms) {
                held->word[w] |= bits & -bits;
                map->info[page] = 0;
                count++;
            } else if ((int32_t)(freed - oldest) < 0) {
                oldest = freed;
            }
        }
        map->used.word[w] |= held->word[w];
        map->dirty.word[w] &= ~held->word[w];
    }
    map->used_count = (uint16_t)(map->used_count + count);
    map->dirty_count = (uint16_t)(map->dirty_count - count);
    map->oldest = oldest;
    if (count > 0)
        update_longest(map);
    return count;
}
