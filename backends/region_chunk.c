/* region_chunk.c - see region.h. Chunks that pieces are cut from, and runs of large objects. */
#include "backends/region.h"

#include <string.h>

#include "core/arena.h"
#include "core/log.h"
#include "core/meta.h"
#include "core/os.h"

/* Less than this at the end of a chunk or of a piece is left alone. */
#define LEAST_ROOM ((size_t)4 << 10)

/* Open chunks, or runs of a bin, that are looked at for one that fits. */
#define TRIES 16

/* From so many chunks on, chunks are huge pages under `auto`: a small arena should not take 2 MiB for its first
 * object. */
#define HUGE_FROM_CHUNKS 4

/* So many chunks are given back with the lock open at a time. */
#define PURGE_BATCH 16

/* ---- Lists ---------------------------------------------------------------------------------- */

static unsigned bin_of(size_t size)
{
    size_t chunks = size >> CHUNK_SHIFT;
    return chunks < REGION_LARGE_BINS ? (unsigned)chunks - 1 : REGION_LARGE_BINS - 1;
}

static struct region_list *list_of(struct region_arena *a, const struct region_chunk *c)
{
    switch (c->state) {
    case REGION_OPEN:
        return &a->open;
    case REGION_FULL:
        return &a->full;
    case REGION_IDLE:
        return &a->idle;
    case REGION_LARGE:
        return &a->large;
    case REGION_IDLE_LARGE:
        return &a->idle_large[bin_of(c->chunk.size)];
    case REGION_AWAY:
        break;
    }
    return NULL;
}

static struct region_chunk *next_of(const struct region_chunk *c)
{
    return (struct region_chunk *)c->chunk.next;
}

static bool is_idle(const struct region_chunk *c)
{
    return c->state == REGION_IDLE || c->state == REGION_IDLE_LARGE;
}

static bool is_huge(const struct region_chunk *c)
{
    return c->chunk.huge && os_huge_available();
}

/* Resident bytes, if pieces in threads' hands were so to their ends. */
static uint64_t resident_of(const struct region_chunk *c)
{
    size_t bytes = !is_idle(c) && c->used > c->touched ? c->used : c->touched;
    return bytes > 0 && is_huge(c) ? c->chunk.size : bytes - c->holes - c->rests;
}

static void insert(struct region_arena *a, struct region_chunk *c, enum region_state state,
                   bool in_front)
{
    c->state = state;
    struct region_list *list = list_of(a, c);
    struct chunk *before = in_front || list->last == NULL ? NULL : &list->last->chunk;
    struct chunk *after = before != NULL || list->first == NULL ? NULL : &list->first->chunk;
    c->chunk.prev = before;
    c->chunk.next = after;
    if (before != NULL)
        before->next = &c->chunk;
    else
        list->first = c;
    if (after != NULL)
        after->prev = &c->chunk;
    else
        list->last = c;
    if (is_idle(c))
        a->idle_bytes += resident_of(c);
}

static void take_out(struct region_arena *a, struct region_chunk *c)
{
    struct region_list *list = list_of(a, c);
    if (is_idle(c))
        a->idle_bytes -= resident_of(c);
    if (c->chunk.prev != NULL)
        c->chunk.prev->next = c->chunk.next;
    else
        list->first = next_of(c);
    if (c->chunk.next != NULL)
        c->chunk.next->prev = c->chunk.prev;
    else
        list->last = (struct region_chunk *)c->chunk.prev;
}

/* ---- Chunks --------------------------------------------------------------------------------- */

static struct region_chunk *acquire(struct region_arena *a, size_t size, size_t alignment,
                                    bool zero, bool huge)
{
    struct region_chunk *c = (struct region_chunk *)chunk_acquire(a->owner, size, alignment,
                                                                  sizeof *c, PAGEMAP_CHUNK, !zero);
    if (c != NULL)
        chunk_set_huge(&c->chunk, huge);
    return c;
}

static bool charge(struct region_arena *a, size_t bytes)
{
    if (!sluice_arena_charge(a->owner, bytes))
        return false;
    a->charged += bytes;
    return true;
}

static void uncharge(struct region_arena *a, size_t bytes)
{
    a->charged -= bytes;
    sluice_arena_uncharge(a->owner, bytes);
}

/* `want` bytes are charged, or `need`; returns how many, 0 when the limit forbids both. */
static size_t charge_either(struct region_arena *a, size_t need, size_t want)
{
    if (charge(a, want))
        return want;
    return need < want && charge(a, need) ? need : 0;
}

