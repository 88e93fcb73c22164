#include "config/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/meta.h"

static const char *read_all(int fd, char *buffer, size_t capacity, size_t *length)
{
    *length = 0;
    while (*length < capacity) {
        ssize_t got = read(fd, buffer + *length, capacity - *length);
        if (got == 0)
            break;
        if (got > 0)
            *length += (size_t)got;
        else if (errno != EINTR)
            return strerrordesc_np(errno);
    }
    return NULL;
}

/* Regular files, pipes and devices: what a read can be expected to come back from. */
static const char *prepare(int fd, struct policy_file_state *state)
{
    struct stat status;
    if (fstat(fd, &status) != 0)
        return strerrordesc_np(errno);
    if (S_ISDIR(status.st_mode))
        return "this is a folder";
    *state = (struct policy_file_state){
        .device = status.st_dev,
        .inode = status.st_ino,
        .size = (uint64_t)status.st_size,
        .seconds = status.st_mtim.tv_sec,
        .nanoseconds = status.st_mtim.tv_nsec,
    };
    int flags = fcntl(fd, F_GETFL);
    if (flags >= 0)
        fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
    return NULL;
}

const char *file_read(const char *name, char *buffer, size_t capacity, size_t *length,
                      struct policy_file_state *state)
{
    /* Not to hang in open() on a pipe that nobody writes to. */
    int fd = open(name, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return strerrordesc_np(errno);
    const char *mistake = prepare(fd, state);
    if (!mistake)
        mistake = read_all(fd, buffer, capacity, length);
    close(fd);
    return mistake;
}

static const char *join(struct meta_region *region, const char *folder, size_t folder_length,
                        const char *name)
{
    size_t name_length = strlen(name);
    char *path = meta_region_alloc(region, folder_length + 1 + name_length + 1);
    if (!path)
        return NULL;
    memcpy(path, folder, folder_length);
    size_t used = folder_length;
    if (used > 0 && path[used - 1] != '/')
        path[used++] = '/';
    memcpy(path + used, name, name_length + 1);
    return path;
}

const char *file_beside(struct meta_region *region, const char *base, const char *name)
{
    const char *slash = strrchr(base, '/');
    if (name[0] == '/' || base[0] == '<' || !slash)
        return meta_region_strndup(region, name, strlen(name));
    while (name[0] == '.' && name[1] == '/')
        name += 2;
    return join(region, base, (size_t)(slash + 1 - base), name);
}

const char *file_absolute(struct meta_region *region, const char *name)
{
    char folder[PATH_MAX];
    if (name[0] == '/' || !getcwd(folder, sizeof(folder)) || folder[0] != '/')
        return meta_region_strndup(region, name, strlen(name));
    while (name[0] == '.' && name[1] == '/')
        name += 2;
    return join(region, folder, strlen(folder), name);
}
