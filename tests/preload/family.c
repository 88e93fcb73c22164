/* family.c - a program that knows nothing of Sluice: what it may expect of malloc, after glibc's manual and the standards.
 * Run plainly it tells what glibc does; under the preload library, what Sluice does. */
#include <check.h>
#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE 4096

void cfree(void *p);

/* The compiler must not know what these return. */
static void *(*volatile do_malloc)(size_t) = malloc;
static void *(*volatile do_calloc)(size_t, size_t) = calloc;
static void *(*volatile do_realloc)(void *, size_t) = realloc;
static void *(*volatile do_reallocarray)(void *, size_t, size_t) = reallocarray;
static void *(*volatile do_aligned_alloc)(size_t, size_t) = aligned_alloc;
static void *(*volatile do_memalign)(size_t, size_t) = memalign;
static int (*volatile do_posix_memalign)(void **, size_t, size_t) = posix_memalign;
static void *(*volatile do_valloc)(size_t) = valloc;
static void *(*volatile do_pvalloc)(size_t) = pvalloc;

static int is_aligned(const void *p, size_t alignment)
{
    return ((uintptr_t)p & (alignment - 1)) == 0;
}

/* One assertion for many bytes: check allocates for each. */
static int is_filled(const unsigned char *p, int value, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (p[i] != value)
            return 0;
    return 1;
}

START_TEST(objects_are_apart_aligned_and_keep_their_content)
{
    enum { COUNT = 2000 };
    static unsigned char *of[COUNT];
    static size_t sizes[COUNT];
    for (int i = 0; i < COUNT; i++) {
        sizes[i] = i % 97 == 0 ? (size_t)i * 1500 : (size_t)i % 1200;
        of[i] = do_malloc(sizes[i]);
        ck_assert_ptr_nonnull(of[i]);
        ck_assert(is_aligned(of[i], 16));
        ck_assert_uint_ge(malloc_usable_size(of[i]), sizes[i]);
        memset(of[i], i & 0xff, sizes[i]);
    }
    for (int i = 0; i < COUNT; i++) {
        ck_assert(is_filled(of[i], i & 0xff, sizes[i]));
        free(of[i]);
    }
}
END_TEST

START_TEST(zero_bytes_are_an_object)
{
    void *a = do_malloc(0), *b = do_malloc(0), *c = do_calloc(0, 8), *d = do_realloc(NULL, 0);
    ck_assert(a != NULL && b != NULL && c != NULL && d != NULL && a != b);
    free(a);
    free(b);
    free(c);
    free(d);
    free(NULL);
    ck_assert_uint_eq(malloc_usable_size(NULL), 0);
}
END_TEST

START_TEST(too_much_is_enomem)
{
    void *keep = do_malloc(100), *p = &p;
    memset(keep, 7, 100);
    static const size_t huge[] = {SIZE_MAX, SIZE_MAX - 1, SIZE_MAX - PAGE, (size_t)PTRDIFF_MAX + 1,
                                  (size_t)1 << 62};
    for (size_t i = 0; i < sizeof huge / sizeof huge[0]; i++) {
#define FAILS(call)                      \
    do {                                 \
        errno = 0;                       \
        ck_assert_ptr_null(call);        \
        ck_assert_int_eq(errno, ENOMEM); \
    } while (0)
        FAILS(do_malloc(huge[i]));
        FAILS(do_calloc(1, huge[i]));
        FAILS(do_realloc(NULL, huge[i]));
        FAILS(do_realloc(keep, huge[i]));
        FAILS(do_memalign(64, huge[i]));
        FAILS(do_aligned_alloc(64, huge[i]));
        FAILS(do_valloc(huge[i]));
        FAILS(do_pvalloc(huge[i]));
        ck_assert_int_eq(do_posix_memalign(&p, 64, huge[i]), ENOMEM);
        ck_assert_ptr_eq(p, &p);
    }
    FAILS(do_calloc(SIZE_MAX / 2, 3));
    FAILS(do_calloc((size_t)1 << 33, (size_t)1 << 33));
    FAILS(do_reallocarray(keep, SIZE_MAX / 2, 3));
    FAILS(do_reallocarray(NULL, (size_t)1 << 33, (size_t)1 << 33));
    ck_assert(is_filled(keep, 7, 100));
    free(keep);
}
END_TEST

START_TEST(calloc_is_zero_when_memory_is_used_again)
{
    for (int round = 0; round < 200; round++) {
        size_t size = (size_t)(round * 331) % 300000 + 1;
        unsigned char *p = do_malloc(size);
        memset(p, 0xff, malloc_usable_size(p));
        free(p);
        p = do_calloc(size, 1);
        ck_assert(is_filled(p, 0, size));
        memset(p, 0xee, malloc_usable_size(p));
        free(p);
    }
}
END_TEST

START_TEST(realloc_keeps_content_both_ways)
{
    size_t sizes[] = {1, 17, 4000, 70000, 3000000, 5000000, 200000, 65537, 65536, 1000, 24, 3};
    unsigned char *p = NULL;
    size_t before = 0;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        p = do_realloc(p, sizes[i]);
        ck_assert_ptr_nonnull(p);
        int same = 1;
        for (size_t b = 0; b < before && b < sizes[i]; b++)
            same &= p[b] == b * 7 % 251;
        ck_assert(same);
        for (size_t b = 0; b < sizes[i]; b++)
            p[b] = (unsigned char)(b * 7 % 251);
        before = sizes[i];
    }
    errno = 5;
    ck_assert_ptr_null(do_realloc(p, 0)); /* frees, as glibc does */
    p = do_reallocarray(NULL, 10, 30);
    ck_assert_uint_ge(malloc_usable_size(p), 300);
    p = do_reallocarray(p, 100, 30);
    ck_assert_uint_ge(malloc_usable_size(p), 3000);
    free(p);
}
END_TEST

