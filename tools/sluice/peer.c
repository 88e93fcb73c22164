#include "tools/sluice/peer.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "core/request.h"

#define DOORS_MAX   64   /* of one process; others may imitate its address */
#define LOOK_AGAIN  500  /* ms without an answer */
#define WHOLE_AFTER 2000 /* ms in which a page must be whole once */

static bool fail(struct peer *peer, const char *format, ...) __attribute__((format(printf, 2, 3)));
static bool fail(struct peer *peer, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    vsnprintf(peer->why, sizeof peer->why, format, list);
    va_end(list);
    return false;
}

pid_t peer_parse_pid(const char *text)
{
    char *end;
    errno = 0;
    long pid = strtol(text, &end, 10);
    bool good = text[0] >= '0' && text[0] <= '9' && *end == '\0' && errno == 0 && pid <= INT_MAX;
    return good ? (pid_t)pid : 0;
}

static long long now_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (long long)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* ---- What /proc says of a process -------------------------------------------------------------- */

static FILE *open_proc(pid_t pid, const char *name)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    return fopen(path, "re");
}

/* R, S, D, T, Z and so on; 0: there is no such process. */
static char state_of(pid_t pid)
{
    char line[1024] = "";
    FILE *file = open_proc(pid, "stat");
    if (file == NULL)
        return 0;
    if (fgets(line, sizeof line, file) == NULL)
        line[0] = '\0';
    fclose(file);
    const char *at = strrchr(line, ')');
    return at != NULL && at[1] == ' ' ? at[2] : 0;
}

/* Its number in its own namespace, which it knows itself by. */
static int own_number_of(pid_t pid)
{
    char line[256];
    int number = (int)pid;
    FILE *file = open_proc(pid, "status");
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, "NSpid:", 6) == 0) {
            const char *last = strrchr(line, '\t');
            number = last == NULL ? number : atoi(last + 1);
        }
    if (file != NULL)
        fclose(file);
    return number;
}

static bool has_other_network(pid_t pid)
{
    char path[64], own[64] = "", other[64] = "";
    snprintf(path, sizeof path, "/proc/%d/ns/net", (int)pid);
    return readlink("/proc/self/ns/net", own, sizeof own - 1) > 0 &&
           readlink(path, other, sizeof other - 1) > 0 && strcmp(own, other) != 0;
}

/* Its effective user: who owns the folder, unless it keeps debuggers out. */
static bool belongs_to_other(pid_t pid, unsigned *uid)
{
    char line[256];
    unsigned real, effective;
    bool other = false;
    FILE *file = open_proc(pid, "status");
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, "Uid: %u %u", &real, &effective) == 2) {
            other = geteuid() != 0 && effective != geteuid();
            *uid = effective;
        }
    if (file != NULL)
        fclose(file);
    return other;
}

bool peer_has_ended(struct peer *peer)
{
    char state = state_of(peer->pid);
    if (state == 0)
        fail(peer, "it has ended");
    else if (state == 'Z' || state == 'X')
        fail(peer, "it has ended, and its parent has not taken note");
    else
        return false;
    return true;
}

static bool explain_silence(struct peer *peer)
{
    char state = state_of(peer->pid);
    if (peer_has_ended(peer))
        return false;
    if (state == 'T' || state == 't')
        return fail(peer, "it is stopped and cannot answer; SIGCONT makes it go on");
    return fail(peer, "it does not answer");
}

static bool explain_no_door(struct peer *peer)
{
    unsigned uid;
    char state = state_of(peer->pid);
    if (state == 0)
        return fail(peer, "there is no such process");
    if (peer_has_ended(peer))
        return false;
    if (belongs_to_other(peer->pid, &uid))
        return fail(peer, "it belongs to user %u: only that user and root may ask", uid);
    if (has_other_network(peer->pid))
        return fail(peer,
                    "it is in another network namespace; run this there, as nsenter -t %d -n does",
                    (int)peer->pid);
    return fail(peer, "it has no Sluice that answers: it needs a policy of its own or a start by "
                      "sluice run, and observe: on");
}

/* ---- Doors ----------------------------------------------------------------------------------- */

