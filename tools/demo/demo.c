/* demo.c - `sluice demo balloon`: says what will happen, has it happen, says what came of it. */
#include "tools/demo/demo.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/demo/chart.h"
#include "tools/demo/measure.h"
#include "tools/demo/options.h"
#include "tools/demo/policies.h"
#include "tools/demo/redis.h"
#include "tools/demo/report.h"
#include "tools/demo/run.h"
#include "tools/demo/texts.h"
#include "tools/demo/worker.h"

#define RUNS_MAX     32
#define POLICIES_MAX 16
#define GIB          (1024.0 * 1024.0 * 1024.0)

struct plan {
    struct options options;
    const struct demo_policy *policies[POLICIES_MAX];
    size_t policy_count;
    struct demo_policy own; /* of --policy */
    char *own_text;
    char input[4096];      /* list of files for scene two */
    uint64_t files, bytes; /* in that list */
};

static int demo_usage(FILE *to, int status)
{
    fputs(
        "Usage: sluice demo balloon [OPTION…]   the field report, reproduced and cured, with a chart\n"
        "       sluice demo balloon --help\n",
        to);
    return status;
}

static void show_policies(void)
{
    for (size_t i = 0; i < policies_count; i++) {
        const struct demo_policy *policy = &policies_all[i];
        printf("%s# ==== %s: %s\n%s", i == 0 ? "" : "\n", policy->name, policy->cure,
               policy->yaml == NULL ? "" : policy->yaml);
    }
}

/* ---- what will be run ---- */

static char *read_policy(const char *path)
{
    FILE *file = fopen(path, "r");
    char *text = calloc(1, 64 << 10);
    if (file == NULL || text == NULL) {
        fprintf(stderr, "sluice: demo balloon: %s: %s\n", path, strerror(errno));
    } else {
        size_t length = fread(text, 1, (64 << 10) - 1, file);
        if (length > 0 && !ferror(file) && feof(file)) {
            fclose(file);
            return text;
        }
        fprintf(stderr, "sluice: demo balloon: %s: not a policy of at most 64 KiB\n", path);
    }
    if (file != NULL)
        fclose(file);
    free(text);
    return NULL;
}

static bool choose_policies(struct plan *plan)
{
    const char *only = plan->options.only;
    for (size_t i = 0; i < policies_count; i++) {
        const struct demo_policy *policy = &policies_all[i];
        if (only == NULL || strcmp(policy->name, only) == 0 ||
            strcmp(policy->name, POLICY_PLAIN) == 0)
            plan->policies[plan->policy_count++] = policy;
    }
    if (plan->options.policy_file == NULL)
        return true;
    plan->own_text = read_policy(plan->options.policy_file);
    if (plan->own_text == NULL)
        return false;
    plan->own = (struct demo_policy){"yours", plan->options.policy_file, plan->own_text,
                                     1u << SCENE_ONE | 1u << SCENE_TWO};
    plan->policies[plan->policy_count++] = &plan->own;
    return true;
}

static bool make_folder(const char *path)
{
    if (mkdir(path, 0777) == 0 || errno == EEXIST)
        return true;
    fprintf(stderr, "sluice: demo balloon: cannot make the folder %s: %s\n", path, strerror(errno));
    return false;
}

/* How many of the policies are run there, beside plain glibc. */
static size_t count_for(const struct plan *plan, enum scene scene)
{
    size_t count = 0;
    for (size_t i = 0; i < plan->policy_count; i++)
        count += policy_is_for(plan->policies[i], scene) &&
                 strcmp(plan->policies[i]->name, POLICY_PLAIN) != 0;
    return count;
}

/* Leaves out scenes that have nothing to show. */
static bool choose_scenes(struct plan *plan)
{
    bool *scenes = plan->options.scenes;
    const char *only = plan->options.only;
    for (enum scene scene = SCENE_ONE; scene < SCENE_COUNT; scene++) {
        if (scenes[scene] && count_for(plan, scene) == 0 &&
            (only == NULL || strcmp(only, POLICY_PLAIN) != 0)) {
            scenes[scene] = false;
            if (plan->options.is_one_scene)
                fprintf(stderr, "sluice: demo balloon: %s has no part in scene %s\n", only,
                        scene_name(scene));
        }
    }
    if (scenes[SCENE_THREE] && !redis_is_there()) {
        scenes[SCENE_THREE] = false;
        fprintf(stderr, "No scene three, because " REDIS_PROGRAM
                        " is not installed. On Debian: apt-get install " REDIS_PACKAGE "\n");
    }
    return scenes[SCENE_ONE] || scenes[SCENE_TWO] || scenes[SCENE_THREE];
}

