/* lives.c - what happens in the life of a process: threads that come and go, forks, programs that close and limit what they
 * can, exits. Each case is one run. Usage: lives CASE */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static int failed;

static void expect(const char *what, long found, long wanted)
{
    if (found != wanted) {
        printf("FAILED: %s: %ld, not %ld\n", what, found, wanted);
        failed = 1;
    }
}

/* Some work with every kind of size. Returns 0 when memory kept what was written. */
static int work(unsigned seed, int rounds)
{
    enum { KEPT = 50 };
    static const size_t sizes[] = {1, 24, 100, 700, 5000, 40000, 200000, 3 << 20};
    unsigned char *kept[KEPT] = {NULL};
    size_t of[KEPT] = {0};
    int wrong = 0;
    for (int i = 0; i < rounds; i++) {
        seed = seed * 1103515245 + 12345;
        unsigned at = seed >> 16 & 0xffff;
        size_t k = at % KEPT;
        if (kept[k] != NULL)
            wrong |= kept[k][0] != k || kept[k][of[k] - 1] != k;
        free(kept[k]);
        of[k] = sizes[at / KEPT % (i % 20 == 0 ? 8 : 5)];
        kept[k] = malloc(of[k]);
        if (kept[k] == NULL)
            return 2;
        kept[k][0] = (unsigned char)k;
        kept[k][of[k] - 1] = (unsigned char)k;
    }
    for (int k = 0; k < KEPT; k++)
        free(kept[k]);
    return wrong;
}

