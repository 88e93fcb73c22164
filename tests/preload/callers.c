/* callers.c - a program that knows of Sluice only by dlsym: for which module do its libraries' allocations count?
 * Usage: callers CASE FOLDER; the libraries one.so, two.so and late.so are in FOLDER. */
#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <sluice/sluice.h>

static const char *folder;
static int failed;

static __typeof__(&(sluice_owner)) find_owner;
static __typeof__(&sluice_module_name) find_name;
static __typeof__(&sluice_policy_load_string) load_policy;

static void *symbol(void *handle, const char *name)
{
    void *found = dlsym(handle, name);
    if (found == NULL) {
        fprintf(stderr, "%s: %s\n", name, dlerror());
        exit(2);
    }
    return found;
}

static const char *module_of(const void *p)
{
    struct sluice_owner owner = {.struct_size = sizeof owner};
    return find_owner(p, &owner) == SLUICE_OK ? find_name(owner.module) : "(no object)";
}

/* The object is freed. */
static void expect(const char *what, void *p, const char *module)
{
    const char *found = module_of(p);
    if (strcmp(found, module) != 0) {
        printf("%s: counts for \"%s\", not \"%s\"\n", what, found, module);
        failed = 1;
    }
    free(p);
}

struct library {
    void *handle;
    void *(*malloc)(size_t), *(*calloc)(size_t), *(*aligned)(size_t), *(*inner)(size_t),
        *(*outer)(size_t);
    void *(*realloc)(void *, size_t);
    void *(*by)(void *(*)(size_t), size_t);
    char *(*dup)(const char *);
};

