/* site_lib.c - a library that allocates, for callers.c. NAME is its prefix; compiled more than once. */
#include <stdlib.h>
#include <string.h>

#define JOIN2(a, b) a##b
#define JOIN(a, b)  JOIN2(a, b)
#define FN(name)    JOIN(NAME, name)

/* No tail calls: then malloc would return to the caller's caller. */
#define KEEP(p) __asm__ volatile("" : "+r"(p))

void *FN(_malloc)(size_t n);
void *FN(_calloc)(size_t n);
void *FN(_realloc)(void *p, size_t n);
void *FN(_aligned)(size_t n);
char *FN(_dup)(const char *s);
void *FN(_by)(void *(*wrapper)(size_t), size_t n);
void *FN(_inner)(size_t n);
void *FN(_outer)(size_t n);

void *FN(_malloc)(size_t n)
{
    void *p = malloc(n);
    KEEP(p);
    return p;
}

void *FN(_calloc)(size_t n)
{
    void *p = calloc(n, 1);
    KEEP(p);
    return p;
}

void *FN(_realloc)(void *p, size_t n)
{
    p = realloc(p, n);
    KEEP(p);
    return p;
}

void *FN(_aligned)(size_t n)
{
    void *p = NULL;
    if (posix_memalign(&p, 256, n) != 0)
        p = NULL;
    KEEP(p);
    return p;
}

char *FN(_dup)(const char *s)
{
    char *p = strdup(s);
    KEEP(p);
    return p;
}

void *FN(_by)(void *(*wrapper)(size_t), size_t n)
{
    void *p = wrapper(n);
    KEEP(p);
    return p;
}

/* Frames of different sizes: what a wrapper keeps on the stack is its own matter. */
void *FN(_inner)(size_t n)
{
    volatile char room[200];
    memset((void *)(size_t)room, 1, sizeof room);
    void *p = malloc(n + (size_t)(room[7] - 1));
    KEEP(p);
    return p;
}

void *FN(_outer)(size_t n)
{
    volatile char room[1000];
    memset((void *)(size_t)room, 1, sizeof room);
    void *p = FN(_inner)(n + (size_t)(room[7] - 1));
    KEEP(p);
    return p;
}
