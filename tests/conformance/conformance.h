/* conformance.h - what every backend must do, seen through the public interface alone.
 *
 * The backend under test comes from the environment, as a policy would write it:
 *     SLUICE_TEST_BACKEND=mmap
 *     SLUICE_TEST_BACKEND='{kind: plugin, library: ./libmine.so}'
 * Each case runs in a process of its own, with a library that nothing has used before.
 *
 * SLUICE_TEST_EXCEPT names cases, separated by commas, that this backend is known not to pass;
 * they are not run, and the suite says so.
 */
#ifndef SLUICE_TESTS_CONFORMANCE_H
#define SLUICE_TESTS_CONFORMANCE_H

#include <check.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sluice/sluice.h>

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)
#define GIB ((size_t)1 << 30)

/* Module of all cases; its allocations go to the backend under test. */
extern sluice_module module;

/* Loads a policy in which `subject` is the backend under test and the default; `more` is appended
 * to it. */
void use_backend(const char *more);

TCase *objects_cases(void); /* conformance_objects.c: one thread, one object at a time */
TCase *threads_cases(void); /* conformance_threads.c */
TCase *memory_cases(void);  /* conformance_memory.c: what the kernel and the statistics say */
TCase *limit_cases(void);   /* there, too: the hard limit */

/* Adds a case that runs `rounds` times, with _i from 0 on, unless SLUICE_TEST_EXCEPT names it. */
#define ADD_CASE(tcase, name, rounds)                    \
    do {                                                 \
        if (!is_excepted(#name))                         \
            tcase_add_loop_test(tcase, name, 0, rounds); \
    } while (0)
bool is_excepted(const char *name);

/* ---- Helpers --------------------------------------------------------------------------------- */

/* A small random number generator; the state is the caller's, and never 0. */
uint64_t random_next(uint64_t *state);

/* A size between low and high, small ones more often: every power of two is as likely as any
 * other. */
size_t random_size(uint64_t *state, size_t low, size_t high);

/* Fills an object with what `seed` says, and looks whether it is still there. */
void fill(void *p, size_t size, uint64_t seed);
bool is_filled(const void *p, size_t size, uint64_t seed);
bool is_zero(const void *p, size_t size);

/* Memory that neither the backend nor libc's malloc provides, resident from the start. */
void *test_memory(size_t size);

struct sluice_module_stats stats_now(void);

/* As ck_assert(), for threads and for children of a fork: libcheck's own lock may be held there.
 * Says what failed and aborts. */
#define REQUIRE(condition) ((condition) ? (void)0 : require_failed(#condition, __FILE__, __LINE__))
_Noreturn void require_failed(const char *condition, const char *file, int line);

/* What the kernel says that the process has: Rss less LazyFree of /proc/self/smaps_rollup, bytes.
 */
uint64_t kernel_resident(void);

/* Built with a sanitizer, which keeps memory of its own: figures of the kernel mean little. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

#endif
