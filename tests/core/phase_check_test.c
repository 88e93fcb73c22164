/* `check: poison` and `check: protect`: what is said of an access to memory of a phase that has ended, word for word; what
 * else must still work with a check on. */
#include <sluice/sluice.h>

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/testing.h"

static const char *const kinds[] = {"pool", "region", "mmap", "jemalloc"};

/* The thread sanitizer does not see jemalloc's own handlers of fork, and these tests are children. */
#ifdef __SANITIZE_THREAD__
#define KINDS 3
#else
#define KINDS 4
#endif

/* The address sanitizer stops a late write before it is made. */
#ifdef __SANITIZE_ADDRESS__
#define WRITES_ARE_MADE 0
#else
#define WRITES_ARE_MADE 1
#endif

static sluice_module bound;

static void use_check(const char *kind, const char *check)
{
    char policy[256];
    snprintf(policy, sizeof policy,
             "default: pool\nphases:\n  frame: {modules: [bound], backend: %s, %s}\n", kind, check);
    use_policy(policy);
    bound = use_module("bound");
}

static sluice_phase *begin(void)
{
    sluice_phase *phase;
    ck_assert_msg(sluice_phase_begin("frame", &phase) == SLUICE_OK, "%s", sluice_error_message());
    return phase;
}

static void end(sluice_phase *phase)
{
    ck_assert_msg(sluice_phase_end(phase) == SLUICE_OK, "%s", sluice_error_message());
}

/* A function that the program exports, so that a report can name it. */
__attribute__((noinline, visibility("default"))) void *made_in_a_frame(size_t size);
void *made_in_a_frame(size_t size)
{
    char *p = sluice_malloc(bound, size);
    ck_assert_ptr_nonnull(p);
    p[0] = 1; /* no tail call: the return address is in here */
    return p;
}

/* An object of an instance that has ended. */
static char *ended_object(size_t size)
{
    sluice_phase *phase = begin();
    char *p = made_in_a_frame(size);
    memset(p, 1, size);
    end(phase);
    return p;
}

/* Numbers in hexadecimal and times become X, so that a text can be compared. */
static const char *masked(const char *text)
{
    static char out[8192];
    size_t n = 0;
    for (const char *at = text; *at != '\0' && n < sizeof out - 1;) {
        size_t hex = strncmp(at, "0x", 2) == 0 ? 2 + strspn(at + 2, "0123456789abcdef") : 0;
        size_t digits = strspn(at, "0123456789");
        size_t time = at[digits] == '.' ? digits + 1 + strspn(at + digits + 1, "0123456789") : 0;
        if (hex > 0 || (time > 0 && digits > 0)) {
            out[n++] = 'X';
            at += hex > 0 ? hex : time;
        } else {
            out[n++] = *at++;
        }
    }
    out[n] = '\0';
    return out;
}

#define FIRST_LINE(access)                                                                      \
    "sluice: error: " access " memory of a phase that has ended: address X, module \"bound\", " \
    "phase \"frame\", instance #1, which ended X s ago\n"

/* The object's size is the backend's. */
static void check_report(const char *error, const char *first_line, size_t byte, size_t size)
{
    char expected[1024];
    const char *text = masked(error);
    ck_assert_msg(strncmp(text, first_line, strlen(first_line)) == 0, "%s", error);
    unsigned long long object = 0;
    int length = 0;
    sscanf(text + strlen(first_line),
           "sluice: error: the address is byte %*u of an object of %llu%n", &object, &length);
    ck_assert_msg(length > 0 && object >= size && object < size + size / 4 + 4096, "%s", error);
    snprintf(
        expected, sizeof expected,
        "sluice: error: the address is byte %zu of an object of %llu bytes at X, allocated from "
        "made_in_a_frame+X (",
        byte, object);
    ck_assert_msg(strstr(text, expected) != NULL, "%s\nis not\n%s", text, expected);
}

/* ---- Poison ---------------------------------------------------------------------------------- */

static void write_late(void *size)
{
    ended_object((uintptr_t)size)[8] = 2;
    size_t first = sluice_phase_check("frame"), second = sluice_phase_check("frame");
    _exit(first == 1 && second == 0 ? 0 : 1); /* said once */
}

static const size_t sizes[] = {100, 5000, 100000, 3000000};

