/* What people get wrong, and the exact words that they are told. One table: a policy and what
 * the reader says of it, warnings included. Lines and columns are those of the text as written
 * here. */
#include "tests/support/reading.h"

#define V "sluice: 1\n"
#define B "sluice: 1\nbackends: {a: {kind: fake-drop}, s: {kind: fake-small}}\n"

struct mistake {
    const char *policy, *report;
};

static const struct mistake top_level[] = {
    {"default: mmap\n", "1:1: error: missing key \"sluice\": a policy begins with \"sluice: 1\", "
                        "the version of its language"},
    {"sluice: 2\n", "1:9: error: sluice: version \"2\" of the language is not known; this is "
                    "Sluice " SLUICE_VERSION ", which reads version 1"},
    {"sluice: [1]\n", "1:9: error: sluice: expected the version of the language, 1, found a list"},
    {"- sluice: 1\n", "1:1: error: a policy is a map of keys such as \"sluice: 1\", found a list"},
    {V "modlues: {}\n",
     "2:1: error: unknown key \"modlues\" in the policy; did you mean \"modules\"?"},
    {V "zebra: 1\n",
     "2:1: error: unknown key \"zebra\" in the policy; known keys: sluice, default, "
     "backends, modules, phases, process, reload, observe, attribution and include"},
    {V "default: mmpa\n", "2:10: error: default: unknown backend \"mmpa\"; did you mean \"mmap\"?"},
    {V "default:\n", "2:9: error: default: expected the name of a backend, found nothing"},
    {V "modules: [a]\n",
     "2:10: error: modules: expected a map such as {planner: pool}, found a list"},
    {V "backends: pool\n",
     "2:11: error: backends: expected a map such as {blocks: {kind: pool}}, found \"pool\""},
    {V "default: mmap\ndefault: mmap\n",
     "3:1: error: duplicate key \"default\": it stands in line 2 already"},
};