/* Calls fn with the address and the number in it of each door; stops when it says false. */
static void each_door(bool (*fn)(const char *address, int number, void *arg), void *arg)
{
    char line[512];
    FILE *file = fopen("/proc/net/unix", "re");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        char *at = strstr(line, " @" OBSERVE_DOOR);
        unsigned flags;
        /* Num: RefCount Protocol Flags ...; 0x10000: it listens. */
        if (at == NULL || sscanf(line, "%*s %*s %*s %x", &flags) != 1 || (flags & 0x10000) == 0)
            continue;
        at[strcspn(at, "\n")] = '\0';
        if (!fn(at + 2, atoi(at + 2 + strlen(OBSERVE_DOOR)), arg))
            break;
    }
    if (file != NULL)
        fclose(file);
}

/* A connection, and the process that the kernel says is behind it; -1 with errno. */
static int knock(const char *address, pid_t *pid)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    size_t length = strlen(address);
    if (length > sizeof to.sun_path - 1)
        length = sizeof to.sun_path - 1;
    memcpy(to.sun_path + 1, address, length);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    struct ucred who;
    socklen_t size = sizeof who;
    if (connect(fd, (struct sockaddr *)&to,
                (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + length)) == 0 &&
        getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size) == 0) {
        *pid = who.pid;
        return fd;
    }
    int why = errno;
    close(fd);
    errno = why;
    return -1;
}

struct search {
    struct peer *peer;
    int number;
    unsigned doors;
    bool is_full;
};

static bool try_door(const char *address, int number, void *arg)
{
    struct search *search = arg;
    pid_t pid;
    if (number != search->number || ++search->doors > DOORS_MAX)
        return search->doors <= DOORS_MAX;
    int fd = knock(address, &pid);
    search->is_full |= fd < 0 && errno == EAGAIN;
    if (fd >= 0 && pid == search->peer->pid)
        search->peer->fd = fd;
    else if (fd >= 0)
        close(fd);
    return search->peer->fd < 0;
}

bool peer_visit(struct peer *peer, pid_t pid)
{
    *peer = (struct peer){.pid = pid, .fd = -1, .page_fd = -1};
    struct search search = {.peer = peer, .number = own_number_of(pid)};
    each_door(try_door, &search);
    if (peer->fd >= 0)
        return true;
    return search.is_full ? explain_silence(peer) : explain_no_door(peer);
}

void peer_leave(struct peer *peer)
{
    if (peer->fd >= 0)
        close(peer->fd);
    if (peer->page_fd >= 0)
        close(peer->page_fd);
    peer->fd = peer->page_fd = -1;
}

/* ---- Asking ---------------------------------------------------------------------------------- */

static void take_page(struct peer *peer, struct msghdr *message)
{
    struct cmsghdr *head = CMSG_FIRSTHDR(message);
    if (head == NULL || head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS ||
        head->cmsg_len != CMSG_LEN(sizeof(int)))
        return;
    if (peer->page_fd >= 0)
        close(peer->page_fd);
    memcpy(&peer->page_fd, CMSG_DATA(head), sizeof(int));
}

/* A process that is stopped is not waited for to the end. */
static bool wait_for_answer(struct peer *peer, long long end)
{
    struct pollfd ready = {.fd = peer->fd, .events = POLLIN};
    for (long long left; (left = end - now_ms()) > 0;) {
        if (poll(&ready, 1, left < LOOK_AGAIN ? (int)left : LOOK_AGAIN) > 0)
            return true;
        char state = state_of(peer->pid);
        if (state == 'T' || state == 't')
            break;
    }
    return false;
}

