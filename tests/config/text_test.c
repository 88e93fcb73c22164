#include "config/text.h"

#include "tests/support/reading.h"

START_TEST(what_does_not_fit_is_cut)
{
    char buffer[8];
    struct text text;
    text_init(&text, buffer, sizeof(buffer));
    text_add(&text, "1234");
    ck_assert(!text.cut);
    text_add(&text, "56789");
    ck_assert(text.cut);
    ck_assert_str_eq(buffer, "1234567");
    text_add(&text, "x");
    ck_assert_str_eq(buffer, "1234567");
    text_rewind(&text, 4);
    ck_assert_str_eq(buffer, "1234");
}
END_TEST

START_TEST(no_buffer_at_all)
{
    struct text text;
    text_init(&text, NULL, 0);
    text_add(&text, "%d", 5);
    ck_assert(text.cut);
    ck_assert_uint_eq(text.used, 0);
}
END_TEST

START_TEST(json)
{
    char buffer[64];
    struct text text;
    text_init(&text, buffer, sizeof(buffer));
    text_add_json(&text, "a\"b\\c\n\xc3\xa9");
    text_add(&text, " ");
    text_add_json(&text, NULL);
    ck_assert_str_eq(buffer, "\"a\\\"b\\\\c\\u000a\xc3\xa9\" null");
}
END_TEST

static const char *yaml(const char *s)
{
    static char buffer[64];
    struct text text;
    text_init(&text, buffer, sizeof(buffer));
    text_add_yaml(&text, s);
    return buffer;
}

START_TEST(yaml_scalars_keep_their_meaning)
{
    ck_assert_str_eq(yaml("perception"), "perception");
    ck_assert_str_eq(yaml("libx.so/2"), "libx.so/2");
    ck_assert_str_eq(yaml("ros.*"), "\"ros.*\"");
    ck_assert_str_eq(yaml(""), "\"\"");
    ck_assert_str_eq(yaml("on"), "\"on\"");
    ck_assert_str_eq(yaml("Null"), "\"Null\"");
    ck_assert_str_eq(yaml("12"), "\"12\"");
    ck_assert_str_eq(yaml("a: b"), "\"a: b\"");
    ck_assert_str_eq(yaml("a\xe2\x80\xa8 b\xc2\x85 c\xc2\x80"), "\"a\\L b\\N c\\x80\"");
    ck_assert_str_eq(yaml("\xc3\xa9"), "\"\xc3\xa9\"");
    ck_assert_str_eq(yaml("say \"x\"\\"), "\"say \\\"x\\\"\\\\\"");
}
END_TEST

START_TEST(long_names_are_cut_between_characters)
{
    char name[201];
    for (size_t i = 0; i < 200; i += 2)
        memcpy(name + i, "\xc3\xa9", 2);
    name[200] = '\0';
    struct quoted q = quoted(name);
    size_t length = strlen(q.text);
    ck_assert_uint_lt(length, sizeof(q.text));
    ck_assert_str_eq(q.text + length - 3, "...");
    ck_assert_uint_eq((length - 3) % 2, 0);
    ck_assert_str_eq(quoted("short").text, "short");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("text");
    TCase *tests = tcase_create("text");
    tcase_add_test(tests, what_does_not_fit_is_cut);
    tcase_add_test(tests, no_buffer_at_all);
    tcase_add_test(tests, json);
    tcase_add_test(tests, yaml_scalars_keep_their_meaning);
    tcase_add_test(tests, long_names_are_cut_between_characters);
    suite_add_tcase(suite, tests);
    return reading_run(suite);
}
