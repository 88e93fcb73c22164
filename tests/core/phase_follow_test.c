/* What instances that wait for their next begin keep, and give up when a reload drops or changes their phase; calls of the
 * phases' interface as the first of a process; no memory for a new phase. */
#include <sluice/sluice.h>

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include <sluice/backend.h>

#include "tests/support/testing.h"

#define FRAME "  frame: {modules: [bound], backend: scratch}\n"

static sluice_module bound;

static void use_phases(const char *phases)
{
    char policy[512];
    snprintf(policy, sizeof policy,
             "default: pool\n"
             "backends:\n  scratch: {kind: pool, retain: 1GiB}\n  other: {kind: pool}\n"
             "%s%s",
             *phases == '\0' ? "" : "phases:\n", phases);
    use_policy(policy);
    bound = use_module("bound");
}

static sluice_phase *begin_with_16_mib(void)
{
    sluice_phase *phase;
    ck_assert_msg(sluice_phase_begin("frame", &phase) == SLUICE_OK, "%s", sluice_error_message());
    for (size_t n = 0; n < 16 * MIB / 16384; n++) {
        char *p = sluice_malloc(bound, 16384);
        ck_assert_ptr_nonnull(p);
        memset(p, 1, 16384);
    }
    return phase;
}

static bool is_given_back(void *unused)
{
    (void)unused;
    struct sluice_process_stats stats = process_stats();
    return stats.draining_arenas == 0 && stats.chunk_bytes < 8 * MIB;
}

/* Policies that have no use for what an instance of FRAME keeps, though all of them have its backend still. */
static const char *const changes[] = {
    "",
    "  frame: {modules: [bound], backend: other}\n",
    "  frame: {modules: [nobody], backend: scratch}\n",
    "  first: {modules: [bound], backend: scratch}\n  frame: {modules: [x], backend: scratch}\n",
    "  frame: {modules: [bound], backend: glibc, track: true}\n",
};

START_TEST(idle_instances_give_up_what_a_reload_drops)
{
    use_phases(FRAME);
    ck_assert_int_eq(sluice_phase_end(begin_with_16_mib()), SLUICE_OK);
    ck_assert_uint_ge(process_stats().chunk_bytes, 16 * MIB);
    use_phases(FRAME); /* the same again: it is kept */
    ck_assert_uint_eq(process_stats().draining_arenas, 0);
    ck_assert_uint_ge(process_stats().chunk_bytes, 16 * MIB);
    use_phases(changes[_i]);
    ck_assert(wait_until(is_given_back, NULL, 4000));
}
END_TEST

START_TEST(an_instance_that_ends_after_a_reload_gives_up_the_same)
{
    use_phases(FRAME);
    sluice_phase *phase = begin_with_16_mib();
    use_phases(changes[_i]);
    ck_assert_int_eq(sluice_phase_end(phase), SLUICE_OK);
    ck_assert(wait_until(is_given_back, NULL, 4000));
}
END_TEST

/* ---- At the end ------------------------------------------------------------------------------ */

static const char *const warm[] = {
    "pool, retain: 1GiB",
    "region, retain: 1GiB",
    "mmap, reuse: 1h",
    "jemalloc, dirty_decay: 1h",
};

/* Bytes that an instance of 16 MiB leaves resident. */
static uint64_t left_by_an_instance(const char *backend, const char *purge)
{
    char policy[256];
    snprintf(policy, sizeof policy,
             "default: pool\nbackends: {b: {kind: %s}}\n"
             "phases: {frame: {modules: [bound], backend: b%s}}\n",
             backend, purge);
    use_policy(policy);
    bound = use_module("bound");
    ck_assert_int_eq(sluice_phase_end(begin_with_16_mib()), SLUICE_OK);
    return stats_of(bound).cached_bytes;
}

