/* Address space in chunks: what is acquired is aligned, zero and known to the pagemap; what is released joins its
 * neighbours and leaves no page behind. */
#include "core/chunk.h"

#include <string.h>

#include "core/meta.h"
#include "core/os.h"
#include "core/pagemap.h"
#include "tests/support/testing.h"

/* Never followed by the chunk source. */
static struct sluice_arena *const owner = (struct sluice_arena *)(uintptr_t)0x1000;
static struct sluice_arena *const other = (struct sluice_arena *)(uintptr_t)0x2000;

static void start(void)
{
    ck_assert(pagemap_init());
}

static struct chunk *acquire(size_t size, size_t alignment)
{
    return chunk_acquire(owner, size, alignment, sizeof(struct chunk), PAGEMAP_CHUNK, false);
}

static uint64_t owned(void)
{
    uint64_t bytes, kept, lazy;
    chunk_totals(&bytes, &kept, &lazy);
    return bytes;
}

static uint64_t reserved(void)
{
    uint64_t bytes, kept, lazy;
    chunk_totals(&bytes, &kept, &lazy);
    return kept;
}

START_TEST(every_address_of_a_run_leads_to_its_record)
{
    start();
    struct chunk *c = acquire(3 * CHUNK_SIZE, CHUNK_SIZE);
    ck_assert_ptr_nonnull(c);
    ck_assert_ptr_eq(c->arena, owner);
    ck_assert_uint_eq(c->size, 3 * CHUNK_SIZE);
    ck_assert_uint_eq((uintptr_t)c->base % CHUNK_SIZE, 0);
    for (size_t i = 0; i < c->size; i += 64 * KIB)
        ck_assert_ptr_eq(chunk_of(c->base + i), c);
    ck_assert_ptr_eq(chunk_of(c->base + c->size - 1), c);
    ck_assert_ptr_ne(chunk_of(c->base - 1), c);
    ck_assert_ptr_ne(chunk_of(c->base + c->size), c);
    ck_assert_uint_eq(owned(), 3 * CHUNK_SIZE);
    char *base = c->base;
    chunk_release(c, false);
    ck_assert_ptr_null(chunk_of(base));
    ck_assert_uint_eq(owned(), 0);
}
END_TEST

START_TEST(runs_are_zero_also_when_they_were_used)
{
    start();
    for (int i = 0; i < 20; i++) {
        struct chunk *c = acquire(CHUNK_SIZE, CHUNK_SIZE);
        ck_assert_ptr_nonnull(c);
        ck_assert(test_is_zero(c->base, CHUNK_SIZE));
        memset(c->base, 0x5a, CHUNK_SIZE);
        chunk_release(c, false);
    }
}
END_TEST

START_TEST(sizes_are_rounded_up_and_impossible_ones_refused)
{
    start();
    struct chunk *c = chunk_acquire(owner, 1, 1, sizeof *c, PAGEMAP_SLABS, false);
    ck_assert_uint_eq(c->size, CHUNK_SIZE);
    ck_assert_ptr_eq(chunk_of(c->base), c);
    ck_assert_uint_eq(pagemap_lookup(c->base) & PAGEMAP_TAGS, PAGEMAP_SLABS);
    chunk_release(c, true);
    ck_assert_ptr_null(acquire(0, 1));
    ck_assert_ptr_null(acquire(SIZE_MAX, 1));
    ck_assert_ptr_null(acquire(PTRDIFF_MAX, 1));
    ck_assert_uint_eq(owned(), 0);
}
END_TEST

START_TEST(alignments_up_to_1_gib)
{
    start();
    for (size_t alignment = CHUNK_SIZE; alignment <= GIB; alignment *= 2)
        for (int i = 0; i < 3; i++) {
            struct chunk *c = acquire(CHUNK_SIZE, alignment);
            ck_assert_ptr_nonnull(c);
            ck_assert_uint_eq((uintptr_t)c->base % alignment, 0);
            c->base[0] = 1;
            c->base[CHUNK_SIZE - 1] = 1;
            chunk_release(c, false);
        }
    ck_assert_uint_eq(owned(), 0);
}
END_TEST

