/* Loading policies: by string, file, call, signal and change of the file; all or nothing each time. */
#include "core/reload.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/route.h"
#include "tests/support/testing.h"

static const char to_pool[] = "sluice: 1\ndefault: mmap\nmodules: {m: pool}\n";
static const char to_glibc[] = "sluice: 1\ndefault: mmap\nmodules: {m: glibc}\n";
static const char to_jemalloc[] = "sluice: 1\ndefault: mmap\nmodules: {m: jemalloc}\n";
static const char broken[] = "sluice: 1\ndefault: mmap\nmodules:\n  m: nowhere\n";

static const char *path_of(const char *name)
{
    static char paths[4][4500];
    static unsigned next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", test_folder(), name);
    return path;
}

static const char *serves(void)
{
    void *p = sluice_malloc(use_module("m"), 100);
    const char *kind = kind_of(p);
    sluice_free(p);
    return kind;
}

static enum sluice_result load(const char *text)
{
    return sluice_policy_load_string(text, strlen(text));
}

/* ---- By call --------------------------------------------------------------------------------- */

START_TEST(strings)
{
    ck_assert_int_eq(load(to_pool), SLUICE_OK);
    ck_assert_str_eq(serves(), "pool");
    /* No NUL is needed at the end. */
    char *text = test_memory(4096);
    size_t n = strlen(to_glibc);
    memcpy(text + 4096 - n, to_glibc, n);
    ck_assert_int_eq(sluice_policy_load_string(text + 4096 - n, n), SLUICE_OK);
    ck_assert_str_eq(serves(), "glibc");
    ck_assert_int_eq(sluice_policy_load_string(NULL, 10), SLUICE_ERROR_INVALID);
    ck_assert_int_eq(sluice_policy_load_string("", 0), SLUICE_ERROR_POLICY);
    ck_assert_str_eq(reload_status().path, "");
    ck_assert_int_eq(sluice_policy_reload(), SLUICE_ERROR_STATE); /* it came from no file */
}
END_TEST

START_TEST(files)
{
    const char *path = path_of("a.yaml");
    write_file(path, to_pool);
    ck_assert_int_eq(sluice_policy_load_file(path), SLUICE_OK);
    ck_assert_str_eq(serves(), "pool");
    ck_assert_str_eq(reload_status().path, path);
    write_file(path, to_glibc);
    ck_assert_int_eq(sluice_policy_reload(), SLUICE_OK);
    ck_assert_str_eq(serves(), "glibc");
    ck_assert_int_eq(sluice_policy_load_file(NULL), SLUICE_ERROR_INVALID);
    ck_assert_int_eq(sluice_policy_load_file(""), SLUICE_ERROR_INVALID);
    ck_assert_int_eq(sluice_policy_load_file(path_of("missing")), SLUICE_ERROR_IO);
    ck_assert_ptr_nonnull(strstr(sluice_error_message(), "missing"));
    ck_assert_str_eq(serves(), "glibc");
}
END_TEST

START_TEST(a_broken_policy_changes_nothing)
{
    const char *good = path_of("good.yaml"), *bad = path_of("bad.yaml");
    write_file(good, to_pool);
    write_file(bad, broken);
    ck_assert_int_eq(sluice_init(good), SLUICE_OK);
    char *object = sluice_strdup(use_module("m"), "kept");
    struct sluice_reload_status before = reload_status();
    ck_assert_uint_eq(before.generation, sluice_policy_generation());

    ck_assert_int_eq(sluice_policy_load_file(bad), SLUICE_ERROR_POLICY);
    ck_assert_ptr_nonnull(strstr(sluice_error_message(), "bad.yaml:4:"));
    ck_assert_int_eq(load(broken), SLUICE_ERROR_POLICY);
    ck_assert_ptr_nonnull(strstr(sluice_error_message(), "<string>:4:"));
    ck_assert_int_eq(sluice_policy_load_file(path_of("missing")), SLUICE_ERROR_IO);

    struct sluice_reload_status after = reload_status();
    ck_assert_uint_eq(after.attempts, before.attempts + 3);
    ck_assert_uint_eq(after.failures, before.failures + 3);
    ck_assert_uint_eq(after.successes, before.successes);
    ck_assert_uint_eq(after.generation, before.generation);
    ck_assert_str_eq(after.path, before.path);
    ck_assert_str_eq(after.last_report, before.last_report);
    ck_assert_ptr_nonnull(strstr(after.last_error, "missing"));
    ck_assert_str_eq(serves(), "pool");
    ck_assert_str_eq(object, "kept");
    sluice_free(object);

    /* What is read again is the file that is in force, not one that never was. */
    ck_assert_int_eq(sluice_policy_reload(), SLUICE_OK);
    ck_assert_str_eq(reload_status().path, good);
    ck_assert_str_eq(reload_status().last_error, "");
}
END_TEST

