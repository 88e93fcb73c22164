/* commands.h - the subcommands of `sluice`. Each gets the arguments from its own name on, and
 * returns the exit status: 0, 1 for a failure of what was asked, 2 for wrong usage. */
#ifndef SLUICE_TOOLS_SLUICE_COMMANDS_H
#define SLUICE_TOOLS_SLUICE_COMMANDS_H

enum { EXIT_GOOD = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

int check_main(int argc, char **argv);
int explain_main(int argc, char **argv);
int ctl_main(int argc, char **argv);
int stat_main(int argc, char **argv);
int top_main(int argc, char **argv);
int run_main(int argc, char **argv); /* returns only when the program could not be started */

#endif
