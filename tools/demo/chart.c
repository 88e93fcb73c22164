/* chart.c - see chart.h. */
#include "tools/demo/chart.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define EXIT_NO_GNUPLOT 127

/* Told apart also by who does not see colours well (Okabe and Ito, 2008); plain glibc and the
 * recommended one thicker. */
static const char *const colours[] = {"#000000", "#56B4E9", "#CC79A7", "#E69F00",
                                      "#0072B2", "#D55E00", "#009E73"};

static void write_curve(FILE *script, const struct run *run, size_t index)
{
    const char *policy = run->policy->name;
    bool is_thick = strcmp(policy, POLICY_PLAIN) == 0 || strcmp(policy, POLICY_RECOMMENDED) == 0;
    fprintf(
        script,
        "%s \\\n    'curves.csv' using (strcol(1) eq '%s' && strcol(2) eq '%s' ? $3/1000.0 : NaN)"
        ":($4/1048576.0) with lines lw %s lc rgb '%s' title '%s'",
        index == 0 ? "plot" : ",", scene_name(run->scene), policy, is_thick ? "2.5" : "1.2",
        colours[index % (sizeof(colours) / sizeof(colours[0]))], policy);
}

static void write_scene(FILE *script, const struct report *report, enum scene scene)
{
    fprintf(script, "set title 'Scene %s: %s'\n", scene_name(scene),
            scene == SCENE_ONE ? "the field report" : "the indexer");
    size_t curves = 0;
    for (size_t i = 0; i < report->count; i++) {
        if (report->runs[i].scene == scene && report->runs[i].sample_count > 0)
            write_curve(script, &report->runs[i], curves++);
    }
    fputs("\n", script);
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
    const bool *scenes = report->options->scenes;
    int shown = scenes[SCENE_ONE] + scenes[SCENE_TWO];
    fprintf(script,
            "# Run in this folder: gnuplot memory.gp\n"
            "set terminal svg size 1100,%d dynamic font 'sans-serif,13' background '#ffffff'\n"
            "set output 'memory.svg'\n"
            "set datafile separator ','\n"
            "set key outside right top\n"
            "set grid\n"
            "set xlabel 'seconds since the start of the process'\n"
            "set ylabel 'resident, MiB (Rss less LazyFree)'\n"
            "set yrange [0:*]\n"
            "set multiplot layout %d,1\n",
            460 * shown, shown);
    for (enum scene scene = SCENE_ONE; scene < SCENE_COUNT; scene++) {
        if (scenes[scene])
            write_scene(script, report, scene);
    }
    fputs("unset multiplot\n", script);
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
