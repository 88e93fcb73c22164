/* Valid policies: every key of the language, and what becomes of it. */
#include "config/parse.h"

#include <signal.h>

#include "tests/support/reading.h"

static const char whole[] =
    "sluice: 1\n"
    "x-notes: {anything: [goes, here]}\n"
    "default: general\n"
    "backends:\n"
    "  general: {kind: fake-drop, size: 1MiB, time: 10ms, number: 2, flag: yes, choice: blue}\n"
    "  blocks: {kind: fake-small, options: {color: red, empty: , on: 1}}\n"
    "  plain: fake-drop\n"
    "modules:\n"
    "  perception:\n"
    "    route:\n"
    "      - {max_size: 64KiB, to: blocks}\n"
    "      - {to: plain}\n"
    "    limit: {soft: 2GiB, hard: 4GiB, on_soft: trim, on_hard: {fallback: plain}}\n"
    "  planner: general\n"
    "  \"ros.*\": glibc\n"
    "  on: plain\n"
    "  limited: {limit: {hard: 1MiB}}\n"
    "  short: {route: plain}\n"
    "  quoted: {limit: {soft: 1MiB, on_soft: \"fallback: plain\"}}\n"
    "phases:\n"
    "  frame: {modules: [perception, \"ros.*\"], backend: pool, check: poison, keep: 7, purge: end}\n"
    "  stage: {modules: planner, backend: glibc, track: on, check: off}\n"
    "process:\n"
    "  mallopt: {mmap_threshold: 32MiB, arena_max: 2, mmap_max: 65536}\n"
    "reload: {signal: SIGHUP, watch: true}\n"
    "attribution:\n"
    "  - {object: \"libopencv_*.so*\", module: perception}\n"
    "  - {thread: \"planner-*\", module: planner}\n"
    "  - {wrappers: [my_malloc]}\n"
    "  - auto\n"
    "  - {wrappers: [my_strdup, their_malloc]}\n";

static struct policy *policy;

static void setup(void)
{
    policy = reading_policy(whole);
}

static void teardown(void)
{
    policy_destroy(policy);
}

static const struct policy_backend *backend(const char *name)
{
    uint32_t index = policy_find_backend(policy, name);
    ck_assert_msg(index != UINT32_MAX, "%s", name);
    return &policy->backends[index];
}

static const char *name_of(uint32_t index)
{
    ck_assert_uint_lt(index, policy->backend_count);
    return policy->backends[index].name;
}

START_TEST(parameters)
{
    const struct policy_backend *general = backend("general"), *plain = backend("plain");
    ck_assert_str_eq(general->ops->name, "fake-drop");
    ck_assert_uint_eq(general->values[0], 1 << 20);
    ck_assert_uint_eq(general->values[1], 10000000);
    ck_assert_uint_eq(general->values[2], 2);
    ck_assert_uint_eq(general->values[3], 1);
    ck_assert_uint_eq(general->values[4], 2);
    ck_assert_uint_eq(general->mark.line, 5);
    ck_assert_uint_eq(general->mark.column, 3);
    ck_assert_str_eq(general->mark.file, "<string>");
    ck_assert_uint_eq(plain->values[0], 65536);
    ck_assert_uint_eq(plain->values[1], 1000000000);
    ck_assert_uint_eq(plain->values[2], 4);
    ck_assert_uint_eq(plain->values[3], 0);
    ck_assert_uint_eq(plain->values[4], 1);
    ck_assert_str_eq(name_of(policy->default_backend), "general");
    ck_assert_uint_eq(policy->default_mark.line, 3);
}
END_TEST

START_TEST(options)
{
    const struct policy_backend *blocks = backend("blocks");
    ck_assert_uint_eq(blocks->option_count, 3);
    ck_assert_str_eq(blocks->options[0].key, "color");
    ck_assert_str_eq(blocks->options[0].value, "red");
    ck_assert_str_eq(blocks->options[1].value, "");
    ck_assert_str_eq(blocks->options[2].key, "on"); /* names stay names */
    ck_assert_uint_eq(backend("plain")->option_count, 0);
}
END_TEST