static bool find_texts(struct plan *plan)
{
    snprintf(plan->input, sizeof(plan->input), "%s/files.txt", plan->options.output);
    if (!plan->options.scenes[SCENE_TWO])
        return true;
    if (!texts_list(plan->input, plan->options.text_max, &plan->files, &plan->bytes))
        return false;
    if (plan->files >= plan->options.stages[SCENE_TWO])
        return true;
    fprintf(
        stderr,
        "sluice: demo balloon: /usr/include and /usr/share/doc have no text files for scene two;\n"
        "install a package with some (Debian: apt-get install libc6-dev) or take --scene one\n");
    return false;
}

/* ---- before: what is going to happen ---- */

/* Seconds of sleep: the waits of all runs, of which the last ones are shared. */
static double wait_time(const struct plan *plan)
{
    const struct options *options = &plan->options;
    double ms = options->final_ms;
    for (enum scene scene = SCENE_ONE; scene < SCENE_COUNT; scene++) {
        if (options->scenes[scene])
            ms += (double)(options->stages[scene] - 1) * options->settle_ms *
                  (double)(count_for(plan, scene) + 1);
    }
    return ms / 1000;
}

/* A rough guess from how long this machine takes to touch memory: some policies touch all of it
 * anew at each stage, and the others have other work. */
static double work_time(const struct plan *plan)
{
    const struct options *options = &plan->options;
    double touched =
        options->scenes[SCENE_ONE] ? (double)options->size / GIB * options->stages[SCENE_ONE] : 0;
    double read = (double)plan->bytes / GIB;
    double touch = measure_touch_time();
    double kept = options->scenes[SCENE_THREE] ? (double)options->redis_bytes / GIB *
                                                     (double)(count_for(plan, SCENE_THREE) + 1)
                                               : 0;
    return ((double)plan->policy_count * (touched * 0.5 + read * 30) + kept * 15) * touch;
}

static void print_plan(const struct plan *plan)
{
    const struct options *options = &plan->options;
    fprintf(stderr,
            "A program that frees its memory, and whether the system gets it back: plain glibc "
            "and %zu %s,\neach in a process of its own, measured from outside.\n",
            plan->policy_count - 1, plan->policy_count == 2 ? "policy" : "policies");
    for (size_t i = 0; i < plan->policy_count; i++)
        fprintf(stderr, "  %-14s %s\n", plan->policies[i]->name, plan->policies[i]->cure);
    if (options->scenes[SCENE_ONE])
        fprintf(stderr, "Scene one: the field report; %u threads, %u stages of %.2f GiB.\n",
                options->threads[SCENE_ONE], options->stages[SCENE_ONE],
                (double)options->size / GIB);
    if (options->scenes[SCENE_TWO])
        fprintf(stderr,
                "Scene two: an indexer of %" PRIu64
                " real files, %.0f MiB; %u threads, %u batches.\n",
                plan->files, (double)plan->bytes / 1048576, options->threads[SCENE_TWO],
                options->stages[SCENE_TWO]);
    if (options->scenes[SCENE_THREE])
        fprintf(stderr,
                "Scene three: redis-server, filled with %.0f MiB, half of its keys deleted.\n",
                (double)options->redis_bytes / 1048576);
}

static void print_duration(const struct plan *plan)
{
    double waits = wait_time(plan), work = work_time(plan);
    fprintf(stderr,
            "This takes about %.0f s: %.0f s of work, as far as can be told, and %.0f s "
            "of waits.\n\n",
            waits + work, work, waits);
}

/* ---- after ---- */

static bool all_good(const struct report *report)
{
    bool is_good = true;
    for (size_t i = 0; i < report->count; i++)
        is_good = is_good && report->runs[i].is_good;
    if (!is_good)
        fprintf(stderr, "\nsluice: demo balloon: something FAILED to run: see above\n");
    for (enum scene scene = SCENE_ONE; scene < SCENE_COUNT; scene++) {
        if (report_answers_agree(report, scene))
            continue;
        is_good = false;
        fprintf(stderr,
                "\nsluice: demo balloon: the answers of scene %s DIFFER between policies:\n",
                scene_name(scene));
        for (size_t i = 0; i < report->count; i++) {
            const struct run *run = &report->runs[i];
            if (run->is_good && run->scene == scene)
                fprintf(stderr, "  %-14s %016" PRIx64 " (%" PRIu64 " answers)\n", run->policy->name,
                        run->digest, run->answers);
        }
    }
    return is_good;
}

