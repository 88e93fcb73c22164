/* glibc_libc.h - the C library's own allocator, in one place.
 *
 * A program that gets Sluice preloaded has Sluice behind the names malloc and free, so that the
 * preload library must reach libc's own by another way: it defines these functions itself. The
 * definitions in glibc_libc.c are weak and call the plain names.
 */
#ifndef SLUICE_BACKENDS_GLIBC_LIBC_H
#define SLUICE_BACKENDS_GLIBC_LIBC_H

#include <stddef.h>

void *libc_malloc(size_t size);
void *libc_calloc(size_t size); /* one object of `size` bytes, zero */
void *libc_aligned_alloc(size_t alignment, size_t size);
void *libc_realloc(void *p, size_t size);
void libc_free(void *p);
size_t libc_usable_size(void *p);

size_t libc_free_bytes(void); /* free in its heaps: mallinfo2().fordblks */
void libc_trim(void);         /* malloc_trim(0) */

#endif
