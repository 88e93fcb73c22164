/* Tables of backends: what is refused, field by field, and that a registered one serves as the built-in ones do. */
#include "core/registry.h"

#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/header.h"
#include "tests/support/testing.h"

/* ---- A backend of the plainest sort: libc's malloc, counted ------------------------------------ */

static _Atomic uint32_t arenas, out;
static uint64_t seen_value;

/* Number 13 refuses, until lucky; number 12 has no memory then. */
static _Atomic uint32_t refusals;
static _Atomic bool lucky;

static enum sluice_result plain_create(const struct sluice_arena_config *config, void **arena)
{
    if ((config->values[0] == 12 || config->values[0] == 13) && !atomic_load(&lucky)) {
        atomic_fetch_add(&refusals, 1);
        if (config->values[0] == 12)
            return SLUICE_ERROR_NO_MEMORY;
        return sluice_backend_error(SLUICE_ERROR_UNSUPPORTED, "not on this machine");
    }
    seen_value = config->values[0];
    atomic_fetch_add(&arenas, 1);
    *arena = &arenas;
    return SLUICE_OK;
}

static void plain_destroy(void *arena)
{
    atomic_fetch_sub(&arenas, 1);
}

static void *plain_alloc(void *arena, void **thread_state, size_t size, size_t alignment,
                         unsigned flags, size_t *usable)
{
    void *p = NULL;
    if (size < HEADER_SIZE + sizeof(void *) || posix_memalign(&p, alignment, size) != 0)
        return NULL; /* room for a header, and for what a free that is put off writes */
    if ((flags & SLUICE_ALLOC_ZERO) != 0)
        memset(p, 0, size);
    *usable = malloc_usable_size(p);
    atomic_fetch_add(&out, 1);
    return p;
}

static size_t plain_usable(void *arena, const void *p)
{
    return malloc_usable_size((void *)(uintptr_t)p);
}

static size_t plain_free(void *arena, void **thread_state, void *p)
{
    size_t usable = malloc_usable_size(p);
    free(p);
    atomic_fetch_sub(&out, 1);
    return usable;
}

static void plain_stats(void *arena, struct sluice_backend_stats *stats) {}

static enum sluice_result plain_reset(void *arena)
{
    return SLUICE_OK;
}

static const char *const choices[] = {"red", "green", NULL};
static const struct sluice_param params[] = {
    {.name = "number", .type = SLUICE_PARAM_COUNT, .default_value = 4, .minimum = 1, .maximum = 16},
    {.name = "colour", .type = SLUICE_PARAM_CHOICE, .choices = choices},
};

static struct sluice_backend_ops plain(void)
{
    return (struct sluice_backend_ops){
        .abi_version = SLUICE_BACKEND_ABI_VERSION,
        .struct_size = sizeof(struct sluice_backend_ops),
        .name = "plain",
        .params = params,
        .param_count = 2,
        .arena_create = plain_create,
        .arena_destroy = plain_destroy,
        .alloc = plain_alloc,
        .free = plain_free,
        .usable_size = plain_usable,
        .stats = plain_stats,
    };
}

/* ---- What is refused -------------------------------------------------------------------------- */

#define ck_assert_refused(ops, word)                                                         \
    do {                                                                                     \
        ck_assert_int_eq(sluice_backend_register(&(ops)), SLUICE_ERROR_INVALID);             \
        ck_assert_msg(strstr(sluice_error_message(), (word)) != NULL, "\"%s\" lacks \"%s\"", \
                      sluice_error_message(), (word));                                       \
    } while (0)

