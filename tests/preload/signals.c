/* signals.c - a program that handles SIGHUP itself, while the policy has it reload. */
#include <dlfcn.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile sig_atomic_t caught, with_info;
static uint64_t (*generation)(void);
static int failed;

static void expect(const char *what, long found, long wanted)
{
    if (found != wanted) {
        printf("FAILED: %s: %ld, not %ld\n", what, found, wanted);
        failed = 1;
    }
}

static void on_hangup(int signo)
{
    caught += signo;
}

static void on_hangup_info(int signo, siginfo_t *info, void *context)
{
    (void)context;
    with_info = info->si_pid == getpid() && signo == SIGHUP;
}

/* Raises SIGHUP and waits for the reload that it asks for. */
static void hang_up(void)
{
    uint64_t before = generation();
    raise(SIGHUP);
    for (int i = 0; generation() == before && i < 20000; i++)
        usleep(500);
    expect("the policy was read again", generation() > before, 1);
}

int main(void)
{
    struct sigaction now, mine = {.sa_handler = on_hangup};
    *(void **)&generation = dlsym(RTLD_DEFAULT, "sluice_policy_generation");
    free(malloc(1));
    hang_up(); /* the default action would end the program */

    /* What is set is what is told. */
    sigaction(SIGHUP, NULL, &now);
    expect("at first the default", now.sa_handler == SIG_DFL, 1);
    expect("signal() tells the default", signal(SIGHUP, on_hangup) == SIG_DFL, 1);
    hang_up();
    expect("the program's handler is called, too", caught, SIGHUP);
    expect("signal() tells the handler", signal(SIGHUP, SIG_IGN) == on_hangup, 1);
    hang_up();
    expect("an ignored signal reloads", caught, SIGHUP);
    sigaction(SIGHUP, NULL, &now);
    expect("ignored is told", now.sa_handler == SIG_IGN, 1);

    /* Flags. */
    mine.sa_flags = SA_SIGINFO;
    mine.sa_sigaction = on_hangup_info;
    expect("sigaction", sigaction(SIGHUP, &mine, NULL), 0);
    hang_up();
    expect("with the signal's information", with_info, 1);
    mine = (struct sigaction){.sa_handler = on_hangup, .sa_flags = SA_RESETHAND};
    sigaction(SIGHUP, &mine, &now);
    expect("the one before is told", now.sa_sigaction == on_hangup_info, 1);
    caught = 0;
    hang_up();
    hang_up();
    expect("SA_RESETHAND: once", caught, SIGHUP);

    /* Without SA_RESTART a system call is interrupted, as a server's main loop may need. */
    mine.sa_flags = 0;
    sigaction(SIGHUP, &mine, NULL);
    int ends[2];
    char byte;
    if (pipe(ends) != 0)
        return 2;
    pid_t child = fork();
    if (child == 0) {
        for (;;) { /* until the parent has been interrupted, and ends us */
            usleep(1000);
            if (kill(getppid(), SIGHUP) != 0)
                _exit(0);
        }
    }
    ssize_t n = read(ends[0], &byte, 1);
    expect("a system call is interrupted", n == -1 && errno == EINTR, 1);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    expect("other signals are the system's", signal(SIGUSR1, on_hangup) == SIG_DFL, 1);
    caught = 0;
    raise(SIGUSR1);
    expect("and are caught", caught, SIGUSR1);
    return failed;
}
