/* phase_check.c - see phase_check.h. */
#include "core/phase_check.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "core/chunk.h"
#include "core/log.h"
#include "core/meta.h"
#include "core/os.h"
#include "core/pagemap.h"
#include "core/symbol.h"

#define POISON ((unsigned char)0xdb)

#define FIRST_CAPACITY ((size_t)1024)

struct object {
    uintptr_t start; /* 0: no object */
    size_t size;     /* usable bytes */
    const void *caller;
    const struct sluice_arena *arena;
};

struct watched_chunk {
    struct chunk *chunk;
    uintptr_t tag; /* of its entries in the pagemap */
};

/* Open: `objects` is a hash table by start, half full at most. Watched: `count` objects sorted by start, and behind the
 * first half of the table the chunks that they lie in. */
struct phase_watch {
    struct lock lock;
    struct object *objects;
    size_t capacity; /* a power of two */
    size_t count;
    size_t chunk_count;
    enum policy_check how; /* POLICY_CHECK_OFF: not watched */
};

_Static_assert(sizeof(struct watched_chunk) <= sizeof(struct object), "room for the chunks");

/* ASan's, where the program is built with it. */
void __asan_poison_memory_region(void const volatile *p, size_t size) __attribute__((weak));
void __asan_unpoison_memory_region(void const volatile *p, size_t size) __attribute__((weak));

/* All objects at once, as one that was freed may overlap others. */
static void tell_asan(const struct phase_watch *w, bool poisoned)
{
    if (__asan_poison_memory_region == NULL || __asan_unpoison_memory_region == NULL)
        return;
    for (size_t at = 0; at < w->count; at++) {
        const struct object *o = &w->objects[at];
        if (poisoned)
            __asan_poison_memory_region((void *)o->start, o->size);
        else
            __asan_unpoison_memory_region((void *)o->start, o->size);
    }
}

static void say_once(atomic_flag *said, const char *text)
{
    if (!atomic_flag_test_and_set(said))
        log_line(LOG_LEVEL_WARN, "%s", text);
}

static void say_no_memory(void)
{
    static atomic_flag said = ATOMIC_FLAG_INIT;
    say_once(&said, "no memory to watch what phases leave behind: some of it is not checked");
}

/* ---- Objects of an open instance ------------------------------------------------------------- */

static struct object *slot_of(const struct phase_watch *w, uintptr_t start)
{
    size_t i = (start >> 4) * 0x9E3779B97F4A7C15u >> 20 & (w->capacity - 1);
    while (w->objects[i].start != 0 && w->objects[i].start != start)
        i = (i + 1) & (w->capacity - 1);
    return &w->objects[i];
}

/* In the lock. */
static bool grow(struct phase_watch *w)
{
    struct phase_watch bigger = {.capacity = w->capacity == 0 ? FIRST_CAPACITY : 2 * w->capacity};
    if (bigger.capacity > 2 * PHASE_CHECK_OBJECTS)
        return false;
    bigger.objects = os_map(bigger.capacity * sizeof *bigger.objects, OS_PAGE_SIZE);
    if (bigger.objects == NULL)
        return false;
    for (size_t i = 0; i < w->capacity; i++)
        if (w->objects[i].start != 0)
            *slot_of(&bigger, w->objects[i].start) = w->objects[i];
    if (w->objects != NULL)
        os_unmap(w->objects, w->capacity * sizeof *w->objects);
    w->objects = bigger.objects;
    w->capacity = bigger.capacity;
    return true;
}

/* The instance's record, made when need be: by whoever comes first. */
static struct phase_watch *watch_of(struct phase_instance *i)
{
    struct phase_watch *w = atomic_load_explicit(&i->watch, memory_order_acquire);
    if (w != NULL)
        return w;
    struct phase_watch *made = meta_alloc(sizeof *made);
    if (made == NULL)
        return NULL;
    if (atomic_compare_exchange_strong_explicit(&i->watch, &w, made, memory_order_acq_rel,
                                                memory_order_acquire))
        return made;
    meta_free(made, sizeof *made);
    return w;
}

void phase_check_note(struct phase_instance *i, const struct sluice_arena *a, const void *p,
                      const void *caller)
{
    struct object o = {(uintptr_t)p, a->ops->usable_size(a->instance, p), caller, a};
    struct phase_watch *w = watch_of(i);
    bool noted = false;
    if (w != NULL) {
        lock_acquire(&w->lock);
        if (2 * (w->count + 1) <= w->capacity || grow(w)) {
            struct object *slot = slot_of(w, o.start);
            w->count += slot->start == 0;
            *slot = o;
            noted = true;
        }
        lock_release(&w->lock);
    }
    if (!noted)
        say_no_memory();
}

/* ---- From a table to a list ------------------------------------------------------------------ */

