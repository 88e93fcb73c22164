#include "config/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const char FILE_NO_MEMORY[] = "no memory to read it";

/* Keeps what was read. At least twice as much as there was, so that all the pieces are no more than twice the last. */
static bool reserve(struct file_text *text, size_t capacity, size_t limit)
{
    if (capacity <= text->capacity)
        return true;
    if (capacity < 2 * text->capacity)
        capacity = 2 * text->capacity < limit ? 2 * text->capacity : limit;
    char *bytes = meta_region_alloc(text->region, capacity);
    if (!bytes)
        return false;
    if (text->length > 0)
        memcpy(bytes, text->bytes, text->length);
    text->bytes = bytes;
    text->capacity = capacity;
    return true;
}

/* `expected` bytes, or more or fewer: a pipe does not say, and a file may change. */
static const char *read_all(int fd, struct file_text *text, uint64_t expected, size_t limit)
{
    text->length = 0;
    if (!reserve(text, expected < limit ? (size_t)expected + 1 : limit, limit))
        return FILE_NO_MEMORY;
    for (;;) {
        if (text->length == limit)
            return NULL;
        if (text->length == text->capacity && !reserve(text, limit, limit))
            return FILE_NO_MEMORY;
        ssize_t got = read(fd, text->bytes + text->length, text->capacity - text->length);
        if (got == 0)
            return NULL;
        if (got > 0)
            text->length += (size_t)got;
        else if (errno != EINTR)
            return strerrordesc_np(errno);
    }
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

const char *file_read(const char *name, struct file_text *text, size_t limit,
                      struct policy_file_state *state)
{
    /* Not to hang in open() on a pipe that nobody writes to. */
    int fd = open(name, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return strerrordesc_np(errno);
    const char *mistake = prepare(fd, state);
    if (!mistake)
        mistake = read_all(fd, text, state->size, limit);
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
