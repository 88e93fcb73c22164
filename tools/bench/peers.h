/* peers.h - other allocators, opened beside libc's: what is not installed is left out. */
#ifndef SLUICE_TOOLS_BENCH_PEERS_H
#define SLUICE_TOOLS_BENCH_PEERS_H

#include <stdbool.h>
#include <stddef.h>

struct mimalloc {
    void *(*malloc)(size_t size);
    void (*free)(void *p);
    void *(*heap_new)(void);
    void *(*heap_malloc)(void *heap, size_t size);
    void (*heap_destroy)(void *heap);
};

/* false: not installed; said on standard error. */
bool peers_open_mimalloc(struct mimalloc *out);

#endif