static void sift_down(struct object *heap, size_t at, size_t count)
{
    for (size_t child; (child = 2 * at + 1) < count; at = child) {
        if (child + 1 < count && heap[child].start < heap[child + 1].start)
            child++;
        if (heap[at].start >= heap[child].start)
            return;
        struct object o = heap[at];
        heap[at] = heap[child];
        heap[child] = o;
    }
}

/* In place: qsort() may call malloc(), which may be Sluice. */
static void sort(struct object *o, size_t count)
{
    for (size_t i = count / 2; i-- > 0;)
        sift_down(o, i, count);
    for (size_t left = count; left-- > 1;) {
        struct object last = o[left];
        o[left] = o[0];
        o[0] = last;
        sift_down(o, 0, left);
    }
}

/* The chunk that all of the object lies in, when it is the arena's still: one that was freed may be anybody's by now, also
 * another arena's of this instance, which may keep its own records there. */
static struct chunk *chunk_of_object(const struct object *o, uintptr_t *tag)
{
    uintptr_t entry = pagemap_lookup((void *)o->start), tags = PAGEMAP_TAGS | PAGEMAP_ENDED;
    *tag = entry & tags;
    if ((*tag & (PAGEMAP_SLABS | PAGEMAP_CHUNK | PAGEMAP_ENDED)) == 0)
        return NULL;
    struct chunk *c = (struct chunk *)(entry & ~tags);
    bool inside = c->arena == o->arena && arena_is_watched(o->arena) &&
                  o->start + o->size <= (uintptr_t)c->base + c->size;
    return inside ? c : NULL;
}

static struct watched_chunk *chunks_of(const struct phase_watch *w)
{
    return (struct watched_chunk *)&w->objects[w->capacity / 2];
}

/* Lists the objects whose memory is still their arena's, and the chunks that they lie in. */
static void list(struct phase_watch *w)
{
    size_t count = 0;
    for (size_t at = 0; at < w->capacity; at++)
        if (w->objects[at].start != 0)
            w->objects[count++] = w->objects[at];
    sort(w->objects, count);
    w->count = w->chunk_count = 0;
    for (size_t at = 0; at < count; at++) {
        struct object o = w->objects[at];
        uintptr_t tag;
        struct chunk *c = chunk_of_object(&o, &tag);
        if (c == NULL)
            continue;
        w->objects[w->count++] = o;
        if (w->chunk_count == 0 || chunks_of(w)[w->chunk_count - 1].chunk != c)
            chunks_of(w)[w->chunk_count++] = (struct watched_chunk){c, tag};
    }
}

/* ---- Watching -------------------------------------------------------------------------------- */

static void poison(struct phase_watch *w)
{
    for (size_t at = 0; at < w->count; at++)
        memset((void *)w->objects[at].start, POISON, w->objects[at].size);
    tell_asan(w, true);
}

/* Takes the right of access from what it can; chunks that stay as they are leave the list. */
static void protect(struct phase_watch *w)
{
    struct watched_chunk *chunks = chunks_of(w);
    size_t kept = 0;
    for (size_t n = 0; n < w->chunk_count; n++) {
        struct chunk *c = chunks[n].chunk;
        if (!os_protect(c->base, c->size, false)) {
            static atomic_flag said = ATOMIC_FLAG_INIT;
            say_once(
                &said,
                "check: protect: the kernel refuses to protect more (it has too many mappings, "
                "see vm.max_map_count): some memory of ended phases is not checked");
            continue;
        }
        os_purge(c->base, c->size); /* nobody will read it */
        chunks[kept++] = chunks[n];
    }
    w->chunk_count = kept;
}

void phase_check_watch(struct phase_instance *i)
{
    struct phase_watch *w = atomic_load_explicit(&i->watch, memory_order_relaxed);
    if (w == NULL)
        return;
    list(w);
    if (i->check == POLICY_CHECK_PROTECT)
        protect(w);
    else
        poison(w);
    w->how = i->check;
    for (size_t n = 0; n < w->chunk_count; n++) {
        struct chunk *c = chunks_of(w)[n].chunk;
        pagemap_set(c->base, c->size, (uintptr_t)c | PAGEMAP_ENDED);
    }
}

/* ---- Reports --------------------------------------------------------------------------------- */