static struct library open_library(const char *file, const char *prefix)
{
    char name[4096];
    struct library library = {0};
    snprintf(name, sizeof name, "%s/%s", folder, file);
    library.handle = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (library.handle == NULL) {
        fprintf(stderr, "%s\n", dlerror());
        exit(2);
    }
#define FIND(function)                                       \
    snprintf(name, sizeof name, "%s_%s", prefix, #function); \
    *(void **)&library.function = symbol(library.handle, name)
    FIND(malloc);
    FIND(calloc);
    FIND(realloc);
    FIND(aligned);
    FIND(inner);
    FIND(outer);
    FIND(by);
    FIND(dup);
    return library;
}

/* Each way twice: the second time the site is known. */
static void each_object(void)
{
    struct library one = open_library("one.so", "one"), two = open_library("two.so", "two");
    for (int round = 0; round < 2; round++) {
        expect("malloc", one.malloc(10), "one.so");
        expect("another library", two.malloc(10), "two.so");
        expect("calloc", one.calloc(10), "one.so");
        expect("a large object", one.malloc(5 << 20), "one.so");
        expect("realloc of NULL", one.realloc(NULL, 10), "one.so");
        expect("realloc of another's object", two.realloc(one.malloc(10), 100000), "one.so");
        expect("posix_memalign", two.aligned(10), "two.so");
        expect("strdup counts for its caller", two.dup("text"), "two.so");
        expect("a function that is no known wrapper", two.by(one.inner, 10), "one.so");
        void *volatile mine = malloc(10);
        expect("the program", mine, "callers");
    }
}

static void wrappers(void)
{
    struct library one = open_library("one.so", "one"), two = open_library("two.so", "two");
    for (int round = 0; round < 2; round++) {
        expect("a wrapper", two.by(one.inner, 10), "two.so");
        expect("a wrapper around a wrapper", two.by(one.outer, 10), "two.so");
        expect("a wrapper called by its own library", one.by(one.outer, 10), "one.so");
        expect("not a wrapper", two.by(one.malloc, 10), "one.so");
        expect("strdup still is one", two.dup("text"), "two.so");
    }
}

static void *named_thread(void *arg)
{
    const struct library *one = arg;
    expect("a thread without an entry", one->calloc(10), "by-object");
    prctl(PR_SET_NAME, "work-7");
    expect("a thread with a name", one->calloc(10), "by-thread");
    void *volatile mine = malloc(10);
    expect("a thread with a name, elsewhere", mine, "by-thread");
    pthread_setname_np(pthread_self(), "idle");
    expect("a thread with another name", one->calloc(10), "by-object");
    mine = malloc(10);
    expect("no entry at all", mine, "default");
    return NULL;
}

static void entries(void)
{
    struct library one = open_library("one.so", "one"), two = open_library("two.so", "two");
    pthread_t thread;
    pthread_create(&thread, NULL, named_thread, &one);
    pthread_join(thread, NULL);
    prctl(PR_SET_NAME, "work-main");
    for (int round = 0; round < 2; round++) {
        expect("the first entry that fits: an object", two.malloc(10), "first");
        expect("the first entry that fits: a thread", one.malloc(10), "by-thread");
    }
}

/* Libraries of the same layout come to lie at the same addresses, one after the other: that is what this is about, so it
 * goes on until it was so. */
static void reopened(void)
{
    static const char *const files[] = {"one.so", "late.so"};
    void *before = NULL;
    int same = 0;
    for (int round = 0; round < 100 && same < 4; round++) {
        struct library library = open_library(files[round % 2], "one");
        same += (void *)(uintptr_t)library.malloc == before;
        before = (void *)(uintptr_t)library.malloc;
        expect("after another was closed", library.malloc(10), files[round % 2]);
        dlclose(library.handle);
    }
    if (same == 0) {
        printf("the libraries never lay at the same address\n");
        failed = 1;
    }
}

/* Code that is of no object: call *%rax with rax = malloc, as a compiler at run time makes it. */
static void made_code(void)
{
    static unsigned char code[] = {0x48, 0x83, 0xec, 0x08, 0x48, 0xb8, 0,    0,    0,    0,   0,
                                   0,    0,    0,    0xff, 0xd0, 0x48, 0x83, 0xc4, 0x08, 0xc3};
    void *target = symbol(RTLD_DEFAULT, "malloc");
    memcpy(code + 6, &target, sizeof target);
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memcpy(page, code, sizeof code);
    mprotect(page, 4096, PROT_READ | PROT_EXEC);
    void *(*call)(size_t);
    *(void **)&call = page;
    expect("made code", call(10), "default");
}

/* ---- While the policy changes and libraries come and go ---------------------------------------- */

static atomic_int done, wrong;

static void *allocate(void *arg)
{
    const struct library *one = arg;
    while (!atomic_load(&done)) {
        void *p = one->malloc(100), *q = one->dup("text");
        const char *a = module_of(p), *b = module_of(q);
        if ((strcmp(a, "one.so") != 0 && strcmp(a, "default") != 0 && strcmp(a, "a") != 0) ||
            (strcmp(b, "one.so") != 0 && strcmp(b, "default") != 0 && strcmp(b, "a") != 0))
            atomic_fetch_add(&wrong, 1);
        free(p);
        free(q);
    }
    return NULL;
}

static void changes(void)
{
    static const char *const policies[] = {
        "{sluice: 1, attribution: auto}", "{sluice: 1}",
        "{sluice: 1, attribution: [{object: one.so, module: a}]}",
        "{sluice: 1, attribution: [{thread: nobody, module: b}, {object: one.so, module: a}]}"};
    struct library one = open_library("one.so", "one");
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, allocate, &one);
    for (int i = 0; i < 400; i++) {
        const char *policy = policies[i % 4];
        if (load_policy(policy, strlen(policy)) != SLUICE_OK)
            atomic_fetch_add(&wrong, 1);
        struct library late = open_library("late.so", "one");
        free(late.dup("text"));
        dlclose(late.handle);
    }
    atomic_store(&done, 1);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < 4; i++) { /* and settled, each counts as its policy says */
        static const char *const modules[] = {"one.so", "default", "a", "a"};
        load_policy(policies[i], strlen(policies[i]));
        expect("after the changes", one.malloc(10), modules[i]);
    }
    if (atomic_load(&wrong) != 0) {
        printf("%d allocations counted for somebody else\n", atomic_load(&wrong));
        failed = 1;
    }
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } cases[] = {{"each_object", each_object}, {"wrappers", wrappers},   {"entries", entries},
                 {"reopened", reopened},       {"made_code", made_code}, {"changes", changes}};
    if (argc != 3)
        return 2;
    folder = argv[2];
    *(void **)&find_owner = symbol(RTLD_DEFAULT, "sluice_owner");
    *(void **)&find_name = symbol(RTLD_DEFAULT, "sluice_module_name");
    *(void **)&load_policy = symbol(RTLD_DEFAULT, "sluice_policy_load_string");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (strcmp(argv[1], cases[i].name) != 0)
            continue;
        cases[i].run();
        return failed;
    }
    return 2;
}
