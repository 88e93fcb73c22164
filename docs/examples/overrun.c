/* overrun.c - writes behind an object of the module "suspect", as bugs do. */
#include <stdio.h>

#include <sluice/sluice.h>

int main(void)
{
    if (sluice_init("guard.yaml") != SLUICE_OK) {
        fprintf(stderr, "%s\n", sluice_error_message());
        return 1;
    }
    sluice_module suspect = sluice_module_register("suspect");
    volatile char *line = sluice_malloc(suspect, 112);
    if (line == NULL)
        return 1;
    for (int i = 0; i <= 112; i++) { /* one too far */
        if (i == 112) {
            puts("112 bytes are written");
            fflush(stdout);
        }
        line[i] = 'x';
    }
    puts("and one more: nobody noticed");
    return 0;
}
