/* pool_purge.c - memory of the pool on its way back to the system, also from threads that sleep.
 *
 * A look at all magazines finds those that hold objects and are at rest; a look at all slabs those that are empty and at rest,
 * and those at rest whose large objects have pages inside (pool_pages.c). Each thread that owns some is held and asked to
 * flush them; orphans are nobody's and are done here. Then free pieces that are old enough lose their pages. docs/decisions/purge-by-look.md says why it is a look. */
#include "backends/pool.h"

#include "core/arena.h"
#include "core/os.h"
#include "core/thread.h"

/* A count of what was done to the slab: it stands still while the slab is at rest. */
static uint64_t slab_movement(const struct slab *s)
{
    return count_load(&s->allocs) + count_load(&s->frees) + slab_remote_count(s);
}

/* The same of a magazine. */
static uint64_t magazine_movement(const struct magazine *m)
{
    return magazine_frees(m) + count_load(&m->allocs);
}

/* The magazines of this thread that purge() found at rest. */
static void flush_magazines(struct pool_heap *h, uint32_t long_ago)
{
    for (; h->idle != 0; h->idle &= h->idle - 1) {
        unsigned k = (unsigned)__builtin_ctzll(h->idle);
        struct magazine *m = &h->fast.magazine[k];
        if (magazine_movement(m) == h->of[k].seen)
            pool_empty_magazine(h, m, long_ago);
    }
}

/* A slab may be another's since it was found, or none: then its piece may be a later one of another slab. */
static bool is_of(const struct pool_heap *h, const struct slab *s)
{
    const struct slab_chunk *c = slab_chunk_of(s);
    return slab_owner(s) == h->token && c->chunk.arena == h->arena->owner &&
           slab_is_head(c, s->index);
}

/* Gives back the slabs of this thread that purge() found empty, and the pages inside the free objects of those that it found
 * at rest. They may have been used since, or given back, or be another's: looked at again. The thread is held, so what is its own stays so. */
void pool_thread_flush(void *arena, void *thread_state)
{
    struct pool_arena *a = arena;
    struct pool_heap *h = thread_state;
    uint32_t long_ago =
        pool_ms(os_now() - pool_value(a, POOL_PURGE_AFTER)); /* it has been at rest */
    flush_magazines(h, long_ago);
    for (size_t i = 0; i < a->flush_count; i++) {
        struct slab *s = a->flush[i];
        if (s == NULL || !is_of(h, s))
            continue;
        a->flush[i] = NULL;
        bool at_rest = slab_movement(s) == s->seen;
        slab_collect(s);
        if (slab_used(s) == 0) {
            pool_leave_slab(h, s, s->state == SLAB_RESERVE ? s->since_ms : long_ago);
            continue;
        }
        if (s->state == SLAB_FULL && s->free != NULL)
            pool_slab_has_room(h, s);
        if (at_rest && pool_objects_with_pages(s) > 0)
            pool_purge_inside(s);
    }
}

#define FLUSH_BATCH 1024

/* So many free objects may lose their pages in one go: each is a system call, while which the thread is held. */
#define INSIDE_BATCH 512

#define ROUNDS 64 /* of one purge; the rest is for the next */

struct look {
    struct slab *found[FLUSH_BATCH];
    size_t count;
    size_t inside;               /* free objects in those that keep some */
    uintptr_t idle[FLUSH_BATCH]; /* threads whose magazines are flushed */
    size_t idle_count;
    struct slab *orphans; /* by next: those with pages inside free objects, off the arena's lists */
    uint32_t now_ms, age_ms;
    bool force;
    bool purges_inside;
    bool moved;      /* some counter has changed since the last look */
    bool look_again; /* something is empty, but was in use until just now; or the batch is full */
};

/* A thread that is interrupted inside a section keeps us waiting for its next turn: only those that must be held are. */
static bool owns_found(const struct thread *t, void *arg)
{
    const struct look *look = arg;
    for (size_t i = 0; i < look->idle_count; i++)
        if (look->idle[i] == (uintptr_t)t)
            return true;
    for (size_t i = 0; i < look->count; i++)
        if (look->found[i] != NULL && slab_owner(look->found[i]) == (uintptr_t)t)
            return true;
    return false;
}

/* Has nothing moved in the slab since the last look? In the lock. */
static bool is_at_rest(struct slab *s, struct look *look)
{
    uint64_t now = slab_movement(s);
    bool at_rest = now == s->seen;
    look->moved |= !at_rest;
    at_rest |= look->force && s->seen == 0; /* never looked at */
    s->seen = now;
    if (!at_rest && slab_live(s) != 0)
        s->since_ms = look->now_ms;
    return at_rest;
}

