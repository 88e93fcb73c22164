#include "config/words.h"

#include <stddef.h>
#include <string.h>

#define WORDS_LENGTH 40 /* longer words are not compared: nobody mistypes those into another */

static unsigned char lower(char c)
{
    return (unsigned char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

static unsigned distance_between(const char *a, const char *b)
{
    /* Three rows of the usual table: a swap looks two rows back. */
    unsigned rows[3][WORDS_LENGTH + 1];
    unsigned *before = rows[0], *previous = rows[1], *row = rows[2];
    size_t na = strlen(a), nb = strlen(b);

    for (size_t j = 0; j <= nb; j++)
        previous[j] = before[j] = (unsigned)j;
    for (size_t i = 1; i <= na; i++) {
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= nb; j++) {
            unsigned cost = lower(a[i - 1]) != lower(b[j - 1]);
            row[j] = least(least(previous[j], row[j - 1]) + 1, previous[j - 1] + cost);
            if (i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) &&
                lower(a[i - 2]) == lower(b[j - 1]))
                row[j] = least(row[j], before[j - 2] + 1);
        }
        unsigned *spare = before;
        before = previous;
        previous = row;
        row = spare;
    }
    return previous[nb];
}

void words_begin(struct words *words, const char *word)
{
    *words = (struct words){.word = word};
}

void words_offer(struct words *words, const char *candidate)
{
    if (strlen(words->word) > WORDS_LENGTH || strlen(candidate) > WORDS_LENGTH)
        return;
    unsigned distance = distance_between(words->word, candidate);
    if (!words->best || distance < words->distance) {
        words->best = candidate;
        words->distance = distance;
    }
}

const char *words_nearest(const struct words *words)
{
    if (!words->best)
        return NULL;
    /* A third of the letters may be wrong; of a short word, one. */
    size_t length = strlen(words->word);
    unsigned most = length < 6 ? 1 : (unsigned)(length / 3);
    return words->distance <= most ? words->best : NULL;
}
