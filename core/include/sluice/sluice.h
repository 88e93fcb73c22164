/* sluice.h - the C interface of Sluice.
 *
 * Sluice hands each allocation of a program to the backend that a policy names for it. The caller says who asks (a
 * module, a small integer) and how much; the policy says which allocator serves that module at that size, under which
 * limit. The policy can be replaced while the program runs: objects stay where they are and are always freed to the
 * arena that made them.
 *
 * Conventions of every call below, unless its own comment says otherwise:
 *   - sizes are in bytes; alignments are powers of two;
 *   - thread-safe; not async-signal-safe (like malloc); usable in the child after fork(), also when other threads were
 *     allocating at the time of the fork;
 *   - a call that can fail returns an enum sluice_result, or NULL with errno set; sluice_error_message() then has the
 *     text of this thread's last failure;
 *   - the first call of any of them starts the library (sluice_init() is optional).
 */
#ifndef SLUICE_SLUICE_H
#define SLUICE_SLUICE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define SLUICE_API             __attribute__((visibility("default")))
#define SLUICE_ALLOC_SIZE(...) __attribute__((alloc_size(__VA_ARGS__), malloc, warn_unused_result))
#else
#define SLUICE_API
#define SLUICE_ALLOC_SIZE(...)
#endif

/* Around the declaration of a function that has the name of a struct. C++ allows it as C does, with `struct` before the one
 * name; but g++ -Wshadow warns unless the function comes from a namespace. It is the same C function either way. */
#ifdef __cplusplus
#define SLUICE_BESIDE_STRUCT_BEGIN \
    namespace sluice_calls         \
    {
#define SLUICE_BESIDE_STRUCT_END(name) \
    }                                  \
    using sluice_calls::name;
#else
#define SLUICE_BESIDE_STRUCT_BEGIN
#define SLUICE_BESIDE_STRUCT_END(name)
#endif

#define SLUICE_VERSION_MAJOR 0
#define SLUICE_VERSION_MINOR 1
#define SLUICE_VERSION_PATCH 0
#define SLUICE_VERSION       "0.1.0"

/* What a call that can fail returns. The numbers are part of the ABI: new ones are added at the end. */
enum sluice_result {
    SLUICE_OK = 0,
    SLUICE_ERROR_INVALID = 1,     /* an argument is out of its range */
    SLUICE_ERROR_NO_MEMORY = 2,   /* the system gave no memory, or a limit was reached */
    SLUICE_ERROR_POLICY = 3,      /* the policy has mistakes: the message names file:line:column */
    SLUICE_ERROR_IO = 4,          /* a file could not be read */
    SLUICE_ERROR_UNKNOWN = 5,     /* no module, backend or phase of that name */
    SLUICE_ERROR_LIMIT = 6,       /* a fixed capacity of Sluice is used up (modules, arenas) */
    SLUICE_ERROR_STATE = 7,       /* the call does not fit the present state */
    SLUICE_ERROR_UNSUPPORTED = 8, /* the backend or the system cannot do this */
    SLUICE_ERROR_NOT_OWNED = 9    /* the pointer belongs to no arena of Sluice */
};

/* Text of the last failure in the calling thread; "" when there was none. Never NULL. The text stays valid until the
 * next failing call of this thread. */
SLUICE_API const char *sluice_error_message(void);

/* A short constant name for a result, such as "invalid argument". Never NULL, also for numbers that are not results.
 * Async-signal-safe. */
SLUICE_API const char *sluice_result_name(enum sluice_result result);

/* The version of the library that is loaded, such as "0.1.0". Async-signal-safe. */
SLUICE_API const char *sluice_version(void);

/* Starts the library with the policy of that file; NULL means the file that $SLUICE_POLICY names, else the built-in
 * defaults. Optional: the first allocation does sluice_init(NULL), and then an unreadable policy is logged and the
 * built-in defaults serve. Calling it again, or after the first allocation, loads that file as a new policy (with NULL:
 * does nothing). Nothing is read from the environment in a set-user-id program.
 * Errors: SLUICE_ERROR_IO, SLUICE_ERROR_POLICY; the library then runs with the policy that it had. */
