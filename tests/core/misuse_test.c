/* Pointers that are no object, or not any more: each call that gets one reports it and ends the program, where the backend
 * can tell at no cost to those who are right. The table says where. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/emergency.h"
#include "tests/support/testing.h"

enum { POOL = 1, MMAP = 2, GLIBC = 4, JEMALLOC = 8, ALL = 15 };

static const struct kind {
    const char *name;
    int bit;
} kinds[] = {{"pool", POOL}, {"mmap", MMAP}, {"glibc", GLIBC}, {"jemalloc", JEMALLOC}};

static void call_free(void *p)
{
    sluice_free(p);
}

static void call_free_sized(void *p)
{
    sluice_free_sized(p, 10);
}

static void call_realloc(void *p)
{
    (void)!sluice_realloc(0, p, 300000);
}

static void call_usable_size(void *p)
{
    (void)!sluice_usable_size(p);
}

static void call_free_twice(void *p)
{
    sluice_free(p);
    sluice_free(p);
}

static void call_free_and_realloc(void *p)
{
    sluice_free(p);
    (void)!sluice_realloc(0, p, 300000);
}

static void call_free_and_size(void *p)
{
    sluice_free(p);
    (void)!sluice_usable_size(p);
}

static const struct call {
    const char *name;
    void (*fn)(void *p);
} any_call[] = {{"free", call_free},
                {"free_sized", call_free_sized},
                {"realloc", call_realloc},
                {"usable_size", call_usable_size}},
  second_call[] = {{"free, free", call_free_twice},
                   {"free, realloc", call_free_and_realloc},
                   {"free, usable_size", call_free_and_size}};

/* What is done with a pointer into an object of that size, and who reports it for each call. */
static const struct inside {
    size_t size, offset;
    int reported[LENGTH(any_call)];
} insides[] = {
    /* free, free_sized, realloc, usable_size. The pool looks at the address only where it has time. */
    {48, 8, {ALL, ALL, ALL, ALL}},
    {48, 16, {MMAP | GLIBC, MMAP | GLIBC, POOL | MMAP | GLIBC, POOL | MMAP | GLIBC}},
    {1024, 1, {ALL, ALL, ALL, ALL}},
    {1024, 16, {MMAP | GLIBC | JEMALLOC, MMAP | GLIBC | JEMALLOC, ALL, ALL}},
    {1024, 512, {MMAP | GLIBC | JEMALLOC, MMAP | GLIBC | JEMALLOC, ALL, ALL}},
    {30000, 16, {MMAP | GLIBC | JEMALLOC, MMAP | GLIBC | JEMALLOC, ALL, ALL}},
    {30000, 4096, {MMAP | GLIBC, MMAP | GLIBC, POOL | MMAP | GLIBC, POOL | MMAP | GLIBC}},
    {200000, 16, {ALL, ALL, ALL, ALL}}, /* beyond 64 KiB the pool's place is taken by mmap */
    {200000, 4096, {MMAP | GLIBC, MMAP | GLIBC, MMAP | GLIBC, MMAP | GLIBC}},
    {5 * MIB, 16, {ALL, ALL, ALL, ALL}},
    {5 * MIB, 4096, {MMAP | GLIBC, MMAP | GLIBC, MMAP | GLIBC, MMAP | GLIBC}},
    {5 * MIB, 4 * MIB, {MMAP | GLIBC, MMAP | GLIBC, MMAP | GLIBC, MMAP | GLIBC}},
};

static const struct twice {
    size_t size;
    int reported[LENGTH(second_call)];
} twices[] = {
    /* free, realloc, usable_size after a free. jemalloc cannot tell; the pool sees the object freed last. */
    {48, {POOL | MMAP | GLIBC, MMAP | GLIBC, MMAP | GLIBC}},
    {1024, {POOL | MMAP | GLIBC, MMAP | GLIBC, MMAP | GLIBC}},
    {30000, {POOL | MMAP | GLIBC, MMAP | GLIBC, MMAP | GLIBC}},
    {200000, {POOL | MMAP | GLIBC, POOL | MMAP | GLIBC, POOL | MMAP | GLIBC}},
    {5 * MIB, {POOL | MMAP | GLIBC, POOL | MMAP | GLIBC, POOL | MMAP | GLIBC}},
};

static sluice_module module_of(const struct kind *kind)
{
    char text[256];
    snprintf(text, sizeof text, "default: mmap\nmodules: {m: {route: [%s{to: %s}]}}\n",
             kind->bit == POOL ? "{max_size: 64KiB, to: pool}, " : "",
             kind->bit == POOL ? "mmap" : kind->name);
    use_policy(text);
    return use_module("m");
}

static void expect_report(const struct kind *kind, const struct call *call, void *p,
                          const char *what, size_t size)
{
    struct child child = run_child(call->fn, p, 20000);
    ck_assert_msg(child_aborted(&child) && strstr(child.error, "sluice: fatal: ") != NULL,
                  "%s, %s, %s (%zu bytes): status %x, \"%s\"", kind->name, call->name, what, size,
                  (unsigned)child.status, child.error);
    char address[32];
    snprintf(address, sizeof address, "(%p)", p);
    ck_assert_msg(strstr(child.error, address) != NULL, "%s", child.error);
}

