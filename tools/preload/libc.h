/* libc.h - what lies behind the names that the preload library takes over. */
#ifndef SLUICE_TOOLS_PRELOAD_LIBC_H
#define SLUICE_TOOLS_PRELOAD_LIBC_H

/* The next definition of a function, behind ours: NULL when there is none. The first call for a name takes the dynamic
 * linker's lock; `cell` keeps the answer. */
#define LIBC_NEXT(cell, name) ((__typeof__(&name))libc_next(&(cell), #name))

/* libc's own, even where the program is linked to another allocator, whose definition is the next behind ours. */
#define LIBC_OWN(cell, name) ((__typeof__(&name))libc_own(&(cell), #name))

typedef _Atomic(void *) libc_cell;

void *libc_next(libc_cell *cell, const char *name);
void *libc_own(libc_cell *cell, const char *name);

int libc_mallopt(int parameter, int value);

/* Look all of them up, while no other thread is there. */
void libc_find_all(void);
void follow_find_all(void);   /* of follow.c */
void signals_find_all(void);  /* of signals.c */
void deepbind_find_all(void); /* of deepbind.c */
void clone_find_all(void);    /* of clone.c */

#endif
