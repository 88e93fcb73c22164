#include "config/units.h"

#include "tests/support/reading.h"

static uint64_t size_of(const char *text)
{
    uint64_t bytes = 0;
    const char *unit;
    ck_assert_msg(units_parse_size(text, &bytes, &unit) == UNITS_OK, "%s", text);
    return bytes;
}

static uint64_t time_of(const char *text)
{
    uint64_t nanoseconds = 0;
    const char *unit;
    ck_assert_msg(units_parse_duration(text, &nanoseconds, &unit) == UNITS_OK, "%s", text);
    return nanoseconds;
}

START_TEST(sizes)
{
    ck_assert_uint_eq(size_of("0"), 0);
    ck_assert_uint_eq(size_of("4096"), 4096);
    ck_assert_uint_eq(size_of("512B"), 512);
    ck_assert_uint_eq(size_of("64KiB"), 65536);
    ck_assert_uint_eq(size_of("64 KiB"), 65536);
    ck_assert_uint_eq(size_of("2MiB"), 2097152);
    ck_assert_uint_eq(size_of("1.5GiB"), 1610612736);
    ck_assert_uint_eq(size_of("1TiB"), UINT64_C(1) << 40);
    ck_assert_uint_eq(size_of("1kB"), 1000);
    ck_assert_uint_eq(size_of("1KB"), 1000);
    ck_assert_uint_eq(size_of("1MB"), 1000000);
    ck_assert_uint_eq(size_of("1GB"), 1000000000);
    ck_assert_uint_eq(size_of("1TB"), 1000000000000);
    ck_assert_uint_eq(size_of("0.1KiB"), 102); /* down to whole bytes */
    ck_assert_uint_eq(size_of("18446744073709551615"), UINT64_MAX);
}
END_TEST

START_TEST(durations)
{
    ck_assert_uint_eq(time_of("0"), 0);
    ck_assert_uint_eq(time_of("0s"), 0);
    ck_assert_uint_eq(time_of("5ns"), 5);
    ck_assert_uint_eq(time_of("5us"), 5000);
    ck_assert_uint_eq(time_of("10ms"), 10000000);
    ck_assert_uint_eq(time_of("1s"), 1000000000);
    ck_assert_uint_eq(time_of("1.5s"), 1500000000);
    ck_assert_uint_eq(time_of("5m"), 300000000000);
    ck_assert_uint_eq(time_of("1h"), 3600000000000);
}
END_TEST