START_TEST(a_late_write_is_found_when_asked)
{
    use_check(kinds[_i % KINDS], "check: poison");
    size_t size = sizes[_i / KINDS];
    struct child child = run_child(write_late, (void *)(uintptr_t)size, 20000);
    ck_assert_msg(child_succeeded(&child), "%d: %s", child.status, child.error);
    check_report(child.error, FIRST_LINE("write to"), 8, size);
}
END_TEST

static void write_late_and_go_on(void *unused)
{
    (void)unused;
    ended_object(100)[50] = 2;
    for (int i = 0; i < 2; i++)
        end(begin());
    dprintf(STDERR_FILENO, "not yet\n");
    end(begin());
}

START_TEST(a_late_write_is_found_before_the_memory_is_used_again)
{
    use_check(kinds[_i], "check: poison, keep: 3");
    struct child child = run_child(write_late_and_go_on, NULL, 20000);
    ck_assert_msg(child_succeeded(&child), "%d: %s", child.status, child.error);
    ck_assert_msg(strncmp(child.error, "not yet\n", 8) == 0, "%s", child.error);
    check_report(child.error + 8, FIRST_LINE("write to"), 50, 100);
}
END_TEST

static void write_late_and_reload(void *unused)
{
    (void)unused;
    ended_object(100)[50] = 2;
    use_policy("default: pool\n");
}

START_TEST(a_late_write_is_found_before_a_reload_gives_the_memory_back)
{
    use_check(kinds[_i], "check: poison");
    struct child child = run_child(write_late_and_reload, NULL, 20000);
    ck_assert_msg(child_succeeded(&child), "%d: %s", child.status, child.error);
    check_report(child.error, FIRST_LINE("write to"), 50, 100);
}
END_TEST

/* ---- Protect --------------------------------------------------------------------------------- */

static void write_out_of_reach(void *size)
{
    ended_object((uintptr_t)size)[9] = 2;
}

static void read_out_of_reach(void *size)
{
    _exit(ended_object((uintptr_t)size)[10]);
}

static bool died_of_it(const struct child *child)
{
    return WIFSIGNALED(child->status) && WTERMSIG(child->status) == SIGSEGV;
}

#if defined(__x86_64__)
#define WRITE_TO "write to"
#define READ_OF  "read of"
#else
#define WRITE_TO "access to"
#define READ_OF  "access to"
#endif

START_TEST(an_access_out_of_reach_is_explained_and_fatal)
{
    use_check(kinds[_i % KINDS], "check: protect");
    size_t size = sizes[_i / KINDS];
    struct child child = run_child(write_out_of_reach, (void *)(uintptr_t)size, 20000);
    ck_assert_msg(SANITIZED || died_of_it(&child), "%d: %s", child.status, child.error);
    check_report(child.error, FIRST_LINE(WRITE_TO), 9, size);
    child = run_child(read_out_of_reach, (void *)(uintptr_t)size, 20000);
    ck_assert_msg(SANITIZED || died_of_it(&child), "%d: %s", child.status, child.error);
    check_report(child.error, FIRST_LINE(READ_OF), 10, size);
}
END_TEST

static sigjmp_buf way_out;
static volatile char *late;
static volatile int handled;

static void on_fault(int signo, siginfo_t *info, void *context)
{
    (void)context;
    if (signo == SIGSEGV && info->si_code == SEGV_ACCERR &&
        (uintptr_t)info->si_addr == (uintptr_t)late + 8)
        handled++;
    siglongjmp(way_out, 1);
}

static void handle_faults(void)
{
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    ck_assert_int_eq(sigaction(SIGSEGV, &action, NULL), 0);
}

static void fault_twice(void *unused)
{
    (void)unused;
    handle_faults();
    late = ended_object(100);
    for (volatile int i = 0; i < 2; i++)
        if (sigsetjmp(way_out, 1) == 0)
            late[8] = 1;
    _exit(handled == 2 ? 0 : 1);
}

START_TEST(the_programs_own_handler_gets_the_fault)
{
    use_check(kinds[_i], "check: protect");
    struct child child = run_child(fault_twice, NULL, 20000);
    ck_assert_msg(child_succeeded(&child), "%d: %s", child.status, child.error);
    check_report(child.error, FIRST_LINE(WRITE_TO), 8, 100);
}
END_TEST

static void fault_elsewhere(void *unused)
{
    (void)unused;
    handle_faults();
    ended_object(100);
    late = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (sigsetjmp(way_out, 1) == 0)
        late[8] = 1;
    _exit(handled == 1 ? 0 : 1);
}