SLUICE_API enum sluice_result sluice_init(const char *policy_path);

/* ---- Modules ---------------------------------------------------------------------------------------------------- */

/* A named part of a program: who asks for memory. Ids are small and dense; a program may have up to 16,384. */
typedef uint16_t sluice_module;

#define SLUICE_MODULE_DEFAULT ((sluice_module)0) /* "default": whoever has no module of its own */
#define SLUICE_MODULE_ALL     ((sluice_module)0xFFFE) /* where a call says so: every module */
#define SLUICE_MODULE_INVALID ((sluice_module)0xFFFF) /* what a failed registration returns */

/* Registers a module, or finds it: the same name always gives the same id. Names are 1 to 255 bytes without control
 * characters. The id is good for the life of the process.
 * Failure returns SLUICE_MODULE_INVALID, with errno EINVAL (bad name), ENOSPC (16,384 modules exist) or ENOMEM; never 0
 * unless the name is "default". An allocation for SLUICE_MODULE_INVALID fails with EINVAL. */
SLUICE_API sluice_module sluice_module_register(const char *name);

/* The name of a module, or NULL when there is none with that id. The text is valid for the life of the process.
 * Async-signal-safe once the library has started. */
SLUICE_API const char *sluice_module_name(sluice_module module);

/* ---- Allocation ------------------------------------------------------------------------------------------------- */

/* `size` bytes, aligned for any standard type (16 bytes), content undefined. Size 0 gives a unique pointer that can be
 * freed. Failure is NULL with errno ENOMEM (no memory, size over PTRDIFF_MAX, or the module's hard limit) or EINVAL
 * (unregistered module). Success leaves errno alone. */
SLUICE_API void *sluice_malloc(sluice_module module, size_t size) SLUICE_ALLOC_SIZE(2);

/* As sluice_malloc for count x size bytes, all zero; an overflow of the product is ENOMEM. */
SLUICE_API void *sluice_calloc(sluice_module module, size_t count, size_t size)
    SLUICE_ALLOC_SIZE(2, 3);

/* As sluice_malloc, with the address a multiple of `alignment`: a power of two up to 1 GiB (1 to 16 mean 16), else NULL
 * with EINVAL. The size need not be a multiple of the alignment. */
SLUICE_API void *sluice_aligned_alloc(sluice_module module, size_t alignment, size_t size)
    SLUICE_ALLOC_SIZE(3);

/* Changes the size of an object; content is kept up to the smaller size. The object stays with its module: `module`
 * counts only when p is NULL (then this is sluice_malloc). Size 0 gives a minimal object: it does not free. An
 * alignment beyond 16 bytes is not kept when the object moves. Failure is NULL with errno, and p is as before. */
SLUICE_API void *sluice_realloc(sluice_module module, void *p, size_t size)
    __attribute__((warn_unused_result));

/* A copy of the string s, which must not be NULL (NULL gives NULL with EINVAL). */
SLUICE_API char *sluice_strdup(sluice_module module, const char *s);

/* Frees an object of any module, under any policy, from any thread. NULL does nothing. errno is kept. A pointer that
 * Sluice does not own, or that was freed, is a programming error: where it is found it is reported on standard error and
 * the program is aborted. */
SLUICE_API void sluice_free(void *p);

/* As sluice_free, when the caller knows the size: any value from the requested size to sluice_usable_size(p). */
SLUICE_API void sluice_free_sized(void *p, size_t size);

/* Bytes that may be used at p: at least the requested size. 0 for NULL. */
SLUICE_API size_t sluice_usable_size(const void *p);

