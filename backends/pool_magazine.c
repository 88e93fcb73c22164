/* pool_magazine.c - how much a thread keeps: its magazines are filled from slabs, and what is too much goes back to them
 * (core/magazine.h). */
#include "backends/pool.h"

#include "core/arena.h"
#include "core/limit.h"

#define GROWTH_MIN 2048 /* bytes: less than a magazine is filled with at once */

/* Tells the module what left the slabs, or went back. Small amounts are gathered: the module's counter is everybody's. */
static void note_growth(struct pool_heap *h, int64_t bytes)
{
    h->grown += bytes;
    if (h->grown < GROWTH_MIN && h->grown > -GROWTH_MIN)
        return;
    arena_note_growth(h->arena->owner, h->grown);
    h->grown = 0;
}

/* A magazine may hold few objects at first, and twice as many each time that it runs empty after it was full: up to so many, and
 * no more bytes than these parts of what a thread may keep of its module's limit and of its thread_cache. But two of any size,
 * where neither is tight: who allocates and frees one then has it again. When it is full again and again, and never empty, the
 * thread needs none of it, and each object may be all that keeps a slab: it may hold half as many. */
#define OBJECTS_FIRST    8
#define OBJECTS_MAX      512
#define OBJECTS_MIN      2
#define PARTS_OF_ADVANCE 2
#define PARTS_OF_CACHE   64
#define FULL_IN_A_ROW    3

/* Whether it is full is looked at after so many frees at most. */
#define FREES_MAX 64

/* It is filled with so many at a time. */
#define FILL_OBJECTS 64
#define FILL_BYTES   ((size_t)8 << 10)

static uint32_t objects_bound(const struct pool_heap *h, unsigned k)
{
    const struct pool_arena *a = h->arena;
    uint64_t advance = (uint64_t)limit_advance(a->owner->module);
    uint64_t cache = pool_value(a, POOL_THREAD_CACHE);
    uint64_t bytes = advance / PARTS_OF_ADVANCE, size = size_class_bytes[k];
    if (bytes > cache / PARTS_OF_CACHE)
        bytes = cache / PARTS_OF_CACHE;
    uint64_t bound = bytes / size;
    if (bound < OBJECTS_MIN && advance == LIMIT_ADVANCE && OBJECTS_MIN * size <= cache / 4)
        bound = OBJECTS_MIN;
    return bound < OBJECTS_MAX ? (uint32_t)bound : OBJECTS_MAX;
}

static uint32_t at_most(uint32_t n, uint32_t bound)
{
    return n < bound ? n : bound;
}

static void set_bound(struct pool_class *of, uint32_t most, uint32_t bound)
{
    of->most = at_most(most, bound);
    of->frees = at_most(FREES_MAX, bound > 0 ? bound : 1);
}

/* The object's slab takes it back. */
static void take_back(struct pool_heap *h, struct slab *s, void *p)
{
    *(void **)p = s->free;
    s->free = p;
    count_add(&s->frees, 1);
    if (s->state == SLAB_FULL) {
        pool_slab_has_room(h, s);
    } else if (s->state == SLAB_PARTIAL && slab_used(s) == 0) {
        slab_list_remove(&h->of[s->size_class].partial, s);
        pool_slab_is_empty(h, s);
    }
}

static struct slab *slab_of_object(const void *p)
{
    return slab_of(pagemap_lookup(p), p);
}

/* Only the `keep` objects that were freed last stay, of those in it. */
static void magazine_cut(struct pool_heap *h, struct magazine *m, uint64_t keep)
{
    uint64_t count = magazine_kept(m) - keep;
    void **from = &m->free;
    for (; keep > 0; keep--)
        from = *from;
    void *p = *from;
    *from = NULL;
    for (void *next; p != NULL; p = next) {
        next = *(void **)p;
        take_back(h, slab_of_object(p), p);
    }
    magazine_count_given(m, count);
    note_growth(h, -(int64_t)(count * size_class_bytes[m->size_class]));
}

void pool_empty_magazine(struct pool_heap *h, struct magazine *m, uint32_t now_ms)
{
    uint64_t count = magazine_kept(m);
    if (count == 0)
        return;
    while (m->free != NULL) {
        void *p = m->free;
        m->free = *(void **)p;
        struct slab *s = slab_of_object(p);
        *(void **)p = s->free;
        s->free = p;
        count_add(&s->frees, 1);
        if (slab_live(s) == 0) /* others may have returned the rest */
            pool_leave_slab(h, s, now_ms);
        else if (s->state == SLAB_FULL)
            pool_slab_has_room(h, s);
    }
    magazine_count_given(m, count);
    note_growth(h, -(int64_t)(count * size_class_bytes[m->size_class]));
    magazine_arm(m, 1);
    h->of[m->size_class].most = at_most(h->of[m->size_class].most, OBJECTS_FIRST);
}

int pool_slab_event(void *arena, void *thread_state, void *magazine)
{
    struct pool_arena *a = arena;
    struct pool_heap *h = thread_state;
    struct magazine *m = magazine;
    magazine_count_given(
        m, 1); /* allocation may have turned: what was just freed was still part of the peak */
    arena_note_turn(a->owner);
    magazine_count_given(m, -UINT64_C(1));
    struct pool_class *of = &h->of[m->size_class];
    bool is_full = magazine_kept(m) > of->most;
    if (is_full) {
        if (++of->fulls > FULL_IN_A_ROW && of->most > OBJECTS_FIRST)
            of->most /= 2;
        set_bound(of, of->most, objects_bound(h, m->size_class));
        magazine_cut(h, m, of->most / 2);
    }
    /* Who only frees is looked at more often: else what is kept between two looks would be more than a magazine holds. */
    magazine_arm(m, of->fulls > FULL_IN_A_ROW ? at_most(of->frees, of->most + 1) : of->frees);
    return is_full;
}

void pool_fill_magazine(struct pool_heap *h, struct magazine *m, struct slab *s, uint32_t listed)
{
    struct pool_class *of = &h->of[m->size_class];
    size_t size = size_class_bytes[m->size_class];
    uint32_t bound = objects_bound(h, m->size_class), n = listed;
    uint32_t want = at_most((uint32_t)(FILL_BYTES / size), at_most(FILL_OBJECTS, bound / 2));
    uint32_t most = of->fulls > 0 ? 2 * of->most : of->most;
    set_bound(of, most < OBJECTS_FIRST ? OBJECTS_FIRST : most, bound);
    of->fulls = 0;
    /* Nothing was freed into it since the last time: it does not become too full soon. */
    bool only_gives = atomic_load_explicit(&m->room, memory_order_relaxed) == 1;
    uint32_t at_once = only_gives ? bound / 2 : of->most;
    m->free = s->free;
    s->free = NULL;
    if (listed == 0 || listed > at_once) {
        void *last = m->free;
        n = 1;
        for (void *next; n < want && (next = *(void **)last) != NULL; n++)
            last = next;
        s->free = *(void **)last;
        *(void **)last = NULL;
    }
    magazine_count_filled(m, n); /* before the slab's: who adds up meanwhile sees less, not more */
    count_add(&s->allocs, n);
    magazine_arm(m, 1);
    note_growth(h, (int64_t)(n * size));
}
