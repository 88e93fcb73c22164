#!/usr/bin/env python3
"""charts.py BENCH [--quick] [--slow] [--json FILE] [--svg FILE] [NAME…]

Runs benchmarks of the program `bench`, all by default; their figures go into one file as JSON, and into one of charts: medians,
with a line down to the smallest. What is drawn of each is listed below; the JSON has all figures of all rounds.
"""
import argparse
import collections
import os
import statistics
import subprocess
import sys
import tempfile

import rounds

Chart = collections.namedtuple("Chart", "rows figure title log lines", defaults=(False, False))
CHARTS = [  # of the rows that start so
    Chart("pair", "ns", "A pair of malloc and free, ns"),
    Chart("set", "ns", "A set of objects, replaced in random order, ns"),
    Chart("attribution", "ns", "A pair of malloc and free, and who calls, ns"),
    Chart("phases: ", "us", "Live objects of 64 bytes: us until all are gone", log=True),
    Chart("phases: allocation", "ns", "Allocation in a row, ns"),
    Chart("reload: ", "99.99 % ns", "A free and a malloc while others disturb: 99.99th percentile, ns"),
    Chart("overhead: ", "ratio", "Resident memory to what was asked for, 64 modules x 16 threads"),
    Chart("giveback: ", "MiB after 2 s", "After everything was freed: resident 2 s later, MiB above the start", log=True),
    Chart("fragmentation: ", "x live", "An hour of a server: resident memory to what lives, by minutes", lines=True),
    Chart("growth by threads: ", "cpu ns", "CPU time of an operation by threads, ns", lines=True),
    Chart("growth by threads: ", "operations/us", "Operations of all threads in a us, by threads", lines=True),
    Chart("growth by modules, 10000 objects: ", "cpu ns", "CPU time of an operation by modules, 10,000 objects, ns", lines=True),
    Chart("growth by modules, 1000000 objects: ", "cpu ns", "CPU time of an operation by modules, 1,000,000 objects, ns",
          lines=True),
    Chart("growth by live MiB: ", "cpu ns", "CPU time of an operation by live MiB, ns", lines=True),
]


def read_arguments():
    usage = subprocess.run([sys.argv[1], "--help"], stdout=subprocess.PIPE, text=True, check=True).stdout
    parser = argparse.ArgumentParser(prog="bench", epilog=usage.partition("\n\n")[2],
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bench", help=argparse.SUPPRESS)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--quick", action="store_true", help="fewer rounds and sizes: a look whether it runs")
    parser.add_argument("--slow", action="store_true", help="the hour of fragmentation takes an hour")
    rounds.add_files(parser)
    return parser.parse_intermixed_args()


def read_record(path):
    """Of record.h's lines, the same results as rounds.in_turns()."""
    results = {}
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            row, contender, turn, figure, value = line.rstrip("\n").split("\t")
            list_ = results.setdefault(row, {}).setdefault(contender, [])
            list_.extend({} for _ in range(len(list_), int(turn) + 1))
            list_[int(turn)][figure] = float(value)
    return results


def point(results, row, contender, figure):
    """The median, the smallest, and the median once more: the ends of the line at the point."""
    values = [figures[figure] for figures in results[row].get(contender, []) if figure in figures]
    if not values:
        return "- - -"
    median = statistics.median(values)
    return f"{median:.6g} {min(values):.6g} {median:.6g}"


def draw(number, chart, results):
    """gnuplot's words for it; none when nothing of it was measured."""
    rows = [row for row in results if row.startswith(chart.rows) and
            any(chart.figure in figures for list_ in results[row].values() for figures in list_)]
    names = list(dict.fromkeys(name for row in rows for name in results[row]))
    if not rows:
        return []
    table = {row.split(": ")[-1]: [point(results, row, name, chart.figure) for name in names] for row in rows}
    if len(rows) == 1:  # names below the bars, where there is room for them
        table, names = {name: [value] for name, value in zip(names, *table.values())}, [""]
    words = [f"$data{number} << END", *(f'"{label}" ' + " ".join(values) for label, values in table.items()), "END",
             f"set title '{chart.title}'", "unset logscale"]
    columns = [f"{3 * i + 2}:{3 * i + 3}:{3 * i + 4}" for i in range(len(names))]
    if chart.lines:
        words += ["set logscale x 2", "set yrange [0:*]", "set xtics norotate autofreq"]
        plots = [f"using (strcol(1)+0):{column} with yerrorlines" for column in columns]
    else:
        words += ["set logscale y" if chart.log else "", f"set yrange [{'0.1' if chart.log else '0'}:*]",
                  "set xtics norotate autofreq", "set style data histogram", "set style histogram errorbars gap 1 lw 1", "set style fill solid 0.8 border -1"]
        plots = [f"using {column}:xtic(1)" for column in columns]
    return words + ["plot " + ", ".join(f"$data{number} {plot} title '{name}'" for plot, name in zip(plots, names))]


def write_svg(path, results):
    drawn = [words for words in (draw(i, chart, results) for i, chart in enumerate(CHARTS)) if words]
    rounds.gnuplot("\n".join([
        f"set terminal svg size 1200,{400 * len(drawn)} noenhanced font 'sans,11' background 'white'; set output '{path}'",
        "set grid ytics; set key outside right; set datafile missing '-'",
        f"set multiplot layout {len(drawn)},1", *(line for words in drawn for line in words), "unset multiplot"]))


def main():
    arguments = read_arguments()
    with tempfile.TemporaryDirectory(prefix="sluice-bench.") as folder:
        record = os.path.join(folder, "record")
        status = subprocess.run([arguments.bench, *(["--quick"] if arguments.quick else []), *(["--slow"] if arguments.slow else []),
                                 "--record", record, *arguments.names]).returncode
        if status != 0:
            return status
        results = read_record(record)
    if arguments.json:
        names = dict.fromkeys(row.split(":")[0].split()[0] for row in results)
        rounds.write_json(arguments.json, " ".join(names), results)
    if arguments.svg:
        write_svg(arguments.svg, results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
