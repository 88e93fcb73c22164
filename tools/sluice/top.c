/* top.c - `sluice top`: a live table of a process's modules; without a process, those that have Sluice. */
#include <curses.h>
#include <errno.h>
#include <langinfo.h>
#include <locale.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <wchar.h>

#include "config/units.h"
#include "core/os.h"
#include "tools/sluice/arguments.h"
#include "tools/sluice/commands.h"
#include "tools/sluice/figures.h"
#include "tools/sluice/peer.h"
#include "tools/sluice/table.h"

#define NAME "sluice top"

static const char help[] =
    "Usage: sluice top [--interval DURATION] [PID]\n"
    "A live table of what each module of a running process holds. Without PID: the processes\n"
    "that have Sluice and may be asked.\n"
    "\n"
    "Options:\n"
    "  --interval DURATION   between readings: 100ms to 60s; 1s by default\n"
    "\n"
    "Columns: RATE is objects allocated a second, HISTORY the live bytes of the last 20\n"
    "readings, relative to their largest.\n"
    "\n"
    "Keys: left and right, or < and >: sort by another column; r: the other way round;\n"
    "/: show modules whose name has a text; up, down, page up, page down: scroll; ^L: draw anew;\n"
    "q: quit.\n"
    "\n"
    "Exit status: 0; 1 the process cannot be read, or has ended; 2 wrong usage.\n";

static const struct option_spec specs[] = {{"--interval", true}, {NULL, false}};

static const struct {
    const char *title;
    int width;
} columns[TABLE_COLUMNS] = {{"MODULE", -24}, {"LIVE", 8},  {"PEAK", 8},     {"RESIDENT", 8},
                            {"CACHED", 8},   {"LIMIT", 8}, {"DRAINING", 8}, {"RATE", 9}};

struct top {
    struct peer peer;
    struct table table;
    unsigned period_ms;
    uint64_t changed; /* when the page last did: CLOCK_MONOTONIC, ns */
    uint32_t first;   /* line shown */
    bool is_typing;   /* the filter */
    bool is_utf8;
    char command[64];
};

/* ---- The screen ------------------------------------------------------------------------------ */

/* At most `width` columns of a text, then blanks up to there. */
static void put(const char *text, int width)
{
    mbstate_t state = {0};
    while (*text != '\0' && width > 0) {
        wchar_t wide[2] = {L'?', 0};
        size_t n = mbrtowc(wide, text, MB_CUR_MAX, &state);
        if (n == (size_t)-1 || n == (size_t)-2) { /* a locale that has no such character */
            n = 1;
            wide[0] = L'?';
            memset(&state, 0, sizeof state);
        }
        int columns_of = wcwidth(wide[0]);
        if (columns_of < 0 || columns_of > width)
            break;
        addwstr(wide);
        width -= columns_of;
        text += n;
    }
    for (; width > 0; width--)
        addch(' ');
}

static void put_right(const char *text, int width)
{
    printw("%*s", width, text);
}

static void put_history(const struct top *top, uint32_t module)
{
    static const wchar_t blocks[] = L"▁▂▃▄▅▆▇█";
    static const char plain[] = " .:-=+*#";
    unsigned marks[TABLE_HISTORY];
    unsigned n = table_marks(&top->table, module, 8, marks);
    for (unsigned i = n; i < TABLE_HISTORY; i++)
        addch(' ');
    for (unsigned i = 0; i < n; i++) {
        if (top->is_utf8)
            addnwstr(blocks + marks[i], 1);
        else
            addch((chtype)plain[marks[i]]);
    }
}

static void put_line(const struct top *top, uint32_t module)
{
    const struct page_module *m = &top->table.page->modules[module];
    put(m->name, 24);
    for (enum table_column c = TABLE_LIVE; c < TABLE_RATE; c++) {
        uint64_t n = (uint64_t)table_value(&top->table, module, c);
        bool none = n == 0 && (c == TABLE_LIMIT || c == TABLE_DRAINING);
        addch(' ');
        put_right(none ? "-" : figures_size(n).text, columns[c].width);
    }
    printw(" %*.0f ", columns[TABLE_RATE].width, table_rate(&top->table, module));
    put_history(top, module);
    addstr("  ");
    put(m->backends, getmaxx(stdscr) - getcurx(stdscr));
}

static void put_titles(const struct top *top)
{
    for (enum table_column c = TABLE_MODULE; c < TABLE_COLUMNS; c++) {
        if (c == top->table.sorted_by)
            attron(A_REVERSE);
        printw("%*s", columns[c].width, columns[c].title);
        attroff(A_REVERSE);
        addch(' ');
    }
    printw("%-*s  %s", TABLE_HISTORY, "HISTORY", "BACKEND");
}

/* NULL: it runs. */
static const char *hindrance(struct top *top)
{
    uint64_t patience = top->period_ms * UINT64_C(2000000);
    if (patience < 2000000000u)
        patience = 2000000000u;
    return os_now() - top->changed > patience ? "does not run: these figures are old" : NULL;
}