START_TEST(other_faults_are_nothing_of_ours)
{
    use_check("pool", "check: protect");
    struct child child = run_child(fault_elsewhere, NULL, 20000);
    ck_assert_msg(child_succeeded(&child), "%d: %s", child.status, child.error);
    ck_assert_str_eq(child.error, "");
}
END_TEST

static void fault_on_a_small_stack(void *unused)
{
    (void)unused;
    stack_t stack = {.ss_size = (size_t)sysconf(_SC_SIGSTKSZ)};
    stack.ss_sp =
        mmap(NULL, stack.ss_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    sigaltstack(&stack, NULL);
    ended_object(100)[8] = 1;
}

START_TEST(the_report_needs_no_more_than_a_usual_signal_stack)
{
    use_check("pool", "check: protect");
    struct child child = run_child(fault_on_a_small_stack, NULL, 20000);
    ck_assert_msg(SANITIZED || died_of_it(&child), "%d: %s", child.status, child.error);
    check_report(child.error, FIRST_LINE(WRITE_TO), 8, 100);
}
END_TEST

static void send_fault(void *unused)
{
    (void)unused;
    ended_object(100);
    raise(SIGSEGV);
    _exit(0);
}

START_TEST(a_signal_that_was_sent_kills_as_ever)
{
    use_check("pool", "check: protect");
    struct child child = run_child(send_fault, NULL, 20000);
    ck_assert_msg(SANITIZED || died_of_it(&child), "%d: %s", child.status, child.error);
}
END_TEST

/* ---- Both ------------------------------------------------------------------------------------ */

static void free_late(void *unused)
{
    (void)unused;
    sluice_free(ended_object(100));
}

START_TEST(a_late_free_is_reported)
{
    use_check(kinds[_i % KINDS], _i < KINDS ? "check: poison" : "check: protect");
    struct child child = run_child(free_late, NULL, 20000);
    ck_assert_msg(child_aborted(&child), "%d: %s", child.status, child.error);
    ck_assert_msg(strstr(child.error,
                         "the object went with its phase: phase \"frame\", instance #1, "
                         "which has ended") != NULL,
                  "%s", child.error);
}
END_TEST

static void *use_frames(void *index)
{
    uint64_t random = (uintptr_t)index + 1;
    for (int frame = 0; frame < TESTING_SCALE(40); frame++) {
        sluice_phase *phase = begin();
        ck_assert_int_eq(sluice_phase_enter(phase), SLUICE_OK);
        char *object[50];
        size_t size[50];
        for (int i = 0; i < 50; i++) {
            size[i] = test_random_size(&random, i % 20 == 0 ? 4 * MIB : 20000);
            object[i] =
                i % 2 == 0 ? sluice_malloc(bound, size[i]) : sluice_calloc(bound, 1, size[i]);
            ck_assert_ptr_nonnull(object[i]);
            ck_assert(i % 2 == 0 || test_is_zero(object[i], size[i]));
            test_fill(object[i], size[i], (uint64_t)i + 1);
            if (i % 5 == 4) {
                sluice_free(object[i - 1]);
                object[i - 1] = NULL;
            }
            if (i % 7 == 6) {
                size_t bigger = 2 * size[i];
                object[i] = sluice_realloc(bound, object[i], bigger);
                ck_assert(test_is_filled(object[i], size[i], (uint64_t)i + 1));
            }
        }
        for (int i = 0; i < 50; i++)
            ck_assert(object[i] == NULL || test_is_filled(object[i], size[i], (uint64_t)i + 1));
        ck_assert_int_eq(sluice_phase_leave(phase), SLUICE_OK);
        end(phase);
        if (frame % 16 == 3)
            sluice_trim(SLUICE_MODULE_ALL);
        if (frame % 16 == 7)
            (void)stats_of(bound);
    }
    return NULL;
}

static void run_clean(void *unused)
{
    (void)unused;
    run_threads(4, use_frames);
    if (sluice_phase_check(NULL) != 0 || stats_of(bound).live_objects != 0)
        _exit(1);
}

START_TEST(a_clean_program_hears_nothing)
{
    use_check(kinds[_i % KINDS], _i < KINDS ? "check: poison" : "check: protect, purge: end");
    struct child child = run_child(run_clean, NULL, 110000);
    ck_assert_msg(child_succeeded(&child), "%d: %s", child.status, child.error);
    ck_assert_str_eq(child.error, "");
}
END_TEST

/* What one backend held and gave back before the end is another's by then, for its own records perhaps. */
static void change_hands(void *check)
{
    static char *object[2048];
    use_check("pool", check);
    sluice_phase *phase = begin();
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < LENGTH(object); i++)
            ck_assert_ptr_nonnull(object[i] = sluice_malloc(bound, 64 * KIB));
        for (size_t i = 0; i < LENGTH(object); i++)
            sluice_free(object[i]);
        sluice_trim(SLUICE_MODULE_ALL);
        use_check("jemalloc", check);
    }
    end(phase);
    use_check("jemalloc", "check: off"); /* it may be used again */
    sluice_trim(SLUICE_MODULE_ALL);
    phase = begin();
    ck_assert_ptr_nonnull(sluice_malloc(bound, 64 * KIB));
    end(phase);
    _exit(0);
}

