/* lists.c - see lists.h. */
#include "tools/bench/lists.h"

#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "core/size_class.h"

#define SPACE       ((size_t)4 << 30) /* address space; only what is handed out has pages */
#define PIECE_SHIFT 16                /* objects of a piece are of one list: as a slab's are */
#define CLASSES     20                /* up to 1,024 bytes */

struct list {
    void *free; /* the first word of each object is the next */
    char *at, *end;
};

static __thread struct list lists[LISTS_MODULES][CLASSES];
static struct list *list_of_piece[SPACE >> PIECE_SHIFT];
static char *space, *next_piece;

static __attribute__((noinline)) void *carve(struct list *list, size_t size)
{
    if ((size_t)(list->end - list->at) < size) {
        if (space == NULL) {
            space = next_piece = mmap(NULL, SPACE, PROT_READ | PROT_WRITE,
                                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
            if (space == MAP_FAILED)
                exit(1);
        }
        if (next_piece == space + SPACE)
            exit(1);
        size_t n = (size_t)(next_piece - space) >> PIECE_SHIFT;
        list_of_piece[n] = list;
        list->at = next_piece + n % 64 * 64; /* not all at the same lines of their pages */
        list->end = next_piece += (size_t)1 << PIECE_SHIFT;
    }
    void *p = list->at;
    list->at += size;
    return p;
}

void *lists_malloc(unsigned module, size_t size)
{
    unsigned c = size_class_of(size);
    struct list *list = &lists[module][c];
    void *p = list->free;
    if (__builtin_expect(p == NULL, 0))
        return carve(list, size_class_bytes[c]);
    list->free = *(void **)p;
    return p;
}

void lists_free(void *p)
{
    if (p == NULL)
        return;
    struct list *list = list_of_piece[(size_t)((char *)p - space) >> PIECE_SHIFT];
    *(void **)p = list->free;
    list->free = p;
}