/* Who owns an object. struct_size is set by the caller to sizeof(struct sluice_owner); no more than that is written. */
struct sluice_owner {
    size_t struct_size;
    sluice_module module;
    const char *backend; /* the backend's name in the policy; valid while the object lives */
    const char *kind;    /* pool, mmap, glibc, jemalloc, ... */
    const char *phase;   /* the phase that the object belongs to; NULL outside one */
    size_t object_size;  /* usable bytes */
};

/* Finds the owner of p. Errors: SLUICE_ERROR_INVALID (NULL out, or a struct_size too small for the first field),
 * SLUICE_ERROR_NOT_OWNED. */
SLUICE_BESIDE_STRUCT_BEGIN
SLUICE_API enum sluice_result sluice_owner(const void *p, struct sluice_owner *out);
SLUICE_BESIDE_STRUCT_END(sluice_owner)

/* ---- Policy ----------------------------------------------------------------------------------------------------- */

/* Reads a policy and, when every line of it is valid, makes it the one in force; else the old one stays and
 * sluice_error_message() has every mistake as file:line:column. Objects that exist stay where they are.
 * Errors: SLUICE_ERROR_IO, SLUICE_ERROR_POLICY, SLUICE_ERROR_NO_MEMORY. */
SLUICE_API enum sluice_result sluice_policy_load_file(const char *path);

/* The same from memory; `length` bytes, no terminating NUL needed. Mistakes are named "<string>:line:column". Relative
 * `include:` names are taken from the working directory. */
SLUICE_API enum sluice_result sluice_policy_load_string(const char *yaml, size_t length);

/* Reads again the file that the policy in force came from. Errors: SLUICE_ERROR_STATE when it came from no file, and those
 * of sluice_policy_load_file(). */
SLUICE_API enum sluice_result sluice_policy_reload(void);

/* Installs a handler for that signal which asks the control thread for a reload (it only wakes it) and then
 * calls the handler that was there before. The outcome is in sluice_reload_status() and on the log.
 * Errors: SLUICE_ERROR_INVALID (no such signal), SLUICE_ERROR_UNSUPPORTED (no control thread can be started). */
SLUICE_API enum sluice_result sluice_reload_on_signal(int signo);

/* Sends all allocations of a module to one backend of the policy (or to a kind's own name), whatever the policy says of
 * it; NULL clears. It survives reloads; while the policy in force does not know the backend, the policy's own routes
 * serve and the log says so. A module that does not exist yet is given its override when it is registered.
 * Errors: SLUICE_ERROR_INVALID, SLUICE_ERROR_UNKNOWN (no such backend in the policy in force; nothing changed),
 * SLUICE_ERROR_NO_MEMORY. */
SLUICE_API enum sluice_result sluice_module_override(const char *module, const char *backend);

/* Number of the route table in force; it grows by one with every change that took effect. */
SLUICE_API uint64_t sluice_policy_generation(void);

/* How reloads went. struct_size is set by the caller. The texts are cut to fit and always end in NUL. */
struct sluice_reload_status {
    size_t struct_size;
    uint64_t attempts; /* loads of a policy, of whatever cause, the first one included */
    uint64_t successes;
    uint64_t failures;
    uint64_t generation;       /* as sluice_policy_generation() */
    int64_t last_attempt_time; /* seconds since 1970; 0: never */
    int64_t last_success_time;
    char path[256];        /* file that the policy in force came from; "" when from none */
    char last_error[1024]; /* of the last attempt; "" when it succeeded */
    char last_report
        [4096]; /* of the last success: one line for each key that changed, "KEY: applied",
                                   "KEY: applies to new allocations" or "KEY: needs a restart" */
};
SLUICE_BESIDE_STRUCT_BEGIN
SLUICE_API enum sluice_result sluice_reload_status(struct sluice_reload_status *out);
SLUICE_BESIDE_STRUCT_END(sluice_reload_status)

/* ---- Phases ----------------------------------------------------------------------------------------------------- */

/* One instance of a phase of the policy, from begin to end. A handle, not an address: it stays recognizable when it is
 * stale, so that every wrong use below is an error and not a crash. Up to 4,096 instances may be open at a time. */
