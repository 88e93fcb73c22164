/* Which backend serves a module and a size: the policy's rules, and overrides on top of them. */
#include "core/route.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/size_class.h"
#include "core/thread.h"
#include "tests/support/testing.h"

static const char *served_by(sluice_module m, size_t size)
{
    static char name[64];
    void *p = sluice_malloc(m, size);
    ck_assert_ptr_nonnull(p);
    struct sluice_owner owner = {.struct_size = sizeof owner};
    ck_assert_int_eq(sluice_owner(p, &owner), SLUICE_OK);
    snprintf(name, sizeof name, "%s", owner.backend);
    sluice_free(p);
    return name;
}

#define ck_assert_served(module, size, by) ck_assert_str_eq(served_by(module, size), by)

START_TEST(an_exact_name_beats_a_glob_and_the_first_glob_wins)
{
    use_policy("default: glibc\n"
               "modules:\n"
               "  \"ros.*\": mmap\n"
               "  \"ros.nav*\": jemalloc\n"
               "  ros.nav.map: pool\n"
               "  exact: jemalloc\n"
               "  \"*act\": mmap\n");
    ck_assert_served(use_module("ros.nav.map"), 100, "pool");
    ck_assert_served(use_module("ros.nav.other"), 100, "mmap");
    ck_assert_served(use_module("exact"), 100, "jemalloc");
    ck_assert_served(use_module("inexact"), 100, "mmap");
    ck_assert_served(use_module("nobody"), 100, "glibc");
    ck_assert_served(SLUICE_MODULE_DEFAULT, 100, "glibc");
}
END_TEST

START_TEST(the_first_rule_that_fits_the_size)
{
    use_policy(
        "default: mmap\n"
        "backends: {small: {kind: pool}, middle: {kind: jemalloc}, large: {kind: mmap}}\n"
        "modules:\n"
        "  m: {route: [{max_size: 1000, to: small}, {max_size: 100KiB, to: middle}, {to: large}]}\n");
    sluice_module m = use_module("m");
    for (int round = 0; round < 3; round++) { /* caches are warm the second time */
        ck_assert_served(m, 0, "small");
        ck_assert_served(m, 1000, "small");
        ck_assert_served(m, 1001, "middle");
        ck_assert_served(m, 1024, "middle"); /* of the same size class as 1000 */
        ck_assert_served(m, 100 * KIB, "middle");
        ck_assert_served(m, 100 * KIB + 1, "large");
    }
}
END_TEST

/* A size class that two rules share must not be served from a cache, whichever backend comes first. */
START_TEST(rules_may_end_inside_a_size_class)
{
    use_policy(
        "default: mmap\n"
        "backends: {one: {kind: pool}, two: {kind: pool, thread_cache: 1MiB}}\n"
        "modules: {m: {route: [{max_size: 1000, to: one}, {max_size: 64KiB, to: two}, {to: mmap}]}}\n");
    sluice_module m = use_module("m");
    void *p[5000];
    for (unsigned i = 0; i < LENGTH(p); i++) {
        size_t size = i % 3 == 0 ? 950 : i % 3 == 1 ? 1020 : 100;
        p[i] = sluice_malloc(m, size);
        struct sluice_owner owner = {.struct_size = sizeof owner};
        ck_assert_int_eq(sluice_owner(p[i], &owner), SLUICE_OK);
        ck_assert_str_eq(owner.backend, size > 1000 ? "two" : "one");
    }
    for (unsigned i = 0; i < LENGTH(p); i++)
        sluice_free(p[i]);
}
END_TEST

START_TEST(what_a_bounded_backend_does_not_serve_goes_behind_it)
{
    use_policy("default: jemalloc\nmodules: {m: pool}\n");
    sluice_module m = use_module("m");
    ck_assert_served(m, 512 * KIB, "pool");
    ck_assert_served(m, 512 * KIB + 1, "jemalloc");
    void *p = sluice_aligned_alloc(m, 2 * MIB, 100);
    ck_assert_str_eq(kind_of(p), "jemalloc");
    sluice_free(p);
    p = sluice_aligned_alloc(m, 4096, 100);
    ck_assert_str_eq(kind_of(p), "pool");
    sluice_free(p);
    use_policy("default: pool\n"); /* everybody's backend is bounded */
    ck_assert_served(m, 64 * KIB, "pool");
    ck_assert_served(m, MIB, "mmap");
}
END_TEST

START_TEST(a_reload_serves_new_objects_only)
{
    use_policy("default: mmap\nmodules: {m: pool}\n");
    sluice_module m = use_module("m");
    char *before = sluice_strdup(m, "before");
    uint64_t generation = sluice_policy_generation();
    use_policy("default: mmap\nmodules: {m: glibc}\n");
    ck_assert_uint_eq(sluice_policy_generation(), generation + 1);
    char *after = sluice_strdup(m, "after");
    ck_assert_str_eq(kind_of(before), "pool");
    ck_assert_str_eq(kind_of(after), "glibc");
    ck_assert_str_eq(before, "before");
    sluice_free(before);
    sluice_free(after);
}
END_TEST

