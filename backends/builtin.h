/* builtin.h - the backends that are compiled in. builtin.c lists them for the registry
 * (core/registry.h). */
#ifndef SLUICE_BACKENDS_BUILTIN_H
#define SLUICE_BACKENDS_BUILTIN_H

#include <sluice/backend.h>

extern const struct sluice_backend_ops pool_ops;
extern const struct sluice_backend_ops region_ops;
extern const struct sluice_backend_ops mmap_ops;
extern const struct sluice_backend_ops glibc_ops;
extern const struct sluice_backend_ops jemalloc_ops;

#endif