/* Bytes that stay resident, however long they are free. */
static uint64_t kept_warm(const struct pool_arena *a)
{
    uint64_t retain = pool_value(a, POOL_RETAIN), preallocated = pool_value(a, POOL_PREALLOCATE);
    return retain > preallocated ? retain : preallocated;
}

/* May pages inside free objects go at all? Not in an arena of a phase, where all goes at once; and not of an arena that is no
 * larger than what stays warm. In the lock. */
static bool purges_inside(const struct pool_arena *a, bool force)
{
    return a->owner->phase == NULL && (force || a->chunk_count * CHUNK_SIZE > kept_warm(a));
}

/* How many of its free objects shall lose their pages: each costs a system call, and a fault when it is used again. So even
 * who wants everything back does not get them from a slab that is in use. */
static unsigned gives_pages(const struct slab *s, const struct look *look, bool at_rest)
{
    if (!look->purges_inside || !at_rest ||
        (!look->force && look->now_ms - s->since_ms < look->age_ms))
        return 0;
    unsigned n = pool_objects_with_pages(s);
    return n > 0 && pool_chunk_gives_pages(slab_chunk_of(s)) ? n : 0;
}

/* In the lock: an orphan of which nobody allocates leaves the arena's list. */
static void take_orphan(struct pool_arena *a, struct slab *s)
{
    slab_list_remove(&a->orphans[s->size_class], s);
    a->orphan_count[s->size_class]--;
}

/* For later, in or out of its thread's hands. `inside`: objects that lose their pages; 0: the slab is empty. */
static void note_found(struct pool_arena *a, struct slab *s, unsigned inside, struct look *look)
{
    if (look->count == FLUSH_BATCH || look->inside >= INSIDE_BATCH) {
        look->look_again = true;
        return;
    }
    look->inside += inside;
    if (slab_owner(s) != SLAB_ORPHAN) {
        look->found[look->count++] = s;
        return;
    }
    if (s->state == SLAB_AWAY)
        return; /* met twice, as chunks move between lists while we walk along them */
    take_orphan(a, s);
    s->state = SLAB_AWAY;
    s->next = look->orphans;
    look->orphans = s;
}

static void look_at(struct pool_arena *a, struct slab *s, uint32_t freed_ms, struct look *look)
{
    bool at_rest = is_at_rest(s, look);
    if (slab_live(s) != 0) {
        unsigned inside = gives_pages(s, look, at_rest);
        if (inside > 0)
            note_found(a, s, inside, look);
        return;
    }
    look->look_again |= !at_rest;
    if (!at_rest && !look->force)
        return;
    if (slab_owner(s) != SLAB_ORPHAN) {
        note_found(a, s, 0, look);
        return;
    }
    take_orphan(a, s);
    slab_collect(s);
    size_t bytes = slab_bytes(s);
    pool_give_pieces(a, s, freed_ms);
    sluice_arena_uncharge(a->owner, bytes);
}

/* Orphans that were taken off the list get back to it, less their pages. */
static void purge_orphans(struct pool_arena *a, struct look *look)
{
    for (struct slab *s = look->orphans; s != NULL; s = s->next) {
        slab_collect(s);
        pool_purge_inside(s);
    }
    lock_acquire(&a->lock);
    while (look->orphans != NULL) {
        struct slab *s = look->orphans;
        look->orphans = s->next;
        s->state = SLAB_LOST;
        slab_list_push(&a->orphans[s->size_class], s);
        a->orphan_count[s->size_class]++;
    }
    lock_release(&a->lock);
}

/* Finds the slabs that pool_thread_flush() shall give back, and gives back orphans that are empty. In the lock. */
static void find_idle(struct pool_arena *a, uint32_t freed_ms, struct look *look)
{
    for (int free = 0; free < SLAB_PIECES; free++)
        for (struct slab_chunk *c = a->by_free[free], *next; c != NULL; c = next) {
            next = (struct slab_chunk *)c->chunk.next;
            uint32_t used = ~(c->free_pieces | c->away_pieces);
            for (; used != 0; used &= used - 1) {
                unsigned i = (unsigned)__builtin_ctz(used);
                if (slab_is_head(c, i) && c->slab[i].object_size != 0)
                    look_at(a, &c->slab[i], freed_ms, look);
            }
        }
}