static struct region_chunk *open_chunk(struct region_arena *a)
{
    struct region_chunk *c = a->idle.first;
    if (c != NULL) {
        take_out(a, c);
    } else {
        uint64_t huge = region_value(a, REGION_HUGE_PAGES);
        c = acquire(a, CHUNK_SIZE, CHUNK_SIZE, false,
                    huge == REGION_HUGE_ALWAYS ||
                        (huge == REGION_HUGE_AUTO && a->chunk_count >= HUGE_FROM_CHUNKS));
        if (c == NULL)
            return NULL;
        a->chunk_count++;
        a->record_bytes += sizeof *c;
    }
    insert(a, c, REGION_OPEN, true);
    return c;
}

static struct region_chunk *chunk_with_room(struct region_arena *a, size_t need)
{
    int tries = 0;
    for (struct region_chunk *c = a->open.first; c != NULL && tries < TRIES;
         c = next_of(c), tries++)
        if (CHUNK_SIZE - c->used >= need)
            return c;
    return open_chunk(a);
}

/* ---- Pieces --------------------------------------------------------------------------------- */

/* Spans are pieces' ends: for those who want a piece. */
static bool take_span(struct region_arena *a, size_t need, char **base, char **end, char **touched)
{
    struct region_span **at = &a->spans;
    for (int tries = 0; *at != NULL && tries < TRIES; at = &(*at)->next, tries++) {
        struct region_span *s = *at;
        size_t bytes = (size_t)(s->end - s->base);
        if (bytes < need)
            continue;
        if (!charge(a, bytes))
            return false;
        *at = s->next;
        *base = s->base;
        *end = s->end;
        *touched = s->touched;
        a->record_bytes -= sizeof *s;
        meta_free(s, sizeof *s);
        return true;
    }
    return false;
}

bool region_take(struct region_arena *a, size_t need, size_t want, char **base, char **end,
                 char **touched)
{
    if (want > need && take_span(a, need, base, end, touched))
        return true;
    size_t bytes = charge_either(a, need, want);
    if (bytes == 0)
        return false;
    struct region_chunk *c = chunk_with_room(a, need);
    if (c == NULL) {
        uncharge(a, bytes);
        return false;
    }
    size_t room = CHUNK_SIZE - c->used;
    if (room < bytes) {
        uncharge(a, bytes - room);
        bytes = room;
    }
    *base = c->chunk.base + c->used;
    *end = *base + bytes;
    char *was_touched = c->chunk.base + c->touched;
    *touched = was_touched < *base ? *base : was_touched > *end ? *end : was_touched;
    c->used += bytes;
    if (CHUNK_SIZE - c->used < LEAST_ROOM) {
        take_out(a, c);
        insert(a, c, REGION_FULL, true);
    }
    return true;
}

void region_abandon(char *base, char *end, char *touched)
{
    if (touched < base)
        touched = base;
    if (base < end && touched < end)
        region_chunk_of(base)->rests += (size_t)(end - touched);
}

void region_give(struct region_arena *a, char *base, char *end, char *touched)
{
    base = (char *)(((uintptr_t)base + 63) & ~(uintptr_t)63);
    if (touched < base)
        touched = base;
    if (base >= end)
        return;
    size_t bytes = (size_t)(end - base);
    struct region_chunk *c = region_chunk_of(base);
    if (end ==
        c->chunk.base + c->used) { /* the last piece of its chunk: as if it had been shorter */
        size_t before = (size_t)(touched - c->chunk.base);
        c->used -= bytes;
        c->touched = before > c->touched ? before : c->touched;
        uncharge(a, bytes);
        if (c->state == REGION_FULL && CHUNK_SIZE - c->used >= LEAST_ROOM) {
            take_out(a, c);
            insert(a, c, REGION_OPEN, true);
        }
        return;
    }
    struct region_span *s = bytes < LEAST_ROOM ? NULL : meta_alloc(sizeof *s);
    if (s == NULL) {
        region_abandon(base, end, touched);
        return;
    }
    *s = (struct region_span){base, end, touched, a->spans};
    a->spans = s;
    a->record_bytes += sizeof *s;
    uncharge(a, bytes);
}

/* ---- Large objects -------------------------------------------------------------------------- */

