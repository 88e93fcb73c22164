/* scene_index.c - scene two: an indexer at work on real files.
 *
 * The list of files is dealt into batches. For each batch the threads read the files (module
 * reader), build an inverted index of them (indexer.h), and answer queries from it (module cache
 * holds results): files with two given words, and words with a given beginning. Then the batch is
 * dropped: all but a short summary of each file, which stays for good.
 *
 * The digest of all answers depends on the files and the seed alone: not on the order in which
 * threads work, nor on the memory that they get.
 */
#include "tools/demo/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/demo/cache.h"
#include "tools/demo/crew.h"
#include "tools/demo/hash.h"
#include "tools/demo/indexer.h"
#include "tools/demo/layer.h"
#include "tools/demo/random.h"

#define QUERIES_PER_FILE 12
#define HOT_QUERIES      200 /* every second query is one of these */
#define RESULT_FILES_MAX 400 /* an answer lists no more */
#define PREFIX_WORDS_MAX 200 /* an answer on a prefix looks at no more */
#define SUMMARY_TEXT     80

/* What stays of a file: its name and first bytes, and how many words it had. */
struct summary {
    struct summary *next;
    uint32_t length, words, name_length;
    char text[]; /* the name, then up to SUMMARY_TEXT bytes */
};

struct file {
    const char *name; /* in the list */
    char *text;
    size_t length;
};

struct scene {
    const struct worker_task *task;
    char *list; /* the input, its line ends replaced by NUL */
    size_t list_size;
    struct file *files;
    uint32_t file_count;

    struct file *batch; /* of files: this batch's */
    uint32_t batch_count;
    unsigned stage;
    struct indexer indexer;
    struct cache *caches;       /* one for each thread */
    struct summary **summaries; /* one list for each thread */

    atomic_uint next; /* the next piece of work that no thread has taken */
    _Atomic uint64_t digest, answers;
    atomic_bool has_failed;
};

/* ---- reading ---- */

static bool read_fd(int fd, char *to, size_t size)
{
    size_t done = 0;
    while (done < size) {
        ssize_t got = read(fd, to + done, size - done);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        done += (size_t)got;
    }
    return true;
}

/* The bytes of a file, for a module; NULL with a message. */
static char *read_file(const char *name, enum demo_module module, size_t *length)
{
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    struct stat stat;
    if (fd < 0 || fstat(fd, &stat) != 0) {
        dprintf(STDERR_FILENO, "demo: %s: %s\n", name, strerror(errno));
        if (fd >= 0)
            close(fd);
        return NULL;
    }
    *length = (size_t)stat.st_size;
    char *text = demo_alloc(module, *length);
    if (!read_fd(fd, text, *length)) {
        dprintf(STDERR_FILENO, "demo: %s: cannot be read in full\n", name);
        demo_free(text, *length);
        text = NULL;
    }
    close(fd);
    return text;
}

/* Splits the input into lines and deals them out: batch b holds the lines b, b + stages, b + 2 x
 * stages ... */
static bool read_list(struct scene *scene)
{
    scene->list = read_file(scene->task->input, DEMO_LONGLIVED, &scene->list_size);
    if (scene->list == NULL)
        return false;
    for (size_t i = 0; i < scene->list_size; i++) {
        if (scene->list[i] == '\n') {
            scene->list[i] = '\0';
            scene->file_count++;
        }
    }
    const char **names = demo_alloc(DEMO_LONGLIVED, scene->file_count * sizeof(*names));
    const char *name = scene->list;
    for (uint32_t i = 0; i < scene->file_count; i++) {
        names[i] = name;
        name += strlen(name) + 1;
    }
    scene->files = demo_calloc(DEMO_LONGLIVED, scene->file_count * sizeof(struct file));
    uint32_t at = 0;
    for (unsigned b = 0; b < scene->task->stages; b++) {
        for (uint32_t i = b; i < scene->file_count; i += scene->task->stages)
            scene->files[at++].name = names[i];
    }
    demo_free_longlived(names, scene->file_count * sizeof(*names));
    return true;
}

