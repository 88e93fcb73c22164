/* backend.h - what an allocator must offer so that Sluice can route modules to it.
 *
 * A backend is a table of functions, struct sluice_backend_ops. An arena is one instance of it with its parameters, for
 * one module. Sluice calls the table; a backend never sees the policy, other modules, or objects of other arenas.
 *
 * Two families, told apart by one capability bit:
 *   - SLUICE_BACKEND_OWNS_ADDRESS_SPACE: all objects lie in chunks that the backend took with sluice_chunk_acquire(). Sluice
 *     finds the owner of an object by its address; objects carry no header.
 *   - without it: the backend takes memory where it pleases. Sluice asks for a few bytes more and keeps a header of 16
 *     bytes before each object. The backend sees only its own pointers.
 *
 * Who may call when. All entries run on whatever thread allocates, several at once on the same arena, unless said
 * otherwise: a backend does its own locking. An entry must not allocate through Sluice (it may be malloc), must not block
 * on anything but its own short locks, and must not keep a lock when it returns. While a program forks, no entry is
 * running in any thread: a backend needs no pthread_atfork of its own.
 *
 * A plugin is a shared object that exports one symbol, `sluice_backend_plugin`, a const struct sluice_backend_ops. It is
 * opened with RTLD_NOW | RTLD_LOCAL and stays for the life of the process. docs/backends.md shows one from end to end.
 */
#ifndef SLUICE_BACKEND_H
#define SLUICE_BACKEND_H

#include <sluice/sluice.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Grows when an entry changes its meaning. New entries at the end only raise struct_size. */
#define SLUICE_BACKEND_ABI_VERSION 1

enum {
    SLUICE_BACKEND_OWNS_ADDRESS_SPACE =
        1u << 0, /* objects lie in chunks from sluice_chunk_acquire() */
    SLUICE_BACKEND_COUNTS =
        1u << 1, /* stats() has exact objects and bytes: Sluice keeps no counters */
    SLUICE_BACKEND_BULK_RESET =
        1u << 2, /* reset() drops all objects, in time that their number does not set */
    SLUICE_BACKEND_KEEPS_LIMIT =
        1u << 3, /* charges the module's limit itself with sluice_arena_charge() */
    SLUICE_BACKEND_BUMPS =
        1u
        << 4, /* thread states begin with a cursor of core/bump.h. For backends inside the tree */
    SLUICE_BACKEND_MAGAZINES =
        1u
        << 5 /* freed objects of up to 4 KiB may wait in their thread for its next allocation. With
                   OWNS_ADDRESS_SPACE: objects that begin in the same page of 4 KiB are of one size */
};

/* ---- Parameters: what a policy may write beside `kind:` ----------------------------------------------------------- */

enum sluice_param_type {
    SLUICE_PARAM_SIZE,     /* bytes: 64KiB */
    SLUICE_PARAM_DURATION, /* nanoseconds: 10ms */
    SLUICE_PARAM_COUNT,    /* a whole number */
    SLUICE_PARAM_BOOL,     /* 0 or 1 */
    SLUICE_PARAM_CHOICE    /* index into choices */
};

struct sluice_param {
    const char *name;
    enum sluice_param_type type;
    uint64_t default_value, minimum, maximum; /* both ends allowed; a choice needs neither */
    const char *const *choices;               /* NULL-terminated; NULL unless type is CHOICE */
    const char *help;                         /* one line: what it does, in which unit */
};

/* A free-form option of a plugin, from `options: {key: value}`. */
struct sluice_option {
    const char *key, *value;
};

struct sluice_arena; /* Sluice's record of an arena; opaque */

struct sluice_arena_config {
    size_t struct_size;
    struct sluice_arena
        *owner;       /* for sluice_chunk_acquire() and the like; lives as long as the arena */
    const char *name; /* the backend's name in the policy */
    sluice_module module;
    const uint64_t *values; /* one for each of ops->params, in that order; all within their range */
    const struct sluice_option *options; /* option_count of them */
    size_t option_count;
};

/* ---- Statistics --------------------------------------------------------------------------------------------------- */

