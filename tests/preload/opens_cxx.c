/* opens_cxx.c - a program in C that opens a library in C++, whose runtime comes with it. Usage: opens_cxx FOLDER */
#include <dlfcn.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    char path[4096];
    int (*run)(void);
    snprintf(path, sizeof path, "%s/operators.so", argc == 2 ? argv[1] : ".");
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) {
        printf("%s\n", dlerror());
        return 2;
    }
    *(void **)&run = dlsym(library, "operators_run");
    return run();
}
