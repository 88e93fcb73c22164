#!/usr/bin/env python3
"""works.py BENCH LIBRARY [--quick] [--rounds N] [--json FILE] [--svg FILE] [WORK…]

Work that is like a program's (tools/bench/works.c), each time in a process of its own with another malloc preloaded, in turns,
round after round. Prints medians of time, CPU time, peak resident memory, and of what is left of it a second after all is free.

BENCH is the program `bench`, LIBRARY libsluice-preload.so.
"""
import argparse
import os
import platform
import subprocess
import sys

import rounds


def read_arguments():
    parser = argparse.ArgumentParser(prog="bench works", add_help=True)
    parser.add_argument("bench")
    parser.add_argument("library")
    parser.add_argument("works", nargs="*", metavar="WORK")
    rounds.add_options(parser)
    arguments = parser.parse_intermixed_args()
    if arguments.quick:
        arguments.rounds = 1
    listed = subprocess.run([arguments.bench, "works"], stdout=subprocess.PIPE, text=True, check=True).stdout
    there = {name: (what, rests == "1") for name, what, rests in (line.split("\t") for line in listed.splitlines())}
    for unknown in set(arguments.works) - set(there):
        parser.error(f"no work \"{unknown}\"; there are: {', '.join(there)}")
    arguments.works = {name: there[name] for name in (arguments.works or there)}
    return arguments


def run(arguments, work, contender):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SLUICE_")}
    environment["LD_PRELOAD"] = rounds.CONTENDERS[contender] or arguments.library
    done = subprocess.run([arguments.bench, "work", work, "20" if arguments.quick else "1"], env=environment,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    # The dynamic linker only warns when it finds no such library.
    if done.returncode != 0 or "cannot be preloaded" in done.stderr:
        print(f"bench: {work} failed under {contender}: {done.stderr.strip()[-500:]}", file=sys.stderr)
        return None
    operations, wall, cpu, peak, rest, live = (int(word) for word in done.stdout.split())
    figures = {"wall ns": wall / operations, "cpu ns": cpu / operations, "peak MiB": peak / 2**20}
    if arguments.works[work][1]:
        figures["rest MiB"] = rest / 2**20
        figures["live MiB"] = live / 2**20
    return figures


def main():
    arguments = read_arguments()
    results = rounds.in_turns(arguments.works, rounds.CONTENDERS, arguments.rounds,
                              lambda work, contender: run(arguments, work, contender))
    print(f"\nWork like a program's, {arguments.rounds} rounds in turns; {os.cpu_count()} processors, "
          f"Linux {platform.release()}")
    for name, (what, _) in arguments.works.items():
        print(f"  {name:<26}{what}")
    print("The column of glibc is absolute, the others are ratios of medians to it; below 1 is less than glibc.")
    rounds.print_ratios(results, "wall ns", "time of an operation, ns")
    rounds.print_ratios(results, "cpu ns", "CPU time of one, ns")
    rounds.print_ratios(results, "peak MiB", "peak resident, MiB")
    rounds.print_absolute(results, "rest MiB", "a second later, MiB")
    for work in arguments.works:
        live = rounds.median(results, work, "sluice", "live MiB")
        if live:
            print(f"  of which {live:.2f} MiB live in {work}")
    rounds.print_noise(results, "wall ns")
    print("\nAn operation is an allocation. A second later: all is free but what is said to live; Rss less LazyFree, above what"
          "\nthe process had before."
          "\nsluice: preloaded, the built-in policy. As much memory was touched once before each run.")
    return rounds.finish(arguments, "works", results, "wall ns", "Time of an operation")


if __name__ == "__main__":
    sys.exit(main())
