/* works.c - see works.h. Each follows something that programs do; none is somebody else's benchmark. Operations are mallocs,
 * reallocs counted as one. What is made is written to and read, as programs do. */
#include "tools/bench/works.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* NOLINTBEGIN(clang-analyzer-unix.Malloc): lists and tables of them are beyond it */

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)

static void *must(void *p)
{
    if (p == NULL) {
        fprintf(stderr, "bench: no memory\n");
        exit(1);
    }
    return p;
}

/* G. Marsaglia, "Xorshift RNGs", 2003. */
static uint64_t random_next(uint64_t *x)
{
    *x ^= *x << 13, *x ^= *x >> 7, *x ^= *x << 17;
    return *x;
}

/* Small ones are more likely, as in programs: each power of two up to `most` as likely as any other. */
static size_t random_size(uint64_t *x, unsigned bits_most)
{
    size_t top = (size_t)16 << random_next(x) % (bits_most - 3);
    return top / 2 + random_next(x) % (top / 2) + 1;
}

static void touch(char *p, size_t size)
{
    for (size_t at = 0; at < size; at += 4096)
        p[at] = 1;
}

static void run_threads(unsigned n, void *(*fn)(void *arg), void *args, size_t step)
{
    pthread_t thread[64];
    for (unsigned i = 0; i < n; i++)
        if (pthread_create(&thread[i], NULL, fn, (char *)args + i * step) != 0)
            exit(1);
    for (unsigned i = 0; i < n; i++)
        pthread_join(thread[i], NULL);
}

/* ---- Producers and consumers: every object is freed by another thread -------------------------- */

#define RING 1024

struct ring {
    _Atomic(void *) slot[RING];
    size_t n;
};

static void *produce(void *arg)
{
    struct ring *r = arg;
    uint64_t x = 88172645463325252u;
    for (size_t i = 0; i < r->n; i++) {
        char *p = must(malloc(64 + random_next(&x) % 448));
        *p = 1;
        for (unsigned spins = 0; atomic_load_explicit(&r->slot[i % RING], memory_order_acquire);
             spins++)
            if (spins > 100)
                sched_yield();
        atomic_store_explicit(&r->slot[i % RING], p, memory_order_release);
    }
    return NULL;
}

static void *consume(void *arg)
{
    struct ring *r = arg;
    for (size_t i = 0; i < r->n; i++) {
        void *p;
        for (unsigned spins = 0;
             (p = atomic_load_explicit(&r->slot[i % RING], memory_order_acquire)) == NULL; spins++)
            if (spins > 100)
                sched_yield();
        atomic_store_explicit(&r->slot[i % RING], NULL, memory_order_release);
        free(p);
    }
    return NULL;
}

static size_t producers_and_consumers(unsigned pairs, size_t n)
{
    static struct ring rings[8];
    pthread_t thread[16];
    for (unsigned i = 0; i < pairs; i++) {
        rings[i].n = n / pairs;
        pthread_create(&thread[2 * i], NULL, produce, &rings[i]);
        pthread_create(&thread[2 * i + 1], NULL, consume, &rings[i]);
    }
    for (unsigned i = 0; i < 2 * pairs; i++)
        pthread_join(thread[i], NULL);
    return n;
}

static size_t produce_2(size_t n)
{
    return producers_and_consumers(1, n);
}

static size_t produce_16(size_t n)
{
    return producers_and_consumers(8, n);
}

/* ---- A server: threads that come and go, and leave what they made to their successors --------------- */

#define SERVER_SLOTS 1000

struct server {
    void *slot[SERVER_SLOTS];
    uint64_t random;
    size_t n;
};

static void *serve(void *arg)
{
    struct server *s = arg;
    for (size_t i = 0; i < s->n; i++) {
        void **slot = &s->slot[random_next(&s->random) % SERVER_SLOTS];
        free(*slot);
        char *p = must(malloc(random_size(&s->random, 10)));
        *p = 1;
        *slot = p;
    }
    return NULL;
}

static size_t server(size_t n)
{
    enum { THREADS = 4, GENERATIONS = 50 };
    static struct server state[THREADS];
    for (unsigned i = 0; i < THREADS; i++)
        state[i].random = 88172645463325252u + i;
    for (unsigned g = 0; g < GENERATIONS; g++) {
        for (unsigned i = 0; i < THREADS; i++)
            state[i].n = n / THREADS / GENERATIONS;
        run_threads(THREADS, serve, state, sizeof *state);
        struct server first = state[0]; /* the next thread has another's */
        memmove(&state[0], &state[1], (THREADS - 1) * sizeof *state);
        state[THREADS - 1] = first;
    }
    for (unsigned i = 0; i < THREADS; i++)
        for (unsigned k = 0; k < SERVER_SLOTS; k++)
            free(state[i].slot[k]);
    return n;
}

