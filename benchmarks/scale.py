"""Model of a day's work by volume: steps, minutes, instances, storage calls and cost by variables.

Arithmetic over figures that were measured elsewhere; it measures nothing. docs/scale.md and docs/costs.md
show its numbers, a test compares. Run by `make bench-scale`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from math import ceil
from typing import Final

GB: Final = 1000.0
"""Megabytes."""

# docs/scale.md, "Where the figures come from".
INSTANCE_SECONDS_PER_GB: Final = 152.0
"""Whole path, both halves, one instance: 1.3 GB of events took 197 s on the real host."""
LOOK_SECONDS_PER_GB: Final = 12.0
"""Look for the parts of an export file: 1.8 s of CPU, and its download at the 98 MB/s of bare transfer."""
EXPORT_SHARE: Final = 0.82
"""Bytes of the export file for one of raw NDJSON: 106 of 130 MB."""
QUEUE_FACTOR, TABLE_FACTOR = 2.4, 0.7
"""Calls for one derived, as an earlier version was measured: 239 to 254 for 102, and 50 for 71."""

LARGE: Final = 4
"""Steps beside the heavy ones of an export that is not small: parts, commits of file and table, end."""

STEP_MB: Final = 128.0
"""EXPORT_SLICE_MB and CONVERT_PART_MB."""
SMALL_MB: Final = 128.0
MAX_BUCKETS: Final = 64
MAX_EXPORT_GB: Final = 50_000 * 4 * 1024 * 1024 / 1e9
"""Blocks of a blob times the size of ours."""
STEP_MINUTES: Final = 30
"""functionTimeout."""
TYPES: Final = 10
LARGEST: Final = 0.5
"""Part of a day's volume that one type has; the others share the rest."""
PARALLEL: Final = 4
"""Exports of an app at once (`parallel` of exports.toml)."""
MEMORY_GB: Final = 2
_HEAD: Final = (
    *("GB a day", "lanes", "heavy steps", "instances, at most", "minutes"),
    *("host account", "data account", "execution", "over a limit"),
)


def host_calls(polls: int, targets: int, steps: int = 0) -> tuple[int, int]:
    """Queue and table calls of one export to the host account; `steps`: heavy ones, if it is not small."""
    activities = 4 + polls + targets + (steps + LARGE if steps else 0)
    timers, orchestrations = polls, 3 + targets
    queue = 6 * activities + 3 * timers + 3 * orchestrations
    table = 3 * activities + 3 * timers + 5 * orchestrations
    return round(QUEUE_FACTOR * queue), round(TABLE_FACTOR * table)


@dataclass(frozen=True)
class Export:
    """One type's export of a day: gigabytes of raw data, and on how many lanes."""

    gb: float
    lanes: int

    @property
    def steps(self) -> int:
        """Slices, buckets and parts; one of each where the data is small."""
        raw, file = self.gb * GB, self.gb * GB * EXPORT_SHARE
        if raw <= SMALL_MB:
            return 2
        slices = ceil(raw / STEP_MB)
        return slices + min(slices, MAX_BUCKETS) + ceil(file / STEP_MB)

    @property
    def look_minutes(self) -> float:
        """The one step that reads the whole export file."""
        return self.gb * EXPORT_SHARE * LOOK_SECONDS_PER_GB / 60

    @property
    def minutes(self) -> float:
        """The look, then the rest on the lanes; the waits of polling come on top, at most five."""
        lanes = min(self.lanes, max(1, self.steps // 3))
        rest = self.gb * INSTANCE_SECONDS_PER_GB / 60 - self.look_minutes
        return self.look_minutes + rest / lanes

    @property
    def polls(self) -> int:
        """5 s, doubling to 5 min, while it runs."""
        seconds, wait, count = self.minutes * 60, 5.0, 1
        while seconds > wait:
            seconds, wait, count = seconds - wait, min(wait * 2, 300.0), count + 1
        return count

    @property
    def data_calls(self) -> int:
        """Of the data account: 81 for a small one with 5 polls; then one for each 4 MiB that is moved.

        Moved are the raw data (read), slices (written, read), the file (written, read twice), Parquet.
        """
        moved = self.gb * (1 + 2 + 3 * EXPORT_SHARE + 0.2)
        return 68 + 3 * max(0, self.polls - 2) + round(moved * 1e9 / 4 / 1024 / 1024)


@dataclass(frozen=True)
class Day:
    """All types of one app for one day."""

    gb: float
    lanes: int

    @property
    def exports(self) -> list[Export]:
        """The largest, then the others."""
        rest = self.gb * (1 - LARGEST) / (TYPES - 1)
        return [Export(self.gb * LARGEST, self.lanes), *[Export(rest, self.lanes)] * (TYPES - 1)]

    @property
    def minutes(self) -> float:
        """The largest beside the others, four at once."""
        first, *others = self.exports
        return max(first.minutes, sum(one.minutes for one in others) / (PARALLEL - 1))

    @property
    def instances(self) -> int:
        """At most: a heavy step has one to itself."""
        steps = sorted((max(1, min(one.lanes, one.steps // 3)) for one in self.exports), reverse=True)
        return sum(steps[:PARALLEL])

    def row(self) -> str:
        """The day's row of the table."""
        steps = sum(one.steps for one in self.exports)
        host = [host_calls(one.polls, 1, one.steps if one.steps > 2 else 0) for one in self.exports]
        queue, table = (sum(pair[n] for pair in host) for n in (0, 1))
        data = sum(one.data_calls for one in self.exports)
        seconds = self.gb * INSTANCE_SECONDS_PER_GB
        cells = (
            f"{self.gb:,.0f}",
            f"{self.lanes}",
            f"{steps:,}",
            f"{self.instances}",
            f"{self.minutes:,.1f}",
            f"{queue / 1e4:.2f} `Pq` + {table / 1e4:.2f} `Pt`",
            f"{data / 1e4:.1f} `Pb`",
            f"{seconds * MEMORY_GB:,.0f} `Pe`",
            _over(self.exports[0]) or "none",
        )
        return f"| {' | '.join(cells)} |"


def _over(export: Export) -> str:
    found = []
    if export.gb * EXPORT_SHARE > MAX_EXPORT_GB:
        found.append(f"file of {export.gb * EXPORT_SHARE:.0f} GB")
    if export.look_minutes > STEP_MINUTES:
        found.append(f"look of {export.look_minutes:.0f} min")
    return ", ".join(found)


def table() -> str:
    """The table of docs/scale.md."""
    days = [Day(gb, lanes) for gb, lanes in ((1, 4), (10, 4), (100, 4), (100, 32), (1000, 64))]
    return "\n".join([f"| {' | '.join(_HEAD)} |", "|" + "---|" * len(_HEAD), *[day.row() for day in days]])


def main() -> None:
    print(table())
    look = STEP_MINUTES * 60 / LOOK_SECONDS_PER_GB
    print(f"\nLargest export file: {MAX_EXPORT_GB:.0f} GB; a look of {STEP_MINUTES} minutes: {look:.0f} GB.")
    queue, rows = host_calls(2, 1, 0)
    print(f"Small export, 2 polls: {queue} queue and {rows} table calls.")
    figures = {"bench": "scale", "maxExportGB": MAX_EXPORT_GB, "lookGB": round(look)}
    print(json.dumps({**figures, "queueCalls": queue, "tableCalls": rows}))


if __name__ == "__main__":
    main()
