/* observed.c - a program for other processes to look at. observed POLICY [WORD...], in this order:
 *
 *     closed     close every descriptor but the standard ones
 *     fork       the child goes on, and the parent only waits for it
 *     nobody     go on as user nobody (65534)
 *     busy       a thread allocates all the time
 *
 * It holds 1000 objects of 100 bytes of module "parts" and one of 1 MiB of "big blocks", prints its number, and ends when
 * standard input does. "again" there makes it allocate 1000 more.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sluice/sluice.h>

static sluice_module parts, blocks;

static void hold_more(void)
{
    for (int i = 0; i < 1000; i++)
        if (sluice_malloc(parts, 100) == NULL)
            exit(1);
}

static void *be_busy(void *unused)
{
    for (;;)
        sluice_free(sluice_malloc(parts, 200));
    return unused;
}

static void go_on_in_child(void)
{
    int status;
    pid_t pid = fork();
    if (pid > 0) {
        waitpid(pid, &status, 0);
        exit(status != 0);
    }
}

static void obey(const char *word)
{
    pthread_t thread;
    if (strcmp(word, "closed") == 0)
        syscall(SYS_close_range, 3u, ~0u, 0u);
    else if (strcmp(word, "fork") == 0)
        go_on_in_child();
    else if (strcmp(word, "nobody") == 0 && (setgid(65534) != 0 || setuid(65534) != 0))
        exit(1);
    else if (strcmp(word, "busy") == 0)
        pthread_create(&thread, NULL, be_busy, NULL);
}

int main(int argc, char **argv)
{
    char line[64];
    signal(SIGHUP, SIG_IGN);
    if (argc < 2 || sluice_init(argv[1]) != SLUICE_OK)
        fprintf(stderr, "%s\n", sluice_error_message());
    parts = sluice_module_register("parts");
    blocks = sluice_module_register("big blocks");
    if (sluice_malloc(blocks, 1 << 20) == NULL)
        return 1;
    for (int i = 2; i < argc; i++)
        obey(argv[i]);
    hold_more();
    printf("%d\n", (int)getpid());
    fflush(stdout);
    while (fgets(line, sizeof line, stdin) != NULL)
        if (strcmp(line, "again\n") == 0) {
            hold_more();
            puts("held");
            fflush(stdout);
        }
    return 0;
}