/* Finds the magazines that pool_thread_flush() shall empty. In the lock. */
static void find_idle_magazines(const struct pool_arena *a, struct look *look)
{
    for (struct pool_heap *h = a->heaps; h != NULL; h = h->next) {
        h->idle = 0;
        if (h->epoch != a->epoch)
            continue; /* what they hold went with a reset */
        for (uint64_t used = h->used; used != 0; used &= used - 1) {
            unsigned k = (unsigned)__builtin_ctzll(used);
            const struct magazine *m = &h->fast.magazine[k];
            uint64_t now = magazine_movement(m);
            bool at_rest = now == h->of[k].seen;
            look->moved |= !at_rest;
            h->of[k].seen = now;
            if ((int64_t)magazine_kept(m) <= 0)
                continue;
            if (at_rest || look->force)
                h->idle |= (uint64_t)1 << k;
            else
                look->look_again = true;
        }
        if (h->idle == 0)
            continue;
        if (look->idle_count < FLUSH_BATCH)
            look->idle[look->idle_count++] = h->token;
        else
            look->look_again = true;
    }
}

/* Takes back what idle threads hold. Returns when to look again, from now, or UINT64_MAX. */
static uint64_t flush_idle(struct pool_arena *a, uint64_t now, bool force)
{
    struct look look;
    bool moved = false, idle_full = false;
    size_t taken;
    unsigned rounds = 0;
    do {
        look.count = look.inside = 0;
        look.orphans = NULL;
        look.now_ms = pool_ms(now);
        look.age_ms = (uint32_t)(pool_value(a, POOL_PURGE_AFTER) / 1000000);
        look.force = force;
        look.moved = look.look_again = false;
        lock_acquire(&a->lock);
        look.purges_inside = purges_inside(a, force);
        look.idle_count = 0;
        if (rounds == 0 || idle_full)
            find_idle_magazines(a, &look);
        idle_full =
            force && look.idle_count == FLUSH_BATCH; /* those that are flushed have none then */
        find_idle(a, pool_ms(now - pool_value(a, POOL_PURGE_AFTER)), &look);
        bool in_use = a->chunk_count > 0;
        lock_release(&a->lock);
        moved |= look.moved;
        taken = look.orphans != NULL;
        if (taken > 0)
            purge_orphans(a, &look);
        if (look.count > 0 || look.idle_count > 0) {
            a->flush = look.found;
            a->flush_count = look.count;
            arena_flush_threads(a->owner, owns_found, &look);
            for (size_t i = 0; i < look.count; i++)
                taken += look.found[i] == NULL;
            a->flush = NULL;
            a->flush_count = 0;
        }
        if (!in_use)
            return UINT64_MAX;
    } while (
        (idle_full || ((look.count == FLUSH_BATCH || look.inside >= INSIDE_BATCH) && taken > 0)) &&
        ++rounds < ROUNDS);
    /* While memory is in use, others may free it without telling us: look again and again, but the more seldom the
     * longer nothing moves. */
    a->rests = moved || look.look_again ? 0 : a->rests < 4 ? a->rests + 1 : 4;
    uint64_t every = pool_value(a, POOL_PURGE_AFTER) / 2;
    return (every < 50000000 ? 50000000 : every) << a->rests;
}

size_t pool_purge(void *arena, uint64_t now, unsigned flags, uint64_t *next_due)
{
    struct pool_arena *a = arena;
    bool force = (flags & SLUICE_PURGE_FORCE) != 0;
    uint64_t after = pool_value(a, POOL_PURGE_AFTER);
    atomic_store_explicit(&a->purge_at, UINT64_MAX, memory_order_relaxed);
    uint64_t look_in = flush_idle(a, now, force);
    uint32_t now_ms = pool_ms(now), next_ms = 0;
    lock_acquire(&a->lock);
    if (force)
        a->trimmed_ms = now_ms;
    pool_renew_chunks(a);
    size_t bytes = pool_purge_chunks(a, now_ms, force ? 0 : (uint32_t)(after / 1000000),
                                     force ? 0 : kept_warm(a), &next_ms);
    lock_release(&a->lock);
    uint64_t due = look_in == UINT64_MAX ? UINT64_MAX : now + look_in;
    if (next_ms != 0 && (int32_t)(next_ms - now_ms) >= 0 &&
        now + (uint64_t)(next_ms - now_ms) * 1000000 < due)
        due = now + (uint64_t)(next_ms - now_ms) * 1000000;
    if (due < atomic_load_explicit(&a->purge_at, memory_order_relaxed))
        atomic_store_explicit(&a->purge_at, due, memory_order_relaxed);
    *next_due = due;
    return bytes;
}
