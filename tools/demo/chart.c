/* chart.c - see chart.h. */
#include "tools/demo/chart.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define EXIT_NO_GNUPLOT 127

#define PLAIN_STYLE  "filledcurves x1 fs solid 1.0 noborder lc rgb '#D0D0D0'"
#define POLICY_STYLE "lines lw 1.6 lc rgb '#D55E00'"

static uint64_t largest(const struct report *report, enum scene scene)
{
    uint64_t most = 0;
    for (size_t i = 0; i < report->count; i++) {
        const struct run *run = &report->runs[i];
        for (size_t s = 0; s < run->sample_count && run->scene == scene; s++) {
            uint64_t resident = reading_resident(run->samples[s].reading);
            most = resident > most ? resident : most;
        }
    }
    return most;
}

static void write_curve(FILE *script, const struct run *run, const char *style)
{
    fprintf(script,
            " \\\n    'curves.csv' using (strcol(1) eq '%s' && strcol(2) eq '%s' ? $3/1000.0 : NaN)"
            ":($4/1048576.0) with %s notitle",
            scene_name(run->scene), run->policy->name, style);
}

/* One panel: a run, in front of plain glibc's. */
static void write_panel(FILE *script, const struct report *report, const struct run *run)
{
    const struct run *plain = report_find(report, run->scene, POLICY_PLAIN);
    fprintf(script, "set title '%s, scene %s'\nset yrange [0:%.0f]\nplot", run->policy->name,
            scene_name(run->scene), (double)largest(report, run->scene) / 1048576 * 1.05 + 1);
    if (plain != NULL && plain != run) {
        write_curve(script, plain, PLAIN_STYLE);
        fputs(",", script);
    }
    write_curve(script, run, POLICY_STYLE);
    fputs("\n", script);
}

static bool has_panel(const struct report *report, const struct run *run)
{
    return run->sample_count > 0 &&
           (strcmp(run->policy->name, POLICY_PLAIN) != 0 || report->options->only == NULL ||
            strcmp(report->options->only, POLICY_PLAIN) == 0);
}

static int count_panels(const struct report *report, enum scene scene)
{
    int panels = 0;
    for (size_t i = 0; i < report->count; i++)
        panels += report->runs[i].scene == scene && has_panel(report, &report->runs[i]);
    return panels;
}

/* A column for each scene, whose runs fill it from the top. */
static void write_column(FILE *script, const struct report *report, enum scene scene, int rows)
{
    for (size_t i = 0; i < report->count; i++) {
        if (report->runs[i].scene == scene && has_panel(report, &report->runs[i]))
            write_panel(script, report, &report->runs[i]);
    }
    for (int row = count_panels(report, scene); row < rows; row++)
        fputs("set multiplot next\n", script);
}

static void write_panels(FILE *script, const struct report *report)
{
    int columns = 0, rows = 0;
    for (enum scene scene = SCENE_ONE; scene < SCENE_COUNT; scene++) {
        int panels = count_panels(report, scene);
        columns += panels > 0;
        rows = panels > rows ? panels : rows;
    }
    fprintf(
        script,
        "# Run in this folder: gnuplot memory.gp\n"
        "set terminal svg size %d,%d dynamic font 'sans-serif,12' background '#ffffff'\n"
        "set output 'memory.svg'\n"
        "set datafile separator ','\n"
        "set grid front\n"
        "set xrange [0:*]\n"
        "set xlabel 'seconds since the start of the process'\n"
        "set ylabel 'resident, MiB'\n"
        "set multiplot layout %d,%d columnsfirst title \\\n"
        "    'Resident memory (Rss less LazyFree): each policy as a line, plain glibc in grey'\n",
        600 * columns, 60 + 230 * rows, rows, columns);
    for (enum scene scene = SCENE_ONE; scene < SCENE_COUNT; scene++) {
        if (count_panels(report, scene) > 0)
            write_column(script, report, scene, rows);
    }
    fputs("unset multiplot\n", script);
}

static bool write_script(const struct report *report)
{
    char path[4096];
    snprintf(path, sizeof(path), "%s/memory.gp", report->options->output);
    FILE *script = fopen(path, "w");
    if (script == NULL) {
        fprintf(stderr, "sluice: demo: cannot write %s: %s\n", path, strerror(errno));
        return false;
    }
    write_panels(script, report);
    if (fclose(script) != 0) {
        fprintf(stderr, "sluice: demo: cannot write %s: %s\n", path, strerror(errno));
        return false;
    }
    return true;
}

/* Its exit status; -1 when it was killed or could not be started. */
static int run_gnuplot(const char *folder)
{
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        if (chdir(folder) != 0)
            _exit(1);
        execlp("gnuplot", "gnuplot", "memory.gp", (char *)NULL);
        _exit(errno == ENOENT ? EXIT_NO_GNUPLOT : 1);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
        return -1;
    return WEXITSTATUS(status);
}

enum chart_result chart_write(const struct report *report)
{
    if (!write_script(report))
        return CHART_FAILED;
    int status = run_gnuplot(report->options->output);
    if (status == 0)
        return CHART_WRITTEN;
    if (status == EXIT_NO_GNUPLOT) {
        fprintf(
            stderr,
            "No chart, because gnuplot is not installed. On Debian: apt-get install gnuplot-nox\n"
            "Then: cd %s && gnuplot memory.gp\n",
            report->options->output);
        return CHART_NO_GNUPLOT;
    }
    fprintf(stderr, "sluice: demo: gnuplot failed on %s/memory.gp; the CSV files are complete\n",
            report->options->output);
    return CHART_FAILED;
}
