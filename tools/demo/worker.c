/* worker.c - see worker.h. */
#include "tools/demo/worker.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "tools/demo/layer.h"

static uint64_t work_start;

static uint64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Without the parent there is nobody to work for. */
static void say(const char *line, size_t length)
{
    if (write(WORKER_FD, line, length) != (ssize_t)length)
        _exit(1);
}

/* Modules that hold nothing are left out. */
static void say_modules(unsigned stage)
{
    for (enum demo_module module = 0; module < DEMO_MODULE_COUNT; module++) {
        struct layer_holding holding;
        if (!layer_holding(module, &holding) || holding.resident == 0)
            continue;
        char line[160];
        int length = snprintf(
            line, sizeof(line), "module %u %s %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", stage,
            layer_module_name(module), holding.live, holding.cached, holding.resident);
        say(line, (size_t)length);
    }
}

void worker_ramp(unsigned stage)
{
    say_modules(stage);
    char line[64];
    int length = snprintf(line, sizeof(line), "ramp %u %" PRIu64 "\n", stage, layer_live_bytes());
    say(line, (size_t)length);
}

void worker_released(unsigned stage)
{
    uint64_t at = now();
    say_modules(stage);
    char line[128];
    int length = snprintf(line, sizeof(line), "released %u %" PRIu64 " %" PRIu64 " %" PRIu64 "\n",
                          stage, layer_live_bytes(), at, at - work_start);
    say(line, (size_t)length);

    char go;
    ssize_t got;
    do
        got = read(WORKER_FD, &go, 1);
    while (got < 0 && errno == EINTR);
    if (got != 1)
        _exit(1);
    work_start = now();
}

void worker_answers(uint64_t digest, uint64_t count)
{
    char line[64];
    int length = snprintf(line, sizeof(line), "answers %" PRIx64 " %" PRIu64 "\n", digest, count);
    say(line, (size_t)length);
}

/* The policy comes over WORKER_FD, so that it need not be a file, into static memory: no allocator
 * is up yet. An empty one means plain malloc. */
static char policy_text[64 << 10];

static ssize_t read_all(char *to, size_t size)
{
    size_t done = 0;
    while (done < size) {
        ssize_t got = read(WORKER_FD, to + done, size - done);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return -1;
        done += (size_t)got;
    }
    return (ssize_t)done;
}

/* argv: worker one|two|three POLICY POLICY-LENGTH SIZE STAGES THREADS SEED INPUT. Only `sluice demo
 * balloon` writes it. The name of the policy is for who looks at the processes. */
int worker_main(int argc, char **argv)
{
    if (argc != 9) {
        fprintf(stderr, "sluice: `demo worker` is for `sluice demo balloon` only\n");
        return 2;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_NAME, argv[2]);
    signal(SIGINT, SIG_IGN); /* the parent ends its workers itself */

    size_t length = strtoul(argv[3], NULL, 10);
    if (length >= sizeof(policy_text) || read_all(policy_text, length) < 0) {
        fprintf(stderr, "demo: no policy came from the parent\n");
        return 1;
    }
    struct worker_task task = {
        .policy = argv[2],
        .size = strtoull(argv[4], NULL, 10),
        .stages = (unsigned)strtoul(argv[5], NULL, 10),
        .threads = (unsigned)strtoul(argv[6], NULL, 10),
        .seed = strtoull(argv[7], NULL, 10),
        .input = argv[8],
    };
    work_start = now();
    if (!layer_start(length == 0 ? NULL : policy_text))
        return 1;
    if (strcmp(argv[1], "three") == 0)
        return scene_redis(&task);
    return strcmp(argv[1], "one") == 0 ? scene_balloon(&task) : scene_index(&task);
}