START_TEST(bare_kinds_are_backends_too)
{
    ck_assert_uint_eq(backend("fake-small")->mark.line, 0);
    ck_assert_uint_eq(backend("fake-small")->values[0], 65536);
    ck_assert_str_eq(backend("mmap")->ops->name, "mmap");
    for (size_t i = 0; i < policy->backend_count; i++) {
        ck_assert_ptr_nonnull(policy->backends[i].ops);
        ck_assert_uint_eq(policy_find_backend(policy, policy->backends[i].name), i);
    }
}
END_TEST

START_TEST(routes)
{
    const struct policy_module *module = policy_find_module(policy, "perception");
    ck_assert(!module->is_glob);
    ck_assert_uint_eq(module->rule_count, 2);
    ck_assert_uint_eq(module->rules[0].max_size, 65536);
    ck_assert_str_eq(name_of(module->rules[0].backend), "blocks");
    ck_assert_uint_eq(module->rules[0].mark.line, 11);
    ck_assert_uint_eq(module->rules[0].mark.column, 9);
    ck_assert_uint_eq(module->rules[1].max_size, POLICY_ANY_SIZE);
    ck_assert_str_eq(name_of(module->rules[1].backend), "plain");

    module = policy_find_module(policy, "planner");
    ck_assert_uint_eq(module->rule_count, 1);
    ck_assert_str_eq(name_of(module->rules[0].backend), "general");
    ck_assert_str_eq(name_of(policy_find_module(policy, "short")->rules[0].backend), "plain");
    ck_assert_str_eq(name_of(policy_find_module(policy, "on")->rules[0].backend), "plain");
    /* A limit alone leaves the module with the default. */
    ck_assert_str_eq(name_of(policy_find_module(policy, "limited")->rules[0].backend), "general");

    module = policy_find_module(policy, "ros.nav");
    ck_assert(module->is_glob);
    ck_assert_str_eq(module->pattern, "ros.*");
    ck_assert_ptr_null(policy_find_module(policy, "nobody"));
}
END_TEST

START_TEST(limits)
{
    const struct policy_limit *limit = &policy_find_module(policy, "perception")->limit;
    ck_assert_uint_eq(limit->soft, UINT64_C(2) << 30);
    ck_assert_uint_eq(limit->hard, UINT64_C(4) << 30);
    ck_assert_int_eq(limit->on_soft, POLICY_ACTION_TRIM);
    ck_assert_int_eq(limit->on_hard, POLICY_ACTION_FALLBACK);
    ck_assert_str_eq(name_of(limit->hard_fallback), "plain");
    limit = &policy_find_module(policy, "limited")->limit;
    ck_assert_uint_eq(limit->soft, 0);
    ck_assert_int_eq(limit->on_soft, POLICY_ACTION_NOTIFY);
    ck_assert_int_eq(limit->on_hard, POLICY_ACTION_FAIL);
    limit = &policy_find_module(policy, "quoted")->limit;
    ck_assert_int_eq(limit->on_soft, POLICY_ACTION_FALLBACK);
    ck_assert_str_eq(name_of(limit->soft_fallback), "plain");
    ck_assert_uint_eq(policy_find_module(policy, "planner")->limit.hard, 0);
}
END_TEST

START_TEST(phases)
{
    ck_assert_uint_eq(policy->phase_count, 2);
    const struct policy_phase *frame = &policy->phases[0], *stage = &policy->phases[1];
    ck_assert_str_eq(frame->name, "frame");
    ck_assert_uint_eq(frame->module_count, 2);
    ck_assert_str_eq(frame->modules[1], "ros.*");
    ck_assert_str_eq(name_of(frame->backend), "pool");
    ck_assert_int_eq(frame->check, POLICY_CHECK_POISON);
    ck_assert_uint_eq(frame->keep, 7);
    ck_assert(frame->purge_at_end);
    ck_assert(!frame->track);
    ck_assert_uint_eq(stage->module_count, 1);
    ck_assert_int_eq(stage->check, POLICY_CHECK_OFF);
    ck_assert_uint_eq(stage->keep, 4);
    ck_assert(!stage->purge_at_end);
    ck_assert(stage->track);
}
END_TEST

