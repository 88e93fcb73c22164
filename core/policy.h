/* policy.h - the policy as data: the immutable result of reading the YAML.
 *
 * config/ builds it, core reads it. It holds names, numbers and where in which file each was written; no allocator
 * state and no pointer into a live arena. All of it lies in one meta_region and goes with it.
 *
 *   policy ──► backends[]   named backends: a kind and its parameter values
 *          ──► modules[]    patterns, each with a route (rules over indexes of backends[]) and a limit
 *          ──► phases[], attribution[], process, reload
 *
 * Invariants: every index is in range; names are unique; the last rule of each route has no size condition; built-in
 * kinds that no line of the file names are in backends[] too (with their defaults), so that `default: pool` and
 * overrides find them.
 */
#ifndef SLUICE_CORE_POLICY_H
#define SLUICE_CORE_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sluice/backend.h>

struct meta_region;

/* Where something was written. file is a name as the user gave it, or "<string>", or "<built-in>". Lines and columns
 * count from 1; 0: nowhere. */
struct policy_mark {
    const char *file;
    uint32_t line, column;
};

struct policy_backend {
    const char *name; /* the name in the policy; equals the kind for a bare kind */
    const struct sluice_backend_ops *ops; /* registered; never NULL */
    const char *library;                  /* of `kind: plugin`; else NULL */
    const uint64_t *values;               /* one for each of ops->params */
    const struct sluice_option *options;
    size_t option_count;
    struct policy_mark mark; /* line 0: a bare kind */
};

#define POLICY_ANY_SIZE SIZE_MAX

struct policy_rule {
    size_t max_size;  /* fits sizes up to and with this; POLICY_ANY_SIZE: all */
    uint32_t backend; /* index into backends[] */
    struct policy_mark mark;
};

enum policy_action {
    POLICY_ACTION_FAIL, /* the allocation fails with ENOMEM */
    POLICY_ACTION_TRIM, /* the module's caches are given back first; hard: then one more try, then fail */
    POLICY_ACTION_NOTIFY,   /* log and call sluice_on_limit's function; hard: then fail */
    POLICY_ACTION_FALLBACK, /* further allocations come from another backend, beyond the limit */
    POLICY_ACTION_ABORT     /* say which module and limit, and abort() */
};

struct policy_limit {
    uint64_t soft, hard;                 /* bytes; 0: none. soft <= hard when both are set */
    enum policy_action on_soft, on_hard; /* defaults: notify, fail */
    uint32_t soft_fallback,
        hard_fallback; /* index into backends[]; only with POLICY_ACTION_FALLBACK */
    struct policy_mark mark;
};

struct policy_module {
    const char *pattern; /* a name, or a glob as fnmatch(3) reads it */
    bool is_glob;
    const struct policy_rule *rules; /* rule_count >= 1 */
    size_t rule_count;
    struct policy_limit limit;
    struct policy_mark mark;
};

enum policy_check { POLICY_CHECK_OFF, POLICY_CHECK_POISON, POLICY_CHECK_PROTECT };

/* Instances of a phase with a check that are watched after their end, by default and at most. */
#define POLICY_KEEP_DEFAULT 4
#define POLICY_KEEP_MAX     64

struct policy_phase {
    const char *name;
    const char *const *modules; /* patterns */
    size_t module_count;
    uint32_t backend;
    enum policy_check check;
    uint32_t keep;     /* instances that are watched after their end; 1 to POLICY_KEEP_MAX */
    bool purge_at_end; /* memory goes back to the system when the instance ends */
    bool track; /* objects of a backend that cannot drop all at once are tracked one by one */
    struct policy_mark mark;
};

enum policy_attribution_by { POLICY_BY_OBJECT, POLICY_BY_THREAD };

struct policy_attribution {
    enum policy_attribution_by by;
    const char *pattern; /* glob over the object's file name or the thread's name */
    const char *module;
    struct policy_mark mark;
};

enum policy_mallopt {
    POLICY_MALLOPT_MMAP_THRESHOLD,
    POLICY_MALLOPT_TRIM_THRESHOLD,
    POLICY_MALLOPT_ARENA_MAX,
    POLICY_MALLOPT_TOP_PAD,
    POLICY_MALLOPT_MMAP_MAX,
    POLICY_MALLOPT_COUNT
};

