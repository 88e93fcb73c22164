/* jemalloc_math.c - the three functions of libm that jemalloc's heap profile asks for, under the names that the build gives them
 * (tools/build/rename_jemalloc.sh). Profiling is off unless somebody sets MALLOC_CONF, but the names must lead somewhere, and
 * libm in each process would be a third of what Sluice takes in an idle one.
 *
 * Each reduces its argument to a short interval and sums a series there. Finite arguments as jemalloc's: positive ones for the
 * logarithm, results that are no denormal numbers for the exponential. Errors are below 2 units in the last place or so
 * (tests/backends/jemalloc_math_test.c). */
#include "backends/jemalloc_math.h"

#include <stdint.h>
#include <string.h>

/* ln 2 in two parts; multiples of the first one up to 2^11 are exact. */
#define LN2_HIGH 0x1.62e42fee00000p-1
#define LN2_LOW  0x1.a39ef35793c76p-33

#define MANTISSA_BITS 52
#define EXPONENT_BIAS 1023

static uint64_t bits_of(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static double of_bits(uint64_t bits)
{
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* x = m 2^k with m between sqrt(1/2) and sqrt(2), and ln m = 2 artanh s, s = (m - 1) / (m + 1). */
double sluice_jemalloc_log(double x)
{
    uint64_t bits = bits_of(x), one = (uint64_t)EXPONENT_BIAS << MANTISSA_BITS;
    int k = (int)(bits >> MANTISSA_BITS) - EXPONENT_BIAS;
    double m = of_bits((bits & (((uint64_t)1 << MANTISSA_BITS) - 1)) | one);
    if (m > 0x1.6a09e667f3bcdp0) {
        m /= 2;
        k++;
    }
    double f = m - 1, s = f / (2 + f), square = s * s, sum = 0;
    for (int n = 23; n >= 3; n -= 2)
        sum = (sum + 1.0 / n) * square;
    /* 2 s = f - s f: what is small is added to what is large last. */
    return k * LN2_HIGH + (f - (s * (f - 2 * sum) - k * LN2_LOW));
}

/* e^x = 2^k e^r with |r| <= ln 2 / 2. */
double sluice_jemalloc_exp(double x)
{
    int k = (int)(x / (LN2_HIGH + LN2_LOW) + (x < 0 ? -0.5 : 0.5));
    if (k > EXPONENT_BIAS)
        return __builtin_inf();
    if (k <= -EXPONENT_BIAS)
        return 0;
    double r = (x - k * LN2_HIGH) - k * LN2_LOW, sum = 0;
    for (int n = 14; n >= 2; n--)
        sum = (sum + 1) * r / n;
    return (1 + (r + sum * r)) * of_bits((uint64_t)(k + EXPONENT_BIAS) << MANTISSA_BITS);
}

/* Halves go away from 0. */
double sluice_jemalloc_round(double x)
{
    if (!(__builtin_fabs(x) < 4503599627370496.0)) /* 2^52 */
        return x;                                  /* it has no fraction */
    double whole = (double)(int64_t)x, rest = x - whole;
    if (rest >= 0.5)
        return whole + 1;
    return rest <= -0.5 ? whole - 1 : whole;
}
