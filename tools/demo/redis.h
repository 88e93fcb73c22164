/* redis.h - redis-server as a program that is not changed: starting it under an allocator, and a client of our own.
 *
 * The client allocates nothing, waits for each batch's replies, and knows from the seed alone what each key holds.
 */
#ifndef SLUICE_TOOLS_DEMO_REDIS_H
#define SLUICE_TOOLS_DEMO_REDIS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REDIS_PROGRAM "redis-server"
#define REDIS_PACKAGE "redis-server" /* Debian's */

/* Whether redis-server is in PATH. */
bool redis_is_there(void);

/* Becomes redis-server in this folder, on the socket `name` in it, with `library` preloaded (NULL: none). Returns when it
 * cannot. */
void redis_exec(const char *name, const char *library);

struct redis {
    int fd;
    uint64_t seed;
    uint32_t keys;  /* 0 to keys - 1 were set */
    uint64_t bytes; /* of keys and values that are there */
    char error[80];
};

/* Waits until the server answers on the socket. Each of these: false, and error says why. */
bool redis_connect(struct redis *redis, const char *name);
/* Sets keys until they hold `bytes`. */
bool redis_fill(struct redis *redis, uint64_t bytes);
/* Deletes the keys of the list. */
bool redis_delete(struct redis *redis, const uint32_t *keys, uint32_t count);
/* Reads those keys and checks what they hold; adds to *digest. */
bool redis_read(struct redis *redis, const uint32_t *keys, uint32_t count, uint64_t *digest);
/* Tells the server to end, and closes. */
void redis_end(struct redis *redis);

#endif
