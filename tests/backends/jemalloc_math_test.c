/* What stands in for libm in jemalloc, beside libm. */
#include "backends/jemalloc_math.h"

#include <float.h>
#include <math.h>
#include <stdint.h>

#include "tests/support/testing.h"

/* How many doubles lie between two, about; 0 when both are the same. */
static double apart(double a, double b)
{
    if (a == b)
        return 0;
    double unit = nextafter(fabs(b), INFINITY) - fabs(b);
    return fabs(a - b) / unit;
}

START_TEST(logarithms)
{
    for (int k = -1000; k <= 1000; k += 5)
        for (int i = 0; i < 700; i++) {
            double x = ldexp(1 + i * 0.00137, k);
            ck_assert_double_lt(apart(sluice_jemalloc_log(x), log(x)), 2);
        }
    for (int i = 0; i < 480; i++) { /* near 1, where the result is small */
        double d = ldexp(1 + i % 10 * 0.07, -50 + i / 10);
        ck_assert_double_lt(apart(sluice_jemalloc_log(1 + d), log(1 + d)), 2);
        ck_assert_double_lt(apart(sluice_jemalloc_log(1 - d), log(1 - d)), 2);
    }
    ck_assert_double_eq(sluice_jemalloc_log(1), 0);
}
END_TEST

START_TEST(exponentials)
{
    for (int i = -51000; i <= 51700; i++) {
        double x = i * 0.0137;
        ck_assert_double_lt(apart(sluice_jemalloc_exp(x), exp(x)), 2);
    }
    for (int i = 0; i < 600; i++) {
        double x = ldexp(1 + i % 10 * 0.07, -60 + i / 10);
        ck_assert_double_lt(apart(sluice_jemalloc_exp(x), exp(x)), 2);
        ck_assert_double_lt(apart(sluice_jemalloc_exp(-x), exp(-x)), 2);
    }
    ck_assert_double_eq(sluice_jemalloc_exp(0), 1);
    ck_assert_double_eq(sluice_jemalloc_exp(-1e6), 0);
    ck_assert(isinf(sluice_jemalloc_exp(1e6)));
}
END_TEST

START_TEST(roundings)
{
    static const double halves[] = {0,    0.5, 1.5, 2.5, 0.49999999999999994, 4503599627370495.5,
                                    1e300};
    for (unsigned i = 0; i < LENGTH(halves); i++)
        for (int sign = -1; sign <= 1; sign += 2)
            ck_assert_double_eq(sluice_jemalloc_round(sign * halves[i]), round(sign * halves[i]));
    for (int i = -16000; i < 16000; i++)
        ck_assert_double_eq(sluice_jemalloc_round(i * 0.0625), round(i * 0.0625));
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("functions");
    tcase_add_test(tc, logarithms);
    tcase_add_test(tc, exponentials);
    tcase_add_test(tc, roundings);
    return run_suite("jemalloc_math", &tc, 1);
}
