/* registry.h - the backends that exist: the built-in list, and plugins. */
#ifndef SLUICE_CORE_REGISTRY_H
#define SLUICE_CORE_REGISTRY_H

#include <sluice/backend.h>

/* The seam to backends/: core declares the list, backends/builtin.c defines it. NULL-terminated. */
extern const struct sluice_backend_ops *const builtin_backends[];

#define REGISTRY_CAPACITY 64

/* The frozen table of a kind, or NULL. Any thread. */
const struct sluice_backend_ops *registry_find(const char *kind);

/* All kinds, for messages and for the policy: calls fn for each, in order of registration. */
void registry_each(void (*fn)(const struct sluice_backend_ops *ops, void *arg), void *arg);

/* Opens a plugin (a path with a slash, or a bare name that is looked for in $SLUICE_PLUGIN_PATH, in the folder
 * sluice/backends beside libsluice.so, and by the loader), registers it and gives its table. Opening the same
 * library again finds it. Fails as sluice_backend_load() does, with *out NULL. Not inside sections (dlopen allocates). */
enum sluice_result registry_load(const char *library, const struct sluice_backend_ops **out);

/* Registers the built-in list. The first call does it; so tools that only read policies need no more. */
void registry_init(void);

void registry_fork_prepare(void);
void registry_fork_end(void);

#endif