START_TEST(the_status_tells_how_it_went)
{
    ck_assert_int_eq(load(to_pool), SLUICE_OK);
    ck_assert_int_eq(load(to_glibc), SLUICE_OK);
    struct sluice_reload_status s = reload_status();
    ck_assert_uint_eq(s.attempts, 2);
    ck_assert_uint_eq(s.successes, 2);
    ck_assert_uint_eq(s.failures, 0);
    ck_assert_int_gt(s.last_attempt_time, 1500000000);
    ck_assert_int_eq(s.last_success_time, s.last_attempt_time);
    ck_assert_ptr_nonnull(strstr(s.last_report, "modules.m.route: applies to new allocations"));
    struct sluice_process_stats p = process_stats();
    ck_assert_uint_eq(p.reload_attempts, 2);
    ck_assert_uint_eq(p.reload_successes, 2);
    ck_assert_uint_eq(p.generation, s.generation);

    /* A caller of an older or a newer library. */
    char raw[sizeof s + 16];
    memset(raw, 0x77, sizeof raw);
    struct sluice_reload_status *other = (struct sluice_reload_status *)(void *)raw;
    other->struct_size = offsetof(struct sluice_reload_status, failures);
    ck_assert_int_eq(sluice_reload_status(other), SLUICE_OK);
    ck_assert_uint_eq(other->successes, 2);
    ck_assert_int_eq(raw[offsetof(struct sluice_reload_status, failures)], 0x77);
    other->struct_size = sizeof raw;
    ck_assert_int_eq(sluice_reload_status(other), SLUICE_OK);
    ck_assert_uint_eq(other->struct_size, sizeof raw);
    ck_assert_int_eq(raw[sizeof s], 0x77);
    other->struct_size = 8;
    ck_assert_int_eq(sluice_reload_status(other), SLUICE_ERROR_INVALID);
    ck_assert_int_eq(sluice_reload_status(NULL), SLUICE_ERROR_INVALID);
}
END_TEST

/* Whether a parameter reaches what exists is for the backend to say, of each arena that there is. */
START_TEST(the_report_says_what_arenas_took)
{
    static const struct {
        const char *parameters;
        const char *report;
    } steps[] = {
        {"arenas: 4, dirty_decay: 1s", NULL},
        {"arenas: 6, dirty_decay: 1s", "backends.j.arenas: applied"},
        {"arenas: 6, dirty_decay: 2s", "backends.j.dirty_decay: applied"},
        /* Threads keep their places, so fewer of them take a new arena; with it goes all else that changed. */
        {"arenas: 2, dirty_decay: 2s", "backends.j.arenas: applies to new allocations"},
        {"arenas: 1, dirty_decay: 3s", "backends.j.arenas: applies to new allocations\n"
                                       "backends.j.dirty_decay: applies to new allocations"},
    };
    for (size_t i = 0; i < LENGTH(steps); i++) {
        char text[256];
        snprintf(text, sizeof text,
                 "default: mmap\nbackends: {j: {kind: jemalloc, %s}}\nmodules: {m: j}\n",
                 steps[i].parameters);
        uint64_t arenas = process_stats().arenas;
        use_policy(text);
        if (steps[i].report != NULL)
            ck_assert_str_eq(reload_status().last_report, steps[i].report);
        void *p = sluice_malloc(use_module("m"), 1000);
        bool is_new = process_stats().arenas > arenas;
        ck_assert_int_eq(is_new, i == 0 || strstr(steps[i].report, "new allocations") != NULL);
        (void)p; /* it keeps its arena */
    }
}
END_TEST

