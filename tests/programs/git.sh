#!/usr/bin/env bash
# git: a generated history is imported, repacked by `git gc`, checked, and read from end to end.
# shellcheck source=tests/programs/head.sh
. "$(dirname "$0")/head.sh"
need git git
export HOME=$PWD GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null

# history COMMITS: files of text that grow, change and move, for git fast-import.
history() {
    awk -v commits="$1" 'BEGIN {
        x = 7
        for (c = 1; c <= commits; c++) {
            print "commit refs/heads/main"
            print "mark :" c
            print "committer A Person <person@example.org> " 1600000000 + 60 * c " +0000"
            message = "change " c
            print "data " length(message) "\n" message
            if (c > 1) print "from :" c - 1
            for (f = 0; f < 4; f++) {
                x = (x * 69069 + 12345) % 4294967296
                file = int(x / 64) % 150
                text = ""
                for (line = 0; line < 60 + file; line++)
                    text = text "line " line " of file " file " says " (line % 9 == c % 9 ? int(x) + line : line * file) "\n"
                print "M 100644 inline folder" file % 12 "/file" file ".txt"
                print "data " length(text) "\n" text
            }
        }
    }'
}

work() {
    "${run[@]}" git -C repository fast-import --quiet <history.txt
    "${run[@]}" git -C repository gc --quiet --aggressive --prune=now
    "${run[@]}" git -C repository fsck --strict >fsck.log
    "${run[@]}" git -C repository log -p --stat main | cksum >log.sum
}

history $((200 * scale)) >history.txt
"${run[@]}" git init -q -b main repository
# Two threads, whatever the machine has.
"${run[@]}" git -C repository config pack.threads 2
timed work
{
    "${run[@]}" git -C repository rev-parse main
    "${run[@]}" git -C repository count-objects -v | grep -E '^(count|in-pack|packs|prune-packable|garbage):'
    cat fsck.log log.sum
} >answer
