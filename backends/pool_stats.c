/* pool_stats.c - what the pool holds: sums over slabs and magazines. They are exact when no thread is busy. */
#include "backends/pool.h"

#include "core/os.h"

/* Adds what magazines hold and have counted. In the lock. Not exact while threads are busy, as slabs are not. */
struct magazine_sums {
    uint64_t allocs, frees, kept_bytes;
};

static void add_magazines(const struct pool_arena *a, struct magazine_sums *sums)
{
    for (const struct pool_heap *h = a->heaps; h != NULL; h = h->next)
        for (uint64_t used = h->used; used != 0; used &= used - 1) {
            unsigned k = (unsigned)__builtin_ctzll(used);
            const struct magazine *m = &h->fast.magazine[k];
            uint64_t allocs = count_load(&m->allocs), frees = magazine_frees(m);
            if (h->epoch != a->epoch)
                frees = allocs;
            sums->allocs += allocs;
            sums->frees += frees;
            if ((int64_t)(frees - allocs) > 0)
                sums->kept_bytes += (frees - allocs) * size_class_bytes[k];
        }
}

static uint64_t less(uint64_t from, uint64_t what)
{
    return from > what ? from - what : 0;
}

/* A total that was added up while threads were busy: objects may have been on their way from slabs to magazines. */
static uint64_t total(uint64_t sum)
{
    return (int64_t)sum > 0 ? sum : 0;
}

uint64_t pool_live_bytes(void *arena)
{
    struct pool_arena *a = arena;
    uint64_t bytes = 0;
    struct magazine_sums in = {0};
    lock_acquire(&a->lock);
    pool_renew_chunks(a);
    for (int free = 0; free < SLAB_PIECES; free++)
        for (struct slab_chunk *c = a->by_free[free]; c != NULL;
             c = (struct slab_chunk *)c->chunk.next)
            for (uint32_t used = ~c->free_pieces; used != 0; used &= used - 1) {
                unsigned i = (unsigned)__builtin_ctz(used);
                if (slab_is_head(c, i))
                    bytes += slab_live(&c->slab[i]) * c->slab[i].object_size;
            }
    add_magazines(a, &in);
    lock_release(&a->lock);
    return less(bytes, in.kept_bytes);
}

void pool_stats(void *arena, struct sluice_backend_stats *out)
{
    struct pool_arena *a = arena;
    bool huge_works = os_huge_available();
    uint64_t resident = 0;
    lock_acquire(&a->lock);
    pool_renew_chunks(a);
    out->allocated_objects = a->past_allocs;
    out->freed_objects = a->past_frees;
    for (int free = 0; free <= SLAB_PIECES; free++)
        for (struct slab_chunk *c = a->by_free[free]; c != NULL;
             c = (struct slab_chunk *)c->chunk.next) {
            uint64_t in_chunk = (uint64_t)__builtin_popcount(c->dirty_pieces) * SLAB_PIECE_SIZE;
            for (unsigned i = 0; i < SLAB_PIECES; i++) {
                const struct slab *s = &c->slab[i];
                if ((c->dirty_pieces >> i & 1) != 0)
                    in_chunk -= s->away_bytes;
                if (!slab_is_head(c, i) || (c->free_pieces >> i & 1) != 0 || s->object_size == 0)
                    continue;
                uint64_t allocs = count_load(&s->allocs), live = slab_live(s);
                out->allocated_objects += allocs;
                out->freed_objects += allocs - live;
                out->live_bytes += live * s->object_size;
                in_chunk += slab_touched(s) - pool_pages_away(s);
            }
            bool huge = atomic_load_explicit(&c->chunk.huge, memory_order_relaxed) && huge_works;
            resident += huge && in_chunk > 0 ? CHUNK_SIZE : in_chunk;
        }
    struct magazine_sums in = {0};
    add_magazines(a, &in);
    out->allocated_objects = total(out->allocated_objects + in.allocs);
    out->freed_objects = total(out->freed_objects + in.frees);
    out->live_objects = less(out->allocated_objects, out->freed_objects);
    out->live_bytes = less(out->live_bytes, in.kept_bytes);
    out->metadata_bytes = sizeof *a + a->heap_bytes + a->chunk_count * sizeof(struct slab_chunk) +
                          2 * a->room * sizeof *a->used;
    lock_release(&a->lock);
    out->cached_bytes = resident > out->live_bytes ? resident - out->live_bytes : 0;
}
