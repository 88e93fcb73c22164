/* Texts to trees: what YAML means here, and every kind of text that is refused. */
#include "config/yaml.h"

#include <stdlib.h>

#include "config/node.h"
#include "tests/support/reading.h"

static struct reader reader;

static void setup(void)
{
    reader = (struct reader){.limits = &reader_default_limits};
    reader.scratch = meta_region_create(64 << 20);
    reader.memory = meta_region_create(64 << 20);
    reader.report = meta_region_alloc(reader.scratch, sizeof(*reader.report));
    reader.root.file = "f";
}

static void teardown(void)
{
    meta_region_destroy(reader.scratch);
    meta_region_destroy(reader.memory);
}

static const struct node *tree(const char *text)
{
    const struct node *root = yaml_read_tree(&reader, "f", text, strlen(text));
    ck_assert_msg(root && reader.report->errors == 0, "%s", reader.report->entries[0].text);
    return root;
}

static void refused_bytes(const char *text, size_t length, uint32_t line, uint32_t column,
                          const char *message)
{
    teardown();
    setup();
    yaml_read_tree(&reader, "f", text, length);
    const struct report_entry *entry = &reader.report->entries[0];
    ck_assert_msg(reader.report->errors > 0, "taken: %s", text);
    ck_assert_msg(strcmp(entry->text, message) == 0 && entry->mark.line == line &&
                      entry->mark.column == column,
                  "expected %u:%u: %s\nfound %u:%u: %s", line, column, message, entry->mark.line,
                  entry->mark.column, entry->text);
}

static void refused(const char *text, uint32_t line, uint32_t column, const char *message)
{
    refused_bytes(text, strlen(text), line, column, message);
}

static const char *value(const struct node *map, const char *key)
{
    const struct node *node = node_find(map, key);
    ck_assert_msg(node && node->type == NODE_SCALAR, "%s", key);
    return node->text;
}

START_TEST(maps_lists_and_scalars)
{
    const struct node *root = tree("a: 1\nb: [x, 'y', \"z\"]\nc: {d: e}\nf:\ng: ~\nh: '~'\n");
    ck_assert_int_eq(root->type, NODE_MAP);
    ck_assert_uint_eq(root->count, 6);
    ck_assert_str_eq(value(root, "a"), "1");
    const struct node *list = node_find(root, "b");
    ck_assert_uint_eq(list->count, 3);
    ck_assert_str_eq(list->items[1]->text, "y");
    ck_assert(list->items[0]->plain);
    ck_assert(!list->items[1]->plain);
    ck_assert_str_eq(value(node_find(root, "c"), "d"), "e");
    ck_assert_int_eq(node_find(root, "f")->type, NODE_NOTHING);
    ck_assert_int_eq(node_find(root, "g")->type, NODE_NOTHING);
    ck_assert_int_eq(node_find(root, "h")->type, NODE_SCALAR);
    ck_assert_ptr_null(node_find(root, "i"));
}
END_TEST

START_TEST(marks_count_from_one)
{
    const struct node *root = tree("a:\n  - b: c\n    \xc3\xa9: d\n");
    const struct node *item = node_find(root, "a")->items[0];
    ck_assert_uint_eq(item->pairs[0].key->mark.line, 2);
    ck_assert_uint_eq(item->pairs[0].key->mark.column, 5);
    ck_assert_uint_eq(item->pairs[1].value->mark.line, 3);
    ck_assert_uint_eq(item->pairs[1].value->mark.column, 8); /* characters, not bytes */
    ck_assert_str_eq(item->mark.file, "f");
}
END_TEST

START_TEST(a_byte_order_mark_and_line_ends_of_other_systems)
{
    const struct node *root = tree("\xef\xbb\xbf"
                                   "a: 1\r\nb: 2\r\n");
    ck_assert_str_eq(value(root, "b"), "2");
    ck_assert_uint_eq(root->pairs[1].key->mark.line, 2);
}
END_TEST

START_TEST(anchors_and_aliases)
{
    const struct node *root = tree("a: &x {b: 1}\nc: *x\nd: &x [2]\ne: *x\n");
    ck_assert_ptr_eq(node_find(root, "a"), node_find(root, "c"));
    ck_assert_int_eq(node_find(root, "e")->type, NODE_LIST); /* the name was used again */
}
END_TEST

