/* meta.c - see meta.h.
 *
 * Records are cut from blocks of 1 MiB, in steps of 64 bytes, and returned to the list of their size; what is larger than
 * RECORD_MAX is mapped and unmapped by itself. The lists are intrusive: a free record's first word is the next. */
#include "core/meta.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "core/lock.h"
#include "core/os.h"

#define STEP       ((size_t)64)
#define RECORD_MAX ((size_t)16 << 10)
#define BLOCK_SIZE ((size_t)1 << 20)

#define BESIDE_MAX ((size_t)2 << 10)
#define ROW_SIZE   ((size_t)16 << 10)

struct record {
    struct record *next;
};

struct region_block {
    struct region_block *next;
    size_t size;
};

static struct lock meta_lock;
static struct record *free_records[RECORD_MAX / STEP + 1];
static size_t free_bytes; /* on those lists */
static char *block_at, *block_end;
static _Atomic size_t mapped;
/* What the next records of a size that lie side by side are cut from. */
static struct row {
    char *at, *end;
} rows[BESIDE_MAX / STEP + 1];
static struct region_block *kept_blocks; /* of regions that are gone; zero */
static size_t kept_bytes;
static _Atomic uint64_t keep_until; /* 0: none are kept */

static size_t round_up(size_t n, size_t step)
{
    return (n + step - 1) & ~(step - 1);
}

static void *map_pages(size_t size)
{
    void *p = os_map(size, OS_PAGE_SIZE);
    if (p != NULL)
        atomic_fetch_add_explicit(&mapped, size, memory_order_relaxed);
    return p;
}

static void unmap_pages(void *p, size_t size)
{
    if (os_unmap(p, size))
        atomic_fetch_sub_explicit(&mapped, size, memory_order_relaxed);
    else
        os_purge(p, size); /* the address space is lost, the memory is not */
}

/* A record of that size, rounded up, that was in use before; zero. In the lock. */
static void *take_record(size_t size)
{
    struct record *r = free_records[size / STEP];
    if (r == NULL)
        return NULL;
    free_records[size / STEP] = r->next;
    free_bytes -= size;
    return memset(r, 0, size);
}

/* From memory that was never used. In the lock. */
static void *cut(size_t size)
{
    if ((size_t)(block_end - block_at) < size) {
        /* The rest of the old block becomes records of its size. */
        size_t rest = (size_t)(block_end - block_at);
        if (rest >= STEP) {
            size_t step = rest > RECORD_MAX ? RECORD_MAX : rest;
            struct record *tail = (struct record *)block_at;
            tail->next = free_records[step / STEP];
            free_records[step / STEP] = tail;
            free_bytes += step;
        }
        block_at = map_pages(BLOCK_SIZE);
        block_end = block_at == NULL ? NULL : block_at + BLOCK_SIZE;
        if (block_at == NULL)
            return NULL;
    }
    void *p = block_at;
    block_at += size;
    return p;
}

void *meta_alloc(size_t size)
{
    if (size > SIZE_MAX - OS_PAGE_SIZE)
        return NULL;
    size = round_up(size ? size : 1, STEP);
    if (size > RECORD_MAX)
        return map_pages(round_up(size, OS_PAGE_SIZE));
    lock_acquire(&meta_lock);
    void *p = take_record(size);
    if (p == NULL)
        p = cut(size);
    lock_release(&meta_lock);
    return p;
}

void *meta_alloc_beside(size_t size)
{
    size = round_up(size ? size : 1, STEP);
    struct row *row = &rows[size / STEP];
    lock_acquire(&meta_lock);
    void *p = take_record(size);
    if (p == NULL && (size_t)(row->end - row->at) < size) {
        row->at = cut(ROW_SIZE);
        row->end = row->at == NULL ? NULL : row->at + ROW_SIZE;
    }
    if (p == NULL && row->at != NULL) {
        p = row->at;
        row->at += size;
    }
    lock_release(&meta_lock);
    return p;
}

void meta_free(void *p, size_t size)
{
    if (p == NULL)
        return;
    size = round_up(size ? size : 1, STEP);
    if (size > RECORD_MAX) {
        unmap_pages(p, round_up(size, OS_PAGE_SIZE));
        return;
    }
    struct record *r = p;
    lock_acquire(&meta_lock);
    r->next = free_records[size / STEP];
    free_records[size / STEP] = r;
    free_bytes += size;
    lock_release(&meta_lock);
}

size_t meta_mapped_bytes(void)
{
    return atomic_load_explicit(&mapped, memory_order_relaxed);
}

size_t meta_used_bytes(void)
{
    lock_acquire(&meta_lock);
    size_t unused = free_bytes + kept_bytes + (size_t)(block_end - block_at);
    for (size_t i = 0; i <= BESIDE_MAX / STEP; i++)
        unused += (size_t)(rows[i].end - rows[i].at);
    size_t used = meta_mapped_bytes() - unused;
    lock_release(&meta_lock);
    return used;
}

