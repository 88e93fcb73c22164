/* report.c - see report.h. */
#include "tools/demo/report.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define MIB       (1024.0 * 1024.0)
#define BAR_SLACK ((uint64_t)16 << 20)

static uint64_t allowed(uint64_t live)
{
    return live + live / 10 + BAR_SLACK;
}

struct figures report_figures(const struct run *run)
{
    struct figures figures = {
        .peak = run->peak,
        .final = reading_resident(run->final),
        .cpu_s = run->user_s + run->system_s,
        .wall_s = (double)run->work_ns * 1e-9,
    };
    int64_t worst = INT64_MIN;
    uint64_t sum = 0;
    for (unsigned s = 0; s < run->stage_count; s++) {
        const struct stage *stage = &run->stages[s];
        uint64_t resident = reading_resident(stage->settled);
        int64_t beyond = (int64_t)resident - (int64_t)allowed(stage->live);
        sum += resident;
        if (beyond > worst) {
            worst = beyond;
            figures.settled = resident;
            figures.settled_live = stage->live;
            figures.settled_stage = s + 1;
        }
        if (stage->settled.lazyfree > figures.lazyfree)
            figures.lazyfree = stage->settled.lazyfree;
    }
    const struct stage *first = &run->stages[0], *last = &run->stages[run->stage_count - 1];
    figures.settled_mean = run->stage_count == 0 ? 0 : sum / run->stage_count;
    figures.live = last->live;
    figures.drift = (int64_t)(reading_resident(last->settled) - last->live) -
                    (int64_t)(reading_resident(first->settled) - first->live);
    return figures;
}

const struct run *report_find(const struct report *report, enum scene scene, const char *policy)
{
    for (size_t i = 0; i < report->count; i++) {
        const struct run *run = &report->runs[i];
        if (run->is_good && run->scene == scene && strcmp(run->policy->name, policy) == 0)
            return run;
    }
    return NULL;
}

struct bar report_bar(const struct report *report, enum scene scene)
{
    const struct run *run = report_find(report, scene, POLICY_RECOMMENDED);
    const struct run *plain = report_find(report, scene, POLICY_PLAIN);
    if (run == NULL || plain == NULL)
        return (struct bar){0};
    struct figures mine = report_figures(run), theirs = report_figures(plain);
    uint64_t limit = allowed(mine.settled_live);
    return (struct bar){
        .is_known = true,
        .is_judged = report->options->settle_ms >= BAR_SETTLE_MS,
        .resident_allowed = limit,
        .is_resident_met = mine.settled <= limit,
        .is_drift_met = mine.drift <= BAR_DRIFT,
        .is_cpu_met = mine.cpu_s <= theirs.cpu_s,
    };
}

bool bar_is_met(struct bar bar)
{
    return bar.is_known && bar.is_judged && bar.is_resident_met && bar.is_drift_met &&
           bar.is_cpu_met;
}

bool report_answers_agree(const struct report *report, enum scene scene)
{
    const struct run *first = NULL;
    for (size_t i = 0; i < report->count; i++) {
        const struct run *run = &report->runs[i];
        if (!run->is_good || run->scene != scene)
            continue;
        if (first == NULL)
            first = run;
        if (run->digest != first->digest || run->answers != first->answers)
            return false;
    }
    return true;
}

/* ---- the table ---- */

static void print_seconds(unsigned ms)
{
    printf("%g s", (double)ms / 1000);
}

static void print_head(const struct report *report, enum scene scene)
{
    const struct options *options = report->options;
    unsigned stages = options->stages[scene], threads = options->threads[scene];
    if (scene == SCENE_ONE)
        printf("\nScene one, the field report: %u threads, %u stages of %.2f GiB, seed %" PRIu64
               "\n",
               threads, stages, (double)options->size / MIB / 1024, options->seed);
    else if (scene == SCENE_THREE)
        printf(
            "\nScene three, redis-server, unchanged: filled with %.0f MiB, then half of its keys "
            "deleted in random order, seed %" PRIu64 "\n",
            (double)options->redis_bytes / MIB, options->seed);
    else
        printf("\nScene two, the indexer: %u threads, %u batches of real files, seed %" PRIu64 "\n",
               threads, stages, options->seed);
    printf("%-16s %14s %31s %22s %8s %15s %15s\n", "", "peak resident",
           "after each release:", "after the last:", "drift", "CPU time", "wall time");
    printf("%-16s %14s %23s", "", "", "resident, ");
    print_seconds(options->settle_ms);
    printf(" later %13s", "");
    print_seconds(options->final_ms);
    printf(" later\n");
    printf("%-16s %7s %6s %8s %8s %6s %6s %8s %6s %6s %8s %8s %6s %8s %6s\n", "policy", "MiB",
           "x plain", "mean", "worst", "x plain", "x live", "MiB", "x plain", "x live", "MiB", "s",
           "x plain", "s", "x plain");
}

/* A figure beside that of plain glibc. */
static void print_ratio(double mine, double theirs)
{
    if (theirs > 0)
        printf(" %7.2f", mine / theirs);
    else
        printf(" %7s", "-");
}