static const struct mistake backends[] = {
    {V "backends: {a: {retain: 1MiB}}\n",
     "2:15: error: backend \"a\": missing key \"kind\", such as {kind: pool}"},
    {V "backends: {a: [pool]}\n",
     "2:15: error: backend \"a\": expected a map such as {kind: pool}, found a list"},
    {V "backends: {a: {kind: [pool]}}\n",
     "2:22: error: backend \"a\": expected a kind, found a list"},
    {V "backends: {a: {kind: fake-drop, tmie: 1s}}\n",
     "2:33: error: unknown key \"tmie\" in backend \"a\" (fake-drop); did you mean \"time\"?"},
    {V "backends: {a: {kind: fake-drop, zebra: 1s}}\n",
     "2:33: error: unknown key \"zebra\" in backend \"a\" (fake-drop); known keys: kind, options, "
     "size, time, number, flag and choice"},
    {V "backends: {a: {kind: fake-drop, size: 64K}}\n",
     "2:39: error: size: unknown unit \"K\"; did you mean \"64KiB\"?"},
    {V "backends: {a: {kind: fake-drop, size: 64 apples}}\n",
     "2:39: error: size: unknown unit \"apples\"; sizes are written with B, KiB, MiB, GiB, TiB, "
     "kB, MB, GB or TB"},
    {V "backends: {a: {kind: fake-drop, size: big}}\n",
     "2:39: error: size: expected a size such as 4096, 64KiB or 2MiB, found \"big\""},
    {V "backends: {a: {kind: fake-drop, size: }}\n",
     "2:39: error: size: expected a size such as 4096, 64KiB or 2MiB, found nothing"},
    {V "backends: {a: {kind: fake-drop, size: {b: c}}}\n",
     "2:39: error: size: expected a size such as 4096, 64KiB or 2MiB, found a map"},
    {V "backends: {a: {kind: fake-drop, size: 2GiB}}\n",
     "2:39: error: size: 2GiB is out of range, which is 1KiB to 1GiB"},
    {V "backends: {a: {kind: fake-drop, size: 1}}\n",
     "2:39: error: size: 1 is out of range, which is 1KiB to 1GiB"},
    {V "backends: {a: {kind: fake-drop, size: -1}}\n",
     "2:39: error: size: expected a size such as 4096, 64KiB or 2MiB, found the negative \"-1\""},
    {V "backends: {a: {kind: fake-drop, size: 99999999999TiB}}\n",
     "2:39: error: size: \"99999999999TiB\" is too large: it does not fit in 64 bits"},
    {V "backends: {a: {kind: fake-drop, size: 2000.5}}\n",
     "2:39: error: size: expected whole bytes, found the fraction \"2000.5\""},
    {V "backends: {a: {kind: fake-drop, size: 02000}}\n",
     "2:39: error: size: \"02000\" could be read as octal; write it without the leading zero"},
    {V "backends: {a: {kind: fake-drop, time: 10}}\n",
     "2:39: error: time: \"10\" has no unit; did you mean \"10s\"? Durations are written with ns, "
     "us, ms, s, m or h"},
    {V "backends: {a: {kind: fake-drop, time: 10sec}}\n",
     "2:39: error: time: unknown unit \"sec\"; did you mean \"10s\"?"},
    {V "backends: {a: {kind: fake-drop, time: 10KiB}}\n",
     "2:39: error: time: unknown unit \"KiB\"; durations are written with ns, us, ms, s, m or h"},
    {V "backends: {a: {kind: fake-drop, time: 2h}}\n",
     "2:39: error: time: 2h is out of range, which is 0s to 1h"},
    {V "backends: {a: {kind: fake-drop, number: 2.5}}\n",
     "2:41: error: number: expected a whole number, found the fraction \"2.5\""},
    {V "backends: {a: {kind: fake-drop, number: 17}}\n",
     "2:41: error: number: 17 is out of range, which is 1 to 16"},
    {V "backends: {a: {kind: fake-drop, flag: maybe}}\n",
     "2:39: error: flag: expected true or false, found \"maybe\""},
    {V "backends: {a: {kind: fake-drop, flag: \"true\"}}\n",
     "2:39: error: flag: expected true or false, found \"true\""},
    {V "backends: {a: {kind: fake-drop, choice: gren}}\n",
     "2:41: error: choice: expected red, green or blue, found \"gren\"; did you mean \"green\"?"},
    {V "backends: {a: {kind: fake-drop, choice: [red]}}\n",
     "2:41: error: choice: expected red, green or blue, found a list"},
    {V "backends: {a: {kind: plugin}}\n", "2:15: error: backend \"a\": kind plugin needs the key "
                                          "\"library\": the plugin's file"},
    {V "backends: {a: {kind: plugin, library: [x]}}\n",
     "2:39: error: library: expected the plugin's file, found a list"},
    {V "backends: {a: {kind: fake-drop, library: x}}\n",
     "2:33: error: unknown key \"library\" in backend \"a\" (fake-drop); known keys: kind, options, "
     "size, time, number, flag and choice"},
    {V "backends: {a: {kind: fake-drop, options: [x]}}\n",
     "2:42: error: options: expected a map such as {key: value}, found a list"},
    {V "backends: {a: {kind: fake-drop, options: {x: [y]}}}\n",
     "2:46: error: options: \"x\": expected one value, found a list"},
    {V "backends: {\"a=b\": {kind: fake-drop}}\n",
     "2:12: error: a backend's name is 1 to 63 letters, digits or any of _ - . , found \"a=b\""},
    {V "backends: {glibc: {kind: fake-drop}}\n",
     "2:12: warning: the backend \"glibc\" is of kind fake-drop, and hides the kind of its own "
     "name"},
    /* One mistake is told once, not again wherever the backend is used. */
    {V "backends: {a: {kind: fake-drop, flag: 7}}\ndefault: a\nmodules: {m: a}\n",
     "2:39: error: flag: expected true or false, found \"7\""},
};

