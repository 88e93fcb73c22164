/* Address to magazine: whose an entry is, what is covered, and that all goes well where nothing is. */
#include "core/home.h"

#include <pthread.h>
#include <sys/resource.h>

#include "core/arena.h"
#include "core/thread.h"
#include "tests/support/testing.h"

#define PIECE ((size_t)1 << HOME_PIECE_SHIFT)

static const uint32_t numbers[] = {0, 1, 29, 30, 31, 32, 63, 4095, 100000, HOME_THREADS - 1};

START_TEST(marks_tell_threads_apart)
{
    for (size_t i = 0; i < LENGTH(numbers); i++) {
        uintptr_t mark = home_mark(numbers[i]);
        ck_assert_uint_ne(mark, 0);
        ck_assert_uint_ne(mark, HOME_MARK_HELD);
        ck_assert_uint_eq(mark & ~HOME_MARK, 0);
        for (size_t j = 0; j < i; j++)
            ck_assert_uint_ne(mark, home_mark(numbers[j]));
    }
}
END_TEST

START_TEST(an_entry_is_its_owners_alone)
{
    static struct magazine here;
    struct magazine *found;
    ck_assert(pagemap_init());
    home_init();
    char *at = (char *)home_map.low, *nobodys = at + PIECE;
    for (size_t i = 0; i < LENGTH(numbers); i++) {
        home_set(at, 1, &here, home_mark(numbers[i]));
        for (size_t j = 0; j < LENGTH(numbers); j++) {
            bool mine = home_is_mine(&home_map, at, home_mark(numbers[j]), &found);
            ck_assert_int_eq(mine, i == j);
            if (mine)
                ck_assert_ptr_eq(found, &here);
            ck_assert(!home_is_mine(&home_map, nobodys, home_mark(numbers[j]), &found));
        }
        ck_assert(!home_is_mine(&home_map, at, HOME_MARK_HELD, &found));
        ck_assert(!home_is_mine(&home_map, nobodys, HOME_MARK_HELD, &found));
    }
}
END_TEST

START_TEST(pieces_and_no_more)
{
    static struct magazine here;
    ck_assert(!home_covers(&home_map, &here));
    ck_assert(pagemap_init());
    home_init();
    char *at = (char *)(home_map.low + 1000 * PIECE);
    uintptr_t mark = home_mark(7);
    struct magazine *found;
    home_set(at, 3, &here, mark);
    for (int i = -1; i < 4; i++) {
        const char *first = at + i * (ptrdiff_t)PIECE, *last = first + PIECE - 16;
        ck_assert(home_covers(&home_map, first) && home_covers(&home_map, last));
        ck_assert_int_eq(home_is_mine(&home_map, first, mark, &found), i >= 0 && i < 3);
        ck_assert_int_eq(home_is_mine(&home_map, last, mark, &found), i >= 0 && i < 3);
    }
    home_forget(at, 2);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(home_is_mine(&home_map, at + i * (ptrdiff_t)PIECE, mark, &found), i == 2);
}
END_TEST

START_TEST(what_is_no_object_is_not_looked_up)
{
    ck_assert(pagemap_init());
    home_init();
    uintptr_t low = home_map.low, high = low + home_map.count * PIECE;
    ck_assert(home_covers(&home_map, (void *)low));
    ck_assert(home_covers(&home_map, (void *)(high - 16)));
    const uintptr_t wrong[] = {0,       8,        low - 16, high,        low + 1,
                               low + 8, low + 15, high - 1, UINTPTR_MAX, UINTPTR_MAX << 4};
    for (size_t i = 0; i < LENGTH(wrong); i++)
        ck_assert_msg(!home_covers(&home_map, (void *)wrong[i]), "%zx", wrong[i]);
    /* What lies outside is passed over. */
    static struct magazine here;
    home_set((void *)(high - PIECE), 5, &here, home_mark(1));
    home_set((void *)(low - 2 * PIECE), 1, &here, home_mark(1));
}
END_TEST

static bool is_known(const void *p)
{
    struct magazine *m;
    return home_covers(&thread_self->homes, p) &&
           home_is_mine(&thread_self->homes, p, thread_self->mark, &m);
}

START_TEST(objects_are_known_as_long_as_they_are_their_threads)
{
    use_policy("default: pool\nphases:\n  frame: {modules: [bound], backend: pool}\n");
    sluice_module m = use_module("m"), bound = use_module("bound");
    void *p = sluice_malloc(m, 100), *large = sluice_malloc(m, 400 * KIB);
    ck_assert(is_known(p));
    ck_assert(is_known(large));
    sluice_free(p);
    sluice_free(large);
    sluice_phase *frame;
    ck_assert_int_eq(sluice_phase_begin("frame", &frame), SLUICE_OK);
    void *of_phase = sluice_malloc(bound, 100);
    ck_assert(is_known(of_phase));
    ck_assert_int_eq(sluice_phase_end(frame), SLUICE_OK);
    ck_assert(!is_known(of_phase));
    sluice_trim(m);
    sluice_trim(m);
    ck_assert(!is_known(p));
}
END_TEST

static sluice_module module;

static void *free_it(void *p)
{
    sluice_free(*(void **)p);
    return NULL;
}

/* As for chunks that the system puts far away from the others. */
START_TEST(all_goes_well_without)
{
    module = use_module("far");
    static void *p[3000];
    uint64_t random = 1;
    sluice_free(sluice_malloc(module, 1));
    atomic_store(&thread_self->homes.count, 0);
    for (int round = 0; round < 20; round++) {
        for (size_t i = 0; i < LENGTH(p); i++) {
            size_t size = test_random_size(&random, 64 * KIB);
            p[i] = sluice_malloc(module, size);
            test_fill(p[i], size < 64 ? size : 64, i);
            if (i % 3 == 0) {
                sluice_free(p[i]);
                p[i] = NULL;
            }
        }
        for (size_t i = 0; i < LENGTH(p); i++)
            sluice_free(p[i]);
    }
    p[0] = sluice_malloc(module, 10);
    pthread_t thread;
    pthread_create(&thread, NULL, free_it, p);
    pthread_join(thread, NULL);
    ck_assert_uint_eq(stats_of(module).live_objects, 0);
    ck_assert_uint_eq(stats_of(module).live_bytes, 0);
}
END_TEST

#if !SANITIZED /* a sanitizer has taken more address space than any limit */
START_TEST(it_is_small_where_address_space_is)
{
    struct rlimit limit = {2 * GIB, 2 * GIB};
    ck_assert_int_eq(setrlimit(RLIMIT_AS, &limit), 0);
    sluice_module m = use_module("scarce");
    void *p = sluice_malloc(m, 100);
    ck_assert(is_known(p));
    ck_assert_uint_le(home_map.count * sizeof *home_map.entry, 2 * GIB / 256);
    sluice_free(p);
}
END_TEST
#endif

int main(void)
{
    TCase *cases[] = {tcase_create("home")};
    tcase_add_test(cases[0], marks_tell_threads_apart);
    tcase_add_test(cases[0], an_entry_is_its_owners_alone);
    tcase_add_test(cases[0], pieces_and_no_more);
    tcase_add_test(cases[0], what_is_no_object_is_not_looked_up);
    tcase_add_test(cases[0], objects_are_known_as_long_as_they_are_their_threads);
    tcase_add_test(cases[0], all_goes_well_without);
#if !SANITIZED
    tcase_add_test(cases[0], it_is_small_where_address_space_is);
#endif
    return run_suite("home", cases, LENGTH(cases));
}
