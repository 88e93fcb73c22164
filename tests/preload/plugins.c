/* plugins.c - a program that opens plug-ins in every way. Usage: plugins FOLDER */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int failed;

static void expect(const char *what, int holds)
{
    if (!holds) {
        printf("FAILED: %s: %s\n", what, dlerror());
        failed = 1;
    }
}

static void *open_in(const char *folder, const char *file, int mode)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, file);
    return dlopen(path, mode);
}

static void deep(const char *folder)
{
    void *plugin = open_in(folder, "plugin.so", RTLD_NOW | RTLD_DEEPBIND);
    expect("a plug-in with RTLD_DEEPBIND is opened", plugin != NULL);
    if (plugin == NULL)
        return;
    void *(*make)(size_t);
    void (*drop)(void *);
    char *(*line)(FILE *);
    *(void **)&make = dlsym(plugin, "plugin_alloc");
    *(void **)&drop = dlsym(plugin, "plugin_free");
    *(void **)&line = dlsym(plugin, "plugin_line");
    expect("it allocated while it was opened", *(int *)dlsym(plugin, "plugin_is_well"));
    for (int i = 0; i < 1000; i++) {
        size_t size = (size_t)i * 997 % 300000;
        char *theirs = make(size);
        memset(theirs, i, size);
        free(theirs);
        char *ours = malloc(size);
        memset(ours, i, size);
        drop(ours);
        theirs = realloc(make(100), 5000);
        drop(theirs);
    }
    char text[] = "one line\n";
    FILE *from = fmemopen(text, sizeof text - 1, "r");
    char *got = line(from);
    expect("a line", got != NULL && strcmp(got, text) == 0);
    free(got);
    fclose(from);
    dlclose(plugin);
}

/* dlopen() must see who calls it: the library's own search path holds. */
static void by_search_path(const char *folder, int mode)
{
    void *opener = open_in(folder, "opener.so", RTLD_NOW);
    expect("the opener", opener != NULL);
    if (opener == NULL)
        return;
    void *(*open_it)(int);
    *(void **)&open_it = dlsym(opener, "opener_open");
    void *handle = open_it(mode);
    expect("found by the search path of the library that opens", handle != NULL);
    if (handle != NULL)
        dlclose(handle);
    dlclose(opener);
}

int main(int argc, char **argv)
{
    if (argc != 2)
        return 2;
    by_search_path(argv[1], RTLD_NOW);
    by_search_path(argv[1], RTLD_NOW | RTLD_DEEPBIND);
    deep(argv[1]);
    by_search_path(argv[1], RTLD_LAZY | RTLD_DEEPBIND);
    for (int i = 0; i < 300; i++) {
        void *handle = open_in(argv[1], i % 2 ? "one.so" : "late.so", RTLD_NOW);
        expect("opened again and again", handle != NULL);
        if (handle != NULL)
            dlclose(handle);
    }
    return failed;
}