START_TEST(mistakes_are_named_field_by_field)
{
    struct sluice_backend_ops ops = plain();
    ops.abi_version = SLUICE_BACKEND_ABI_VERSION + 1;
    ck_assert_refused(ops, "abi_version");
    ops = plain();
    ops.struct_size = offsetof(struct sluice_backend_ops, stats);
    ck_assert_refused(ops, "struct_size");
    static const char *const names[] = {
        NULL,     "",        "Upper",
        "sp ace", "dot.ted", "0123456789012345678901234567890123456789012345678901234567890123"};
    for (size_t i = 0; i < LENGTH(names); i++) {
        ops = plain();
        ops.name = names[i];
        ck_assert_refused(ops, "name");
    }
    ops = plain();
    ops.arena_create = NULL;
    ck_assert_refused(ops, "arena_create");
    ops = plain();
    ops.arena_destroy = NULL;
    ck_assert_refused(ops, "arena_destroy");
    ops = plain();
    ops.alloc = NULL;
    ck_assert_refused(ops, "alloc");
    ops = plain();
    ops.free = NULL;
    ck_assert_refused(ops, "free");
    ops = plain();
    ops.usable_size = NULL;
    ck_assert_refused(ops, "usable_size");
    ops = plain();
    ops.stats = NULL;
    ck_assert_refused(ops, "stats");
    ops = plain();
    ops.capabilities = SLUICE_BACKEND_BULK_RESET;
    ck_assert_refused(ops, "reset");
    ck_assert_int_eq(sluice_backend_register(NULL), SLUICE_ERROR_INVALID);
    ck_assert_ptr_null(registry_find("plain")); /* none of them left a trace */
}
END_TEST

START_TEST(parameters_are_checked)
{
    struct sluice_param p = params[0];
    struct sluice_backend_ops ops = plain();
    ops.params = &p;
    ops.param_count = 1;
    p.name = "Two Words";
    ck_assert_refused(ops, "params");
    p = params[0];
    p.minimum = 5; /* above the default */
    ck_assert_refused(ops, "params");
    p = params[0];
    p.maximum = 3;
    ck_assert_refused(ops, "params");
    p = params[0];
    p.choices = choices;
    ck_assert_refused(ops, "params");
    p = params[1];
    p.choices = NULL;
    ck_assert_refused(ops, "params");
}
END_TEST

START_TEST(names_are_unique_and_tables_are_copied)
{
    struct sluice_backend_ops ops = plain();
    ops.name = "pool";
    ck_assert_int_eq(sluice_backend_register(&ops), SLUICE_ERROR_STATE);
    ops = plain();
    ck_assert_int_eq(sluice_backend_register(&ops), SLUICE_OK);
    ck_assert_int_eq(sluice_backend_register(&ops), SLUICE_ERROR_STATE);
    ops.alloc = NULL;
    ck_assert_ptr_nonnull(registry_find("plain")->alloc);
}
END_TEST

START_TEST(a_shorter_table_has_no_optional_entries)
{
    struct sluice_backend_ops ops = plain();
    ops.struct_size = offsetof(struct sluice_backend_ops, reset);
    ops.reset = plain_reset; /* beyond its size: not looked at */
    ck_assert_int_eq(sluice_backend_register(&ops), SLUICE_OK);
    ck_assert_ptr_null(registry_find("plain")->reset);
}
END_TEST

START_TEST(there_is_room_for_many)
{
    struct sluice_backend_ops ops = plain();
    int n = 0;
    enum sluice_result result = SLUICE_OK;
    for (; result == SLUICE_OK && n < 1000; n++) {
        char *name = test_memory(4096);
        snprintf(name, 64, "plain-%d", n);
        ops.name = name;
        result = sluice_backend_register(&ops);
    }
    ck_assert_int_eq(result, SLUICE_ERROR_LIMIT);
    ck_assert_int_gt(n, 50);
    ck_assert_ptr_nonnull(registry_find("plain-0"));
    ck_assert_ptr_nonnull(registry_find("jemalloc"));
}
END_TEST

/* ---- What is registered serves ----------------------------------------------------------------- */

static bool no_arena(void *unused)
{
    return atomic_load(&arenas) == 0;
}

START_TEST(a_registered_backend_serves)
{
    struct sluice_backend_ops ops = plain();
    ck_assert_int_eq(sluice_backend_register(&ops), SLUICE_OK);
    use_policy("default: mmap\n"
               "backends: {mine: {kind: plain, number: 7, colour: green}}\n"
               "modules: {m: mine}\n");
    sluice_module m = use_module("m");
    void *p[100];
    for (unsigned i = 0; i < LENGTH(p); i++) {
        p[i] = i % 3 == 0 ? sluice_aligned_alloc(m, (size_t)16 << i % 10, i * 50)
                          : sluice_malloc(m, i * 50);
        ck_assert_ptr_nonnull(p[i]);
        ck_assert_str_eq(kind_of(p[i]), "plain");
        test_fill(p[i], i * 50, i);
    }
    ck_assert_uint_eq(atomic_load(&out), LENGTH(p));
    ck_assert_uint_eq(atomic_load(&arenas), 1);
    ck_assert_uint_eq(seen_value, 7);
    ck_assert_uint_eq(stats_of(m).live_objects, LENGTH(p));
    for (unsigned i = 0; i < LENGTH(p); i++) {
        ck_assert(test_is_filled(p[i], i * 50, i));
        sluice_free(p[i]);
    }
    ck_assert_uint_eq(atomic_load(&out), 0);
    ck_assert_uint_eq(stats_of(m).live_objects, 0);
    use_policy("default: mmap\n");
    sluice_free(sluice_malloc(m, 10));
    ck_assert(wait_until(no_arena, NULL, 20000)); /* it drained, and was ended */
}
END_TEST

