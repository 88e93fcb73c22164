/* run.c - see run.h. */
#include "tools/demo/run.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tools/demo/worker.h"

#define MS                 1000000u    /* ns */
#define SAMPLE_PERIOD      (50u * MS)  /* of a run at work */
#define SAMPLE_PERIOD_REST (500u * MS) /* of a run asleep */
#define SAMPLE_SHARE       10 /* a reading takes at most this part of the time: reading costs too */
#define SILENCE_MAX        ((uint64_t)180000 * MS) /* a worker that says nothing that long hangs */

static volatile sig_atomic_t is_interrupted;

static void on_interrupt(int signo)
{
    is_interrupted = 1;
}

void run_init(struct run *run, const struct demo_policy *policy, enum scene scene, unsigned stages)
{
    *run = (struct run){.policy = policy, .scene = scene, .fd = -1, .stage_count = stages};
    run->stages = calloc(stages, sizeof(*run->stages));
}

void run_free(struct run *run)
{
    free(run->stages);
    free(run->samples);
}

static void fail(struct run *run, const char *format, const char *detail)
{
    if (run->error[0] == '\0')
        snprintf(run->error, sizeof(run->error), format, detail);
}

/* ---- start and end of a worker ---- */

/* In the child. Nothing of the environment may choose another allocator or tune one. */
static _Noreturn void become_worker(const struct run *run, const struct options *options,
                                    const char *input, int fd)
{
    static const char *const dropped[] = {
        "SLUICE_POLICY",          "SLUICE_OVERRIDE",  "LD_PRELOAD",
        "GLIBC_TUNABLES",         "MALLOC_ARENA_MAX", "MALLOC_MMAP_THRESHOLD_",
        "MALLOC_TRIM_THRESHOLD_", "MALLOC_TOP_PAD_",  "MALLOC_MMAP_MAX_",
        "MALLOC_PERTURB_"};
    for (size_t i = 0; i < sizeof(dropped) / sizeof(dropped[0]); i++)
        unsetenv(dropped[i]);
    char length[24], size[24], stages[24], threads[24], seed[24];
    snprintf(length, sizeof(length), "%zu", run->policy->yaml ? strlen(run->policy->yaml) : 0);
    snprintf(size, sizeof(size), "%" PRIu64,
             run->scene == SCENE_THREE ? options->redis_bytes : options->size);
    snprintf(stages, sizeof(stages), "%u", run->stage_count);
    snprintf(threads, sizeof(threads), "%u", options->threads[run->scene]);
    snprintf(seed, sizeof(seed), "%" PRIu64, options->seed);
    if (dup2(fd, WORKER_FD) < 0)
        _exit(1);
    if (fd == WORKER_FD && fcntl(fd, F_SETFD, 0) != 0)
        _exit(1);
    execl("/proc/self/exe", "sluice", "demo", "worker", scene_name(run->scene), run->policy->name,
          length, size, stages, threads, seed, run->scene == SCENE_THREE ? options->output : input,
          (char *)NULL);
    fprintf(stderr, "demo: cannot start a worker: %s\n", strerror(errno));
    _exit(1);
}

static void run_start(struct run *run, const struct options *options, const char *input)
{
    int ends[2];
    run->started = run->heard = run->next_sample = measure_now();
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
        fail(run, "socketpair: %s", strerror(errno));
        run->state = RUN_OVER;
        return;
    }
    run->pid = fork();
    if (run->pid == 0)
        become_worker(run, options, input, ends[1]);
    close(ends[1]);
    run->fd = ends[0];
    if (run->pid < 0) {
        fail(run, "fork: %s", strerror(errno));
        close(run->fd);
        run->fd = -1;
        run->state = RUN_OVER;
        return;
    }
    run->state = RUN_WORKING;
    const char *yaml = run->policy->yaml;
    if (yaml != NULL)
        send(run->fd, yaml, strlen(yaml), MSG_NOSIGNAL);
}

/* The worker closed its end: it exited, or died. */
static void run_reap(struct run *run)
{
    struct rusage usage;
    int status;
    close(run->fd);
    run->fd = -1;
    /* There the line is that of the client, whose end is not the end of the process that is measured. */
    if (run->scene == SCENE_THREE && run->state != RUN_ENDING) {
        fail(run, "%s", "redis-server or its client failed; a message may be above");
        kill(run->pid, SIGKILL);
    }
    while (wait4(run->pid, &status, 0, &usage) < 0 && errno == EINTR)
        continue;
    run->user_s = (double)usage.ru_utime.tv_sec + (double)usage.ru_utime.tv_usec * 1e-6;
    run->system_s = (double)usage.ru_stime.tv_sec + (double)usage.ru_stime.tv_usec * 1e-6;
    if (WIFSIGNALED(status))
        fail(run, "killed by signal: %s", strsignal(WTERMSIG(status)));
    else if (WEXITSTATUS(status) == 3)
        fail(run, "%s", "it got no memory");
    else if (WEXITSTATUS(status) == WORKER_CORRUPT)
        fail(run, "%s", "its memory did not hold what was written");
    else if (WEXITSTATUS(status) != 0 || run->state != RUN_ENDING)
        fail(run, "%s", "it failed; its message is above");
    run->is_good = run->error[0] == '\0';
    run->state = RUN_OVER;
}