START_TEST(merge_keys)
{
    const struct node *root = tree("a: &a {k: 1, l: 1}\nb: &b {l: 2, m: 2}\n"
                                   "c: {<<: *a, k: 3}\nd: {k: 3, <<: [*a, *b]}\n"
                                   "e: {<<: {<<: *a, n: 4}}\nf: {'<<': 5}\n");
    ck_assert_str_eq(value(node_find(root, "c"), "k"), "3");
    ck_assert_str_eq(value(node_find(root, "c"), "l"), "1");
    ck_assert_str_eq(value(node_find(root, "d"), "k"), "3");
    ck_assert_str_eq(value(node_find(root, "d"), "l"), "1");
    ck_assert_str_eq(value(node_find(root, "d"), "m"), "2");
    ck_assert_uint_eq(node_find(root, "d")->count, 3);
    ck_assert_str_eq(value(node_find(root, "e"), "l"), "1");
    ck_assert_str_eq(value(node_find(root, "e"), "n"), "4");
    ck_assert_str_eq(value(node_find(root, "f"), "<<"), "5"); /* quoted: a key like any other */
    ck_assert_uint_eq(node_find_pair(node_find(root, "c"), "l")->key->mark.line, 1);
}
END_TEST

START_TEST(merges_of_what_is_no_map)
{
    refused("a: {<<: 1}\n", 1, 9, "\"<<\" merges a map or a list of maps, found \"1\"");
    refused("a: {<<: [{b: 1}, [2]]}\n", 1, 18, "\"<<\" merges maps, found a list");
}
END_TEST

START_TEST(duplicate_keys)
{
    refused("a: 1\nb: 2\na: 3\n", 3, 1, "duplicate key \"a\": it stands in line 1 already");
    refused("x: {<<: {a: 1}, <<: {b: 1}}\n", 1, 17,
            "duplicate key \"<<\": it stands in line 1 already");
}
END_TEST

START_TEST(text_that_is_no_yaml)
{
    refused("a: [1, 2\n", 2, 1,
            "not valid YAML: the text ends too early: did not find expected ',' or ']' while "
            "parsing a flow sequence that starts in line 1");
    refused("a: {b: c: d}\n", 1, 9,
            "not valid YAML: did not find expected ',' or '}' while parsing a flow mapping");
    refused("a:\n\tb: 1\n", 2, 1,
            "not valid YAML: found character that cannot start any token while scanning for the "
            "next token; a tab cannot indent here: use spaces");
    refused("a: \"b\n", 2, 1,
            "not valid YAML: the text ends too early: found unexpected end of stream while "
            "scanning a quoted scalar that starts in line 1");
    refused("*: a\n", 1, 2,
            "not valid YAML: did not find expected alphabetic or numeric character while "
            "scanning an alias; a pattern that starts with * must stand in quotes");
    refused("m: {on_hard: fallback: a}\n", 1, 22,
            "not valid YAML: did not find expected ',' or '}' while parsing a flow mapping; write "
            "on_hard: {fallback: NAME}");
    refused("a: b: c\n", 1, 5, "not valid YAML: mapping values are not allowed in this context");
    refused("%YAML 3.0\n--- a\n", 1, 1, "not valid YAML: found incompatible YAML document");
}
END_TEST

START_TEST(bytes_that_are_no_text)
{
    refused("a: b\nc: \xff\n", 2, 4, "not UTF-8 text");
    refused("a: \xc0\x80\n", 1, 4, "not UTF-8 text");         /* NUL, written too long */
    refused("a: \xed\xa0\x80\n", 1, 4, "not UTF-8 text");     /* half a surrogate pair */
    refused("a: \xf5\x80\x80\x80\n", 1, 4, "not UTF-8 text"); /* beyond Unicode */
    refused("a: \xe2\x82", 1, 4, "not UTF-8 text");           /* cut */
    refused("a: \xc2\x80\n", 1, 4, "a control character: a policy is text");
    refused("a: \xef\xbf\xbf\n", 1, 4, "a control character: a policy is text");
    refused("a: \x01\n", 1, 4, "a control character: a policy is text");
    refused_bytes("a: \0b", 5, 1, 4, "a NUL byte: a policy is text");
    refused_bytes("\xff\xfe"
                  "a\0",
                  4, 1, 1, "this is UTF-16: a policy is UTF-8 text");
    refused("a: \"\\0\"\n", 1, 4, "a NUL character in a text");
}
END_TEST

