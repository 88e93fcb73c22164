/* plugin_lib.c - a plug-in that is opened with RTLD_DEEPBIND: it allocates while it is being opened, and afterwards. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int plugin_is_well;
void *plugin_alloc(size_t n);
void plugin_free(void *p);
char *plugin_line(FILE *from);

static __attribute__((constructor)) void start(void)
{
    char *text = strdup("made by libc, freed by the plug-in");
    void *own = malloc(100);
    plugin_is_well = text != NULL && own != NULL;
    free(text);
    free(own);
}

void *plugin_alloc(size_t n)
{
    return malloc(n);
}

void plugin_free(void *p)
{
    free(p);
}

char *plugin_line(FILE *from)
{
    char *line = NULL;
    size_t size = 0;
    if (getline(&line, &size, from) > 0)
        return line;
    free(line);
    return NULL;
}
