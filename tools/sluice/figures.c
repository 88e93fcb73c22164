#include "tools/sluice/figures.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

struct figures_size figures_size(uint64_t bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    struct figures_size out;
    unsigned unit = 0;
    double n = (double)bytes;
    for (; n >= 1023.95 && unit < 6; unit++)
        n /= 1024;
    int digits = unit == 0 || n >= 99.95 ? 0 : n >= 9.995 ? 1 : 2;
    snprintf(out.text, sizeof out.text, "%.*f%s", digits, n, units[unit]);
    return out;
}

void figures_command(pid_t pid, char *out, size_t size)
{
    char path[64], name[16] = "";
    snprintf(path, sizeof path, "/proc/%d/comm", (int)pid);
    FILE *file = fopen(path, "re");
    if (file != NULL && fgets(name, sizeof name, file) != NULL)
        name[strcspn(name, "\n")] = '\0';
    if (file != NULL)
        fclose(file);
    page_show_text(name, out, size);
}

/* ---- For people ------------------------------------------------------------------------------ */

static void print_time(int64_t seconds, FILE *out)
{
    char text[64];
    time_t t = (time_t)seconds;
    struct tm tm;
    if (localtime_r(&t, &tm) == NULL || strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &tm) == 0)
        snprintf(text, sizeof text, "%" PRId64 " s", seconds);
    fputs(text, out);
}

static void print_lines(const char *text, const char *before, FILE *out)
{
    while (*text != '\0') {
        size_t n = strcspn(text, "\n");
        fprintf(out, "%s%.*s\n", before, (int)n, text);
        text += n + (text[n] == '\n');
    }
}

static void print_reload(const struct page *page, FILE *out)
{
    const struct observe_reload *r = &page->reload;
    fprintf(out, "policy    %s, generation %" PRIu64 "\n",
            page->path[0] == '\0' ? "from no file" : page->path, r->generation);
    if (r->attempts == 0)
        return;
    fprintf(out, "reload    %s, ", page->error[0] == '\0' ? "succeeded" : "FAILED");
    print_time(r->last_attempt_time, out);
    fprintf(out, "; %" PRIu64 " attempts, %" PRIu64 " failed\n", r->attempts, r->failures);
    print_lines(page->error[0] == '\0' ? page->report : page->error, "          ", out);
}