START_TEST(alignments_are_kept)
{
    for (size_t alignment = 1; alignment <= (size_t)4 << 20; alignment *= 2) {
        for (size_t size = 0; size < 300000; size = size * 5 + 1) {
            void *p = do_memalign(alignment, size), *q = do_aligned_alloc(alignment, size),
                 *r = NULL;
            ck_assert(p != NULL && is_aligned(p, alignment));
            ck_assert(q != NULL && is_aligned(q, alignment));
            memset(p, 1, size);
            memset(q, 2, size);
            int result = do_posix_memalign(&r, alignment, size);
            ck_assert_int_eq(result, alignment < sizeof(void *) ? EINVAL : 0);
            ck_assert(result != 0 || (r != NULL && is_aligned(r, alignment)));
            free(p);
            free(q);
            free(r);
        }
    }
    void *p = do_memalign(48, 10); /* rounded up */
    ck_assert(p != NULL && is_aligned(p, 64));
    free(p);
    void *r = &r;
    ck_assert_int_eq(do_posix_memalign(&r, 48, 10), EINVAL);
    ck_assert_int_eq(do_posix_memalign(&r, 0, 10), EINVAL);
    ck_assert_ptr_eq(r, &r);
    errno = 0;
    ck_assert_ptr_null(do_memalign(SIZE_MAX, 1));
    ck_assert_int_eq(errno, EINVAL);
    p = do_valloc(10);
    ck_assert(p != NULL && is_aligned(p, PAGE));
    free(p);
    p = do_pvalloc(PAGE + 1);
    ck_assert(p != NULL && is_aligned(p, PAGE));
    ck_assert_uint_ge(malloc_usable_size(p), 2 * PAGE);
    free(p);
}
END_TEST

START_TEST(realloc_of_an_aligned_object_keeps_its_content)
{
    void *p = do_memalign(4096, 100);
    memset(p, 9, 100);
    p = do_realloc(p, 100000);
    ck_assert(is_filled(p, 9, 100));
    free(p);
}
END_TEST

START_TEST(free_keeps_errno)
{
    void *small = do_malloc(10), *large = do_malloc(5 << 20);
    errno = EILSEQ;
    free(small);
    ck_assert_int_eq(errno, EILSEQ);
    free(large);
    ck_assert_int_eq(errno, EILSEQ);
    void (*old_free)(void *) = dlvsym(RTLD_DEFAULT, "cfree", "GLIBC_2.2.5");
    ck_assert_ptr_nonnull(old_free);
}
END_TEST

START_TEST(what_libc_allocates_can_be_freed)
{
    char *text = NULL, *line = NULL;
    size_t size = 0;
    ck_assert_int_gt(asprintf(&text, "%d %s", 5, "five"), 0);
    char *copy = strdup(text);
    FILE *memory = open_memstream(&line, &size);
    fputs("some text", memory);
    fclose(memory);
    ck_assert_str_eq(line, "some text");
    char *path = realpath("/", NULL);
    ck_assert_str_eq(path, "/");
    free(path);
    free(line);
    free(copy);
    free(text);
}
END_TEST

START_TEST(questions_are_answered)
{
    struct mallinfo2 before = mallinfo2();
    void *p = do_malloc(30 << 20);
    memset(p, 1, 30 << 20);
    struct mallinfo2 with = mallinfo2();
    ck_assert_uint_ge(with.uordblks + with.hblkhd, before.uordblks + before.hblkhd + (30u << 20));
    free(p);
    ck_assert_int_eq(mallopt(M_ARENA_MAX, 2), 1);
    ck_assert_int_eq(mallopt(M_MMAP_THRESHOLD, 1 << 20), 1);
    (void)malloc_trim(0);
    char *text = NULL;
    size_t size = 0;
    FILE *to = open_memstream(&text, &size);
    ck_assert_int_eq(malloc_info(0, to), 0);
    ck_assert_int_ne(malloc_info(1, to), 0);
    fclose(to);
    ck_assert_int_eq(strncmp(text, "<malloc version=", 16), 0);
    ck_assert_ptr_nonnull(strstr(text, "</malloc>"));
    free(text);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("family");
    TCase *tcase = tcase_create("family");
    tcase_add_test(tcase, objects_are_apart_aligned_and_keep_their_content);
    tcase_add_test(tcase, zero_bytes_are_an_object);
    tcase_add_test(tcase, too_much_is_enomem);
    tcase_add_test(tcase, calloc_is_zero_when_memory_is_used_again);
    tcase_add_test(tcase, realloc_keeps_content_both_ways);
    tcase_add_test(tcase, alignments_are_kept);
    tcase_add_test(tcase, realloc_of_an_aligned_object_keeps_its_content);
    tcase_add_test(tcase, free_keeps_errno);
    tcase_add_test(tcase, what_libc_allocates_can_be_freed);
    tcase_add_test(tcase, questions_are_answered);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