static void start_with_broken(void *path)
{
    setenv("SLUICE_POLICY", path, 1);
    void *p = sluice_malloc(SLUICE_MODULE_DEFAULT, 100); /* the start itself */
    if (p == NULL || reload_status().failures != 1)
        _exit(1);
    sluice_free(p);
    /* Once the file is whole, a reload finds it. */
    write_file(path, to_glibc);
    if (sluice_policy_reload() != SLUICE_OK || strcmp(serves(), "glibc") != 0)
        _exit(2);
}

START_TEST(a_broken_policy_at_the_start_is_told_and_the_defaults_serve)
{
    char path[4500];
    snprintf(path, sizeof path, "%s", path_of("environment.yaml"));
    write_file(path, broken);
    struct child child = run_child(start_with_broken, path, 20000);
    ck_assert_msg(child_succeeded(&child), "%x: %s", (unsigned)child.status, child.error);
    ck_assert_ptr_nonnull(strstr(child.error, "environment.yaml:4:"));
}
END_TEST

/* ---- By signal ------------------------------------------------------------------------------- */

static _Atomic uint32_t plain_calls, info_calls;

static void plain_handler(int signo)
{
    atomic_fetch_add(&plain_calls, 1);
}

static void info_handler(int signo, siginfo_t *info, void *context)
{
    if (info != NULL && info->si_pid == getpid() && context != NULL)
        atomic_fetch_add(&info_calls, 1);
}

static bool attempted(void *at_least)
{
    return reload_status().attempts >= *(uint64_t *)at_least;
}

static void wait_for_attempt(uint64_t n)
{
    ck_assert(wait_until(attempted, &n, 20000));
}

START_TEST(a_signal_reloads_and_the_old_handler_is_called)
{
    signal(SIGHUP, plain_handler);
    struct sigaction action = {.sa_sigaction = info_handler, .sa_flags = SA_SIGINFO};
    sigaction(SIGUSR1, &action, NULL);
    const char *path = path_of("signal.yaml");
    write_file(path, to_pool);
    ck_assert_int_eq(sluice_init(path), SLUICE_OK);
    ck_assert_int_eq(sluice_reload_on_signal(SIGHUP), SLUICE_OK);
    ck_assert_int_eq(sluice_reload_on_signal(SIGHUP), SLUICE_OK); /* again: the same, no loop */
    ck_assert_int_eq(sluice_reload_on_signal(SIGUSR1), SLUICE_OK);

    write_file(path, to_glibc);
    uint64_t attempts = reload_status().attempts;
    kill(getpid(), SIGHUP);
    wait_for_attempt(attempts + 1);
    ck_assert_str_eq(serves(), "glibc");
    ck_assert_uint_eq(atomic_load(&plain_calls), 1);

    write_file(path, broken);
    kill(getpid(), SIGUSR1);
    wait_for_attempt(attempts + 2);
    ck_assert_str_eq(serves(), "glibc");
    ck_assert_uint_eq(atomic_load(&info_calls), 1);
    ck_assert_ptr_nonnull(strstr(reload_status().last_error, "signal.yaml:4:"));
}
END_TEST

START_TEST(signals_that_nobody_can_handle_are_refused)
{
    ck_assert_int_eq(sluice_reload_on_signal(SIGKILL), SLUICE_ERROR_INVALID);
    ck_assert_int_eq(sluice_reload_on_signal(0), SLUICE_ERROR_INVALID);
    ck_assert_int_eq(sluice_reload_on_signal(-5), SLUICE_ERROR_INVALID);
    ck_assert_int_eq(sluice_reload_on_signal(1000), SLUICE_ERROR_INVALID);
}
END_TEST

START_TEST(the_policy_names_its_signal)
{
    signal(SIGUSR2, plain_handler);
    const char *path = path_of("own.yaml");
    char text[512];
    snprintf(text, sizeof text, "%sreload: {signal: SIGUSR2, watch: false}\n", to_pool);
    write_file(path, text);
    ck_assert_int_eq(sluice_init(path), SLUICE_OK);
    uint64_t attempts = reload_status().attempts;
    kill(getpid(), SIGUSR2);
    wait_for_attempt(attempts + 1);
    /* Without it the old handler is back. */
    write_file(path, to_pool);
    ck_assert_int_eq(sluice_policy_reload(), SLUICE_OK);
    attempts = reload_status().attempts;
    kill(getpid(), SIGUSR2);
    ck_assert_uint_eq(atomic_load(&plain_calls), 2);
    ck_assert_uint_eq(reload_status().attempts, attempts);
}
END_TEST