static void kill_run(struct run *run)
{
    if (run->fd < 0)
        return;
    kill(run->pid, SIGKILL);
    run_reap(run);
}

/* ---- measuring ---- */

static void take_sample(struct run *run, struct reading reading)
{
    if (run->sample_count == run->sample_capacity) {
        run->sample_capacity = run->sample_capacity == 0 ? 256 : 2 * run->sample_capacity;
        run->samples = realloc(run->samples, run->sample_capacity * sizeof(*run->samples));
        if (run->samples == NULL)
            abort();
    }
    uint32_t ms = (uint32_t)((measure_now() - run->started) / MS);
    run->samples[run->sample_count++] = (struct sample){ms, reading};
}

static bool read_now(struct run *run, struct reading *reading)
{
    if (!measure_process(run->pid, reading))
        return false;
    take_sample(run, *reading);
    return true;
}

static uint64_t own_cpu_time(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void sample(struct run *run, uint64_t now)
{
    struct reading reading;
    uint64_t start = own_cpu_time();
    read_now(run, &reading);
    uint64_t cost = own_cpu_time() - start;
    uint64_t period = run->state == RUN_RESTING ? SAMPLE_PERIOD_REST : SAMPLE_PERIOD;
    run->next_sample = now + (cost * SAMPLE_SHARE > period ? cost * SAMPLE_SHARE : period);
}

static void let_go(struct run *run, enum run_state state)
{
    run->state = state;
    run->heard = measure_now();
    send(run->fd, "\n", 1, MSG_NOSIGNAL);
}

static uint64_t due_time(const struct run *run, const struct options *options)
{
    uint64_t wait = run->state == RUN_SETTLING ? options->settle_ms : options->final_ms;
    return run->released + wait * MS;
}

static void measure_settled(struct run *run)
{
    struct stage *stage = &run->stages[run->stage - 1];
    if (!read_now(run, &stage->settled))
        return;
    if (run->stage == run->stage_count) {
        run->state = RUN_RESTING;
        return;
    }
    fprintf(stderr, " %" PRIu64, reading_resident(stage->settled) >> 20);
    let_go(run, RUN_WORKING);
}

static void measure_final(struct run *run)
{
    if (!read_now(run, &run->final))
        return;
    run->peak = measure_peak(run->pid);
    let_go(run, RUN_ENDING);
}

/* ---- what a worker says ---- */

static void take_holding(struct run *run, unsigned stage, const struct holding *holding)
{
    bool is_after = run->stages[stage - 1].peak_live != 0;
    struct holdings *holdings = is_after ? &run->after : &run->height;
    if (holdings->stage != stage)
        *holdings = (struct holdings){.stage = stage};
    if (holdings->count < DEMO_MODULE_COUNT)
        holdings->of[holdings->count++] = *holding;
}

static void take_line(struct run *run)
{
    struct holding holding;
    unsigned stage;
    uint64_t live, at, work, digest, answers;
    run->heard = measure_now();
    if (sscanf(run->line, "ramp %u %" SCNu64, &stage, &live) == 2 && stage == run->stage + 1 &&
        stage <= run->stage_count) {
        run->stages[stage - 1].peak_live = live;
    } else if (sscanf(run->line, "released %u %" SCNu64 " %" SCNu64 " %" SCNu64, &stage, &live, &at,
                      &work) == 4 &&
               stage == run->stage + 1 && stage <= run->stage_count) {
        run->stages[stage - 1].live = live;
        run->stage = stage;
        run->released = at;
        run->work_ns += work;
        run->state = RUN_SETTLING;
    } else if (sscanf(run->line, "module %u %23s %" SCNu64 " %" SCNu64 " %" SCNu64, &stage,
                      holding.module, &holding.live, &holding.cached, &holding.resident) == 5 &&
               stage == run->stage + 1 && stage <= run->stage_count) {
        take_holding(run, stage, &holding);
    } else if (sscanf(run->line, "answers %" SCNx64 " %" SCNu64, &digest, &answers) == 2) {
        run->digest = digest;
        run->answers = answers;
    } else {
        fail(run, "it said: %.80s", run->line);
        kill(run->pid, SIGKILL);
    }
}

static void listen_to(struct run *run)
{
    size_t room = sizeof(run->line) - 1 - run->line_length;
    ssize_t got = recv(run->fd, run->line + run->line_length, room, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        run_reap(run);
        return;
    }
    run->line_length += (size_t)got;
    char *end;
    while ((end = memchr(run->line, '\n', run->line_length)) != NULL) {
        *end = '\0';
        take_line(run);
        size_t used = (size_t)(end - run->line) + 1;
        memmove(run->line, run->line + used, run->line_length - used);
        run->line_length -= used;
    }
}

/* ---- all runs ---- */

/* Does what is due for a run; returns when it wants to be called again. */
static uint64_t step(struct run *run, const struct options *options)
{
    uint64_t now = measure_now();
    if ((run->state == RUN_SETTLING || run->state == RUN_RESTING) &&
        now >= due_time(run, options)) {
        if (run->state == RUN_SETTLING)
            measure_settled(run);
        else
            measure_final(run);
    } else if (now >= run->next_sample && run->state != RUN_ENDING) {
        sample(run, now);
    }
    if (run->state == RUN_WORKING && now > run->heard + SILENCE_MAX) {
        fail(run, "%s", "it hangs: nothing was heard of it for three minutes");
        kill_run(run);
    }
    uint64_t next = run->next_sample;
    if (run->state == RUN_SETTLING || run->state == RUN_RESTING) {
        uint64_t due = due_time(run, options);
        next = due < next ? due : next;
    }
    return next;
}

/* One turn for all runs that are on. */
static void turn(struct run *runs, size_t count, const struct options *options)
{
    uint64_t next = measure_now() + SAMPLE_PERIOD;
    struct pollfd polls[32];
    struct run *polled[32];
    nfds_t polling = 0;
    for (size_t i = 0; i < count && polling < 32; i++) {
        if (runs[i].fd < 0)
            continue;
        uint64_t wanted = step(&runs[i], options);
        if (runs[i].fd < 0)
            continue;
        next = wanted < next ? wanted : next;
        polls[polling] = (struct pollfd){.fd = runs[i].fd, .events = POLLIN};
        polled[polling++] = &runs[i];
    }
    uint64_t now = measure_now();
    struct timespec wait = {0, next > now ? (long)(next - now) : 0};
    if (ppoll(polls, polling, &wait, NULL) <= 0)
        return;
    for (nfds_t i = 0; i < polling; i++) {
        if (polls[i].revents != 0)
            listen_to(polled[i]);
    }
}

/* Not when only its last two readings are left, which the next run does not disturb. */
static bool is_at_work(const struct run *run)
{
    return run->fd >= 0 && (run->state == RUN_WORKING ||
                            (run->state == RUN_SETTLING && run->stage < run->stage_count));
}

static bool is_any_on(const struct run *runs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (runs[i].fd >= 0)
            return true;
    }
    return false;
}

