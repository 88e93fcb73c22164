/* What a reload is said to have changed. */
#include "tests/support/reading.h"

static char out[4096];

static const char *difference(const char *before, const char *after)
{
    struct policy *a = reading_policy(before), *b = reading_policy(after);
    policy_diff(a, b, NULL, out, sizeof(out));
    policy_destroy(a);
    policy_destroy(b);
    return out;
}

#define V "sluice: 1\n"

struct change {
    const char *before, *after, *report;
};

static const struct change changes[] = {
    {V, V, ""},
    {V "default: mmap\n", V "default: glibc\n", "default: applies to new allocations"},
    /* fake-drop takes changed parameters into living arenas, fake-small does not. */
    {V "backends: {a: {kind: fake-drop, number: 1}}\n",
     V "backends: {a: {kind: fake-drop, number: 2, flag: on}}\n",
     "backends.a.number: applied\nbackends.a.flag: applied"},
    {V "backends: {a: {kind: fake-small, number: 1}}\n",
     V "backends: {a: {kind: fake-small, number: 2}}\n",
     "backends.a.number: applies to new allocations"},
    {V "backends: {a: {kind: fake-drop}}\n", V "backends: {a: {kind: fake-small}}\n",
     "backends.a.kind: applies to new allocations"},
    {V "backends: {a: {kind: fake-drop, options: {x: 1}}}\n",
     V "backends: {a: {kind: fake-drop, options: {x: 2}}}\n",
     "backends.a.options: applies to new allocations"},
    {V "backends: {a: fake-drop}\n", V "backends: {b: fake-drop}\n",
     "backends.b: applies to new allocations\nbackends.a: applies to new allocations"},
    {V, V "backends: {fake-drop: {kind: fake-drop, number: 2}}\n",
     "backends.fake-drop.number: applied"},
    {V "modules: {m: mmap, \"o.*\": mmap}\n", V "modules: {n: mmap, \"o.*\": glibc}\n",
     "modules.n: applies to new allocations\nmodules.o.*.route: applies to new allocations\n"
     "modules.m: applies to new allocations"},
    {V "modules: {m: {route: [{max_size: 1KiB, to: glibc}, {to: mmap}]}}\n",
     V "modules: {m: {route: [{max_size: 2KiB, to: glibc}, {to: mmap}]}}\n",
     "modules.m.route: applies to new allocations"},
    {V "modules: {m: {limit: {hard: 1MiB, on_hard: fail}}}\n",
     V "modules: {m: {limit: {soft: 1MiB, hard: 2MiB, on_hard: abort}}}\n",
     "modules.m.limit.soft: applied\nmodules.m.limit.hard: applied\n"
     "modules.m.limit.on_hard: applied"},
    {V "modules: {m: {limit: {hard: 1MiB, on_hard: {fallback: mmap}}}}\n",
     V "modules: {m: {limit: {hard: 1MiB, on_hard: {fallback: glibc}}}}\n",
     "modules.m.limit.on_hard: applied"},
    {V "modules: {\"a*\": mmap, \"*b\": mmap}\n", V "modules: {\"*b\": mmap, \"a*\": mmap}\n",
     "modules: applies to new allocations"},
    {V "phases: {p: {modules: [m], backend: fake-drop}}\n",
     V "phases: {p: {modules: [n], backend: pool, track: true, check: poison}, q: {modules: [m], "
       "backend: fake-drop}}\n",
     "phases.p.modules: applies to new allocations\nphases.p.backend: applies to new allocations\n"
     "phases.p.check: applies to new allocations\nphases.p.track: applies to new allocations\n"
     "phases.q: applies to new allocations"},
    {V "phases: {p: {modules: [m], backend: pool, check: poison}}\n",
     V "phases: {p: {modules: [m], backend: pool, check: poison, keep: 5, purge: end}}\n",
     "phases.p.keep: applied\nphases.p.purge: applied"},
    {V "process: {mallopt: {mmap_threshold: 1MiB, arena_max: 2, top_pad: 0}}\n",
     V "process: {mallopt: {mmap_threshold: 2MiB, arena_max: 3}}\n",
     "process.mallopt.mmap_threshold: applied\nprocess.mallopt.arena_max: needs a restart\n"
     "process.mallopt.top_pad: needs a restart"},
    {V "reload: {signal: SIGHUP}\nattribution: auto\n",
     V "reload: {watch: true}\nattribution: [{object: a, module: b}]\n",
     "reload.signal: applied\nreload.watch: applied\nattribution: applied"},
    {V "", V "observe: off\n", "observe: applied"},
    {V "attribution: [auto, {wrappers: [a]}]\n", V "attribution: [auto, {wrappers: [b]}]\n",
     "attribution: applied"},
};

