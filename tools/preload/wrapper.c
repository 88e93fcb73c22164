/* wrapper.c - see wrapper.h. */
#include "tools/preload/wrapper.h"

#include <stdbool.h>
#include <unwind.h>

const char *const wrapper_names[] = {
    /* libc */
    "strdup", "__strdup", "strndup", "__strndup", "wcsdup", "asprintf", "vasprintf",
    "__asprintf_chk", "__vasprintf_chk", "getline", "getdelim", "__getdelim", "realpath",
    "__realpath_chk", "getcwd", "__getcwd_chk",
    /* what programs call their own */
    "xmalloc", "xcalloc", "xrealloc", "xreallocarray", "xzalloc", "xstrdup", "xstrndup", "xmemdup",
    "xasprintf", "xvasprintf",
    /* GLib */
    "g_malloc", "g_malloc0", "g_malloc_n", "g_malloc0_n", "g_realloc", "g_realloc_n",
    "g_try_malloc", "g_try_malloc0", "g_try_malloc_n", "g_try_malloc0_n", "g_try_realloc",
    "g_try_realloc_n", "g_aligned_alloc", "g_aligned_alloc0", "g_strdup", "g_strndup", "g_memdup",
    "g_memdup2", "g_strdup_printf", "g_strdup_vprintf", "g_vasprintf", "g_slice_alloc",
    "g_slice_alloc0",
    /* OpenSSL */
    "CRYPTO_malloc", "CRYPTO_zalloc", "CRYPTO_realloc", "CRYPTO_strdup", "CRYPTO_strndup",
    "CRYPTO_memdup", NULL};

struct search {
    uintptr_t pc, cfa, end;
    bool found;
};

/* Of a frame, the unwinder tells the stack pointer at its call: that is where the frame below it ends. */
static _Unwind_Reason_Code look(struct _Unwind_Context *frame, void *arg)
{
    struct search *search = arg;
    uintptr_t cfa = (uintptr_t)_Unwind_GetCFA(frame);
    if (search->found) {
        search->end = cfa;
        return _URC_END_OF_STACK;
    }
    search->found = cfa == search->cfa && (uintptr_t)_Unwind_GetIP(frame) == search->pc;
    return cfa > search->cfa ? _URC_END_OF_STACK : _URC_NO_REASON;
}

size_t wrapper_frame_size(uintptr_t pc, uintptr_t cfa)
{
    struct search search = {.pc = pc, .cfa = cfa};
    (void)_Unwind_Backtrace(look, &search);
    return search.end > cfa ? search.end - cfa : 0;
}
