/* The page map against a list of pages that is kept the slow way, through random steps. */
#include "backends/page_map.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/testing.h"

static struct page_map map;

static void setup(void)
{
    page_map_init(&map);
}

static struct page_set one_run(unsigned first, unsigned count)
{
    struct page_set set = {{0}};
    page_set_fill(&set, first, count);
    return set;
}

START_TEST(starts_empty)
{
    ck_assert_uint_eq(map.longest, PAGE_MAP_PAGES);
    ck_assert_uint_eq(page_map_find(&map, 1, 1), 0);
    ck_assert_uint_eq(page_map_find(&map, PAGE_MAP_PAGES, 1), 0);
    ck_assert_uint_eq(page_map_length(&map, 0), 0);
}
END_TEST

START_TEST(takes_the_smallest_hole)
{
    struct page_set dirty;
    page_map_take(&map, 0, 10, &dirty);
    page_map_take(&map, 20, 10, &dirty); /* a hole of 10 pages before it */
    page_map_take(&map, 33, 10, &dirty); /* and one of 3 */
    ck_assert_uint_eq(page_map_find(&map, 3, 1), 30);
    ck_assert_uint_eq(page_map_find(&map, 4, 1), 10);
    ck_assert_uint_eq(page_map_find(&map, 11, 1), 43);
    ck_assert_uint_eq(page_map_find(&map, 2, 16), 16);
    ck_assert_uint_eq(page_map_find(&map, 2, 32), 64);
    ck_assert_uint_eq(map.longest, PAGE_MAP_PAGES - 43);
    ck_assert_uint_eq(page_map_find(&map, PAGE_MAP_PAGES - 42, 1), PAGE_MAP_PAGES);
}
END_TEST

START_TEST(held_pages_are_nobodys)
{
    struct page_set dirty, held = one_run(5, 4);
    page_map_take(&map, 5, 4, &dirty);
    ck_assert_uint_eq(page_map_hold(&map, 5), 4);
    ck_assert_uint_eq(map.object_count, 0);
    ck_assert_uint_eq(page_map_length(&map, 5), 0);
    ck_assert_uint_eq(page_map_find(&map, PAGE_MAP_PAGES, 1), PAGE_MAP_PAGES);
    page_map_clean(&map, &held);
    ck_assert_uint_eq(page_map_find(&map, PAGE_MAP_PAGES, 1), 0);
    ck_assert_uint_eq(page_map_take(&map, 0, 20, &dirty), 0);
}
END_TEST

START_TEST(dirty_pages_are_told)
{
    struct page_set dirty;
    page_map_take(&map, 5, 4, &dirty);
    page_map_keep(&map, 5, page_map_hold(&map, 5), 1000);
    ck_assert_uint_eq(map.dirty_count, 4);
    ck_assert_uint_eq(page_map_take(&map, 0, 7, &dirty), 2); /* pages 5 and 6 */
    unsigned first = 0;
    ck_assert_uint_eq(page_set_next(&dirty, &first), 2);
    ck_assert_uint_eq(first, 5);
    ck_assert_uint_eq(map.dirty_count, 2);
    unsigned count;
    ck_assert(page_map_extend(&map, 0, 3, &dirty, &count));
    ck_assert_uint_eq(count, 2);
    ck_assert_uint_eq(page_map_length(&map, 0), 10);
}
END_TEST

START_TEST(age_decides)
{
    struct page_set dirty, held;
    for (unsigned i = 0; i < 3; i++) {
        page_map_take(&map, 10 * i, 5, &dirty);
        page_map_keep(&map, 10 * i, page_map_hold(&map, 10 * i), 1000 + 100 * i);
    }
    ck_assert_uint_eq(map.oldest, 1000);
    ck_assert_uint_eq(page_map_hold_due(&map, 1150, 200, &held), 0);
    ck_assert_uint_eq(page_map_hold_due(&map, 1250, 200, &held), 5);
    unsigned first = 0;
    ck_assert_uint_eq(page_set_next(&held, &first), 5);
    ck_assert_uint_eq(first, 0);
    page_map_clean(&map, &held);
    ck_assert_uint_eq(map.oldest, 1100);
    /* Freed a moment after the time that the caller looked: not due. */
    ck_assert_uint_eq(page_map_hold_due(&map, 1150, 100, &held), 0);
    ck_assert_uint_eq(page_map_hold_due(&map, 1250, 0, &held), 10);
}
END_TEST

START_TEST(time_wraps)
{
    struct page_set dirty, held;
    page_map_take(&map, 0, 5, &dirty);
    page_map_keep(&map, 0, page_map_hold(&map, 0), UINT32_MAX - 10);
    ck_assert_uint_eq(page_map_hold_due(&map, UINT32_MAX, 50, &held), 0);
    ck_assert_uint_eq(page_map_hold_due(&map, 60, 50, &held), 5);
}
END_TEST