struct sluice_backend_stats {
    size_t struct_size;      /* set by Sluice, with everything else zero */
    uint64_t cached_bytes;   /* free, kept for reuse, pages resident or likely so */
    uint64_t metadata_bytes; /* the backend's own records for this arena, headers included */
    /* Only with SLUICE_BACKEND_COUNTS: */
    uint64_t live_objects, live_bytes, allocated_objects, freed_objects;
};

/* ---- The table ---------------------------------------------------------------------------------------------------- */

enum {
    SLUICE_ALLOC_ZERO = 1u << 0 /* the memory must be all zero */
};
enum {
    SLUICE_PURGE_FORCE =
        1u << 0 /* give back all that can be, also what is kept warm and what is young */
};
enum sluice_fork_stage { SLUICE_FORK_PREPARE, SLUICE_FORK_PARENT, SLUICE_FORK_CHILD };

struct sluice_backend_ops {
    uint32_t abi_version;  /* SLUICE_BACKEND_ABI_VERSION */
    uint32_t struct_size;  /* sizeof(struct sluice_backend_ops) */
    const char *name;      /* the kind: 1 to 63 of [a-z0-9_-] */
    uint64_t capabilities; /* SLUICE_BACKEND_... */
    size_t
        max_size; /* largest object; a larger one goes to the next rule of the route. 0: no bound */
    const struct sluice_param *params; /* param_count of them */
    size_t param_count;

    /* Required. */

    /* Makes an instance. On failure returns why, and leaves nothing behind. Rare; may map memory. */
    enum sluice_result (*arena_create)(const struct sluice_arena_config *config, void **arena);

    /* Ends an instance that has no live object and that no thread uses any more (thread_exit was called for each thread
     * state); gives all its memory back. */
    void (*arena_destroy)(void *arena);

    /* One object of at least `size` bytes (1 or more) at a multiple of `alignment` (a power of two, 16 or more). *usable
     * gets the usable bytes. `thread_state` is a slot of this thread and arena, NULL at first, for the backend's use.
     * NULL when there is no memory. */
    void *(*alloc)(void *arena, void **thread_state, size_t size, size_t alignment, unsigned flags,
                   size_t *usable);

    /* Frees an object of this arena, made by any thread. Returns its usable bytes, as alloc said them. */
    size_t (*free)(void *arena, void **thread_state, void *p);

    /* The usable bytes of an object, as alloc said them. */
    size_t (*usable_size)(void *arena, const void *p);

    void (*stats)(void *arena, struct sluice_backend_stats *out);

    /* Optional: NULL where the backend has nothing to say. */

    /* Resizes, in place or moved, keeping the content and an alignment of 16. NULL: could not, the object is as it was
     * (Sluice then tries alloc, copy, free). */
    void *(*realloc)(void *arena, void **thread_state, void *p, size_t size, size_t *usable);

    /* Drops every object at once and keeps the arena for use, and its memory for the next objects (purge() gives it back).
     * No thread is inside the arena meanwhile, nor purge(); stats() may be. The states of threads are as before and not told:
     * the backend must recognize by itself that what they hold is gone (an epoch will do). Sluice uncharges the module's
     * limit. Time: with the number of chunks at most. */
    enum sluice_result (*reset)(void *arena);

    /* Gives memory back: what is due at the time `now` (CLOCK_MONOTONIC, ns), or with SLUICE_PURGE_FORCE everything. Returns the
     * bytes given back; *next_due becomes the time when there will be more to do, or UINT64_MAX. Called from one thread
     * at a time for an arena. */
    size_t (*purge)(void *arena, uint64_t now, unsigned flags, uint64_t *next_due);

    /* Takes back what a thread holds; the thread is gone or will never use the arena again. Runs on any thread. */
    void (*thread_exit)(void *arena, void *thread_state);

    /* Around fork(): PREPARE and PARENT in the parent, CHILD in the child. Once for the backend, not per arena; no other
     * entry runs meanwhile. */
    void (*fork)(enum sluice_fork_stage stage);

    /* Is p the start of a live object, as far as can be told cheaply? Called before reporting and in checking modes. */
    int (*check)(void *arena, const void *p);

