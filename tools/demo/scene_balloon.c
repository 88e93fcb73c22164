/* scene_balloon.c - scene one: the program of the field report.
 *
 * Many threads work in stages. In the ramp each thread takes memory until its share of the stage's
 * size is reached:
 *   pieces      64 KiB, from the global pool (blockpool.h), which takes 2 MiB from the allocator
 *   frames      100 KiB, straight from the allocator, as the pool does not serve them
 *   records     small objects in a hash table and in a B-tree
 *   survivors   2,000 B and now and then 40 KiB, scattered over the ramp, about one byte in 200
 * and gives a part of it back meanwhile. In the release each thread frees what its neighbour took,
 * in random order: all but the survivors, which stay until the end of the next stage. What is live
 * after a release is thus the same each time.
 *
 * Each piece, frame and survivor is written in full when it is taken, and must still hold that when
 * it is freed.
 */
#include "tools/demo/worker.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tools/demo/blockpool.h"
#include "tools/demo/btree.h"
#include "tools/demo/crew.h"
#include "tools/demo/hash.h"
#include "tools/demo/hashtable.h"
#include "tools/demo/layer.h"
#include "tools/demo/random.h"

#define FRAME_SIZE     ((size_t)100 << 10)
#define SURVIVOR_SMALL ((size_t)2000)
#define SURVIVOR_LARGE ((size_t)40 << 10)
#define RECORD_MIN     64
#define RECORD_MAX     448

/* What a step of a thread does, by a random number below 1,000: each line is an upper end. The rest
 * takes a piece. */
#define STEP_FRAME        260
#define STEP_RECORDS      360
#define STEP_SURVIVOR     440
#define STEP_GIVE_BACK    520
#define RECORDS_PER_STEP  64
#define LARGE_SURVIVOR_IN 64

struct block {
    struct blockpool_piece *piece; /* NULL: a frame or a survivor */
    unsigned char *memory;
    uint32_t size;
    uint32_t mark; /* what it was filled with */
};

struct block_list {
    struct block *blocks;
    size_t count, capacity;
    enum demo_module module; /* of the array */
};

struct record {
    unsigned char key[8]; /* big-endian, so that memcmp orders by number */
    uint32_t size;
    uint32_t mark;
};

struct part {
    struct random random;
    size_t share, held; /* bytes */
    struct blockpool_cache cache;
    struct block_list blocks;
    struct block_list survivors[2]; /* of stages with even and odd numbers */
    struct hashtable by_key;
    struct btree in_order;
    uint64_t next_key;
    uint64_t digest;
};

struct balloon {
    unsigned threads, stage;
    struct part *parts;
};

static void list_push(struct block_list *list, struct block block)
{
    if (list->count == list->capacity) {
        size_t capacity = list->capacity == 0 ? 64 : 2 * list->capacity;
        list->blocks =
            demo_realloc(list->module, list->blocks, list->capacity * sizeof(struct block),
                         capacity * sizeof(struct block));
        list->capacity = capacity;
    }
    list->blocks[list->count++] = block;
}

static struct block list_take(struct block_list *list, size_t at)
{
    struct block block = list->blocks[at];
    list->blocks[at] = list->blocks[--list->count];
    return block;
}

static void list_drop(struct block_list *list)
{
    size_t size = list->capacity * sizeof(struct block);
    if (list->module == DEMO_LONGLIVED)
        demo_free_longlived(list->blocks, size);
    else
        demo_free(list->blocks, size);
    *list = (struct block_list){.module = list->module};
}

/* ---- blocks that are filled and checked ---- */

static void block_fill(struct block *block, struct random *random)
{
    block->mark = (uint32_t)random_next(random);
    memset(block->memory, (unsigned char)block->mark, block->size);
    memcpy(block->memory, &block->mark, sizeof(block->mark));
    memcpy(block->memory + block->size - sizeof(block->mark), &block->mark, sizeof(block->mark));
}

static void block_check(const struct block *block)
{
    uint32_t first, last;
    memcpy(&first, block->memory, sizeof(first));
    memcpy(&last, block->memory + block->size - sizeof(last), sizeof(last));
    if (first == block->mark && last == block->mark &&
        block->memory[block->size / 2] == (unsigned char)block->mark)
        return;
    dprintf(STDERR_FILENO, "demo: a block of %u bytes at %p does not hold what was written\n",
            block->size, (void *)block->memory);
    _exit(WORKER_CORRUPT);
}

static void take_block(struct part *part, bool is_frame)
{
    struct block block = {0};
    if (is_frame) {
        block.size = FRAME_SIZE;
        block.memory = demo_alloc(DEMO_FRAMES, FRAME_SIZE);
    } else {
        block.piece = blockpool_take(&part->cache);
        block.size = BLOCKPOOL_PIECE;
        block.memory = block.piece->memory;
    }
    block_fill(&block, &part->random);
    list_push(&part->blocks, block);
    part->held += block.size;
}

/* `part` is of the calling thread, whoever took the block. */
static void give_block(struct part *part, struct block block)
{
    block_check(&block);
    if (block.piece != NULL)
        blockpool_give(&part->cache, block.piece);
    else if (block.size == FRAME_SIZE)
        demo_free(block.memory, block.size);
    else
        demo_free_longlived(block.memory, block.size);
}

static void take_survivor(struct part *part, unsigned stage)
{
    bool is_large = random_below(&part->random, LARGE_SURVIVOR_IN) == 0;
    struct block block = {.size = is_large ? SURVIVOR_LARGE : SURVIVOR_SMALL};
    block.memory = demo_alloc(DEMO_LONGLIVED, block.size);
    block_fill(&block, &part->random);
    list_push(&part->survivors[stage % 2], block);
}