static void put_head(struct top *top)
{
    const struct page *page = top->table.page;
    const char *why = hindrance(top);
    char line[400];
    snprintf(line, sizeof line, "%d %s: %s live, %s cached, generation %llu%s%s",
             (int)top->peer.pid, top->command, figures_size(page->process.live_bytes).text,
             figures_size(page->process.cached_bytes).text,
             (unsigned long long)page->reload.generation, why == NULL ? "" : "; IT ",
             why == NULL ? "" : why);
    move(0, 0);
    put(line, getmaxx(stdscr));
    snprintf(line, sizeof line, "%s%.300s", page->error[0] == '\0' ? "" : "last reload FAILED: ",
             page->error[0] == '\0' ? page->path : page->error);
    line[strcspn(line, "\n")] = '\0';
    move(1, 0);
    put(line, getmaxx(stdscr));
    snprintf(line, sizeof line, "%u of %u modules%s%s%s", top->table.line_count, page->count,
             top->is_typing || top->table.filter[0] != '\0' ? " with \"" : "", top->table.filter,
             top->is_typing                 ? "_"
             : top->table.filter[0] != '\0' ? "\""
                                            : "");
    move(2, 0);
    put(line, getmaxx(stdscr));
}

static void draw(struct top *top)
{
    int rows = getmaxy(stdscr) - 5;
    uint32_t last = rows > 0 && top->table.line_count > (uint32_t)rows
                        ? top->table.line_count - (uint32_t)rows
                        : 0;
    top->first = top->first > last ? last : top->first;
    erase();
    put_head(top);
    move(4, 0);
    put_titles(top);
    for (int i = 0; i < rows && top->first + (uint32_t)i < top->table.line_count; i++) {
        move(5 + i, 0);
        put_line(top, top->table.order[top->first + (uint32_t)i]);
    }
    refresh();
}

/* ---- Keys ------------------------------------------------------------------------------------ */

static void type(struct top *top, int key)
{
    char *filter = top->table.filter;
    size_t n = strlen(filter);
    if (key == '\n' || key == '\r' || key == KEY_ENTER)
        top->is_typing = false;
    else if (key == 27)
        top->is_typing = false, filter[0] = '\0';
    else if ((key == KEY_BACKSPACE || key == 127 || key == 8) && n > 0)
        filter[n - 1] = '\0';
    else if (key >= ' ' && key < 127 && n < sizeof top->table.filter - 1)
        filter[n] = (char)key, filter[n + 1] = '\0';
    table_sort(&top->table);
}

static void scroll_by(struct top *top, int lines)
{
    long long first = (long long)top->first + lines;
    top->first = first < 0 ? 0 : (uint32_t)first;
}

static void sort_by(struct top *top, int step)
{
    top->table.sorted_by =
        (enum table_column)(((int)top->table.sorted_by + TABLE_COLUMNS + step) % TABLE_COLUMNS);
    table_sort(&top->table);
}

/* false: quit. */
static bool obey(struct top *top, int key)
{
    int page = getmaxy(stdscr) - 6;
    if (top->is_typing) {
        type(top, key);
        return true;
    }
    switch (key) {
    case 'q':
        return false;
    case 'L' - '@': /* as everywhere: draw all of it again */
        clearok(stdscr, TRUE);
        break;
    case '/':
        top->is_typing = true;
        top->table.filter[0] = '\0';
        table_sort(&top->table);
        break;
    case 'r':
        top->table.reversed = !top->table.reversed;
        table_sort(&top->table);
        break;
    case KEY_LEFT:
    case '<':
        sort_by(top, -1);
        break;
    case KEY_RIGHT:
    case '>':
        sort_by(top, 1);
        break;
    case KEY_UP:
    case KEY_DOWN:
        scroll_by(top, key == KEY_UP ? -1 : 1);
        break;
    case KEY_PPAGE:
    case KEY_NPAGE:
        scroll_by(top, key == KEY_PPAGE ? -page : page);
        break;
    default:
        break;
    }
    return true;
}

/* ---- The process ----------------------------------------------------------------------------- */

/* false: it cannot be read any more; peer.why says why. */
static bool read_again(struct top *top)
{
    /* One that stands still is not asked: it would not answer. */
    struct page *page = peer_page(&top->peer);
    if (page == NULL)
        return hindrance(top) != NULL && !peer_has_ended(&top->peer);
    bool is_new = top->table.page == NULL || page->sequence != top->table.page->sequence;
    if (!is_new) {
        free(page);
        return true;
    }
    top->changed = os_now();
    bool outgrown = page->outgrown;
    if (!table_take(&top->table, page)) {
        snprintf(top->peer.why, sizeof top->peer.why, "no memory for its figures");
        return false;
    }
    if (!outgrown)
        return true;
    page = peer_read(&top->peer, top->period_ms);
    return page != NULL && table_take(&top->table, page);
}