START_TEST(process_and_reload)
{
    const struct policy_process *process = &policy->process;
    ck_assert_uint_eq(process->mallopt_present, 1u << POLICY_MALLOPT_MMAP_THRESHOLD |
                                                    1u << POLICY_MALLOPT_ARENA_MAX |
                                                    1u << POLICY_MALLOPT_MMAP_MAX);
    ck_assert_uint_eq(process->mallopt[POLICY_MALLOPT_MMAP_THRESHOLD], 32 << 20);
    ck_assert_uint_eq(process->mallopt[POLICY_MALLOPT_ARENA_MAX], 2);
    ck_assert_uint_eq(process->mallopt[POLICY_MALLOPT_MMAP_MAX], 65536);
    ck_assert_int_eq(policy->reload.signal, SIGHUP);
    ck_assert(policy->reload.watch);
    ck_assert_ptr_null(policy->path);
    ck_assert_uint_eq(policy->file_count, 0);
}
END_TEST

START_TEST(attribution)
{
    ck_assert(policy->attribution_auto);
    ck_assert_uint_eq(policy->attribution_count, 2);
    ck_assert_int_eq(policy->attribution[0].by, POLICY_BY_OBJECT);
    ck_assert_str_eq(policy->attribution[0].pattern, "libopencv_*.so*");
    ck_assert_str_eq(policy->attribution[0].module, "perception");
    ck_assert_int_eq(policy->attribution[1].by, POLICY_BY_THREAD);
    ck_assert_uint_eq(policy->attribution_wrapper_count, 3);
    ck_assert_str_eq(policy->attribution_wrappers[0], "my_malloc");
    ck_assert_str_eq(policy->attribution_wrappers[2], "their_malloc");
}
END_TEST

/* ---- Single questions ------------------------------------------------------------------------ */

static void read_again(const char *yaml)
{
    policy_destroy(policy);
    policy = reading_policy(yaml);
}

START_TEST(the_least_policy)
{
    read_again("sluice: 1\n");
    ck_assert_str_eq(name_of(policy->default_backend), "pool");
    ck_assert_uint_eq(policy->default_mark.line, 0);
    ck_assert_uint_eq(policy->module_count, 0);
    ck_assert_int_eq(policy->reload.signal, 0);
    ck_assert(!policy->reload.watch);
    ck_assert(policy->observe);
    ck_assert_uint_eq(policy->process.mallopt_present, 0);
    read_again("sluice: 1\nobserve: off\n");
    ck_assert(!policy->observe);
    read_again(
        "sluice: 1\nbackends:\nmodules:\nphases:\nprocess:\nreload:\nattribution:\ninclude:\n");
    ck_assert_uint_eq(policy->module_count, 0);
    read_again("sluice: 1\nattribution: auto\n");
    ck_assert(policy->attribution_auto);
}
END_TEST

/* A route must end: behind a backend with a largest size stands the default, or mmap. */
START_TEST(a_bounded_last_backend_gets_somebody_behind_it)
{
    read_again("sluice: 1\ndefault: fake-drop\nmodules: {m: fake-small}\n");
    const struct policy_module *module = policy_find_module(policy, "m");
    ck_assert_uint_eq(module->rule_count, 2);
    ck_assert_str_eq(name_of(module->rules[0].backend), "fake-small");
    ck_assert_str_eq(name_of(module->rules[1].backend), "fake-drop");
    ck_assert_uint_eq(module->rules[1].max_size, POLICY_ANY_SIZE);
    ck_assert_uint_eq(module->rules[1].mark.line, module->rules[0].mark.line);
    ck_assert_uint_eq(module->rules[1].mark.column, module->rules[0].mark.column);

    read_again("sluice: 1\ndefault: fake-small\nmodules:\n  m: {route: [{max_size: 1KiB, to: "
               "fake-drop}, {to: fake-small}]}\n");
    module = policy_find_module(policy, "m");
    ck_assert_uint_eq(module->rule_count, 3);
    ck_assert_str_eq(name_of(module->rules[2].backend), "mmap");
    ck_assert_str_eq(name_of(policy_unbounded_backend(policy)), "mmap");
}
END_TEST

