/* testing.c - see testing.h. */
#include "tests/support/testing.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/arena.h"
#include "core/module.h"

/* ---- Policies -------------------------------------------------------------------------------- */

void use_policy(const char *yaml)
{
    char text[16384];
    int n = snprintf(text, sizeof text, "sluice: 1\n%s", yaml);
    ck_assert_int_lt(n, (int)sizeof text);
    enum sluice_result result = sluice_policy_load_string(text, (size_t)n);
    ck_assert_msg(result == SLUICE_OK, "%s\n%s", sluice_error_message(), text);
}

sluice_module use_module(const char *name)
{
    sluice_module m = sluice_module_register(name);
    ck_assert_msg(m != SLUICE_MODULE_INVALID, "%s", sluice_error_message());
    return m;
}

struct sluice_module_stats stats_of(sluice_module module)
{
    struct sluice_module_stats s = {.struct_size = sizeof s};
    ck_assert_int_eq(sluice_stats_module(module, &s), SLUICE_OK);
    return s;
}

struct sluice_process_stats process_stats(void)
{
    struct sluice_process_stats s = {.struct_size = sizeof s};
    ck_assert_int_eq(sluice_stats_process(&s), SLUICE_OK);
    return s;
}

struct sluice_reload_status reload_status(void)
{
    struct sluice_reload_status s = {.struct_size = sizeof s};
    ck_assert_int_eq(sluice_reload_status(&s), SLUICE_OK);
    return s;
}

const char *kind_of(const void *p)
{
    struct sluice_owner owner = {.struct_size = sizeof owner};
    return sluice_owner(p, &owner) == SLUICE_OK ? owner.kind : "nobody";
}

uint64_t held_by(sluice_module module)
{
    return atomic_load(&module_get(module)->held);
}

/* Of the sanitizers' runtime, when there is one: sanitizer/common_interface_defs.h. */
extern void __sanitizer_set_report_fd(void *fd) __attribute__((weak));

void silence_log(void)
{
    int old = dup(STDERR_FILENO);
    ck_assert_int_ge(old, 0);
    ck_assert_ptr_nonnull(freopen("/dev/null", "w", stderr));
    if (__sanitizer_set_report_fd != NULL)
        __sanitizer_set_report_fd((void *)(uintptr_t)old);
    else
        close(old);
}

/* ---- Randomness and content ------------------------------------------------------------------ */

uint64_t test_random(uint64_t *state)
{
    /* S. Vigna, "An experimental exploration of Marsaglia's xorshift generators", 2014 */
    uint64_t x = *state;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    *state = x;
    return x * UINT64_C(0x2545F4914F6CDD1D);
}

size_t test_random_size(uint64_t *state, size_t high)
{
    unsigned last = 63 - (unsigned)__builtin_clzll(high);
    size_t power = (size_t)1 << test_random(state) % (last + 1);
    size_t size = power + test_random(state) % power;
    return size > high ? high : size;
}

/* The content depends on the place alone, so that the start of an object can be looked at, too. */
static uint64_t word_at(uint64_t seed, size_t i)
{
    return (seed + i / 8) * UINT64_C(0x9E3779B97F4A7C15) ^ seed;
}

void test_fill(void *p, size_t size, uint64_t seed)
{
    char *at = p;
    for (size_t i = 0; i < size; i += 8) {
        uint64_t word = word_at(seed, i);
        memcpy(at + i, &word, size - i < 8 ? size - i : 8);
    }
}

bool test_is_filled(const void *p, size_t size, uint64_t seed)
{
    const char *at = p;
    size_t i = 0;
    for (; i + 8 <= size; i += 8) {
        uint64_t word;
        memcpy(&word, at + i, 8);
        if (word != word_at(seed, i))
            return false;
    }
    uint64_t word = word_at(seed, i);
    return memcmp(at + i, &word, size - i) == 0;
}

bool test_is_zero(const void *p, size_t size)
{
    const char *at = p;
    return size == 0 || (at[0] == 0 && memcmp(at, at + 1, size - 1) == 0);
}

void *test_memory(size_t size)
{
    void *p =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    ck_assert_ptr_ne(p, MAP_FAILED);
    return p;
}

/* ---- Time ------------------------------------------------------------------------------------ */

uint64_t now_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

bool wait_until(bool (*done)(void *arg), void *arg, unsigned ms)
{
    uint64_t end = now_ms() + ms;
    while (!done(arg)) {
        if (now_ms() > end)
            return false;
        nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
    }
    return true;
}

struct count {
    const _Atomic uint32_t *n;
    uint32_t at_least;
};

static bool has_count(void *arg)
{
    struct count *c = arg;
    return atomic_load(c->n) >= c->at_least;
}

bool wait_for_count(const _Atomic uint32_t *n, uint32_t at_least, unsigned ms)
{
    return wait_until(has_count, &(struct count){n, at_least}, ms);
}

/* ---- The kernel's figures -------------------------------------------------------------------- */

static uint64_t field_of(const char *text, const char *name)
{
    const char *at = strstr(text, name);
    return at == NULL ? 0 : strtoull(at + strlen(name), NULL, 10) * 1024;
}

