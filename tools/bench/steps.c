#include "tools/bench/steps.h"

#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

/* Returns the steps between the child's two stops, or -1. */
static long count(pid_t child)
{
    int status;
    long steps = 0;
    if (waitpid(child, &status, 0) != child || !WIFSTOPPED(status))
        return -1;
    for (;; steps++) {
        if (ptrace(PTRACE_SINGLESTEP, child, 0, 0) != 0 || waitpid(child, &status, 0) != child ||
            !WIFSTOPPED(status))
            return -1;
        if (WSTOPSIG(status) == SIGSTOP)
            return steps;
    }
}

static long steps_of(void (*work)(size_t n), size_t n)
{
    pid_t child = fork();
    if (child == 0) {
        if (ptrace(PTRACE_TRACEME, 0, 0, 0) != 0)
            _exit(1);
        work(100); /* what is done once is done, and what the dynamic linker has to find is found */
        raise(SIGSTOP);
        work(n);
        raise(SIGSTOP);
        _exit(0);
    }
    if (child < 0)
        return -1;
    long steps = count(child);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    return steps;
}

double steps_each(void (*work)(size_t n), size_t n)
{
    /* Each step is two switches between parent and child: on one processor they are short. */
    cpu_set_t before, one;
    bool known = sched_getaffinity(0, sizeof before, &before) == 0;
    CPU_ZERO(&one);
    CPU_SET((unsigned)sched_getcpu(), &one);
    if (known)
        sched_setaffinity(0, sizeof one, &one);
    long none = steps_of(work, 0), all = steps_of(work, n);
    if (known)
        sched_setaffinity(0, sizeof before, &before);
    return none < 0 || all < 0 ? -1 : (double)(all - none) / (double)n;
}