/* ---- By change of the file ------------------------------------------------------------------- */

static bool is_served_by(void *kind)
{
    return strcmp(serves(), kind) == 0;
}

static void write_watched(const char *path, const char *text)
{
    char with[1024];
    snprintf(with, sizeof with, "%sreload: {watch: true}\n", text);
    write_file(path, with);
}

#define wait_for(kind) ck_assert_msg(wait_until(is_served_by, (kind), 20000), "not %s", (kind))
static char pool_kind[] = "pool", glibc_kind[] = "glibc", jemalloc_kind[] = "jemalloc";

START_TEST(a_file_that_is_written_in_place)
{
    const char *path = path_of("in-place.yaml");
    write_watched(path, to_pool);
    ck_assert_int_eq(sluice_init(path), SLUICE_OK);
    ck_assert_str_eq(serves(), "pool");
    write_watched(path, to_glibc);
    wait_for(glibc_kind);
    write_watched(path, to_jemalloc);
    wait_for(jemalloc_kind);
    /* Mistakes stay without effect; the next good version has one. */
    uint64_t failures = reload_status().failures + 1, attempts = reload_status().attempts + 1;
    write_watched(path, broken);
    wait_for_attempt(attempts);
    ck_assert_uint_ge(reload_status().failures, failures);
    ck_assert_str_eq(serves(), "jemalloc");
    write_watched(path, to_pool);
    wait_for(pool_kind);
}
END_TEST

START_TEST(a_file_that_another_takes_the_place_of)
{
    char path[4500], other[4500];
    snprintf(path, sizeof path, "%s", path_of("renamed.yaml"));
    snprintf(other, sizeof other, "%s", path_of("renamed.yaml.new"));
    write_watched(path, to_pool);
    ck_assert_int_eq(sluice_init(path), SLUICE_OK);
    for (int i = 0; i < 3; i++) {
        write_watched(other, i % 2 == 0 ? to_glibc : to_pool);
        ck_assert_int_eq(rename(other, path), 0);
        wait_for(i % 2 == 0 ? glibc_kind : pool_kind);
    }
    /* Away for a while, then back. */
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_str_eq(serves(), "glibc");
    write_watched(path, to_jemalloc);
    wait_for(jemalloc_kind);
}
END_TEST

/* As Kubernetes mounts a ConfigMap: policy.yaml -> ..data/policy.yaml, ..data -> a folder that is swapped. */
START_TEST(a_link_that_is_swapped)
{
    char folder[2][4500], file[9300], data[4500], next[4500], path[4500];
    for (int i = 0; i < 2; i++) {
        snprintf(folder[i], sizeof folder[i], "%s", path_of(i == 0 ? "..2026_1" : "..2026_2"));
        ck_assert_int_eq(mkdir(folder[i], 0700), 0);
        snprintf(file, sizeof file, "%s/policy.yaml", folder[i]);
        write_watched(file, i == 0 ? to_pool : to_glibc);
    }
    snprintf(data, sizeof data, "%s", path_of("..data"));
    snprintf(next, sizeof next, "%s", path_of("..data_tmp"));
    snprintf(path, sizeof path, "%s", path_of("policy.yaml"));
    ck_assert_int_eq(symlink("..2026_1", data), 0);
    ck_assert_int_eq(symlink("..data/policy.yaml", path), 0);
    ck_assert_int_eq(sluice_init(path), SLUICE_OK);
    ck_assert_str_eq(serves(), "pool");
    for (int i = 0; i < 4; i++) {
        ck_assert_int_eq(symlink(i % 2 == 0 ? "..2026_2" : "..2026_1", next), 0);
        ck_assert_int_eq(rename(next, data), 0);
        wait_for(i % 2 == 0 ? glibc_kind : pool_kind);
    }
}
END_TEST

