/* guests.c - see guests.h. */
#include "core/guests.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/log.h"
#include "core/observe.h"
#include "core/os.h"
#include "core/request.h"
#include "core/system.h"

#define MS         UINT64_C(1000000)
#define SILENCE    (10000 * MS) /* a guest who wants nothing for so long goes */
#define PERIOD_MIN (100 * MS)
#define PERIOD_MAX (60000 * MS)
#define REST       (1000 * MS) /* after the system had no descriptor left for a guest */

struct guest {
    int fd;
    bool has_page;
    uint64_t period; /* ns; 0: watches nothing */
    uint64_t since;  /* the last request */
};

static int door = -1;
static uint64_t door_opens; /* not before then */
static struct guest guests[GUESTS_MAX];
static unsigned guest_count;
static uint64_t refresh_due = UINT64_MAX;

/* ---- The door -------------------------------------------------------------------------------- */

static uint64_t random_number(void)
{
    uint64_t n;
    if (getrandom(&n, sizeof n, GRND_NONBLOCK) != (ssize_t)sizeof n)
        n = os_now() ^ (uint64_t)(uintptr_t)&n;
    return n;
}

/* At least `width` digits, and where they end. */
static char *put_number(char *at, uint64_t number, unsigned base, unsigned width)
{
    char digits[20];
    unsigned n = 0;
    for (; number > 0 || n < width; number /= base)
        digits[n++] = "0123456789abcdef"[number % base];
    while (n > 0)
        *at++ = digits[--n];
    return at;
}

/* Not by snprintf(): every process comes here, and one that prints nothing itself has none of that in memory. */
static bool open_door(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "\0" OBSERVE_DOOR};
    char *end = address.sun_path + sizeof OBSERVE_DOOR;
    end = put_number(end, (uint64_t)getpid(), 10, 1);
    *end++ = '/';
    end = put_number(end, random_number(), 16, 16);
    socklen_t length = (socklen_t)(end - (char *)&address);
    int fd = system_socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0 && system_bind(fd, &address, length) == 0 && system_listen(fd, 16) == 0) {
        door = fd;
        return true;
    }
    log_line(LOG_LEVEL_INFO, "no door for sluice stat, top and ctl: %s", strerror(errno));
    if (fd >= 0)
        system_close(fd);
    return false;
}

static void refresh_when(uint64_t now)
{
    uint64_t least = UINT64_MAX;
    for (unsigned i = 0; i < guest_count; i++)
        if (guests[i].period != 0 && guests[i].period < least)
            least = guests[i].period;
    refresh_due = least == UINT64_MAX ? UINT64_MAX : now + least;
}

static uint32_t period_ms(void)
{
    uint64_t least = 0;
    for (unsigned i = 0; i < guest_count; i++)
        if (guests[i].period != 0 && (least == 0 || guests[i].period < least))
            least = guests[i].period;
    return (uint32_t)(least / MS);
}

static void send_away(unsigned i, uint64_t now)
{
    system_close(guests[i].fd);
    guests[i] = guests[--guest_count];
    bool any = false;
    for (unsigned j = 0; j < guest_count; j++)
        any |= guests[j].has_page;
    if (!any)
        observe_close();
    refresh_when(now);
}

void guests_admit(bool open)
{
    if (open) {
        if (door < 0)
            open_door();
        return;
    }
    while (guest_count > 0)
        send_away(0, os_now());
    if (door >= 0)
        system_close(door);
    door = -1;
}

void guests_fork_child(void)
{
    door = -1;
    guest_count = 0;
    refresh_due = UINT64_MAX;
    observe_fork_child();
}

/* ---- Answers --------------------------------------------------------------------------------- */

/* with: a descriptor to hand over, or -1. false: the guest takes nothing. */
static bool send_answer(int fd, bool ok, const char *text, int with)
{
    static char packet[ANSWER_SIZE + 16];
    int n = snprintf(packet, sizeof packet, "%s\n%s", ok ? "ok" : "error", text);
    struct iovec part = {packet, (size_t)n < sizeof packet ? (size_t)n : sizeof packet - 1};
    union {
        struct cmsghdr head;
        char space[CMSG_SPACE(sizeof(int))];
    } control = {.head = {.cmsg_len = CMSG_LEN(sizeof(int)),
                          .cmsg_level = SOL_SOCKET,
                          .cmsg_type = SCM_RIGHTS}};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (with >= 0) {
        memcpy(CMSG_DATA(&control.head), &with, sizeof with);
        message.msg_control = &control;
        message.msg_controllen = sizeof control.space;
    }
    return system_sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0;
}

