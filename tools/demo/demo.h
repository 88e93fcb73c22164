/* demo.h - the subcommand `sluice demo`. */
#ifndef SLUICE_TOOLS_DEMO_DEMO_H
#define SLUICE_TOOLS_DEMO_DEMO_H

/* argv[0] is "demo", argv[1] what to show ("balloon"). Returns the exit status: 0, 1 when something
 * failed, 2 for wrong usage, 130 when interrupted. Calls no function of Sluice in this process. */
int demo_main(int argc, char **argv);

#endif