/* Bytes of the packet; -1: none came, and why is said. */
static ssize_t receive(struct peer *peer, char *packet, size_t size, int ms)
{
    union {
        struct cmsghdr head;
        char space[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec part = {packet, size};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof control};
    if (!wait_for_answer(peer, now_ms() + ms)) {
        explain_silence(peer);
        return -1;
    }
    ssize_t got = recvmsg(peer->fd, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (got < 0 &&
        errno == ECONNRESET) /* it closed with our request unread; its words may be there */
        got = recvmsg(peer->fd, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (got <= 0) {
        if (!peer_has_ended(peer))
            fail(peer, "it has closed the connection");
        return -1;
    }
    take_page(peer, &message);
    return got;
}

bool peer_ask(struct peer *peer, const char *request, int ms, char *answer)
{
    char packet[ANSWER_SIZE + 32];
    if (strlen(request) > REQUEST_SIZE)
        return fail(peer, "the request is too long");
    if (send(peer->fd, request, strlen(request), MSG_NOSIGNAL | MSG_DONTWAIT) < 0 &&
        errno != EPIPE && errno != ECONNRESET) /* then an answer may be there all the same */
        return errno == EAGAIN ? explain_silence(peer) : fail(peer, "%s", strerror(errno));
    ssize_t n = receive(peer, packet, sizeof packet - 1, ms);
    if (n < 0)
        return false;
    packet[n] = '\0';
    char *text = strchr(packet, '\n');
    bool ok = strncmp(packet, "ok\n", 3) == 0;
    if (text == NULL || (!ok && strncmp(packet, "error\n", 6) != 0))
        return fail(peer, "its answer is not one of Sluice's");
    page_show_text(text + 1, answer, PEER_TEXT);
    return ok || fail(peer, "%s", answer);
}

/* ---- Pages ----------------------------------------------------------------------------------- */

static uint64_t sequence_of(int fd)
{
    uint64_t sequence = 1;
    off_t at = offsetof(struct observe_header, sequence);
    return pread(fd, &sequence, sizeof sequence, at) == (ssize_t)sizeof sequence ? sequence : 1;
}

/* One try. NULL with *torn: it was being written. */
static struct page *try_page(struct peer *peer, bool *torn)
{
    struct observe_header header;
    const char *why = "it is too short";
    *torn = false;
    size_t size = 0;
    uint64_t before = sequence_of(peer->page_fd);
    if (pread(peer->page_fd, &header, sizeof header, 0) == (ssize_t)sizeof header)
        size = page_size(&header, &why);
    char *bytes = size == 0 ? NULL : malloc(size);
    struct page *page = NULL;
    if (bytes != NULL) {
        ssize_t got = pread(peer->page_fd, bytes, size, 0);
        *torn = before % 2 != 0 || sequence_of(peer->page_fd) != before;
        if (!*torn)
            page = page_check(bytes, got < 0 ? 0 : (size_t)got, &why);
    }
    free(bytes);
    if (page == NULL && !*torn)
        fail(peer, "its page cannot be read: %s", why == NULL ? "no memory" : why);
    return page;
}

/* A file in memory whose size stays: reading it cannot wait for anybody. */
static bool is_page_file(int fd)
{
    struct stat st;
    int seals = fcntl(fd, F_GET_SEALS);
    return fd >= 0 && seals >= 0 && (seals & F_SEAL_SHRINK) != 0 && fstat(fd, &st) == 0 &&
           S_ISREG(st.st_mode);
}

struct page *peer_page(struct peer *peer)
{
    if (!is_page_file(peer->page_fd)) {
        fail(peer, "it has handed over no page");
        return NULL;
    }
    long long end = now_ms() + WHOLE_AFTER;
    for (;;) {
        bool torn;
        struct page *page = try_page(peer, &torn);
        if (page != NULL || !torn)
            return page;
        if (now_ms() > end) {
            explain_silence(peer);
            return NULL;
        }
        poll(NULL, 0, 1);
    }
}

struct page *peer_read(struct peer *peer, unsigned period_ms)
{
    char request[32] = "read", answer[PEER_TEXT];
    if (period_ms != 0)
        snprintf(request, sizeof request, "watch\n%u", period_ms);
    return peer_ask(peer, request, PEER_PATIENCE, answer) ? peer_page(peer) : NULL;
}

/* ---- All of them ----------------------------------------------------------------------------- */

struct list {
    pid_t *pids;
    size_t size, count;
};

static bool list_door(const char *address, int number, void *arg)
{
    (void)number; /* of its own namespace */
    struct list *list = arg;
    pid_t pid = 0;
    int fd = knock(address, &pid);
    if (fd >= 0)
        close(fd);
    for (size_t i = 0; i < list->count; i++)
        if (list->pids[i] == pid)
            return true;
    if (fd >= 0 && pid > 0)
        list->pids[list->count++] = pid;
    return list->count < list->size;
}

static int compare_pids(const void *a, const void *b)
{
    pid_t x = *(const pid_t *)a, y = *(const pid_t *)b;
    return (x > y) - (x < y);
}

size_t peer_list(pid_t *pids, size_t size)
{
    struct list list = {pids, size, 0};
    each_door(list_door, &list);
    qsort(pids, list.count, sizeof *pids, compare_pids);
    return list.count;
}