START_TEST(neighbours_join)
{
    start();
    struct chunk *c[16];
    for (unsigned i = 0; i < 16; i++)
        ck_assert_ptr_nonnull(c[i] = acquire(CHUNK_SIZE, CHUNK_SIZE));
    uint64_t all = owned() + reserved();
    /* Every second one, then the rest: each joins with both sides. */
    for (unsigned i = 0; i < 16; i += 2)
        chunk_release(c[i], false);
    for (unsigned i = 1; i < 16; i += 2)
        chunk_release(c[i], false);
    ck_assert_uint_eq(reserved(), all);
    struct chunk *whole = acquire(all, CHUNK_SIZE);
    ck_assert_ptr_nonnull(whole);
    ck_assert_msg(reserved() == 0, "no new address space was needed: all of it was one run");
    chunk_release(whole, false);
}
END_TEST

START_TEST(what_is_kept_is_bounded_and_has_no_pages)
{
    start();
    uint64_t resident = kernel_resident();
    struct chunk *c[1024]; /* 2 GiB of address space; a page of each is touched */
    for (unsigned i = 0; i < 1024; i++) {
        c[i] = acquire(CHUNK_SIZE, CHUNK_SIZE);
        ck_assert_ptr_nonnull(c[i]);
        memset(c[i]->base, 1, 4096);
    }
    for (unsigned i = 0; i < 1024; i++)
        chunk_release(c[i], false);
    ck_assert_uint_eq(owned(), 0);
    ck_assert_uint_le(reserved(), GIB);
    if (!SANITIZED)
        ck_assert_uint_lt(kernel_resident(), resident + 3 * MIB); /* 4 MiB were touched */
}
END_TEST

START_TEST(reuse_does_not_grow)
{
    start();
    uint64_t random = 1;
    struct chunk *c[64] = {NULL};
    size_t metadata = 0;
    for (int i = 0; i < TESTING_SCALE(40000); i++) {
        unsigned at = test_random(&random) % 64;
        if (c[at] != NULL) {
            ck_assert_ptr_eq(chunk_of(c[at]->base), c[at]);
            chunk_release(c[at], true);
        }
        size_t size = (test_random(&random) % 40 + 1) * CHUNK_SIZE;
        size_t alignment = CHUNK_SIZE << test_random(&random) % 4;
        c[at] = acquire(size, alignment);
        ck_assert_ptr_nonnull(c[at]);
        if (i == TESTING_SCALE(10000))
            metadata = meta_mapped_bytes();
    }
    ck_assert_uint_le(meta_mapped_bytes(), metadata + MIB);
    for (unsigned at = 0; at < 64; at++)
        if (c[at] != NULL)
            chunk_release(c[at], true);
    ck_assert_uint_eq(owned(), 0);
}
END_TEST

START_TEST(services_for_backends)
{
    start();
    char *run = sluice_chunk_acquire(owner, 3 * MIB, 0);
    ck_assert_ptr_nonnull(run);
    int mine;
    sluice_chunk_set_data(run, &mine);
    ck_assert_ptr_eq(sluice_chunk_data(run + 3 * MIB), &mine);
    ck_assert_ptr_eq(sluice_chunk_base(run + 3 * MIB), run);
    ck_assert_ptr_null(sluice_chunk_data(&mine));
    ck_assert_ptr_null(sluice_chunk_base(&mine));
    sluice_chunk_release(owner, run);
    ck_assert_ptr_null(sluice_chunk_base(run));
}
END_TEST

static void release_inside(void *unused)
{
    char *run = sluice_chunk_acquire(owner, 4 * MIB, 0);
    sluice_chunk_release(owner, run + 2 * MIB);
}

static void release_anothers(void *unused)
{
    sluice_chunk_release(other, sluice_chunk_acquire(owner, 4 * MIB, 0));
}

START_TEST(releasing_what_is_not_ones_own_is_reported)
{
    start();
    struct child child = run_child(release_inside, NULL, 20000);
    ck_assert(child_aborted(&child));
    ck_assert_ptr_nonnull(strstr(child.error, "not the start of a run"));
    child = run_child(release_anothers, NULL, 20000);
    ck_assert(child_aborted(&child));
}
END_TEST

START_TEST(huge_pages_are_asked_for_and_given_up)
{
    start();
    struct chunk *c = acquire(8 * CHUNK_SIZE, CHUNK_SIZE);
    memset(c->base, 1, CHUNK_SIZE);
    ck_assert_uint_eq(kernel_huge(), 0); /* not unasked */
    chunk_set_huge(c, true);
    ck_assert(c->huge);
    memset(c->base + CHUNK_SIZE, 1, 7 * CHUNK_SIZE);
    ck_assert_int_eq(c->base[8 * CHUNK_SIZE - 1], 1);
    char *base = c->base;
    chunk_release(c, false);
    /* The next owner did not ask. */
    c = acquire(8 * CHUNK_SIZE, CHUNK_SIZE);
    ck_assert_ptr_eq(c->base, base);
    ck_assert(!c->huge);
    memset(c->base, 1, 8 * CHUNK_SIZE);
    ck_assert_uint_eq(kernel_huge(), 0);
    chunk_release(c, false);
}
END_TEST