START_TEST(mistakes)
{
    static const struct {
        const char *text;
        enum units_result size, duration, count;
    } cases[] = {
        {"", UNITS_NOT_A_NUMBER, UNITS_NOT_A_NUMBER, UNITS_NOT_A_NUMBER},
        {"abc", UNITS_NOT_A_NUMBER, UNITS_NOT_A_NUMBER, UNITS_NOT_A_NUMBER},
        {"-1", UNITS_NEGATIVE, UNITS_NEGATIVE, UNITS_NEGATIVE},
        {"-", UNITS_NOT_A_NUMBER, UNITS_NOT_A_NUMBER, UNITS_NOT_A_NUMBER},
        {"+1", UNITS_NOT_A_NUMBER, UNITS_NOT_A_NUMBER, UNITS_NOT_A_NUMBER},
        {".5s", UNITS_NOT_A_NUMBER, UNITS_NOT_A_NUMBER, UNITS_NOT_A_NUMBER},
        {"010", UNITS_LEADING_ZERO, UNITS_LEADING_ZERO, UNITS_LEADING_ZERO},
        {"0x10", UNITS_UNKNOWN_UNIT, UNITS_UNKNOWN_UNIT, UNITS_NOT_A_NUMBER},
        {"1_000", UNITS_UNKNOWN_UNIT, UNITS_UNKNOWN_UNIT, UNITS_NOT_A_NUMBER},
        {"1.5", UNITS_FRACTION, UNITS_NO_UNIT, UNITS_FRACTION},
        {"1.5B", UNITS_FRACTION, UNITS_UNKNOWN_UNIT, UNITS_NOT_A_NUMBER},
        {"5", UNITS_OK, UNITS_NO_UNIT, UNITS_OK},
        {"5 ", UNITS_OK, UNITS_NO_UNIT, UNITS_NOT_A_NUMBER},
        {"1 . 5", UNITS_UNKNOWN_UNIT, UNITS_UNKNOWN_UNIT, UNITS_NOT_A_NUMBER},
        {"64kib", UNITS_UNKNOWN_UNIT, UNITS_UNKNOWN_UNIT, UNITS_NOT_A_NUMBER},
        {"18446744073709551616", UNITS_TOO_LARGE, UNITS_TOO_LARGE, UNITS_TOO_LARGE},
        {"16777216TiB", UNITS_TOO_LARGE, UNITS_UNKNOWN_UNIT, UNITS_NOT_A_NUMBER},
        {"99999999999999999999h", UNITS_TOO_LARGE, UNITS_TOO_LARGE, UNITS_TOO_LARGE},
        {"9999999999h", UNITS_UNKNOWN_UNIT, UNITS_TOO_LARGE, UNITS_NOT_A_NUMBER},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint64_t value;
        const char *unit;
        ck_assert_msg(units_parse_size(cases[i].text, &value, &unit) == cases[i].size, "size %s",
                      cases[i].text);
        ck_assert_msg(units_parse_duration(cases[i].text, &value, &unit) == cases[i].duration,
                      "duration %s", cases[i].text);
        ck_assert_msg(units_parse_count(cases[i].text, &value) == cases[i].count, "count %s",
                      cases[i].text);
    }
}
END_TEST

START_TEST(habits_are_understood)
{
    ck_assert_str_eq(units_suggest_size("K"), "KiB");
    ck_assert_str_eq(units_suggest_size("mib"), "MiB");
    ck_assert_str_eq(units_suggest_size("Gi"), "GiB");
    ck_assert_ptr_null(units_suggest_size("s"));
    ck_assert_str_eq(units_suggest_duration("sec"), "s");
    ck_assert_str_eq(units_suggest_duration("min"), "m");
    ck_assert_str_eq(units_suggest_duration("MS"), "ms");
    ck_assert_ptr_null(units_suggest_duration("KiB"));
}
END_TEST

START_TEST(printed_numbers_read_back)
{
    static const uint64_t values[] = {
        0,
        1,
        999,
        1000,
        1023,
        1024,
        1536,
        65536,
        1000000,
        1 << 20,
        3 << 19,
        1 << 30,
        60000000000,
        90000000000,
        3600000000000,
        1500000,
        UINT64_C(5) << 40,
        UINT64_MAX,
    };
    ck_assert_str_eq(units_size(65536).text, "64KiB");
    ck_assert_str_eq(units_size(1610612736).text, "1536MiB");
    ck_assert_str_eq(units_size(1000).text, "1000");
    ck_assert_str_eq(units_duration(0).text, "0s");
    ck_assert_str_eq(units_duration(1500000000).text, "1500ms");
    ck_assert_str_eq(units_duration(90000000000).text, "90s");
    ck_assert_str_eq(units_duration(7).text, "7ns");
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        ck_assert_uint_eq(size_of(units_size(values[i]).text), values[i]);
        ck_assert_uint_eq(time_of(units_duration(values[i]).text), values[i]);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("units");
    TCase *tests = tcase_create("units");
    tcase_add_test(tests, sizes);
    tcase_add_test(tests, durations);
    tcase_add_test(tests, mistakes);
    tcase_add_test(tests, habits_are_understood);
    tcase_add_test(tests, printed_numbers_read_back);
    suite_add_tcase(suite, tests);
    return reading_run(suite);
}