START_TEST(each_change)
{
    ck_assert_str_eq(difference(changes[_i].before, changes[_i].after), changes[_i].report);
}
END_TEST

/* Where something is written is no change, and nor is how. */
START_TEST(other_words_for_the_same)
{
    ck_assert_str_eq(difference(V "default: mmap\nbackends: {a: {kind: fake-drop, size: 64KiB}}\n"
                                  "modules: {m: a}\n",
                                "\n\n" V "modules:\n  m:\n    route: [{to: a}]\nbackends:\n  a:\n"
                                "    kind: fake-drop\n    size: 65536\ndefault: mmap\n"),
                     "");
}
END_TEST

START_TEST(the_first_policy_changes_nothing)
{
    struct policy *policy = reading_policy(V);
    memset(out, 'x', sizeof(out));
    policy_diff(NULL, policy, NULL, out, sizeof(out));
    ck_assert_str_eq(out, "");
    policy_destroy(policy);
}
END_TEST

START_TEST(what_does_not_fit_is_counted)
{
    char yaml[4096];
    struct text text;
    text_init(&text, yaml, sizeof(yaml));
    text_add(&text, V "modules:\n");
    for (int i = 0; i < 100; i++)
        text_add(&text, "  m%d: mmap\n", i);
    struct policy *a = reading_policy(V), *b = reading_policy(yaml);
    policy_diff(a, b, NULL, out, 256);
    ck_assert_uint_lt(strlen(out), 256);
    ck_assert_ptr_nonnull(strstr(out, "modules.m0: applies to new allocations\n"));
    ck_assert_str_eq(strrchr(out, '\n') + 1, "and 95 more");
    policy_diff(a, b, NULL, out, 8);
    ck_assert_str_eq(out, "");
    policy_destroy(a);
    policy_destroy(b);
}
END_TEST

START_TEST(parameters_that_arenas_did_not_take)
{
    struct policy *a = reading_policy("sluice: 1\nbackends: {a: {kind: fake-drop, number: 2}, b: "
                                      "{kind: fake-drop, number: 2}}\n");
    struct policy *b = reading_policy("sluice: 1\nbackends: {a: {kind: fake-drop, number: 3}, b: "
                                      "{kind: fake-drop, number: 3}}\n");
    bool renewed[16] = {false};
    ck_assert_uint_le(b->backend_count, 16);
    renewed[policy_find_backend(b, "b")] = true;
    policy_diff(a, b, renewed, out, sizeof(out));
    ck_assert_str_eq(out, "backends.a.number: applied\n"
                          "backends.b.number: applies to new allocations");
    policy_destroy(a);
    policy_destroy(b);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("diff");
    TCase *tests = tcase_create("diff");
    tcase_add_loop_test(tests, each_change, 0, (int)(sizeof(changes) / sizeof(changes[0])));
    tcase_add_test(tests, other_words_for_the_same);
    tcase_add_test(tests, the_first_policy_changes_nothing);
    tcase_add_test(tests, what_does_not_fit_is_counted);
    tcase_add_test(tests, parameters_that_arenas_did_not_take);
    suite_add_tcase(suite, tests);
    return reading_run(suite);
}
