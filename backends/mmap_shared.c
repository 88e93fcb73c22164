/* mmap_shared.c - objects below 2 MiB of the mmap backend, packed by pages into shared chunks.
 *
 * A mapping of its own for each would cost 2 MiB of address space and a kernel mapping apiece;
 * here they cost neither. Freed pages go back with MADV_DONTNEED, never munmap, which would split
 * the mapping. While that system call runs the pages are held: used, but no object (page_map.h),
 * and the chunk's `pending` keeps it from being released; the lock is free meanwhile.
 */
#include <string.h>

#include "backends/mmap.h"
#include "core/chunk.h"
#include "core/log.h"
#include "core/os.h"

/* Chunks that are looked at in one bin before a wider one is tried: bounds the time of an alloc. */
#define TRIES_PER_BIN 8

/* ---- Lists. In the lock. --------------------------------------------------------------------- */

static unsigned bin_of(unsigned longest)
{
    return longest == 0 ? 0 : 32 - (unsigned)__builtin_clz(longest);
}

static void bin_insert(struct mmap_arena *a, struct mmap_chunk *c)
{
    unsigned bin = bin_of(c->map.longest);
    c->bin = (uint8_t)bin;
    c->prev = NULL;
    c->next = a->bins[bin];
    if (c->next != NULL)
        c->next->prev = c;
    a->bins[bin] = c;
}

static void bin_remove(struct mmap_arena *a, struct mmap_chunk *c)
{
    if (c->next != NULL)
        c->next->prev = c->prev;
    if (c->prev != NULL)
        c->prev->next = c->next;
    else
        a->bins[c->bin] = c->next;
}

static void dirty_append(struct mmap_arena *a, struct mmap_chunk *c)
{
    c->is_dirty_listed = true;
    a->dirty_chunks++;
    c->dirty_next = NULL;
    c->dirty_prev = a->dirty_last;
    if (c->dirty_prev != NULL)
        c->dirty_prev->dirty_next = c;
    else
        a->dirty_first = c;
    a->dirty_last = c;
}

static void dirty_remove(struct mmap_arena *a, struct mmap_chunk *c)
{
    if (c->dirty_next != NULL)
        c->dirty_next->dirty_prev = c->dirty_prev;
    else
        a->dirty_last = c->dirty_prev;
    if (c->dirty_prev != NULL)
        c->dirty_prev->dirty_next = c->dirty_next;
    else
        a->dirty_first = c->dirty_next;
    c->is_dirty_listed = false;
    a->dirty_chunks--;
}

static bool is_empty(const struct mmap_chunk *c)
{
    return c->map.object_count == 0 && c->pending == 0 && c->map.dirty_count == 0;
}

/* Takes a chunk out of the arena; only chunk_destroy() may follow. */
static void unlink_chunk(struct mmap_arena *a, struct mmap_chunk *c)
{
    bin_remove(a, c);
    if (c->is_dirty_listed)
        dirty_remove(a, c);
    if (a->spare == c)
        a->spare = NULL;
    a->record_bytes -= sizeof *c;
}

/* After the map of a chunk changed: puts it into the right lists. Returns it when it is not needed
 * any more and was unlinked: the caller destroys it outside of the lock. Else NULL. */
static struct mmap_chunk *settle(struct mmap_arena *a, struct mmap_chunk *c)
{
    if (c->bin != bin_of(c->map.longest)) {
        bin_remove(a, c);
        bin_insert(a, c);
    }
    if (c->is_dirty_listed != (c->map.dirty_count > 0)) {
        if (c->is_dirty_listed)
            dirty_remove(a, c);
        else
            dirty_append(a, c);
    }
    if (!is_empty(c)) {
        if (a->spare == c)
            a->spare = NULL;
        return NULL;
    }
    if (a->spare == NULL || a->spare == c) {
        a->spare = c;
        return NULL;
    }
    unlink_chunk(a, c);
    return c;
}

/* ---- Chunks. Outside of the lock. ------------------------------------------------------------ */