static void print_row(const struct run *run, const struct run *plain)
{
    struct figures mine = report_figures(run);
    struct figures theirs = {0};
    if (plain != NULL)
        theirs = report_figures(plain);
    printf("%-16s %8.0f", run->policy->name, (double)mine.peak / MIB);
    print_ratio((double)mine.peak, (double)theirs.peak);
    printf(" %7.0f %7.0f", (double)mine.settled_mean / MIB, (double)mine.settled / MIB);
    print_ratio((double)mine.settled, (double)theirs.settled);
    print_ratio((double)mine.settled, (double)mine.settled_live);
    printf(" %7.0f", (double)mine.final / MIB);
    print_ratio((double)mine.final, (double)theirs.final);
    print_ratio((double)mine.final, (double)mine.live);
    printf(" %7.1f %7.2f", (double)mine.drift / MIB, mine.cpu_s);
    print_ratio(mine.cpu_s, theirs.cpu_s);
    printf(" %7.2f", mine.wall_s);
    print_ratio(mine.wall_s, theirs.wall_s);
    printf("\n");
}

static void print_notes(const struct report *report, enum scene scene)
{
    uint64_t lazyfree = 0;
    const struct run *any = NULL;
    for (size_t i = 0; i < report->count; i++) {
        const struct run *run = &report->runs[i];
        if (run->scene != scene || !run->is_good)
            continue;
        any = run;
        uint64_t mine = report_figures(run).lazyfree;
        lazyfree = mine > lazyfree ? mine : lazyfree;
        if (mine > 0)
            printf("  LazyFree of %s: up to %.1f MiB after a release, not counted above\n",
                   run->policy->name, (double)mine / MIB);
    }
    if (any == NULL)
        return;
    const struct stage *last = &any->stages[any->stage_count - 1];
    printf("  live: %.1f MiB at the height of the last stage, %.1f MiB after its release",
           (double)last->peak_live / MIB, (double)last->live / MIB);
    if (lazyfree == 0)
        printf("; no LazyFree pages anywhere");
    printf("\n");
}

void report_print_table(const struct report *report)
{
    for (enum scene scene = SCENE_ONE; scene < SCENE_COUNT; scene++) {
        if (!report->options->scenes[scene])
            continue;
        print_head(report, scene);
        const struct run *plain = report_find(report, scene, POLICY_PLAIN);
        for (size_t i = 0; i < report->count; i++) {
            const struct run *run = &report->runs[i];
            if (run->scene != scene)
                continue;
            if (run->is_good)
                print_row(run, plain);
            else
                printf("%-16s FAILED: %s\n", run->policy->name, run->error);
        }
        print_notes(report, scene);
    }
    printf(
        "\nresident: Rss less LazyFree, in MiB, read from outside the process. live: requested and not\n"
        "freed. worst: the stage furthest above its live bytes. drift: resident less live, last\n"
        "release less first. CPU time: all threads, start to exit. wall time: at work, without the\n"
        "waits. x plain: against plain glibc in this run. %s\n",
        report->options->is_cold ? "Memory was not touched before the runs."
                                 : "As much memory was touched once before each run.");
}

static const struct holding *find_holding(const struct holdings *holdings, const char *module)
{
    static const struct holding nothing;
    for (unsigned i = 0; i < holdings->count; i++) {
        if (strcmp(holdings->of[i].module, module) == 0)
            return &holdings->of[i];
    }
    return &nothing;
}

void report_print_modules(const struct report *report)
{
    for (enum scene scene = SCENE_ONE; scene < SCENE_COUNT; scene++) {
        const struct run *run = report_find(report, scene, POLICY_RECOMMENDED);
        if (run == NULL)
            continue;
        printf("\nWho held the memory under `%s`, scene %s, stage %u, as Sluice tells, MiB:\n",
               POLICY_RECOMMENDED, scene_name(scene), run->height.stage);
        printf("  %-12s %20s %28s\n", "module", "live at the height",
               "after the release: live, cached");
        for (unsigned i = 0; i < run->height.count; i++) {
            const struct holding *height = &run->height.of[i];
            const struct holding *after = find_holding(&run->after, height->module);
            printf("  %-12s %20.1f %23.1f %7.1f\n", height->module, (double)height->live / MIB,
                   (double)after->live / MIB, (double)after->cached / MIB);
        }
    }
}

static const char *met(struct bar bar, bool is_met)
{
    return !bar.is_judged ? "not judged" : is_met ? "met    " : "NOT MET";
}

void report_print_bar(const struct report *report)
{
    for (enum scene scene = SCENE_ONE; scene < SCENE_COUNT; scene++) {
        if (!report->options->scenes[scene])
            continue;
        struct bar bar = report_bar(report, scene);
        if (!bar.is_known)
            continue;
        struct figures mine = report_figures(report_find(report, scene, POLICY_RECOMMENDED));
        struct figures theirs = report_figures(report_find(report, scene, POLICY_PLAIN));
        printf("\nThe bar for `%s` in scene %s was %s.\n", POLICY_RECOMMENDED, scene_name(scene),
               !bar.is_judged    ? "not judged: waits are shorter under --quick"
               : bar_is_met(bar) ? "met"
                                 : "NOT met");
        printf("  %s  resident at most 1.10 x live + 16 MiB after each release: "
               "%.1f MiB of %.1f MiB, at worst (stage %u)\n",
               met(bar, bar.is_resident_met), (double)mine.settled / MIB,
               (double)bar.resident_allowed / MIB, mine.settled_stage);
        printf("  %s  no drift over %u stages (%g MiB at most): %.1f MiB\n",
               met(bar, bar.is_drift_met), report->options->stages[scene], (double)BAR_DRIFT / MIB,
               (double)mine.drift / MIB);
        printf("  %s  CPU time at most that of plain glibc: %.2f s of %.2f s\n",
               met(bar, bar.is_cpu_met), mine.cpu_s, theirs.cpu_s);
    }
}
