/* Frames that repeat cost the kernel nothing: no system call and no page fault, counted for the thread that runs them. */
#include <sluice/sluice.h>

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/support/testing.h"

#define WARM_UP 50
#define FRAMES  10000

static sluice_module bound;

/* Memory goes back after an hour: however slow the machine, nothing that is due by time gets into the count. */
static void use_kind(const char *kind)
{
    char policy[512];
    snprintf(policy, sizeof policy,
             "default: pool\n"
             "backends:\n"
             "  pool_1h: {kind: pool, purge_after: 1h}\n"
             "  region_1h: {kind: region, purge_after: 1h}\n"
             "  mmap: {kind: mmap, reuse: 1h}\n"
             "phases:\n  frame: {modules: [bound], backend: %s}\n",
             kind);
    use_policy(policy);
    bound = use_module("bound");
}

/* ---- Counting system calls ------------------------------------------------------------------- */

static volatile sig_atomic_t calls, last_call;

static void on_call(int signo, siginfo_t *info, void *context)
{
    (void)signo;
    (void)context;
    calls++;
    last_call = info->si_syscall;
}

#define ALLOW(call) \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (call), 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

/* From here on this thread's system calls are counted instead of made, but for those that end a test, and the reading of
 * the clock, which is none where the kernel maps its time. */
static void count_calls(void)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        ALLOW(SYS_rt_sigreturn),
        ALLOW(SYS_getrusage),
        ALLOW(SYS_clock_gettime),
        ALLOW(SYS_exit_group),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
    };
    struct sock_fprog program = {.len = LENGTH(filter), .filter = filter};
    struct sigaction action = {.sa_sigaction = on_call, .sa_flags = SA_SIGINFO};
    if (sigaction(SIGSYS, &action, NULL) != 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
        perror("seccomp");
        _exit(3);
    }
}

/* ---- Frames ---------------------------------------------------------------------------------- */

static void run_frame(void)
{
    static const size_t sizes[] = {16, 100, 1000, 5000, 30000, 100000, 3000000};
    sluice_phase *phase;
    if (sluice_phase_begin("frame", &phase) != SLUICE_OK)
        _exit(4);
    for (int i = 0; i < 20; i++)
        for (size_t k = 0; k < LENGTH(sizes); k++) {
            char *p = k == LENGTH(sizes) - 1 && i > 0 ? NULL : sluice_malloc(bound, sizes[k]);
            if (p != NULL)
                p[0] = p[sizes[k] - 1] = 1;
        }
    if (sluice_phase_end(phase) != SLUICE_OK)
        _exit(5);
}

static long page_faults(void)
{
    struct rusage usage;
    getrusage(RUSAGE_THREAD, &usage);
    return usage.ru_minflt + usage.ru_majflt;
}

/* What the child found, where it may write no more. */
static struct {
    volatile long calls, last_call, faults;
} * found;

static void run_frames(void *unused)
{
    (void)unused;
    for (int i = 0; i < WARM_UP; i++)
        run_frame();
    long faults = page_faults();
    count_calls();
    for (int i = 0; i < FRAMES; i++)
        run_frame();
    found->faults = page_faults() - faults;
    found->calls = calls;
    found->last_call = last_call;
    _exit(0);
}

static const char *const kinds[] = {"pool_1h", "region_1h", "mmap"};

START_TEST(frames_of_one_thread_ask_the_kernel_for_nothing)
{
    use_kind(kinds[_i]);
    found = mmap(NULL, sizeof *found, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(found, MAP_FAILED);
    /* The control thread may lose its processor with a lock in hand that a frame wants, on a busy machine: then once more. */
    for (int attempt = 0; attempt < 3; attempt++) {
        memset(found, 0, sizeof *found);
        struct child child = run_child(run_frames, NULL, 60000);
        ck_assert_msg(child_succeeded(&child), "%d: %s", child.status, child.error);
        if (found->calls != 1 || found->last_call != SYS_futex)
            break;
    }
    ck_assert_msg(found->calls == 0, "%s: %ld system calls in %d frames, the last one number %ld",
                  kinds[_i], found->calls, FRAMES, found->last_call);
    ck_assert_msg(found->faults == 0, "%s: %ld page faults in %d frames", kinds[_i], found->faults,
                  FRAMES);
}
END_TEST

int main(void)
{
    TCase *cases[] = {tcase_create("frames")};
    if (!SANITIZED)
        tcase_add_loop_test(cases[0], frames_of_one_thread_ask_the_kernel_for_nothing, 0,
                            LENGTH(kinds));
    return run_suite("phase_frames", cases, LENGTH(cases));
}