static int wait_for(pid_t child)
{
    int status = -1;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

/* Bytes resident. */
static long resident(void)
{
    long pages = 0, all = 0;
    FILE *statm = fopen("/proc/self/statm", "r");
    if (statm == NULL || fscanf(statm, "%ld %ld", &all, &pages) != 2)
        pages = -1;
    if (statm != NULL)
        fclose(statm);
    return pages * 4096;
}

/* ---- Threads -------------------------------------------------------------------------------- */

static void *short_life(void *arg)
{
    char *p = malloc((size_t)(uintptr_t)arg % 3000 + 1);
    *p = 1;
    return p; /* freed by another */
}

static void churn(void)
{
    long after_some = 0;
    for (int i = 0; i < 100000; i++) {
        pthread_t thread;
        void *p = NULL;
        if (pthread_create(&thread, NULL, short_life, (void *)(uintptr_t)i) != 0)
            break;
        pthread_join(thread, &p);
        free(p);
        if (i == 5000)
            after_some = resident();
    }
    expect("threads that are gone hold no memory", resident() - after_some < 4 << 20, 1);
}

static void *on_small_stack(void *arg)
{
    char *text = NULL;
    (void)arg;
    if (asprintf(&text, "%d", 7) < 0)
        return (void *)1;
    free(text);
    return (void *)(uintptr_t)work(3, 3000);
}

static void small_stacks(void)
{
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    expect("a stack of 32 KiB", pthread_attr_setstacksize(&attr, 32 << 10), 0);
    for (int i = 0; i < 20; i++) {
        pthread_t thread;
        void *result;
        pthread_create(&thread, &attr, on_small_stack, NULL);
        pthread_join(thread, &result);
        expect("work on it", (long)(uintptr_t)result, 0);
    }
}

/* ---- Forks ----------------------------------------------------------------------------------- */

static atomic_int stop;

static void *busy(void *arg)
{
    int wrong = 0;
    for (unsigned i = 0; !atomic_load(&stop); i++)
        wrong |= work((unsigned)(uintptr_t)arg + i, 200);
    return (void *)(uintptr_t)wrong;
}

static pthread_t threads[8];

static void start_threads(void *(*run)(void *))
{
    for (uintptr_t i = 0; i < 8; i++)
        pthread_create(&threads[i], NULL, run, (void *)i);
}

static void end_threads(void)
{
    atomic_store(&stop, 1);
    for (int i = 0; i < 8; i++) {
        void *wrong = NULL;
        pthread_join(threads[i], &wrong);
        expect("a thread's memory", (long)(uintptr_t)wrong, 0);
    }
}

static void *thread_of_child(void *arg)
{
    return (void *)(uintptr_t)work((unsigned)(uintptr_t)arg, 500);
}

/* A child that goes on as a program does: threads of its own, and a child of its own. */
static int live_on(unsigned seed)
{
    pthread_t thread;
    void *wrong = NULL;
    int result = work(seed, 500);
    if (pthread_create(&thread, NULL, thread_of_child, (void *)(uintptr_t)seed) != 0)
        return 3;
    pthread_join(thread, &wrong);
    pid_t child = fork();
    if (child == 0)
        _exit(work(seed + 1, 100));
    return result | (int)(uintptr_t)wrong | wait_for(child);
}

static void forks(void)
{
    start_threads(busy);
    for (unsigned i = 0; i < 60; i++) {
        pid_t child = fork();
        if (child == 0)
            _exit(live_on(i));
        expect("a child that goes on", wait_for(child), 0);
        child = fork();
        if (child == 0) {
            execl("/bin/true", "true", (char *)NULL);
            _exit(9);
        }
        expect("a child that executes", wait_for(child), 0);
        child =
            vfork(); /* NOLINT(clang-analyzer-security.insecureAPI.vfork): it is what is tested */
        if (child == 0) {
            execl("/bin/true", "true", (char *)NULL);
            _exit(9);
        }
        expect("a child by vfork", wait_for(child), 0);
        char *const args[] = {"true", NULL};
        expect("posix_spawn", posix_spawn(&child, "/bin/true", NULL, NULL, args, environ), 0);
        expect("a child by posix_spawn", wait_for(child), 0);
    }
    end_threads();
}

static int cloned(void *arg)
{
    return work((unsigned)(uintptr_t)arg, 1000);
}

/* A child has no thread of the library, which notices as after a fork and makes one that serves this process. */
static int cloned_and_served(void *arg)
{
    struct timespec start, now;
    clock_gettime(CLOCK_MONOTONIC, &start);
    for (;;) {
        void *volatile large = malloc(64 << 20); // Beyond what any cache keeps.
        free(large);
        int wrong = work((unsigned)(uintptr_t)arg, 100);
        if (wrong != 0)
            return wrong;
        struct stat tasks;
        if (stat("/proc/self/task", &tasks) == 0 &&
            tasks.st_nlink > 3) /* itself, its parent, a folder each */
            return 0;
        clock_gettime(CLOCK_MONOTONIC, &now);
        if (now.tv_sec - start.tv_sec > 20)
            return 3;
    }
}

/* As programs do that make name spaces of their own: past fork() and its handlers. */
static void clones(void)
{
    static char stack[128 << 10] __attribute__((aligned(16)));
    expect("work", work(1, 1000), 0);
    for (unsigned i = 0; i < 10; i++) {
        pid_t child = clone(cloned_and_served, stack + sizeof stack, SIGCHLD, (void *)(uintptr_t)i);
        expect("a child by clone", wait_for(child), 0);
    }
    start_threads(busy);
    for (unsigned i = 0; i < 100; i++) {
        pid_t child = clone(cloned, stack + sizeof stack, SIGCHLD, (void *)(uintptr_t)i);
        expect("a child by clone, of threads that allocate", wait_for(child), 0);
        expect("work", work(i, 100), 0);
    }
    end_threads();
}

/* Fork waits for the streams' locks, and whoever holds one allocates. */
static FILE *stream;

static void *read_lines(void *arg)
{
    (void)arg;
    char *line = NULL;
    size_t size = 0;
    while (!atomic_load(&stop)) {
        flockfile(stream);
        rewind(stream);
        while (getline(&line, &size, stream) > 0)
            ;
        free(line);
        line = NULL;
        size = 0;
        funlockfile(stream);
        fflush(NULL);
    }
    return NULL;
}

static void forks_and_streams(void)
{
    stream = tmpfile();
    for (int i = 0; i < 300; i++)
        fprintf(stream, "%*d\n", i * 7 % 900, i);
    start_threads(read_lines);
    for (int i = 0; i < 200; i++) {
        pid_t child = fork();
        if (child == 0) {
            free(malloc(1000));
            _exit(0);
        }
        expect("a child while streams are read", wait_for(child), 0);
    }
    end_threads();
}

/* ---- Limits and rights ----------------------------------------------------------------------- */

static void closed(void)
{
    expect("work", work(1, 2000), 0);
    expect("close_range", close_range(3, ~0u, 0), 0);
    int first = open("/dev/null", O_RDWR), second = open("/dev/zero", O_RDONLY);
    expect("the lowest number is free", first, 3);
    expect("and the next", second, 4);
    expect("work without descriptors", work(2, 20000), 0);
    usleep(50000); /* whatever may work in the background has its chance to take them for its own */
    expect("work without descriptors", work(3, 20000), 0);
    char byte = 1;
    expect("they are the program's", write(first, "x", 1), 1);
    expect("they are the program's", read(second, &byte, 1) == 1 && byte == 0, 1);
    struct rlimit none = {3, 3};
    setrlimit(RLIMIT_NOFILE, &none);
    expect("work when no descriptor can be had", work(4, 20000), 0);
}

static void little_address_space(void)
{
    struct rlimit limit = {400u << 20, 400u << 20};
    expect("work", work(1, 1000), 0);
    setrlimit(RLIMIT_AS, &limit);
    expect("work in 400 MiB", work(2, 20000), 0);
    errno = 0;
    void *volatile huge = malloc((size_t)1 << 30);
    expect("too much fails", huge == NULL && errno == ENOMEM, 1);
    char *kept[500];
    int n = 0;
    while (n < 500 && (kept[n] = malloc(1 << 20)) != NULL)
        memset(kept[n++], 1, 1 << 20);
    /* What was reserved when the limit came is there; how much that is, its steps decide. */
    expect("at some time it is full", n > 8 && n < 400, 1);
    void *volatile small = malloc(10);
    free(small);
    while (n > 0)
        free(kept[--n]);
    expect("and it goes on", work(3, 5000), 0);
}

static void fewer_rights(void)
{
    char folder[] = "/tmp/lives.XXXXXX";
    expect("work", work(1, 1000), 0);
    if (geteuid() != 0 || mkdtemp(folder) == NULL)
        return;
    if (chroot(folder) != 0 || chdir("/") != 0)
        return; /* root in name only */
    rmdir(folder);
    int is_allowed = setgid(65534) == 0 && setuid(65534) == 0;
    (void)is_allowed;
    expect("work in an empty folder, as nobody", work(2, 20000), 0);
}

/* ---- The end --------------------------------------------------------------------------------- */

static void *early;

static void at_exit(void)
{
    free(early);
    early = malloc(100);
    free(early);
    if (work(9, 500) != 0)
        _exit(1);
}

static __attribute__((destructor)) void last(void)
{
    if (early != NULL && work(10, 500) != 0)
        _exit(1);
}

static void exits(void)
{
    early = malloc(5000);
    atexit(at_exit);
    start_threads(busy); /* and they are busy still when the process ends */
}

static void *goes_on(void *arg)
{
    (void)arg;
    sched_yield();
    exit(work(5, 1000));
}

static void main_thread_ends(void)
{
    pthread_t thread;
    pthread_create(&thread, NULL, goes_on, NULL);
    pthread_exit(NULL);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } cases[] = {{"churn", churn},
                 {"small_stacks", small_stacks},
                 {"forks", forks},
                 {"clones", clones},
                 {"forks_and_streams", forks_and_streams},
                 {"closed", closed},
                 {"little_address_space", little_address_space},
                 {"fewer_rights", fewer_rights},
                 {"exits", exits},
                 {"main_thread_ends", main_thread_ends}};
    for (size_t i = 0; argc == 2 && i < sizeof cases / sizeof cases[0]; i++) {
        if (strcmp(argv[1], cases[i].name) != 0)
            continue;
        cases[i].run();
        return failed;
    }
    return 2;
}