static struct mmap_chunk *chunk_create(struct mmap_arena *a)
{
    struct mmap_chunk *c = sluice_metadata_alloc(sizeof *c);
    if (c == NULL)
        return NULL;
    c->home.kind = MMAP_SHARED;
    c->home.base =
        sluice_chunk_acquire_any(a->owner, SLUICE_CHUNK_SIZE, SLUICE_CHUNK_SIZE, &c->is_stale);
    if (c->home.base == NULL) {
        sluice_metadata_free(c, sizeof *c);
        return NULL;
    }
    chunk_set_huge(chunk_of(c->home.base), a->huge == MMAP_HUGE_ALWAYS && os_huge_available());
    page_map_init(&c->map);
    sluice_chunk_set_data(c->home.base, c);
    return c;
}

static void chunk_destroy(struct mmap_arena *a, struct mmap_chunk *c)
{
    if (c == NULL)
        return;
    chunk_release(chunk_of(c->home.base), false);
    sluice_metadata_free(c, sizeof *c);
}

/* ---- Giving pages back ----------------------------------------------------------------------- */

/* Held pages of a chunk, which are counted nowhere any more, go to the system; `charged` bytes of
 * them are uncharged then. Called in the lock, which is released meanwhile and held again at the
 * end; the chunk may be gone then. */
static void give_back(struct mmap_arena *a, struct mmap_chunk *c, struct page_set *held,
                      size_t charged)
{
    if (is_empty(c) && a->spare != NULL && a->spare != c) {
        unlink_chunk(a, c); /* the whole chunk goes: one call less */
        lock_release(&a->lock);
        chunk_destroy(a, c);
        sluice_arena_uncharge(a->owner, charged);
        lock_acquire(&a->lock);
        return;
    }
    struct page_set refused = {{0}};
    size_t refused_pages = 0;
    c->pending++;
    settle(a, c);
    lock_release(&a->lock);
    unsigned first = 0, count;
    for (; (count = page_set_next(held, &first)) > 0; first += count)
        if (!os_purge(c->home.base + first * PAGE_MAP_PAGE, count * PAGE_MAP_PAGE)) {
            page_set_fill(&refused, first, count); /* locked in memory, see mlockall(2) */
            refused_pages += count;
        }
    bool kept_is_charged = !mmap_is_of_phase(a);
    sluice_arena_uncharge(a->owner,
                          charged - (kept_is_charged ? refused_pages * PAGE_MAP_PAGE : 0));
    lock_acquire(&a->lock);
    c->pending--;
    if (refused_pages > 0) {
        a->kept_bytes += refused_pages * PAGE_MAP_PAGE;
        for (first = 0; (count = page_set_next(&refused, &first)) > 0; first += count)
            page_map_keep(&c->map, first, count, mmap_now_ms());
        for (unsigned w = 0; w < PAGE_MAP_WORDS; w++)
            held->word[w] &= ~refused.word[w];
    }
    page_map_clean(&c->map, held);
    struct mmap_chunk *unneeded = settle(a, c);
    if (unneeded != NULL) {
        lock_release(&a->lock);
        chunk_destroy(a, unneeded);
        lock_acquire(&a->lock);
    }
}

/* Held pages that just stopped being an object, or a part of one. In the lock. */
static void retire(struct mmap_arena *a, struct mmap_chunk *c, unsigned first, unsigned count)
{
    size_t bytes = count * PAGE_MAP_PAGE;
    a->live_bytes -= bytes;
    if (mmap_keep(a, bytes)) {
        c->freed_ms = mmap_now_ms();
        page_map_keep(&c->map, first, count, c->freed_ms);
        settle(a, c);
        return;
    }
    struct page_set held = {{0}};
    page_set_fill(&held, first, count);
    give_back(a, c, &held, bytes);
}