static void read_rollup(char *text, size_t size)
{
    int fd = open("/proc/self/smaps_rollup", O_RDONLY | O_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    size_t n = 0;
    for (ssize_t got; n < size - 1 && (got = read(fd, text + n, size - 1 - n)) > 0;)
        n += (size_t)got;
    text[n] = '\0';
    close(fd);
}

uint64_t kernel_resident(void)
{
    char text[4096];
    read_rollup(text, sizeof text);
    uint64_t rss = field_of(text, "Rss:"), lazy = field_of(text, "LazyFree:");
    ck_assert_uint_gt(rss, 0);
    return rss - lazy;
}

uint64_t kernel_huge(void)
{
    char text[4096];
    read_rollup(text, sizeof text);
    return field_of(text, "AnonHugePages:");
}

uint64_t resident_between(const void *p, size_t size)
{
    static unsigned char pages[65536];
    char *at = (char *)((uintptr_t)p & ~(uintptr_t)4095), *end = (char *)(uintptr_t)p + size;
    uint64_t n = 0;
    while (at < end) {
        size_t some = (size_t)(end - at);
        some = some > sizeof pages * 4096 ? sizeof pages * 4096 : some;
        if (mincore(at, some, pages) == 0)
            for (size_t i = 0; i < (some + 4095) / 4096; i++)
                n += pages[i] & 1u;
        at += some;
    }
    return n * 4096;
}

/* ---- Threads and children -------------------------------------------------------------------- */

void run_threads(unsigned n, void *(*fn)(void *index))
{
    pthread_t threads[256];
    ck_assert_uint_le(n, LENGTH(threads));
    for (unsigned i = 0; i < n; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, fn, (void *)(uintptr_t)i), 0);
    for (unsigned i = 0; i < n; i++)
        pthread_join(threads[i], NULL);
}

static size_t read_for(int fd, char *text, size_t size, uint64_t end)
{
    size_t n = 0;
    for (;;) {
        uint64_t now = now_ms();
        struct pollfd ready = {.fd = fd, .events = POLLIN};
        if (now >= end || poll(&ready, 1, (int)(end - now)) <= 0)
            break;
        char drop[512];
        bool room = n < size - 1;
        ssize_t got = room ? read(fd, text + n, size - 1 - n) : read(fd, drop, sizeof drop);
        if (got <= 0)
            break;
        n += room ? (size_t)got : 0;
    }
    text[n] = '\0';
    return n;
}

static bool has_ended(void *arg)
{
    struct child *child = ((void **)arg)[0];
    pid_t pid = *(pid_t *)((void **)arg)[1];
    return waitpid(pid, &child->status, WNOHANG) == pid;
}

#ifdef __SANITIZE_ADDRESS__

static bool other_threads_sleep(void *unused)
{
    (void)unused;
    DIR *tasks = opendir("/proc/self/task");
    ck_assert_ptr_nonnull(tasks);
    bool sleep = true;
    for (struct dirent *entry; sleep && (entry = readdir(tasks)) != NULL;) {
        long tid = strtol(entry->d_name, NULL, 10);
        if (tid == 0 || tid == syscall(SYS_gettid))
            continue;
        char path[64];
        char stat[128] = "";
        snprintf(path, sizeof path, "/proc/self/task/%ld/stat", tid);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            continue; // It has ended.
        if (read(fd, stat, sizeof stat - 1) > 0) {
            const char *name_end = strrchr(stat, ')');
            sleep = name_end != NULL && strncmp(name_end, ") S", 3) == 0;
        }
        close(fd);
    }
    closedir(tasks);
    return sleep;
}

#endif

struct child run_child(void (*fn)(void *arg), void *arg, unsigned ms)
{
    struct child child;
    int fds[2];
    ck_assert_int_eq(pipe(fds), 0);
#ifdef __SANITIZE_ADDRESS__
    /* GCC's address sanitizer does not lock its own allocator around a fork: a thread that is inside, as one of Sluice's is
     * while it starts, leaves the child a lock that nobody opens. */
    wait_until(other_threads_sleep, NULL, 1000);
#endif
    uint64_t end = now_ms() + ms;
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        dup2(fds[1], STDERR_FILENO);
        close(fds[0]);
        close(fds[1]);
        fn(arg);
        _exit(0);
    }
    close(fds[1]);
    read_for(fds[0], child.error, sizeof child.error, end);
    close(fds[0]);
    void *both[] = {&child, &pid};
    if (!wait_until(has_ended, both, 100)) {
        uint64_t now = now_ms();
        if (now >= end || !wait_until(has_ended, both, (unsigned)(end - now))) {
            kill(pid, SIGKILL);
            waitpid(pid, &child.status, 0);
        }
    }
    return child;
}

bool child_succeeded(const struct child *child)
{
    return WIFEXITED(child->status) && WEXITSTATUS(child->status) == 0;
}

bool child_aborted(const struct child *child)
{
    return WIFSIGNALED(child->status) && WTERMSIG(child->status) == SIGABRT;
}

const char *test_folder(void)
{
    static char folder[4096];
    if (folder[0] != '\0')
        return folder;
    const char *base = getenv("TEST_TMPDIR");
    snprintf(folder, sizeof folder, "%s/sluice-XXXXXX", base == NULL ? "/tmp" : base);
    ck_assert_ptr_nonnull(mkdtemp(folder));
    return folder;
}

void write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ck_assert_msg(fd >= 0, "%s: %s", path, strerror(errno));
    size_t n = strlen(text);
    ck_assert_int_eq(write(fd, text, n), (ssize_t)n);
    close(fd);
}

int run_suite(const char *name, TCase *const *cases, size_t count)
{
    Suite *suite = suite_create(name);
    for (size_t i = 0; i < count; i++)
        suite_add_tcase(suite, cases[i]);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