START_TEST(an_arena_that_cannot_be_made_fails_the_allocation)
{
    struct sluice_backend_ops ops = plain();
    ck_assert_int_eq(sluice_backend_register(&ops), SLUICE_OK);
    use_policy("default: mmap\nbackends: {bad: {kind: plain, number: 13}}\nmodules: {m: bad}\n");
    sluice_module m = use_module("m"), other = use_module("other");
    silence_log();
    for (int i = 0; i < 100; i++)
        ck_assert_ptr_null(sluice_malloc(m, 100));
    ck_assert_uint_eq(stats_of(m).failed_allocations, 100);
    ck_assert_uint_eq(process_stats().arenas, 0);
    sluice_free(sluice_malloc(other, 100));
    ck_assert_uint_eq(process_stats().arenas, 1);
}
END_TEST

#define REFUSING(number, route)                                                         \
    "default: mmap\nbackends: {bad: {kind: plain, number: " number "}}\nmodules: {m: {" \
    "route: " route "}}\n"

static unsigned count_in(const char *text, const char *what)
{
    unsigned n = 0;
    for (const char *at = text; (at = strstr(at, what)) != NULL; at++)
        n++;
    return n;
}

static _Atomic uint32_t served;

static void *allocate_for_a_while(void *ms)
{
    sluice_module m = use_module("m");
    for (uint64_t end = now_ms() + (uintptr_t)ms; now_ms() < end;) {
        void *p = sluice_malloc(m, 100);
        atomic_fetch_add(&served, p != NULL);
        sluice_free(p);
    }
    return NULL;
}

/* Four threads allocate for two seconds. What the child says is its outcome. */
static void fall_back(void *number)
{
    pthread_t threads[4];
    struct sluice_backend_ops ops = plain();
    sluice_backend_register(&ops);
    bool memory = strcmp(number, "12") == 0;
    use_policy(memory ? REFUSING("12", "[{max_size: 4KiB, to: bad}, {to: mmap}]")
                      : REFUSING("13", "[{max_size: 4KiB, to: bad}, {to: mmap}]"));
    for (size_t i = 0; i < LENGTH(threads); i++)
        pthread_create(&threads[i], NULL, allocate_for_a_while, (void *)2000);
    for (size_t i = 0; i < LENGTH(threads); i++)
        pthread_join(threads[i], NULL);
    /* The next rule that takes the size serves; the refused one is asked a few times at the start, then once a second. */
    uint32_t asked = atomic_load(&refusals);
    fprintf(stderr, "%u served, asked %u times\n", atomic_load(&served), asked);
    void *p = sluice_malloc(use_module("m"), 100);
    if (asked < 3 || asked > 30 || atomic_load(&served) < 1000 || strcmp(kind_of(p), "mmap") != 0 ||
        stats_of(use_module("m")).failed_allocations != 0)
        _exit(1);
    sluice_free(p);
}

START_TEST(a_refused_arena_is_told_once_and_the_next_rule_serves)
{
    static char numbers[][4] = {"12", "13"};
    struct child child = run_child(fall_back, numbers[_i], 30000);
    ck_assert_msg(child_succeeded(&child), "%x: %s", (unsigned)child.status, child.error);
    ck_assert_msg(count_in(child.error, "no arena of backend \"bad\"") == 1, "%s", child.error);
    if (_i == 1)
        ck_assert_ptr_nonnull(strstr(child.error, "not on this machine"));
}
END_TEST

static bool is_served_by_plain(void *module)
{
    void *p = sluice_malloc(*(sluice_module *)module, 100);
    bool plain_serves = p != NULL && strcmp(kind_of(p), "plain") == 0;
    sluice_free(p);
    return plain_serves;
}

