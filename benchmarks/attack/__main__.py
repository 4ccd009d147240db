"""An attack on the running app: Export APIs, targets, callers, a key server and storage that mean harm.

Each scenario has a judge, and somebody else's healthy export goes on beside each attack. Everything is on the
loopback interface. Prints what was tried and held by peer, what did not hold, and one line of JSON; ends with
1 if something did not hold. Run by `make attack`; the seed it prints repeats its choices. SHORT=1 takes less
than a minute.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.attack.rounds import GOAL_MIB, Report, attack
from benchmarks.attack.scenario import Result


def table(results: Sequence[Result]) -> str:
    """Tried and held by peer, the slowest scenario of each, and what did not hold."""
    lines = [f"{'peer':24}{'tried':>7}{'held':>7}  slowest"]
    for peer in dict.fromkeys(one.peer for one in results):
        own = [one for one in results if one.peer == peer]
        slowest = max(own, key=lambda one: one.seconds)
        held = sum(not one.problem for one in own)
        lines.append(f"{peer:24}{len(own):>7}{held:>7}  {slowest.seconds:.1f} s: {slowest.name}")
    failed = [one for one in results if one.problem]
    lines += ["", *(f"NOT HELD  {one.peer}: {one.name}: {one.problem}" for one in failed)]
    return "\n".join(lines)


def summary(report: Report, seconds: float) -> dict[str, float]:
    """The line of JSON."""
    return {
        "tried": len(report.results),
        "held": sum(not one.problem for one in report.results),
        "peakMiB": round(report.peak),
        "seconds": round(seconds),
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.attack", description=__doc__)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--short", action="store_true", help="a few scenarios of each peer")
    parser.add_argument("--peer", help="the rounds whose name contains this")
    given = parser.parse_args()
    print(f"seed {given.seed}, load {os.getloadavg()[0]:.1f}", flush=True)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="attack-") as folder:
        report = attack(Path(folder), random.Random(given.seed), short=given.short, only=given.peer or "")
    print(table(report.results))
    print("\n".join(f"{name}: {value}" for name, value in report.figures.items()))
    print(f"memory of host and worker at the peak: {report.peak:.0f} MiB (goal: at most {GOAL_MIB})")
    found = summary(report, time.monotonic() - began)
    print(json.dumps(found))
    return 0 if found["tried"] == found["held"] else 1


if __name__ == "__main__":
    sys.exit(main())
