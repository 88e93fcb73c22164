/* system.h - system calls of the porter, past libc's functions of the same name.
 *
 * The porter's descriptors are of a table of its own. Whoever wraps libc's functions (a preloaded library, a thread sanitizer)
 * believes that a process has one table, and would take its numbers for the program's. Arguments, results and errno are as
 * in section 2 of the manual.
 */
#ifndef SLUICE_CORE_SYSTEM_H
#define SLUICE_CORE_SYSTEM_H

#include <poll.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

static inline int system_close(int fd)
{
    return (int)syscall(SYS_close, fd);
}

static inline ssize_t system_read(int fd, void *to, size_t size)
{
    return syscall(SYS_read, fd, to, size);
}

static inline int system_fcntl(int fd, int command, long argument)
{
    return (int)syscall(SYS_fcntl, fd, command, argument);
}

/* ns: UINT64_MAX is for ever. */
static inline int system_poll(struct pollfd *fds, unsigned n, uint64_t ns)
{
    struct timespec timeout = {(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)};
    return (int)syscall(SYS_ppoll, fds, n, ns == UINT64_MAX ? NULL : &timeout, NULL, 0);
}

static inline int system_socket(int domain, int type)
{
    return (int)syscall(SYS_socket, domain, type, 0);
}

static inline int system_bind(int fd, const void *address, socklen_t length)
{
    return (int)syscall(SYS_bind, fd, address, length);
}

static inline int system_listen(int fd, int backlog)
{
    return (int)syscall(SYS_listen, fd, backlog);
}

static inline int system_accept(int fd, int flags)
{
    return (int)syscall(SYS_accept4, fd, NULL, NULL, flags);
}

static inline int system_getsockopt(int fd, int level, int option, void *value, socklen_t *length)
{
    return (int)syscall(SYS_getsockopt, fd, level, option, value, length);
}

static inline ssize_t system_recv(int fd, void *to, size_t size, int flags)
{
    return syscall(SYS_recvfrom, fd, to, size, flags, NULL, NULL);
}

static inline ssize_t system_sendmsg(int fd, const struct msghdr *message, int flags)
{
    return syscall(SYS_sendmsg, fd, message, flags);
}

static inline int system_memfd_create(const char *name, unsigned flags)
{
    return (int)syscall(SYS_memfd_create, name, flags);
}

static inline int system_ftruncate(int fd, off_t size)
{
    return (int)syscall(SYS_ftruncate, fd, size);
}

/* The whole file, shared, to read and write; MAP_FAILED. */
static inline void *system_map_file(int fd, size_t size)
{
    return (void *)syscall(SYS_mmap, NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)0);
}

static inline int system_inotify_init(int flags)
{
    return (int)syscall(SYS_inotify_init1, flags);
}

static inline int system_inotify_add_watch(int fd, const char *path, uint32_t mask)
{
    return (int)syscall(SYS_inotify_add_watch, fd, path, mask);
}

#endif
