/* report_files.c - the results for programs: CSV files and JSON. Units are in the names. */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/demo/report.h"

/* Opens a file of the output folder. */
static FILE *open_output(const struct report *report, const char *name)
{
    char path[4096];
    snprintf(path, sizeof(path), "%s/%s", report->options->output, name);
    FILE *file = fopen(path, "w");
    if (file == NULL)
        fprintf(stderr, "sluice: demo: cannot write %s: %s\n", path, strerror(errno));
    return file;
}

static bool close_output(FILE *file, const char *name)
{
    bool is_good = ferror(file) == 0;
    if (fclose(file) != 0 || !is_good) {
        fprintf(stderr, "sluice: demo: cannot write %s: %s\n", name, strerror(errno));
        return false;
    }
    return true;
}

static bool write_summary(const struct report *report)
{
    FILE *file = open_output(report, "summary.csv");
    if (file == NULL)
        return false;
    fputs("scene,policy,peak_resident_bytes,resident_mean_bytes,resident_worst_bytes,"
          "resident_worst_live_bytes,resident_final_bytes,live_final_bytes,drift_bytes,"
          "lazyfree_bytes,cpu_seconds,wall_seconds,digest\n",
          file);
    for (size_t i = 0; i < report->count; i++) {
        const struct run *run = &report->runs[i];
        if (!run->is_good)
            continue;
        struct figures figures = report_figures(run);
        fprintf(file,
                "%s,%s,%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64
                ",%" PRId64 ",%" PRIu64 ",%.3f,%.3f,%016" PRIx64 "\n",
                scene_name(run->scene), run->policy->name, figures.peak, figures.settled_mean,
                figures.settled, figures.settled_live, figures.final, figures.live, figures.drift,
                figures.lazyfree, figures.cpu_s, figures.wall_s, run->digest);
    }
    return close_output(file, "summary.csv");
}

static bool write_stages(const struct report *report)
{
    FILE *file = open_output(report, "stages.csv");
    if (file == NULL)
        return false;
    fputs("scene,policy,stage,peak_live_bytes,live_bytes,resident_bytes,lazyfree_bytes\n", file);
    for (size_t i = 0; i < report->count; i++) {
        const struct run *run = &report->runs[i];
        for (unsigned s = 0; s < run->stage && run->is_good; s++) {
            const struct stage *stage = &run->stages[s];
            fprintf(file, "%s,%s,%u,%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 "\n",
                    scene_name(run->scene), run->policy->name, s + 1, stage->peak_live, stage->live,
                    reading_resident(stage->settled), stage->settled.lazyfree);
        }
    }
    return close_output(file, "stages.csv");
}

static bool write_curves(const struct report *report)
{
    FILE *file = open_output(report, "curves.csv");
    if (file == NULL)
        return false;
    fputs("scene,policy,ms,resident_bytes,lazyfree_bytes\n", file);
    for (size_t i = 0; i < report->count; i++) {
        const struct run *run = &report->runs[i];
        for (size_t s = 0; s < run->sample_count; s++) {
            const struct sample *sample = &run->samples[s];
            fprintf(file, "%s,%s,%" PRIu32 ",%" PRIu64 ",%" PRIu64 "\n", scene_name(run->scene),
                    run->policy->name, sample->ms, reading_resident(sample->reading),
                    sample->reading.lazyfree);
        }
    }
    return close_output(file, "curves.csv");
}

bool report_write_csv(const struct report *report)
{
    return write_summary(report) && write_stages(report) && write_curves(report);
}

/* ---- JSON ---- */

static const char *json_bool(bool value)
{
    return value ? "true" : "false";
}

/* Text within quotes. */
static void print_json_text(const char *text)
{
    putchar('"');
    for (const unsigned char *c = (const unsigned char *)text; *c != '\0'; c++) {
        if (*c == '"' || *c == '\\')
            printf("\\%c", *c);
        else if (*c < 0x20)
            printf("\\u%04x", *c);
        else
            putchar(*c);
    }
    putchar('"');
}

static void print_json_stages(const struct run *run)
{
    for (unsigned s = 0; s < run->stage_count; s++) {
        const struct stage *stage = &run->stages[s];
        printf("%s\n       {\"peak_live_bytes\": %" PRIu64 ", \"live_bytes\": %" PRIu64
               ", \"resident_bytes\": %" PRIu64 ", \"lazyfree_bytes\": %" PRIu64 "}",
               s == 0 ? "" : ",", stage->peak_live, stage->live, reading_resident(stage->settled),
               stage->settled.lazyfree);
    }
}

static void print_json_run(const struct run *run)
{
    printf("    {\"scene\": \"%s\", \"policy\": ", scene_name(run->scene));
    print_json_text(run->policy->name);
    printf(", \"ok\": %s", json_bool(run->is_good));
    if (!run->is_good) {
        printf(", \"error\": ");
        print_json_text(run->error);
        printf("}");
        return;
    }
    struct figures figures = report_figures(run);
    printf(",\n     \"peak_resident_bytes\": %" PRIu64 ", \"resident_mean_bytes\": %" PRIu64
           ", \"resident_worst_bytes\": %" PRIu64 ",\n     \"resident_final_bytes\": %" PRIu64
           ", \"live_final_bytes\": %" PRIu64 ", \"drift_bytes\": %" PRId64
           ",\n     \"cpu_seconds\": %.3f, \"wall_seconds\": %.3f, \"digest\": \"%016" PRIx64 "\","
           "\n     \"stages\": [",
           figures.peak, figures.settled_mean, figures.settled, figures.final, figures.live,
           figures.drift, figures.cpu_s, figures.wall_s, run->digest);
    print_json_stages(run);
    printf("]}");
}

static void print_json_bar(const struct report *report, enum scene scene)
{
    struct bar bar = report_bar(report, scene);
    if (!bar.is_known) {
        printf("null");
        return;
    }
    printf("{\"judged\": %s, \"met\": %s, \"resident\": %s, \"drift\": %s, \"cpu\": %s}",
           json_bool(bar.is_judged), json_bool(bar_is_met(bar)), json_bool(bar.is_resident_met),
           json_bool(bar.is_drift_met), json_bool(bar.is_cpu_met));
}

void report_print_json(const struct report *report)
{
    const struct options *options = report->options;
    printf("{\"version\": 1, \"size_bytes\": %" PRIu64 ", \"seed\": %" PRIu64
           ", \"settle_ms\": %u, \"final_ms\": %u,\n",
           options->size, options->seed, options->settle_ms, options->final_ms);
    bool answers_agree = true;
    for (enum scene scene = SCENE_ONE; scene < SCENE_COUNT; scene++)
        answers_agree = answers_agree && report_answers_agree(report, scene);
    printf("  \"answers_agree\": %s,\n", json_bool(answers_agree));
    printf("  \"bar\": {");
    for (enum scene scene = SCENE_ONE; scene < SCENE_COUNT; scene++) {
        printf("%s\"%s\": ", scene == SCENE_ONE ? "" : ", ", scene_name(scene));
        print_json_bar(report, scene);
    }
    printf("},\n  \"output\": ");
    print_json_text(options->output);
    printf(",\n  \"runs\": [\n");
    for (size_t i = 0; i < report->count; i++) {
        if (i > 0)
            printf(",\n");
        print_json_run(&report->runs[i]);
    }
    printf("]}\n");
}