/* The rest of it is of another rule, shared by two, or was never asked for. */
START_TEST(an_outdated_cache_is_filled_with_what_served_before)
{
    use_policy("default: mmap\n"
               "backends: {one: {kind: pool}, two: {kind: pool, thread_cache: 1MiB}}\n"
               "modules: {m: {route: [{max_size: 1000, to: one}, {to: two}]}}\n");
    sluice_module m = use_module("m");
    static const size_t sizes[] = {16, 100, 500, 1000, 2000};
    for (size_t i = 0; i < LENGTH(sizes); i++)
        sluice_free(sluice_malloc(m, sizes[i]));
    route_outdate_caches(m);
    sluice_free(sluice_malloc(m, 16));
    struct magazine **bin = thread_self->cache[m]->bin;
    for (unsigned k = 0; k < SIZE_CLASS_PLAIN; k++) {
        bool expected =
            k == size_class_of(16) || k == size_class_of(100) || k == size_class_of(500);
        ck_assert_msg((bin[k] != &magazine_none) == expected, "class %u of %zu bytes", k,
                      size_class_most(k));
    }
    ck_assert_served(m, 1000, "one");
    ck_assert_served(m, 1001, "two");
    ck_assert_served(m, 2000, "two");
}
END_TEST

static uint64_t generation_of(sluice_module module)
{
    return atomic_load(&route_module_generation[module]);
}

/* A reload disturbs those whom it concerns. */
START_TEST(who_is_served_as_before_keeps_its_caches)
{
    static const char before[] =
        "backends: {b: {kind: pool, retain: 1MiB}}\n"
        "modules: {same: b, other: b, stage: b, more: {route: [{to: mmap}]}}\n"
        "phases: {p: {modules: [stage], backend: pool}}\n";
    static const char after[] = "backends: {c: pool, b: {kind: pool, retain: 1MiB}}\n"
                                "modules: {other: c, stage: b, same: b,\n"
                                "          more: {route: [{max_size: 4KiB, to: c}, {to: mmap}]}}\n"
                                "phases: {p: {modules: [stage], backend: pool}}\n";
    use_policy(before);
    sluice_module same = use_module("same"), other = use_module("other"),
                  stage = use_module("stage"), more = use_module("more");
    void *p = sluice_malloc(same, 100), *q = sluice_malloc(other, 100);
    uint64_t was[4] = {generation_of(same), generation_of(other), generation_of(stage),
                       generation_of(more)};
    use_policy(after);
    ck_assert_uint_eq(generation_of(same), was[0]);
    ck_assert_uint_gt(generation_of(other), was[1]);
    ck_assert_uint_gt(generation_of(stage), was[2]);
    ck_assert_uint_gt(generation_of(more), was[3]);
    ck_assert_served(same, 100, "b");
    ck_assert_served(other, 100, "c");
    ck_assert_served(more, 100, "c");
    ck_assert_uint_eq(stats_of(same).draining_bytes, 0);
    sluice_free(q);
    /* Other parameters, an override: these do concern it. */
    use_policy("backends: {b: {kind: pool, retain: 2MiB}}\nmodules: {same: b}\n");
    ck_assert_uint_gt(generation_of(same), was[0]);
    was[0] = generation_of(same);
    ck_assert_int_eq(sluice_module_override("same", "mmap"), SLUICE_OK);
    ck_assert_uint_gt(generation_of(same), was[0]);
    ck_assert_served(same, 100, "mmap");
    was[0] = generation_of(same);
    use_policy("backends: {b: pool}\nmodules: {same: b}\n");
    ck_assert_uint_eq(generation_of(same), was[0]); /* the override serves it, now as before */
    sluice_free(p);
}
END_TEST

/* ---- Overrides ------------------------------------------------------------------------------- */

START_TEST(an_override_wins_until_it_is_cleared)
{
    static const char policy[] = "default: mmap\nmodules: {m: glibc, other: glibc}\n";
    use_policy(policy);
    sluice_module m = use_module("m"), other = use_module("other");
    ck_assert_served(m, 100, "glibc");
    ck_assert_int_eq(sluice_module_override("m", "jemalloc"), SLUICE_OK);
    ck_assert_served(m, 100, "jemalloc");
    ck_assert_served(other, 100, "glibc");
    use_policy(policy); /* survives */
    ck_assert_served(m, 100, "jemalloc");
    ck_assert_int_eq(sluice_module_override("m", "pool"), SLUICE_OK);
    ck_assert_served(m, 100, "pool");
    ck_assert_int_eq(sluice_module_override("m", NULL), SLUICE_OK);
    ck_assert_served(m, 100, "glibc");
    ck_assert_int_eq(sluice_module_override("m", NULL), SLUICE_OK); /* nothing to clear is fine */
}
END_TEST

