/* run.c - `sluice run`: a program with the preload library in it.
 *
 * Everything that can be known to go wrong is said before the program starts: then it becomes this process, so its exit
 * status and signals are its own.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/policy.h"
#include "tools/preload/environment.h"
#include "tools/preload/locate.h"
#include "tools/sluice/arguments.h"
#include "tools/sluice/commands.h"

#define NAME "sluice run"

enum { EXIT_NOT_EXECUTABLE = 126, EXIT_NOT_FOUND = 127 };

static const char help[] =
    "Usage: sluice run [-p POLICY] [--set MODULE=BACKEND]... [--no-children] [--] PROGRAM [ARGS]\n"
    "Runs an unmodified program with Sluice as its malloc. The program becomes this process:\n"
    "its exit status and its signals are its own.\n"
    "\n"
    "Options:\n"
    "  -p, --policy POLICY    the policy; without it $SLUICE_POLICY, else a built-in one\n"
    "  --set MODULE=BACKEND   who serves a module, whatever the policy says\n"
    "  --no-children          programs that it starts run without Sluice\n"
    "\n"
    "Exit status: the program's; 1 the policy is not valid, or the program is one that nothing\n"
    "can be preloaded into; 2 wrong usage; 126 it cannot be executed; 127 it was not found.\n";

enum { OPTION_P, OPTION_POLICY, OPTION_SET, OPTION_NO_CHILDREN };
static const struct option_spec specs[] = {
    {"-p", true}, {"--policy", true}, {"--set", true}, {"--no-children", false}, {NULL, false}};

struct request {
    const char *policy;
    const char **sets; /* MODULE=BACKEND */
    int set_count;
    bool alone; /* --no-children */
    char **program;
};

static int failed(const char *what, const char *why)
{
    fprintf(stderr, NAME ": %s: %s\n", what, why);
    return EXIT_FAILED;
}

/* ---- The environment that the program gets --------------------------------------------------- */

/* false: no memory. The value becomes "before + separator + after", parts that are NULL or "" left out. */
static bool join_variable(const char *name, const char *before, const char *separator,
                          const char *after)
{
    char *value;
    if (before == NULL || *before == '\0' || after == NULL || *after == '\0')
        separator = "";
    if (asprintf(&value, "%s%s%s", before == NULL ? "" : before, separator,
                 after == NULL ? "" : after) < 0)
        return false;
    bool ok = setenv(name, value, 1) == 0;
    free(value);
    return ok;
}

static bool find_library(char *path, size_t size)
{
    if (preload_locate(path, size))
        return true;
    fprintf(stderr,
            NAME ": there is no " PRELOAD_LIBRARY " in ../lib, seen from this program's folder\n");
    return false;
}

/* Absolute, as the program may change its folder before it reads it again; links stay links, as they may be swapped. */
static bool set_policy(const char *policy)
{
    char folder[PATH_MAX];
    if (*policy == '/')
        return setenv("SLUICE_POLICY", policy, 1) == 0;
    return getcwd(folder, sizeof folder) != NULL &&
           join_variable("SLUICE_POLICY", folder, "/", policy);
}

/* After those of the environment: of several for one module the last one counts. */
static bool set_overrides(const struct request *request)
{
    bool ok = true;
    for (int i = 0; i < request->set_count && ok; i++)
        ok = join_variable("SLUICE_OVERRIDE", getenv("SLUICE_OVERRIDE"), ",", request->sets[i]);
    return ok;
}

static int set_environment(const struct request *request)
{
    char library[PATH_MAX];
    if (!find_library(library, sizeof library))
        return EXIT_FAILED;
    if (strpbrk(library, " :") != NULL)
        return failed(library, "the dynamic linker cannot preload from a path with a space or a "
                               "colon; install Sluice elsewhere");
    if (!join_variable("LD_PRELOAD", library, ":", getenv("LD_PRELOAD")) ||
        (request->policy != NULL && !set_policy(request->policy)) || !set_overrides(request) ||
        (request->alone && setenv(PRELOAD_ALONE_VARIABLE, library, 1) != 0))
        return failed("environment", strerror(errno));
    return EXIT_GOOD;
}

/* ---- What can be known before ---------------------------------------------------------------- */

/* Overrides are looked at with the policy's backends. */
static int check_sets(const struct request *request, const struct policy *policy)
{
    for (int i = 0; i < request->set_count; i++) {
        const char *set = request->sets[i], *equals = strrchr(set, '=');
        if (equals == NULL || equals == set || equals[1] == '\0' || strchr(set, ',') != NULL)
            return arguments_wrong(NAME, "--set \"%s\": expected MODULE=BACKEND", set);
        if (policy_find_backend(policy, equals + 1) == UINT32_MAX) {
            fprintf(stderr, NAME ": --set \"%s\": the policy has no backend \"%s\"; it has:", set,
                    equals + 1);
            for (size_t b = 0; b < policy->backend_count; b++)
                fprintf(stderr, "%s %s", b == 0 ? "" : ",", policy->backends[b].name);
            fputc('\n', stderr);
            return EXIT_FAILED;
        }
    }
    return EXIT_GOOD;
}