static const struct mistake modules[] = {
    {B "modules: {m: aa}\n",
     "3:14: error: module \"m\": unknown backend \"aa\"; did you mean \"a\"?"},
    {B "modules: {m: [a]}\n",
     "3:14: error: module \"m\": expected the name of a backend or a map such as {route: "
     "[{max_size: 64KiB, to: pool}, {to: mmap}]}, found a list"},
    {B "modules: {m: }\n",
     "3:14: error: module \"m\": expected the name of a backend or a map such as {route: "
     "[{max_size: 64KiB, to: pool}, {to: mmap}]}, found nothing"},
    {B "modules: {m: {rout: a}}\n",
     "3:15: error: unknown key \"rout\" in a module; did you mean \"route\"?"},
    {B "modules: {m: {route: {to: a}}}\n",
     "3:22: error: route: expected a list such as [{max_size: 64KiB, to: pool}, {to: mmap}], found "
     "a map"},
    {B "modules: {m: {route: []}}\n", "3:22: error: route: expected 1 to 64 rules, found 0"},
    {B "modules: {m: {route: [a]}}\n",
     "3:23: error: a rule of a route: expected a map such as {max_size: 64KiB, to: pool}, found "
     "\"a\""},
    {B "modules: {m: {route: [{max_size: 1KiB}, {to: a}]}}\n",
     "3:23: error: a rule without \"to\": which backend takes these sizes?"},
    {B "modules: {m: {route: [{size: 1KiB, to: a}]}}\n",
     "3:24: error: unknown key \"size\" in a rule; known keys: max_size and to"},
    {B "modules: {m: {route: [{to: b}]}}\n",
     "3:28: error: to: unknown backend \"b\"; did you mean \"a\"?"},
    {B "modules: {m: {route: [{max_size: 0, to: a}, {to: a}]}}\n",
     "3:34: error: max_size: 0 is too small; the least is 1"},
    {B "modules: {m: {route: [{max_size: 1KiB, to: a}]}}\n",
     "3:23: error: the last rule of a route takes every size: leave its max_size out, or add a "
     "rule such as {to: mmap}"},
    {B "modules:\n  m:\n    route:\n      - {to: a}\n      - {to: mmap}\n",
     "7:9: warning: this rule is never used: the rule in line 6 takes every size"},
    {B "modules:\n  m:\n    route:\n      - {max_size: 2KiB, to: a}\n"
       "      - {max_size: 1KiB, to: mmap}\n      - {to: a}\n",
     "7:9: warning: this rule is never used: the rule in line 6 takes every size up to 2KiB"},
    {B "modules:\n  m:\n    route:\n      - {max_size: 1MiB, to: s}\n      - {to: a}\n",
     "6:20: warning: max_size: \"s\" (fake-small) serves up to 64KiB only; larger sizes go to the "
     "next rule"},
    {B "modules:\n  m:\n    route:\n      - {to: s}\n      - {max_size: 64KiB, to: a}\n"
       "      - {to: a}\n",
     "7:9: warning: this rule is never used: the rule in line 6 takes every size up to 64KiB"},
    {B "modules:\n  \"*\": a\n  \"ros.*\": a\n",
     "5:3: warning: \"ros.*\" is never used: every name that it fits meets \"*\" first, in line 4"},
    {B "modules:\n  \"ros.*\": a\n  \"ros.na?\": a\n  \"rosa*\": a\n",
     "5:3: warning: \"ros.na?\" is never used: every name that it fits meets \"ros.*\" first, in "
     "line 4"},
    {B "modules: {\"\": a}\n",
     "3:11: error: modules: expected a module's name or pattern of 1 to 255 bytes, found 0 bytes"},
    {B "modules: {\"a\\nb\": a}\n",
     "3:11: error: modules: a control character in a module's name or pattern"},
    {B "modules: {m: a, m: s}\n", "3:17: error: duplicate key \"m\": it stands in line 3 already"},
};