/* An idle run of at least that size, and not more than a quarter too long. */
static struct region_chunk *find_idle_large(struct region_arena *a, size_t size, size_t alignment)
{
    size_t most = size + size / 4;
    for (unsigned bin = bin_of(size); bin <= bin_of(most); bin++) {
        struct region_chunk *c = a->idle_large[bin].first;
        for (int tries = 0; c != NULL && tries < TRIES; c = next_of(c), tries++)
            if (c->chunk.size >= size && c->chunk.size <= most &&
                ((uintptr_t)c->chunk.base & (alignment - 1)) == 0)
                return c;
    }
    return NULL;
}

void *region_large_alloc(struct region_arena *a, size_t size, size_t alignment, bool zero,
                         size_t *usable)
{
    size = (size + OS_PAGE_SIZE - 1) & ~(OS_PAGE_SIZE - 1);
    size_t capacity = (size + CHUNK_SIZE - 1) & ~(CHUNK_SIZE - 1);
    lock_acquire(&a->lock);
    if (!charge(a, size)) {
        lock_release(&a->lock);
        return NULL;
    }
    struct region_chunk *c = find_idle_large(a, capacity, alignment);
    bool reused = c != NULL;
    if (reused) {
        take_out(a, c);
    } else {
        uint64_t huge = region_value(a, REGION_HUGE_PAGES);
        c = acquire(a, capacity, alignment, zero,
                    huge == REGION_HUGE_ALWAYS ||
                        (huge == REGION_HUGE_AUTO && capacity - size <= capacity / 8));
        if (c == NULL) {
            uncharge(a, size);
            lock_release(&a->lock);
            return NULL;
        }
        c->is_large = true;
        a->record_bytes += sizeof *c;
    }
    c->used = size;
    a->large_objects++;
    insert(a, c, REGION_LARGE, true);
    lock_release(&a->lock);
    char *p = c->chunk.base;
    if (zero && reused)
        memset(p, 0, c->chunk.stale || size < c->touched ? size : c->touched);
    *usable = size;
    return p;
}

size_t region_large_free(struct region_arena *a, struct region_chunk *c, void *p)
{
    uint64_t now = os_now();
    lock_acquire(&a->lock);
    if (c->state != REGION_LARGE || p != c->chunk.base) {
        lock_release(&a->lock);
        log_fatal(
            "sluice_free(%p): the pointer is not an object's start, or was freed before (backend "
            "region, a large object at %p)",
            p, (void *)c->chunk.base);
    }
    size_t usable = c->used;
    take_out(a, c);
    if (c->touched < usable)
        c->touched = usable;
    c->idle_since = now;
    a->large_objects--;
    uncharge(a, usable);
    insert(a, c, REGION_IDLE_LARGE, true);
    lock_release(&a->lock);
    region_announce(a, now);
    return usable;
}

bool region_large_resize(struct region_arena *a, struct region_chunk *c, size_t size)
{
    size = (size + OS_PAGE_SIZE - 1) & ~(OS_PAGE_SIZE - 1);
    if (size > c->chunk.size || size < c->chunk.size / 2)
        return false;
    lock_acquire(&a->lock);
    bool done = size <= c->used || charge(a, size - c->used);
    if (done) {
        if (size < c->used) { /* its pages are cached from now on */
            uncharge(a, c->used - size);
            c->touched = c->used > c->touched ? c->used : c->touched;
        }
        c->used = size;
    }
    lock_release(&a->lock);
    return done;
}

/* ---- Reset and purge ------------------------------------------------------------------------ */

static void make_idle(struct region_arena *a, struct region_list *list, enum region_state state,
                      uint64_t now)
{
    for (struct region_chunk *c; (c = list->first) != NULL;) {
        take_out(a, c);
        c->holes += c->rests;
        c->touched = c->used > c->touched ? c->used : c->touched;
        c->rests = c->used = 0;
        c->idle_since = now;
        /* What is warm from end to end is taken first: then a phase of the same size finds all of its pages. */
        insert(a, c, state, CHUNK_SIZE - c->touched < LEAST_ROOM);
    }
}

void region_drop_all(struct region_arena *a, uint64_t now)
{
    for (struct region_span *s; (s = a->spans) != NULL;) {
        a->spans = s->next;
        region_abandon(s->base, s->end, s->touched);
        a->record_bytes -= sizeof *s;
        meta_free(s, sizeof *s);
    }
    make_idle(a, &a->full, REGION_IDLE, now);
    make_idle(a, &a->open, REGION_IDLE, now);
    make_idle(a, &a->large, REGION_IDLE_LARGE, now);
    a->large_objects = 0;
    a->charged = 0; /* the core uncharges what a reset drops */
}

struct batch {
    struct region_chunk *chunk[PURGE_BATCH];
    size_t count;
};

