/* crew.c - see crew.h. The crew's own few bytes are static and so outside every allocator that is
 * measured. */
#include "tools/demo/crew.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "tools/demo/layer.h"

struct crew {
    unsigned threads;
    pthread_barrier_t start, end;       /* of a job; the caller of crew_do takes part in both */
    void (*job)(void *arg, unsigned i); /* NULL: time to go */
    void *arg;
};

static struct crew the_crew;
static pthread_t handles[LAYER_MAX_THREADS];

static void *thread_main(void *index)
{
    unsigned i = (unsigned)(uintptr_t)index;
    layer_thread(i + 1); /* 0 is the first thread's */
    for (;;) {
        pthread_barrier_wait(&the_crew.start);
        if (the_crew.job == NULL)
            return NULL;
        the_crew.job(the_crew.arg, i);
        pthread_barrier_wait(&the_crew.end);
    }
}

struct crew *crew_create(unsigned threads)
{
    the_crew.threads = threads;
    pthread_barrier_init(&the_crew.start, NULL, threads + 1);
    pthread_barrier_init(&the_crew.end, NULL, threads + 1);
    for (unsigned i = 0; i < threads; i++) {
        int error = pthread_create(&handles[i], NULL, thread_main, (void *)(uintptr_t)i);
        if (error != 0) {
            fprintf(stderr, "demo: thread %u of %u: %s\n", i + 1, threads, strerror(error));
            return NULL;
        }
    }
    return &the_crew;
}

void crew_do(struct crew *crew, void (*job)(void *arg, unsigned i), void *arg)
{
    crew->job = job;
    crew->arg = arg;
    pthread_barrier_wait(&crew->start);
    pthread_barrier_wait(&crew->end);
}

void crew_destroy(struct crew *crew)
{
    crew->job = NULL;
    pthread_barrier_wait(&crew->start);
    for (unsigned i = 0; i < crew->threads; i++)
        pthread_join(handles[i], NULL);
}
