/* The system refuses what a check of a phase needs: it is said once, and the program goes on without. */
#include <sluice/sluice.h>

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/support/testing.h"

static _Atomic bool refuse_taking, refuse_giving, refuse_memory;

/* Here in place of libc's: the library's objects are linked into this program. */
int mprotect_or_refuse(void *address, size_t length, int protection) __asm__("mprotect");
void *mmap_or_refuse(void *address, size_t length, int protection, int flags, int fd,
                     off_t offset) __asm__("mmap");

int mprotect_or_refuse(void *address, size_t length, int protection)
{
    if (protection == PROT_NONE ? refuse_taking : refuse_giving) {
        errno = ENOMEM;
        return -1;
    }
    return (int)syscall(SYS_mprotect, address, length, protection);
}

void *mmap_or_refuse(void *address, size_t length, int protection, int flags, int fd, off_t offset)
{
    if (refuse_memory) {
        errno = ENOMEM;
        return MAP_FAILED;
    }
    return (void *)syscall(SYS_mmap, address, length, protection, flags, fd, offset);
}

static sluice_module bound;

static void use_check(const char *check)
{
    char policy[256];
    snprintf(policy, sizeof policy,
             "default: pool\nphases:\n  frame: {modules: [bound], backend: pool, %s}\n", check);
    use_policy(policy);
    bound = use_module("bound");
}

/* Runs a frame of so many objects; returns one of them. */
static char *run_frame(size_t objects)
{
    sluice_phase *phase;
    if (sluice_phase_begin("frame", &phase) != SLUICE_OK)
        _exit(2);
    char *p = NULL;
    for (size_t n = 0; n < objects; n++) {
        p = sluice_malloc(bound, 100);
        if (p == NULL)
            _exit(3);
        memset(p, 1, 100);
    }
    if (sluice_phase_end(phase) != SLUICE_OK)
        _exit(4);
    return p;
}

static uint64_t watched(void)
{
    struct sluice_phase_stats stats = {.struct_size = sizeof stats};
    ck_assert_int_eq(sluice_stats_phase("frame", &stats), SLUICE_OK);
    return stats.watched;
}

static void run_without_protection(void *unused)
{
    (void)unused;
    run_frame(10);
    refuse_taking = true;
    for (int i = 0; i < 20; i++)
        run_frame(10)[0] = 2; /* late, and not noticed */
    refuse_taking = false;
    for (int i = 0; i < 20; i++)
        run_frame(10);
}

START_TEST(memory_that_cannot_be_protected_is_not_watched)
{
    use_check("check: protect");
    struct child child = run_child(run_without_protection, NULL, 20000);
    ck_assert_msg(child_succeeded(&child), "%d: %s", child.status, child.error);
    ck_assert_str_eq(child.error,
                     "sluice: warning: check: protect: the kernel refuses to protect more (it has "
                     "too many mappings, see vm.max_map_count): some memory of ended phases is not "
                     "checked\n");
}
END_TEST

static void run_until_accessible(void *unused)
{
    (void)unused;
    run_frame(10);
    refuse_giving = true;
    for (int i = 0; i < 5; i++)
        run_frame(10);
    if (watched() != 6)
        _exit(5);
    refuse_giving = false;
    for (int i = 0; i < 5; i++)
        run_frame(10);
    _exit(watched() == 2 ? 0 : 6);
}

START_TEST(memory_that_cannot_be_used_again_stays_watched)
{
    use_check("check: protect, keep: 2");
    struct child child = run_child(run_until_accessible, NULL, 20000);
    ck_assert_msg(child_succeeded(&child), "%d: %s", child.status, child.error);
    ck_assert_str_eq(child.error, "");
}
END_TEST

static void run_without_records(void *unused)
{
    (void)unused;
    for (int i = 0; i < 4; i++)
        run_frame(100); /* what an instance needs is there, for so many objects */
    refuse_memory = true;
    char *p = run_frame(10000);
    refuse_memory = false;
    p[0] = 2; /* late; it was not noted */
    _exit(sluice_phase_check("frame") == 0 ? 0 : 5);
}

START_TEST(objects_that_cannot_be_noted_are_not_checked)
{
    use_check("check: poison, keep: 1");
    struct child child = run_child(run_without_records, NULL, 20000);
    ck_assert_msg(child_succeeded(&child), "%d: %s", child.status, child.error);
    ck_assert_str_eq(child.error, "sluice: warning: no memory to watch what phases leave behind: "
                                  "some of it is not checked\n");
}
END_TEST

int main(void)
{
    TCase *cases[] = {tcase_create("refused")};
    if (!SANITIZED) { /* a sanitizer maps and protects, too */
        tcase_add_test(cases[0], memory_that_cannot_be_protected_is_not_watched);
        tcase_add_test(cases[0], memory_that_cannot_be_used_again_stays_watched);
        tcase_add_test(cases[0], objects_that_cannot_be_noted_are_not_checked);
    }
    return run_suite("phase_refused", cases, LENGTH(cases));
}
