/* What the layer over system calls does with failures, against a double of mmap() and madvise(). */
#include "core/os.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/support/testing.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

static long maps, refused_with,
    taken; /* error of every mmap at a fixed place; how many are taken */
static int populate_error;

/* Here in place of libc's: the library's objects are linked into this program. */
/* The parameters' names are those of no header. */
/* NOLINTBEGIN(readability-inconsistent-declaration-parameter-name) */
void *mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset)
{
    if (address != NULL && (refused_with != 0 || taken > 0)) {
        maps++;
        errno = taken-- > 0 ? EEXIST : (int)refused_with;
        if (errno != 0)
            return MAP_FAILED;
    }
    return (void *)syscall(SYS_mmap, address, length, protection, flags, fd, offset);
}

int madvise(void *address, size_t length, int advice)
{
    if (advice == MADV_POPULATE_WRITE && populate_error != 0) {
        errno = populate_error;
        return -1;
    }
    return (int)syscall(SYS_madvise, address, length, advice);
}
/* NOLINTEND(readability-inconsistent-declaration-parameter-name) */

START_TEST(a_window_is_searched_as_long_as_there_is_hope)
{
    /* Where no sanitizer has its shadow. */
    uintptr_t low = (uintptr_t)1 << 45, high = low + ((uintptr_t)1 << 44);
    /* What lies in the way is passed by. */
    taken = 100;
    errno = 7;
    char *p = os_map_within(2 * MIB, 2 * MIB, low, high);
    ck_assert_uint_eq((uintptr_t)p, low + 100 * 2 * MIB);
    ck_assert_int_eq(maps, 100);
    ck_assert_int_eq(errno, 7);
    os_unmap(p, 2 * MIB);
    /* No memory, or no room for another mapping, is so everywhere: 8 million places need not be asked. */
    static const int errors[] = {ENOMEM, EPERM, EINVAL};
    for (size_t i = 0; i < LENGTH(errors); i++) {
        refused_with = errors[i];
        taken = 3;
        maps = 0;
        ck_assert_ptr_null(os_map_within(2 * MIB, 2 * MIB, low, high));
        ck_assert_int_eq(maps, 4);
    }
}
END_TEST

START_TEST(pages_are_touched_only_where_the_kernel_does_not_know_better)
{
    size_t size = 16 * OS_PAGE_SIZE;
    char *p = os_map(size, OS_PAGE_SIZE);
    ck_assert_ptr_nonnull(p);
    static const int errors[] = {ENOMEM, EFAULT, EHWPOISON, EAGAIN};
    for (size_t i = 0; i < LENGTH(errors); i++) {
        populate_error = errors[i];
        errno = 7;
        ck_assert_int_eq(os_populate(p, size), errors[i]);
        ck_assert_int_eq(errno, 7);
        ck_assert_uint_eq(resident_between(p, size), 0);
    }
    populate_error = EINVAL; /* before Linux 5.14 */
    p[5000] = 42;
    ck_assert_int_eq(os_populate(p, size), 0);
    ck_assert_uint_eq(resident_between(p, size), size);
    ck_assert_int_eq(p[5000], 42);
    os_purge(p, size);
    populate_error = 0;
    ck_assert_int_eq(os_populate(p, size), 0);
    ck_assert_uint_eq(resident_between(p, size), size);
}
END_TEST

static void allocate_from_a_preallocated_pool(void *unused)
{
    use_policy("default: mmap\n"
               "backends: {warm: {kind: pool, preallocate: 64MiB}}\n"
               "modules: {m: {route: [{max_size: 64KiB, to: warm}, {to: mmap}]}}\n");
    populate_error = ENOMEM;
    void *p = sluice_malloc(use_module("m"), 100);
    if (strcmp(kind_of(p), "pool") != 0)
        _exit(1);
    sluice_free(p);
}

START_TEST(a_pool_that_cannot_preallocate_says_so_and_serves)
{
    struct child child = run_child(allocate_from_a_preallocated_pool, NULL, 20000);
    ck_assert_msg(child_succeeded(&child), "%x: %s", (unsigned)child.status, child.error);
    const char *said = strstr(child.error, "\"warm\": preallocation ends at 0 of 67108864 bytes");
    ck_assert_msg(said != NULL, "%s", child.error);
    ck_assert_ptr_nonnull(strstr(said, "Cannot allocate memory"));
    ck_assert_ptr_null(strstr(said + 20, "preallocation")); /* once */
}
END_TEST

int main(void)
{
    TCase *cases[] = {tcase_create("os")};
    tcase_add_test(cases[0], a_window_is_searched_as_long_as_there_is_hope);
    tcase_add_test(cases[0], pages_are_touched_only_where_the_kernel_does_not_know_better);
    tcase_add_test(cases[0], a_pool_that_cannot_preallocate_says_so_and_serves);
    return run_suite("os", cases, LENGTH(cases));
}
