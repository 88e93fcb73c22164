/* symbol.h - names for code addresses, also in a handler of SIGSEGV: no lock of the loader's, no memory. */
#ifndef SLUICE_CORE_SYMBOL_H
#define SLUICE_CORE_SYMBOL_H

#include <stddef.h>

/* Room for what symbol_describe() writes; longer names are cut. */
#define SYMBOL_TEXT_SIZE 512

/* Writes "FUNCTION+0x12 (OBJECT+0x1234)" for an address in code; "OBJECT+0x1234" where the object exports no function that
 * it lies in, and "0x1234" where it is of no loaded object. Offsets are from the function's start, and from where the object
 * is loaded (what addr2line takes). `size` is 1 or more. Any thread, in sections and in signal handlers. */
void symbol_describe(const void *address, char *out, size_t size);

#endif