static const struct mistake limits[] = {
    {B "modules: {m: {limit: {soft: 2GiB, hard: 1GiB}}}\n",
     "3:29: error: soft: 2GiB is above the hard limit, 1GiB: it would never be reached"},
    {B "modules: {m: {limit: 1GiB}}\n",
     "3:22: error: limit: expected a map such as {soft: 1GiB, hard: 2GiB}, found \"1GiB\""},
    {B "modules: {m: {limit: {hard: 0}}}\n",
     "3:29: error: hard: a limit of 0 would refuse everything; leave the key out for no limit"},
    {B "modules: {m: {limit: {hrad: 1GiB}}}\n",
     "3:22: warning: this limit has neither soft nor hard: no effect\n"
     "<string>:3:23: error: unknown key \"hrad\" in a limit; did you mean \"hard\"?"},
    {B "modules: {m: {limit: {hard: 1GiB, on_hard: stop}}}\n",
     "3:44: error: on_hard: expected trim, notify, {fallback: NAME}, fail or abort, found "
     "\"stop\""},
    {B "modules: {m: {limit: {hard: 1GiB, on_hard: aborr}}}\n",
     "3:44: error: on_hard: expected trim, notify, {fallback: NAME}, fail or abort, found "
     "\"aborr\"; did you mean \"abort\"?"},
    {B "modules: {m: {limit: {hard: 1GiB, on_hard: fallback}}}\n",
     "3:44: error: on_hard: fall back to which backend? Write {fallback: NAME}"},
    {B "modules: {m: {limit: {hard: 1GiB, on_hard: {}}}}\n",
     "3:44: error: on_hard: expected {fallback: NAME}"},
    {B "modules: {m: {limit: {hard: 1GiB, on_hard: {fall: a}}}}\n",
     "3:45: error: unknown key \"fall\" in an action; known keys: fallback"},
    {B "modules: {m: {limit: {hard: 1GiB, on_hard: {fallback: b}}}}\n",
     "3:55: error: on_hard: unknown backend \"b\"; did you mean \"a\"?"},
    {B "modules: {m: {limit: {hard: 1GiB, on_hard: [trim]}}}\n",
     "3:44: error: on_hard: expected trim, notify, {fallback: NAME}, fail or abort, found a list"},
    {B "modules: {m: {limit: {hard: 1GiB, on_hard: {fallback: s}}}}\n",
     "3:55: warning: on_hard: \"s\" serves up to 64KiB only: beyond the limit, larger objects "
     "fail"},
    {B "modules: {m: {limit: {hard: 1GiB, on_soft: trim}}}\n",
     "3:44: warning: on_soft has no effect without soft"},
};

static const struct mistake phases[] = {
    {B "phases: [frame]\n",
     "3:9: error: phases: expected a map such as {frame: {modules: [perception], ...}}, found a "
     "list"},
    {B "phases: {f: a}\n",
     "3:13: error: phase \"f\": expected a map such as {modules: [perception], backend: scratch}, "
     "found \"a\""},
    {B "phases: {f: {modules: [m]}}\n",
     "3:13: error: phase \"f\": missing key \"backend\", such as backend: region"},
    {B "phases: {f: {backend: a}}\n",
     "3:13: error: phase \"f\": missing key \"modules\", such as [perception]"},
    {B "phases: {f: {modules: [], backend: a}}\n",
     "3:23: error: modules: an empty list: whose objects live in this phase?"},
    {B "phases: {f: {modules: {m: 1}, backend: a}}\n",
     "3:23: error: modules: expected a list such as [perception, \"ros.*\"], found a map"},
    {B "phases: {f: {modules: [m], backend: a, chekc: off}}\n",
     "3:40: error: unknown key \"chekc\" in phase \"f\"; did you mean \"check\"?"},
    {B "phases: {f: {modules: [m], backend: a, check: on}}\n",
     "3:47: error: check: expected off, poison or protect, found \"on\""},
    {B "phases: {f: {modules: [m], backend: pool, check: poison, keep: 0}}\n",
     "3:64: error: keep: 0 is out of range, which is 1 to 64"},
    {B "phases: {f: {modules: [m], backend: pool, purge: never}}\n",
     "3:50: error: purge: expected later or end, found \"never\""},
    {B "phases: {f: {modules: [m], backend: a, track: sometimes}}\n",
     "3:47: error: track: expected true or false, found \"sometimes\""},
};