/* The policy that the program will read: by the same parser, so that its mistakes are told here, and stop it. */
static int check_policy(const struct request *request)
{
    static char mistakes[64 << 10];
    struct policy *policy = NULL;
    const char *path = request->policy != NULL ? request->policy : getenv("SLUICE_POLICY");
    if (path == NULL || *path == '\0') {
        policy = policy_read_builtin();
    } else if (policy_read_file(path, &policy, mistakes, sizeof mistakes) != SLUICE_OK) {
        fprintf(stderr, "%s\n", mistakes);
        return EXIT_FAILED;
    }
    if (policy == NULL)
        return failed("policy", strerror(ENOMEM));
    int status = check_sets(request, policy);
    policy_destroy(policy);
    return status;
}

/* Has the file a dynamic linker that could preload? true too for what is no ELF file (a script), or cannot be read. */
static bool has_interpreter(int fd, const char **why)
{
    Elf64_Ehdr header;
    if (pread(fd, &header, sizeof header, 0) != (ssize_t)sizeof header ||
        memcmp(header.e_ident, ELFMAG, SELFMAG) != 0)
        return true;
    if (header.e_ident[EI_CLASS] != ELFCLASS64) {
        *why = "it is a 32-bit program, and Sluice's library is 64-bit";
        return false;
    }
    for (unsigned i = 0; i < header.e_phnum; i++) {
        Elf64_Phdr part;
        off_t at = (off_t)(header.e_phoff + (uint64_t)i * header.e_phentsize);
        if (pread(fd, &part, sizeof part, at) != (ssize_t)sizeof part || part.p_type == PT_INTERP)
            return true;
    }
    *why = "it is statically linked: nothing can be preloaded into it";
    return false;
}

static bool can_preload(const char *file, const char **why)
{
    struct stat st;
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return true;
    bool ok = has_interpreter(fd, why);
    if (ok && fstat(fd, &st) == 0 &&
        (((st.st_mode & S_ISUID) != 0 && st.st_uid != geteuid()) ||
         ((st.st_mode & S_ISGID) != 0 && st.st_gid != getegid()))) {
        *why = "it takes other rights (set-user-id or set-group-id), and then nothing of its "
               "user's is preloaded";
        ok = false;
    }
    close(fd);
    return ok;
}

/* The file that execvp() will find; "" when none. */
static void find_program(const char *name, char *file, size_t size)
{
    const char *path = getenv("PATH");
    *file = '\0';
    if (strchr(name, '/') != NULL) {
        snprintf(file, size, "%s", name);
        return;
    }
    while (path != NULL && *path != '\0') {
        size_t n = strcspn(path, ":");
        snprintf(file, size, "%.*s%s%s", (int)n, path, n == 0 ? "" : "/", name);
        if (access(file, X_OK) == 0)
            return;
        path += n + (path[n] == ':');
    }
    *file = '\0';
}

static int start(const struct request *request)
{
    char file[PATH_MAX];
    const char *why;
    int status = check_policy(request);
    if (status != EXIT_GOOD)
        return status;
    find_program(request->program[0], file, sizeof file);
    if (*file != '\0' && !can_preload(file, &why))
        return failed(file, why);
    status = set_environment(request);
    if (status != EXIT_GOOD)
        return status;
    execvp(request->program[0], request->program);
    int error = errno;
    failed(request->program[0], strerror(error));
    return error == ENOENT || error == ENOTDIR ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE;
}

/* sets has room for as many as there are arguments. */
static int read_and_start(struct request *request, int argc, char **argv)
{
    struct arguments arguments;
    const char *value;
    int index;
    arguments_begin(&arguments, NAME, specs, argc, argv);
    for (;;) {
        switch (arguments_next(&arguments, &index, &value)) {
        case ARGUMENTS_OPTION:
            if (index == OPTION_SET)
                request->sets[request->set_count++] = value;
            else if (index == OPTION_NO_CHILDREN)
                request->alone = true;
            else
                request->policy = value;
            break;
        case ARGUMENTS_OPERAND: /* what follows is the program's */
            request->program = &argv[arguments.at - 1];
            return start(request);
        case ARGUMENTS_HELP:
            fputs(help, stdout);
            return EXIT_GOOD;
        case ARGUMENTS_VERSION:
            return arguments_print_version();
        case ARGUMENTS_WRONG:
            return EXIT_USAGE;
        case ARGUMENTS_END:
            return arguments_wrong(NAME, "PROGRAM is missing");
        }
    }
}

int run_main(int argc, char **argv)
{
    struct request request = {.sets = calloc((size_t)argc + 1, sizeof(char *))};
    if (request.sets == NULL)
        return failed("start", strerror(ENOMEM));
    int status = read_and_start(&request, argc, argv);
    free((void *)request.sets);
    return status;
}