struct policy_process {
    uint32_t mallopt_present; /* bit i: mallopt[i] was written */
    uint64_t mallopt[POLICY_MALLOPT_COUNT];
    uint64_t
        lazy_free; /* ns that free chunks are left to the kernel before they are dropped; 0: not */
};

struct policy_reload {
    int signal; /* 0: none */
    bool watch; /* reload when a file of the policy changes */
};

/* What a file was at the moment of its reading: any change of it means a change of content, or of which file the name
 * leads to. */
struct policy_file_state {
    uint64_t device, inode, size;
    int64_t seconds, nanoseconds; /* of the last change of content */
};

struct policy {
    struct meta_region *memory; /* holds this struct too */
    const char
        *path; /* the file that was asked for, absolute; NULL for a string or the built-in policy */
    const char *const
        *files; /* every file that was read (includes too), absolute; file_count of them */
    const struct policy_file_state
        *file_states; /* one for each of files, taken before it was read */
    size_t file_count;

    const struct policy_backend *backends;
    size_t backend_count;
    uint32_t default_backend;            /* serves modules that nothing names */
    const struct policy_module *modules; /* in the order of the file */
    size_t module_count;
    const struct policy_phase *phases;
    size_t phase_count;
    bool attribution_auto; /* every shared object is a module of its own */
    const struct policy_attribution *attribution;
    size_t attribution_count;
    const char *const *attribution_wrappers; /* functions that allocate for their callers */
    size_t attribution_wrapper_count;
    struct policy_process process;
    struct policy_reload reload;
    bool observe; /* other processes of the same user may ask: sluice stat, top, ctl */
    struct policy_mark default_mark; /* of `default:`; line 0: not written */
};

/* The seam to config/: core declares these, config/ defines them.
 *
 * Reads a policy. On success *out is a complete policy, to be given to policy_destroy(). On failure *out is NULL, and error
 * (error_size bytes, always terminated) has every mistake, one a line, as file:line:column: error: text. Warnings go to the
 * log. Uses no malloc. Any thread; several at once. */
enum sluice_result policy_read_file(const char *path, struct policy **out, char *error,
                                    size_t error_size);
enum sluice_result policy_read_string(const char *yaml, size_t length, struct policy **out,
                                      char *error, size_t error_size);

/* The built-in defaults, as a policy like any other. NULL only without memory. */
struct policy *policy_read_builtin(void);

void policy_destroy(struct policy *policy); /* NULL does nothing */

/* What a reload from one policy to another changes, one line for each key: "KEY: applied", "KEY: applies to new
 * allocations" or "KEY: needs a restart"; KEY as in modules.perception.route. Lines that do not fit are counted in the last:
 * "and N more". "" when nothing changes, or when there was no policy before. renewed[i] (NULL: none): living arenas of
 * after->backends[i] did not take its parameters. */
void policy_diff(const struct policy *before, const struct policy *after, const bool *renewed,
                 char *out, size_t size);

/* Another seam, to the preload library: the policy came into force. In a plain program it does nothing. With the reload lock,
 * outside of sections; the policy may be gone after the next call. */
void policy_follow(const struct policy *policy);

/* ---- Questions to a policy (core/policy.c) ------------------------------------------------------------------------ */

/* The entry that decides for a module: an exact name wins, then the first glob that fits; NULL when nothing names it. */
const struct policy_module *policy_find_module(const struct policy *policy, const char *module);

/* Index of a backend by its name in the policy, or UINT32_MAX. */
uint32_t policy_find_backend(const struct policy *policy, const char *name);

/* Has one of its backends prepare itself (sluice/backend.h). Outside sections. */
void policy_prepare_backend(const struct policy *policy, uint32_t backend);

/* Does a module, a phase or the default lead to that backend? */
bool policy_uses_backend(const struct policy *policy, uint32_t backend);

/* Are both lists of options the same, in the same order? A list may be NULL when its count is 0. */
bool policy_same_options(const struct sluice_option *a, size_t a_count,
                         const struct sluice_option *b, size_t b_count);

/* The backend behind those that have a largest size: the default when it takes any size, else `mmap`, else the first that
 * does. UINT32_MAX: none, which only happens without the built-in kinds. */
uint32_t policy_unbounded_backend(const struct policy *policy);

#endif