typedef struct sluice_phase sluice_phase;

/* Opens an instance of that phase. From now on the modules that the policy binds to it allocate from arenas of this
 * instance, in every thread that has not entered another of the same phase; instances of a phase may overlap, and the
 * newest open one serves. What was begun inside another instance (one that the calling thread has entered) must end before
 * it. Costs no memory until something is allocated.
 * Errors: SLUICE_ERROR_INVALID (NULL), SLUICE_ERROR_UNKNOWN (the policy in force has no such phase; the message names those
 * that it has), SLUICE_ERROR_LIMIT, SLUICE_ERROR_NO_MEMORY. Not from signal handlers; not while this process forks. */
SLUICE_API enum sluice_result sluice_phase_begin(const char *name, sluice_phase **out);

/* Ends an instance: calls what sluice_phase_on_end() registered, newest first, then frees every object of the instance at
 * once, in time that goes with the number of its chunks and not of its objects (of objects, where the policy says
 * `track: true`). Using such an object afterwards is a programming error; freeing it is reported and aborts, as long as its
 * memory was not used again. Other modules' allocations go on meanwhile. The calling thread may still be in it, innermost:
 * it leaves.
 * Errors: SLUICE_ERROR_INVALID (not a handle), SLUICE_ERROR_STATE (it has ended; an instance inside it is open; a thread is
 * in it). Then nothing has changed. */
SLUICE_API enum sluice_result sluice_phase_end(sluice_phase *phase);

/* This thread allocates in that instance, whichever is the newest, until sluice_phase_leave(). Entrances nest, up to 16.
 * Errors: SLUICE_ERROR_INVALID, SLUICE_ERROR_STATE (it has ended), SLUICE_ERROR_LIMIT, SLUICE_ERROR_NO_MEMORY. */
SLUICE_API enum sluice_result sluice_phase_enter(sluice_phase *phase);

/* Errors: SLUICE_ERROR_INVALID, SLUICE_ERROR_STATE (it is not the innermost that this thread has entered). */
SLUICE_API enum sluice_result sluice_phase_leave(sluice_phase *phase);

/* A copy of an object of a phase among its module's long-lived objects, with the same content (all usable bytes) and at
 * least the alignment that it was asked for; the original stays until it is freed or its instance ends. An object that
 * belongs to no phase is returned as it is. NULL gives NULL; NULL with errno ENOMEM: no memory, and nothing changed. */
SLUICE_API void *sluice_phase_promote(void *p);

/* Has fn(arg) called when the instance ends: newest first, in the thread that ends it, before its memory goes; fn may use
 * the instance's objects, allocate and free; what the phase's modules allocate then belongs no more to this instance.
 * Errors: SLUICE_ERROR_INVALID, SLUICE_ERROR_STATE (it has ended), SLUICE_ERROR_NO_MEMORY. */
SLUICE_API enum sluice_result sluice_phase_on_end(sluice_phase *phase, void (*fn)(void *),
                                                  void *arg);

/* Looks whether memory of ended instances was written to, where the policy says `check: poison`: in the instances of that
 * phase which are watched still (the newest `keep` of them); NULL: of all phases. Each object that was written to is reported
 * on standard error, once, and counted. Without this call that is found when an instance's memory is about to be used again
 * or given back. Returns the number of objects; 0 also when no such phase is watched. Takes time with the bytes that are
 * watched, and phases do not begin and end meanwhile. Any thread; not from signal handlers. */
SLUICE_API size_t sluice_phase_check(const char *name);

struct sluice_phase_stats {
    size_t struct_size;    /* set by the caller to sizeof(struct sluice_phase_stats) */
    uint64_t begun, ended; /* instances since the start */
    uint64_t open;         /* now */
    uint64_t idle;         /* instances whose chunks are kept for the next */
    uint64_t peak_bytes; /* most that one instance held at its end: slabs and mappings, in bytes */
    uint64_t promoted_bytes; /* usable bytes of the copies */
    uint64_t last_end_ns;    /* time that an end took, callbacks not included */
    uint64_t largest_end_ns;
    uint64_t watched; /* instances that have ended and whose memory is watched (`check:`) */
};