/* ---- Regions -------------------------------------------------------------------------------- */

#define REGION_BLOCK ((size_t)64 << 10)

/* Of what is kept: a block's size, and all. */
#define KEPT_BLOCK_MAX ((size_t)256 << 10)
#define KEPT_MAX       ((size_t)1 << 20)

struct meta_region {
    struct region_block *blocks; /* newest first; the oldest holds this struct */
    char *at, *end;
    size_t budget, used, block;
    int exhausted;
};

/* A kept block of that size, or NULL. */
static struct region_block *take_kept(size_t size)
{
    if (atomic_load_explicit(&keep_until, memory_order_relaxed) == 0)
        return NULL;
    lock_acquire(&meta_lock);
    struct region_block **at = &kept_blocks;
    while (*at != NULL && (*at)->size != size)
        at = &(*at)->next;
    struct region_block *b = *at;
    if (b != NULL) {
        *at = b->next;
        b->next = NULL;
        kept_bytes -= size;
    }
    lock_release(&meta_lock);
    return b;
}

static struct region_block *region_map(size_t size)
{
    struct region_block *b = take_kept(size);
    if (b == NULL)
        b = map_pages(size);
    if (b != NULL)
        b->size = size;
    return b;
}

/* `used` bytes of it may be other than zero. */
static void region_unmap(struct region_block *b, size_t used)
{
    size_t size = b->size;
    bool kept = false;
    if (size <= KEPT_BLOCK_MAX && atomic_load_explicit(&keep_until, memory_order_relaxed) != 0) {
        memset(b, 0, used);
        b->size = size;
        lock_acquire(&meta_lock);
        kept = keep_until != 0 && kept_bytes + size <= KEPT_MAX;
        if (kept) {
            b->next = kept_blocks;
            kept_blocks = b;
            kept_bytes += size;
        }
        lock_release(&meta_lock);
    }
    if (!kept)
        unmap_pages(b, size);
}

void meta_keep_blocks(uint64_t until)
{
    lock_acquire(&meta_lock);
    if (keep_until < until)
        keep_until = until;
    lock_release(&meta_lock);
}

void meta_expire_blocks(uint64_t now, uint64_t *next_due)
{
    struct region_block *b = NULL;
    *next_due = UINT64_MAX;
    lock_acquire(&meta_lock);
    if (keep_until > now) {
        *next_due = keep_until;
    } else if (keep_until != 0) {
        keep_until = 0;
        b = kept_blocks;
        kept_blocks = NULL;
        kept_bytes = 0;
    }
    lock_release(&meta_lock);
    for (struct region_block *next; b != NULL; b = next) {
        next = b->next;
        unmap_pages(b, b->size);
    }
}

static struct meta_region *region_make(size_t budget, size_t block)
{
    struct region_block *b = region_map(block);
    if (b == NULL)
        return NULL;
    struct meta_region *r = (struct meta_region *)(b + 1);
    r->blocks = b;
    r->at = (char *)round_up((uintptr_t)(r + 1), 16);
    r->end = (char *)b + b->size;
    r->budget = budget;
    r->used = b->size;
    r->block = block;
    return r;
}

struct meta_region *meta_region_create(size_t budget)
{
    return region_make(budget, REGION_BLOCK);
}

struct meta_region *meta_region_create_small(void)
{
    return region_make(0, OS_PAGE_SIZE);
}

void meta_region_destroy(struct meta_region *region)
{
    if (region == NULL)
        return;
    struct region_block *b = region->blocks;
    size_t used = (size_t)(region->at - (char *)b);
    for (struct region_block *next; b != NULL; b = next) {
        next = b->next;
        region_unmap(b, used);
        used = next == NULL ? 0 : next->size; /* older ones are full */
    }
}

void *meta_region_alloc(struct meta_region *region, size_t size)
{
    if (size > SIZE_MAX / 2)
        return NULL;
    size = round_up(size ? size : 1, 16);
    if ((size_t)(region->end - region->at) < size) {
        size_t need = round_up(size + round_up(sizeof(struct region_block), 16), OS_PAGE_SIZE);
        need = need < region->block ? region->block : need;
        if (region->budget != 0 && region->used + need > region->budget) {
            region->exhausted = 1;
            return NULL;
        }
        struct region_block *b = region_map(need);
        if (b == NULL)
            return NULL;
        region->used += need;
        b->next = region->blocks;
        region->blocks = b;
        region->at = (char *)b + round_up(sizeof(struct region_block), 16);
        region->end = (char *)b + need;
    }
    void *p = region->at;
    region->at += size;
    return p;
}

char *meta_region_strndup(struct meta_region *region, const char *s, size_t length)
{
    char *copy = meta_region_alloc(region, length + 1);
    if (copy != NULL)
        memcpy(copy, s, length); /* the terminating zero is there already */
    return copy;
}

int meta_region_exhausted(const struct meta_region *region)
{
    return region->exhausted;
}
