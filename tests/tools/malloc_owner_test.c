/* Two allocators in one program: libc keeps malloc, jemalloc answers to its own names. */
#include <check.h>
#include <dlfcn.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "tools/build/jemalloc_renamed.h"

static const char *file_of(const void *function)
{
    Dl_info info;
    return dladdr(function, &info) ? info.dli_fname : "(unknown)";
}

START_TEST(libc_keeps_malloc)
{
    void *volatile functions[] = {(void *)malloc, (void *)calloc, (void *)realloc, (void *)free,
                                  (void *)malloc_usable_size};
    for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++)
        ck_assert_msg(strstr(file_of(functions[i]), "/libc.so") != NULL, "function %zu is in %s", i,
                      file_of(functions[i]));
}
END_TEST

START_TEST(jemalloc_works_beside_it)
{
    size_t before = mallinfo2().uordblks;
    char *p = je_mallocx(100000, MALLOCX_ALIGN(4096));
    ck_assert_ptr_nonnull(p);
    ck_assert_uint_eq((uintptr_t)p % 4096, 0);
    ck_assert_uint_ge(je_sallocx(p, 0), 100000);
    memset(p, 1, 100000);
    je_dallocx(p, 0);
    ck_assert_uint_eq(mallinfo2().uordblks, before); /* libc never heard of it */
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("malloc_owner");
    TCase *tcase = tcase_create("all");
    tcase_add_test(tcase, libc_keeps_malloc);
    tcase_add_test(tcase, jemalloc_works_beside_it);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failures = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failures != 0;
}