static const struct mistake process[] = {
    {V "process: {malopt: {}}\n",
     "2:11: error: unknown key \"malopt\" in process; did you mean \"mallopt\"?"},
    {V "process: {mallopt: {mmap_treshold: 1MiB}}\n",
     "2:21: error: unknown key \"mmap_treshold\" in mallopt; did you mean \"mmap_threshold\"?"},
    {V "process: {mallopt: {mmap_threshold: 64MiB}}\n",
     "2:37: error: mmap_threshold: 64MiB is out of range, which is 0 to 32MiB"},
    {V "process: {mallopt: {arena_max: 2MiB}}\n",
     "2:32: error: arena_max: expected a whole number, found \"2MiB\""},
    {V "process: {mallopt: {arena_max: 0}}\n",
     "2:32: error: arena_max: 0 is out of range, which is 1 to 65536"},
    {V "process: 1\n",
     "2:10: error: process: expected a map such as {mallopt: {arena_max: 2}}, found \"1\""},
    {V "reload: {signal: SIGHPU}\n",
     "2:18: error: signal: unknown signal \"SIGHPU\"; did you mean \"SIGHUP\"? Use SIGHUP, "
     "SIGUSR1, SIGUSR2 or none"},
    {V "reload: {signal: SIGKILL}\n",
     "2:18: error: signal: SIGKILL has a meaning of its own that programs rely on; use SIGHUP, "
     "SIGUSR1, SIGUSR2 or none"},
    {V "reload: {signal: 1}\n",
     "2:18: error: signal: unknown signal \"1\". Use SIGHUP, SIGUSR1, SIGUSR2 or none"},
    {V "reload: {signal: [SIGHUP]}\n",
     "2:18: error: signal: expected the name of a signal, such as SIGHUP, or none, found a list"},
    {V "reload: {wacth: true}\n",
     "2:10: error: unknown key \"wacth\" in reload; did you mean \"watch\"?"},
    {V "observe: 1\n", "2:10: error: observe: expected true or false, found \"1\""},
    {V "reload: {watch: 1}\n", "2:17: error: watch: expected true or false, found \"1\""},
};

static const struct mistake attribution[] = {
    {V "attribution: automatic\n",
     "2:14: error: attribution: expected auto or a list such as [{object: \"libfoo*.so*\", module: "
     "foo}], found \"automatic\""},
    {V "attribution: [libfoo]\n",
     "2:15: error: attribution: expected a map such as {object: \"libfoo*.so*\", module: foo}, "
     "found \"libfoo\""},
    {V "attribution: [{module: m}]\n",
     "2:15: error: attribution: write either \"object\" or \"thread\": whose allocations?"},
    {V "attribution: [{object: a, thread: b, module: m}]\n",
     "2:15: error: attribution: write either \"object\" or \"thread\", not both"},
    {V "attribution: [{object: a}]\n",
     "2:15: error: attribution: missing key \"module\": whom shall it count for?"},
    {V "attribution: [{object: a, modul: m}]\n",
     "2:15: error: attribution: missing key \"module\": whom shall it count for?\n"
     "<string>:2:27: error: unknown key \"modul\" in attribution; did you mean \"module\"?"},
    {V "attribution: [{wrappers: [a], module: m}]\n",
     "2:15: error: attribution: \"wrappers\" stands in an entry of its own"},
    {V "attribution: [{wrappers: my_malloc}]\n",
     "2:26: error: wrappers: expected a list such as [my_malloc, my_strdup], found \"my_malloc\""},
    {V "attribution: [{wrappers: [[a]]}]\n",
     "2:27: error: wrappers: expected a function's name, found a list"},
    {V "attribution: [{object: [a], module: m}]\n",
     "2:24: error: object: expected a pattern, found a list"},
    {V "attribution:\n  - {thread: a, module: m}\n  - {thread: a, module: n}\n",
     "4:5: warning: this entry is never used: \"a\" in line 3 takes its threads first"},
    {V "attribution:\n  - {object: \"*\", module: m}\n  - {thread: a, module: n}\n"
       "  - {object: b, module: n}\n",
     "5:5: warning: this entry is never used: \"*\" in line 3 takes its objects first"},
};

static const struct mistake includes[] = {
    {V "include: [[a]]\n", "2:11: error: include: expected the name of a file, found a list"},
    {V "include: [./no/such.yaml]\n",
     "2:11: error: cannot read the included file: <string> -> ./no/such.yaml: No such file or "
     "directory"},
    {V "include: {a: b}\n", "2:10: error: include: expected the name of a file, found a map"},
};

