/* foreign.h - what plugins share that hand requests on to another allocator's library.
 *
 * Such an allocator has one heap for the process. So all arenas of the plugin are the same, and
 * what the heap keeps free is divided evenly among them.
 *
 * The library is opened when the plugin is, not with the first arena: an arena is made in the
 * middle of an allocation, where dlopen, which allocates, must not be called.
 *
 * A plugin includes this file once, fills in `foreign` from a constructor, and starts its table
 * with FOREIGN_OPS.
 */
#ifndef SLUICE_BACKENDS_PLUGINS_FOREIGN_H
#define SLUICE_BACKENDS_PLUGINS_FOREIGN_H

#include <dlfcn.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sluice/backend.h>

/* Core's text for why arena_create fails. Weak: a plugin may meet a Sluice that does not export
 * it. */
extern enum sluice_result sluice_backend_error(enum sluice_result result, const char *text)
    __attribute__((weak));

/* Entries of the library. */
static struct {
    void *(*malloc)(size_t size);
    void *(*calloc)(size_t count, size_t size);
    void *(*aligned)(size_t alignment, size_t size);
    void *(*realloc)(void *p, size_t size);
    void (*free)(void *p);
    size_t (*usable_size)(const void *p);
} foreign;

static void *foreign_library;
static char foreign_problem[256]; /* why it could not be opened */
static _Atomic int foreign_arenas;
/* As far as threads have told, usable bytes: now, and the most there ever was, less what purges
 * gave back. */
static _Atomic int64_t foreign_live, foreign_most;

#define FOREIGN_PUBLISH_BYTES (64 * 1024)

/* Opens the library; `package` is the Debian package that has it. */
static void foreign_open(const char *library, const char *package)
{
    foreign_library = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    if (foreign_library == NULL)
        snprintf(foreign_problem, sizeof foreign_problem,
                 "%s cannot be opened (Debian: apt-get install %s)", library, package);
}

/* A function of the library, or NULL. */
static void *foreign_symbol(const char *name)
{
    void *symbol = foreign_library == NULL ? NULL : dlsym(foreign_library, name);
    if (symbol == NULL && foreign_library != NULL)
        snprintf(foreign_problem, sizeof foreign_problem, "the library has no %s", name);
    return symbol;
}

static void foreign_publish(int64_t bytes)
{
    int64_t live = atomic_fetch_add(&foreign_live, bytes) + bytes;
    int64_t most = atomic_load(&foreign_most);
    while (live > most && !atomic_compare_exchange_weak(&foreign_most, &most, live))
        ;
}

/* A thread_state slot holds the bytes that the thread has not told yet. */
static void foreign_count(void **thread_state, int64_t bytes)
{
    intptr_t untold = (intptr_t)*thread_state + (intptr_t)bytes;
    if (untold >= FOREIGN_PUBLISH_BYTES || untold <= -FOREIGN_PUBLISH_BYTES) {
        foreign_publish(untold);
        untold = 0;
    }
    *thread_state = (void *)untold;
}

static void foreign_thread_exit(void *arena, void *thread_state)
{
    (void)arena;
    foreign_publish((intptr_t)thread_state);
}

static enum sluice_result foreign_create(const struct sluice_arena_config *config, void **arena)
{
    if (foreign_problem[0] != '\0')
        return sluice_backend_error == NULL
                   ? SLUICE_ERROR_UNSUPPORTED
                   : sluice_backend_error(SLUICE_ERROR_UNSUPPORTED, foreign_problem);
    (void)config;
    atomic_fetch_add(&foreign_arenas, 1);
    *arena = &foreign;
    return SLUICE_OK;
}

static void foreign_destroy(void *arena)
{
    (void)arena;
    atomic_fetch_sub(&foreign_arenas, 1);
}

static void *foreign_alloc(void *arena, void **thread_state, size_t size, size_t alignment,
                           unsigned flags, size_t *usable)
{
    void *p;
    (void)arena;
    if (alignment > 16) {
        p = foreign.aligned(alignment, size);
        if (p != NULL && (flags & SLUICE_ALLOC_ZERO))
            memset(p, 0, size);
    } else {
        /* 16 and more are aligned to 16; smaller ones need not be. */
        size = size < 16 ? 16 : size;
        p = flags & SLUICE_ALLOC_ZERO ? foreign.calloc(1, size) : foreign.malloc(size);
    }
    if (p == NULL)
        return NULL;
    *usable = foreign.usable_size(p);
    foreign_count(thread_state, (int64_t)*usable);
    return p;
}

static size_t foreign_free(void *arena, void **thread_state, void *p)
{
    size_t usable = foreign.usable_size(p);
    (void)arena;
    foreign.free(p);
    foreign_count(thread_state, -(int64_t)usable);
    return usable;
}

static void *foreign_realloc(void *arena, void **thread_state, void *p, size_t size, size_t *usable)
{
    size_t had = foreign.usable_size(p);
    void *moved = foreign.realloc(p, size < 16 ? 16 : size);
    (void)arena;
    if (moved == NULL)
        return NULL;
    *usable = foreign.usable_size(moved);
    foreign_count(thread_state, (int64_t)*usable - (int64_t)had);
    return moved;
}

static size_t foreign_usable_size(void *arena, const void *p)
{
    (void)arena;
    return foreign.usable_size(p);
}

/* One arena's part of a number that is the process's. */
static uint64_t foreign_share(int64_t bytes)
{
    int arenas = atomic_load(&foreign_arenas);
    return bytes > 0 && arenas > 0 ? (uint64_t)bytes / (unsigned)arenas : 0;
}

/* Resident bytes of the process. */
static int64_t foreign_resident(void)
{
    char text[128];
    ssize_t length = 0;
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        length = read(fd, text, sizeof text - 1);
        close(fd);
    }
    text[length > 0 ? length : 0] = '\0'; /* "TOTAL RESIDENT ...", in pages */
    const char *second = strchr(text, ' ');
    return second == NULL ? 0 : (int64_t)strtoll(second, NULL, 10) * 4096;
}

/* What the library may still hold of what was freed; no more than the process has. */
static int64_t foreign_leftover(void)
{
    int64_t live = atomic_load(&foreign_live), leftover = atomic_load(&foreign_most) - live;
    int64_t room = foreign_resident() - live;
    return leftover < room ? leftover : room;
}

/* Runs what makes the library give its free pages back; only when that is asked for. */
static size_t foreign_purge(void (*give_back)(void), unsigned flags, uint64_t *next_due)
{
    *next_due = UINT64_MAX;
    if ((flags & SLUICE_PURGE_FORCE) == 0)
        return 0;
    int64_t leftover = foreign_leftover(), before = foreign_resident();
    give_back();
    int64_t given = before - foreign_resident();
    if (given < 0)
        given = 0; /* other threads took more meanwhile */
    atomic_store(&foreign_most,
                 atomic_load(&foreign_live) + (leftover > given ? leftover - given : 0));
    return (size_t)given;
}

/* The entries that are the same for every such plugin. */
#define FOREIGN_OPS                                                                              \
    .abi_version = SLUICE_BACKEND_ABI_VERSION, .struct_size = sizeof(struct sluice_backend_ops), \
    .capabilities = SLUICE_BACKEND_MAGAZINES, .arena_create = foreign_create,                    \
    .arena_destroy = foreign_destroy, .alloc = foreign_alloc, .free = foreign_free,              \
    .usable_size = foreign_usable_size, .realloc = foreign_realloc,                              \
    .thread_exit = foreign_thread_exit

#endif
