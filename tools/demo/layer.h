/* layer.h - the demo's one way to memory: the same program on plain glibc and on Sluice.
 *
 * Each call names a module (who asks) and a size. One global, set before the first allocation, says
 * where it goes: to malloc() and free(), and then no function of Sluice is ever called, or to
 * sluice_malloc() and sluice_free(). Frees carry the size, so that each thread can count what the
 * program holds - bytes requested and not freed - in a counter of its own. An object may be freed
 * by another thread than its maker: single counters go below zero, their sum does not.
 *
 * A call that gets no memory ends the process with a message: a demo has nothing to unwind.
 */
#ifndef SLUICE_TOOLS_DEMO_LAYER_H
#define SLUICE_TOOLS_DEMO_LAYER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <sluice/sluice.h>

enum demo_module {
    DEMO_BLOCKPOOL, /* the 2 MiB blocks of the global pool */
    DEMO_FRAMES,    /* 100 KiB requests, which the pool does not serve */
    DEMO_TABLES,    /* nodes of hash tables and B-trees */
    DEMO_LONGLIVED, /* what outlives its stage */
    DEMO_READER,    /* text of files */
    DEMO_INDEX,     /* the inverted index */
    DEMO_CACHE,     /* results of queries */
    DEMO_MODULE_COUNT
};

#define LAYER_MAX_THREADS 256

struct layer_counter {
    int64_t live;
} __attribute__((aligned(64)));

extern bool layer_uses_sluice;
extern bool layer_drops; /* frees of this moment are left to layer_stage_end() */
extern sluice_module layer_ids[DEMO_MODULE_COUNT];
extern __thread struct layer_counter *layer_counter;

/* Sends allocations to malloc() when policy is NULL, else to Sluice with that policy (YAML text).
 * Call it once, before the first allocation and the first thread. false: the policy was refused;
 * the reason is on standard error. */
bool layer_start(const char *policy);

/* Gives this thread its counter. Each thread has an index of its own below LAYER_MAX_THREADS; the
 * first thread, which is 0, needs no call. */
void layer_thread(unsigned index);

/* A stage begins; and it is over. Where the policy has a phase `stage`, what its modules (blockpool, frames, tables) allocate
 * between the two lives in an instance of it: from layer_stage_over() on demo_free() only counts, and layer_stage_end() is
 * where memory goes. Else these do nothing. No other thread is at work. */
void layer_stage_begin(void);
void layer_stage_over(void);
void layer_stage_end(void);

/* Bytes requested and not freed. Exact when no other thread is allocating. */
uint64_t layer_live_bytes(void);

const char *layer_module_name(enum demo_module module);

/* What Sluice says that a module holds. false on plain malloc, which cannot tell. */
struct layer_holding {
    uint64_t live, cached, resident; /* bytes */
};
bool layer_holding(enum demo_module module, struct layer_holding *out);

_Noreturn void layer_out_of_memory(enum demo_module module, size_t size);

static inline void *demo_alloc(enum demo_module module, size_t size)
{
    void *p = layer_uses_sluice ? sluice_malloc(layer_ids[module], size) : malloc(size);
    if (__builtin_expect(p == NULL, 0))
        layer_out_of_memory(module, size);
    layer_counter->live += (int64_t)size;
    return p;
}

static inline void *demo_calloc(enum demo_module module, size_t size)
{
    void *p = layer_uses_sluice ? sluice_calloc(layer_ids[module], 1, size) : calloc(1, size);
    if (__builtin_expect(p == NULL, 0))
        layer_out_of_memory(module, size);
    layer_counter->live += (int64_t)size;
    return p;
}

/* Of what outlives its stage; size as for demo_free(). */
static inline void demo_free_longlived(void *p, size_t size)
{
    if (p == NULL)
        return;
    if (layer_uses_sluice)
        sluice_free(p);
    else
        free(p);
    layer_counter->live -= (int64_t)size;
}

/* size: what was asked for at p; ignored for NULL, which does nothing. */
static inline void demo_free(void *p, size_t size)
{
    if (!layer_drops)
        demo_free_longlived(p, size);
    else if (p != NULL)
        layer_counter->live -= (int64_t)size;
}

/* p may be NULL, with old_size 0. new_size is not 0. */
static inline void *demo_realloc(enum demo_module module, void *p, size_t old_size, size_t new_size)
{
    void *q =
        layer_uses_sluice ? sluice_realloc(layer_ids[module], p, new_size) : realloc(p, new_size);
    if (__builtin_expect(q == NULL, 0))
        layer_out_of_memory(module, new_size);
    layer_counter->live += (int64_t)new_size - (int64_t)old_size;
    return q;
}

#endif