size_t mmap_shared_purge(struct mmap_arena *a, uint32_t age_ms, uint32_t *next_ms)
{
    size_t bytes = 0;
    lock_acquire(&a->lock);
    uint32_t now = mmap_now_ms();
    /* Each chunk that is listed now gets one look, and goes to the end of the list. */
    for (size_t n = a->dirty_chunks; n > 0 && a->dirty_first != NULL; n--) {
        struct mmap_chunk *c = a->dirty_first;
        dirty_remove(a, c);
        dirty_append(a, c);
        /* A chunk without objects goes whole, when its last pages are due. */
        uint32_t since = c->map.object_count == 0 ? c->freed_ms : c->map.oldest;
        uint32_t age = now - since;
        struct page_set held;
        unsigned pages = 0;
        if ((int32_t)age >= (int32_t)age_ms)
            pages = page_map_hold_due(&c->map, now, age_ms, &held);
        if (c->map.dirty_count > 0) {
            uint32_t left = age_ms - (now - (pages > 0 ? c->map.oldest : since));
            if ((int32_t)left > 0 && left < *next_ms)
                *next_ms = left;
        }
        if (pages == 0)
            continue;
        a->kept_bytes -= pages * PAGE_MAP_PAGE;
        bytes += pages * PAGE_MAP_PAGE;
        give_back(a, c, &held, mmap_is_of_phase(a) ? 0 : pages * PAGE_MAP_PAGE);
    }
    struct mmap_chunk *spare = age_ms == 0 ? a->spare : NULL;
    if (spare != NULL)
        unlink_chunk(a, spare);
    lock_release(&a->lock);
    chunk_destroy(a, spare);
    return bytes;
}

/* The pages of one chunk; it may be gone then. */
static void end_chunk(struct mmap_arena *a, struct mmap_chunk *c)
{
    if (c->map.object_count == 0 && c != a->spare) {
        unlink_chunk(a, c);
        chunk_destroy(a, c);
        return;
    }
    page_map_end_all(&c->map, mmap_now_ms());
    c->freed_ms = mmap_now_ms();
    a->kept_bytes += c->map.dirty_count * PAGE_MAP_PAGE;
    settle(a, c);
}

void mmap_shared_end_all(struct mmap_arena *a)
{
    struct mmap_chunk *all = NULL; /* taken first: a chunk changes its bin here */
    for (unsigned bin = 0; bin < MMAP_BINS; bin++)
        while (a->bins[bin] != NULL) {
            struct mmap_chunk *c = a->bins[bin];
            bin_remove(a, c);
            c->next = all;
            all = c;
        }
    for (struct mmap_chunk *c = all, *next; c != NULL; c = next) {
        next = c->next;
        bin_insert(a, c);
        end_chunk(a, c);
    }
}

void mmap_shared_drop_all(struct mmap_arena *a)
{
    for (unsigned bin = 0; bin < MMAP_BINS; bin++)
        while (a->bins[bin] != NULL) {
            struct mmap_chunk *c = a->bins[bin];
            unlink_chunk(a, c);
            chunk_destroy(a, c);
        }
}

/* ---- Objects --------------------------------------------------------------------------------- */

/* In the lock: a chunk with room, and the page where. */
static struct mmap_chunk *find_place(struct mmap_arena *a, unsigned pages, unsigned alignment,
                                     unsigned *first)
{
    for (unsigned bin = bin_of(pages); bin < MMAP_BINS; bin++) {
        struct mmap_chunk *c = a->bins[bin];
        for (int tries = 0; c != NULL && tries < TRIES_PER_BIN; c = c->next, tries++) {
            *first = page_map_find(&c->map, pages, alignment);
            if (*first < PAGE_MAP_PAGES)
                return c;
        }
    }
    return NULL;
}

static void zero_pages(const struct mmap_chunk *c, const struct page_set *set)
{
    unsigned first = 0, count;
    for (; (count = page_set_next(set, &first)) > 0; first += count)
        memset(c->home.base + first * PAGE_MAP_PAGE, 0, count * PAGE_MAP_PAGE);
}