/* Waits for the next reading or a key. false: the process has gone. */
static bool wait_for_news(struct top *top, uint64_t due)
{
    uint64_t now = os_now();
    struct pollfd fds[2] = {{.fd = STDIN_FILENO, .events = POLLIN}, {.fd = top->peer.fd}};
    poll(fds, 2, now >= due ? 0 : (int)((due - now) / 1000000) + 1);
    if ((fds[1].revents & (POLLHUP | POLLERR)) == 0)
        return true;
    if (!peer_has_ended(&top->peer))
        snprintf(top->peer.why, sizeof top->peer.why, "it has ended, or closed its door");
    return false;
}

/* Until a key says so (true), or the process cannot be read any more. */
static bool watch(struct top *top)
{
    uint64_t due = 0;
    for (;;) {
        if (os_now() >= due) {
            if (!read_again(top))
                return false;
            due = os_now() + top->period_ms * UINT64_C(1000000);
        }
        for (int key; (key = getch()) != ERR;)
            if (!obey(top, key))
                return true;
        draw(top);
        if (!wait_for_news(top, due))
            return false;
    }
}

static bool show(struct top *top)
{
    struct page *page = peer_read(&top->peer, top->period_ms);
    if (page == NULL || !table_take(&top->table, page))
        return false;
    top->changed = os_now();
    SCREEN *screen = newterm(NULL, stdout, stdin);
    if (screen == NULL) {
        snprintf(top->peer.why, sizeof top->peer.why, "the terminal is of no known kind ($TERM)");
        return false;
    }
    cbreak();
    noecho();
    keypad(stdscr, TRUE);
    nodelay(stdscr, TRUE);
    set_escdelay(25);
    curs_set(0);
    bool asked_to_quit = watch(top);
    endwin();
    delscreen(screen);
    return asked_to_quit;
}

static int top_of(pid_t pid, unsigned period_ms)
{
    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO)) {
        fprintf(stderr, NAME ": this is no terminal; sluice stat prints a single reading\n");
        return EXIT_FAILED;
    }
    struct top top = {.table = {.sorted_by = TABLE_LIVE}, .period_ms = period_ms};
    setlocale(LC_CTYPE, "");
    top.is_utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
    figures_command(pid, top.command, sizeof top.command);
    bool ok = peer_visit(&top.peer, pid) && show(&top);
    peer_leave(&top.peer);
    table_free(&top.table);
    if (!ok)
        fprintf(stderr, NAME ": process %d: %s\n", (int)pid, top.peer.why);
    return ok ? EXIT_GOOD : EXIT_FAILED;
}

/* ---- All processes --------------------------------------------------------------------------- */

static int list_all(void)
{
    enum { MOST = 1024 };
    static pid_t pids[MOST];
    size_t count = peer_list(pids, MOST);
    printf("%10s %-16s %9s %9s %10s  %s\n", "PID", "COMMAND", "LIVE", "CACHED", "GENERATION",
           "POLICY");
    for (size_t i = 0; i < count; i++) {
        char command[64];
        struct peer peer;
        struct page *page = peer_visit(&peer, pids[i]) ? peer_read(&peer, 0) : NULL;
        peer_leave(&peer);
        figures_command(pids[i], command, sizeof command);
        if (page == NULL)
            printf("%10d %-16s %s\n", (int)pids[i], command, peer.why);
        else
            printf("%10d %-16s %9s %9s %10llu  %s\n", (int)pids[i], command,
                   figures_size(page->process.live_bytes).text,
                   figures_size(page->process.cached_bytes).text,
                   (unsigned long long)page->reload.generation, page->path);
        free(page);
    }
    return EXIT_GOOD;
}

int top_main(int argc, char **argv)
{
    const char *value, *text = NULL;
    int index;
    uint64_t interval = 1000000000;
    struct arguments arguments;
    arguments_begin(&arguments, NAME, specs, argc, argv);
    for (;;) {
        switch (arguments_next(&arguments, &index, &value)) {
        case ARGUMENTS_OPTION:
            if (units_parse_duration(value, &interval, NULL) != UNITS_OK || interval < 100000000 ||
                interval > UINT64_C(60000000000))
                return arguments_wrong(NAME, "--interval \"%s\": expected 100ms to 60s", value);
            break;
        case ARGUMENTS_OPERAND:
            if (text != NULL)
                return arguments_wrong(NAME, "\"%s\" is one argument too many", value);
            text = value;
            break;
        case ARGUMENTS_HELP:
            fputs(help, stdout);
            return EXIT_GOOD;
        case ARGUMENTS_VERSION:
            return arguments_print_version();
        case ARGUMENTS_WRONG:
            return EXIT_USAGE;
        case ARGUMENTS_END:
            if (text != NULL && peer_parse_pid(text) == 0)
                return arguments_wrong(NAME, "\"%s\" is no process's number", text);
            return text == NULL ? list_all()
                                : top_of(peer_parse_pid(text), (unsigned)(interval / 1000000));
        }
    }
}