START_TEST(advice_of_owners_does_not_outlive_them)
{
    start();
    chunk_set_lazy(UINT64_C(3600) * 1000000000);
    char *run = sluice_chunk_acquire(owner, 2 * CHUNK_SIZE, CHUNK_SIZE);
    os_advise_huge(run, CHUNK_SIZE, OS_HUGE_ALWAYS); /* on a part */
    sluice_chunk_release(owner, run);
    struct chunk *c =
        chunk_acquire(owner, 2 * CHUNK_SIZE, CHUNK_SIZE, sizeof *c, PAGEMAP_CHUNK, true);
    ck_assert_ptr_eq(c->base, run);
    chunk_set_huge(c, false); /* not what the record says, but what the kernel was told */
    memset(c->base, 1, 2 * CHUNK_SIZE);
    ck_assert_uint_eq(kernel_huge(), 0);
    chunk_release(c, false);
    uint64_t next;
    chunk_expire_lazy(0, true, &next);
}
END_TEST

START_TEST(lazy_runs_serve_again_and_expire)
{
    start();
    chunk_set_lazy(UINT64_C(3600) * 1000000000);
    struct chunk *c = acquire(CHUNK_SIZE, CHUNK_SIZE);
    char *base = c->base;
    memset(base, 0x5a, CHUNK_SIZE);
    chunk_release(c, false);
    uint64_t all, kept, lazy;
    chunk_totals(&all, &kept, &lazy);
    ck_assert_uint_eq(all, 0);
    ck_assert_uint_eq(lazy, CHUNK_SIZE);
    ck_assert_ptr_null(chunk_of(base));

    /* Who asks for zero does not get it; who takes any content does. */
    struct chunk *zero = acquire(CHUNK_SIZE, CHUNK_SIZE);
    ck_assert(test_is_zero(zero->base, CHUNK_SIZE));
    ck_assert(!zero->stale);
    struct chunk *any =
        chunk_acquire(owner, CHUNK_SIZE, CHUNK_SIZE, sizeof *any, PAGEMAP_CHUNK, true);
    ck_assert_ptr_eq(any->base, base);
    ck_assert(any->stale);
    memset(base, 0x5a, CHUNK_SIZE);
    chunk_release(any, false);

    uint64_t next;
    ck_assert_uint_eq(chunk_expire_lazy(0, false, &next), 0);
    ck_assert_uint_ne(next, UINT64_MAX);
    ck_assert_uint_eq(resident_between(base, CHUNK_SIZE), CHUNK_SIZE);
    ck_assert_uint_eq(chunk_expire_lazy(next, false, &next), CHUNK_SIZE);
    ck_assert_uint_eq(next, UINT64_MAX);
    ck_assert_uint_eq(resident_between(base, CHUNK_SIZE), 0);
    chunk_release(zero, false);
    ck_assert_uint_eq(chunk_expire_lazy(0, true, &next), CHUNK_SIZE);
    chunk_totals(&all, &kept, &lazy);
    ck_assert_uint_eq(all + lazy, 0);
}
END_TEST

int main(void)
{
    TCase *cases[] = {tcase_create("chunk")};
    tcase_add_test(cases[0], every_address_of_a_run_leads_to_its_record);
    tcase_add_test(cases[0], runs_are_zero_also_when_they_were_used);
    tcase_add_test(cases[0], sizes_are_rounded_up_and_impossible_ones_refused);
    tcase_add_test(cases[0], alignments_up_to_1_gib);
    tcase_add_test(cases[0], neighbours_join);
    tcase_add_test(cases[0], what_is_kept_is_bounded_and_has_no_pages);
    tcase_add_test(cases[0], reuse_does_not_grow);
    tcase_add_test(cases[0], services_for_backends);
    tcase_add_test(cases[0], releasing_what_is_not_ones_own_is_reported);
    tcase_add_test(cases[0], huge_pages_are_asked_for_and_given_up);
    tcase_add_test(cases[0], advice_of_owners_does_not_outlive_them);
    tcase_add_test(cases[0], lazy_runs_serve_again_and_expire);
    return run_suite("chunk", cases, LENGTH(cases));
}