#define TABLE(table)                                            \
    START_TEST(table##_table)                                   \
    {                                                           \
        reading_expect((table)[_i].policy, (table)[_i].report); \
    }                                                           \
    END_TEST
TABLE(top_level)
TABLE(backends)
TABLE(modules)
TABLE(limits)
TABLE(phases)
TABLE(process)
TABLE(attribution)
TABLE(includes)

/* What depends on which kinds exist beside those of the test. */
static void expect_start(const char *policy, const char *start)
{
    const char *report = reading_report(policy);
    ck_assert_msg(strncmp(report, start, strlen(start)) == 0, "expected\n%s...\nfound\n%s", start,
                  report);
}

START_TEST(kinds_are_listed)
{
    expect_start(V "backends: {a: {kind: jemaloc}}\n",
                 "<string>:2:22: error: backend \"a\": unknown kind \"jemaloc\"; did you mean "
                 "\"jemalloc\"? Known kinds: pool, region, mmap, glibc, jemalloc, ");
    expect_start(V "backends: {a: zebra}\n",
                 "<string>:2:15: error: backend \"a\": unknown kind \"zebra\". Known kinds: ");
    ck_assert_ptr_nonnull(strstr(reading_report(V "backends: {a: zebra}\n"), "fake-drop, "));
}
END_TEST

START_TEST(backends_are_listed)
{
    expect_start(
        B "modules: {m: zebra}\n",
        "<string>:3:14: error: module \"m\": unknown backend \"zebra\"; known backends: a, s, ");
}
END_TEST

START_TEST(parameters_of_built_in_kinds)
{
    expect_start(
        V "backends: {a: {kind: glibc, retain: 1MiB}}\n",
        "<string>:2:29: error: unknown key \"retain\" in backend \"a\" (glibc); known keys: "
        "kind");
    expect_start(V "backends: {a: {kind: pool, options: {x: 1}}}\n",
                 "<string>:2:28: error: unknown key \"options\" in backend \"a\" (pool); ");
}
END_TEST

START_TEST(plugins_that_cannot_be_loaded)
{
    expect_start(V "backends: {a: {kind: plugin, library: /no/such/lib.so}}\n",
                 "<string>:2:39: error: backend \"a\": cannot load the plugin: ");
}
END_TEST

START_TEST(phases_need_what_can_drop_everything)
{
    expect_start(
        B "phases: {f: {modules: [m], backend: s}}\n",
        "<string>:3:37: error: phase \"f\": backend \"s\" (fake-small) cannot drop all its "
        "objects at once; write \"track: true\" to have them tracked one by one; these "
        "can: a, ");
    ck_assert_str_eq(reading_report(B "phases: {f: {modules: [m], backend: s, track: true}}\n"),
                     "");
}
END_TEST

START_TEST(checks_need_memory_of_the_instances_own)
{
    expect_start(B "phases: {f: {modules: [m], check: protect, backend: glibc, track: true}}\n",
                 "<string>:3:35: error: check: protect: backend \"glibc\" (glibc) takes its memory "
                 "from elsewhere, so that it cannot be kept back after the end; these can: pool, "
                 "region, mmap, jemalloc");
    static const char *const able[] = {"pool", "region", "mmap", "jemalloc"};
    for (size_t i = 0; i < sizeof(able) / sizeof(*able); i++) {
        char policy[256];
        snprintf(policy, sizeof(policy),
                 B "phases: {f: {modules: [m], backend: %s, check: protect}}\n", able[i]);
        ck_assert_str_eq(reading_report(policy), "");
    }
    ck_assert_str_eq(
        reading_report(B "phases: {f: {modules: [m], backend: pool, keep: 3}}\n"),
        "<string>:3:49: warning: keep: has no effect without \"check: poison\" or \"check: "
        "protect\"");
}
END_TEST

START_TEST(regions_belong_in_phases)
{
#define GROWS(where, name)                                                                         \
    "warning: " where ": \"" name "\" (region) frees objects only when their phase ends; outside " \
    "of a phase memory only grows: name it as the backend of a phase, and another one here"
    ck_assert_str_eq(reading_report(V "default: region\n"),
                     "<string>:2:10: " GROWS("default", "region"));
    ck_assert_str_eq(
        reading_report(V "backends: {r: region}\nmodules: {m: r, n: {route: [{max_size: 1KiB, to: "
                         "r}, {to: mmap}]}, o: {limit: {hard: 1MiB, on_hard: {fallback: r}}}}\n"),
        "<string>:3:14: " GROWS("module \"m\"", "r") "\n<string>:3:50: " GROWS(
            "to", "r") "\n<string>:3:112: " GROWS("on_hard", "r"));
    ck_assert_str_eq(
        reading_report(V "backends: {r: region}\nphases: {f: {modules: [m], backend: r}}\n"), "");
}
END_TEST

START_TEST(all_mistakes_are_told_at_once_in_order)
{
    reading_expect("sluice: 1\nmodules: {m: {limit: {hard: x}}, n: {rout: mmap}}\nbackends: {a: "
                   "{kind: fake-drop, flag: 3}}\nreload: {watch: 2}\n",
                   "2:29: error: hard: expected a size such as 4096, 64KiB or 2MiB, found \"x\"\n"
                   "<string>:2:38: error: unknown key \"rout\" in a module; did you mean "
                   "\"route\"?\n"
                   "<string>:3:39: error: flag: expected true or false, found \"3\"\n"
                   "<string>:4:17: error: watch: expected true or false, found \"2\"");
}
END_TEST

START_TEST(a_mistake_behind_an_anchor_is_told_once)
{
    reading_expect(B "modules: {m: &m {limit: {hard: x}}, n: *m, o: *m}\n",
                   "3:32: error: hard: expected a size such as 4096, 64KiB or 2MiB, found \"x\"");
}
END_TEST

START_TEST(after_twenty_mistakes_the_rest_is_counted)
{
    char policy[2048];
    struct text text;
    text_init(&text, policy, sizeof(policy));
    text_add(&text, V);
    for (int i = 0; i < 33; i++)
        text_add(&text, "zebra-%d: 1\n", i);
    const char *report = reading_report(policy);
    ck_assert_ptr_nonnull(strstr(report, "<string>:21:1: error: "));
    ck_assert_ptr_null(strstr(report, "<string>:22:1: error: "));
    ck_assert_ptr_nonnull(strstr(report, "\nand 13 more errors"));
}
END_TEST

START_TEST(counts_are_bounded)
{
    struct reader_limits small = reader_default_limits;
    small.backends = small.modules = small.rules = small.phases = small.attribution = 1;
    static const char *const cases[][2] = {
        {V "backends: {a: mmap, b: mmap}\n",
         "<string>:2:11: error: backends: 2 are too many; at most 1"},
        {V "modules: {a: mmap, b: mmap}\n",
         "<string>:2:10: error: modules: 2 are too many; at most 1"},
        {V "modules: {a: {route: [{to: mmap}, {to: mmap}]}}\n",
         "<string>:2:22: error: route: expected 1 to 1 rules, found 2"},
        {V "phases: {a: {}, b: {}}\n", "<string>:2:9: error: phases: 2 are too many; at most 1"},
        {V "attribution: [a, b]\n",
         "<string>:2:14: error: attribution: 2 entries are too many; at most 1"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        ck_assert_str_eq(reading_report_within(cases[i][0], strlen(cases[i][0]), &small),
                         cases[i][1]);
}
END_TEST

#define ADD(table) \
    tcase_add_loop_test(tests, table##_table, 0, (int)(sizeof(table) / sizeof((table)[0])))

int main(void)
{
    Suite *suite = suite_create("mistakes");
    TCase *tests = tcase_create("mistakes");
    ADD(top_level);
    ADD(backends);
    ADD(modules);
    ADD(limits);
    ADD(phases);
    ADD(process);
    ADD(attribution);
    ADD(includes);
    tcase_add_test(tests, kinds_are_listed);
    tcase_add_test(tests, backends_are_listed);
    tcase_add_test(tests, parameters_of_built_in_kinds);
    tcase_add_test(tests, plugins_that_cannot_be_loaded);
    tcase_add_test(tests, phases_need_what_can_drop_everything);
    tcase_add_test(tests, checks_need_memory_of_the_instances_own);
    tcase_add_test(tests, regions_belong_in_phases);
    tcase_add_test(tests, all_mistakes_are_told_at_once_in_order);
    tcase_add_test(tests, a_mistake_behind_an_anchor_is_told_once);
    tcase_add_test(tests, after_twenty_mistakes_the_rest_is_counted);
    tcase_add_test(tests, counts_are_bounded);
    suite_add_tcase(suite, tests);
    return reading_run(suite);
}
