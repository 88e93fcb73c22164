/* os.c - see os.h. Everything here is a thin, checked layer over system calls; errno is kept. */
#include "core/os.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/membarrier.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "core/lock.h"
#include "core/log.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

/* *why gets the error number of a NULL. */
static void *map_at(void *hint, size_t size, int extra, int *why)
{
    int saved = errno;
    void *p = mmap(hint, size, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | extra, -1, 0);
    *why = errno;
    errno = saved;
    return p == MAP_FAILED ? NULL : p;
}

static void *map_raw(void *hint, size_t size, int extra)
{
    int why;
    return map_at(hint, size, extra, &why);
}

void *os_map(size_t size, size_t alignment)
{
    void *p = map_raw(NULL, size, 0);
    if (p == NULL || ((uintptr_t)p & (alignment - 1)) == 0)
        return p;
    os_unmap(p, size);
    if (size + alignment < size)
        return NULL;
    /* Map enough that an aligned range lies inside, and cut off both ends. */
    char *big = map_raw(NULL, size + alignment, 0);
    if (big == NULL)
        return NULL;
    uintptr_t start = ((uintptr_t)big + alignment - 1) & ~(uintptr_t)(alignment - 1);
    size_t head = start - (uintptr_t)big;
    size_t tail = alignment - head;
    if (head > 0)
        os_unmap(big, head);
    if (tail > 0)
        os_unmap((char *)start + size, tail);
    return (void *)start;
}

