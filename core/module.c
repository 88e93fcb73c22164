/* module.c - see module.h. */
#include "core/module.h"

#include <string.h>

#include "core/error.h"
#include "core/lock.h"
#include "core/meta.h"
#include "core/policy.h"
#include "core/thread.h"

#define HASH_SIZE (2 * MODULE_CAPACITY)

/* An override outlives policies and may come before its module. */
struct override {
    struct override *next;
    char module[MODULE_NAME_MAX + 1];
    char backend[MODULE_NAME_MAX + 1];
};

static struct lock modules_lock;
static _Atomic(struct module *) modules[MODULE_CAPACITY];
static _Atomic uint32_t count;
static uint16_t by_hash[HASH_SIZE]; /* id + 1; 0: free. Linear probing */
static struct override *overrides;

static uint32_t hash_name(const char *name)
{
    uint32_t h = 2166136261u; /* FNV-1a */
    for (; *name != '\0'; name++)
        h = (h ^ (unsigned char)*name) * 16777619u;
    return h;
}

struct module *module_get(sluice_module id)
{
    if (id >= MODULE_CAPACITY)
        return NULL;
    return atomic_load_explicit(&modules[id], memory_order_acquire);
}

uint32_t module_count(void)
{
    return atomic_load_explicit(&count, memory_order_acquire);
}

static bool name_is_good(const char *name)
{
    size_t n = 0;
    for (; name[n] != '\0'; n++)
        if (n == MODULE_NAME_MAX || (unsigned char)name[n] < 0x20 || name[n] == 0x7f)
            return false;
    return n > 0;
}

static struct module *module_make(const char *name, uint32_t id)
{
    struct module *m = meta_alloc(sizeof *m);
    size_t n = strlen(name) + 1;
    char *copy = meta_alloc(n);
    if (m == NULL || copy == NULL) {
        meta_free(m, sizeof *m);
        meta_free(copy, n);
        return NULL;
    }
    memcpy(copy, name, n);
    m->id = (sluice_module)id;
    m->name = copy;
    m->step = 1;
    return m;
}

/* In modules_lock. */
static sluice_module find_or_make(const char *name, enum sluice_result *why)
{
    uint32_t at = hash_name(name) % HASH_SIZE;
    for (; by_hash[at] != 0; at = (at + 1) % HASH_SIZE)
        if (strcmp(modules[by_hash[at] - 1]->name, name) == 0)
            return (sluice_module)(by_hash[at] - 1);
    uint32_t n = module_count();
    struct module *m = n < MODULE_CAPACITY ? module_make(name, n) : NULL;
    if (m == NULL) {
        *why = n < MODULE_CAPACITY ? SLUICE_ERROR_NO_MEMORY : SLUICE_ERROR_LIMIT;
        return SLUICE_MODULE_INVALID;
    }
    by_hash[at] = (uint16_t)(m->id + 1);
    atomic_store_explicit(&modules[m->id], m, memory_order_release);
    atomic_store_explicit(&count, n + 1, memory_order_release);
    return m->id;
}

sluice_module module_register(const char *name, enum sluice_result *why)
{
    *why = SLUICE_OK;
    if (name == NULL || !name_is_good(name)) {
        *why = error_set(SLUICE_ERROR_INVALID,
                         "a module's name has 1 to %d bytes and no control characters",
                         MODULE_NAME_MAX);
        return SLUICE_MODULE_INVALID;
    }
    lock_acquire(&modules_lock);
    sluice_module id = find_or_make(name, why);
    lock_release(&modules_lock);
    if (*why == SLUICE_ERROR_LIMIT)
        error_set(*why, "no module \"%s\": all %d module ids are in use", name, MODULE_CAPACITY);
    else if (*why == SLUICE_ERROR_NO_MEMORY)
        error_set(*why, "no memory for module \"%s\"", name);
    return id;
}

sluice_module module_register_unless_forking(const char *name)
{
    enum sluice_result why = SLUICE_OK;
    if (!name_is_good(name) || !thread_lock_unless_diverted(&modules_lock))
        return SLUICE_MODULE_INVALID;
    sluice_module id = find_or_make(name, &why);
    lock_release(&modules_lock);
    return id;
}

static struct override **override_find(const char *module)
{
    struct override **at = &overrides;
    while (*at != NULL && strcmp((*at)->module, module) != 0)
        at = &(*at)->next;
    return at;
}

enum sluice_result module_set_override(const char *module, const char *backend)
{
    if (module == NULL || !name_is_good(module) || (backend != NULL && !name_is_good(backend)))
        return error_set(SLUICE_ERROR_INVALID,
                         "an override needs a module and a backend of 1 to %d bytes",
                         MODULE_NAME_MAX);
    enum sluice_result result = SLUICE_OK;
    lock_acquire(&modules_lock);
    struct override **at = override_find(module), *o = *at;
    if (backend == NULL && o != NULL) {
        *at = o->next;
        meta_free(o, sizeof *o);
    } else if (backend != NULL && o == NULL) {
        o = meta_alloc(sizeof *o);
        if (o != NULL) {
            strcpy(o->module, module);
            o->next = overrides;
            overrides = o;
        } else {
            result = SLUICE_ERROR_NO_MEMORY;
        }
    }
    if (backend != NULL && o != NULL)
        strcpy(o->backend, backend);
    lock_release(&modules_lock);
    return result == SLUICE_OK ? result
                               : error_set(result, "no memory for an override of \"%s\"", module);
}

bool module_get_override(const char *module, char *buffer)
{
    lock_acquire(&modules_lock);
    struct override *o = *override_find(module);
    if (o != NULL)
        strcpy(buffer, o->backend);
    lock_release(&modules_lock);
    return o != NULL;
}

bool module_is_overridden_with(const char *backend)
{
    lock_acquire(&modules_lock);
    const struct override *o = overrides;
    while (o != NULL && strcmp(o->backend, backend) != 0)
        o = o->next;
    lock_release(&modules_lock);
    return o != NULL;
}

bool module_init(void)
{
    enum sluice_result why;
    return module_register("default", &why) == SLUICE_MODULE_DEFAULT;
}

void modules_fork_prepare(void)
{
    lock_acquire(&modules_lock);
}

void modules_fork_end(void)
{
    lock_release(&modules_lock);
}
