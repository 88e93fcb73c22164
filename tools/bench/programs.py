#!/usr/bin/env python3
"""programs.py BENCH LIBRARY [--quick] [--rounds N] [--scale N] [PROGRAM…]

The scripts of tests/programs, longer, under glibc, jemalloc, mimalloc and Sluice: in turns, round after round, so that what
disturbs the machine disturbs all of them. Prints medians of CPU time, wall time and peak resident memory, as ratios to glibc.

BENCH is the program `bench`, which measures (tools/bench/measure.c), LIBRARY libsluice-preload.so.
"""
import argparse
import glob
import os
import platform
import shutil
import subprocess
import sys
import tempfile

import rounds

SCRIPTS = "tests/programs"
NOT_PROGRAMS = {"head", "programs_test"}
CONTENDERS = {name: library for name, library in rounds.CONTENDERS.items() if name != "tcmalloc"} | {"sluice auto": None}
AUTO = "{sluice: 1, attribution: auto}\n"


def read_arguments():
    parser = argparse.ArgumentParser(prog="bench programs", add_help=True)
    parser.add_argument("bench")
    parser.add_argument("library")
    parser.add_argument("programs", nargs="*", metavar="PROGRAM")
    rounds.add_options(parser)
    parser.add_argument("--scale", type=int, default=2, help="work: 1 is that of the tests")
    arguments = parser.parse_intermixed_args()
    if arguments.quick:
        arguments.rounds = arguments.scale = 1
    there = sorted({os.path.basename(path)[:-3] for path in glob.glob(SCRIPTS + "/*.sh")} - NOT_PROGRAMS)
    for unknown in set(arguments.programs) - set(there):
        parser.error(f"no program {unknown}; there are: {' '.join(there)}")
    arguments.programs = arguments.programs or there
    return arguments


def environment(contender, library, policy):
    """Words that put the allocator into a program."""
    words = ["env", "LD_PRELOAD=" + (CONTENDERS[contender] or library)]
    if contender == "sluice auto":
        words.append("SLUICE_POLICY=" + policy)
    return words


def run(program, scale, bench, words, folder):
    """The figures of one run; time is for a unit of work where a script counts them. None: it failed."""
    work, usage = folder + "/work", folder + "/usage"
    shutil.rmtree(work, ignore_errors=True)
    os.mkdir(work)
    # Some servers write as another user.
    open(usage, "w", encoding="utf-8").close()
    os.chmod(usage, 0o666)
    done = subprocess.run([f"{SCRIPTS}/{program}.sh", work, str(scale), bench, "measure", usage, *words],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        print(f"bench: {program} failed under {' '.join(words)}:\n{done.stdout[-2000:]}", file=sys.stderr)
        return None
    with open(usage, encoding="utf-8") as lines:
        processes = [[float(word) for word in line.split()] for line in lines]
    units = 1.0
    if os.path.exists(work + "/units"):
        with open(work + "/units", encoding="utf-8") as lines:
            units = sum(float(line) for line in lines) / 100000
    with open(work + "/wall", encoding="utf-8") as lines:
        wall = sum(float(line) for line in lines)
    cpu = sum(user + system for user, system, _ in processes)
    return {"cpu s": cpu / units, "wall s": wall / units, "peak MiB": max(peak for _, _, peak in processes) / 1024}


def collect(arguments, folder):
    policy, library, bench = folder + "/auto.yaml", folder + "/libsluice-preload.so", folder + "/bench"
    with open(policy, "w", encoding="utf-8") as file:
        file.write(AUTO)
    # Where another user may read them, too.
    shutil.copy(arguments.library, library)
    shutil.copy(arguments.bench, bench)
    os.chmod(folder, 0o755)
    return rounds.in_turns(
        arguments.programs, CONTENDERS, arguments.rounds,
        lambda program, contender: run(program, arguments.scale, bench, environment(contender, library, policy), folder))


def main():
    arguments = read_arguments()
    with tempfile.TemporaryDirectory(prefix="sluice-bench.") as folder:
        results = collect(arguments, folder)
    print(f"\nReal programs, {arguments.rounds} rounds in turns, scale {arguments.scale}; "
          f"{os.cpu_count()} processors, Linux {platform.release()}")
    print("The column of glibc is absolute, the others are ratios of medians to it; below 1 is less than glibc.")
    rounds.print_ratios(results, "cpu s", "CPU time, s")
    rounds.print_ratios(results, "wall s", "wall time, s")
    rounds.print_ratios(results, "peak MiB", "peak resident, MiB")
    print("\nCPU time: of the program and its children, user and system. Peak: of the largest of its processes. nginx: CPU and"
          "\nwall time of 100,000 requests. sluice: the built-in policy; sluice auto: a module for each library.")
    return rounds.finish(arguments, "programs", results, "cpu s", "CPU time of real programs")


if __name__ == "__main__":
    sys.exit(main())
