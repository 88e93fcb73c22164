/* registry.c - see registry.h. Tables are copied and never change or go away. */
#include "core/registry.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/error.h"
#include "core/fork.h"
#include "core/lock.h"
#include "core/log.h"
#include "core/os.h"

#define NAME_MAX_LENGTH 63

struct entry {
    struct sluice_backend_ops ops;
    char library[256]; /* as it was asked for; "" for what was registered by a call */
    const struct sluice_backend_ops *origin; /* what was copied; in a plugin it stays where it is */
};

static struct lock registry_lock;
static struct entry entries[REGISTRY_CAPACITY];
static _Atomic int count;

const struct sluice_backend_ops *registry_find(const char *kind)
{
    registry_init();
    int n = atomic_load_explicit(&count, memory_order_acquire);
    for (int i = 0; i < n; i++)
        if (strcmp(entries[i].ops.name, kind) == 0)
            return &entries[i].ops;
    return NULL;
}

void registry_each(void (*fn)(const struct sluice_backend_ops *ops, void *arg), void *arg)
{
    registry_init();
    int n = atomic_load_explicit(&count, memory_order_acquire);
    for (int i = 0; i < n; i++)
        fn(&entries[i].ops, arg);
}

static const char *name_mistake(const char *name)
{
    size_t n = name == NULL ? 0 : strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-");
    if (n == 0 || n > NAME_MAX_LENGTH || name[n] != '\0')
        return "name: 1 to 63 of a-z 0-9 _ -";
    return NULL;
}

static const char *param_mistake(const struct sluice_param *p)
{
    if (name_mistake(p->name) != NULL)
        return "params: a name";
    if ((p->type == SLUICE_PARAM_CHOICE) != (p->choices != NULL))
        return "params: choices are for type CHOICE, and only for it";
    if (p->type != SLUICE_PARAM_CHOICE && p->type != SLUICE_PARAM_BOOL &&
        (p->minimum > p->maximum || p->default_value < p->minimum || p->default_value > p->maximum))
        return "params: minimum <= default_value <= maximum";
    return NULL;
}

/* What is wrong with a table, or NULL. */
static const char *mistake_in(const struct sluice_backend_ops *ops)
{
    if (ops->abi_version != SLUICE_BACKEND_ABI_VERSION)
        return "abi_version: not the one of this library";
    if (ops->struct_size < offsetof(struct sluice_backend_ops, realloc))
        return "struct_size: too small for the required entries";
    const char *mistake = name_mistake(ops->name);
    for (size_t i = 0; mistake == NULL && i < ops->param_count; i++)
        mistake = param_mistake(&ops->params[i]);
    if (mistake != NULL)
        return mistake;
    if (ops->arena_create == NULL || ops->arena_destroy == NULL)
        return "arena_create, arena_destroy: required";
    if (ops->alloc == NULL || ops->free == NULL || ops->usable_size == NULL || ops->stats == NULL)
        return "alloc, free, usable_size, stats: required";
    size_t size = ops->struct_size;
    if ((ops->capabilities & SLUICE_BACKEND_BULK_RESET) != 0 &&
        (size < offsetof(struct sluice_backend_ops, purge) || ops->reset == NULL))
        return "reset: required with SLUICE_BACKEND_BULK_RESET";
    return NULL;
}

static enum sluice_result register_from(const struct sluice_backend_ops *ops, const char *library)
{
    if (ops == NULL)
        return error_set(SLUICE_ERROR_INVALID, "a backend needs a table");
    const char *mistake = mistake_in(ops);
    if (mistake != NULL)
        return error_set(SLUICE_ERROR_INVALID, "backend table is not valid: %s", mistake);
    enum sluice_result result = SLUICE_OK;
    lock_acquire(&registry_lock);
    int n = atomic_load_explicit(&count, memory_order_relaxed);
    for (int i = 0; i < n; i++)
        if (strcmp(entries[i].ops.name, ops->name) == 0)
            result = SLUICE_ERROR_STATE;
    if (result == SLUICE_OK && n == REGISTRY_CAPACITY)
        result = SLUICE_ERROR_LIMIT;
    if (result == SLUICE_OK) {
        struct entry *e = &entries[n];
        size_t known = sizeof e->ops;
        memcpy(&e->ops, ops, ops->struct_size < known ? ops->struct_size : known);
        memcpy(e->library, library, strnlen(library, sizeof e->library - 1)); /* into zeros */
        e->origin = ops;
        atomic_store_explicit(&count, n + 1, memory_order_release);
    }
    lock_release(&registry_lock);
    if (result == SLUICE_ERROR_STATE)
        return error_set(result, "a backend of kind \"%s\" exists already", ops->name);
    if (result == SLUICE_ERROR_LIMIT)
        return error_set(result, "no room for backend \"%s\": %d exist", ops->name,
                         REGISTRY_CAPACITY);
    return result;
}

void registry_init(void)
{
    static _Atomic int once; /* 1: somebody does it, 2: done */
    int zero = 0;
    if (atomic_load_explicit(&once, memory_order_acquire) == 2)
        return;
    if (!atomic_compare_exchange_strong(&once, &zero, 1)) {
        while (atomic_load_explicit(&once, memory_order_acquire) != 2)
            ;
        return;
    }
    for (int i = 0; builtin_backends[i] != NULL; i++)
        if (register_from(builtin_backends[i], "") != SLUICE_OK)
            log_fatal("built-in backend %d: %s", i, sluice_error_message());
    atomic_store_explicit(&once, 2, memory_order_release);
}

