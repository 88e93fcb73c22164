/* pool_chunk.c - see pool.h. All of it runs in the arena's lock. */
#include "backends/pool.h"

#include <string.h>

#include "core/meta.h"
#include "core/os.h"

#define ALL_FREE 0xffffffffu

/* From so many chunks on, an arena's chunks are huge pages under `auto`: a small arena should not take 2 MiB for its
 * first object. */
#define HUGE_FROM_CHUNKS 4

/* Chunks that are looked at for that, at most. */
#define DENSITY_LOOKS 8

uint32_t pool_ms(uint64_t now_ns)
{
    uint32_t ms = (uint32_t)(now_ns / 1000000);
    return ms == 0 ? 1 : ms;
}

static unsigned free_count(const struct slab_chunk *c)
{
    return (unsigned)__builtin_popcount(c->free_pieces);
}

static uint64_t dirty_of(const struct slab_chunk *c)
{
    return (uint64_t)__builtin_popcount(c->dirty_pieces) * SLAB_PIECE_SIZE;
}

static struct slab_chunk *next_of(struct slab_chunk *c)
{
    return (struct slab_chunk *)c->chunk.next;
}

static void list_insert(struct pool_arena *a, struct slab_chunk *c)
{
    struct slab_chunk **list = &a->by_free[free_count(c)];
    c->chunk.prev = NULL;
    c->chunk.next = (struct chunk *)*list;
    if (*list != NULL)
        (*list)->chunk.prev = &c->chunk;
    *list = c;
}

static void list_remove(struct pool_arena *a, struct slab_chunk *c)
{
    if (c->chunk.prev != NULL)
        c->chunk.prev->next = c->chunk.next;
    else
        a->by_free[free_count(c)] = next_of(c);
    if (c->chunk.next != NULL)
        c->chunk.next->prev = c->chunk.prev;
}

/* The first run of n set bits in mask, as a mask, or 0. Bit i of `runs` stays set when n bits from i on are set. */
static uint32_t run_in(uint32_t mask, unsigned n)
{
    uint32_t runs = mask;
    for (unsigned i = 1; i < n && runs != 0; i++)
        runs &= mask >> i;
    return runs == 0 ? 0 : (uint32_t)((((uint64_t)1 << n) - 1) << __builtin_ctz(runs));
}

static void set_head(struct slab_chunk *c, unsigned piece, unsigned first)
{
    __atomic_store_n(&c->head[piece], (uint16_t)((char *)&c->slab[first] - (char *)c),
                     __ATOMIC_RELAXED); /* see slab_near() */
}

/* Both lists are halves of one block. */
static void free_lists(struct pool_arena *a)
{
    if (a->room > 0)
        meta_free(a->used < a->ended ? a->used : a->ended, 2 * a->room * sizeof *a->used);
    a->room = 0;
}

/* Makes room for one more. */
static bool reserve_used(struct pool_arena *a)
{
    if (a->chunk_count < a->room)
        return true;
    size_t room = a->room == 0 ? 8 : 2 * a->room;
    struct pool_used *block = meta_alloc(2 * room * sizeof *block);
    if (block == NULL)
        return false;
    if (a->room > 0) {
        memcpy(block, a->used, a->used_count * sizeof *block);
        memcpy(block + room, a->ended, a->ended_count * sizeof *block);
    }
    free_lists(a);
    a->used = block;
    a->ended = block + room;
    a->room = room;
    return true;
}

/* The first of its pieces is taken. */
static void note_used(struct pool_arena *a, struct slab_chunk *c)
{
    c->index = (uint32_t)a->used_count;
    a->used[a->used_count++] = (struct pool_used){.chunk = c, .base = c->chunk.base};
}

/* The last one is free again. */
static void note_unused(struct pool_arena *a, struct slab_chunk *c)
{
    struct pool_used *last = &a->used[--a->used_count];
    last->chunk->index = c->index;
    a->used[c->index] = *last;
}

/* Is what the slabs in use have handed out so far fifteen sixteenths of them at least? Where many threads have a little of many
 * sizes each, it is not, and huge pages would make all of it resident. Looks at some chunks. */
