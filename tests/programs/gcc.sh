#!/usr/bin/env bash
# gcc: a large C file, made of many copies of the project's B-tree and hash table, compiled with optimization. The answer is
# the assembly.
# shellcheck source=tests/programs/head.sh
. "$(dirname "$0")/head.sh"
need gcc gcc

# copies N: each with the names of its own functions and structs.
copies() {
    perl -e '
        my ($root, $copies) = @ARGV;
        my $text = "";
        my %included;
        for my $file (qw(btree.h btree.c hashtable.h hashtable.c)) {
            my ($stem) = $file =~ /(\w+)/;
            open my $in, "<", "$root/tools/demo/$file" or die "$file: $!\n";
            while (<$in>) {
                if (/^#include/) {
                    $included{$_} = 1 unless m{tools/demo/(btree|hashtable)[.]h};
                    next;
                }
                next if /^#(ifndef|define|endif).*\bSLUICE_TOOLS_DEMO_|^#endif$/;
                # A name that several files use for functions of their own.
                s/\b(compare|search|grow|insert|remove|find)\b(?=\()/$1_$stem/g;
                $text .= $_;
            }
        }
        # Functions begin at the left margin.
        my %names = map { $_ => 1 } $text =~ /^[a-z][^;=(]*?\b(\w+)\(/mg, $text =~ /\b(?:struct|enum) (\w+) \{/g;
        my $names = join "|", sort { length $b <=> length $a } keys %names;
        print sort keys %included;
        for my $i (1 .. $copies) {
            (my $copy = $text) =~ s/\b($names)\b/$1_$i/g;
            print $copy;
        }
    ' "$root" "$1"
}

copies $((8 * scale)) >large.c
work() { "${run[@]}" gcc -std=gnu11 -O2 -I"$root" -I"$root/core/include" -frandom-seed=1 -S large.c -o large.s; }
timed work
grep -vE '^\s*\.(file|ident)' large.s | cksum >answer
