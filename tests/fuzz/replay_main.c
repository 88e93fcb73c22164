/* replay_main.c - runs a fuzz target over a kept corpus, as an ordinary test.
 *
 * Arguments: files, and folders whose files are taken (not their subfolders). The target must return
 * from each without a crash; what else must hold, it asserts itself. No argument, or a folder
 * without files, is an error: an empty corpus would pass unnoticed. */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void die(const char *path)
{
    fprintf(stderr, "replay: %s: %s\n", path, strerror(errno));
    exit(2);
}

static void replay_file(const char *path, size_t size)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        die(path);
    /* Exactly the input's size, so that a sanitizer sees a read past its end. */
    uint8_t *data = malloc(size);
    if (size != 0 && !data)
        die(path);
    if (fread(data, 1, size, file) != size)
        die(path);
    fclose(file);
    printf("%s\n", path);
    fflush(stdout); /* the last line names the input that crashed */
    LLVMFuzzerTestOneInput(data, size);
    free(data);
}

/* Returns the number of inputs. */
static unsigned replay(const char *path, int depth)
{
    struct stat status;
    if (stat(path, &status) != 0)
        die(path);
    if (S_ISREG(status.st_mode)) {
        replay_file(path, (size_t)status.st_size);
        return 1;
    }
    if (!S_ISDIR(status.st_mode) || depth == 1)
        return 0;
    struct dirent **entries;
    int count = scandir(path, &entries, NULL, alphasort);
    if (count < 0)
        die(path);
    unsigned inputs = 0;
    for (int i = 0; i < count; i++) {
        char *name = NULL;
        if (asprintf(&name, "%s/%s", path, entries[i]->d_name) < 0)
            die(path);
        inputs += replay(name, depth + 1);
        free(name);
        free(entries[i]);
    }
    free(entries);
    return inputs;
}

int main(int argc, char **argv)
{
    unsigned inputs = 0;
    LLVMFuzzerTestOneInput((const uint8_t *)"", 0);
    for (int i = 1; i < argc; i++)
        inputs += replay(argv[i], 0);
    if (inputs == 0) {
        fprintf(stderr, "replay: no inputs\n");
        return 2;
    }
    printf("replayed %u inputs\n", inputs);
    return 0;
}