START_TEST(documents)
{
    static const char empty[] = "the policy is empty: it needs at least the line \"sluice: 1\"";
    refused("", 1, 1, empty);
    refused("# only a comment\n", 1, 1, empty);
    refused("---\n...\n", 1, 1, empty);
    refused("a: 1\n---\nb: 1\n", 2, 1, "a second document starts here: a policy is one document");
    teardown();
    setup();
    tree("%YAML 1.1\n---\na: 1\n...\n");
}
END_TEST

START_TEST(tags)
{
    refused("a: !mine 1\n", 1, 4,
            "tags such as \"!mine\" are not part of the language: write the value alone");
    refused("a: !!binary aGk=\n", 1, 4,
            "tags such as \"tag:yaml.org,2002:binary\" are not part of the language: write the "
            "value alone");
    refused("a: !!seq {b: 1}\n", 1, 4,
            "tags such as \"tag:yaml.org,2002:seq\" are not part of the language: write the value "
            "alone");
    teardown();
    setup();
    tree("a: !!str 1\nb: !!map {c: 1}\nd: !!seq [1]\ne: !!int 5\nf: ! x\n");
}
END_TEST

START_TEST(keys_are_names)
{
    refused("? [a]\n: b\n", 1, 3, "a key must be a name, found a list");
    refused("{{a: b}: c}\n", 1, 2, "a key must be a name, found a map");
}
END_TEST

START_TEST(aliases_that_lead_nowhere)
{
    refused(
        "a: *b\n", 1, 4,
        "no anchor \"&b\" before this alias; a pattern that starts with * must stand in quotes");
    refused("a: &a [*a]\n", 1, 8, "the alias \"*a\" stands inside the value that it names");
    refused("a: &a {<<: *a}\n", 1, 12, "the alias \"*a\" stands inside the value that it names");
}
END_TEST

/* ---- Limits ---------------------------------------------------------------------------------- */

static char *repeated(const char *start, const char *part, size_t count, const char *end)
{
    size_t size = strlen(start) + strlen(part) * count + strlen(end) + 1;
    char *text = malloc(size), *at = text;
    ck_assert_ptr_nonnull(text);
    at = stpcpy(at, start);
    for (size_t i = 0; i < count; i++)
        at = stpcpy(at, part);
    stpcpy(at, end);
    return text;
}

START_TEST(a_billion_laughs)
{
    char text[2048];
    struct text out;
    text_init(&out, text, sizeof(text));
    text_add(&out, "a0: &a0 ha\n");
    for (int i = 1; i <= 9; i++) {
        text_add(&out, "a%d: &a%d [", i, i);
        for (int j = 0; j < 10; j++)
            text_add(&out, "*a%d, ", i - 1);
        text_add(&out, "]\n");
    }
    refused(text, 7, 5, "aliases make this more than 200000 values");
}
END_TEST

START_TEST(a_billion_laughs_by_merging)
{
    /* Merging brings nothing new, so the tree stays small: what counts is the work. */
    char text[4096];
    struct text out;
    text_init(&out, text, sizeof(text));
    text_add(&out, "a0: &a0 {k: 1, l: 2}\n");
    for (int i = 1; i <= 9; i++) {
        text_add(&out, "a%d: &a%d {x: &x%d [", i, i, i);
        for (int j = 0; j < 10; j++)
            text_add(&out, "*a%d, ", i - 1);
        text_add(&out, "], <<: *x%d}\n", i);
    }
    yaml_read_tree(&reader, "f", text, strlen(text));
    ck_assert_uint_eq(reader.report->errors, 1);
    ck_assert_str_eq(reader.report->entries[0].text, "aliases make this more than 200000 values");
}
END_TEST