START_TEST(memory_stays_warm_unless_the_end_purges)
{
    ck_assert_uint_ge(left_by_an_instance(warm[_i], ""), 16 * MIB);
    ck_assert_uint_lt(left_by_an_instance(warm[_i], ", purge: end"), 64 * KIB);
    ck_assert_uint_lt(left_by_an_instance(warm[_i], ", purge: end, check: poison, keep: 1"),
                      24 * MIB);
    ck_assert_uint_lt(left_by_an_instance(warm[_i], ", purge: end, check: poison, keep: 1"),
                      24 * MIB); /* of the newest; the one before was purged */
}
END_TEST

/* ---- The first call of a process ------------------------------------------------------------- */

static void nothing(void *unused)
{
    (void)unused;
}

static void *call_first(void *index)
{
    sluice_phase *none = (sluice_phase *)(uintptr_t)4711;
    switch ((uintptr_t)index) {
    case 0:
        ck_assert_int_eq(sluice_phase_end(none), SLUICE_ERROR_INVALID);
        break;
    case 1:
        ck_assert_int_eq(sluice_phase_enter(none), SLUICE_ERROR_INVALID);
        break;
    case 2:
        ck_assert_int_eq(sluice_phase_leave(none), SLUICE_ERROR_INVALID);
        break;
    default:
        ck_assert_int_eq(sluice_phase_on_end(none, nothing, NULL), SLUICE_ERROR_INVALID);
    }
    sluice_free(sluice_malloc(SLUICE_MODULE_DEFAULT, 10));
    return NULL;
}

static uintptr_t first_call;

static void *call_chosen(void *unused)
{
    (void)unused;
    return call_first((void *)first_call);
}

START_TEST(any_call_may_be_the_first)
{
    first_call = (uintptr_t)_i;
    run_threads(1, call_chosen);
    ck_assert_uint_eq(process_stats().threads, 1); /* the end of the other was noticed */
}
END_TEST

/* ---- No memory ------------------------------------------------------------------------------- */

START_TEST(no_memory_for_a_phase_is_not_too_many_instances)
{
    use_phases(FRAME "  late: {modules: [late], backend: scratch}\n");
    sluice_phase *phase;
    for (int i = 0; i < 4096; i++)
        ck_assert_int_eq(sluice_phase_begin("frame", &phase), SLUICE_OK);
    ck_assert_int_eq(sluice_phase_begin("frame", &phase), SLUICE_ERROR_LIMIT);
    struct rlimit none = {0, RLIM_INFINITY}, before;
    ck_assert_int_eq(getrlimit(RLIMIT_AS, &before), 0);
    none.rlim_max = before.rlim_max;
    ck_assert_int_eq(setrlimit(RLIMIT_AS, &none), 0);
    for (size_t size = 1024; size >= 64; size -= 64)
        while (sluice_metadata_alloc(size) != NULL)
            ;
    enum sluice_result result = sluice_phase_begin("late", &phase);
    ck_assert_int_eq(setrlimit(RLIMIT_AS, &before), 0);
    ck_assert_int_eq(result, SLUICE_ERROR_NO_MEMORY);
    ck_assert_str_eq(sluice_error_message(), "sluice_phase_begin: no memory");
}
END_TEST

int main(void)
{
    TCase *cases[] = {tcase_create("follow")};
    tcase_add_loop_test(cases[0], idle_instances_give_up_what_a_reload_drops, 0, LENGTH(changes));
    tcase_add_loop_test(cases[0], an_instance_that_ends_after_a_reload_gives_up_the_same, 0,
                        LENGTH(changes));
    tcase_add_loop_test(cases[0], memory_stays_warm_unless_the_end_purges, 0, LENGTH(warm));
    tcase_add_loop_test(cases[0], any_call_may_be_the_first, 0, 4);
    if (!SANITIZED)
        tcase_add_test(cases[0], no_memory_for_a_phase_is_not_too_many_instances);
    return run_suite("phase_follow", cases, LENGTH(cases));
}