/* ---- records in tables ---- */

static void add_record(struct part *part)
{
    uint32_t size = RECORD_MIN + (uint32_t)random_below(&part->random, RECORD_MAX - RECORD_MIN + 1);
    struct record *record = demo_alloc(DEMO_TABLES, size);
    uint64_t key = __builtin_bswap64(hash_finish(part->next_key++));
    memcpy(record->key, &key, sizeof(key));
    record->size = size;
    record->mark = (uint32_t)random_next(&part->random);
    memset(record + 1, (unsigned char)record->mark, size - sizeof(*record));

    hashtable_add(&part->by_key, record->key, sizeof(record->key))->value = record;
    btree_insert(&part->in_order, record->key, sizeof(record->key), record);
    part->held += size + sizeof(struct hashtable_entry) + sizeof(struct btree_item);
}

struct sum {
    uint64_t digest;
    size_t count;
};

static bool sum_record(const struct btree_item *item, void *arg)
{
    struct sum *sum = arg;
    const struct record *record = item->value;
    sum->digest = hash_bytes(sum->digest, record, sizeof(*record));
    sum->count++;
    return true;
}

static void drop_records(struct part *part)
{
    struct sum sum = {.digest = part->digest};
    btree_scan(&part->in_order, NULL, 0, sum_record, &sum);
    part->digest = sum.digest;
    btree_clear(&part->in_order);

    struct hashtable_cursor cursor = {0};
    struct hashtable_entry *entry;
    while ((entry = hashtable_next(&part->by_key, &cursor)) != NULL) {
        struct record *record = entry->value;
        demo_free(record, record->size);
    }
    if (sum.count != part->by_key.count) {
        dprintf(STDERR_FILENO, "demo: hash table and B-tree do not hold the same records\n");
        _exit(WORKER_CORRUPT);
    }
    hashtable_clear(&part->by_key);
}

/* ---- the two halves of a stage ---- */

static void ramp(void *arg, unsigned i)
{
    struct balloon *balloon = arg;
    struct part *part = &balloon->parts[i];
    while (part->held < part->share) {
        unsigned step = (unsigned)random_below(&part->random, 1000);
        if (step < STEP_FRAME) {
            take_block(part, true);
        } else if (step < STEP_RECORDS) {
            for (int n = 0; n < RECORDS_PER_STEP; n++)
                add_record(part);
        } else if (step < STEP_SURVIVOR) {
            take_survivor(part, balloon->stage);
        } else if (step < STEP_GIVE_BACK && part->blocks.count > 0) {
            struct block block =
                list_take(&part->blocks, random_below(&part->random, part->blocks.count));
            part->held -= block.size;
            give_block(part, block);
        } else {
            take_block(part, false);
        }
    }
}

static void release(void *arg, unsigned i)
{
    struct balloon *balloon = arg;
    struct part *part = &balloon->parts[i];
    struct part *neighbour = &balloon->parts[(i + 1) % balloon->threads];
    while (neighbour->blocks.count > 0) {
        size_t at = random_below(&part->random, neighbour->blocks.count);
        give_block(part, list_take(&neighbour->blocks, at));
    }
    blockpool_flush(&part->cache);

    struct block_list *old = &part->survivors[(balloon->stage + 1) % 2];
    while (old->count > 0)
        give_block(part, list_take(old, old->count - 1));
    list_drop(old);
    drop_records(part);
    part->held = 0;
}

/* After the release, when no neighbour uses the array any more. */
static void drop_array(void *arg, unsigned i)
{
    struct balloon *balloon = arg;
    list_drop(&balloon->parts[i].blocks);
}

static void part_init(struct part *part, const struct worker_task *task, unsigned i)
{
    *part = (struct part){
        .random = random_stream(task->seed, i),
        .share = task->size / task->threads,
        .blocks = {.module = DEMO_TABLES},
        .survivors = {{.module = DEMO_LONGLIVED}, {.module = DEMO_LONGLIVED}},
        .next_key = (uint64_t)i << 40,
        .digest = HASH_START,
    };
    hashtable_init(&part->by_key, DEMO_TABLES);
    btree_init(&part->in_order, DEMO_TABLES);
}

int scene_balloon(const struct worker_task *task)
{
    struct balloon balloon = {.threads = task->threads};
    struct crew *crew = crew_create(task->threads);
    if (crew == NULL)
        return 1;
    balloon.parts = demo_alloc(DEMO_LONGLIVED, task->threads * sizeof(struct part));
    for (unsigned i = 0; i < task->threads; i++)
        part_init(&balloon.parts[i], task, i);

    for (unsigned stage = 1; stage <= task->stages; stage++) {
        balloon.stage = stage;
        layer_stage_begin();
        crew_do(crew, ramp, &balloon);
        worker_ramp(stage);
        layer_stage_over();
        crew_do(crew, release, &balloon);
        crew_do(crew, drop_array, &balloon);
        layer_stage_end();
        if (stage == task->stages) {
            uint64_t digest = HASH_START;
            for (unsigned i = 0; i < task->threads; i++)
                digest = hash_bytes(digest, &balloon.parts[i].digest, sizeof(uint64_t));
            worker_answers(digest, balloon.parts[0].next_key * task->threads);
        }
        worker_released(stage);
    }
    crew_destroy(crew);
    return 0;
}