START_TEST(a_file_that_is_included)
{
    char path[4500], part[4500];
    snprintf(path, sizeof path, "%s", path_of("main.yaml"));
    snprintf(part, sizeof part, "%s", path_of("part.yaml"));
    write_file(part, "modules: {m: pool}\n");
    write_file(path, "sluice: 1\ndefault: mmap\ninclude: [part.yaml]\nreload: {watch: true}\n");
    ck_assert_msg(sluice_init(path) == SLUICE_OK, "%s", sluice_error_message());
    ck_assert_str_eq(serves(), "pool");
    write_file(part, "modules: {m: glibc}\n");
    wait_for(glibc_kind);
}
END_TEST

static bool is_waiting_in_read(void *tid)
{
    char path[64], text[64] = "";
    snprintf(path, sizeof path, "/proc/self/task/%d/syscall", *(_Atomic int *)tid);
    FILE *file = fopen(path, "r");
    if (file != NULL) {
        ck_assert_ptr_nonnull(fgets(text, sizeof text, file));
        fclose(file);
    }
    return strncmp(text, "0 ", 2) == 0; /* read(2) */
}

static _Atomic int loader_tid;

static void *load_slowly(void *path)
{
    atomic_store(&loader_tid, gettid());
    ck_assert_msg(sluice_init(path) == SLUICE_OK, "%s", sluice_error_message());
    return NULL;
}

/* A file is what was read of it, not what it has become until the policy is in force. A pipe makes the reading last. */
START_TEST(a_file_that_changes_while_the_policy_is_read)
{
    char path[4500], part[4500], slow[4500], other[4500];
    snprintf(path, sizeof path, "%s", path_of("main.yaml"));
    snprintf(part, sizeof part, "%s", path_of("part.yaml"));
    snprintf(slow, sizeof slow, "%s", path_of("slow.yaml"));
    snprintf(other, sizeof other, "%s", path_of("other.yaml"));
    write_file(part, "modules: {m: pool}\n");
    write_file(other, "modules: {n: pool}\n");
    write_file(
        path, "sluice: 1\ndefault: mmap\ninclude: [part.yaml, slow.yaml]\nreload: {watch: true}\n");
    ck_assert_int_eq(mkfifo(slow, 0600), 0);
    int fd = open(slow, O_RDWR | O_CLOEXEC);
    pthread_t loader;
    pthread_create(&loader, NULL, load_slowly, path);
    ck_assert(wait_until(is_waiting_in_read, &loader_tid, 10000));
    write_file(part, "modules: {m: glibc}\n");
    ck_assert_int_eq(rename(other, slow), 0);
    ck_assert_int_eq(write(fd, "modules: {n: mmap}\n", 19), 19);
    close(fd);
    pthread_join(loader, NULL);
    wait_for(glibc_kind);
}
END_TEST

/* ---- Many, and what they leave behind --------------------------------------------------------- */

static bool nothing_drains(void *unused)
{
    struct sluice_process_stats p = process_stats();
    return p.draining_arenas == 0;
}

START_TEST(arenas_that_drain_vanish)
{
    ck_assert_int_eq(load(to_pool), SLUICE_OK);
    sluice_module m = use_module("m");
    void *p[100];
    for (unsigned i = 0; i < LENGTH(p); i++)
        p[i] = sluice_malloc(m, 1000);
    uint64_t arenas = process_stats().arenas;
    ck_assert_uint_eq(stats_of(m).draining_bytes, 0);
    ck_assert_int_eq(load(to_glibc), SLUICE_OK);
    sluice_free(sluice_malloc(m, 10));
    ck_assert_uint_eq(stats_of(m).draining_bytes, stats_of(m).live_bytes);
    ck_assert_uint_eq(process_stats().draining_arenas, 1);
    ck_assert_uint_eq(process_stats().arenas, arenas + 1);
    for (unsigned i = 0; i < LENGTH(p); i++)
        sluice_free(p[i]);
    ck_assert(wait_until(nothing_drains, NULL, 10000));
    ck_assert_uint_eq(process_stats().arenas, arenas);
    struct sluice_module_stats s = stats_of(m);
    ck_assert_uint_eq(s.draining_bytes, 0);
    ck_assert_uint_eq(s.allocated_objects, LENGTH(p) + 1); /* totals stay */
    ck_assert_uint_eq(s.freed_objects, LENGTH(p) + 1);
}
END_TEST

