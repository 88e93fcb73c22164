/* The futex mutex: one at a time, nobody forgotten, errno kept. */
#include "core/lock.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#include "tests/support/testing.h"

#define ROUNDS TESTING_SCALE(200000)

static struct lock lock;
static uint64_t plain_counter; /* not atomic: two in the lock at once would lose counts */
static _Atomic uint32_t inside, waiting;

static void *count_up(void *index)
{
    for (int i = 0; i < ROUNDS; i++) {
        lock_acquire(&lock);
        plain_counter++;
        lock_release(&lock);
    }
    return NULL;
}

START_TEST(one_at_a_time)
{
    run_threads(8, count_up);
    ck_assert_uint_eq(plain_counter, (uint64_t)8 * ROUNDS);
    ck_assert_uint_eq(lock.state, 0);
}
END_TEST

static void *wait_for_it(void *unused)
{
    atomic_fetch_add(&waiting, 1);
    errno = EDOM;
    lock_acquire(&lock);
    ck_assert_int_eq(errno, EDOM);
    atomic_fetch_add(&inside, 1);
    lock_release(&lock);
    ck_assert_int_eq(errno, EDOM);
    return NULL;
}

static bool somebody_sleeps(void *unused)
{
    return atomic_load(&lock.state) == 2;
}

START_TEST(sleepers_are_woken_one_after_the_other)
{
    pthread_t threads[8];
    lock_acquire(&lock);
    ck_assert(!lock_try(&lock));
    for (unsigned i = 0; i < 8; i++)
        pthread_create(&threads[i], NULL, wait_for_it, NULL);
    ck_assert(wait_for_count(&waiting, 8, 10000));
    ck_assert(wait_until(somebody_sleeps, NULL, 10000));
    ck_assert_uint_eq(atomic_load(&inside), 0);
    lock_release(&lock);
    ck_assert(wait_for_count(&inside, 8, 10000));
    for (unsigned i = 0; i < 8; i++)
        pthread_join(threads[i], NULL);
    ck_assert(lock_try(&lock));
    lock_release(&lock);
}
END_TEST

int main(void)
{
    TCase *cases[] = {tcase_create("lock")};
    tcase_add_test(cases[0], one_at_a_time);
    tcase_add_test(cases[0], sleepers_are_woken_one_after_the_other);
    return run_suite("lock", cases, LENGTH(cases));
}