static bool hand_over_page(struct guest *g)
{
    const char *why;
    int page = observe_open(&why);
    if (page < 0)
        return send_answer(g->fd, false, why, -1);
    g->has_page = true;
    return send_answer(g->fd, true, "", page);
}

static bool watch(struct guest *g, const char *period, uint64_t now)
{
    char *end;
    unsigned long long ms = strtoull(period, &end, 10);
    if (*period < '0' || *period > '9' || *end != '\0' || ms < PERIOD_MIN / MS ||
        ms > PERIOD_MAX / MS)
        return send_answer(g->fd, false, "a period is 100 to 60000 ms", -1);
    g->period = ms * MS;
    refresh_when(now);
    return hand_over_page(g);
}

/* false: the guest is to be sent away. */
static bool answer(struct guest *g, char *text, uint64_t now)
{
    static char said[ANSWER_SIZE];
    struct request request;
    if (!request_parse(text, &request))
        return send_answer(g->fd, false, "a request is 1 to 3 fields, parted by newlines", -1);
    if (strcmp(request.field[0], "read") == 0 && request.count == 1)
        return hand_over_page(g);
    if (strcmp(request.field[0], "watch") == 0 && request.count == 2)
        return watch(g, request.field[1], now);
    bool ok = request_carry_out(&request, said, sizeof said);
    return send_answer(g->fd, ok, said, -1);
}

/* ---- Requests -------------------------------------------------------------------------------- */

/* NULL: may come in; else why not. */
static const char *why_not(int fd)
{
    static char text[100];
    struct ucred peer;
    socklen_t size = sizeof peer;
    if (system_getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0)
        return "the system does not tell who you are";
    if (peer.uid != geteuid() && peer.uid != 0) {
        snprintf(text, sizeof text,
                 "the process belongs to user %u: only that user and root may ask", geteuid());
        return text;
    }
    return guest_count == GUESTS_MAX ? "too many observers are there already" : NULL;
}

static void let_in(uint64_t now)
{
    int fd;
    while ((fd = system_accept(door, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        const char *why = why_not(fd);
        if (why == NULL) {
            guests[guest_count++] = (struct guest){.fd = fd, .since = now};
            continue;
        }
        send_answer(fd, false, why, -1);
        system_close(fd);
    }
    if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
        door_opens = now + REST; /* it stays readable: polling would not sleep */
}

/* false: the guest is to be sent away. */
static bool hear(struct guest *g, uint64_t now)
{
    char text[REQUEST_SIZE + 1];
    ssize_t n = system_recv(g->fd, text, sizeof text, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return true;
    if (n <= 0 || (size_t)n == sizeof text || memchr(text, '\0', (size_t)n) != NULL)
        return false;
    text[n] = '\0';
    g->since = now;
    return answer(g, text, now);
}

static bool is_silent(const struct guest *g, uint64_t now)
{
    return g->period == 0 && now - g->since > SILENCE;
}

unsigned guests_poll(struct pollfd *fds, uint64_t *due)
{
    if (refresh_due < *due)
        *due = refresh_due;
    for (unsigned i = 0; i < guest_count; i++) {
        fds[i] = (struct pollfd){.fd = guests[i].fd, .events = POLLIN};
        uint64_t end = guests[i].since + SILENCE + 1;
        if (guests[i].period == 0 && end < *due)
            *due = end;
    }
    if (door < 0)
        return guest_count;
    if (door_opens > os_now()) { /* an earlier call had no descriptor for a guest */
        *due = door_opens < *due ? door_opens : *due;
        return guest_count;
    }
    fds[guest_count] = (struct pollfd){.fd = door, .events = POLLIN};
    return guest_count + 1;
}

void guests_serve(const struct pollfd *fds, unsigned n, uint64_t now)
{
    unsigned polled = n > guest_count ? guest_count : n;
    bool knocked = n > polled && fds[polled].revents != 0;
    for (unsigned i = polled; i-- > 0;) /* from the end: who goes is replaced by the last */
        if ((fds[i].revents != 0 && !hear(&guests[i], now)) || is_silent(&guests[i], now))
            send_away(i, now);
    if (knocked)
        let_in(now);
    if (now >= refresh_due) {
        observe_refresh(period_ms());
        refresh_when(now);
    }
}