static void keep_summary(struct summary **list, const struct file *file, uint32_t words)
{
    size_t name = strlen(file->name);
    size_t text = file->length < SUMMARY_TEXT ? file->length : SUMMARY_TEXT;
    struct summary *summary = demo_alloc(DEMO_LONGLIVED, sizeof(*summary) + name + text);
    summary->length = (uint32_t)(name + text);
    summary->words = words;
    summary->name_length = (uint32_t)name;
    memcpy(summary->text, file->name, name);
    memcpy(summary->text + name, file->text, text);
    summary->next = *list;
    *list = summary;
}

/* ---- the jobs of a batch ---- */

static void job_read(void *arg, unsigned i)
{
    struct scene *scene = arg;
    uint32_t f;
    while ((f = atomic_fetch_add(&scene->next, 1)) < scene->batch_count) {
        struct file *file = &scene->batch[f];
        file->text = read_file(file->name, DEMO_READER, &file->length);
        if (file->text == NULL) {
            atomic_store(&scene->has_failed, true);
            return;
        }
        uint32_t words = indexer_add(&scene->indexer, f, file->text, file->length);
        keep_summary(&scene->summaries[i], file, words);
    }
}

static void job_sort(void *arg, unsigned i)
{
    struct scene *scene = arg;
    unsigned shard;
    while ((shard = atomic_fetch_add(&scene->next, 1)) < INDEXER_SHARDS)
        indexer_sort(&scene->indexer, shard);
}

static void job_order(void *arg, unsigned i)
{
    struct scene *scene = arg;
    unsigned tree;
    while ((tree = atomic_fetch_add(&scene->next, 1)) < INDEXER_TREES)
        indexer_order(&scene->indexer, tree);
}

/* A word of a file of the batch. The length is 0 when there is none at that place. */
static size_t pick_word(const struct scene *scene, struct random *random,
                        char word[INDEXER_WORD_MAX])
{
    const struct file *file = &scene->batch[random_below(random, scene->batch_count)];
    if (file->length == 0)
        return 0;
    size_t at = random_below(random, file->length);
    /* Not from the middle of a word. */
    while (at > 0 && at < file->length && (unsigned char)file->text[at] > ' ')
        at++;
    return indexer_next_word(file->text, file->length, &at, word);
}

static uint32_t intersect(const struct postings *a, const struct postings *b,
                          uint32_t files[RESULT_FILES_MAX])
{
    uint32_t i = 0, j = 0, count = 0;
    while (i < a->count && j < b->count && count < RESULT_FILES_MAX) {
        if (a->files[i] == b->files[j]) {
            files[count++] = a->files[i];
            i++;
            j++;
        } else if (a->files[i] < b->files[j]) {
            i++;
        } else {
            j++;
        }
    }
    return count;
}

struct prefix_answer {
    const char *prefix;
    size_t length;
    uint32_t *files; /* for each word with the prefix: in how many files it stands */
    uint32_t count;
};

static bool visit_prefix(const struct btree_item *item, void *arg)
{
    struct prefix_answer *answer = arg;
    if (item->length < answer->length || memcmp(item->key, answer->prefix, answer->length) != 0)
        return false;
    const struct postings *postings = item->value;
    answer->files[answer->count++] = postings->count;
    return answer->count < PREFIX_WORDS_MAX;
}

/* The words asked for stand in files of the batch, so the index must know them. */
static uint32_t answer_query(const struct scene *scene, const char *first, size_t first_length,
                             const char *second, size_t second_length, bool is_prefix,
                             uint32_t files[RESULT_FILES_MAX])
{
    if (is_prefix) {
        struct prefix_answer answer = {first, first_length, files, 0};
        btree_scan(indexer_tree(&scene->indexer, first[0]), first, first_length, visit_prefix,
                   &answer);
        return answer.count;
    }
    const struct postings *a = indexer_find(&scene->indexer, first, first_length);
    const struct postings *b = indexer_find(&scene->indexer, second, second_length);
    if (a == NULL || b == NULL) {
        dprintf(STDERR_FILENO, "demo: the index lost a word: %.*s or %.*s\n", (int)first_length,
                first, (int)second_length, second);
        _exit(WORKER_CORRUPT);
    }
    return intersect(a, b, files);
}