void *os_map_readable(size_t size)
{
    int saved = errno;
    void *p = mmap(NULL, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    errno = saved;
    return p == MAP_FAILED ? NULL : p;
}

size_t os_address_space_limit(void)
{
    int saved = errno;
    struct rlimit limit;
    bool known = getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY;
    errno = saved;
    return known ? (size_t)limit.rlim_cur : SIZE_MAX;
}

void *os_map_within(size_t size, size_t alignment, uintptr_t low, uintptr_t high)
{
    uintptr_t at = (low + alignment - 1) & ~(uintptr_t)(alignment - 1);
    for (; at >= low && at + size >= at && at + size <= high; at += alignment) {
        int why;
        void *p = map_at((void *)at, size, MAP_FIXED_NOREPLACE, &why);
        if (p == (void *)at)
            return p;
        if (p != NULL)
            os_unmap(p, size); /* a kernel that does not know the flag took it as a hint */
        else if (why != EEXIST)
            return NULL; /* what is refused for want of memory is refused everywhere */
    }
    return NULL;
}

bool os_unmap(void *p, size_t size)
{
    int saved = errno;
    bool ok = munmap(p, size) == 0;
    errno = saved;
    return ok;
}

bool os_purge(void *p, size_t size)
{
    int saved = errno;
    bool ok = madvise(p, size, MADV_DONTNEED) == 0;
    errno = saved;
    return ok;
}

bool os_move_pages(void *from, void *to, size_t size)
{
#if defined(MREMAP_DONTUNMAP)
    int saved = errno;
    bool ok = mremap(from, size, size, MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, to) == to;
    errno = saved;
    return ok;
#else
    (void)from, (void)to, (void)size;
    return false;
#endif
}

bool os_lazy_free(void *p, size_t size)
{
    int saved = errno;
    bool ok = madvise(p, size, MADV_FREE) == 0;
    errno = saved;
    return ok;
}

bool os_protect(void *p, size_t size, bool accessible)
{
    int saved = errno;
    bool ok = mprotect(p, size, accessible ? PROT_READ | PROT_WRITE : PROT_NONE) == 0;
    errno = saved;
    return ok;
}

void os_advise_huge(void *p, size_t size, enum os_huge huge)
{
    if (huge == OS_HUGE_DEFAULT)
        return;
    int saved = errno;
    (void)madvise(p, size, huge == OS_HUGE_ALWAYS ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
    errno = saved;
}

bool os_huge_available(void)
{
    static int known; /* 0: not asked, 1: no, 2: yes */
    int k = __atomic_load_n(&known, __ATOMIC_RELAXED);
    if (k == 0) {
        int saved = errno;
        char text[64] = "";
        /* By number, as malloc is no cancellation point and these functions are. */
        int fd = (int)syscall(SYS_openat, AT_FDCWD, "/sys/kernel/mm/transparent_hugepage/enabled",
                              O_RDONLY | O_CLOEXEC);
        if (fd >= 0) {
            ssize_t n = syscall(SYS_read, fd, text, sizeof text - 1);
            text[n > 0 ? n : 0] = '\0';
            syscall(SYS_close, fd);
        }
        k = strstr(text, "[madvise]") != NULL || strstr(text, "[always]") != NULL ? 2 : 1;
        __atomic_store_n(&known, k, __ATOMIC_RELAXED);
        errno = saved;
    }
    return k == 2;
}

int os_populate(void *p, size_t size)
{
    int saved = errno;
    int why = madvise(p, size, MADV_POPULATE_WRITE) == 0 ? 0 : errno;
    errno = saved;
    if (why != EINVAL)
        return why;
    /* Before Linux 5.14: touch each page without changing it. */
    for (size_t i = 0; i < size; i += OS_PAGE_SIZE)
        __atomic_fetch_or((char *)p + i, 0, __ATOMIC_RELAXED);
    return 0;
}

bool os_read(void *to, const void *from, size_t size)
{
    int saved = errno;
    struct iovec here = {to, size}, there = {(void *)(uintptr_t)from, size};
    ssize_t n = process_vm_readv(getpid(), &here, 1, &there, 1, 0);
    bool ok = n == (ssize_t)size;
    if (n < 0 && errno != EFAULT) {
        /* A sandbox forbids that call. This one tells of holes, though not of pages without the right to read. */
        uintptr_t first = (uintptr_t)from & ~(OS_PAGE_SIZE - 1);
        unsigned char pages[2];
        size_t length = (uintptr_t)from + size - first;
        ok = length <= 2 * OS_PAGE_SIZE && mincore((void *)first, length, pages) == 0;
        if (ok)
            memcpy(to, from, size);
    }
    errno = saved;
    return ok;
}

uint64_t os_now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

int64_t os_wall_time(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    return (int64_t)ts.tv_sec;
}

static int has_membarrier;
static char *flip_page; /* without membarrier: a page whose protection changes */
static struct lock flip_lock;

void os_process_barrier_init(void)
{
    int saved = errno;
    has_membarrier = syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0;
    errno = saved;
    if (!has_membarrier && flip_page == NULL)
        flip_page = map_raw(NULL, OS_PAGE_SIZE, 0);
}

void os_process_barrier(void)
{
    int saved = errno;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (has_membarrier && syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) == 0) {
        errno = saved;
        return;
    }
    /* Taking a right away from a page that is in use makes the kernel interrupt every processor
     * that runs this process and wait for it. (The same trick stands in folly and in HotSpot.) */
    if (flip_page != NULL) {
        lock_acquire(&flip_lock);
        (void)mprotect(flip_page, OS_PAGE_SIZE, PROT_READ | PROT_WRITE);
        __atomic_fetch_add(flip_page, 1, __ATOMIC_SEQ_CST);
        (void)mprotect(flip_page, OS_PAGE_SIZE, PROT_READ);
        lock_release(&flip_lock);
    }
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    errno = saved;
}

#ifndef CLOSE_RANGE_UNSHARE
#define CLOSE_RANGE_UNSHARE (1U << 1)
#endif

/* A sanitizer writes its reports to standard error, in whatever thread. */
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define FIRST_TO_LEAVE 3u
#else
#define FIRST_TO_LEAVE 0u
#endif

bool os_leave_descriptors(void)
{
    int saved = errno;
    /* One call: the copy never has what is closed. (unshare(2) needs rights in many containers; this needs none.) */
    bool ok = syscall(SYS_close_range, FIRST_TO_LEAVE, ~0u, CLOSE_RANGE_UNSHARE) == 0;
    errno = saved;
    return ok;
}

bool os_main_thread_ended(void)
{
    int saved = errno;
    char from = 1, to = 0;
    struct iovec local = {&to, 1}, remote = {&from, 1};
    /* The process's own memory, found through its first thread: which has none any more when it has ended. */
    bool lives = syscall(SYS_process_vm_readv, getpid(), &local, 1, &remote, 1, 0) == 1;
    errno = saved;
    return !lives;
}

bool os_threads_are_only(unsigned n)
{
    char text[1024];
    int saved = errno;
    int fd = (int)syscall(SYS_openat, AT_FDCWD, "/proc/self/stat", O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? 0 : syscall(SYS_read, fd, text, sizeof text - 1);
    if (fd >= 0)
        syscall(SYS_close, fd);
    errno = saved;
    text[length > 0 ? length : 0] = '\0';
    /* "PID (NAME) STATE ...", the number of threads is the 20th. The kernel keeps the first thread until the end. */
    const char *at = strrchr(text, ')');
    if (at == NULL || at[1] != ' ' || at[2] != 'Z')
        return false;
    at++;
    for (int field = 3; field < 20 && at != NULL; field++)
        at = strchr(at + 1, ' ');
    return at != NULL && strtoul(at, NULL, 10) == n + 1;
}

bool os_is_privileged(void)
{
    return getauxval(AT_SECURE) != 0;
}