void figures_text(const struct page *page, pid_t pid, FILE *out)
{
    char command[64];
    const struct observe_process *p = &page->process;
    figures_command(pid, command, sizeof command);
    fprintf(out,
            "process   %d %s, %" PRIu64 " threads, %" PRIu64 " arenas (%" PRIu64 " draining)\n",
            (int)pid, command, p->threads, p->arenas, p->draining_arenas);
    print_reload(page, out);
    fprintf(out, "memory    %s live, %s cached, %s metadata, %s left to the kernel\n\n",
            figures_size(p->live_bytes).text, figures_size(p->cached_bytes).text,
            figures_size(p->metadata_bytes).text, figures_size(p->lazy_bytes).text);
    fprintf(out, "%-24s %9s %9s %9s %9s %9s %9s %11s %7s  %s\n", "MODULE", "LIVE", "PEAK",
            "RESIDENT", "CACHED", "LIMIT", "DRAINING", "OBJECTS", "FAILED", "BACKEND");
    for (uint32_t i = 0; i < page->count; i++) {
        const struct page_module *m = &page->modules[i];
        const struct observe_module *f = &m->figures;
        fprintf(out, "%-24s %9s %9s %9s %9s %9s %9s %11" PRIu64 " %7" PRIu64 "  %s%s\n", m->name,
                figures_size(f->live_bytes).text, figures_size(f->peak_live_bytes).text,
                figures_size(f->resident_bytes).text, figures_size(f->cached_bytes).text,
                f->limit_bytes == 0 ? "-" : figures_size(f->limit_bytes).text,
                f->draining_bytes == 0 ? "-" : figures_size(f->draining_bytes).text,
                f->live_objects, f->failed_allocations, m->backends,
                (f->flags & OBSERVE_OVERRIDDEN) != 0 ? " (override)" : "");
    }
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static void json_text(const char *s, size_t n, FILE *out)
{
    putc('"', out);
    for (; n > 0; s++, n--) {
        if (*s == '"' || *s == '\\')
            putc('\\', out);
        if (*s == '\n')
            fputs("\\n", out);
        else
            putc(*s, out);
    }
    putc('"', out);
}

static void json_or_null(const char *s, FILE *out)
{
    if (*s == '\0')
        fputs("null", out);
    else
        json_text(s, strlen(s), out);
}

/* The parts of a text between separators, as a list. */
static void json_parts(const char *s, const char *separator, FILE *out)
{
    putc('[', out);
    for (const char *at = s; *at != '\0';) {
        size_t n = strcspn(at, separator);
        if (at != s)
            fputs(", ", out);
        json_text(at, n, out);
        at += n + (at[n] != '\0');
    }
    putc(']', out);
}

static void json_number(const char *name, uint64_t n, FILE *out)
{
    fprintf(out, ", \"%s\": %" PRIu64, name, n);
}

static void json_process(const struct observe_process *p, FILE *out)
{
    fprintf(out, "  \"process\": {\"modules\": %" PRIu64, p->modules);
    json_number("threads", p->threads, out);
    json_number("arenas", p->arenas, out);
    json_number("draining_arenas", p->draining_arenas, out);
    json_number("live_bytes", p->live_bytes, out);
    json_number("cached_bytes", p->cached_bytes, out);
    json_number("metadata_bytes", p->metadata_bytes, out);
    json_number("chunk_bytes", p->chunk_bytes, out);
    json_number("reserved_bytes", p->reserved_bytes, out);
    json_number("lazy_bytes", p->lazy_bytes, out);
    fputs("},\n", out);
}

static void json_time(const char *name, int64_t seconds, FILE *out)
{
    if (seconds == 0)
        fprintf(out, ", \"%s\": null", name);
    else
        fprintf(out, ", \"%s\": %" PRId64, name, seconds);
}

static void json_reload(const struct page *page, FILE *out)
{
    const struct observe_reload *r = &page->reload;
    fprintf(out, "  \"reload\": {\"generation\": %" PRIu64, r->generation);
    json_number("attempts", r->attempts, out);
    json_number("successes", r->successes, out);
    json_number("failures", r->failures, out);
    json_time("last_attempt", r->last_attempt_time, out);
    json_time("last_success", r->last_success_time, out);
    fputs(", \"policy\": ", out);
    json_or_null(page->path, out);
    fputs(", \"error\": ", out);
    json_or_null(page->error, out);
    fputs(", \"report\": ", out);
    json_parts(page->report, "\n", out);
    fputs("},\n", out);
}

static void json_module(const struct page_module *m, FILE *out)
{
    const struct observe_module *f = &m->figures;
    fputs("    {\"module\": ", out);
    json_text(m->name, strlen(m->name), out);
    fputs(", \"backends\": ", out);
    json_parts(m->backends, ",", out);
    fprintf(out, ", \"overridden\": %s", (f->flags & OBSERVE_OVERRIDDEN) != 0 ? "true" : "false");
    json_number("live_objects", f->live_objects, out);
    json_number("live_bytes", f->live_bytes, out);
    json_number("peak_live_bytes", f->peak_live_bytes, out);
    json_number("allocated_objects", f->allocated_objects, out);
    json_number("freed_objects", f->freed_objects, out);
    json_number("failed_allocations", f->failed_allocations, out);
    json_number("resident_bytes", f->resident_bytes, out);
    json_number("cached_bytes", f->cached_bytes, out);
    json_number("metadata_bytes", f->metadata_bytes, out);
    if (f->limit_bytes == 0)
        fputs(", \"limit_bytes\": null", out);
    else
        json_number("limit_bytes", f->limit_bytes, out);
    json_number("draining_bytes", f->draining_bytes, out);
    putc('}', out);
}

void figures_json(const struct page *page, pid_t pid, FILE *out)
{
    char command[64];
    figures_command(pid, command, sizeof command);
    fprintf(out, "{\n  \"format\": 1,\n  \"pid\": %d,\n  \"command\": ", (int)pid);
    json_text(command, strlen(command), out);
    fprintf(out, ",\n  \"time\": %" PRId64 ",\n", page->wall_time);
    json_process(&page->process, out);
    json_reload(page, out);
    fputs("  \"modules\": [\n", out);
    for (uint32_t i = 0; i < page->count; i++) {
        json_module(&page->modules[i], out);
        fputs(i + 1 < page->count ? ",\n" : "\n", out);
    }
    fputs("  ]\n}\n", out);
}
