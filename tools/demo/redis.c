/* redis.c - see redis.h. */
#include "tools/demo/redis.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "tools/demo/hash.h"
#include "tools/demo/random.h"

#define VALUE_MAX    (16 << 10)
#define BATCH        128 /* commands whose replies are waited for together */
#define KEY_LENGTH   9   /* k and eight digits */
#define CONNECT_MS   20
#define CONNECT_MAX  (10000 / CONNECT_MS)
#define COMMAND_ROOM 64 /* of what stands around a value */

bool redis_is_there(void)
{
    const char *path = getenv("PATH");
    while (path != NULL && *path != '\0') {
        char file[4096];
        size_t n = strcspn(path, ":");
        snprintf(file, sizeof(file), "%.*s/" REDIS_PROGRAM, (int)n, path);
        if (access(file, X_OK) == 0)
            return true;
        path += n + (path[n] == ':');
    }
    return false;
}

void redis_exec(const char *name, const char *library)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0)
        return;
    if (library != NULL && setenv("LD_PRELOAD", library, 1) != 0)
        return;
    execlp(REDIS_PROGRAM, REDIS_PROGRAM, "--port", "0", "--unixsocket", name, "--save", "",
           "--appendonly", "no", "--activedefrag", "no", (char *)NULL);
}

static bool failed(struct redis *redis, const char *what)
{
    snprintf(redis->error, sizeof(redis->error), "redis: %s", what);
    return false;
}

bool redis_connect(struct redis *redis, const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timespec pause = {0, CONNECT_MS * 1000000};
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", name);
    for (int i = 0; i < CONNECT_MAX; i++) {
        redis->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (redis->fd >= 0 && connect(redis->fd, (struct sockaddr *)&address, sizeof(address)) == 0)
            return true;
        close(redis->fd);
        nanosleep(&pause, NULL);
    }
    return failed(redis, "it does not answer");
}

static bool send_all(struct redis *redis, const char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t sent = send(redis->fd, bytes, size, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent <= 0)
            return failed(redis, "it closed the connection");
        bytes += sent;
        size -= (size_t)sent;
    }
    return true;
}

static bool receive_all(struct redis *redis, char *to, size_t size)
{
    ssize_t got = recv(redis->fd, to, size, MSG_WAITALL);
    return got == (ssize_t)size || failed(redis, "it closed the connection");
}

/* `count` times the same reply. */
static bool expect(struct redis *redis, const char *reply, uint32_t count)
{
    char got[BATCH * 8];
    size_t length = strlen(reply);
    if (!receive_all(redis, got, length * count))
        return false;
    for (uint32_t i = 0; i < count; i++) {
        if (memcmp(got + i * length, reply, length) != 0)
            return failed(redis, "not the reply that was expected");
    }
    return true;
}

/* ---- what a key holds ---- */

/* Mostly small, as values are: 6 of 10 up to 200 bytes, 3 of 10 up to 2,000, the rest up to 16 KiB. */
static size_t value_size(const struct redis *redis, uint32_t key)
{
    struct random random = random_stream(redis->seed, key);
    uint64_t kind = random_below(&random, 10);
    size_t most = kind < 6 ? 200 : kind < 9 ? 2000 : VALUE_MAX;
    return 1 + random_below(&random, most);
}

/* Any stretch of it, so that values differ. */
static const char *value_text(uint32_t key)
{
    static char text[VALUE_MAX + 1024];
    if (text[0] == '\0') {
        struct random random = random_stream(0, 0);
        for (size_t i = 0; i < sizeof(text); i++)
            text[i] = (char)('a' + random_below(&random, 26));
    }
    return text + key % 1024;
}

/* ---- commands ---- */

bool redis_fill(struct redis *redis, uint64_t bytes)
{
    static char batch[BATCH * (VALUE_MAX + COMMAND_ROOM)];
    while (redis->bytes < bytes) {
        char *at = batch;
        uint32_t i = 0;
        for (; i < BATCH && redis->bytes < bytes; i++) {
            size_t size = value_size(redis, redis->keys);
            at += sprintf(at, "*3\r\n$3\r\nSET\r\n$%d\r\nk%08x\r\n$%zu\r\n", KEY_LENGTH,
                          redis->keys, size);
            memcpy(at, value_text(redis->keys), size);
            memcpy(at + size, "\r\n", 2);
            at += size + 2;
            redis->bytes += KEY_LENGTH + size;
            redis->keys++;
        }
        if (!send_all(redis, batch, (size_t)(at - batch)) || !expect(redis, "+OK\r\n", i))
            return false;
    }
    return true;
}

bool redis_delete(struct redis *redis, const uint32_t *keys, uint32_t count)
{
    char batch[BATCH * COMMAND_ROOM];
    for (uint32_t done = 0; done < count;) {
        char *at = batch;
        uint32_t i = 0;
        for (; i < BATCH && done < count; i++, done++) {
            at += sprintf(at, "*2\r\n$3\r\nDEL\r\n$%d\r\nk%08x\r\n", KEY_LENGTH, keys[done]);
            redis->bytes -= KEY_LENGTH + value_size(redis, keys[done]);
        }
        if (!send_all(redis, batch, (size_t)(at - batch)) || !expect(redis, ":1\r\n", i))
            return false;
    }
    return true;
}

bool redis_read(struct redis *redis, const uint32_t *keys, uint32_t count, uint64_t *digest)
{
    static char reply[VALUE_MAX + COMMAND_ROOM], expected[COMMAND_ROOM];
    for (uint32_t i = 0; i < count; i++) {
        size_t size = value_size(redis, keys[i]);
        int length = sprintf(expected, "*2\r\n$3\r\nGET\r\n$%d\r\nk%08x\r\n", KEY_LENGTH, keys[i]);
        if (!send_all(redis, expected, (size_t)length))
            return false;
        size_t head = (size_t)sprintf(expected, "$%zu\r\n", size);
        if (!receive_all(redis, reply, head + size + 2))
            return false;
        if (memcmp(reply, expected, head) != 0 ||
            memcmp(reply + head, value_text(keys[i]), size) != 0)
            return failed(redis, "a value is not what was set");
        *digest += hash_finish(hash_bytes(HASH_START, reply, head + size));
    }
    return true;
}

void redis_end(struct redis *redis)
{
    static const char command[] = "*2\r\n$8\r\nSHUTDOWN\r\n$6\r\nNOSAVE\r\n";
    send_all(redis, command, sizeof(command) - 1);
    close(redis->fd);
}