/* ---- Threads that exchange objects through a shared table -------------------------------------------- */

static _Atomic(void *) shared[4096];

struct exchange {
    uint64_t random;
    size_t n;
};

static void *exchange(void *arg)
{
    struct exchange *e = arg;
    for (size_t i = 0; i < e->n; i++) {
        char *p = must(malloc(random_size(&e->random, 12)));
        *p = 1;
        free(atomic_exchange(&shared[random_next(&e->random) % 4096], p));
    }
    return NULL;
}

static size_t exchanges(size_t n)
{
    struct exchange e[4];
    for (unsigned i = 0; i < 4; i++)
        e[i] = (struct exchange){88172645463325252u + i, n / 4};
    run_threads(4, exchange, e, sizeof *e);
    for (size_t i = 0; i < 4096; i++)
        free(shared[i]);
    return n;
}

/* ---- Trees: built, walked and dropped -------------------------------------------------------------- */

struct node {
    struct node *left, *right;
    uint64_t key;
};

static size_t tree_add(struct node **at, uint64_t key)
{
    while (*at != NULL)
        at = key < (*at)->key ? &(*at)->left : &(*at)->right;
    *at = must(malloc(sizeof **at));
    **at = (struct node){NULL, NULL, key};
    return 1;
}

static void tree_drop(struct node *node)
{
    if (node == NULL)
        return;
    tree_drop(node->left);
    tree_drop(node->right);
    free(node);
}

static size_t trees(size_t n)
{
    struct node *kept = NULL;
    uint64_t x = 88172645463325252u;
    for (size_t i = 0; i < 20000; i++)
        tree_add(&kept, random_next(&x));
    for (size_t i = 0; i < n;) {
        struct node *root = NULL;
        for (size_t k = 0; k < 1000; k++)
            i += tree_add(&root, random_next(&x));
        tree_drop(root);
    }
    tree_drop(kept);
    return n;
}

/* ---- A graph whose vertices get edges: many small arrays that grow -------------------------------------- */

static size_t graph(size_t n)
{
    enum { VERTICES = 30000 };
    struct vertex {
        uint32_t *edge, count, room;
    } *vertex = must(calloc(VERTICES, sizeof *vertex));
    uint64_t x = 88172645463325252u;
    size_t operations = 0;
    for (size_t i = 0; i < n; i++) {
        struct vertex *v = &vertex[random_next(&x) % VERTICES];
        if (v->count == v->room) {
            v->room = v->room == 0 ? 4 : v->room * 2;
            v->edge = must(realloc(v->edge, v->room * sizeof *v->edge));
            operations++;
        }
        v->edge[v->count++] = (uint32_t)(random_next(&x) % VERTICES);
        if (v->count > 500) { /* it goes, with its edges */
            free(v->edge);
            *v = (struct vertex){0};
        }
    }
    for (size_t i = 0; i < VERTICES; i++)
        free(vertex[i].edge);
    free(vertex);
    return operations;
}

/* ---- Text: cut into words, kept in a table, put together again ------------------------------------------- */

static size_t text(size_t n)
{
    enum { BUCKETS = 4096 };
    struct word {
        struct word *next;
        char *text;
        unsigned count;
    } **table = must(calloc(BUCKETS, sizeof(struct word *)));
    uint64_t x = 88172645463325252u;
    size_t operations = 0;
    while (operations < n) {
        char *line = must(malloc(16));
        size_t length = 0, room = 16;
        operations++;
        for (unsigned k = 0; k < 40; k++) {
            char word[40];
            int size = snprintf(word, sizeof word, "w%x ", (unsigned)(random_next(&x) % 20000));
            while (length + (size_t)size + 1 > room) {
                line = must(realloc(line, room *= 2));
                operations++;
            }
            memcpy(line + length, word, (size_t)size + 1);
            length += (size_t)size;
        }
        char *rest = NULL;
        for (char *w = strtok_r(line, " ", &rest); w != NULL; w = strtok_r(NULL, " ", &rest)) {
            unsigned hash = 5381;
            for (const char *c = w; *c != '\0'; c++)
                hash = hash * 33 + (unsigned char)*c;
            struct word **at = &table[hash % BUCKETS];
            while (*at != NULL && strcmp((*at)->text, w) != 0)
                at = &(*at)->next;
            if (*at == NULL) {
                *at = must(malloc(sizeof **at));
                **at = (struct word){NULL, must(strdup(w)), 0};
                operations += 2;
            }
            if (++(*at)->count > 40) { /* forgotten */
                struct word *gone = *at;
                *at = gone->next;
                free(gone->text);
                free(gone);
            }
        }
        free(line);
    }
    for (unsigned b = 0; b < BUCKETS; b++)
        for (struct word *w = table[b], *next; w != NULL; w = next) {
            next = w->next;
            free(w->text);
            free(w);
        }
    free(table);
    return operations;
}