/* Query q of the batch: what it asks follows from the seed, the batch and q. Returns the hash of
 * question and answer. */
static uint64_t one_query(struct scene *scene, struct cache *cache, uint32_t q)
{
    struct random random = random_stream(scene->task->seed + scene->stage, q);
    if (random_below(&random, 2) == 0)
        random = random_stream(scene->task->seed + scene->stage,
                               UINT32_MAX + random_below(&random, HOT_QUERIES));
    char first[INDEXER_WORD_MAX], second[INDEXER_WORD_MAX];
    size_t first_length = pick_word(scene, &random, first);
    size_t second_length = pick_word(scene, &random, second);
    if (first_length == 0 || second_length == 0)
        return 0;
    bool is_prefix = random_below(&random, 3) == 0;
    if (is_prefix)
        first_length = INDEXER_WORD_MIN;

    char query[CACHE_QUERY_MAX];
    size_t length =
        (size_t)snprintf(query, sizeof(query), "%.*s%s%.*s", (int)first_length, first,
                         is_prefix ? "*" : "&", is_prefix ? 0 : (int)second_length, second);
    const struct result *result = cache_find(cache, query, length);
    if (result == NULL) {
        uint32_t files[RESULT_FILES_MAX];
        uint32_t count =
            answer_query(scene, first, first_length, second, second_length, is_prefix, files);
        result = cache_put(cache, query, length, files, count);
    }
    uint64_t hash = hash_bytes(HASH_START, query, length);
    return hash_finish(hash_bytes(hash, result->files, result->count * sizeof(uint32_t)));
}

static void job_query(void *arg, unsigned i)
{
    struct scene *scene = arg;
    uint32_t count = scene->batch_count * QUERIES_PER_FILE, q;
    uint64_t digest = 0, answers = 0;
    while ((q = atomic_fetch_add(&scene->next, 1)) < count) {
        uint64_t hash = one_query(scene, &scene->caches[i], q);
        digest += hash; /* a sum does not depend on the order */
        answers += hash != 0;
    }
    atomic_fetch_add(&scene->digest, digest);
    atomic_fetch_add(&scene->answers, answers);
}

static void job_drop(void *arg, unsigned i)
{
    struct scene *scene = arg;
    cache_clear(&scene->caches[i]);
    uint32_t f;
    while ((f = atomic_fetch_add(&scene->next, 1)) < scene->batch_count) {
        struct file *file = &scene->batch[f];
        demo_free(file->text, file->length);
        file->text = NULL;
    }
}

static bool run_batch(struct scene *scene, struct crew *crew)
{
    static void (*const jobs[])(void *, unsigned) = {job_read, job_sort, job_order, job_query};
    for (size_t j = 0; j < sizeof(jobs) / sizeof(jobs[0]); j++) {
        atomic_store(&scene->next, 0);
        crew_do(crew, jobs[j], scene);
        if (atomic_load(&scene->has_failed))
            return false;
    }
    worker_ramp(scene->stage);
    atomic_store(&scene->next, 0);
    crew_do(crew, job_drop, scene);
    indexer_clear(&scene->indexer);
    return true;
}

int scene_index(const struct worker_task *task)
{
    static struct scene scene;
    scene.task = task;
    struct crew *crew = crew_create(task->threads);
    if (crew == NULL || !read_list(&scene))
        return 1;
    scene.caches = demo_alloc(DEMO_LONGLIVED, task->threads * sizeof(struct cache));
    scene.summaries = demo_calloc(DEMO_LONGLIVED, task->threads * sizeof(struct summary *));
    for (unsigned i = 0; i < task->threads; i++)
        cache_init(&scene.caches[i]);
    indexer_init(&scene.indexer);

    scene.batch = scene.files;
    for (unsigned stage = 1; stage <= task->stages; stage++) {
        scene.stage = stage;
        scene.batch_count = (scene.file_count + task->stages - stage) / task->stages;
        if (!run_batch(&scene, crew))
            return 1;
        scene.batch += scene.batch_count;
        if (stage == task->stages)
            worker_answers(atomic_load(&scene.digest), atomic_load(&scene.answers));
        worker_released(stage);
    }
    crew_destroy(crew);
    return 0;
}