static bool is_dense(const struct pool_arena *a)
{
    uint64_t touched = 0, taken = 0;
    for (size_t at = 0; at < a->used_count; at += a->used_count / DENSITY_LOOKS + 1) {
        const struct slab_chunk *c = a->used[at].chunk;
        taken += (SLAB_PIECES - free_count(c)) * SLAB_PIECE_SIZE;
        for (uint32_t used = ~c->free_pieces; used != 0; used &= used - 1) {
            unsigned i = (unsigned)__builtin_ctz(used);
            if (slab_is_head(c, i))
                touched += (uint64_t)c->slab[i].carved * c->slab[i].object_size;
        }
    }
    return touched >= taken - taken / 16;
}

/* `auto`: nor for a program that gives everything back again and again (malloc_trim), as each new huge page has to be cleared
 * whole, however little of it is used by then. */
static bool wants_huge(const struct pool_arena *a)
{
    uint64_t huge = pool_value(a, POOL_HUGE_PAGES);
    if (huge != POOL_HUGE_AUTO)
        return huge == POOL_HUGE_ALWAYS;
    if (a->chunk_count < HUGE_FROM_CHUNKS || !is_dense(a))
        return false;
    uint32_t after_ms = (uint32_t)(pool_value(a, POOL_PURGE_AFTER) / 1000000);
    return a->trimmed_ms == 0 || pool_ms(os_now()) - a->trimmed_ms >= after_ms;
}

bool pool_add_chunk(struct pool_arena *a)
{
    if (!reserve_used(a))
        return false;
    struct slab_chunk *c = (struct slab_chunk *)chunk_acquire(a->owner, CHUNK_SIZE, CHUNK_SIZE,
                                                              sizeof *c, PAGEMAP_SLABS, true);
    if (c == NULL)
        return false;
    for (unsigned i = 0; i < SLAB_PIECES; i++) {
        set_head(c, i, i);
        c->slab[i].base = c->chunk.base + i * SLAB_PIECE_SIZE;
        c->slab[i].index = (uint8_t)i;
        atomic_init(&c->owner[i], SLAB_UNUSED);
    }
    c->free_pieces = ALL_FREE;
    if (wants_huge(a))
        chunk_set_huge(&c->chunk, true);
    /* The first touch of a huge page makes all of it resident. */
    if (atomic_load_explicit(&c->chunk.huge, memory_order_relaxed)) {
        c->dirty_pieces = ALL_FREE;
        c->freed_ms = pool_ms(os_now());
        a->dirty_bytes += CHUNK_SIZE;
    }
    a->chunk_count++;
    list_insert(a, c);
    return true;
}

static struct slab *take_from(struct pool_arena *a, struct slab_chunk *c, uint32_t run, unsigned n)
{
    if (c->free_pieces == ALL_FREE)
        note_used(a, c);
    uint32_t dirty = c->dirty_pieces;
    list_remove(a, c);
    a->dirty_bytes -= dirty_of(c);
    c->free_pieces &= ~run;
    c->dirty_pieces &= ~run;
    a->dirty_bytes += dirty_of(c);
    list_insert(a, c);
    unsigned first = (unsigned)__builtin_ctz(run);
    uint32_t had = 0;
    for (unsigned i = first; i < first + n; i++) {
        set_head(c, i, first);
        if ((dirty >> i & 1) != 0)
            had += (uint32_t)SLAB_PIECE_SIZE - c->slab[i].away_bytes;
        c->slab[i].away_bytes = 0;
    }
    struct slab *s = &c->slab[first];
    s->pieces = (uint8_t)n;
    atomic_store_explicit(&s->had_bytes, had, memory_order_relaxed);
    return s;
}

/* The record of a slab that is none any more. Word by word: purge() looks at slabs that it found in the lock, and
 * sluice_owner() at any, without it. */
static void forget(struct slab *s)
{
    pool_disown(s, SLAB_UNUSED);
    atomic_store_explicit(&s->object_size, 0, memory_order_relaxed);
    atomic_store_explicit(&s->carved, 0, memory_order_relaxed);
    atomic_store_explicit(&s->allocs, 0, memory_order_relaxed);
    atomic_store_explicit(&s->frees, 0, memory_order_relaxed);
    atomic_store_explicit(&s->remote, 0, memory_order_relaxed);
    s->free = NULL;
    s->capacity = 0;
    s->since_ms = 0;
    s->seen = 0;
    atomic_store_explicit(&s->away, 0, memory_order_relaxed);
    s->size_class = s->state = s->pieces = 0;
    s->next = s->prev = NULL;
}