/* The last object that starts at or before the address, or NULL. */
static const struct object *object_before(const struct phase_watch *w, uintptr_t address)
{
    size_t low = 0, high = w->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (w->objects[middle].start <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low == 0 ? NULL : &w->objects[low - 1];
}

/* Not on the stack: a signal handler may have little of it. One report at a time, unless another takes far too long: in
 * the child of a fork nobody may be there to finish it. */
static atomic_flag reporting = ATOMIC_FLAG_INIT;
#define REPORT_PATIENCE 10000000u /* turns of a loop: some tenths of a second */
static char report_text[2048], report_from[SYMBOL_TEXT_SIZE];

static void report(const char *what, const struct phase_instance *i, const struct module *m,
                   const struct object *o, uintptr_t address)
{
    for (unsigned n = 0;
         atomic_flag_test_and_set_explicit(&reporting, memory_order_acquire) && n < REPORT_PATIENCE;
         n++)
        cpu_relax();
    uint64_t us = (os_now() - i->ended_at) / 1000;
    int n = snprintf(
        report_text, sizeof report_text,
        "%s memory of a phase that has ended: address %p, module \"%s\", phase \"%s\", "
        "instance #%llu, which ended %llu.%06llu s ago\n",
        what, (void *)address, m->name, phase_kind_name(i->kind), (unsigned long long)i->number,
        (unsigned long long)(us / 1000000), (unsigned long long)(us % 1000000));
    if (o != NULL && address - o->start < o->size) {
        symbol_describe(o->caller, report_from, sizeof report_from);
        snprintf(report_text + n, sizeof report_text - (size_t)n,
                 "the address is byte %zu of an object of %zu bytes at %p, allocated from %s",
                 (size_t)(address - o->start), o->size, (void *)o->start, report_from);
    } else {
        snprintf(report_text + n, sizeof report_text - (size_t)n,
                 "the address is in no object of the instance");
    }
    log_text(report_text);
    atomic_flag_clear_explicit(&reporting, memory_order_release);
}

bool phase_check_explain(const void *address, const char *access)
{
    uintptr_t entry = pagemap_lookup(address);
    if ((entry & (PAGEMAP_TAGS | PAGEMAP_ENDED)) != PAGEMAP_ENDED)
        return false;
    const struct chunk *c = (const struct chunk *)(entry - PAGEMAP_ENDED);
    const struct phase_instance *i = c->arena->phase;
    struct phase_watch *w = atomic_load_explicit(&i->watch, memory_order_acquire);
    if (w == NULL || w->how != POLICY_CHECK_PROTECT)
        return false;
    report(access, i, c->arena->module, object_before(w, (uintptr_t)address), (uintptr_t)address);
    return true;
}

/* ---- Looking --------------------------------------------------------------------------------- */

/* The first byte that is not as it was left, or NULL. */
static const unsigned char *changed_byte(const struct object *o)
{
    const unsigned char *p = (const unsigned char *)o->start;
    if (o->size == 0 || (*p == POISON && memcmp(p, p + 1, o->size - 1) == 0))
        return NULL;
    while (*p == POISON)
        p++;
    return p;
}

/* `again`: it is watched further. */
static size_t look(struct phase_instance *i, struct phase_watch *w, bool again)
{
    size_t found = 0;
    tell_asan(w, false);
    for (size_t at = 0; at < w->count; at++) {
        const struct object *o = &w->objects[at];
        const unsigned char *p = changed_byte(o);
        if (p == NULL)
            continue;
        uintptr_t entry = pagemap_lookup(p);
        const struct chunk *c = (const struct chunk *)(entry - PAGEMAP_ENDED);
        report("write to", i, c->arena->module, o, (uintptr_t)p);
        memset((void *)o->start, POISON, o->size); /* said once, also where objects overlap */
        found++;
    }
    if (again)
        tell_asan(w, true);
    return found;
}

size_t phase_check_look(struct phase_instance *i)
{
    struct phase_watch *w = atomic_load_explicit(&i->watch, memory_order_relaxed);
    return w != NULL && w->how == POLICY_CHECK_POISON ? look(i, w, true) : 0;
}

/* ---- The end of the watch -------------------------------------------------------------------- */

static bool make_accessible(const struct phase_watch *w)
{
    for (size_t n = 0; n < w->chunk_count; n++) {
        const struct chunk *c = chunks_of(w)[n].chunk;
        if (!os_protect(c->base, c->size, true))
            return false;
    }
    return true;
}

static void stop(struct phase_watch *w)
{
    for (size_t n = 0; n < w->chunk_count; n++) {
        struct watched_chunk *at = &chunks_of(w)[n];
        if (!os_purge(at->chunk->base, at->chunk->size)) /* locked in memory: zero must do */
            memset(at->chunk->base, 0, at->chunk->size);
        pagemap_set(at->chunk->base, at->chunk->size, (uintptr_t)at->chunk | at->tag);
    }
    w->how = POLICY_CHECK_OFF;
    memset(w->objects, 0, w->capacity * sizeof *w->objects);
    w->count = w->chunk_count = 0;
}

bool phase_check_release(struct phase_instance *i)
{
    struct phase_watch *w = atomic_load_explicit(&i->watch, memory_order_relaxed);
    if (w != NULL && w->how != POLICY_CHECK_OFF) {
        if (w->how == POLICY_CHECK_PROTECT && !make_accessible(w))
            return false;
        if (w->how == POLICY_CHECK_POISON)
            look(i, w, false);
        stop(w);
    }
    for (struct phase_arena *p = i->arenas; p != NULL; p = p->next)
        arena_unwatch(p->arena);
    return true;
}
