/* words.h - the nearest known word to one that is not known, for "did you mean".
 *
 * Nearness is the number of letters to insert, drop, change or swap (optimal string alignment),
 * where upper and lower case are the same letter. */
#ifndef SLUICE_CONFIG_WORDS_H
#define SLUICE_CONFIG_WORDS_H

struct words {
    const char *word; /* what was written */
    const char *best; /* nearest so far, or NULL */
    unsigned distance;
};

void words_begin(struct words *words, const char *word);
void words_offer(struct words *words, const char *candidate);

/* The nearest, or NULL when none is near enough to be what was meant. */
const char *words_nearest(const struct words *words);

#endif
