/* scene_redis.c - scene three: redis-server, which knows nothing of Sluice, filled and half emptied.
 *
 * The worker's process becomes redis-server, so that the one who measures reads redis and nothing else. Its child is the
 * client, which speaks with that one in the worker's name: it sets keys until they hold the size asked for, deletes half of
 * them in random order, and reads some of the rest. What it counts as live is what redis was told to keep: the bytes of keys
 * and values.
 */
#include "tools/demo/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "tools/demo/layer.h"
#include "tools/demo/policies.h"
#include "tools/demo/random.h"
#include "tools/demo/redis.h"
#include "tools/preload/locate.h"

#define SOCKET     "redis.socket" /* in the output folder, until the client is connected */
#define POLICY     "redis.yaml"   /* beside it, until then */
#define READ_EVERY 16             /* of the keys that stay, one in so many is read */

/* All keys in an order of its own for each seed. */
static uint32_t *shuffled(uint32_t count, uint64_t seed)
{
    uint32_t *keys = mmap(NULL, count * sizeof(*keys), PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct random random = random_stream(seed, UINT64_MAX);
    if (keys == MAP_FAILED)
        return NULL;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t j = (uint32_t)random_below(&random, (uint64_t)i + 1);
        keys[i] = keys[j];
        keys[j] = i;
    }
    return keys;
}

static bool work(struct redis *redis, const struct worker_task *task)
{
    if (!redis_fill(redis, task->size))
        return false;
    layer_counter->live = (int64_t)redis->bytes;
    worker_ramp(1);

    uint32_t *keys = shuffled(redis->keys, task->seed);
    if (keys == NULL)
        return false;
    uint32_t gone = redis->keys / 2, answers = (redis->keys - gone) / READ_EVERY;
    uint64_t digest = 0;
    if (!redis_delete(redis, keys, gone) || !redis_read(redis, keys + gone, answers, &digest))
        return false;
    layer_counter->live = (int64_t)redis->bytes;
    worker_answers(digest, answers);
    worker_released(1);
    return true;
}

/* The dynamic linker goes on without a library that it cannot preload. */
static bool is_loaded(struct redis *redis, pid_t server, const char *library)
{
    char path[64], line[8192];
    snprintf(path, sizeof(path), "/proc/%d/maps", (int)server);
    FILE *maps = fopen(path, "r");
    bool is_there = false;
    while (maps != NULL && !is_there && fgets(line, sizeof(line), maps) != NULL)
        is_there = strstr(line, library) != NULL;
    if (maps != NULL)
        fclose(maps);
    if (!is_there)
        snprintf(redis->error, sizeof(redis->error), "redis runs without %.60s", library);
    return is_there;
}

/* The exit status is nobody's: that of redis counts. */
static _Noreturn void client(const struct worker_task *task, pid_t server, const char *library)
{
    static struct redis redis;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != server)
        _exit(1);
    redis.seed = task->seed;
    bool is_good = redis_connect(&redis, SOCKET);
    unlink(SOCKET);
    unlink(POLICY);
    is_good = is_good && (library == NULL || is_loaded(&redis, server, library));
    if (!is_good || !work(&redis, task)) {
        dprintf(STDERR_FILENO, "demo: %s\n", redis.error);
        _exit(1);
    }
    redis_end(&redis);
    _exit(0);
}

/* What is preloaded; NULL: nothing. "": it is not there. */
static const char *library_of(const char *policy)
{
    static char path[4096];
    if (strcmp(policy, POLICY_PLAIN) == 0)
        return "libc.so.6"; /* redis is linked to jemalloc: libc's own malloc goes before it */
    if (strncmp(policy, POLICY_PRELOAD, strlen(POLICY_PRELOAD)) != 0)
        return NULL;
    return preload_locate(path, sizeof(path)) ? path : "";
}

/* redis reads its policy as any program does: from a file that the environment names. */
static bool set_policy(const char *name)
{
    const struct demo_policy *policy = policies_find(name);
    if (policy == NULL || policy->yaml == NULL)
        return true;
    FILE *file = fopen(POLICY, "w");
    if (file == NULL)
        return false;
    bool is_good = fputs(policy->yaml, file) >= 0;
    is_good = fclose(file) == 0 && is_good;
    return is_good && setenv("SLUICE_POLICY", POLICY, 1) == 0;
}

int scene_redis(const struct worker_task *task)
{
    const char *library = library_of(task->policy);
    if (library != NULL && *library == '\0') {
        fprintf(stderr, "demo: there is no " PRELOAD_LIBRARY " beside this program\n");
        return 1;
    }
    if (chdir(task->input) != 0) {
        fprintf(stderr, "demo: %s: %s\n", task->input, strerror(errno));
        return 1;
    }
    unlink(SOCKET); /* of a run that was interrupted */
    if (!set_policy(task->policy)) {
        fprintf(stderr, "demo: " POLICY ": %s\n", strerror(errno));
        return 1;
    }
    pid_t server = getpid(), pid = fork();
    if (pid == 0)
        client(task, server, library);
    if (pid > 0 && fcntl(WORKER_FD, F_SETFD, FD_CLOEXEC) == 0)
        redis_exec(SOCKET, library);
    fprintf(stderr, "demo: cannot start " REDIS_PROGRAM ": %s\n", strerror(errno));
    return 1;
}
