/* builtin.c - the list of built-in backends. One line for each: nothing registers itself. */
#include "backends/builtin.h"

#include <stddef.h>

#include "core/registry.h"

const struct sluice_backend_ops *const builtin_backends[] = {
    &pool_ops, &region_ops, &mmap_ops, &glibc_ops, &jemalloc_ops, NULL,
};