START_TEST(a_refused_arena_is_asked_for_again)
{
    struct sluice_backend_ops ops = plain();
    ck_assert_int_eq(sluice_backend_register(&ops), SLUICE_OK);
    use_policy(REFUSING("13", "[{max_size: 4KiB, to: bad}, {to: mmap}]"));
    sluice_module m = use_module("m");
    ck_assert_ptr_nonnull(freopen("/dev/null", "w", stderr));
    for (int i = 0; i < 10000; i++)
        ck_assert(!is_served_by_plain(&m));
    atomic_store(&lucky, true); /* after a while, by itself */
    ck_assert(wait_until(is_served_by_plain, &m, 5000));
    /* At a reload at once. */
    atomic_store(&lucky, false);
    use_policy(REFUSING("13", "[{max_size: 4KiB, to: bad}, {to: mmap}]") "# new\n");
    use_policy("default: mmap\n");
    ck_assert(wait_until(no_arena, NULL, 20000));
    use_policy(REFUSING("13", "[{max_size: 4KiB, to: bad}, {to: mmap}]"));
    uint64_t end = now_ms() + 1500;
    while (now_ms() < end)
        ck_assert(!is_served_by_plain(&m));
    atomic_store(&lucky, true);
    use_policy(REFUSING("13", "[{max_size: 4KiB, to: bad}, {to: mmap}]"));
    ck_assert(is_served_by_plain(&m));
}
END_TEST

START_TEST(without_another_rule_the_allocation_fails_and_says_why)
{
    struct sluice_backend_ops ops = plain();
    ck_assert_int_eq(sluice_backend_register(&ops), SLUICE_OK);
    use_policy(REFUSING("13", "bad"));
    sluice_module m = use_module("m");
    ck_assert_ptr_nonnull(freopen("/dev/null", "w", stderr));
    for (int i = 0; i < 1000; i++) {
        ck_assert_ptr_null(sluice_malloc(m, 100));
        ck_assert_ptr_nonnull(strstr(sluice_error_message(), "\"m\""));
        ck_assert_ptr_nonnull(strstr(sluice_error_message(), "arena"));
    }
    ck_assert_uint_le(atomic_load(&refusals), 20);
}
END_TEST

static void allocate_in_a_phase(void *unused)
{
    struct sluice_backend_ops ops = plain();
    sluice_backend_register(&ops);
    use_policy("default: mmap\nbackends: {bad: {kind: plain, number: 13}}\nmodules: {m: mmap}\n"
               "phases: {f: {modules: [m], backend: bad, track: true}}\n");
    sluice_module m = use_module("m");
    sluice_phase *phase;
    if (sluice_phase_begin("f", &phase) != SLUICE_OK)
        _exit(1);
    for (int i = 0; i < 1000; i++)
        sluice_free(sluice_malloc(m, 100));
    if (atomic_load(&refusals) == 0 || atomic_load(&refusals) > 20)
        _exit(2);
    if (sluice_phase_end(phase) != SLUICE_OK)
        _exit(3);
}

START_TEST(a_phase_asks_as_seldom)
{
    struct child child = run_child(allocate_in_a_phase, NULL, 30000);
    ck_assert_msg(child_succeeded(&child), "%x: %s", (unsigned)child.status, child.error);
    ck_assert_msg(count_in(child.error, "no arena of backend \"bad\"") == 1, "%s", child.error);
}
END_TEST

int main(void)
{
    TCase *cases[] = {tcase_create("tables"), tcase_create("served")};
    tcase_add_test(cases[0], mistakes_are_named_field_by_field);
    tcase_add_test(cases[0], parameters_are_checked);
    tcase_add_test(cases[0], names_are_unique_and_tables_are_copied);
    tcase_add_test(cases[0], a_shorter_table_has_no_optional_entries);
    tcase_add_test(cases[0], there_is_room_for_many);
    tcase_add_test(cases[1], a_registered_backend_serves);
    tcase_add_test(cases[1], an_arena_that_cannot_be_made_fails_the_allocation);
    tcase_add_loop_test(cases[1], a_refused_arena_is_told_once_and_the_next_rule_serves, 0, 2);
    tcase_add_test(cases[1], a_refused_arena_is_asked_for_again);
    tcase_add_test(cases[1], without_another_rule_the_allocation_fails_and_says_why);
    tcase_add_test(cases[1], a_phase_asks_as_seldom);
    return run_suite("registry", cases, LENGTH(cases));
}
