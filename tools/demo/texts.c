/* texts.c - see texts.h. */
#include "tools/demo/texts.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define FILE_MAX ((int64_t)4 << 20) /* larger ones are data, not text that anyone wrote */

/* Whether all of a file can be read and has no NUL byte. */
static bool is_text(const char *path)
{
    static char buffer[256 << 10];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t got;
    while ((got = read(fd, buffer, sizeof(buffer))) > 0 && memchr(buffer, 0, (size_t)got) == NULL)
        continue;
    close(fd);
    return got == 0;
}

static int by_name(const FTSENT **a, const FTSENT **b)
{
    return strcmp((*a)->fts_name, (*b)->fts_name);
}

bool texts_list(const char *list, uint64_t max, uint64_t *files, uint64_t *bytes)
{
    static char include[] = "/usr/include", documents[] = "/usr/share/doc";
    char *roots[] = {include, documents, NULL};
    *files = *bytes = 0;
    FILE *out = fopen(list, "w");
    if (out == NULL) {
        fprintf(stderr, "sluice: demo: cannot write %s: %s\n", list, strerror(errno));
        return false;
    }
    FTS *tree = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, by_name);
    FTSENT *entry;
    while (tree != NULL && (entry = fts_read(tree)) != NULL) {
        if (entry->fts_info != FTS_F || entry->fts_statp->st_size == 0 ||
            entry->fts_statp->st_size > FILE_MAX || strchr(entry->fts_path, '\n') != NULL)
            continue;
        uint64_t size = (uint64_t)entry->fts_statp->st_size;
        if (*bytes + size > max || !is_text(entry->fts_path))
            continue;
        fprintf(out, "%s\n", entry->fts_path);
        *files += 1;
        *bytes += size;
    }
    if (tree != NULL)
        fts_close(tree);
    if (fclose(out) != 0) {
        fprintf(stderr, "sluice: demo: cannot write %s: %s\n", list, strerror(errno));
        return false;
    }
    return true;
}
