/* The demo's figures and its bar, from runs that are made up; and its options. */
#include "tools/demo/report.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

#define MIB ((uint64_t)1 << 20)

static struct options options;
static struct run runs[2]; /* plain, recommended */
static struct report report = {&options, runs, 2};

static void make_run(struct run *run, const char *policy)
{
    run_init(run, policies_find(policy), SCENE_ONE, 3);
    run->is_good = true;
    run->stage = 3;
    run->user_s = 6;
    run->system_s = 4;
    for (unsigned s = 0; s < 3; s++)
        run->stages[s] =
            (struct stage){.peak_live = 100 * MIB, .live = 10 * MIB, .settled = {20 * MIB, 0}};
}

static void setup(void)
{
    options =
        (struct options){.stages = {3, 3}, .scenes = {true, false}, .settle_ms = BAR_SETTLE_MS};
    make_run(&runs[0], POLICY_PLAIN);
    make_run(&runs[1], POLICY_RECOMMENDED);
}

static void teardown(void)
{
    run_free(&runs[0]);
    run_free(&runs[1]);
}

START_TEST(figures_of_a_run)
{
    runs[1].stages[1].settled = (struct reading){90 * MIB, 60 * MIB}; /* 30 MiB are held */
    runs[1].stages[2].settled = (struct reading){25 * MIB, 0};
    runs[1].stages[2].live = 12 * MIB;
    struct figures figures = report_figures(&runs[1]);
    ck_assert_uint_eq(figures.settled, 30 * MIB);
    ck_assert_uint_eq(figures.settled_stage, 2);
    ck_assert_uint_eq(figures.settled_live, 10 * MIB);
    ck_assert_uint_eq(figures.settled_mean, 25 * MIB);
    ck_assert_uint_eq(figures.lazyfree, 60 * MIB);
    ck_assert_int_eq(figures.drift, (int64_t)(3 * MIB)); /* 13 MiB above live, from 10 */
    ck_assert_double_eq_tol(figures.cpu_s, 10, 1e-9);
}
END_TEST

START_TEST(bar_on_its_edge)
{
    ck_assert(bar_is_met(report_bar(&report, SCENE_ONE)));
    runs[1].stages[0].settled.rss = 27 * MIB; /* 1.10 x 10 MiB + 16 MiB */
    runs[1].stages[2].settled.rss = 27 * MIB;
    ck_assert(bar_is_met(report_bar(&report, SCENE_ONE)));
    runs[1].stages[0].settled.rss += 4096;
    struct bar bar = report_bar(&report, SCENE_ONE);
    ck_assert(!bar.is_resident_met && bar.is_drift_met && bar.is_cpu_met);
    ck_assert_uint_eq(bar.resident_allowed, 27 * MIB);
}
END_TEST

START_TEST(bar_on_drift_and_cpu)
{
    runs[1].stages[2].settled.rss = 20 * MIB + (uint64_t)BAR_DRIFT + 4096;
    runs[1].user_s += 0.1;
    struct bar bar = report_bar(&report, SCENE_ONE);
    ck_assert(bar.is_resident_met && !bar.is_drift_met && !bar.is_cpu_met);
    ck_assert(!bar_is_met(bar));
}
END_TEST

START_TEST(bar_with_shorter_waits)
{
    options.settle_ms = BAR_SETTLE_MS - 1;
    struct bar bar = report_bar(&report, SCENE_ONE);
    ck_assert(bar.is_known && !bar.is_judged);
    ck_assert(!bar_is_met(bar));
    options.settle_ms = BAR_SETTLE_MS;
    ck_assert(report_bar(&report, SCENE_ONE).is_judged);
}
END_TEST

START_TEST(bar_without_both_runs)
{
    runs[0].is_good = false;
    ck_assert(!report_bar(&report, SCENE_ONE).is_known);
    ck_assert(!bar_is_met(report_bar(&report, SCENE_ONE)));
    ck_assert(!report_bar(&report, SCENE_TWO).is_known);
}
END_TEST