void *mmap_shared_alloc(struct mmap_arena *a, size_t pages, size_t alignment, bool zero)
{
    size_t bytes = pages * PAGE_MAP_PAGE;
    unsigned align_pages = alignment > PAGE_MAP_PAGE ? (unsigned)(alignment / PAGE_MAP_PAGE) : 1;
    unsigned first = 0;
    if (!mmap_charge(a, bytes))
        return NULL;
    lock_acquire(&a->lock);
    struct mmap_chunk *c = find_place(a, (unsigned)pages, align_pages, &first);
    if (c == NULL) {
        lock_release(&a->lock);
        c = chunk_create(a);
        if (c == NULL) {
            sluice_arena_uncharge(a->owner, bytes);
            return NULL;
        }
        first = 0;
        lock_acquire(&a->lock);
        a->record_bytes += sizeof *c;
        bin_insert(a, c);
    }
    struct page_set was_dirty;
    size_t dirty_bytes = page_map_take(&c->map, first, (unsigned)pages, &was_dirty) * PAGE_MAP_PAGE;
    settle(a, c);
    a->kept_bytes -= dirty_bytes;
    a->live_bytes += bytes;
    a->allocated++;
    lock_release(&a->lock);
    if (dirty_bytes > 0)
        mmap_uncharge_kept(a, dirty_bytes); /* they were charged when they were kept */
    if (zero && c->is_stale)
        memset(c->home.base + first * PAGE_MAP_PAGE, 0, bytes);
    else if (zero && dirty_bytes > 0)
        zero_pages(c, &was_dirty);
    return c->home.base + first * PAGE_MAP_PAGE;
}

size_t mmap_shared_size(const struct mmap_chunk *c, const void *p)
{
    size_t offset = (size_t)((const char *)p - c->home.base);
    return offset % PAGE_MAP_PAGE == 0 ? c->map.info[offset / PAGE_MAP_PAGE] * PAGE_MAP_PAGE : 0;
}

bool mmap_shared_is_object(struct mmap_arena *a, const struct mmap_chunk *c, const void *p)
{
    size_t offset = (size_t)((const char *)p - c->home.base);
    lock_acquire(&a->lock);
    bool is = offset % PAGE_MAP_PAGE == 0 &&
              page_map_length(&c->map, (unsigned)(offset / PAGE_MAP_PAGE)) > 0;
    lock_release(&a->lock);
    return is;
}

size_t mmap_shared_free(struct mmap_arena *a, struct mmap_chunk *c, void *p)
{
    size_t offset = (size_t)((char *)p - c->home.base);
    unsigned first = (unsigned)(offset / PAGE_MAP_PAGE);
    lock_acquire(&a->lock);
    unsigned pages = offset % PAGE_MAP_PAGE == 0 ? page_map_length(&c->map, first) : 0;
    if (pages == 0) {
        lock_release(&a->lock);
        log_fatal("free(%p): no object of backend mmap starts there: freed before, or a pointer "
                  "into an object",
                  p);
    }
    page_map_hold(&c->map, first);
    a->freed++;
    retire(a, c, first, pages);
    lock_release(&a->lock);
    return pages * PAGE_MAP_PAGE;
}

bool mmap_shared_resize(struct mmap_arena *a, struct mmap_chunk *c, void *p, size_t pages)
{
    unsigned first = (unsigned)(((char *)p - c->home.base) / (ptrdiff_t)PAGE_MAP_PAGE);
    unsigned had = c->map.info[first]; /* the caller's object: nobody else changes it */
    if (pages <= had) {
        if (pages < had) {
            lock_acquire(&a->lock);
            page_map_shrink(&c->map, first, (unsigned)pages);
            retire(a, c, first + (unsigned)pages, had - (unsigned)pages);
            lock_release(&a->lock);
        }
        return true;
    }
    size_t bytes = (pages - had) * PAGE_MAP_PAGE;
    if (pages > PAGE_MAP_PAGES || !mmap_charge(a, bytes))
        return false;
    struct page_set was_dirty;
    unsigned dirty = 0;
    lock_acquire(&a->lock);
    bool fits = page_map_extend(&c->map, first, (unsigned)pages - had, &was_dirty, &dirty);
    if (fits) {
        settle(a, c);
        a->kept_bytes -= dirty * PAGE_MAP_PAGE;
        a->live_bytes += bytes;
    }
    lock_release(&a->lock);
    if (fits)
        mmap_uncharge_kept(a, dirty * PAGE_MAP_PAGE);
    else
        sluice_arena_uncharge(a->owner, bytes);
    return fits;
}
