/* pool_pages.c - pages inside free objects. A slab goes back to the system when it is empty; one that keeps a single large
 * object would keep the pages of all that were freed beside it. So the pages that lie within a free object go back, too, when
 * its slab has been at rest for the purge time. The list's link stands in the first word of a free object: the page of that
 * word stays. Nothing on the paths of allocation and free knows of it: a page that is missing comes back as zeros when it is
 * touched. */
#include "backends/pool.h"

#include "core/os.h"

/* Less than two pages have none to spare in the middle. */
#define LEAST_OBJECT (2 * OS_PAGE_SIZE)

/* A huge page is split when so much of it is free. */
#define WORTH_SPLITTING (CHUNK_SIZE / 8)

/* The pages behind the first word of an object. Returns bytes. */
static size_t pages_inside(char *object, size_t size, char **first)
{
    uintptr_t from = ((uintptr_t)object + sizeof(void *) + OS_PAGE_SIZE - 1) & -OS_PAGE_SIZE;
    uintptr_t to = ((uintptr_t)object + size) & -OS_PAGE_SIZE;
    *first = (char *)from;
    return to > from ? to - from : 0;
}

/* Objects without pages of which that is still sure; those that were taken since may be any. */
static unsigned still_away(const struct slab *s)
{
    unsigned n = (unsigned)__builtin_popcountll(count_load(&s->away));
    uint64_t taken = count_load(&s->allocs) - count_load(&s->away_at);
    return taken < n ? n - (unsigned)taken : 0;
}

static unsigned free_objects(const struct slab *s)
{
    uint64_t live = slab_live(s), carved = s->carved;
    return carved > live ? (unsigned)(carved - live) : 0;
}

unsigned pool_objects_with_pages(const struct slab *s)
{
    if (s->object_size < LEAST_OBJECT)
        return 0;
    unsigned n = free_objects(s), away = still_away(s);
    return n > away ? n - away : 0;
}

size_t pool_pages_away(const struct slab *s)
{
    unsigned n = (unsigned)__builtin_popcountll(count_load(&s->away));
    return n == 0 ? 0 : (size_t)(s->away_bytes / n) * still_away(s);
}

bool pool_chunk_gives_pages(const struct slab_chunk *c)
{
    if (!atomic_load_explicit(&c->chunk.huge, memory_order_relaxed))
        return true;
    size_t bytes = (size_t)__builtin_popcount(c->free_pieces) * SLAB_PIECE_SIZE;
    for (unsigned i = 0; i < SLAB_PIECES; i++) {
        const struct slab *s = &c->slab[i];
        if (slab_is_head(c, i) && (c->free_pieces >> i & 1) == 0 && s->object_size >= LEAST_OBJECT)
            bytes += free_objects(s) * (s->object_size - OS_PAGE_SIZE);
    }
    return bytes >= WORTH_SPLITTING;
}

void pool_purge_inside(struct slab *s)
{
    uint64_t allocs = count_load(&s->allocs), done = 0, bytes = 0;
    uint64_t away = allocs == count_load(&s->away_at) ? count_load(&s->away) : 0;
    chunk_set_huge(&slab_chunk_of(s)->chunk, false); /* or the kernel might fill the holes again */
    unsigned left = s->capacity;
    for (char *p = s->free; p != NULL && left > 0; p = *(char **)p, left--) {
        uint64_t bit = (uint64_t)1 << ((size_t)(p - s->base) / s->object_size);
        char *first;
        size_t n = pages_inside(p, s->object_size, &first);
        done |=
            bit; /* also where the kernel refuses, as for memory that is locked: no use in asking again */
        if (n > 0 && ((away & bit) != 0 || os_purge(first, n)))
            bytes += n;
    }
    atomic_store_explicit(&s->away_at, allocs, memory_order_relaxed);
    atomic_store_explicit(&s->away_bytes, bytes, memory_order_relaxed);
    atomic_store_explicit(&s->away, done, memory_order_relaxed);
}
