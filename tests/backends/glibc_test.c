/* The glibc backend: every call goes through glibc_libc.h, and glibc's free bytes are shared out
 * among modules by what each has given back. */
#include <check.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sluice/sluice.h>

#include "backends/glibc_libc.h"
#include "tests/support/testing.h"

/* The seam: these take the place of the weak definitions. */
static _Atomic int calls[6];

void *libc_malloc(size_t size)
{
    atomic_fetch_add(&calls[0], 1);
    return malloc(size);
}

void *libc_calloc(size_t size)
{
    atomic_fetch_add(&calls[1], 1);
    return calloc(1, size);
}

void *libc_aligned_alloc(size_t alignment, size_t size)
{
    atomic_fetch_add(&calls[2], 1);
    return memalign(alignment, size);
}

void *libc_realloc(void *p, size_t size)
{
    atomic_fetch_add(&calls[3], 1);
    return realloc(p, size);
}

void libc_free(void *p)
{
    atomic_fetch_add(&calls[4], 1);
    free(p);
}

size_t libc_usable_size(void *p)
{
    atomic_fetch_add(&calls[5], 1);
    return malloc_usable_size(p);
}

static sluice_module holder, other;

static void setup(void)
{
    use_policy("default: glibc\n");
    holder = use_module("holder");
    other = use_module("other");
}

START_TEST(calls_go_through_the_seam)
{
    void *p = sluice_malloc(holder, 100);
    ck_assert_int_ge(calls[0], 1);
    p = sluice_realloc(holder, p, 5000);
    ck_assert_int_ge(calls[3], 1);
    sluice_free(p);
    ck_assert_int_ge(calls[4], 1);
    sluice_free(sluice_calloc(holder, 3, 100));
    ck_assert_int_ge(calls[1], 1);
    sluice_free(sluice_aligned_alloc(holder, 4096, 100));
    ck_assert_int_ge(calls[2], 1);
    ck_assert_int_ge(calls[5], 4);
}
END_TEST

enum { COUNT = 60000 };
static void **objects;

static void make(sluice_module module, size_t size)
{
    objects = test_memory(COUNT * sizeof *objects);
    for (int i = 0; i < COUNT; i++) {
        objects[i] = sluice_malloc(module, size);
        memset(objects[i], 1, size);
    }
}

/* All but the last: glibc's heap shrinks from its top alone. */
static void end_all_but_the_last(void)
{
    for (int i = 0; i < COUNT - 1; i++)
        sluice_free(objects[i]);
}

START_TEST(who_gave_back_has_it_cached)
{
    make(holder, 1000);
    void *p = sluice_malloc(other, 1000);
    end_all_but_the_last();
    uint64_t freed = COUNT * (uint64_t)1000;
    struct sluice_module_stats stats = stats_of(holder);
    ck_assert_uint_ge(stats.cached_bytes, freed * 9 / 10);
    ck_assert_uint_le(stats.cached_bytes, freed * 11 / 10);
    ck_assert_uint_le(stats_of(other).cached_bytes, 256 * KIB);
    sluice_free(p);
}
END_TEST

START_TEST(free_bytes_of_the_program_are_not_ours)
{
    void *p = sluice_malloc(holder, 1000);
    objects = test_memory(COUNT * sizeof *objects);
    for (int i = 0; i < COUNT; i++) {
        objects[i] = malloc(1000);
        memset(objects[i], 1, 1000);
    }
    for (int i = 0; i < COUNT - 1; i++)
        free(objects[i]);
    ck_assert_uint_le(stats_of(holder).cached_bytes, 256 * KIB);
    sluice_free(p);
    free(objects[COUNT - 1]);
}
END_TEST

START_TEST(trim_gives_back)
{
    make(holder, 1000);
    end_all_but_the_last();
    uint64_t before = kernel_resident();
    size_t given = sluice_trim(holder);
    uint64_t after = kernel_resident();
    if (SANITIZED)
        return;
    ck_assert_uint_ge(given, 50 * MIB);
    ck_assert_uint_le(after, before - 50 * MIB);
    ck_assert_uint_le(stats_of(holder).cached_bytes, 8 * MIB);
    ck_assert_uint_eq(sluice_trim(holder), 0); /* nothing was freed since */
    sluice_free(objects[COUNT - 1]);
}
END_TEST

/* Every second object lives on: no whole page is free, and what a trim cannot give back stays
 * cached. */
START_TEST(what_trim_cannot_give_back_stays_cached)
{
    make(holder, 1000);
    for (int i = 0; i < COUNT; i += 2)
        sluice_free(objects[i]);
    sluice_trim(holder);
    uint64_t cached = stats_of(holder).cached_bytes;
    if (!SANITIZED)
        ck_assert_uint_ge(cached, COUNT / 2 * (uint64_t)1000 * 8 / 10);
}
END_TEST

START_TEST(metadata_counts_headers)
{
    uint64_t before = stats_of(holder).metadata_bytes;
    make(holder, 24);
    uint64_t metadata = stats_of(holder).metadata_bytes - before;
    ck_assert_uint_ge(metadata, COUNT * (uint64_t)22);
    ck_assert_uint_le(metadata, COUNT * (uint64_t)26 + 64 * KIB);
    for (int i = 0; i < COUNT; i++)
        sluice_free(objects[i]); /* the address sanitizer's malloc counts what is lost */
}
END_TEST

int main(void)
{
    /* A sanitizer's malloc knows nothing of mallinfo2. */
    TCase *tc = tcase_create("glibc");
    tcase_add_checked_fixture(tc, setup, NULL);
    tcase_add_test(tc, calls_go_through_the_seam);
    if (!SANITIZED) {
        tcase_add_test(tc, who_gave_back_has_it_cached);
        tcase_add_test(tc, trim_gives_back);
        tcase_add_test(tc, what_trim_cannot_give_back_stays_cached);
    }
    tcase_add_test(tc, free_bytes_of_the_program_are_not_ours);
    tcase_add_test(tc, metadata_counts_headers);
    return run_suite("glibc", &tc, 1);
}