START_TEST(memory_that_changed_hands_before_the_end_is_not_watched)
{
    static char poison[] = "check: poison", protect[] = "check: protect";
    struct child child = run_child(change_hands, _i == 0 ? poison : protect, 20000);
    ck_assert_msg(child_succeeded(&child), "%d: %s", child.status, child.error);
    ck_assert_str_eq(child.error, "");
}
END_TEST

START_TEST(the_newest_are_watched_and_no_more)
{
    use_check(kinds[_i], "check: protect, keep: 5");
    struct sluice_phase_stats stats = {.struct_size = sizeof stats};
    for (int i = 0; i < 100; i++)
        ended_object(100000);
    ck_assert_int_eq(sluice_stats_phase("frame", &stats), SLUICE_OK);
    ck_assert_uint_eq(stats.watched, 5);
    ck_assert_uint_le(stats.idle, 1);
    ck_assert_uint_lt(process_stats().chunk_bytes, 100 * MIB);
    ck_assert_uint_eq(stats_of(bound).live_objects, 0);
    ck_assert_uint_eq(held_by(bound), 0);
    use_check(kinds[_i], "check: off");
    ck_assert_int_eq(sluice_stats_phase("frame", &stats), SLUICE_OK);
    ck_assert_uint_eq(stats.watched, 0);
}
END_TEST

#ifdef __SANITIZE_ADDRESS__
START_TEST(the_address_sanitizer_finds_a_use)
{
    use_check(kinds[_i], "check: poison");
    struct child child = run_child(read_out_of_reach, (void *)(uintptr_t)100, 20000);
    ck_assert(!child_succeeded(&child));
    ck_assert_msg(strstr(child.error, "use-after-poison") != NULL, "%s", child.error);
}
END_TEST
#endif

int main(void)
{
    TCase *cases[] = {tcase_create("check"), tcase_create("clean")};
#ifdef __SANITIZE_ADDRESS__
    tcase_add_loop_test(cases[0], the_address_sanitizer_finds_a_use, 0, KINDS);
#endif
    tcase_add_loop_test(cases[0], a_late_write_is_found_when_asked, 0,
                        WRITES_ARE_MADE * KINDS * (int)LENGTH(sizes));
    tcase_add_loop_test(cases[0], a_late_write_is_found_before_the_memory_is_used_again, 0,
                        WRITES_ARE_MADE * KINDS);
    tcase_add_loop_test(cases[0], a_late_write_is_found_before_a_reload_gives_the_memory_back, 0,
                        WRITES_ARE_MADE * KINDS);
    tcase_add_loop_test(cases[0], an_access_out_of_reach_is_explained_and_fatal, 0,
                        KINDS * (int)LENGTH(sizes));
    tcase_add_loop_test(cases[0], the_programs_own_handler_gets_the_fault, 0, KINDS);
    tcase_add_loop_test(cases[0], memory_that_changed_hands_before_the_end_is_not_watched, 0,
                        KINDS < 4 ? 0 : 2);
    tcase_add_test(cases[0], other_faults_are_nothing_of_ours);
    tcase_add_test(cases[0], the_report_needs_no_more_than_a_usual_signal_stack);
    tcase_add_test(cases[0], a_signal_that_was_sent_kills_as_ever);
    tcase_add_loop_test(cases[0], a_late_free_is_reported, 0, 2 * KINDS);
    tcase_add_loop_test(cases[0], the_newest_are_watched_and_no_more, 0, KINDS);
    tcase_add_loop_test(cases[1], a_clean_program_hears_nothing, 0, 2 * KINDS);
    return run_suite("phase_check", cases, LENGTH(cases));
}
