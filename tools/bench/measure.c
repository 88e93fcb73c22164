/* measure.c - bench measure FILE COMMAND…: runs the command, adds a line to FILE: what its process and all that it waited for
 * took. "USER SYSTEM PEAK": seconds, and the largest resident set of one process in KiB. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tools/bench/bench.h"

static pid_t child;

/* Who ends a server by its process id means the server. */
static void forward(int signo)
{
    kill(child, signo);
}

static double seconds(struct timeval t)
{
    return (double)t.tv_sec + (double)t.tv_usec * 1e-6;
}

static int note(const char *file, const struct rusage *usage)
{
    FILE *out = fopen(file, "a");
    if (out == NULL || fprintf(out, "%.6f %.6f %ld\n", seconds(usage->ru_utime),
                               seconds(usage->ru_stime), usage->ru_maxrss) < 0) {
        fprintf(stderr, "bench: %s: %s\n", file, strerror(errno));
        return 1;
    }
    return fclose(out) != 0;
}

int bench_measure(const char *file, char **command)
{
    static const int forwarded[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT};
    struct rusage usage;
    int status;
    child = fork();
    if (child == 0) {
        execvp(command[0], command);
        fprintf(stderr, "bench: %s: %s\n", command[0], strerror(errno));
        _exit(127);
    }
    if (child < 0)
        return 1;
    for (size_t i = 0; i < sizeof forwarded / sizeof *forwarded; i++)
        signal(forwarded[i], forward);
    while (wait4(child, &status, 0, &usage) < 0)
        if (errno != EINTR)
            return 1;
    if (note(file, &usage) != 0)
        return 1;
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}
