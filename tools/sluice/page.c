#include "tools/sluice/page.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Texts ----------------------------------------------------------------------------------- */

/* Bytes of the character that starts there, 0 when none does; *code is its number. */
static size_t character(const unsigned char *s, size_t left, uint32_t *code)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t n = s[0] < 0x80             ? 1
               : (s[0] & 0xe0) == 0xc0 ? 2
               : (s[0] & 0xf0) == 0xe0 ? 3
               : (s[0] & 0xf8) == 0xf0 ? 4
                                       : 0;
    if (n == 0 || n > left)
        return 0;
    *code = n == 1 ? s[0] : s[0] & (0x7fu >> n);
    for (size_t i = 1; i < n; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 0;
        *code = *code << 6 | (s[i] & 0x3f);
    }
    bool is_surrogate = *code >= 0xd800 && *code <= 0xdfff;
    return n > 1 && (*code < least[n] || *code > 0x10ffff || is_surrogate) ? 0 : n;
}

/* Characters that a terminal does not show but obeys: controls, and marks that turn the direction of text. */
static bool is_obeyed(uint32_t code)
{
    return code < 0x20 || (code >= 0x7f && code < 0xa0) || (code >= 0x200b && code <= 0x200f) ||
           (code >= 0x2028 && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069) ||
           code == 0xfeff;
}

/* Up to the first NUL, or `size` bytes. out has room for PAGE_TEXT(size). */
static void make_showable(const char *text, size_t size, bool lines, char *out)
{
    size_t length = strnlen(text, size);
    for (size_t i = 0; i < length;) {
        uint32_t code = 0;
        size_t n = character((const unsigned char *)text + i, length - i, &code);
        bool shown = n > 0 && (!is_obeyed(code) || (lines && code == '\n'));
        n = n == 0 ? 1 : n;
        for (size_t end = i + n; i < end; i++)
            out += shown ? (*out = text[i], 1) : sprintf(out, "\\x%02x", (unsigned char)text[i]);
    }
    *out = '\0';
}

void page_show_text(const char *text, char *out, size_t size)
{
    make_showable(text, (size - 1) / 4, true, out);
}

/* ---- Pages ----------------------------------------------------------------------------------- */

size_t page_size(const struct observe_header *header, const char **why)
{
    *why = NULL;
    if (header->magic != OBSERVE_MAGIC)
        *why = "this is no page of Sluice's";
    else if (header->version != OBSERVE_VERSION || header->header_size != sizeof *header ||
             header->entry_size != sizeof(struct observe_module))
        *why = "it is of another version of Sluice than this tool";
    else if (header->capacity > 2 * PAGE_MODULES || header->count > PAGE_MODULES ||
             header->count > header->capacity)
        *why = "it names more modules than a process can have";
    return *why != NULL ? 0 : sizeof *header + header->count * sizeof(struct observe_module);
}

static void show_module(const struct observe_module *from, struct page_module *to)
{
    to->figures = *from;
    make_showable(from->name, sizeof from->name, false, to->name);
    make_showable(from->backends, sizeof from->backends, false, to->backends);
}

struct page *page_check(const void *bytes, size_t size, const char **why)
{
    struct observe_header header;
    if (size < sizeof header) {
        *why = "it is too short";
        return NULL;
    }
    memcpy(&header, bytes, sizeof header);
    size_t needed = page_size(&header, why);
    if (needed == 0)
        return NULL;
    struct page *page = NULL;
    if (size < needed)
        *why = "it is shorter than it says";
    else if (header.sequence % 2 != 0)
        *why = "it is being written";
    else if ((page = calloc(1, sizeof *page + header.count * sizeof(struct page_module))) == NULL)
        *why = "no memory to read it";
    if (page == NULL)
        return NULL;
    page->outgrown = header.modules > header.capacity;
    page->count = header.count;
    page->period_ms = header.period_ms;
    page->sequence = header.sequence;
    page->time = header.time;
    page->wall_time = header.wall_time;
    page->process = header.process;
    page->reload = header.reload;
    make_showable(header.reload.path, sizeof header.reload.path, false, page->path);
    make_showable(header.reload.last_error, sizeof header.reload.last_error, true, page->error);
    make_showable(header.reload.last_report, sizeof header.reload.last_report, true, page->report);
    for (uint32_t i = 0; i < header.count; i++) {
        struct observe_module module;
        memcpy(&module, (const char *)bytes + sizeof header + i * sizeof module, sizeof module);
        show_module(&module, &page->modules[i]);
    }
    return page;
}
