#include "tools/bench/preloaded.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

const char *preloaded_sluice(void)
{
    static char path[4096];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 64);
    path[n < 0 ? 0 : n] = '\0';
    for (int up = 0; up < 2; up++) {
        char *slash = strrchr(path, '/');
        if (slash != NULL)
            *slash = '\0';
    }
    strcat(path, "/preload/libsluice-preload.so");
    return path;
}

static void become(const char *library, const char *work, int in, int out)
{
    dup2(in, STDIN_FILENO);
    dup2(out, STDOUT_FILENO);
    unsetenv("SLUICE_OVERRIDE");
    setenv("LD_PRELOAD", library, 1);
    execl("/proc/self/exe", "bench", "turns", work, (char *)NULL);
    fprintf(stderr, "bench: /proc/self/exe: %s\n", strerror(errno));
    _exit(127);
}

bool preloaded_start(struct preloaded *p, const char *library, const char *work)
{
    int ask[2], answer[2];
    if (pipe2(ask, O_CLOEXEC) != 0 || pipe2(answer, O_CLOEXEC) != 0) {
        fprintf(stderr, "bench: a pipe: %s\n", strerror(errno));
        return false;
    }
    fflush(NULL);
    p->pid = fork();
    if (p->pid == 0)
        become(library, work, ask[0], answer[1]);
    close(ask[0]);
    close(answer[1]);
    p->ask = fdopen(ask[1], "w");
    p->answer = fdopen(answer[0], "r");
    if (p->pid < 0 || p->ask == NULL || p->answer == NULL) {
        fprintf(stderr, "bench: a child with %s: %s\n", library, strerror(errno));
        return false;
    }
    signal(SIGPIPE, SIG_IGN);
    /* The dynamic linker only warns when it finds no such library. */
    char maps[64], line[4096], *base = strrchr(library, '/');
    bool there = false;
    if (preloaded_ask(p, 'r', 0) < 0)
        return false;
    snprintf(maps, sizeof maps, "/proc/%d/maps", (int)p->pid);
    FILE *file = fopen(maps, "r");
    while (file != NULL && !there && fgets(line, sizeof line, file) != NULL)
        there = strstr(line, base == NULL ? library : base + 1) != NULL;
    if (file != NULL)
        fclose(file);
    if (!there) {
        fprintf(stderr, "bench: without %s: it is not installed\n", library);
        preloaded_end(p);
    }
    return there;
}

bool preloaded_start_sluice(struct preloaded *p, const char *policy, const char *work)
{
    char path[] = "/tmp/sluice-bench-XXXXXX";
    unsetenv("SLUICE_POLICY");
    if (policy == NULL)
        return preloaded_start(p, preloaded_sluice(), work);
    int fd = mkstemp(path);
    if (fd < 0 || write(fd, policy, strlen(policy)) != (ssize_t)strlen(policy)) {
        perror("bench: a policy in /tmp");
        return false;
    }
    setenv("SLUICE_POLICY", path, 1);
    bool started = preloaded_start(p, preloaded_sluice(), work);
    unsetenv("SLUICE_POLICY"); /* the child has read it */
    close(fd);
    unlink(path);
    return started;
}

void preloaded_send(struct preloaded *p, char what, size_t n)
{
    if (p->pid > 0) {
        fprintf(p->ask, "%c %zu\n", what, n);
        fflush(p->ask); /* a child that has died gives no answer */
    }
}

double preloaded_receive(struct preloaded *p)
{
    double value = -1;
    if (p->pid <= 0)
        return -1;
    if (fscanf(p->answer, "%lf", &value) != 1) {
        fprintf(stderr, "bench: the child %d ended too early\n", (int)p->pid);
        preloaded_end(p);
        return -1;
    }
    return value;
}

double preloaded_ask(struct preloaded *p, char what, size_t n)
{
    preloaded_send(p, what, n);
    return preloaded_receive(p);
}

void preloaded_end(struct preloaded *p)
{
    if (p->pid <= 0)
        return;
    fclose(p->ask);
    fclose(p->answer);
    kill(p->pid, SIGTERM);
    waitpid(p->pid, NULL, 0);
    p->pid = 0;
}

int preloaded_serve(double (*answer)(char what, size_t n))
{
    char what;
    size_t n;
    while (scanf(" %c %zu", &what, &n) == 2) {
        printf("%.4f\n", what == 'r' ? 0 : answer(what, n));
        fflush(stdout);
    }
    return 0;
}