/* The slab's pieces are none's soon: what they lack of pages is shared out evenly. */
static void note_away(struct slab_chunk *c, const struct slab *s)
{
    size_t away = slab_bytes(s) - slab_touched(s) + pool_pages_away(s);
    for (unsigned i = 0; i < s->pieces; i++)
        c->slab[s->index + i].away_bytes = (uint32_t)(away / s->pieces);
}

void pool_end_chunks(struct pool_arena *a, uint32_t now_ms)
{
    for (size_t i = 0; i < a->used_count; i++) {
        struct pool_used *u = &a->used[i];
        u->ended_ms = now_ms;
        /* A free of what was in it is recognized. */
        pagemap_set(u->base, CHUNK_SIZE, (uintptr_t)u->chunk | PAGEMAP_ENDED);
    }
    if (a->ended_count == 0) {
        struct pool_used *none = a->ended;
        a->ended = a->used;
        a->used = none;
    } else {
        memcpy(a->ended + a->ended_count, a->used, a->used_count * sizeof *a->used);
    }
    a->ended_count += a->used_count;
    a->used_count = 0;
    a->dirty_bytes = a->ended_count * CHUNK_SIZE; /* until they are looked at */
    for (struct slab_chunk *c = a->by_free[SLAB_PIECES]; c != NULL; c = next_of(c))
        a->dirty_bytes += dirty_of(c);
    memset(a->by_free, 0, SLAB_PIECES * sizeof *a->by_free); /* all but those without slabs */
}

/* Makes one that was set aside a chunk without slabs, whose pages are warm. */
static void renew(struct pool_arena *a, struct slab_chunk *c, uint32_t ended_ms)
{
    uint32_t untouched = c->free_pieces & ~c->dirty_pieces;
    for (unsigned i = 0; i < SLAB_PIECES; i++) {
        struct slab *s = &c->slab[i];
        if (s->object_size != 0) {
            a->past_allocs += count_load(&s->allocs);
            a->past_frees += count_load(&s->allocs);
            note_away(c, s);
            forget(s);
        }
        set_head(c, i, i);
    }
    a->dirty_bytes -= CHUNK_SIZE;
    c->free_pieces = ALL_FREE;
    c->dirty_pieces = ~untouched;
    c->freed_ms = ended_ms;
    a->dirty_bytes += dirty_of(c);
    list_insert(a, c);
    pagemap_set(c->chunk.base, CHUNK_SIZE, (uintptr_t)c | PAGEMAP_SLABS);
}

static bool renew_one(struct pool_arena *a)
{
    if (a->ended_count == 0)
        return false;
    const struct pool_used *u = &a->ended[--a->ended_count];
    renew(a, u->chunk, u->ended_ms);
    return true;
}

void pool_renew_chunks(struct pool_arena *a)
{
    while (renew_one(a))
        ;
}

struct slab *pool_take_pieces(struct pool_arena *a, unsigned n)
{
    for (;;) {
        for (unsigned free = n; free <= SLAB_PIECES; free++)
            for (struct slab_chunk *c = a->by_free[free]; c != NULL; c = next_of(c)) {
                uint32_t run = run_in(c->dirty_pieces, n); /* pages that are there come first */
                if (run == 0)
                    run = run_in(c->free_pieces, n);
                if (run != 0)
                    return take_from(a, c, run, n);
            }
        if (!renew_one(a) && !pool_add_chunk(a))
            return NULL;
    }
}

void pool_give_pieces(struct pool_arena *a, struct slab *s, uint32_t now_ms)
{
    struct slab_chunk *c = slab_chunk_of(s);
    unsigned first = s->index, n = s->pieces;
    uint32_t run = (uint32_t)((((uint64_t)1 << n) - 1) << first);
    a->past_allocs += count_load(&s->allocs);
    a->past_frees += count_load(&s->frees);
    list_remove(a, c);
    a->dirty_bytes -= dirty_of(c);
    note_away(c, s);
    for (unsigned i = first; i < first + n; i++)
        set_head(c, i, i);
    forget(s);
    c->free_pieces |= run;
    c->dirty_pieces |= run;
    c->freed_ms = now_ms;
    a->dirty_bytes += dirty_of(c);
    list_insert(a, c);
    if (c->free_pieces == ALL_FREE)
        note_unused(a, c);
}

