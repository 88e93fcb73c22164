/* fork() while the control thread exchanges a descriptor: the child closes none of the program's. */
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/support/testing.h"

/* What the control thread closes is closed at once, but it learns of it late: who opens something meanwhile gets the
 * number. */
static _Atomic bool slow;
static _Atomic uint32_t closed;
static const char *watch;

int close(int fd);
int close(int fd)
{
    int result = (int)syscall(SYS_close, fd);
    if (atomic_load(&slow) && gettid() != getpid()) {
        atomic_fetch_add(&closed, 1);
        nanosleep(&(struct timespec){.tv_nsec = 300000000}, NULL);
    }
    return result;
}

static void fork_with_a_pipe(void)
{
    int fds[2];
    ck_assert_int_eq(pipe(fds), 0);
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0)
        _exit(fcntl(fds[0], F_GETFD) < 0 || fcntl(fds[1], F_GETFD) < 0);
    int status;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_msg(status == 0, "the child has lost a descriptor of %d and %d", fds[0], fds[1]);
    ck_assert_int_eq((int)syscall(SYS_close, fds[0]), 0);
    ck_assert_int_eq((int)syscall(SYS_close, fds[1]), 0);
}

/* The control thread looks what to watch after each load of something new; several at once count as one. */
static void wait_for_a_close(const char *path)
{
    static unsigned loads;
    uint32_t before = atomic_load(&closed);
    for (int i = 0; i < 40 && atomic_load(&closed) == before; i++) {
        char text[100];
        snprintf(text, sizeof text, "sluice: 1\nreload: {watch: %s, signal: SIGHUP}\n# %u\n", watch,
                 loads++);
        write_file(path, text);
        ck_assert_int_eq(sluice_policy_load_file(path), SLUICE_OK);
        wait_for_count(&closed, before + 1, 500);
    }
    ck_assert_uint_ne(atomic_load(&closed), before);
}

/* With a file to watch there is a descriptor to exchange; without, one that is given up. */
START_TEST(the_child_closes_nothing_of_the_program)
{
    char path[4200];
    snprintf(path, sizeof path, "%s/policy.yaml", test_folder());
    watch = _i == 0 ? "true" : "false";
    atomic_store(&slow, true);
    for (int i = 0; i < 3; i++) {
        wait_for_a_close(path);
        fork_with_a_pipe();
    }
    atomic_store(&slow, false);
}
END_TEST

int main(void)
{
    TCase *cases[] = {tcase_create("control_fork")};
    tcase_set_timeout(cases[0], 60);
    tcase_add_loop_test(cases[0], the_child_closes_nothing_of_the_program, 0, 2);
    return run_suite("control_fork", cases, LENGTH(cases));
}
