"""Shared parts of the record engine's benches: a process for each measurement, medians, goals, the report.

A bench names its ways to do the work: each is a function that imports and opens what it needs and gives back
the work itself. Only that is measured: seconds, CPU seconds of all threads, and the memory at its peak above
what the process held before, the interpreter and its imports.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import wraps
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mobexport.storage import DataStorage

ROOT = Path(__file__).parent.parent
MIB = 1024 * 1024
CHUNK = 4 * MIB
PEAK_MIB = 256
GROWTH = 1.1
END_TO_END = 1.3
LIBRARIES = ("msgspec", "arro3-core", "pyarrow", "duckdb", "pandas", "polars")
ROOM = ("--initial-old-space-size=1024",)
"""Node's options for the emulator: room in its heap. Without it, from its first idle seconds on it collects
garbage at every second block, which takes the cores from what is measured and half of the speed of a read."""
ONE_THREAD = {"POLARS_MAX_THREADS": "1", "OMP_NUM_THREADS": "1"}

Task = dict[str, Any]
"""Task of one process, as JSON: `way` and the arguments of that way."""
Result = dict[str, Any]
Way = Callable[[Task, Path], Callable[[], Result]]
"""Gets ready in an empty folder and gives the work, which leaves its output in `target` there, if any."""


class Bench:
    """One run: measures row by row, prints each at once, and all of it as one line of JSON at the end."""

    def __init__(self, module: str, ways: Mapping[str, Way], text: str) -> None:
        """Reads the command line; a process that was started for one measurement ends here."""
        self._module = module
        parser = argparse.ArgumentParser(prog=f"python -m {module}", description=text)
        parser.add_argument("--events", type=int, default=500_000)
        parser.add_argument("--repeats", type=int, default=5)
        parser.add_argument("--large-mb", type=int, default=1300, help="input of the rows on growth")
        parser.add_argument("--no-azurite", action="store_true", help="without the rows on the emulator")
        parser.add_argument("--work", help=argparse.SUPPRESS)
        parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
        chosen = parser.parse_args()
        if chosen.work:
            task = json.loads(chosen.work)
            print(json.dumps(measure_here(ways[task["way"]], task, chosen.folder)))
            raise SystemExit
        self.events: int = chosen.events
        self.large_mb: int = chosen.large_mb
        self.azurite: bool = not chosen.no_azurite
        self._repeats: int = chosen.repeats
        self._row = ""
        self._report: dict[str, Any] = {"bench": module, **self._about(), "rows": {}, "goals": []}

    def _about(self) -> dict[str, Any]:
        libraries = {name: found for name in LIBRARIES if (found := _version(name))}
        load = os.getloadavg()[0]
        print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
              f"load {load:.1f}; " + ", ".join(map(" ".join, libraries.items())))  # fmt: skip
        print(f"{self.events:,} events; medians of {self._repeats}, greatest peaks above the imports")
        about = {"events": self.events, "repeats": self._repeats, "cores": os.cpu_count(), "load": load}
        return about | {"python": platform.python_version(), "libraries": libraries}

    def measured(self, task: Task, keep: Path | None = None) -> Result:
        """The task in a process of its own; `keep` is where its output goes."""
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            command = [sys.executable, "-m", self._module, "--work", json.dumps(task), "--folder", folder]
            done = subprocess.run(
                command, cwd=ROOT, env=os.environ | ONE_THREAD, capture_output=True, text=True, check=False
            )
            if done.returncode:
                raise SystemExit(f"{task}\n{done.stderr}")
            if keep:
                shutil.move(Path(folder, "target"), keep)
            found: Result = json.loads(done.stdout.splitlines()[-1])
            return found

    def row(self, name: str, mb: float, ways: Mapping[str, Task]) -> dict[str, Result]:
        """The ways to do one thing, in turn, as often as was asked for; `mb` is the input of one copy."""
        results: dict[str, list[Result]] = {label: [] for label in ways}
        for _ in range(self._repeats):
            for label, task in ways.items():
                results[label].append(self.measured(task))
        found = {label: _best(each) for label, each in results.items()}
        print(f"\n{name}, {mb:.1f} MB")
        for label, one in found.items():
            one["mb_s"] = mb * ways[label].get("copies", 1) / one["seconds"]
            late = f"  {len(one['late'])} modules imported at work" if one["late"] else ""
            print(f"  {label:24} {one['seconds']:7.2f} s {one['cpu']:7.2f} CPU s {one['mb_s']:7.1f} MB/s"
                  f" {one['peak']:7.0f} MiB{late}", flush=True)  # fmt: skip
        self._row = name
        self._report["rows"][name] = {"mb": mb, **found}
        return found

    def at_least(self, limit: float, value: float, what: str) -> None:
        """A goal of the row that was measured last."""
        self._goal(what, value, limit, "at least", met=value >= limit)

    def at_most(self, limit: float, value: float, what: str) -> None:
        """A goal of the row that was measured last."""
        self._goal(what, value, limit, "at most", met=value <= limit)

    def _goal(self, what: str, value: float, limit: float, bound: str, *, met: bool) -> None:
        goal = {"row": self._row, "what": what, "value": value, "bound": bound, "limit": limit, "met": met}
        self._report["goals"].append(goal)
        print(f"  {'meets' if met else 'MISSES':6} {value:8.2f} {what} (goal: {bound} {limit:g})", flush=True)

    def peak(self, result: Result) -> None:
        """The goal that each row of ours has for its memory."""
        self.at_most(PEAK_MIB, result["peak"], "MiB at the peak")

    def growth(self, name: str, mb: float, task: Task) -> Result:
        """A row of its own: work on the input and on copies of it, which must not need more memory."""
        copies = max(round(self.large_mb / mb), 2)
        found = self.row(name, mb, {"once": task, f"{copies} copies": {**task, "copies": copies}})
        once, many = found.values()
        self.peak(many)
        self.at_most(GROWTH, many["peak"] / once["peak"], "times the peak of one copy")
        return once

    def end_to_end(self, name: str, mb: float, computed: Result, transfer: Task, whole: Task) -> Result:
        """A row of its own: the work between blobs, beside `computed` and moving the same bytes."""
        found = self.row(name, mb, {"bare transfer": transfer, "end to end": whole})
        larger = max(computed["seconds"], found["bare transfer"]["seconds"])
        times = found["end to end"]["seconds"] / larger
        self.at_most(END_TO_END, times, "times the larger of compute and transfer, wall")
        self.peak(found["end to end"])
        return found["end to end"]

    def finish(self) -> None:
        """Prints the line of JSON."""
        missed = sum(not goal["met"] for goal in self._report["goals"])
        print(f"\n{len(self._report['goals'])} goals, {missed} missed")
        print(json.dumps({**self._report, "load after": os.getloadavg()[0]}))


def measure_here(way: Way, task: Task, folder: Path) -> Result:
    """One measurement, in this process: what it took, and size and MD5 of what it left in `target`."""
    run = way(task, folder)
    gc.collect()
    idle = memory("VmRSS")
    imported = set(sys.modules)
    started, used = time.perf_counter(), time.process_time()
    found = run()
    seconds, cpu = time.perf_counter() - started, time.process_time() - used
    late = sorted(set(sys.modules) - imported)
    peak = memory("VmHWM") - idle
    return {"seconds": seconds, "cpu": cpu, "peak": peak, "idle": idle, "late": late, **found,
            **_output(folder / "target")}  # fmt: skip


def as_deployed(way: Way) -> Way:
    """The way in a process like the app's: of what pyarrow imports at work, only dateutil is there."""

    @wraps(way)
    def hidden(task: Task, folder: Path) -> Callable[[], Result]:
        hide_what_is_not_deployed()
        return way(task, folder)

    return hidden