static bool is_bar_met(const struct report *report)
{
    bool is_met = true;
    for (enum scene scene = SCENE_ONE; scene < SCENE_COUNT; scene++) {
        if (report->options->scenes[scene] && scene != SCENE_THREE) /* which has no bar */
            is_met = is_met && bar_is_met(report_bar(report, scene));
    }
    return is_met;
}

static void print_answers(const struct report *report)
{
    for (enum scene scene = SCENE_ONE; scene < SCENE_COUNT; scene++) {
        const struct run *run = report_find(report, scene, POLICY_PLAIN);
        if (run != NULL && report_answers_agree(report, scene))
            printf("%sScene %s: every policy gave the same %" PRIu64 " answers (digest %016" PRIx64
                   ").\n",
                   scene == SCENE_ONE || !report->options->scenes[SCENE_ONE] ? "\n" : "",
                   scene_name(scene), run->answers, run->digest);
    }
}

static int conclude(const struct report *report)
{
    const char *output = report->options->output;
    bool is_written = report_write_csv(report);
    enum chart_result chart = is_written ? chart_write(report) : CHART_FAILED;
    if (report->options->is_json) {
        report_print_json(report);
    } else {
        report_print_table(report);
        report_print_modules(report);
        print_answers(report);
        report_print_bar(report);
        if (is_written)
            printf("\nWritten: %s%s%s/summary.csv, stages.csv, curves.csv\n",
                   chart == CHART_WRITTEN ? output : "",
                   chart == CHART_WRITTEN ? "/memory.svg (the chart), " : "", output);
    }
    fflush(stdout);
    if (!all_good(report) || !is_written || chart == CHART_FAILED)
        return 1;
    return report->options->is_strict && !is_bar_met(report) ? 1 : 0;
}

static int run_plan(struct plan *plan)
{
    struct run runs[RUNS_MAX];
    size_t count = 0;
    for (enum scene scene = SCENE_ONE; scene < SCENE_COUNT; scene++) {
        for (size_t i = 0; plan->options.scenes[scene] && i < plan->policy_count; i++)
            if (policy_is_for(plan->policies[i], scene))
                run_init(&runs[count++], plan->policies[i], scene, plan->options.stages[scene]);
    }
    uint64_t start = measure_now();
    int status = 130;
    if (run_all(runs, count, &plan->options, plan->input)) {
        fprintf(stderr, "All runs took %.0f s.\n", (double)(measure_now() - start) * 1e-9);
        status = conclude(&(struct report){&plan->options, runs, count});
    } else {
        fprintf(stderr, "\nsluice: demo balloon: interrupted; its processes are ended\n");
    }
    for (size_t i = 0; i < count; i++)
        run_free(&runs[i]);
    return status;
}

static int balloon(int argc, char **argv)
{
    static struct plan plan;
    switch (options_parse(&plan.options, argc, argv, measure_room())) {
    case OPTIONS_WRONG:
        return 2;
    case OPTIONS_HELP:
        options_help();
        return 0;
    case OPTIONS_SHOW_POLICIES:
        show_policies();
        return 0;
    case OPTIONS_RUN:
        break;
    }
    int status = 1;
    if (choose_policies(&plan) && choose_scenes(&plan) && make_folder(plan.options.output) &&
        find_texts(&plan)) {
        print_plan(&plan);
        print_duration(&plan);
        status = run_plan(&plan);
    }
    free(plan.own_text);
    return status;
}

int demo_main(int argc, char **argv)
{
    if (argc >= 2 && strcmp(argv[1], "balloon") == 0)
        return balloon(argc - 2, argv + 2);
    if (argc >= 2 && strcmp(argv[1], "worker") == 0)
        return worker_main(argc - 1, argv + 1);
    if (argc >= 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0))
        return demo_usage(stdout, 0);
    if (argc >= 2)
        fprintf(stderr, "sluice: demo: there is no demo '%s'\n", argv[1]);
    return demo_usage(stderr, 2);
}
