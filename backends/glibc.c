/* glibc.c - the backend `glibc`: the C library's own malloc.
 *
 * There is one heap for the whole process, shared by all arenas of this kind and by whatever else
 * calls malloc. So an arena is no more than its numbers, and what glibc keeps free (libc_free_bytes) has
 * to be shared out among them:
 *
 *     leftover of an arena  =  the most that it ever had  -  what it has now
 *     its cached bytes      =  glibc's free bytes in proportion to the leftovers, but never more
 *                              than its leftover: the rest is of others who call malloc
 *
 * A trim lowers each arena's "most" by its part of what the system got back.
 *
 * A thread counts in its thread_state slot (two numbers, not a pointer) and tells the arena when
 * PUBLISH_BYTES have come together: most calls touch no shared counter.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <sluice/backend.h>

#include "backends/builtin.h"
#include "backends/glibc_libc.h"
#include "core/header.h"
#include "core/lock.h"
#include "core/os.h"

#define PUBLISH_BYTES   (64 * 1024)
#define PUBLISH_OBJECTS (1 << 20)

/* glibc's own alignment; more costs a larger chunk. */
#define NATURAL_ALIGNMENT 16

/* What an object costs beyond its bytes: the size field of glibc's chunk. (The core counts its header.) */
#define OBJECT_OVERHEAD 8

/* A larger request is an error before glibc sees it: memalign may wrap. */
#define SIZE_TOO_LARGE ((size_t)1 << 47)

struct glibc_arena {
    struct glibc_arena *next, *prev;
    /* As far as threads have told: */
    _Atomic int64_t live; /* usable bytes */
    _Atomic int64_t most; /* the largest `live`, less what trims gave back */
    _Atomic int64_t objects;
};

/* What a thread_state slot holds. */
union untold {
    void *slot;
    struct {
        int32_t bytes, objects;
    } n;
};
_Static_assert(sizeof(union untold) == sizeof(void *), "fits the slot");

static struct lock list_lock;
static struct glibc_arena *arenas;

/* ---- Counting -------------------------------------------------------------------------------- */

static void publish(struct glibc_arena *a, int64_t bytes, int64_t objects)
{
    int64_t live = atomic_fetch_add_explicit(&a->live, bytes, memory_order_relaxed) + bytes;
    int64_t most = atomic_load_explicit(&a->most, memory_order_relaxed);
    while (live > most && !atomic_compare_exchange_weak_explicit(
                              &a->most, &most, live, memory_order_relaxed, memory_order_relaxed))
        ;
    atomic_fetch_add_explicit(&a->objects, objects, memory_order_relaxed);
}

static void count(struct glibc_arena *a, void **thread_state, int64_t bytes, int objects)
{
    union untold untold = {.slot = *thread_state};
    int64_t sum = untold.n.bytes + bytes;
    untold.n.objects += objects;
    if (sum >= PUBLISH_BYTES || sum <= -PUBLISH_BYTES || untold.n.objects >= PUBLISH_OBJECTS ||
        untold.n.objects <= -PUBLISH_OBJECTS) {
        publish(a, sum, untold.n.objects);
        untold.slot = NULL;
    } else {
        untold.n.bytes = (int32_t)sum;
    }
    *thread_state = untold.slot;
}

static void thread_end(void *arena, void *thread_state)
{
    union untold untold = {.slot = thread_state};
    publish(arena, untold.n.bytes, untold.n.objects);
}

/* ---- Arenas ---------------------------------------------------------------------------------- */

static enum sluice_result create(const struct sluice_arena_config *config, void **arena)
{
    (void)config;
    struct glibc_arena *a = sluice_metadata_alloc(sizeof *a);
    if (a == NULL)
        return SLUICE_ERROR_NO_MEMORY;
    lock_acquire(&list_lock);
    a->next = arenas;
    if (a->next != NULL)
        a->next->prev = a;
    arenas = a;
    lock_release(&list_lock);
    *arena = a;
    return SLUICE_OK;
}

static void destroy(void *arena)
{
    struct glibc_arena *a = arena;
    lock_acquire(&list_lock);
    if (a->next != NULL)
        a->next->prev = a->prev;
    if (a->prev != NULL)
        a->prev->next = a->next;
    else
        arenas = a->next;
    lock_release(&list_lock);
    sluice_metadata_free(a, sizeof *a);
}

static enum sluice_result configure(void *arena, const struct sluice_arena_config *config)
{
    (void)arena;
    (void)config;
    return SLUICE_OK; /* there is nothing to set: process.mallopt is for the process */
}

/* ---- Objects --------------------------------------------------------------------------------- */

static void *alloc(void *arena, void **thread_state, size_t size, size_t alignment, unsigned flags,
                   size_t *usable)
{
    void *p;
    if (size >= SIZE_TOO_LARGE)
        return NULL;
    if (alignment > NATURAL_ALIGNMENT) {
        p = libc_aligned_alloc(alignment, size);
        if (p != NULL && (flags & SLUICE_ALLOC_ZERO))
            memset(p, 0, size);
    } else {
        p = flags & SLUICE_ALLOC_ZERO ? libc_calloc(size) : libc_malloc(size);
    }
    if (p == NULL)
        return NULL;
    *usable = libc_usable_size(p);
    count(arena, thread_state, (int64_t)*usable, 1);
    return p;
}

