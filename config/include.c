#include "config/include.h"

#include <string.h>

#include "config/file.h"
#include "config/merge.h"
#include "config/node.h"
#include "config/reader.h"
#include "config/text.h"
#include "config/yaml.h"

/* The files that are being read: the innermost, and who included it. */
struct chain {
    const struct chain *parent;
    const char *name;
    struct policy_file_state state;
    size_t depth; /* 0: the file that was asked for */
};

static const struct node *with_includes(struct reader *reader, const struct chain *self,
                                        const struct node *tree);

#define LANGUAGE_VERSION "1"

/* Each file for itself, since the file's own version would hide that of what it includes. That the
 * outermost file has one is the parser's to see. */
static void check_version(struct reader *reader, const struct node *tree)
{
    const struct node *version = node_find(tree, "sluice");
    if (!version)
        return;
    if (version->type != NODE_SCALAR)
        report_error(reader->report, version->mark,
                     "sluice: expected the version of the language, " LANGUAGE_VERSION ", found %s",
                     node_found(version).text);
    else if (strcmp(version->text, LANGUAGE_VERSION) != 0)
        report_error(reader->report, version->mark,
                     "sluice: version \"%s\" of the language is not known; this is Sluice %s, "
                     "which reads version " LANGUAGE_VERSION,
                     quoted(version->text).text, SLUICE_VERSION);
}

/* "a.yaml -> b.yaml -> " */
static void write_chain(struct text *text, const struct chain *chain)
{
    if (!chain)
        return;
    write_chain(text, chain->parent);
    text_add(text, "%s -> ", chain->name);
}

struct chain_text {
    char text[256];
};

static struct chain_text chain_text(const struct chain *chain, const char *name)
{
    struct chain_text out;
    struct text text;
    text_init(&text, out.text, sizeof(out.text));
    write_chain(&text, chain);
    text_add(&text, "%s", name);
    return out;
}

static bool remember(struct reader *reader, const char *name, const struct policy_file_state *state)
{
    const char *absolute = file_absolute(reader->memory, name);
    if (!absolute) {
        reader_no_memory(reader, reader->memory);
        return false;
    }
    for (size_t i = 0; i < reader->file_count; i++) {
        if (strcmp(reader->files[i], absolute) == 0)
            return true;
    }
    if (reader->file_count < sizeof(reader->files) / sizeof(reader->files[0])) {
        reader->file_states[reader->file_count] = *state;
        reader->files[reader->file_count++] = absolute;
    }
    return true;
}

/* false: no memory, which is reported. *mistake: NULL, or what else went wrong. */
static bool read_text(struct reader *reader, const char *name, struct policy_file_state *state,
                      const char **mistake)
{
    *mistake = file_read(name, &reader->text, reader->limits->file_bytes + 1, state);
    if (*mistake != FILE_NO_MEMORY)
        return true;
    reader_no_memory(reader, reader->scratch);
    return false;
}

static const struct node *read_included(struct reader *reader, const struct chain *parent,
                                        const struct node *entry)
{
    if (entry->type != NODE_SCALAR) {
        report_error(reader->report, entry->mark, "include: expected the name of a file, found %s",
                     node_found(entry).text);
        return NULL;
    }
    struct chain self = {.parent = parent, .depth = parent->depth + 1};
    self.name = file_beside(reader->memory, parent->name, entry->text);
    if (!self.name) {
        reader_no_memory(reader, reader->memory);
        return NULL;
    }
    if (self.depth > reader->limits->include_depth) {
        report_error(reader->report, entry->mark, "includes are nested more than %zu deep: %s",
                     reader->limits->include_depth, chain_text(parent, self.name).text);
        return NULL;
    }
    if (reader->files_read == reader->limits->files) {
        report_error(reader->report, entry->mark, "more than %zu files are included: %s",
                     reader->limits->files - 1, chain_text(parent, self.name).text);
        return NULL;
    }
    reader->files_read++;
    const char *mistake;
    if (!read_text(reader, self.name, &self.state, &mistake))
        return NULL;
    if (mistake) {
        report_error(reader->report, entry->mark, "cannot read the included file: %s: %s",
                     chain_text(parent, self.name).text, mistake);
        return NULL;
    }
    for (const struct chain *up = parent; up; up = up->parent) {
        if (up->state.device == self.state.device && up->state.inode == self.state.inode) {
            report_error(reader->report, entry->mark, "files include each other in a circle: %s",
                         chain_text(parent, self.name).text);
            return NULL;
        }
    }
    if (!remember(reader, self.name, &self.state))
        return NULL;
    const struct node *tree =
        yaml_read_tree(reader, self.name, reader->text.bytes, reader->text.length);
    return tree ? with_includes(reader, &self, tree) : NULL;
}

/* The tree without its `include`, merged over the trees that this names. */
static const struct node *with_includes(struct reader *reader, const struct chain *self,
                                        const struct node *tree)
{
    if (tree->type != NODE_MAP) {
        report_error(reader->report, tree->mark,
                     "a policy is a map of keys such as \"sluice: 1\", found %s",
                     node_found(tree).text);
        return NULL;
    }
    check_version(reader, tree);
    const struct node_pair *include = node_find_pair(tree, "include");
    if (!include)
        return tree;
    tree = merge_without(reader, tree, include);
    if (!tree)
        return NULL;
    const struct node *list = include->value;
    const struct node *const *entries = list->type == NODE_LIST ? list->items : &list;
    size_t count = list->type == NODE_LIST ? list->count : list->type == NODE_NOTHING ? 0 : 1;
    const struct node *merged = NULL;
    for (size_t i = 0; i < count && !reader->out_of_memory; i++) {
        const struct node *included = read_included(reader, self, entries[i]);
        if (included)
            merged = merged ? merge_trees(reader, merged, included) : included;
    }
    return merged ? merge_trees(reader, merged, tree) : tree;
}

const struct node *include_read_file(struct reader *reader, const char *name)
{
    struct chain self = {.name = reader_keep_text(reader, name)};
    if (!self.name)
        return NULL;
    reader->root.file = self.name;
    reader->from_file = true;
    reader->files_read++;
    const char *mistake;
    if (!read_text(reader, self.name, &self.state, &mistake))
        return NULL;
    if (mistake) {
        reader->unreadable = true;
        report_error(reader->report, reader->root, "cannot be read: %s", mistake);
        return NULL;
    }
    if (!remember(reader, self.name, &self.state))
        return NULL;
    const struct node *tree =
        yaml_read_tree(reader, self.name, reader->text.bytes, reader->text.length);
    return tree ? with_includes(reader, &self, tree) : NULL;
}

const struct node *include_read_text(struct reader *reader, const char *label, const char *text,
                                     size_t length)
{
    struct chain self = {.name = reader_keep_text(reader, label)};
    if (!self.name)
        return NULL;
    reader->root.file = self.name;
    reader->files_read++;
    const struct node *tree = yaml_read_tree(reader, self.name, text, length);
    return tree ? with_includes(reader, &self, tree) : NULL;
}