def hide_what_is_not_deployed() -> None:
    """From here on this process finds of what pyarrow imports at work only what the app brings."""
    sys.meta_path.insert(0, _NotDeployed())
    import_module("dateutil.relativedelta")


class _NotDeployed(MetaPathFinder):
    """Finds nothing, and ends the search for what the app does not bring: it comes with the baselines."""

    def find_spec(self, fullname: str, *_: object) -> None:
        if fullname in ("numpy", "pandas"):
            raise ModuleNotFoundError(f"{fullname} is hidden")


def memory(name: str) -> float:
    """MiB this process has (`VmRSS`) or had at most (`VmHWM`).

    Not ru_maxrss: that of the process that forked it counts there too.
    """
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024


def _output(target: Path) -> Result:
    files = sorted(path for path in (target, *target.rglob("*")) if path.is_file())
    digest = hashlib.md5()
    for path in files:
        for chunk in chunks_of(path):
            digest.update(chunk)
    return {"out": sum(path.stat().st_size for path in files), "md5": digest.hexdigest()}


def _best(results: Sequence[Result]) -> Result:
    """Medians of the times, the greatest of the peaks."""
    kinds = [key for key in ("seconds", "cpu", "path") if key in results[0]]
    times = {key: statistics.median(one[key] for one in results) for key in kinds}
    return {**results[0], **times, "peak": max(one["peak"] for one in results)}


def _version(library: str) -> str | None:
    try:
        return version(library)
    except PackageNotFoundError:
        return None


def chunks_of(path: Path, first: int = 0, end: int | None = None) -> Iterator[bytes]:
    """Bytes `first` up to before `end` of a file (None: its end), 4 MiB at a time."""
    with path.open("rb") as data:
        data.seek(first)
        left = (path.stat().st_size if end is None else end) - first
        while left > 0 and (chunk := data.read(min(CHUNK, left))):
            left -= len(chunk)
            yield chunk


@contextmanager
def azurite() -> Iterator[str]:
    """The storage emulator with its data in a temporary folder: its connection string."""
    from localdev.azurite import Azurite

    with tempfile.TemporaryDirectory(prefix="bench-azurite-") as name:
        data = Path(name, "data")
        data.mkdir()
        with Azurite(Path(name, "log"), data, node_options=ROOM) as running:
            yield running.connection_string


def storage_of(connection: str) -> DataStorage:
    """The app's clients of that account."""
    from mobexport.settings import read_settings
    from mobexport.storage import DataStorage

    return DataStorage(
        read_settings({"DATA_STORAGE": connection, "AZURE_FUNCTIONS_ENVIRONMENT": "Development"})
    )
