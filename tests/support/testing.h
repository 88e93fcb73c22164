/* testing.h - what tests of the running library share: policies, threads, waiting, figures of the kernel, children.
 *
 * Nothing here takes memory from malloc where a test measures memory, and no wait is a guess: wait_until() asks again and
 * again until a deadline that only a broken library reaches.
 */
#ifndef SLUICE_TESTS_SUPPORT_TESTING_H
#define SLUICE_TESTS_SUPPORT_TESTING_H

#include <check.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sluice/sluice.h>

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)
#define GIB ((size_t)1 << 30)

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

/* A sanitizer keeps memory of its own and takes a multiple of the time: figures of the kernel mean little, and loops are
 * shorter. TESTING_SCALE(n) is how often to do what is done n times otherwise. */
#if defined(__SANITIZE_THREAD__)
#define SANITIZED        1
#define TESTING_SCALE(n) ((n) / 8 > 0 ? (n) / 8 : 1)
#elif defined(__SANITIZE_ADDRESS__)
#define SANITIZED        1
#define TESTING_SCALE(n) ((n) / 4 > 0 ? (n) / 4 : 1)
#else
#define SANITIZED        0
#define TESTING_SCALE(n) (n)
#endif

/* ---- Policies -------------------------------------------------------------------------------- */

/* Loads a policy of these lines after "sluice: 1"; fails the test when it has a mistake. */
void use_policy(const char *yaml);

/* Registers a module; fails the test when that fails. */
sluice_module use_module(const char *name);

struct sluice_module_stats stats_of(sluice_module module);
struct sluice_process_stats process_stats(void);
struct sluice_reload_status reload_status(void);

/* The kind of backend that an object lies in. */
const char *kind_of(const void *p);

/* Bytes that the module's limit counts as taken (core/module.h), once every thread's credit is back. */
uint64_t held_by(sluice_module module);

/* Standard error goes nowhere from here on: a pipe that nobody reads to the end would block the log of thousands of
 * mistakes. What a sanitizer reports still goes where it went. */
void silence_log(void);

/* ---- Randomness and content ------------------------------------------------------------------ */

/* xorshift64*; the state is the caller's, and never 0. */
uint64_t test_random(uint64_t *state);

/* 1 to high, every power of two as likely as any other. */
size_t test_random_size(uint64_t *state, size_t high);

/* Fills an object with what seed says; looks whether it is still there. */
void test_fill(void *p, size_t size, uint64_t seed);
bool test_is_filled(const void *p, size_t size, uint64_t seed);
bool test_is_zero(const void *p, size_t size);

/* Zeroed memory that is no allocator's, resident from the start; for the life of the test. */
void *test_memory(size_t size);

/* ---- Time ------------------------------------------------------------------------------------ */

uint64_t now_ms(void);

/* Asks done(arg) until it says true, for so long at most. Returns its last answer. */
bool wait_until(bool (*done)(void *arg), void *arg, unsigned ms);

/* The same for a number that somebody else raises. */
bool wait_for_count(const _Atomic uint32_t *n, uint32_t at_least, unsigned ms);

/* ---- The kernel's figures -------------------------------------------------------------------- */

/* Rss less LazyFree of /proc/self/smaps_rollup, and its AnonHugePages, in bytes. Read with read(2). */
uint64_t kernel_resident(void);
uint64_t kernel_huge(void);

/* Resident bytes between two addresses (mincore). */
uint64_t resident_between(const void *p, size_t size);

/* ---- Threads and children -------------------------------------------------------------------- */

/* Runs fn(0) to fn(n - 1) as threads and waits for all. */
void run_threads(unsigned n, void *(*fn)(void *index));

struct child {
    int status;       /* as waitpid() says */
    char error[8192]; /* what it wrote to standard error */
};

/* Forks, runs fn(arg) and _exit(0) in the child, and waits. A child that takes longer than ms is killed. */
struct child run_child(void (*fn)(void *arg), void *arg, unsigned ms);

bool child_succeeded(const struct child *child);
bool child_aborted(const struct child *child);

/* Writes a file of the test's own folder (removed by nobody; Bazel's, or a fresh one in /tmp); returns its path. */
const char *test_folder(void);
void write_file(const char *path, const char *text);

/* Runs a suite of one case that may take so long, each test in a process of its own. Returns main()'s value. */
int run_suite(const char *name, TCase *const *cases, size_t count);

#endif
