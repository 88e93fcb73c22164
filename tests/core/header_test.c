/* The 16 bytes in front of objects of backends that take memory where they please. */
#include "core/header.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/testing.h"

START_TEST(what_is_written_is_read)
{
    static const size_t sizes[] = {1, 100, 65536, HEADER_SIZE_MAX};
    char *memory = test_memory(64 * KIB);
    for (size_t padding = 16; padding <= 32 * KIB; padding *= 2)
        for (size_t i = 0; i < LENGTH(sizes); i++) {
            char *p = memory + padding;
            header_write(p, 65535, sizes[i], padding);
            ck_assert(header_is_valid(p));
            ck_assert_uint_eq(header_arena(p), 65535);
            ck_assert_uint_eq(header_usable(p), sizes[i]);
            ck_assert_ptr_eq(header_base(p), memory);
            header_erase(p);
            ck_assert(!header_is_valid(p));
        }
    ck_assert_uint_eq(header_padding(16), 16);
    ck_assert_uint_eq(header_padding(4096), 4096);
}
END_TEST

START_TEST(a_change_of_any_bit_is_noticed)
{
    char *p = (char *)test_memory(4096) + 64;
    header_write(p, 7, 1000, 32);
    for (unsigned bit = 0; bit < 128; bit++) {
        p[-16 + (int)bit / 8] ^= (char)(1 << bit % 8);
        /* The lowest six bits of the check word are no check but the padding. */
        ck_assert_int_eq(header_is_valid(p), bit >= 64 && bit < 70);
        p[-16 + (int)bit / 8] ^= (char)(1 << bit % 8);
    }
    ck_assert(header_is_valid(p));
    /* Nor is it valid at another address. */
    memcpy(p + 48, p - 16, 16);
    ck_assert(!header_is_valid(p + 64));
}
END_TEST

static void free_libcs(void *unused)
{
    void *volatile p = malloc(100); /* libc's, not ours */
    sluice_free(p);
}

static void free_zeroed(void *unused)
{
    static char zeros[256];
    sluice_free(zeros + 128);
}

static void free_twice(void *kind)
{
    sluice_module m = use_module("m");
    ck_assert_int_eq(sluice_module_override("m", kind), SLUICE_OK);
    void *volatile p = sluice_malloc(m, 1000);
    sluice_free(p);
    sluice_free(p);
}

static void free_inside(void *kind)
{
    sluice_module m = use_module("m");
    ck_assert_int_eq(sluice_module_override("m", kind), SLUICE_OK);
    char *p = sluice_calloc(m, 1, 1000);
    sluice_free(p + 32);
}

START_TEST(foreign_pointers_are_named)
{
    use_module("starts the library");
    void (*const frees[])(void *) = {free_libcs, free_zeroed};
    for (size_t i = 0; i < LENGTH(frees); i++) {
        struct child child = run_child(frees[i], NULL, 20000);
        ck_assert(child_aborted(&child));
        ck_assert_ptr_nonnull(strstr(child.error, "sluice: fatal: sluice_free(0x"));
        ck_assert_ptr_nonnull(strstr(child.error, "not an object of Sluice, or was freed before"));
    }
}
END_TEST

START_TEST(with_a_header_misuse_is_always_found)
{
    use_module("starts the library");
    static char glibc[] = "glibc";
    struct child child = run_child(free_inside, glibc, 20000);
    ck_assert(child_aborted(&child));
    ck_assert_ptr_nonnull(strstr(child.error, "not an object of Sluice"));
    if (SANITIZED)
        return; /* the sanitizer's malloc may give the page back, or sees the look at it itself */
    child = run_child(free_twice, glibc, 20000);
    ck_assert(child_aborted(&child));
    ck_assert_ptr_nonnull(strstr(child.error, "freed before"));
}
END_TEST

START_TEST(before_the_start_every_pointer_is_foreign)
{
    struct child child = run_child(free_zeroed, NULL, 20000);
    ck_assert(child_aborted(&child));
    ck_assert_ptr_nonnull(strstr(child.error, "not an object of Sluice"));
}
END_TEST

int main(void)
{
    TCase *cases[] = {tcase_create("header")};
    tcase_add_test(cases[0], what_is_written_is_read);
    tcase_add_test(cases[0], a_change_of_any_bit_is_noticed);
    tcase_add_test(cases[0], foreign_pointers_are_named);
    tcase_add_test(cases[0], with_a_header_misuse_is_always_found);
    tcase_add_test(cases[0], before_the_start_every_pointer_is_foreign);
    return run_suite("header", cases, LENGTH(cases));
}
