/* lists.h - the least that serves modules and sizes: a thread's free list for each module and size class, the same classes as
 * Sluice's, and a table that says for a pointer which list it came from. No policy that may change, no accounting, no limits, no
 * other thread, no check of the pointer, and nothing ever goes back. What an allocator with modules is to be held against. */
#ifndef SLUICE_TOOLS_BENCH_LISTS_H
#define SLUICE_TOOLS_BENCH_LISTS_H

#include <stddef.h>

#define LISTS_MODULES 32

/* size: up to 1,024. The program ends without memory. One thread. */
void *lists_malloc(unsigned module, size_t size);
void lists_free(void *p); /* of lists_malloc(); NULL does nothing */

#endif