/* Figures of a phase by name. Errors: SLUICE_ERROR_INVALID, SLUICE_ERROR_UNKNOWN (no instance of it was ever begun and no
 * module routed to it). */
SLUICE_API enum sluice_result sluice_stats_phase(const char *name, struct sluice_phase_stats *out);

/* ---- Statistics ------------------------------------------------------------------------------------------------- */

/* What a module holds. Exact when no thread is allocating for it; while threads run, each figure is one that was true at
 * some moment of the call. */
struct sluice_module_stats {
    size_t struct_size;    /* set by the caller to sizeof(struct sluice_module_stats) */
    uint64_t live_objects; /* allocated and not freed */
    uint64_t live_bytes;   /* their usable bytes */
    uint64_t
        peak_live_bytes; /* largest live_bytes seen: looked at when memory stops growing, so it may
                                   miss a 32nd of what the module held, and what threads kept free */
    uint64_t allocated_objects; /* since the start, arenas that are gone included */
    uint64_t freed_objects;
    uint64_t failed_allocations;
    uint64_t resident_bytes; /* live + cached + metadata, as far as pages were given out */
    uint64_t cached_bytes;   /* free, but kept for reuse */
    uint64_t metadata_bytes; /* Sluice's own, for this module's arenas */
    uint64_t limit_bytes;    /* the hard limit; 0: none */
    uint64_t draining_bytes; /* live bytes in arenas that no route leads to any more */
};

/* SLUICE_MODULE_ALL sums over all modules; its peak is the sum of their peaks, which need not have been at one time.
 * Errors: SLUICE_ERROR_INVALID, SLUICE_ERROR_UNKNOWN, SLUICE_ERROR_NO_MEMORY. */
SLUICE_API enum sluice_result sluice_stats_module(sluice_module module,
                                                  struct sluice_module_stats *out);

struct sluice_process_stats {
    size_t struct_size; /* set by the caller */
    uint64_t modules;
    uint64_t arenas;          /* that exist */
    uint64_t draining_arenas; /* of these, those that no route leads to */
    uint64_t threads;         /* threads that hold caches */
    uint64_t live_bytes;      /* sums over modules */
    uint64_t cached_bytes;
    uint64_t metadata_bytes; /* all of Sluice's own memory, what belongs to no module included */
    uint64_t chunk_bytes;    /* address space in chunks owned by arenas */
    uint64_t reserved_bytes; /* address space kept for chunks that nobody owns; not resident */
    uint64_t generation;
    uint64_t reload_attempts, reload_successes, reload_failures;
    uint64_t
        lazy_bytes; /* of reserved_bytes' kind: left to the kernel (LazyFree), warm until it takes them */
};
SLUICE_API enum sluice_result sluice_stats_process(struct sluice_process_stats *out);

/* Gives back to the system what a module's arenas keep for reuse, this moment, also what other threads cache.
 * SLUICE_MODULE_ALL: every module. Returns the bytes given back. */
SLUICE_API size_t sluice_trim(sluice_module module);

/* Called when a module crosses a limit whose action is `notify`: outside all locks, in the thread that crossed it; it may
 * allocate. `hard` is 0 for the soft limit. One function for the process; NULL removes it. Function and argument change
 * together: no call gets one pair's function with another's argument. A call that began before the change may still be
 * under way, or about to begin, when sluice_on_limit() returns; so code and argument of a pair that was set must stay valid
 * while threads allocate, best for the life of the process (a few bytes are kept for each different pair). */
typedef void sluice_limit_callback(sluice_module module, int hard, uint64_t held_bytes,
                                   uint64_t limit_bytes, void *arg);
SLUICE_API void sluice_on_limit(sluice_limit_callback *fn, void *arg);

#ifdef __cplusplus
}
#endif
#endif
