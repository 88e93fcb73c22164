/* peers.c - see peers.h. */
#include "tools/bench/peers.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#define MIMALLOC "libmimalloc.so.2"

/* A function through dlsym() without a cast that ISO C forbids. */
static bool find(void *library, const char *name, void *function)
{
    void *symbol = dlsym(library, name);
    memcpy(function, &symbol, sizeof symbol);
    return symbol != NULL;
}

bool peers_open_mimalloc(struct mimalloc *out)
{
    void *library = dlopen(MIMALLOC, RTLD_NOW | RTLD_LOCAL);
    if (library != NULL && find(library, "mi_malloc", &out->malloc) &&
        find(library, "mi_free", &out->free) && find(library, "mi_heap_new", &out->heap_new) &&
        find(library, "mi_heap_malloc", &out->heap_malloc) &&
        find(library, "mi_heap_destroy", &out->heap_destroy))
        return true;
    fprintf(stderr, "bench: without mimalloc: %s\n", dlerror());
    return false;
}
