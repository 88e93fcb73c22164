/* os.h - what the core asks of the kernel: address space, pages, time, and one unusual barrier. */
#ifndef SLUICE_CORE_OS_H
#define SLUICE_CORE_OS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OS_PAGE_SIZE ((size_t)4096)

/* Zeroed, readable and writable memory, not counted against commit limits until touched; NULL without
 * address space. `alignment` is a power of two of at least a page. Sizes are multiples of a page. */
void *os_map(size_t size, size_t alignment);

/* Memory that may be read, and is zero; it counts against no commit limit, until os_protect() gives the right to write. NULL
 * without address space. */
void *os_map_readable(size_t size);

/* How much address space the process may have (RLIMIT_AS), in bytes; SIZE_MAX: no limit. */
size_t os_address_space_limit(void);

/* As os_map, at addresses inside [low, high) only; NULL when nothing is free there, or the system has no memory. */
void *os_map_within(size_t size, size_t alignment, uintptr_t low, uintptr_t high);

/* false: the kernel refused (its table of mappings is full); the range is still mapped. */
bool os_unmap(void *p, size_t size);

/* Drops the pages: the next read sees zero. false: the kernel refused and the content may be old. */
bool os_purge(void *p, size_t size);

/* Moves the pages of [from, from + size) to `to`, over what is mapped there; what was at `from` reads as zero then. Both are
 * multiples of a page, in private anonymous mappings, and the kernel keeps a mapping of its own for what was moved. false:
 * it cannot (before Linux 5.7) or its table of mappings is full, and nothing has changed. */
bool os_move_pages(void *from, void *to, size_t size);

/* Leaves the pages to the kernel (MADV_FREE): it takes them when it needs memory, without asking; until then a
 * write makes them the program's again, at no cost. The content is old or zero. false: not supported here. */
bool os_lazy_free(void *p, size_t size);

/* Gives or takes the right to read and write. false: the kernel refused (its table of mappings is full). */
bool os_protect(void *p, size_t size, bool accessible);

enum os_huge { OS_HUGE_NEVER, OS_HUGE_DEFAULT, OS_HUGE_ALWAYS };
/* Advice on huge pages for a range; what the kernel refuses is ignored, it is only advice. */
void os_advise_huge(void *p, size_t size, enum os_huge huge);

/* Whether madvise(MADV_HUGEPAGE) has an effect here (/sys/kernel/mm/transparent_hugepage/enabled). */
bool os_huge_available(void);

/* Makes the pages resident now, without changing them. 0, or the error number; then some of them may be. */
int os_populate(void *p, size_t size);

/* Copies from an address that may be no memory at all; false then. A system call: for questions, not for allocation. */
bool os_read(void *to, const void *from, size_t size);

uint64_t os_now(void);      /* CLOCK_MONOTONIC, nanoseconds */
int64_t os_wall_time(void); /* seconds since 1970 */

/* A full memory barrier on every processor that runs a thread of this process. After it returns,
 * each other thread either sees all that the caller stored before, or has made visible to the caller
 * all that it stored before it could have seen that. So the other side of a store-then-load race
 * pays nothing but a compiler barrier. membarrier(2); where that is missing, a change of page
 * protection, which interrupts the same processors. */
void os_process_barrier(void);

/* Call once before the first os_process_barrier(), and in the child after fork. */
void os_process_barrier_init(void);

/* Gives the calling thread a table of descriptors of its own, an empty one: nothing that it opens meets a number of the
 * program's, and nothing that the program has open stays open because of it. false: the system has no such thing, and
 * nothing changed. */
bool os_leave_descriptors(void);

/* The thread that ran main() has ended, and the process lives on; true, too, when the system does not tell. */
bool os_main_thread_ended(void);

/* Besides the main thread, which has ended, the process has so many threads and no more: asks /proc, with a descriptor.
 * false, too, where that cannot be read. */
bool os_threads_are_only(unsigned n);

/* True in a set-user-id or set-group-id program, where the environment must not be trusted. */
bool os_is_privileged(void);

#endif
