/* Address to owner, over the whole user half of the address space, and over a window of it where space is scarce. */
#include "core/pagemap.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/os.h"
#include "tests/support/testing.h"

START_TEST(before_the_start_every_lookup_misses)
{
    int local;
    ck_assert_uint_eq(pagemap_lookup(&local), 0);
    ck_assert_uint_eq(pagemap_lookup(NULL), 0);
    ck_assert_uint_eq(pagemap_lookup((void *)UINTPTR_MAX), 0);
}
END_TEST

START_TEST(entries_cover_their_chunks_and_no_more)
{
    ck_assert(pagemap_init());
    ck_assert(!pagemap_is_window());
    char *at = (char *)(uintptr_t)0x200000000000;
    ck_assert(pagemap_open(at, (size_t)3 << CHUNK_SHIFT));
    pagemap_set(at, (size_t)3 << CHUNK_SHIFT, 0x1002);
    ck_assert_uint_eq(pagemap_lookup(at - 1), 0);
    ck_assert_uint_eq(pagemap_lookup(at), 0x1002);
    ck_assert_uint_eq(pagemap_lookup(at + ((size_t)3 << CHUNK_SHIFT) - 1), 0x1002);
    ck_assert_uint_eq(pagemap_lookup(at + ((size_t)3 << CHUNK_SHIFT)), 0);
    pagemap_set(at, (size_t)3 << CHUNK_SHIFT, 0);
    ck_assert_uint_eq(pagemap_lookup(at), 0);
}
END_TEST

START_TEST(any_word_may_be_looked_up)
{
    ck_assert(pagemap_init());
    static const uintptr_t words[] = {
        0, 1, 4096, 0x7fffffffffff, 0x800000000000, 0xffff800000000000, UINTPTR_MAX, 0xdeadbeef};
    for (size_t i = 0; i < LENGTH(words); i++)
        ck_assert_uint_eq(pagemap_lookup((void *)words[i]), 0);
}
END_TEST

START_TEST(it_costs_no_memory_until_used)
{
    uint64_t before = kernel_resident();
    ck_assert(pagemap_init());
    ck_assert_uint_lt(kernel_resident(), before + MIB);
}
END_TEST

START_TEST(what_was_never_set_need_not_be_opened)
{
    ck_assert(pagemap_init());
    char *at = (char *)(uintptr_t)0x300000000000;
    pagemap_set(at, (size_t)1 << CHUNK_SHIFT, 0); /* says what it is */
    /* From one page of the map to the next, and to its end. */
    char *edge = (char *)((uintptr_t)0x300000000000 - ((uintptr_t)1 << CHUNK_SHIFT));
    ck_assert(pagemap_open(edge, (size_t)2 << CHUNK_SHIFT));
    pagemap_set(edge, (size_t)2 << CHUNK_SHIFT, PAGEMAP_FREE);
    ck_assert_uint_eq(pagemap_lookup(at), PAGEMAP_FREE);
    char *end = (char *)(((uintptr_t)1 << PAGEMAP_ADDRESS_BITS) - ((uintptr_t)1 << CHUNK_SHIFT));
    ck_assert(pagemap_open(end, (size_t)1 << CHUNK_SHIFT));
    pagemap_set(end, (size_t)1 << CHUNK_SHIFT, PAGEMAP_FREE);
    ck_assert_uint_eq(pagemap_lookup(end), PAGEMAP_FREE);
}
END_TEST

#if !SANITIZED
/* As programs do that must not wait for a page. */
START_TEST(a_process_that_locks_its_memory_stays_small)
{
    sluice_module m = use_module("locked");
    void *p = sluice_malloc(m, 100);
    uint64_t before = kernel_resident();
    if (mlockall(MCL_CURRENT) != 0)
        return; /* not allowed here */
    ck_assert_uint_lt(kernel_resident(),
                      before + 64 * MIB); /* chunks of address space among them */
    sluice_free(p);
    munlockall();
}
END_TEST
#endif

#if !SANITIZED /* a sanitizer has taken more address space than any limit */
START_TEST(a_window_serves_where_address_space_is_scarce)
{
    struct rlimit limit = {256 * MIB, 256 * MIB}; /* the whole map takes 512 MiB */
    ck_assert_int_eq(setrlimit(RLIMIT_AS, &limit), 0);
    sluice_module m = use_module("scarce");
    ck_assert(pagemap_is_window());
    uintptr_t low, high;
    pagemap_window(&low, &high);
    char *p[64];
    for (unsigned i = 0; i < LENGTH(p); i++) {
        size_t size = i % 2 == 0 ? 200 * KIB : 1000;
        p[i] = sluice_malloc(m, size);
        ck_assert_ptr_nonnull(p[i]);
        ck_assert((uintptr_t)p[i] >= low && (uintptr_t)p[i] + size <= high);
        test_fill(p[i], size, i);
    }
    for (unsigned i = 0; i < LENGTH(p); i++) {
        ck_assert(test_is_filled(p[i], i % 2 == 0 ? 200 * KIB : 1000, i));
        sluice_free(p[i]);
    }
    /* What does not fit fails cleanly. */
    ck_assert_ptr_null(sluice_malloc(m, 300 * MIB));
    char *again = sluice_malloc(m, 100);
    ck_assert_ptr_nonnull(again);
    sluice_free(again);
}
END_TEST
#endif

int main(void)
{
    TCase *cases[] = {tcase_create("pagemap")};
    tcase_add_test(cases[0], before_the_start_every_lookup_misses);
    tcase_add_test(cases[0], entries_cover_their_chunks_and_no_more);
    tcase_add_test(cases[0], any_word_may_be_looked_up);
    tcase_add_test(cases[0], it_costs_no_memory_until_used);
    tcase_add_test(cases[0], what_was_never_set_need_not_be_opened);
#if !SANITIZED
    tcase_add_test(cases[0], a_process_that_locks_its_memory_stays_small);
    tcase_add_test(cases[0], a_window_serves_where_address_space_is_scarce);
#endif
    return run_suite("pagemap", cases, LENGTH(cases));
}
