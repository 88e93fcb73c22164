/* conformance_test.c - the suite's main(), and its helpers; see conformance.h. */
#include "tests/conformance/conformance.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

sluice_module module;

void use_backend(const char *more)
{
    const char *backend = getenv("SLUICE_TEST_BACKEND");
    char policy[4096];
    ck_assert_ptr_nonnull(backend); /* main() has asked for it */
    snprintf(policy, sizeof policy,
             "sluice: 1\n"
             "default: subject\n"
             "backends:\n"
             "  subject: %s%s%s\n"
             "%s",
             backend[0] == '{' ? "" : "{kind: ", backend, backend[0] == '{' ? "" : "}",
             more == NULL ? "" : more);
    ck_assert_msg(sluice_policy_load_string(policy, strlen(policy)) == SLUICE_OK, "%s\n%s",
                  sluice_error_message(), policy);
    module = sluice_module_register("conformance");
    ck_assert_uint_ne(module, SLUICE_MODULE_INVALID);
}

uint64_t random_next(uint64_t *state)
{
    /* xorshift64*, S. Vigna, "An experimental exploration of Marsaglia's xorshift generators",
     * 2014 */
    uint64_t x = *state;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    *state = x;
    return x * UINT64_C(0x2545F4914F6CDD1D);
}

size_t random_size(uint64_t *state, size_t low, size_t high)
{
    unsigned first = 63 - (unsigned)__builtin_clzll(low),
             last = 63 - (unsigned)__builtin_clzll(high);
    unsigned shift = first + (unsigned)(random_next(state) % (last - first + 1));
    size_t size = ((size_t)1 << shift) + random_next(state) % ((size_t)1 << shift);
    return size < low ? low : size > high ? high : size;
}

/* The content depends on the place alone, so that the start of an object can be looked at, too. */
static uint64_t pattern(uint64_t seed, size_t i)
{
    return (seed + i) * UINT64_C(0x9E3779B97F4A7C15);
}

void fill(void *p, size_t size, uint64_t seed)
{
    for (size_t i = 0; i < size; i += 8) {
        uint64_t word = pattern(seed, i);
        memcpy((char *)p + i, &word, size - i < 8 ? size - i : 8);
    }
}

bool is_filled(const void *p, size_t size, uint64_t seed)
{
    for (size_t i = 0; i < size; i += 8) {
        uint64_t word = pattern(seed, i);
        if (memcmp((const char *)p + i, &word, size - i < 8 ? size - i : 8) != 0)
            return false;
    }
    return true;
}

bool is_zero(const void *p, size_t size)
{
    const uint8_t *bytes = p;
    return size == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0);
}

void *test_memory(size_t size)
{
    void *p =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    ck_assert_ptr_ne(p, MAP_FAILED);
    return p;
}

struct sluice_module_stats stats_now(void)
{
    struct sluice_module_stats stats = {.struct_size = sizeof stats};
    ck_assert_int_eq(sluice_stats_module(module, &stats), SLUICE_OK);
    return stats;
}

void require_failed(const char *condition, const char *file, int line)
{
    char text[512];
    int length = snprintf(text, sizeof text, "%s:%d: failed: %s\n", file, line, condition);
    (void)!write(STDERR_FILENO, text, (size_t)length);
    abort();
}

static uint64_t field(const char *text, const char *name)
{
    const char *at = strstr(text, name);
    ck_assert_msg(at != NULL, "smaps_rollup has no %s", name);
    return strtoull(at + strlen(name), NULL, 10) * 1024;
}

uint64_t kernel_resident(void)
{
    char text[4096];
    size_t length = 0;
    ssize_t n;
    int fd = open("/proc/self/smaps_rollup", O_RDONLY | O_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    while ((n = read(fd, text + length, sizeof text - 1 - length)) > 0)
        length += (size_t)n;
    close(fd);
    text[length] = '\0';
    return field(text, "\nRss:") - field(text, "\nLazyFree:");
}

bool is_excepted(const char *name)
{
    const char *list = getenv("SLUICE_TEST_EXCEPT");
    size_t length = strlen(name);
    for (; list != NULL && *list != '\0'; list += strspn(list, ",")) {
        size_t item = strcspn(list, ",");
        if (item == length && memcmp(list, name, item) == 0) {
            printf("not run, by SLUICE_TEST_EXCEPT: %s\n", name);
            return true;
        }
        list += item;
    }
    return false;
}

int main(int argc, char **argv)
{
    const char *backend = getenv("SLUICE_TEST_BACKEND");
    if (backend == NULL && argc > 1) {
        backend = argv[argc - 1];
        setenv("SLUICE_TEST_BACKEND", backend, 1);
    }
    if (backend == NULL || backend[0] == '\0') {
        fprintf(stderr,
                "usage: SLUICE_TEST_BACKEND=BACKEND %s\n"
                "BACKEND: a kind, or what a policy writes for a backend, such as\n"
                "  '{kind: plugin, library: ./libmine.so}'\n",
                argv[0]);
        return 2;
    }
    char name[256];
    snprintf(name, sizeof name, "backend %s", backend);
    Suite *suite = suite_create(name);
    suite_add_tcase(suite, objects_cases());
    suite_add_tcase(suite, threads_cases());
    suite_add_tcase(suite, memory_cases());
    suite_add_tcase(suite, limit_cases());
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
