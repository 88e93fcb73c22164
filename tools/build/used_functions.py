#!/usr/bin/env python3
"""Writes tools/build/used.ld: which functions lie together in the shared libraries, and which variables lie apart.

Usage: used_functions.py BENCH LIBRARY OUTPUT

A page of code is resident as soon as one instruction on it runs, and the kernel maps 64 KiB around it. Of the library's
code, most of which is for rare things, what an ordinary program runs through is put side by side. What that is, is looked
up: each work of `bench works` runs under valgrind's callgrind with the library preloaded. What most of them run through
comes first, so that a process has the least of what it does not use. Arrays are put behind the small variables, which
otherwise lie on a page each between them.
"""
import collections
import os
import re
import subprocess
import sys
import tempfile

ARRAY = 2048  # bytes: what is longer lies apart

HEADER = """\
/* used.ld - what ordinary programs run through lies side by side; arrays lie behind small variables.
 *
 * Written by `tools/dev layout`; used_functions.py says why and how. A name that is none any more does no harm. */
"""


def functions_of(output, library):
    """Functions that ran and may be the library's, as callgrind's output file names them. Of a section that is not .text
    it does not know which object that is of."""
    objects, names, here, found = {}, {}, None, set()
    for line in output:
        match = re.match(r"(c?ob|c?fn)=\((\d+)\)(?: (.*))?$", line.rstrip("\n"))
        if match is None:
            continue
        kind, number, name = match.groups()
        known = objects if kind.endswith("ob") else names
        if name is not None:
            known[number] = name
        if kind == "ob":
            here = known[number]
        elif kind == "fn" and here is not None and os.path.basename(here) in ("???", os.path.basename(library)):
            found.add(known[number].split("'")[0])
    return found


def run(command, library, scratch):
    output = os.path.join(scratch, "callgrind")
    subprocess.run(["valgrind", "--tool=callgrind", "--soname-synonyms=somalloc=nouserintercepts",
                    f"--callgrind-out-file={output}", *command],
                   env=dict(os.environ, LD_PRELOAD=library), check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with open(output, encoding="utf-8", errors="replace") as lines:
        return functions_of(lines, library)


def symbols_of(library, kinds, least):
    """Names of the library's symbols of those kinds that have at least so many bytes."""
    listed = subprocess.run(["nm", "-S", "--defined-only", library], check=True, stdout=subprocess.PIPE, text=True)
    lines = (line.split() for line in listed.stdout.splitlines())
    return {words[3] for words in lines if len(words) == 4 and words[2] in kinds and int(words[1], 16) >= least}


def main():
    bench, library, target = sys.argv[1:]
    library = os.path.realpath(library)
    works = subprocess.run([bench, "works"], check=True, stdout=subprocess.PIPE, text=True).stdout
    commands = [["cat", os.devnull]] + [[bench, "work", line.split("\t")[0], "20"] for line in works.splitlines()]
    code = symbols_of(library, "tTwWiI", 0)
    arrays = {name.split(".")[0] for name in symbols_of(library, "bB", ARRAY)}
    used = collections.Counter()
    with tempfile.TemporaryDirectory() as scratch:
        for command in commands:
            found = run(command, library, scratch) & code
            print(" ".join(command[-2:]), len(found), "functions", flush=True)
            used.update(found)
    with open(target, "w", encoding="utf-8") as out:
        out.write(HEADER)
        out.write("SECTIONS { .text.used : {\n")
        # Each process starts and ends; the compiler and libc have functions for it.
        out.write("    *crtbeginS.o(.text)\n    *(.text.startup.*)\n    KEEP(*(SORT_NONE(.fini)))\n"
                  "    *libgcc.a:(.text)\n    *libc_nonshared.a:(.text)\n")
        out.writelines(f"    *(.text.{name})\n" for name in sorted(used, key=lambda name: (-used[name], name)))
        out.write("} } INSERT BEFORE .text;\n")
        out.write("SECTIONS { .bss.arrays (NOLOAD) : {\n")
        out.writelines(f"    *(.bss.{name} .bss.{name}.*)\n" for name in sorted(arrays))
        out.write("} } INSERT AFTER .bss;\n")
    print(f"{target}: {len(used)} functions")


if __name__ == "__main__":
    main()
