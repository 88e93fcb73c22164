/* operators.c - C++'s operator new and delete, in all forms, served by Sluice.
 *
 * In C, under their mangled names (Itanium C++ ABI, x86-64 and other LP64 systems): so no C++ runtime comes with us. Where a
 * program has one, failure goes its way: the new-handler is called until it gives up, then std::bad_alloc is thrown.
 * Compiled with -fexceptions, as that passes through here.
 */
#include <dlfcn.h>
#include <stddef.h>
#include <stdlib.h>

#include <sluice/sluice.h>

#include "core/alloc_fast.h"
#include "core/log.h"
#include "tools/preload/caller.h"

typedef void (*new_handler)(void);

/* std::get_new_handler() and std::__throw_bad_alloc(): of the program's C++ runtime, when it has one. */
extern new_handler _ZSt15get_new_handlerv(void) __attribute__((weak));
extern void _ZSt17__throw_bad_allocv(void) __attribute__((weak));

/* A runtime that was opened after the start, perhaps for one library alone, is asked for by its name. Out of memory, so
 * rarely, and not for the first time: the dynamic linker may allocate. */
static void *find_in_runtime(const char *name)
{
    void *found = dlsym(RTLD_DEFAULT, name);
    void *runtime = found == NULL ? dlopen("libstdc++.so.6", RTLD_LAZY | RTLD_NOLOAD) : NULL;
    return runtime == NULL ? found : dlsym(runtime, name);
}

static new_handler current_handler(void)
{
    if (_ZSt15get_new_handlerv != NULL)
        return _ZSt15get_new_handlerv();
    new_handler (*get)(void) = NULL;
    *(void **)&get = find_in_runtime("_ZSt15get_new_handlerv");
    return get == NULL ? NULL : get();
}

static _Noreturn void throw_bad_alloc(size_t size)
{
    if (_ZSt17__throw_bad_allocv != NULL)
        _ZSt17__throw_bad_allocv();
    void (*throw_it)(void) = NULL;
    *(void **)&throw_it = find_in_runtime("_ZSt17__throw_bad_allocv");
    if (throw_it != NULL)
        throw_it();
    log_fatal("operator new: no memory for %zu bytes, and no C++ runtime that could throw", size);
}

static void *allocate(sluice_module module, size_t size, size_t alignment)
{
    return alignment == 0 ? sluice_malloc(module, size)
                          : sluice_aligned_alloc(module, alignment, size);
}

/* Failed once already. */
static __attribute__((noinline, cold)) void *try_again(sluice_module module, size_t size,
                                                       size_t alignment)
{
    void *p = NULL;
    new_handler handler;
    while (p == NULL && (handler = current_handler()) != NULL) {
        handler(); /* may throw */
        p = allocate(module, size, alignment);
    }
    return p;
}

static void *make(sluice_module module, size_t size, size_t alignment)
{
    void *p = allocate(module, size, alignment);
    if (__builtin_expect(p != NULL, 1))
        return p;
    p = try_again(module, size, alignment);
    if (p == NULL)
        throw_bad_alloc(size);
    return p;
}

static __attribute__((noinline)) void *make_for_caller(size_t size, const void *pc, const void *cfa)
{
    return make(attribution_module(pc, cfa), size, 0);
}

static __attribute__((noinline)) void *make_behind(size_t size)
{
    return make(SLUICE_MODULE_DEFAULT, size, 0);
}

/* For the forms that may not throw. A new-handler that throws ends the program here, as these are noexcept. */
static inline __attribute__((always_inline)) void *make_nothrow(sluice_module module, size_t size,
                                                                size_t alignment)
{
    void *p = allocate(module, size, alignment);
    return __builtin_expect(p != NULL, 1) ? p : try_again(module, size, alignment);
}

/* m: unsigned long (size_t); St11align_val_t: std::align_val_t; RKSt9nothrow_t: const std::nothrow_t &; Pv: void * */
#define NEW(name, parameters, call)             \
    void *name parameters;                      \
    EXPORT void *name parameters                \
    {                                           \
        sluice_module module = CALLER_MODULE(); \
        return call;                            \
    }
/* The most frequent ones, with malloc's fast path. */
#define NEW_PLAIN(name)                                                \
    void *name(size_t size);                                           \
    EXPORT void *name(size_t size)                                     \
    {                                                                  \
        if (attribution_is_on())                                       \
            return make_for_caller(size, CALLER_PLACE);                \
        void *p = alloc_fast(SLUICE_MODULE_DEFAULT, size);             \
        return __builtin_expect(p != NULL, 1) ? p : make_behind(size); \
    }
#define DELETE(name, parameters) \
    void name parameters;        \
    EXPORT void name parameters  \
    {                            \
        free_fast(p);            \
    }

NEW_PLAIN(_Znwm)
NEW_PLAIN(_Znam)
NEW(_ZnwmSt11align_val_t, (size_t size, size_t alignment), make(module, size, alignment))
NEW(_ZnamSt11align_val_t, (size_t size, size_t alignment), make(module, size, alignment))
NEW(_ZnwmRKSt9nothrow_t, (size_t size, const void *tag), make_nothrow(module, size, 0))
NEW(_ZnamRKSt9nothrow_t, (size_t size, const void *tag), make_nothrow(module, size, 0))
NEW(_ZnwmSt11align_val_tRKSt9nothrow_t, (size_t size, size_t alignment, const void *tag),
    make_nothrow(module, size, alignment))
NEW(_ZnamSt11align_val_tRKSt9nothrow_t, (size_t size, size_t alignment, const void *tag),
    make_nothrow(module, size, alignment))

DELETE(_ZdlPv, (void *p))
DELETE(_ZdaPv, (void *p))
DELETE(_ZdlPvm, (void *p, size_t size))
DELETE(_ZdaPvm, (void *p, size_t size))
DELETE(_ZdlPvSt11align_val_t, (void *p, size_t alignment))
DELETE(_ZdaPvSt11align_val_t, (void *p, size_t alignment))
DELETE(_ZdlPvmSt11align_val_t, (void *p, size_t size, size_t alignment))
DELETE(_ZdaPvmSt11align_val_t, (void *p, size_t size, size_t alignment))
DELETE(_ZdlPvRKSt9nothrow_t, (void *p, const void *tag))
DELETE(_ZdaPvRKSt9nothrow_t, (void *p, const void *tag))
DELETE(_ZdlPvSt11align_val_tRKSt9nothrow_t, (void *p, size_t alignment, const void *tag))
DELETE(_ZdaPvSt11align_val_tRKSt9nothrow_t, (void *p, size_t alignment, const void *tag))
