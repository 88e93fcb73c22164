#include "config/yaml_source.h"

#include <stdio.h>
#include <string.h>

/* The text from a mark to the end of its line. */
static const char *line_at(const struct source *source, yaml_mark_t mark, size_t *left)
{
    const char *at = source->text, *end = source->text + source->length;
    for (size_t line = 0; line < mark.line && at < end; at++)
        line += *at == '\n';
    for (size_t column = 0; column < mark.column && at < end && *at != '\n';) {
        at++;
        column += at == end || ((unsigned char)*at & 0xc0) != 0x80;
    }
    const char *stop = memchr(at, '\n', (size_t)(end - at));
    *left = (size_t)((stop ? stop : end) - at);
    return at;
}

static const char *hint_for(const struct source *source)
{
    const yaml_parser_t *parser = &source->parser;
    size_t left;
    const char *at = line_at(source, parser->problem_mark, &left);
    if (left > 0 && *at == '\t')
        return "; a tab cannot indent here: use spaces";
    if (parser->context && strstr(parser->context, "alias"))
        return "; a pattern that starts with * must stand in quotes";
    yaml_mark_t start = parser->problem_mark;
    start.column = 0;
    at = line_at(source, start, &left);
    if (memmem(at, left, "fallback:", strlen("fallback:")))
        return "; write on_hard: {fallback: NAME}";
    return "";
}

void yaml_report_syntax(struct source *source)
{
    const yaml_parser_t *parser = &source->parser;
    const char *problem = parser->problem ? parser->problem : "cannot be read";
    if (parser->error == YAML_MEMORY_ERROR) {
        reader_no_memory(source->reader, source->reader->scratch);
        source->failed = true;
        return;
    }
    size_t left;
    const char *at = line_at(source, parser->problem_mark, &left);
    const char *early =
        at + left >= source->text + source->length && left == 0 ? "the text ends too early: " : "";
    char context[160] = "";
    if (parser->context && parser->context_mark.line != parser->problem_mark.line)
        snprintf(context, sizeof(context), " %s that starts in line %zu", parser->context,
                 parser->context_mark.line + 1);
    else if (parser->context)
        snprintf(context, sizeof(context), " %s", parser->context);
    FAIL(source, yaml_mark(source, parser->problem_mark), "not valid YAML: %s%s%s%s", early,
         problem, context, hint_for(source));
}