START_TEST(shrink_and_extend)
{
    struct page_set dirty, held = one_run(4, 6);
    unsigned count;
    page_map_take(&map, 0, 10, &dirty);
    page_map_take(&map, 12, 1, &dirty);
    ck_assert(!page_map_extend(&map, 0, 3, &dirty, &count));
    ck_assert(page_map_extend(&map, 0, 2, &dirty, &count));
    page_map_shrink(&map, 0, 4);
    held = one_run(4, 8);
    page_map_clean(&map, &held);
    ck_assert_uint_eq(page_map_length(&map, 0), 4);
    ck_assert_uint_eq(map.used_count, 5);
    page_map_take(&map, PAGE_MAP_PAGES - 2, 2, &dirty);
    ck_assert(!page_map_extend(&map, PAGE_MAP_PAGES - 2, 1, &dirty, &count));
}
END_TEST

/* ---- Random steps ---------------------------------------------------------------------------- */

enum page_state { CLEAN, DIRTY, USED };
static enum page_state model[PAGE_MAP_PAGES];
static unsigned lengths[PAGE_MAP_PAGES]; /* of objects, at their start */

static void compare(void)
{
    unsigned used = 0, dirty = 0, run = 0, longest = 0, objects = 0, wrong = 0;
    for (unsigned i = 0; i < PAGE_MAP_PAGES; i++) {
        used += model[i] == USED;
        dirty += model[i] == DIRTY;
        run = model[i] == USED ? 0 : run + 1;
        longest = run > longest ? run : longest;
        objects += lengths[i] > 0;
        wrong += page_map_length(&map, i) != lengths[i];
    }
    ck_assert(wrong == 0 && map.used_count == used && map.dirty_count == dirty &&
              map.longest == longest && map.object_count == objects);
}

static void set_model(unsigned first, unsigned count, enum page_state state)
{
    for (unsigned i = first; i < first + count; i++)
        model[i] = state;
}

static void step(uint64_t *random, uint32_t now)
{
    struct page_set dirty;
    unsigned at = test_random(random) % PAGE_MAP_PAGES;
    unsigned count = 1 + test_random(random) % (test_random(random) % 4 ? 8 : 100);
    if (test_random(random) % 2) {
        unsigned alignment = 1u << test_random(random) % 5;
        unsigned first = page_map_find(&map, count, alignment);
        if (first == PAGE_MAP_PAGES)
            return;
        ck_assert_uint_eq(first % alignment, 0);
        unsigned expected = 0, free_pages = 0;
        for (unsigned i = first; i < first + count; i++) {
            free_pages += model[i] != USED;
            expected += model[i] == DIRTY;
        }
        ck_assert_uint_eq(free_pages, count);
        ck_assert_uint_eq(page_map_take(&map, first, count, &dirty), expected);
        set_model(first, count, USED);
        lengths[first] = count;
        return;
    }
    while (at < PAGE_MAP_PAGES && lengths[at] == 0)
        at++;
    if (at == PAGE_MAP_PAGES)
        return;
    count = page_map_hold(&map, at);
    ck_assert_uint_eq(count, lengths[at]);
    lengths[at] = 0;
    if (test_random(random) % 2) {
        page_map_keep(&map, at, count, now);
        set_model(at, count, DIRTY);
    } else {
        struct page_set held = one_run(at, count);
        page_map_clean(&map, &held);
        set_model(at, count, CLEAN);
    }
}

START_TEST(random_steps)
{
    uint64_t random = (uint64_t)_i + 1;
    for (uint32_t now = 0; now < 3000; now++) {
        step(&random, now);
        if (test_random(&random) % 50 == 0) {
            struct page_set held;
            page_map_hold_due(&map, now, 100, &held);
            page_map_clean(&map, &held);
            unsigned first = 0, count;
            for (; (count = page_set_next(&held, &first)) > 0; first += count)
                set_model(first, count, CLEAN);
        }
        if (test_random(&random) % 200 == 0) {
            page_map_end_all(&map, now);
            for (unsigned i = 0; i < PAGE_MAP_PAGES; i++)
                if (model[i] == USED)
                    set_model(i, 1, DIRTY);
            memset(lengths, 0, sizeof lengths);
        }
        compare();
    }
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("page_map");
    tcase_add_checked_fixture(tc, setup, NULL);
    tcase_add_test(tc, starts_empty);
    tcase_add_test(tc, takes_the_smallest_hole);
    tcase_add_test(tc, held_pages_are_nobodys);
    tcase_add_test(tc, dirty_pages_are_told);
    tcase_add_test(tc, age_decides);
    tcase_add_test(tc, time_wraps);
    tcase_add_test(tc, shrink_and_extend);
    tcase_add_loop_test(tc, random_steps, 0, 8);
    return run_suite("page_map", &tc, 1);
}