START_TEST(first_fitting_pattern)
{
    read_again("sluice: 1\nmodules: {\"ros.*\": mmap, \"*.nav\": glibc, ros.nav: fake-drop}\n");
    ck_assert_str_eq(policy_find_module(policy, "ros.nav")->pattern, "ros.nav");
    ck_assert_str_eq(policy_find_module(policy, "ros.map")->pattern, "ros.*");
    ck_assert_str_eq(policy_find_module(policy, "x.nav")->pattern, "*.nav");
    read_again("sluice: 1\nmodules: {\"*.nav\": glibc, \"ros.*\": mmap}\n");
    ck_assert_str_eq(policy_find_module(policy, "ros.nav")->pattern, "*.nav");
}
END_TEST

START_TEST(signals)
{
    static const struct {
        const char *yaml;
        int signal;
    } cases[] = {
        {"sluice: 1\nreload: {signal: HUP}\n", SIGHUP},
        {"sluice: 1\nreload: {signal: sigusr1}\n", SIGUSR1},
        {"sluice: 1\nreload: {signal: SIGUSR2}\n", SIGUSR2},
        {"sluice: 1\nreload: {signal: none}\n", 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        read_again(cases[i].yaml);
        ck_assert_int_eq(policy->reload.signal, cases[i].signal);
    }
    read_again("sluice: 1\nreload: {signal: SIGRTMIN+3}\n");
    ck_assert_int_eq(policy->reload.signal, SIGRTMIN + 3);
}
END_TEST

START_TEST(anchors_and_merges)
{
    read_again("sluice: 1\nx-base: &base {kind: fake-drop, size: 2MiB, number: 3}\n"
               "backends:\n  a: {<<: *base, number: 5}\n  b: *base\n"
               "modules:\n  m: {route: &r [{to: a}]}\n  n: {route: *r}\n");
    ck_assert_uint_eq(backend("a")->values[0], 2 << 20);
    ck_assert_uint_eq(backend("a")->values[2], 5);
    ck_assert_uint_eq(backend("b")->values[2], 3);
    ck_assert_str_eq(name_of(policy_find_module(policy, "n")->rules[0].backend), "a");
}
END_TEST

START_TEST(an_own_backend_may_take_a_kinds_name)
{
    read_again("sluice: 1\nbackends: {fake-drop: {kind: fake-drop, number: 7}}\n"
               "default: fake-drop\n");
    ck_assert_uint_eq(policy->backends[policy->default_backend].values[2], 7);
}
END_TEST

START_TEST(a_large_policy)
{
    static char yaml[1 << 20];
    struct text text;
    text_init(&text, yaml, sizeof(yaml));
    text_add(&text, "sluice: 1\nmodules:\n");
    for (int i = 0; i < 16000; i++)
        text_add(&text, "  module-%d: {route: [{to: mmap}]}\n", i);
    ck_assert(!text.cut);
    read_again(yaml);
    ck_assert_uint_eq(policy->module_count, 16000);
    ck_assert_str_eq(policy_find_module(policy, "module-15999")->pattern, "module-15999");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("parse");
    TCase *tests = tcase_create("parse");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, parameters);
    tcase_add_test(tests, options);
    tcase_add_test(tests, bare_kinds_are_backends_too);
    tcase_add_test(tests, routes);
    tcase_add_test(tests, limits);
    tcase_add_test(tests, phases);
    tcase_add_test(tests, process_and_reload);
    tcase_add_test(tests, attribution);
    tcase_add_test(tests, the_least_policy);
    tcase_add_test(tests, a_bounded_last_backend_gets_somebody_behind_it);
    tcase_add_test(tests, first_fitting_pattern);
    tcase_add_test(tests, signals);
    tcase_add_test(tests, anchors_and_merges);
    tcase_add_test(tests, an_own_backend_may_take_a_kinds_name);
    tcase_add_test(tests, a_large_policy);
    suite_add_tcase(suite, tests);
    return reading_run(suite);
}