START_TEST(an_override_may_name_a_backend_of_the_policy)
{
    use_policy("default: mmap\nbackends: {mine: {kind: pool, thread_cache: 1MiB}}\n");
    sluice_module m = use_module("m");
    ck_assert_int_eq(sluice_module_override("m", "mine"), SLUICE_OK);
    ck_assert_served(m, 100, "mine");
    /* A policy that does not know it serves by its own routes; one that does takes it up again. */
    use_policy("default: glibc\n");
    ck_assert_served(m, 100, "glibc");
    use_policy("default: mmap\nbackends: {mine: {kind: jemalloc}}\n");
    ck_assert_served(m, 100, "mine");
}
END_TEST

START_TEST(a_module_may_come_after_its_override)
{
    use_policy("default: mmap\n");
    ck_assert_int_eq(sluice_module_override("later", "glibc"), SLUICE_OK);
    ck_assert_served(use_module("later"), 100, "glibc");
}
END_TEST

START_TEST(what_is_not_known_changes_nothing)
{
    use_policy("default: mmap\n");
    sluice_module m = use_module("m");
    ck_assert_int_eq(sluice_module_override("m", "glibc"), SLUICE_OK);
    uint64_t generation = sluice_policy_generation();
    ck_assert_int_eq(sluice_module_override("m", "nowhere"), SLUICE_ERROR_UNKNOWN);
    ck_assert_ptr_nonnull(strstr(sluice_error_message(), "nowhere"));
    ck_assert_int_eq(sluice_module_override(NULL, "glibc"), SLUICE_ERROR_INVALID);
    ck_assert_int_eq(sluice_module_override("", "glibc"), SLUICE_ERROR_INVALID);
    ck_assert_int_eq(sluice_module_override("", NULL), SLUICE_ERROR_INVALID);
    ck_assert_uint_eq(sluice_policy_generation(), generation);
    ck_assert_served(m, 100, "glibc");
}
END_TEST

START_TEST(a_limit_stays_under_an_override)
{
    use_policy("default: mmap\nmodules: {m: {route: [{to: glibc}], limit: {hard: 1MiB}}}\n");
    sluice_module m = use_module("m");
    ck_assert_int_eq(sluice_module_override("m", "jemalloc"), SLUICE_OK);
    ck_assert_ptr_null(sluice_malloc(m, 2 * MIB));
    ck_assert_served(m, 1000, "jemalloc");
}
END_TEST

static void use_environment(void *overrides)
{
    setenv("SLUICE_OVERRIDE", overrides, 1);
    sluice_module a = sluice_module_register("a"), b = sluice_module_register("b=c");
    void *p = sluice_malloc(a, 100), *q = sluice_malloc(b, 100);
    if (strcmp(kind_of(p), "glibc") != 0 || strcmp(kind_of(q), "jemalloc") != 0)
        _exit(1);
    sluice_free(p);
    sluice_free(q);
}

START_TEST(overrides_of_the_environment)
{
    static char good[] = "a=glibc,b=c=jemalloc";
    struct child child = run_child(use_environment, good, 20000);
    ck_assert(child_succeeded(&child));
    ck_assert_str_eq(child.error, "");
    /* One mistake does not spoil the rest, and is told. */
    static char mixed[] = "=x,,nothing,a=glibc,a=,b=c=jemalloc";
    child = run_child(use_environment, mixed, 20000);
    ck_assert(child_succeeded(&child));
    ck_assert_ptr_nonnull(strstr(child.error, "\"nothing\": expected MODULE=BACKEND"));
}
END_TEST

static void override_nowhere(void *unused)
{
    setenv("SLUICE_OVERRIDE", "a=nowhere", 1);
    void *p = sluice_malloc(sluice_module_register("a"), 100);
    if (p == NULL)
        _exit(1);
    sluice_free(p);
}

START_TEST(an_unknown_backend_in_the_environment_is_told)
{
    struct child child = run_child(override_nowhere, NULL, 20000);
    ck_assert(child_succeeded(&child));
    ck_assert_ptr_nonnull(strstr(child.error, "nowhere"));
}
END_TEST

int main(void)
{
    TCase *cases[] = {tcase_create("routes"), tcase_create("overrides")};
    tcase_add_test(cases[0], an_exact_name_beats_a_glob_and_the_first_glob_wins);
    tcase_add_test(cases[0], the_first_rule_that_fits_the_size);
    tcase_add_test(cases[0], rules_may_end_inside_a_size_class);
    tcase_add_test(cases[0], what_a_bounded_backend_does_not_serve_goes_behind_it);
    tcase_add_test(cases[0], a_reload_serves_new_objects_only);
    tcase_add_test(cases[0], who_is_served_as_before_keeps_its_caches);
    tcase_add_test(cases[0], an_outdated_cache_is_filled_with_what_served_before);
    tcase_add_test(cases[1], an_override_wins_until_it_is_cleared);
    tcase_add_test(cases[1], an_override_may_name_a_backend_of_the_policy);
    tcase_add_test(cases[1], a_module_may_come_after_its_override);
    tcase_add_test(cases[1], what_is_not_known_changes_nothing);
    tcase_add_test(cases[1], a_limit_stays_under_an_override);
    tcase_add_test(cases[1], overrides_of_the_environment);
    tcase_add_test(cases[1], an_unknown_backend_in_the_environment_is_told);
    return run_suite("route", cases, LENGTH(cases));
}