static void choose(struct region_arena *a, struct region_list *list, uint64_t now, bool force,
                   struct batch *batch, uint64_t *next_due)
{
    uint64_t after = region_value(a, REGION_PURGE_AFTER);
    uint64_t keep = force ? 0 : region_value(a, REGION_RETAIN);
    /* From the back: there lie those that are taken last. */
    for (struct region_chunk *c = list->last, *before; c != NULL; c = before) {
        before = (struct region_chunk *)c->chunk.prev;
        if (batch->count == PURGE_BATCH || (!force && a->idle_bytes <= keep))
            return;
        if (!force && c->idle_since + after > now) {
            if (c->idle_since + after < *next_due)
                *next_due = c->idle_since + after;
            continue;
        }
        take_out(a, c);
        a->record_bytes -= sizeof *c;
        a->chunk_count -= c->state == REGION_IDLE;
        batch->chunk[batch->count++] = c; /* its state stays: it is counted when it is released */
    }
}

/* Pages behind what this epoch has used so far. */
static size_t purge_open(struct region_arena *a)
{
    size_t bytes = 0;
    struct region_chunk *c = a->open.first, *next;
    struct region_chunk *away = NULL;
    for (; c != NULL; c = next) {
        next = next_of(c);
        size_t from = (c->used + OS_PAGE_SIZE - 1) & ~(OS_PAGE_SIZE - 1);
        if (c->touched <= from)
            continue;
        take_out(a, c);
        c->state = REGION_AWAY;
        c->chunk.next = (struct chunk *)away;
        away = c;
    }
    while ((c = away) != NULL) {
        away = next_of(c);
        size_t from = (c->used + OS_PAGE_SIZE - 1) & ~(OS_PAGE_SIZE - 1), to = c->touched;
        lock_release(&a->lock);
        chunk_set_huge(&c->chunk, false); /* the kernel might fill the hole again */
        bool gone = os_purge(c->chunk.base + from, CHUNK_SIZE - from);
        lock_acquire(&a->lock);
        if (gone) {
            bytes += to - from;
            c->touched = from;
            c->holes = 0;
        }
        insert(a, c, REGION_OPEN, true);
    }
    return bytes;
}

size_t region_purge_idle(struct region_arena *a, uint64_t now, bool force, uint64_t *next_due)
{
    size_t bytes = 0;
    for (;;) {
        struct batch batch = {.count = 0};
        *next_due = UINT64_MAX;
        choose(a, &a->idle, now, force, &batch, next_due);
        for (unsigned bin = 0; bin < REGION_LARGE_BINS; bin++)
            choose(a, &a->idle_large[bin], now, force, &batch, next_due);
        if (batch.count == 0)
            break;
        lock_release(&a->lock);
        for (size_t i = 0; i < batch.count; i++) {
            struct region_chunk *c = batch.chunk[i];
            bytes += resident_of(c);
            chunk_release(&c->chunk, false);
        }
        lock_acquire(&a->lock);
    }
    a->purge_armed = *next_due != UINT64_MAX;
    return force ? bytes + purge_open(a) : bytes;
}

void region_announce(struct region_arena *a, uint64_t now)
{
    lock_acquire(&a->lock);
    bool armed = a->purge_armed || a->idle_bytes <= region_value(a, REGION_RETAIN);
    a->purge_armed |= !armed;
    lock_release(&a->lock);
    if (!armed)
        sluice_purge_wanted(a->owner, now + region_value(a, REGION_PURGE_AFTER));
}

static uint64_t resident_in(const struct region_list *list)
{
    uint64_t bytes = 0;
    for (const struct region_chunk *c = list->first; c != NULL; c = next_of(c))
        bytes += resident_of(c);
    return bytes;
}

uint64_t region_untouched(const char *from, const char *end)
{
    return from >= end || is_huge(region_chunk_of(end - 1)) ? 0 : (uint64_t)(end - from);
}

uint64_t region_resident(struct region_arena *a)
{
    uint64_t bytes = a->idle_bytes + a->away_bytes + resident_in(&a->open) + resident_in(&a->full) +
                     resident_in(&a->large);
    for (const struct region_span *s = a->spans; s != NULL; s = s->next)
        bytes -= region_untouched(s->touched, s->end);
    return bytes;
}

void region_release_all(struct region_arena *a)
{
    uint64_t next;
    uncharge(a, a->charged);
    region_drop_all(a, 0);
    region_purge_idle(a, 0, true, &next);
}
