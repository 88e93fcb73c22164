/* The porter: what it opens is nowhere in the program's table of descriptors, and the program may do with that what it likes. */
#include "core/porter.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/observe.h"
#include "tests/support/testing.h"

#define to_pool   "sluice: 1\nmodules: {m: pool}\nreload: {watch: true, signal: SIGHUP}\n"
#define to_glibc  "sluice: 1\nmodules: {m: glibc}\nreload: {watch: true, signal: SIGHUP}\n"
#define is_broken "sluice: 1\nmodules: {m: nobody}\n"

static char policy[4200];

static void start_with(const char *text)
{
    snprintf(policy, sizeof policy, "%s/policy.yaml", test_folder());
    write_file(policy, text);
    ck_assert_msg(sluice_init(policy) == SLUICE_OK, "%s", sluice_error_message());
}

/* The process's door is open. Everything else that the porter has is there by then. */
static bool is_open(void *pid)
{
    char line[512], wanted[64];
    bool found = false;
    snprintf(wanted, sizeof wanted, "@" OBSERVE_DOOR "%d/", *(pid_t *)pid);
    FILE *file = fopen("/proc/net/unix", "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        found |= strstr(line, wanted) != NULL;
    if (file != NULL)
        fclose(file);
    return found;
}

static void wait_for_porter(void)
{
    pid_t self = getpid();
    ck_assert_msg(wait_until(is_open, &self, 20000), "no porter");
}

/* The descriptors of a thread as a set of bits, and their number; the one that is used to find out left out. */
static uint64_t descriptors(int tid, unsigned *count)
{
    char path[64];
    uint64_t set = 0;
    snprintf(path, sizeof path, "/proc/self/task/%d/fd", tid);
    DIR *folder = opendir(path);
    ck_assert_ptr_nonnull(folder);
    *count = 0;
    for (struct dirent *e; (e = readdir(folder)) != NULL;) {
        int fd = atoi(e->d_name);
        if (e->d_name[0] == '.' || (tid == getpid() && fd == dirfd(folder)))
            continue;
        set |= UINT64_C(1) << (fd % 64);
        ++*count;
    }
    closedir(folder);
    return set;
}

static int porter_tid(void)
{
    int tid = 0;
    DIR *folder = opendir("/proc/self/task");
    ck_assert_ptr_nonnull(folder);
    for (struct dirent *e; (e = readdir(folder)) != NULL;) {
        char path[300], name[32] = "";
        snprintf(path, sizeof path, "/proc/self/task/%s/comm", e->d_name);
        FILE *file = e->d_name[0] == '.' ? NULL : fopen(path, "r");
        if (file != NULL && fgets(name, sizeof name, file) != NULL &&
            strcmp(name, "sluice-porter\n") == 0)
            tid = atoi(e->d_name);
        if (file != NULL)
            fclose(file);
    }
    closedir(folder);
    return tid;
}

/* The bell three times, files, the door. */
static bool has_descriptors(void *unused)
{
    unsigned own;
    descriptors(porter_tid(), &own);
    return own >= 5;
}

static bool is_served_by(void *kind)
{
    void *p = sluice_malloc(use_module("m"), 100);
    bool is = strcmp(kind_of(p), kind) == 0;
    sluice_free(p);
    return is;
}

static char pool_kind[] = "pool", glibc_kind[] = "glibc";

START_TEST(the_program_sees_none_of_it)
{
    unsigned before, after;
    uint64_t set = descriptors(getpid(), &before);
    start_with(to_pool);
    wait_for_porter();
    ck_assert_uint_eq(descriptors(getpid(), &after), set);
    ck_assert_uint_eq(after, before);
    ck_assert(wait_until(has_descriptors, NULL, 20000));
    int fds[2];
    ck_assert_int_eq(pipe(fds), 0);
    int lowest = 0;
    while ((set >> lowest & 1) != 0)
        lowest++;
    ck_assert_int_eq(fds[0], lowest);
}
END_TEST

static void close_everything(void *unused)
{
    start_with(to_pool);
    wait_for_porter();
    syscall(SYS_close_range, 0u, ~0u, 0u);
    write_file(policy, to_glibc);
    if (!wait_until(is_served_by, glibc_kind, 20000))
        _exit(1);
    write_file(policy, to_pool);
    kill(getpid(), SIGHUP);
    if (!wait_until(is_served_by, pool_kind, 20000))
        _exit(2);
    pid_t self = getpid();
    if (!is_open(&self))
        _exit(3);
}

START_TEST(a_program_that_closes_everything)
{
    struct child child = run_child(close_everything, NULL, 60000);
    ck_assert_msg(child_succeeded(&child), "%x: %s", (unsigned)child.status, child.error);
}
END_TEST

static void leave_no_room(void *unused)
{
    start_with(to_pool);
    wait_for_porter();
    write_file(policy, to_glibc);
    struct rlimit few = {0, 0};
    setrlimit(RLIMIT_NOFILE, &few);
    kill(getpid(), SIGHUP); /* cannot be read now: that is a failed reload, and no more */
    while (reload_status().failures == 0)
        usleep(1000);
    if (!is_served_by(pool_kind))
        _exit(1);
}

START_TEST(a_program_without_room_for_descriptors)
{
    struct child child = run_child(leave_no_room, NULL, 60000);
    ck_assert_msg(child_succeeded(&child), "%x: %s", (unsigned)child.status, child.error);
}
END_TEST

/* Whoever waits for the end of a pipe gets it when the program closes its end. */
START_TEST(nothing_that_the_program_had_open_stays_open)
{
    int fds[2];
    char byte;
    ck_assert_int_eq(pipe(fds), 0);
    start_with(to_pool);
    wait_for_porter();
    close(fds[1]);
    ck_assert_int_eq(read(fds[0], &byte, 1), 0);
}
END_TEST

static bool is_written(void *path)
{
    char text[4096] = "";
    FILE *file = fopen(path, "r");
    ck_assert_ptr_nonnull(file);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    return strstr(text, "policy.yaml:2:") != NULL &&
           strstr(text, "the policy that was in force stays") != NULL;
}

START_TEST(what_it_logs_reaches_standard_error)
{
    char path[4200];
    snprintf(path, sizeof path, "%s/errors", test_folder());
    write_file(path, "");
    start_with(to_pool);
    wait_for_porter();
    int fd = open(path, O_WRONLY | O_CLOEXEC), before = dup(STDERR_FILENO);
    ck_assert_int_eq(dup2(fd, STDERR_FILENO), STDERR_FILENO);
    write_file(policy, is_broken);
    kill(getpid(), SIGHUP);
    bool written = wait_until(is_written, path, 20000);
    ck_assert_int_eq(dup2(before, STDERR_FILENO), STDERR_FILENO);
    ck_assert(written);
}
END_TEST

/* The child has none until it needs one, and then its own. */
START_TEST(a_child_of_fork)
{
    start_with(to_pool);
    wait_for_porter();
    unsigned before;
    uint64_t set = descriptors(getpid(), &before);
    pid_t pid = fork();
    if (pid == 0) {
        unsigned after;
        pid_t self = getpid();
        if (descriptors(self, &after) != set || is_open(&self))
            _exit(1);
        write_file(policy, to_glibc);
        ck_assert_int_eq(sluice_policy_reload(), SLUICE_OK);
        wait_for_porter();
        if (descriptors(self, &after) != set)
            _exit(2);
        write_file(policy, to_pool);
        _exit(wait_until(is_served_by, pool_kind, 20000) ? 0 : 3);
    }
    int status;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
    ck_assert(is_open(&(pid_t){getpid()}));
    ck_assert(!is_open(&pid));
}
END_TEST

static bool is_shut(void *pid)
{
    return !is_open(pid);
}

START_TEST(the_policy_opens_and_shuts_the_door)
{
    pid_t self = getpid();
    start_with(to_pool);
    wait_for_porter();
    write_file(policy, "sluice: 1\nobserve: off\n");
    ck_assert_int_eq(sluice_policy_reload(), SLUICE_OK);
    ck_assert(wait_until(is_shut, &self, 20000));
    write_file(policy, "sluice: 1\n");
    ck_assert_int_eq(sluice_policy_reload(), SLUICE_OK);
    ck_assert(wait_until(is_open, &self, 20000));
}
END_TEST

/* Nobody asked for anything: no thread. */
START_TEST(a_program_without_a_policy_has_none)
{
    pid_t self = getpid();
    sluice_free(sluice_malloc(use_module("m"), 100));
    ck_assert(!is_open(&self));
    ck_assert_int_eq(porter_tid(), 0);
}
END_TEST

int main(void)
{
    TCase *cases[] = {tcase_create("porter")};
    tcase_add_test(cases[0], the_program_sees_none_of_it);
    tcase_add_test(cases[0], a_program_that_closes_everything);
    tcase_add_test(cases[0], a_program_without_room_for_descriptors);
    tcase_add_test(cases[0], nothing_that_the_program_had_open_stays_open);
    tcase_add_test(cases[0], what_it_logs_reaches_standard_error);
    tcase_add_test(cases[0], a_child_of_fork);
    tcase_add_test(cases[0], the_policy_opens_and_shuts_the_door);
    tcase_add_test(cases[0], a_program_without_a_policy_has_none);
    return run_suite("porter", cases, LENGTH(cases));
}
