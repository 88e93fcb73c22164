/* reload.h - loading policies: all or nothing, one at a time, with a record of how it went. */
#ifndef SLUICE_CORE_RELOAD_H
#define SLUICE_CORE_RELOAD_H

#include <stdbool.h>

#include <sluice/sluice.h>

#include "core/policy.h"

/* Puts the first, built-in policy in force. */
enum sluice_result reload_start(struct policy *builtin);

/* Loads a file; log: write mistakes to the log as well (nobody looks at the result). Outside sections. */
enum sluice_result reload_load_file(const char *path, bool log);

/* Compiles the policy in force anew, after overrides changed. */
enum sluice_result reload_refresh(void);

/* From the porter, or the control thread: a signal asked, or the watched files may have changed. */
void reload_on_request(void);
void reload_if_changed(void);

/* The policy in force wants its files to be watched; wants the process to be observable, and it is one that anybody would
 * ask: with a policy of its own, or an unmodified program with the preload library. */
bool reload_wants_watch(void);
bool reload_wants_observers(void);

/* What is to be watched: calls fn with each folder in which a change may replace a file of the policy: that of
 * the name itself, of each symbolic link on the way, and of the file in the end. false: nothing is to be watched. */
bool reload_watch_folders(void (*fn)(const char *folder, void *arg), void *arg);

/* Another seam, to the preload library: the built-in policy is worth observing, too. In a plain program it is not. */
bool reload_observes_builtin(void);

void reload_fork_prepare(void);
void reload_fork_end(void);

#endif