/* An object that is not the first of its slab, page or extent. */
static char *object_of(sluice_module m, size_t size)
{
    for (int i = 0; i < 3; i++)
        memset(sluice_malloc(m, size), 0, size);
    char *p = sluice_malloc(m, size);
    memset(p, 0, size);
    return p;
}

START_TEST(pointers_into_an_object)
{
    const struct kind *kind = &kinds[_i];
    sluice_module m = module_of(kind);
    for (size_t i = 0; i < LENGTH(insides); i++) {
        char *p = object_of(m, insides[i].size), what[32];
        snprintf(what, sizeof what, "%zu bytes inside", insides[i].offset);
        for (size_t c = 0; c < LENGTH(any_call); c++)
            if ((insides[i].reported[c] & kind->bit) != 0)
                expect_report(kind, &any_call[c], p + insides[i].offset, what, insides[i].size);
        sluice_free(p);
    }
}
END_TEST

START_TEST(objects_that_were_freed)
{
    const struct kind *kind = &kinds[_i];
    sluice_module m = module_of(kind);
    for (size_t i = 0; i < LENGTH(twices); i++) {
        char *p = object_of(m, twices[i].size);
        for (size_t c = 0; c < LENGTH(second_call); c++)
            if ((twices[i].reported[c] & kind->bit) != 0)
                expect_report(kind, &second_call[c], p, "freed", twices[i].size);
        sluice_free(p);
    }
}
END_TEST

static void *free_from_elsewhere(void *p)
{
    sluice_free(p);
    return NULL;
}

static void free_twice_from_elsewhere(void *p)
{
    for (int i = 0; i < 2; i++) {
        pthread_t thread;
        pthread_create(&thread, NULL, free_from_elsewhere, p);
        pthread_join(thread, NULL);
    }
}

START_TEST(objects_that_another_thread_freed)
{
    static const struct call call = {"free, free, each in a thread", free_twice_from_elsewhere};
    const struct kind *kind = &kinds[_i];
    sluice_module m = module_of(kind);
    for (size_t i = 0; i < LENGTH(twices); i++)
        if ((twices[i].reported[0] & kind->bit) != 0)
            expect_report(kind, &call, object_of(m, twices[i].size), "freed", twices[i].size);
}
END_TEST

START_TEST(pointers_into_what_was_had_in_an_emergency)
{
    (void)module_of(&kinds[0]); /* starts the library */
    char *p = emergency_alloc(5 * MIB, 16);
    ck_assert_ptr_nonnull(p);
    struct child child = run_child(call_free, p + 16, 20000);
    ck_assert_msg(child_aborted(&child), "%x: %s", (unsigned)child.status, child.error);
    child = run_child(call_free_twice, p, 20000);
    ck_assert_msg(child_aborted(&child), "%x: %s", (unsigned)child.status, child.error);
    sluice_free(p);
}
END_TEST

/* What never was an object: no backend's case. */
START_TEST(pointers_to_something_else)
{
    const struct kind *kind = &kinds[_i];
    sluice_module m = module_of(kind);
    char *near = object_of(m, 1024);
    static char in_data[4096];
    char on_stack[4096];
    char *of_libc = malloc(1000), *of_libc_large = malloc(MIB);
    memset(on_stack, 0, sizeof on_stack);
    memset(of_libc, 0, 1000);
    void *const foreign[] = {in_data + 64,
                             in_data + 65,
                             on_stack + 64,
                             of_libc,
                             of_libc + 16,
                             of_libc_large,
                             (void *)(uintptr_t) "a string literal, which is long enough",
                             (void *)(uintptr_t)&call_free,
                             test_memory(4096),
                             (void *)4096,
                             (void *)UINTPTR_MAX,
                             (void *)0xffff800000000000};
    for (size_t i = 0; i < LENGTH(foreign); i++)
        for (size_t c = 0; c < LENGTH(any_call); c++) {
            char what[32];
            snprintf(what, sizeof what, "foreign pointer %zu", i);
            expect_report(kind, &any_call[c], foreign[i], what, 0);
        }
    sluice_free(near);
    free(of_libc);
    free(of_libc_large);
}
END_TEST

int main(void)
{
    TCase *cases[] = {tcase_create("misuse")};
    int n = LENGTH(kinds);
    tcase_add_loop_test(cases[0], pointers_into_an_object, 0, n);
    tcase_add_loop_test(cases[0], objects_that_were_freed, 0, n);
    tcase_add_loop_test(cases[0], objects_that_another_thread_freed, 0, n);
    tcase_add_test(cases[0], pointers_into_what_was_had_in_an_emergency);
    tcase_add_loop_test(cases[0], pointers_to_something_else, 0, n);
    return run_suite("misuse", cases, LENGTH(cases));
}