START_TEST(answers)
{
    runs[0].digest = runs[1].digest = 5;
    ck_assert(report_answers_agree(&report, SCENE_ONE));
    runs[1].answers = 1;
    ck_assert(!report_answers_agree(&report, SCENE_ONE));
    runs[1].answers = 0;
    runs[1].digest = 6;
    ck_assert(!report_answers_agree(&report, SCENE_ONE));
    runs[1].is_good = false; /* it gave no answers */
    ck_assert(report_answers_agree(&report, SCENE_ONE));
}
END_TEST

/* ---- options ---- */

static enum options_verdict parse(struct options *out, const char *words)
{
    static char text[256];
    char *argv[16], *save;
    int argc = 0;
    snprintf(text, sizeof(text), "%s", words);
    for (char *word = strtok_r(text, " ", &save); word; word = strtok_r(NULL, " ", &save))
        argv[argc++] = word;
    return options_parse(out, argc, argv, 8192 * MIB);
}

START_TEST(options_defaults)
{
    struct options got;
    ck_assert_int_eq(parse(&got, ""), OPTIONS_RUN);
    ck_assert_uint_eq(got.size, 2048 * MIB); /* a quarter */
    ck_assert_uint_eq(got.stages[SCENE_ONE], 10);
    ck_assert_uint_eq(got.threads[SCENE_ONE], 16);
    ck_assert(got.scenes[SCENE_ONE] && got.scenes[SCENE_TWO] && got.scenes[SCENE_THREE]);
    options_parse(&got, 0, NULL, 100 * 1024 * MIB);
    ck_assert_uint_eq(got.size, 4096 * MIB); /* the most */
}
END_TEST

START_TEST(options_values)
{
    struct options got;
    ck_assert_int_eq(
        parse(&got, "--size=1GiB --stages 3 --threads 8 --seed 9 --scene two --strict"),
        OPTIONS_RUN);
    ck_assert_uint_eq(got.size, 1024 * MIB);
    ck_assert_uint_eq(got.stages[SCENE_TWO], 3);
    ck_assert_uint_eq(got.threads[SCENE_ONE], 8);
    ck_assert_uint_eq(got.seed, 9);
    ck_assert(!got.scenes[SCENE_ONE] && got.scenes[SCENE_TWO] && got.is_strict);
    ck_assert_int_eq(parse(&got, "--size 64MiB --quick"), OPTIONS_RUN); /* in any order */
    ck_assert_uint_eq(got.size, 64 * MIB);
    ck_assert_int_eq(parse(&got, "--only pool --output x --json"), OPTIONS_RUN);
    ck_assert_str_eq(got.only, "pool");
    ck_assert_str_eq(got.output, "x");
    ck_assert(got.is_json);
    ck_assert_int_eq(parse(&got, "--show-policies"), OPTIONS_SHOW_POLICIES);
    ck_assert_int_eq(parse(&got, "--help"), OPTIONS_HELP);
}
END_TEST

static const char *const wrong[] = {
    "--size 2Gib", "--size -1",   "--size 1MiB", "--size 5GiB", "--size 99999999999999999999",
    "--size",      "--stages 1",  "--stages x",  "--threads 0", "--threads 256",
    "--seed -3",   "--scene 3",   "--only none", "--bogus",     "word",
    "--output=",   "--sizes 1GiB"};

START_TEST(options_wrong)
{
    struct options got;
    ck_assert_int_eq(parse(&got, wrong[_i]), OPTIONS_WRONG);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("demo_report");
    TCase *tests = tcase_create("report");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, figures_of_a_run);
    tcase_add_test(tests, bar_on_its_edge);
    tcase_add_test(tests, bar_on_drift_and_cpu);
    tcase_add_test(tests, bar_with_shorter_waits);
    tcase_add_test(tests, bar_without_both_runs);
    tcase_add_test(tests, answers);
    suite_add_tcase(suite, tests);
    TCase *more = tcase_create("options");
    tcase_add_test(more, options_defaults);
    tcase_add_test(more, options_values);
    tcase_add_loop_test(more, options_wrong, 0, (int)(sizeof(wrong) / sizeof(wrong[0])));
    suite_add_tcase(suite, more);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