START_TEST(depth)
{
    char *text = repeated("", "[", 64, "x");
    refused(text, 1, 65, "nested more than 64 deep");
    free(text);
    text = repeated("", "[", 50000, "");
    refused(text, 1, 65, "nested more than 64 deep");
    free(text);
    text = repeated("", "- ", 30000, "x");
    refused(text, 1, 129, "nested more than 64 deep");
    free(text);
    /* Deep only where aliases are followed. */
    char *inner = repeated("a: &a ", "[", 40, "x"), *close = repeated("", "]", 40, "\n");
    char *outer = repeated("b: ", "[", 40, "*a"), all[512];
    snprintf(all, sizeof(all), "%s%s%s%s", inner, close, outer, close);
    refused(all, 2, 44, "nested more than 64 deep");
    free(inner);
    free(close);
    free(outer);
}
END_TEST

START_TEST(number_of_values)
{
    char *text = repeated("[", "1,", 200001, "]");
    refused(text, 1, 400000, "more than 200000 values in one file");
    free(text);
}
END_TEST

START_TEST(number_of_anchors)
{
    char *text = repeated("[", "&a 1,", 1001, "]");
    refused(text, 1, 5002, "more than 1000 anchors in one file");
    free(text);
}
END_TEST

START_TEST(size_of_the_text)
{
    char *text = repeated("a: 1\n#", "x", 1 << 20, "");
    refused(text, 0, 0, "larger than 1024 KiB: that cannot be a policy");
    free(text);
}
END_TEST

/* A budget that is used up anywhere on the way is one clear mistake. */
START_TEST(memory)
{
    char *text = repeated("list: [", "word, ", 20000, "]\n");
    unsigned refusals = 0;
    for (size_t budget = 128 << 10; budget < 32 << 20; budget += budget / 4) {
        struct reader_limits limits = reader_default_limits;
        teardown();
        reader = (struct reader){.limits = &limits};
        limits.scratch_bytes = budget;
        reader.scratch = meta_region_create(budget);
        reader.memory = meta_region_create(0);
        reader.report = meta_region_alloc(reader.scratch, sizeof(*reader.report));
        reader.root.file = "f";
        if (yaml_read_tree(&reader, "f", text, strlen(text)))
            continue;
        char wanted[80];
        snprintf(wanted, sizeof(wanted), "too large: it takes more than %zu KiB to read",
                 budget >> 10);
        ck_assert_uint_eq(reader.report->errors, 1);
        ck_assert_str_eq(reader.report->entries[0].text, wanted);
        refusals++;
    }
    ck_assert_uint_gt(refusals, 3);
    free(text);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("yaml");
    TCase *meaning = tcase_create("meaning"), *limits = tcase_create("limits");
    tcase_add_checked_fixture(meaning, setup, teardown);
    tcase_add_test(meaning, maps_lists_and_scalars);
    tcase_add_test(meaning, marks_count_from_one);
    tcase_add_test(meaning, a_byte_order_mark_and_line_ends_of_other_systems);
    tcase_add_test(meaning, anchors_and_aliases);
    tcase_add_test(meaning, merge_keys);
    tcase_add_test(meaning, merges_of_what_is_no_map);
    tcase_add_test(meaning, duplicate_keys);
    tcase_add_test(meaning, text_that_is_no_yaml);
    tcase_add_test(meaning, bytes_that_are_no_text);
    tcase_add_test(meaning, documents);
    tcase_add_test(meaning, tags);
    tcase_add_test(meaning, keys_are_names);
    tcase_add_test(meaning, aliases_that_lead_nowhere);
    suite_add_tcase(suite, meaning);
    tcase_add_checked_fixture(limits, setup, teardown);
    tcase_add_test(limits, a_billion_laughs);
    tcase_add_test(limits, a_billion_laughs_by_merging);
    tcase_add_test(limits, depth);
    tcase_add_test(limits, number_of_values);
    tcase_add_test(limits, number_of_anchors);
    tcase_add_test(limits, size_of_the_text);
    tcase_add_test(limits, memory);
    suite_add_tcase(suite, limits);
    return reading_run(suite);
}