static size_t free_object(void *arena, void **thread_state, void *p)
{
    size_t usable = libc_usable_size(p);
    libc_free(p);
    count(arena, thread_state, -(int64_t)usable, -1);
    return usable;
}

static void *resize(void *arena, void **thread_state, void *p, size_t size, size_t *usable)
{
    if (size >= SIZE_TOO_LARGE)
        return NULL;
    size_t had = libc_usable_size(p);
    void *moved = libc_realloc(p, size == 0 ? 1 : size); /* 0 would free */
    if (moved == NULL)
        return NULL;
    *usable = libc_usable_size(moved);
    count(arena, thread_state, (int64_t)*usable - (int64_t)had, 0);
    return moved;
}

static size_t usable_size(void *arena, const void *p)
{
    (void)arena;
    return libc_usable_size((void *)(uintptr_t)p);
}

/* ---- Numbers, and giving back ---------------------------------------------------------------- */

static int64_t leftover(const struct glibc_arena *a)
{
    int64_t live = atomic_load_explicit(&a->live, memory_order_relaxed);
    int64_t most = atomic_load_explicit(&a->most, memory_order_relaxed);
    return most > live ? most - live : 0;
}

/* Leftovers of all arenas. In list_lock. */
static int64_t sum_leftovers(void)
{
    int64_t sum = 0;
    for (const struct glibc_arena *a = arenas; a != NULL; a = a->next)
        sum += leftover(a);
    return sum;
}

static void stats(void *arena, struct sluice_backend_stats *out)
{
    struct glibc_arena *a = arena;
    int64_t free_bytes = (int64_t)libc_free_bytes();
    lock_acquire(&list_lock);
    int64_t all = sum_leftovers(), mine = leftover(a);
    lock_release(&list_lock);
    if (all > free_bytes)
        mine = (int64_t)((double)mine / (double)all * (double)free_bytes);
    int64_t objects = atomic_load_explicit(&a->objects, memory_order_relaxed);
    out->cached_bytes = (uint64_t)mine;
    out->metadata_bytes = sizeof *a + (objects > 0 ? (uint64_t)objects * OBJECT_OVERHEAD : 0);
}

/* Resident bytes of the process; 0 when they cannot be read. */
static int64_t resident_bytes(void)
{
    char text[128];
    int saved = errno;
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    ssize_t length = 0;
    if (fd >= 0) {
        length = read(fd, text, sizeof text - 1);
        close(fd);
    }
    errno = saved;
    text[length > 0 ? length : 0] = '\0';
    /* "TOTAL RESIDENT ...", in pages */
    const char *second = strchr(text, ' ');
    int64_t pages = 0;
    for (second = second == NULL ? text : second + 1; *second >= '0' && *second <= '9'; second++)
        pages = pages * 10 + (*second - '0');
    return pages * (int64_t)OS_PAGE_SIZE;
}

/* The whole heap is trimmed, whichever arena asks; so when nothing was freed since, it is not done
 * again. It takes each lock of glibc in turn and looks at every free chunk: only where it is asked
 * for (FORCE), never on a schedule. */
static size_t purge(void *arena, uint64_t now, unsigned flags, uint64_t *next_due)
{
    static int64_t trimmed_at; /* sum of leftovers after the last trim */
    (void)arena;
    (void)now;
    *next_due = UINT64_MAX;
    if ((flags & SLUICE_PURGE_FORCE) == 0)
        return 0;
    lock_acquire(&list_lock);
    int64_t all = sum_leftovers();
    bool is_new = all != trimmed_at;
    lock_release(&list_lock);
    if (!is_new)
        return 0;
    int64_t free_bytes = (int64_t)libc_free_bytes(), before = resident_bytes();
    libc_trim();
    int64_t given = before - resident_bytes();
    if (given < 0)
        given = 0; /* other threads took more meanwhile */
    int64_t cached = all < free_bytes ? all : free_bytes;
    double left = cached > given ? (double)(cached - given) / (double)all : 0;
    lock_acquire(&list_lock);
    for (struct glibc_arena *a = arenas; a != NULL; a = a->next) {
        int64_t live = atomic_load_explicit(&a->live, memory_order_relaxed);
        int64_t rest = (int64_t)((double)leftover(a) * left);
        atomic_store_explicit(&a->most, live + rest, memory_order_relaxed);
    }
    trimmed_at = sum_leftovers();
    lock_release(&list_lock);
    return (size_t)given;
}

const struct sluice_backend_ops glibc_ops = {
    .abi_version = SLUICE_BACKEND_ABI_VERSION,
    .struct_size = sizeof(struct sluice_backend_ops),
    .name = "glibc",
    .capabilities = SLUICE_BACKEND_MAGAZINES,
    .arena_create = create,
    .arena_destroy = destroy,
    .alloc = alloc,
    .free = free_object,
    .usable_size = usable_size,
    .stats = stats,
    .realloc = resize,
    .purge = purge,
    .thread_exit = thread_end,
    .configure = configure,
};