static bool is_old(const struct slab_chunk *c, uint32_t now_ms, uint32_t age_ms)
{
    return age_ms == 0 || (int32_t)(now_ms - c->freed_ms) >= (int32_t)age_ms;
}

/* So many chunks are purged with the lock open at a time: their pieces cannot be taken meanwhile. */
#define PURGE_BATCH 16

/* Takes the next chunks to purge out of circulation; returns them by link. A chunk without objects goes as a whole:
 * then all of its pieces are away. */
static struct slab_chunk *choose(struct pool_arena *a, uint32_t now_ms, uint32_t age_ms,
                                 uint64_t keep, uint32_t *next_ms)
{
    struct slab_chunk *chosen = NULL;
    unsigned n = 0;
    *next_ms = 0;
    /* Empty chunks first: they cost nobody a huge page. Then the emptiest. */
    for (int free = SLAB_PIECES; free >= 1; free--)
        for (struct slab_chunk *c = a->by_free[free], *next; c != NULL; c = next) {
            next = next_of(c);
            if (a->dirty_bytes <= keep || n == PURGE_BATCH)
                return chosen;
            if (c->dirty_pieces == 0)
                continue;
            if (!is_old(c, now_ms, age_ms)) {
                uint32_t due = c->freed_ms + age_ms;
                if (*next_ms == 0 || (int32_t)(due - *next_ms) < 0)
                    *next_ms = due;
                continue;
            }
            list_remove(a, c);
            a->dirty_bytes -= dirty_of(c);
            if (c->free_pieces != ALL_FREE) {
                c->away_pieces = c->dirty_pieces;
                c->free_pieces &= ~c->away_pieces;
                c->dirty_pieces = 0;
                list_insert(a, c);
            } else {
                c->away_pieces = ALL_FREE;
                a->chunk_count--;
            }
            c->link = chosen;
            chosen = c;
            n++;
        }
    return chosen;
}

static size_t purge_pieces(struct slab_chunk *c)
{
    /* With huge pages allowed the kernel might fill the holes again. */
    chunk_set_huge(&c->chunk, false);
    for (uint32_t left = c->away_pieces; left != 0;) {
        unsigned first = (unsigned)__builtin_ctz(left), n = 1;
        while (first + n < SLAB_PIECES && (left >> (first + n) & 1) != 0)
            n++;
        os_purge(c->chunk.base + first * SLAB_PIECE_SIZE, n * SLAB_PIECE_SIZE);
        left &= ~(uint32_t)((((uint64_t)1 << n) - 1) << first);
    }
    return (size_t)__builtin_popcount(c->away_pieces) * SLAB_PIECE_SIZE;
}

size_t pool_purge_chunks(struct pool_arena *a, uint32_t now_ms, uint32_t age_ms, uint64_t keep,
                         uint32_t *next_ms)
{
    size_t bytes = 0;
    struct slab_chunk *chosen;
    while ((chosen = choose(a, now_ms, age_ms, keep, next_ms)) != NULL) {
        lock_release(&a->lock);
        struct slab_chunk *partial = NULL;
        for (struct slab_chunk *c = chosen, *next; c != NULL; c = next) {
            next = c->link;
            if (c->away_pieces ==
                ALL_FREE) { /* not free_pieces: the rest of a chunk is in use meanwhile */
                bytes += dirty_of(c);
                chunk_release(&c->chunk, false);
            } else {
                bytes += purge_pieces(c);
                c->link = partial;
                partial = c;
            }
        }
        lock_acquire(&a->lock);
        for (; partial != NULL; partial = partial->link) {
            list_remove(a, partial);
            partial->free_pieces |= partial->away_pieces;
            partial->away_pieces = 0;
            list_insert(a, partial);
            if (partial->free_pieces == ALL_FREE)
                note_unused(a, partial);
        }
    }
    return bytes;
}

void pool_release_all(struct pool_arena *a)
{
    pool_renew_chunks(a);
    for (int free = 0; free <= SLAB_PIECES; free++)
        while (a->by_free[free] != NULL) {
            struct slab_chunk *c = a->by_free[free];
            list_remove(a, c);
            a->chunk_count--;
            chunk_release(&c->chunk, false);
        }
    a->dirty_bytes = 0;
    free_lists(a);
}