/* Others go on resting meanwhile. */
static void warm_up(struct run *runs, size_t count, const struct options *options, uint64_t bytes)
{
    pid_t pid = measure_warm_up(bytes);
    while (pid > 0 && waitpid(pid, NULL, WNOHANG) == 0) {
        if (is_interrupted)
            kill(pid, SIGKILL);
        turn(runs, count, options);
    }
}

static void run_one(struct run *runs, size_t count, size_t i, const struct options *options,
                    const char *input)
{
    struct run *run = &runs[i];
    /* Others may still rest on their memory. A stage with its leftovers can take more than its
     * size. */
    uint64_t work[SCENE_COUNT] = {options->size, options->text_max, options->redis_bytes};
    uint64_t need = run->scene == SCENE_ONE ? options->size * 3 / 2 : work[run->scene] * 4;
    while (!is_interrupted && is_any_on(runs, count) && measure_room() < need)
        turn(runs, count, options);
    if (is_interrupted)
        return;

    if (!options->is_cold)
        warm_up(runs, count, options,
                run->scene == SCENE_TWO ? work[SCENE_TWO] : work[run->scene] * 9 / 8);
    if (is_interrupted)
        return;
    fprintf(stderr, "[%2zu/%zu] scene %s, %-13s resident after each release, MiB:", i + 1, count,
            scene_name(run->scene), run->policy->name);
    run_start(run, options, input);
    while (!is_interrupted && is_at_work(run))
        turn(runs, count, options);
    if (run->error[0] != '\0')
        fprintf(stderr, " FAILED: %s\n", run->error);
    else
        fprintf(stderr, " … resting\n");
}

bool run_all(struct run *runs, size_t count, const struct options *options, const char *input)
{
    struct sigaction action = {.sa_handler = on_interrupt}, old_int, old_term;
    sigaction(SIGINT, &action, &old_int);
    sigaction(SIGTERM, &action, &old_term);
    for (size_t i = 0; i < count && !is_interrupted; i++)
        run_one(runs, count, i, options, input);
    if (!is_interrupted && is_any_on(runs, count))
        fprintf(stderr, "        the last ones are still at rest: a few seconds more\n");
    while (!is_interrupted && is_any_on(runs, count))
        turn(runs, count, options);
    for (size_t i = 0; i < count; i++)
        kill_run(&runs[i]);
    sigaction(SIGINT, &old_int, NULL);
    sigaction(SIGTERM, &old_term, NULL);
    return !is_interrupted;
}
