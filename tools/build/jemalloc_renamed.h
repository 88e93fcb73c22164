/* jemalloc's interface under the names that //tools/build:jemalloc gives it: je_malloc, je_mallocx,
 * je_mallctl, … Plain malloc stays libc's.
 *
 * The declarations are those of the installed header, whose own switches do the renaming. They are
 * made hidden, since jemalloc is linked into whatever uses it: calls are direct, and no symbol of
 * jemalloc leaves a shared object. */
#ifndef SLUICE_JEMALLOC_RENAMED_H
#define SLUICE_JEMALLOC_RENAMED_H

#ifdef JEMALLOC_H_
#error "include jemalloc_renamed.h instead of <jemalloc/jemalloc.h>"
#endif

#define JEMALLOC_NO_RENAME
#define JEMALLOC_EXPORT __attribute__((visibility("hidden")))
#include <jemalloc/jemalloc.h>

#endif
