/* The door of a process (core/guests.c) and who stands there (tools/sluice/peer.c): guests that behave badly, and many
 * observers of a process that works and reloads. Both sides are this process. */
#include "tools/sluice/peer.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/guests.h"
#include "core/request.h"
#include "tests/support/testing.h"

static char answer[PEER_TEXT];

static bool can_visit(void *peer)
{
    return peer_visit(peer, getpid());
}

static void visit(struct peer *peer)
{
    ck_assert_msg(wait_until(can_visit, peer, 20000), "%s", peer->why);
}

static void expect_error(struct peer *peer, const char *request, const char *part)
{
    ck_assert(!peer_ask(peer, request, PEER_PATIENCE, answer));
    ck_assert_msg(strstr(peer->why, part) != NULL, "%s", peer->why);
}

START_TEST(requests_that_are_none)
{
    struct peer peer;
    use_policy("");
    visit(&peer);
    expect_error(&peer, "reload\nnow", "knows no request \"reload\" with 1 arguments");
    expect_error(&peer, "dance", "knows no request \"dance\"");
    expect_error(&peer, "set\na\nb\nc", "1 to 3 fields");
    expect_error(&peer, "set\n\nb", "1 to 3 fields");
    expect_error(&peer, "\n", "1 to 3 fields");
    expect_error(&peer, "watch\n99", "100 to 60000");
    expect_error(&peer, "watch\n-1", "100 to 60000");
    expect_error(&peer, "watch\n100x", "100 to 60000");
    expect_error(&peer, "reload", "came from no file");
    expect_error(&peer, "set\nm\nnobody", "no backend \"nobody\"");
    ck_assert(peer_ask(&peer, "trim", PEER_PATIENCE, answer));
    peer_leave(&peer);
}
END_TEST

/* One that cannot be a request: its sender is sent away. */
START_TEST(packets_that_are_none)
{
    char large[REQUEST_SIZE + 2], byte;
    memset(large, 'a', sizeof large);
    const struct {
        const char *bytes;
        size_t size;
    } packets[] = {{large, sizeof large}, {"read\0", 5}};
    use_policy("");
    for (size_t i = 0; i < LENGTH(packets); i++) {
        struct peer peer;
        visit(&peer);
        ck_assert_int_eq(send(peer.fd, packets[i].bytes, packets[i].size, 0),
                         (ssize_t)packets[i].size);
        struct timeval patience = {.tv_sec = 20};
        setsockopt(peer.fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        ck_assert_int_le(recv(peer.fd, &byte, 1, 0), 0);
        ck_assert(!peer_has_ended(&peer));
        peer_leave(&peer);
    }
}
END_TEST

/* Whoever says nothing, or takes no answers, keeps nobody else waiting; there is room for so many. */
START_TEST(guests_that_are_silent)
{
    static struct peer guests[GUESTS_MAX];
    struct peer one_more;
    use_policy("");
    for (int i = 0; i < GUESTS_MAX; i++)
        visit(&guests[i]);
    for (int i = 0; i < 1000; i++) /* its answers pile up until it is sent away */
        if (send(guests[0].fd, "read", 4, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
            break;
    ck_assert_msg(peer_ask(&guests[GUESTS_MAX - 1], "trim", PEER_PATIENCE, answer), "%s",
                  guests[GUESTS_MAX - 1].why);
    peer_leave(&guests[0]);
    visit(&one_more);
    visit(&guests[0]);
    bool first = peer_ask(&one_more, "trim", PEER_PATIENCE, answer);
    bool second = peer_ask(&guests[0], "trim", PEER_PATIENCE, answer);
    ck_assert(!(first && second)); /* one had a place */
    for (int i = 0; i < GUESTS_MAX; i++)
        peer_leave(&guests[i]);
    peer_leave(&one_more);
}
END_TEST

START_TEST(a_page_that_is_outgrown)
{
    struct peer peer;
    use_policy("");
    use_module("first");
    visit(&peer);
    struct page *page = peer_read(&peer, 0);
    ck_assert_msg(page != NULL, "%s", peer.why);
    ck_assert_uint_eq(page->count, 2);
    free(page);
    for (int i = 0; i < 500; i++) {
        char name[32];
        snprintf(name, sizeof name, "module %d", i);
        use_module(name);
    }
    page = peer_read(&peer, 0);
    ck_assert_ptr_nonnull(page);
    ck_assert_uint_eq(page->count, 502);
    ck_assert_str_eq(page->modules[501].name, "module 499");
    free(page);
    peer_leave(&peer);
}
END_TEST

/* ---- All at once ------------------------------------------------------------------------------ */

#define WORKERS  8
#define WATCHERS 3

static _Atomic bool done;

static void *work(uint64_t seed)
{
    uint64_t state = seed + 1;
    void *kept[64] = {0};
    sluice_module m = use_module(seed % 2 == 0 ? "even" : "odd");
    while (!atomic_load_explicit(&done, memory_order_relaxed)) {
        void **slot = &kept[test_random(&state) % LENGTH(kept)];
        sluice_free(*slot);
        *slot = sluice_malloc(m, test_random_size(&state, 100000));
    }
    for (size_t i = 0; i < LENGTH(kept); i++)
        sluice_free(kept[i]);
    return NULL;
}

static void *look_on(void)
{
    struct peer peer;
    visit(&peer);
    struct page *page = peer_read(&peer, 100);
    ck_assert_msg(page != NULL, "%s", peer.why);
    uint64_t first = page->sequence, last = first;
    while (!atomic_load(&done)) {
        free(page);
        page = peer_page(&peer);
        ck_assert_msg(page != NULL, "%s", peer.why);
        ck_assert_uint_ge(page->sequence, last); /* whole, and never an older one */
        ck_assert_uint_eq(page->count, page->process.modules);
        last = page->sequence;
        usleep(1000);
    }
    ck_assert_uint_gt(last, first);
    free(page);
    peer_leave(&peer);
    return NULL;
}

static void *take_part(void *index)
{
    uint64_t i = (uintptr_t)index;
    if (i < WORKERS)
        return work(i);
    if (i < WORKERS + WATCHERS)
        return look_on();
    for (int n = 0; n < TESTING_SCALE(400); n++) {
        use_policy(n % 2 == 0 ? "modules: {even: pool, odd: glibc}\n"
                              : "modules: {even: mmap, odd: jemalloc}\n");
        usleep(5000);
    }
    atomic_store(&done, true);
    return NULL;
}

START_TEST(observers_of_a_process_that_works_and_reloads)
{
    use_policy("");
    use_module("even");
    use_module("odd");
    run_threads(WORKERS + WATCHERS + 1, take_part);
}
END_TEST

int main(void)
{
    TCase *cases[] = {tcase_create("peer")};
    tcase_add_test(cases[0], requests_that_are_none);
    tcase_add_test(cases[0], packets_that_are_none);
    tcase_add_test(cases[0], guests_that_are_silent);
    tcase_add_test(cases[0], a_page_that_is_outgrown);
    tcase_add_test(cases[0], observers_of_a_process_that_works_and_reloads);
    return run_suite("peer", cases, LENGTH(cases));
}
