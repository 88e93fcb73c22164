/* opener_lib.c - opens a library by its bare name, which is found by this library's own search path alone. */
#include <dlfcn.h>
#include <stddef.h>

void *opener_open(int mode);

void *opener_open(int mode)
{
    void *handle = dlopen("one.so", mode);
    __asm__ volatile("" : "+r"(handle)); /* no jump: dlopen must return here */
    return handle;
}