START_TEST(a_policy_that_comes_back_finds_its_arena)
{
    ck_assert_int_eq(load(to_pool), SLUICE_OK);
    sluice_module m = use_module("m");
    void *p = sluice_malloc(m, 1000);
    uint64_t arenas = process_stats().arenas;
    for (int i = 0; i < 10; i++) {
        ck_assert_int_eq(load(to_glibc), SLUICE_OK);
        ck_assert_int_eq(load(to_pool), SLUICE_OK);
        sluice_free(sluice_malloc(m, 1000));
    }
    ck_assert_uint_le(process_stats().arenas, arenas + 1);
    ck_assert_uint_eq(stats_of(m).draining_bytes, 0);
    sluice_free(p);
}
END_TEST

START_TEST(thousands_of_reloads_leave_nothing_behind)
{
    static const char *const texts[] = {to_pool, to_glibc, to_jemalloc};
    uint64_t metadata = 0, resident = 0;
    sluice_module m = use_module("m");
    for (int i = 0; i < TESTING_SCALE(10000); i++) {
        ck_assert_int_eq(load(texts[i % 3]), SLUICE_OK);
        sluice_free(sluice_malloc(m, 100));
        if (i % 7 == 0)
            ck_assert_int_eq(load(broken), SLUICE_ERROR_POLICY);
        if (i == TESTING_SCALE(1000)) {
            metadata = process_stats().metadata_bytes;
            resident = kernel_resident();
        }
    }
    ck_assert_uint_le(process_stats().metadata_bytes, metadata + 512 * KIB);
    if (!SANITIZED)
        ck_assert_uint_le(kernel_resident(), resident + 2 * MIB);
}
END_TEST

static _Atomic uint32_t loads;

static void *load_in_turn(void *index)
{
    for (int i = 0; i < TESTING_SCALE(200); i++) {
        ck_assert_int_eq(load(((uintptr_t)index + (unsigned)i) % 2 == 0 ? to_pool : to_glibc),
                         SLUICE_OK);
        atomic_fetch_add(&loads, 1);
        sluice_free(sluice_malloc(0, 100));
    }
    return NULL;
}

START_TEST(threads_that_load_at_once_take_turns)
{
    run_threads(8, load_in_turn);
    ck_assert_uint_eq(reload_status().successes, atomic_load(&loads));
    ck_assert_uint_eq(reload_status().generation, 1 + atomic_load(&loads));
}
END_TEST

int main(void)
{
    TCase *cases[] = {tcase_create("calls"), tcase_create("signals"), tcase_create("files"),
                      tcase_create("many")};
    tcase_add_test(cases[0], strings);
    tcase_add_test(cases[0], files);
    tcase_add_test(cases[0], a_broken_policy_changes_nothing);
    tcase_add_test(cases[0], the_status_tells_how_it_went);
    tcase_add_test(cases[0], the_report_says_what_arenas_took);
    tcase_add_test(cases[0], a_broken_policy_at_the_start_is_told_and_the_defaults_serve);
    tcase_add_test(cases[1], a_signal_reloads_and_the_old_handler_is_called);
    tcase_add_test(cases[1], signals_that_nobody_can_handle_are_refused);
    tcase_add_test(cases[1], the_policy_names_its_signal);
    tcase_add_test(cases[2], a_file_that_is_written_in_place);
    tcase_add_test(cases[2], a_file_that_another_takes_the_place_of);
    tcase_add_test(cases[2], a_link_that_is_swapped);
    tcase_add_test(cases[2], a_file_that_is_included);
    tcase_add_test(cases[2], a_file_that_changes_while_the_policy_is_read);
    tcase_add_test(cases[3], arenas_that_drain_vanish);
    tcase_add_test(cases[3], a_policy_that_comes_back_finds_its_arena);
    tcase_add_test(cases[3], thousands_of_reloads_leave_nothing_behind);
    tcase_add_test(cases[3], threads_that_load_at_once_take_turns);
    return run_suite("reload", cases, LENGTH(cases));
}