/* ---- Algebra: polynomials with terms in lists, multiplied, added, dropped ------------------------------------ */

struct term {
    struct term *next;
    int64_t factor;
    uint32_t power;
};

static size_t poly_add(struct term **poly, int64_t factor, uint32_t power)
{
    while (*poly != NULL && (*poly)->power > power)
        poly = &(*poly)->next;
    if (*poly != NULL && (*poly)->power == power) {
        (*poly)->factor += factor;
        return 0;
    }
    struct term *t = must(malloc(sizeof *t));
    *t = (struct term){*poly, factor, power};
    *poly = t;
    return 1;
}

static void poly_drop(struct term *poly)
{
    for (struct term *next; poly != NULL; poly = next) {
        next = poly->next;
        free(poly);
    }
}

static size_t algebra(size_t n)
{
    uint64_t x = 88172645463325252u;
    size_t operations = 0;
    while (operations < n) {
        struct term *a = NULL, *b = NULL, *product = NULL;
        for (unsigned i = 0; i < 12; i++) {
            operations +=
                poly_add(&a, (int64_t)(random_next(&x) % 9) + 1, (uint32_t)(random_next(&x) % 60));
            operations +=
                poly_add(&b, (int64_t)(random_next(&x) % 9) + 1, (uint32_t)(random_next(&x) % 60));
        }
        for (const struct term *s = a; s != NULL; s = s->next) {
            struct term *row = NULL;
            for (const struct term *t = b; t != NULL; t = t->next)
                operations += poly_add(&row, s->factor * t->factor, s->power + t->power);
            for (const struct term *t = row; t != NULL; t = t->next)
                operations += poly_add(&product, t->factor, t->power);
            poly_drop(row);
        }
        poly_drop(a);
        poly_drop(b);
        poly_drop(product);
    }
    return operations;
}

/* ---- An interpreter: boxed values, pairs and frames, counted references --------------------------------------- */

struct value {
    uint32_t references;
    uint32_t is_pair;
    union {
        double number;
        struct value *part[2];
    } as;
};

static void value_release(struct value *v)
{
    while (v != NULL && --v->references == 0) {
        struct value *rest = NULL;
        if (v->is_pair) {
            value_release(v->as.part[0]);
            rest = v->as.part[1];
        }
        free(v);
        v = rest;
    }
}

static struct value *value_number(double number)
{
    struct value *v = must(malloc(sizeof *v));
    v->references = 1;
    v->is_pair = 0;
    v->as.number = number;
    return v;
}

static struct value *value_pair(struct value *first, struct value *second)
{
    struct value *v = must(malloc(sizeof *v));
    *v = (struct value){.references = 1, .is_pair = 1, .as.part = {first, second}};
    return v;
}

static size_t interpreter(size_t n)
{
    struct value *globals[256] = {NULL};
    uint64_t x = 88172645463325252u;
    size_t operations = 0;
    while (operations < n) {
        size_t locals = 4 + random_next(&x) % 28;
        struct value **frame = must(calloc(locals, sizeof *frame)); /* a call */
        for (size_t i = 0; i < locals; i++) {
            struct value *list = NULL;
            for (unsigned k = 0; k < random_next(&x) % 12; k++) {
                list = value_pair(value_number((double)k), list);
                operations += 2;
            }
            frame[i] = list;
        }
        struct value **global = &globals[random_next(&x) % 256];
        struct value *result = frame[random_next(&x) % locals];
        if (result != NULL)
            result->references++;
        value_release(*global);
        *global = result;
        for (size_t i = 0; i < locals; i++)
            value_release(frame[i]);
        free(frame);
        operations++;
    }
    for (unsigned i = 0; i < 256; i++)
        value_release(globals[i]);
    return operations;
}

/* ---- Vectors that grow ---------------------------------------------------------------------------------- */

static size_t vectors(size_t n)
{
    size_t operations = 0;
    while (operations < n) {
        char *v[8] = {NULL};
        for (size_t size = 64; size <= 8 * MIB; size += size / 2)
            for (unsigned i = 0; i < 8; i++) {
                v[i] = must(realloc(v[i], size));
                touch(v[i] + size - size / 3, size / 3);
                operations++;
            }
        for (unsigned i = 0; i < 8; i++)
            free(v[i]);
    }
    return operations;
}

