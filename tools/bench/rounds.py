"""What benchmarks of whole processes share: contenders in turns, medians, tables, and results as JSON and as a chart.

Results are {row: {contender: [{figure: value}, …]}}, one entry for each round."""
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import time

# libc.so.6 first: some programs are linked to another allocator (redis-server, to jemalloc). None: Sluice's library.
CONTENDERS = {
    "glibc": "libc.so.6",
    "jemalloc": "libjemalloc.so.2",
    "mimalloc": "libmimalloc.so.2",
    "tcmalloc": "libtcmalloc_minimal.so.4",
    "sluice": None,
}
NOISE = 1.1  # a median so far above the smallest says little


def add_options(parser):
    parser.add_argument("--quick", action="store_true", help="one short round: a look whether it runs")
    parser.add_argument("--rounds", type=int, default=5)
    add_files(parser)


def add_files(parser):
    parser.add_argument("--json", metavar="FILE", help="every round's figures, for other programs")
    parser.add_argument("--svg", metavar="FILE", help="a chart (needs gnuplot)")


def in_turns(rows, contenders, rounds, run):
    """run(row, contender) gives {figure: value}, or None when it failed (and has said so)."""
    results = {row: {contender: [] for contender in contenders} for row in rows}
    for turn in range(rounds):
        for row in rows:
            print(f"round {turn + 1} of {rounds}: {row}", file=sys.stderr)
            for contender in contenders:
                figures = run(row, contender)
                if figures is not None:
                    results[row][contender].append(figures)
    return results


def median(results, row, contender, figure):
    values = [figures[figure] for figures in results[row][contender] if figure in figures]
    return statistics.median(values) if values else None


def ratios(results, figure):
    """row -> contender -> ratio of medians to glibc's; what is missing or 0 is left out."""
    table = {}
    for row, by_contender in results.items():
        base = median(results, row, "glibc", figure)
        table[row] = {}
        for name in by_contender:
            value = median(results, row, name, figure)
            if base and value:
                table[row][name] = value / base
    return table


def geometric_means(table):
    names = {name for row in table.values() for name in row}
    return {name: math.exp(statistics.mean(math.log(row[name]) for row in table.values() if name in row))
            for name in names}


def print_ratios(results, figure, what):
    """glibc absolute, the others as ratios to it."""
    table = ratios(results, figure)
    others = [name for name in next(iter(results.values())) if name != "glibc"]
    print(f"\n{what:<28}{'glibc':>10}" + "".join(f"{name:>13}" for name in others))
    for row, by_contender in table.items():
        base = median(results, row, "glibc", figure)
        failed = [name for name in others if not results[row][name]]
        print(f"  {row:<26}" + (f"{base:>10.2f}" if base is not None else f"{'FAILED':>10}") +
              "".join(f"{by_contender[name]:>13.2f}" if name in by_contender
                      else f"{'FAILED' if name in failed else '-':>13}" for name in others))
    means = geometric_means(table)
    print(f"  {'geometric mean':<26}{1:>10.2f}" +
          "".join(f"{means[name]:>13.2f}" if name in means else f"{'-':>13}" for name in others))


def print_absolute(results, figure, what):
    names = list(next(iter(results.values())))
    print(f"\n{what:<28}" + "".join(f"{name:>13}" for name in names))
    for row in results:
        values = [median(results, row, name, figure) for name in names]
        if any(value is not None for value in values):
            print(f"  {row:<26}" + "".join(f"{value:>13.2f}" if value is not None else f"{'-':>13}" for value in values))


def print_noise(results, figure):
    for row, by_contender in results.items():
        for name, list_ in by_contender.items():
            values = [figures[figure] for figures in list_]
            if len(values) > 2 and statistics.median(values) > NOISE * min(values):
                print(f"too noisy to conclude much: {row} under {name} took {min(values):.2f} at best, and "
                      f"{statistics.median(values):.2f} mostly")


def machine():
    processor = ""
    with open("/proc/cpuinfo", encoding="utf-8") as lines:
        for line in lines:
            if line.startswith("model name"):
                processor = line.split(":", 1)[1].strip()
                break
    libc = " ".join(platform.libc_ver())
    return {"processors": os.cpu_count(), "processor": processor, "kernel": platform.release(), "libc": libc}


def write_json(path, benchmark, results):
    with open(path, "w", encoding="utf-8") as file:
        json.dump({"benchmark": benchmark, "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                   "machine": machine(), "results": results}, file, indent=1)
        file.write("\n")


def gnuplot(script):
    done = subprocess.run(["gnuplot"], input=script, text=True, stderr=subprocess.PIPE)
    if done.returncode != 0:
        sys.exit(f"bench: gnuplot: {done.stderr.strip()}")


def write_svg(path, results, figure, title):
    """Bars: each row's ratios to glibc."""
    table = ratios(results, figure)
    names = [name for name in next(iter(results.values())) if name != "glibc"]
    rows = [f'"{row}" ' + " ".join(f"{table[row].get(name, 0):.4f}" for name in names) for row in table]
    script = "\n".join([
        f"set terminal svg size 1200,500 font 'sans,11' background 'white'; set output '{path}'",
        f"set title '{title}: ratio to glibc, below 1 is less'; set style data histogram; set style fill solid 0.8",
        "set style histogram clustered gap 1; set xtics rotate by -30; set yrange [0:*]; set key top left",
        "set grid ytics; set arrow from graph 0, first 1 to graph 1, first 1 nohead lw 2",
        "$data << END", " ".join(['"row"'] + [f'"{name}"' for name in names]), *rows, "END",
        "plot " + ", ".join(f"$data using {i + 2}:xtic(1) title '{name}'" for i, name in enumerate(names))])
    gnuplot(script)


def finish(arguments, benchmark, results, figure, title):
    if arguments.json:
        write_json(arguments.json, benchmark, results)
    if arguments.svg:
        write_svg(arguments.svg, results, figure, title)
    return any(not list_ for by_contender in results.values() for list_ in by_contender.values())