enum sluice_result sluice_backend_register(const struct sluice_backend_ops *ops)
{
    registry_init();
    return register_from(ops, "");
}

/* ---- Plugins -------------------------------------------------------------------------------- */

static const struct sluice_backend_ops *loaded(const char *library)
{
    int n = atomic_load_explicit(&count, memory_order_acquire);
    for (int i = 0; i < n; i++)
        if (entries[i].library[0] != '\0' && strcmp(entries[i].library, library) == 0)
            return &entries[i].ops;
    return NULL;
}

/* "tcmalloc" is looked for as tcmalloc.so in a folder; false when it is not there. */
static bool in_folder(const char *folder, size_t length, const char *name, char *path)
{
    int n = snprintf(path, PATH_MAX, "%.*s/%s%s", (int)length, folder, name,
                     strstr(name, ".so") == NULL ? ".so" : "");
    return n > 0 && n < PATH_MAX && access(path, R_OK) == 0;
}

static bool find_plugin(const char *name, char *path)
{
    const char *list = os_is_privileged() ? NULL : getenv("SLUICE_PLUGIN_PATH");
    while (list != NULL && *list != '\0') {
        size_t n = strcspn(list, ":");
        if (n > 0 && in_folder(list, n, name, path))
            return true;
        list += n + (list[n] == ':');
    }
    Dl_info here;
    if (dladdr((void *)&registry_find, &here) != 0 && here.dli_fname != NULL) {
        const char *slash = strrchr(here.dli_fname, '/');
        size_t n = slash == NULL ? 0 : (size_t)(slash - here.dli_fname);
        static const char *const beside[] = {"sluice/backends", "../lib/sluice/backends"};
        for (size_t i = 0; slash != NULL && i < sizeof beside / sizeof *beside; i++) {
            char folder[PATH_MAX];
            int m = snprintf(folder, sizeof folder, "%.*s/%s", (int)n, here.dli_fname, beside[i]);
            if (m > 0 && m < PATH_MAX && in_folder(folder, (size_t)m, name, path))
                return true;
        }
    }
    return false;
}

/* A plugin under another name of its file: the dynamic linker knows that it is the same. */
static const struct sluice_backend_ops *loaded_from(const struct sluice_backend_ops *origin)
{
    int n = atomic_load_explicit(&count, memory_order_acquire);
    for (int i = 0; i < n; i++)
        if (entries[i].library[0] != '\0' && entries[i].origin == origin)
            return &entries[i].ops;
    return NULL;
}

/* Registers the table of an open library. */
static enum sluice_result register_plugin(void *handle, const char *library)
{
    const struct sluice_backend_ops *ops = dlsym(handle, "sluice_backend_plugin");
    if (ops == NULL)
        return error_set(SLUICE_ERROR_UNKNOWN,
                         "plugin \"%s\" does not export sluice_backend_plugin", library);
    if (loaded_from(ops) != NULL)
        return SLUICE_OK;
    if (ops->abi_version != SLUICE_BACKEND_ABI_VERSION)
        return error_set(SLUICE_ERROR_UNSUPPORTED,
                         "plugin \"%s\" was built for version %u of the interface, this library "
                         "has %u: build it again",
                         library, ops->abi_version, SLUICE_BACKEND_ABI_VERSION);
    enum sluice_result result = register_from(ops, library);
    if (result == SLUICE_ERROR_STATE && loaded_from(ops) != NULL)
        return SLUICE_OK; /* another thread was first */
    if (result != SLUICE_OK) {
        char why[256];
        snprintf(why, sizeof why, "%s", sluice_error_message());
        error_set(result, "plugin \"%s\": %s", library, why);
    }
    return result;
}

enum sluice_result registry_load(const char *library, const struct sluice_backend_ops **out)
{
    registry_init();
    *out = loaded(library);
    if (*out != NULL)
        return SLUICE_OK;
    if (strlen(library) >= sizeof entries[0].library)
        return error_set(SLUICE_ERROR_INVALID, "plugin \"%.40s...\": the name is too long",
                         library);
    char path[PATH_MAX];
    const char *open_as = library;
    if (strchr(library, '/') == NULL && find_plugin(library, path))
        open_as = path;
    void *handle = dlopen(open_as, RTLD_NOW | RTLD_LOCAL);
    if (handle == NULL) {
        const char *why = dlerror();
        return error_set(SLUICE_ERROR_IO, "plugin \"%s\" cannot be opened: %s", library,
                         why == NULL ? "unknown reason" : why);
    }
    enum sluice_result result = register_plugin(handle, library);
    if (result != SLUICE_OK) {
        dlclose(handle);
        return result;
    }
    *out = loaded_from(dlsym(handle, "sluice_backend_plugin"));
    fork_register();
    return SLUICE_OK; /* the handle stays open for good: objects and tables live in it */
}

enum sluice_result sluice_backend_load(const char *library)
{
    const struct sluice_backend_ops *ops;
    if (library == NULL || *library == '\0')
        return error_set(SLUICE_ERROR_INVALID, "sluice_backend_load: no library is named");
    return registry_load(library, &ops);
}

void registry_fork_prepare(void)
{
    lock_acquire(&registry_lock);
}

void registry_fork_end(void)
{
    lock_release(&registry_lock);
}