/* ---- Large blocks: allocated, touched, freed, some of them kept -------------------------------------------- */

static size_t large(size_t size, size_t kept, size_t n)
{
    void *ring[32] = {NULL};
    for (size_t i = 0; i < n; i++) {
        free(ring[i % kept]);
        ring[i % kept] = must(malloc(size));
        touch(ring[i % kept], size);
    }
    for (size_t i = 0; i < kept; i++)
        free(ring[i]);
    return n;
}

static size_t large_64k(size_t n)
{
    return large(64 * KIB, 32, n);
}

static size_t large_100k(size_t n)
{
    return large(100 * KIB, 32, n);
}

static size_t large_2m(size_t n)
{
    return large(2 * MIB, 8, n);
}

static size_t large_32m(size_t n)
{
    return large(32 * MIB, 4, n);
}

/* ---- What is kept when most goes: a twentieth of all objects stays ------------------------------------------ */

static size_t rest(size_t n)
{
    uint64_t x = 88172645463325252u;
    void **all = must(malloc(n * sizeof *all));
    for (size_t i = 0; i < n; i++) {
        all[i] = must(malloc(random_size(&x, 12)));
        *(char *)all[i] = 1;
    }
    for (size_t i = 0; i < n; i++)
        free(all[i]);
    free(all);
    return n;
}

/* ---- An hour of a server's life: of what comes and goes, a twentieth stays for long ------------------------- */

size_t works_live;

struct mortal {
    struct mortal *next;
    size_t size;
};

static struct mortal *mortal_add(struct mortal *list, size_t size)
{
    struct mortal *m = must(malloc(size));
    touch((char *)m, size);
    *m = (struct mortal){list, size};
    works_live += size;
    return m;
}

size_t works_churn(size_t n, void (*after_second)(unsigned second))
{
    static struct mortal *dies[WORKS_HOUR + 1];
    uint64_t x = 88172645463325252u;
    for (unsigned now = 0; now < WORKS_HOUR; now++) {
        for (size_t i = 0; i < n; i++) {
            uint64_t r = random_next(&x);
            unsigned life = r % 20 == 0 ? 1 + r / 32 % 1200 : 1 + r / 32 % 5;
            unsigned when = now + life < WORKS_HOUR ? now + life : WORKS_HOUR;
            dies[when] = mortal_add(dies[when], sizeof(struct mortal) + random_size(&x, 16));
        }
        unsigned later = now + 300 < WORKS_HOUR ? now + 300 : WORKS_HOUR;
        dies[later] = mortal_add(dies[later], 64 * KIB);
        char *brief = must(malloc(100 * KIB));
        touch(brief, 100 * KIB);
        free(brief);
        for (struct mortal *m = dies[now], *next; m != NULL; m = next) {
            next = m->next;
            works_live -= m->size;
            free(m);
        }
        dies[now] = NULL;
        if (after_second != NULL)
            after_second(now);
    }
    return n * WORKS_HOUR;
}

static size_t churn(size_t n)
{
    return works_churn(n, NULL);
}

/* NOLINTEND(clang-analyzer-unix.Malloc) */

const struct work works[] = {
    {"algebra", "polynomials as lists of terms, multiplied", algebra, 12000000, false},
    {"churn", "an hour of a server, a twentieth of all stays long", churn, 400, true},
    {"exchange", "4 threads that free each other's objects", exchanges, 3000000, false},
    {"graph", "30,000 arrays that grow", graph, 12000000, false},
    {"interpreter", "boxed values and lists, counted references", interpreter, 12000000, false},
    {"produce 2", "a producer and a consumer", produce_2, 4000000, false},
    {"produce 16", "8 producers and 8 consumers", produce_16, 4000000, false},
    {"rest", "objects of up to 4 KiB, made, then freed", rest, 300000, true},
    {"server", "4 threads, each soon replaced by another", server, 6000000, false},
    {"text", "lines cut into words, words in a table", text, 1200000, false},
    {"trees", "trees of 1,000 nodes", trees, 4000000, false},
    {"vectors", "vectors of up to 8 MiB that grow by half", vectors, 4000, true},
    {"64 KiB", "32 of them kept, touched", large_64k, 1000000, true},
    {"100 KiB", "32 of them kept, touched", large_100k, 500000, true},
    {"2 MiB", "8 of them kept, touched", large_2m, 20000, true},
    {"32 MiB", "4 of them kept, touched", large_32m, 60, true},
};

const size_t work_count = sizeof works / sizeof *works;
