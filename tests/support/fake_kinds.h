/* fake_kinds.h - backends that exist for the policy reader alone: nothing can be allocated from
 * them.
 *
 *   fake-drop    drops everything at once, applies parameters to living arenas, any size
 *   fake-small   serves up to 64 KiB; neither of these
 *
 * Both have one parameter of each type: size (1KiB to 1GiB, 64KiB), time (0 to 1h, 1s), number
 * (1 to 16, 4), flag (off), choice (red, green or blue; green). Tests that name real kinds break
 * when those change; tests of the reader use these. */
#ifndef SLUICE_TESTS_SUPPORT_FAKE_KINDS_H
#define SLUICE_TESTS_SUPPORT_FAKE_KINDS_H

/* Registers them; again: does nothing. */
void fake_kinds_register(void);

#endif
