#!/usr/bin/env bash
# perl: hashes, regular expressions, sorting, closures, deep structures, eval of code, and children that fork.
# shellcheck source=tests/programs/head.sh
. "$(dirname "$0")/head.sh"
need perl-base perl

cat >work.pl <<'PERL'
use strict;
use warnings;
my $scale = shift;
my $x = 42;
sub number { $x = ($x * 1103515245 + 12345) & 0x7fffffff; return $x >> 8; }

my %words;
for my $line (1 .. 60000 * $scale) {
    my $text = join ' ', map { sprintf 'w%x', number() % 5000 } 1 .. 12;
    $words{$_}++ for split / /, $text;
    $text =~ s/w([0-9a-f])([0-9a-f]*)/$2$1/g;
    $words{$1} .= 'x' while $text =~ /\b([0-9a-f]{4})\b/g;
}
my @sorted = sort { length $words{$b} <=> length $words{$a} || $a cmp $b } keys %words;
print scalar @sorted, " $_=", length $words{$_}, "\n" for @sorted[0 .. 30];

my @trees;
sub tree { my $depth = shift; return $depth ? [ tree($depth - 1), { n => number(), s => 'y' x (number() % 90) }, tree($depth - 1) ] : undef; }
sub weigh { my $t = shift; return $t ? weigh($t->[0]) + length($t->[1]{s}) + weigh($t->[2]) : 0; }
for my $round (1 .. 30 * $scale) {
    push @trees, tree(11);
    splice @trees, number() % @trees, 1 if @trees > 4;
    print "tree $round ", weigh($trees[-1]), "\n";
}
my @subs = map { my $n = $_; eval "sub { \$_[0] * $n + \$n }" } 1 .. 2000 * $scale;
my $sum = 0;
$sum += $subs[$_]->($_) for 0 .. $#subs;
print "sum $sum\n";

$| = 1;
for my $child (1 .. 4) {
    my $pid = fork() // die "fork: $!";
    if ($pid == 0) {
        my @list = map { 'z' x (number() % 2000) } 1 .. 3000;
        my $length = 0;
        $length += length for @list;
        print "child $child $length\n";
        exit 0;
    }
    waitpid $pid, 0;
    print "status $?\n";
}
PERL
work() { PERL_HASH_SEED=0 "${run[@]}" perl work.pl "$scale" >answer; }
timed work
