/* policy.schema.json against the parser: the same keys, words and parameters, no more and no
 * less. JSON is YAML, so the reader of policies reads it. Runs in the root of the source tree. */
#include <stdlib.h>

#include "config/keys.h"
#include "config/node.h"
#include "config/units.h"
#include "config/yaml.h"
#include "core/registry.h"
#include "tests/support/reading.h"

static struct reader reader;
static const struct node *schema;
static char text[1 << 20];

static void setup(void)
{
    FILE *file = fopen("config/policy.schema.json", "r");
    ck_assert_msg(file != NULL, "config/policy.schema.json is not there");
    size_t length = fread(text, 1, sizeof(text), file);
    fclose(file);
    reader = (struct reader){.limits = &reader_default_limits};
    reader.scratch = meta_region_create(0);
    reader.memory = meta_region_create(0);
    reader.report = meta_region_alloc(reader.scratch, sizeof(*reader.report));
    reader.root.file = "schema";
    schema = yaml_read_tree(&reader, "schema", text, length);
    ck_assert_msg(schema != NULL, "%s", reader.report->entries[0].text);
}

static void teardown(void)
{
    meta_region_destroy(reader.scratch);
    meta_region_destroy(reader.memory);
}

/* definitions.NAME, or the whole schema. */
static const struct node *definition(const char *name)
{
    const struct node *node = name ? node_find(node_find(schema, "definitions"), name) : schema;
    ck_assert_msg(node != NULL, "no definition of %s", name);
    return node;
}

static const struct node *properties(const char *name)
{
    const struct node *node = node_find(definition(name), "properties");
    ck_assert_msg(node != NULL, "no properties of %s", name);
    return node;
}

static void expect_keys(const char *name, const struct node *map, const char *const *keys)
{
    size_t count = 0;
    for (; keys[count]; count++)
        ck_assert_msg(node_find(map, keys[count]) != NULL, "%s: the schema lacks \"%s\"", name,
                      keys[count]);
    for (size_t i = 0; i < map->count; i++) {
        bool known = false;
        for (size_t j = 0; j < count; j++)
            known |= strcmp(map->pairs[i].key->text, keys[j]) == 0;
        ck_assert_msg(known, "%s: the parser does not know \"%s\"", name, map->pairs[i].key->text);
    }
}

START_TEST(keys)
{
    expect_keys("policy", properties(NULL), keys_policy);
    expect_keys("module", properties("module"), keys_module);
    expect_keys("rule", properties("rule"), keys_rule);
    expect_keys("limit", properties("limit"), keys_limit);
    expect_keys("phase", properties("phase"), keys_phase);
    expect_keys("process", properties("process"), keys_process);
    expect_keys("reload", properties("reload"), keys_reload);
    expect_keys("attribution", properties("attribution"), keys_attribution);
    expect_keys("plugin", properties("plugin"), keys_backend);
    expect_keys("mallopt", node_find(node_find(properties("process"), "mallopt"), "properties"),
                keys_mallopt);
}
END_TEST

static bool has_item(const struct node *list, const char *word)
{
    for (size_t i = 0; i < list->count; i++) {
        if (strcmp(list->items[i]->text, word) == 0)
            return true;
    }
    return false;
}

START_TEST(words)
{
    const struct node *check = node_find(node_find(properties("phase"), "check"), "enum");
    for (size_t i = 0; words_check[i]; i++)
        ck_assert(has_item(check, words_check[i]));
    const struct node *forms = node_find(definition("action"), "anyOf");
    const struct node *actions = node_find(forms->items[0], "enum");
    for (size_t i = 0; words_action[i]; i++)
        ck_assert_int_eq(has_item(actions, words_action[i]), i != POLICY_ACTION_FALLBACK);
    ck_assert_uint_eq(actions->count, 4);
}
END_TEST

static const char *definition_of(const struct node *property)
{
    const struct node *reference = node_find(property, "$ref");
    return reference ? strrchr(reference->text, '/') + 1 : "";
}

static void check_param(const char *kind, const struct sluice_param *param,
                        const struct node *property)
{
    static const char *const types[] = {
        [SLUICE_PARAM_SIZE] = "size",   [SLUICE_PARAM_DURATION] = "duration",
        [SLUICE_PARAM_COUNT] = "count", [SLUICE_PARAM_BOOL] = "",
        [SLUICE_PARAM_CHOICE] = "",
    };
    if (param->type == SLUICE_PARAM_CHOICE) {
        const struct node *choices = node_find(property, "enum");
        if (!choices)
            choices = node_find(definition(definition_of(property)), "enum");
        for (size_t i = 0; param->choices[i]; i++)
            ck_assert_msg(has_item(choices, param->choices[i]), "%s.%s: %s", kind, param->name,
                          param->choices[i]);
        return;
    }
    ck_assert_msg(strcmp(definition_of(property), types[param->type]) == 0, "%s.%s: a %s", kind,
                  param->name, types[param->type]);
    const struct node *value = node_find(property, "default");
    uint64_t number = 0;
    const char *unit;
    if (param->type == SLUICE_PARAM_DURATION)
        units_parse_duration(value->text, &number, &unit);
    else
        units_parse_size(value->text, &number, &unit);
    ck_assert_msg(number == param->default_value, "%s.%s: default %llu", kind, param->name,
                  (unsigned long long)param->default_value);
}

START_TEST(parameters_of_the_built_in_kinds)
{
    for (size_t i = 0; builtin_backends[i]; i++) {
        const struct sluice_backend_ops *ops = builtin_backends[i];
        const char *names[66] = {"kind"};
        ck_assert_uint_lt(ops->param_count, 64);
        for (size_t j = 0; j < ops->param_count; j++)
            names[j + 1] = ops->params[j].name;
        expect_keys(ops->name, properties(ops->name), names);
        for (size_t j = 0; j < ops->param_count; j++)
            check_param(ops->name, &ops->params[j],
                        node_find(properties(ops->name), ops->params[j].name));
    }
}
END_TEST

static void count_unexplained(const char *path, const struct node *node)
{
    const struct node *map = node_find(node, "properties");
    for (size_t i = 0; map && i < map->count; i++) {
        const struct node *value = map->pairs[i].value;
        ck_assert_msg(node_find(value, "description") || node_find(value, "$ref") ||
                          node_find(value, "const") || node_find(value, "pattern"),
                      "%s.%s has no description", path, map->pairs[i].key->text);
    }
}

START_TEST(every_key_is_explained)
{
    const struct node *definitions = node_find(schema, "definitions");
    count_unexplained("policy", schema);
    for (size_t i = 0; i < definitions->count; i++)
        count_unexplained(definitions->pairs[i].key->text, definitions->pairs[i].value);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("schema");
    TCase *tests = tcase_create("schema");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, keys);
    tcase_add_test(tests, words);
    tcase_add_test(tests, parameters_of_the_built_in_kinds);
    tcase_add_test(tests, every_key_is_explained);
    suite_add_tcase(suite, tests);
    return reading_run(suite);
}
