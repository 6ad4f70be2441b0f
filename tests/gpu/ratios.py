# SPDX-License-Identifier: Apache-2.0
"""Print the ratio of the shim to direct use for everything that two sets of logs measured.

    ratios.py TITLE [--limit WHAT=RATIO ...] --direct LOG... --shim LOG...

Logs hold lines "measure: what=W [side=linked|direct] value=V min=A max=B". A row shows the median of V over the processes and its
range (that of the batches if there was one process), side by side. Where a process measured both sides, a second row shows
their ratio within one process; without the shim both are the same, so that ratio is the noise. Exit status 1: nothing to
compare, or a limit was passed.
"""

import argparse
import re
import statistics
import sys


def read(paths):
    """{what: {side: [(value, min, max), one for each process]}}"""
    found = {}
    for path in paths:
        with open(path, errors="replace") as lines:
            for line in lines:
                if not line.startswith("measure: "):
                    continue
                fields = dict(re.findall(r"(\w+)=(\S+)", line))
                sides = found.setdefault(fields["what"], {})
                sides.setdefault(fields.get("side", "linked"), []).append(
                    tuple(float(fields[key]) for key in ("value", "min", "max"))
                )
    return found


def spread(rows):
    """Median and range as text, and the median."""
    values = [value for value, _, _ in rows]
    low, high = (min(values), max(values)) if len(rows) > 1 else rows[0][1:]
    middle = statistics.median(values)
    return f"{middle:.2f} [{low:.2f} .. {high:.2f}]", middle


def within(sides):
    """linked / direct of each process, as text."""
    ratios = [a[0] / b[0] for a, b in zip(sides["linked"], sides["direct"]) if b[0]]
    if not ratios:
        return "-"
    return f"{statistics.median(ratios):.3f} [{min(ratios):.3f} .. {max(ratios):.3f}]"


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("title")
    parser.add_argument("--limit", action="append", default=[])
    parser.add_argument("--direct", nargs="+", required=True)
    parser.add_argument("--shim", nargs="+", required=True)
    options = parser.parse_args()
    limits = {what: float(ratio) for what, ratio in (limit.split("=") for limit in options.limit)}
    direct, shim = read(options.direct), read(options.shim)

    print(f"\n{options.title}; {len(options.direct)} + {len(options.shim)} runs in turn")
    print(f"{'':18} {'direct':>34} {'shim':>34} {'shim/direct':>28}")
    failed = not direct or direct.keys() != shim.keys()
    if failed:
        print("  not every run measured everything; see its log")
    for what in sorted(direct.keys() & shim.keys()):
        left, left_value = spread(direct[what]["linked"])
        right, right_value = spread(shim[what]["linked"])
        ratio = right_value / left_value if left_value else 1.0 if right_value == left_value else float("inf")
        over = ratio > limits.get(what, float("inf"))
        failed = failed or over
        print(f"{what:18} {left:>34} {right:>34} {ratio:>28.3f}{'  over the limit' if over else ''}")
        if "direct" in shim[what]:
            noise, through = within(direct[what]), within(shim[what])
            print(f"{'  in one process':18} {'noise ' + noise:>34} {'':>34} {through:>28}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