    /* Applies changed parameters to a living arena. SLUICE_OK: all of them hold from now on. Anything else: nothing changed,
     * and Sluice makes a new arena and lets this one drain. */
    enum sluice_result (*configure)(void *arena, const struct sluice_arena_config *config);

    /* The frees of a thread's magazine have been counted down to 0 (core/magazine.h). The thread state begins as struct slab_heap
     * does (core/slab.h). Returns whether memory went back. For backends inside the tree. */
    int (*slab_event)(void *arena, void *thread_state, void *magazine);

    /* Makes a thread's caches visible to purge(): the thread is held outside the allocator meanwhile and has not used its
     * current slabs for a while. Runs on any thread. Frees that wait in queues are carried out. Sluice calls it before a
     * purge with SLUICE_PURGE_FORCE where there are magazines. */
    void (*thread_flush)(void *arena, void *thread_state);

    /* With SLUICE_BACKEND_COUNTS: live_bytes of stats() by itself, for peaks. Called often where memory grows and shrinks;
     * NULL: stats() is asked. */
    uint64_t (*live_bytes)(void *arena);

    /* Called before a policy that leads to this backend comes into force, by the thread that loads it, outside of
     * allocation: for what would take too much of a small stack at the first one. May be called again. */
    void (*prepare)(void);
};

/* ---- Services that backends may use -------------------------------------------------------------------------------- */

/* Address space and its pages come in chunks of 2 MiB. */
#define SLUICE_CHUNK_SIZE ((size_t)2 << 20)

/* A run of `size` bytes (rounded up to whole chunks) at a multiple of max(alignment, 2 MiB), readable, writable and zero,
 * not yet resident. Every address in it leads to `owner` until it is released. NULL: no address space. Any thread. */
SLUICE_API void *sluice_chunk_acquire(struct sluice_arena *owner, size_t size, size_t alignment);

/* Gives a whole run back, as it was acquired; its pages return to the system. */
SLUICE_API void sluice_chunk_release(struct sluice_arena *owner, void *run);

/* Zero-filled records that are never malloc's. NULL: no memory. free takes the size that was asked for. */
SLUICE_API void *sluice_metadata_alloc(size_t size);
SLUICE_API void sluice_metadata_free(void *p, size_t size);

/* With SLUICE_BACKEND_KEEPS_LIMIT: before taking `bytes` more for objects (whole slabs or mappings), ask; 0 means that the
 * module's hard limit forbids it and alloc must return NULL. uncharge when they are free again. */
SLUICE_API int sluice_arena_charge(struct sluice_arena *owner, size_t bytes);
SLUICE_API void sluice_arena_uncharge(struct sluice_arena *owner, size_t bytes);

/* Tells that purge() will have something to do from `due` on (CLOCK_MONOTONIC, ns). Cheap; any thread. */
SLUICE_API void sluice_purge_wanted(struct sluice_arena *owner, uint64_t due);

/* What arena_create says when it fails: keeps the text (copied) for sluice_error_message() and returns the result. */
SLUICE_API enum sluice_result sluice_backend_error(enum sluice_result result, const char *text);

/* Registers a backend under its name, for later policies. The table is validated, copied and frozen. Names are unique.
 * Errors: SLUICE_ERROR_INVALID (the message says which field), SLUICE_ERROR_STATE (the name is taken). */
SLUICE_API enum sluice_result sluice_backend_register(const struct sluice_backend_ops *ops);

/* Opens a plugin and registers it; a plugin that is registered already is SLUICE_OK, also under another name of its file.
 * A policy with `kind: plugin` does so by itself. The message names the library and says why.
 * Errors: SLUICE_ERROR_IO (there is no such file, or the dynamic linker cannot open it), SLUICE_ERROR_UNKNOWN (it does not
 * export sluice_backend_plugin), SLUICE_ERROR_UNSUPPORTED (it was built for another SLUICE_BACKEND_ABI_VERSION),
 * SLUICE_ERROR_INVALID (NULL or an overlong name; or the table is not valid), SLUICE_ERROR_STATE (its kind's name is taken
 * by another backend), SLUICE_ERROR_LIMIT (no room for another backend). Then nothing was registered. */
SLUICE_API enum sluice_result sluice_backend_load(const char *library);

#ifdef __cplusplus
}
#endif
#endif
