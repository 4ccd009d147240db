"""Cost of small exports, both halves in one app: exports a minute, CPU, calls to the data account, memory.

One batch of COUNT exports of one day each, PARALLEL at once, on the local host with Azurite. The baseline is
the same app over the same number of seconds with nothing to do. CPU is that of the app's processes (host and
worker), without Azurite. Run by `make bench-exports`; COUNT=20 for a quick look.
"""

import argparse
import json
import os
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from benchmarks.storage_calls import calls_by_service
from localdev.app import App
from localdev.azurite import Azurite
from localdev.processes import free_ports
from mobexport.settings import read_settings
from mobexport.storage import DataStorage

FIRST = date(2025, 1, 1)
LINES = 200


class Watch:
    """CPU seconds and memory of a process and all below it, by `/proc`."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._ended = threading.Event()
        self.peak = 0.0
        self._thread = threading.Thread(target=self._look, daemon=True)

    @contextmanager
    def watching(self) -> Iterator[dict[str, float]]:
        """`{seconds, cpu, peak}` of what happens meanwhile, filled in at its end; peak in MiB."""
        found: dict[str, float] = {}
        self._thread.start()
        began, used = time.monotonic(), self._cpu()
        yield found
        found |= {"seconds": time.monotonic() - began, "cpu": self._cpu() - used}
        self._ended.set()
        self._thread.join()
        found["peak"] = self.peak

    def _look(self) -> None:
        while not self._ended.wait(0.2):
            self.peak = max(self.peak, sum(_memory(pid) for pid in self._tree()))

    def _tree(self) -> list[int]:
        found = [self._pid]
        for pid in found:
            for task in Path(f"/proc/{pid}/task").glob("*/children"):
                found += map(int, _text(task).split())
        return found

    def _cpu(self) -> float:
        ticks = 0
        for pid in self._tree():
            fields = _text(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()
            ticks += sum(map(int, fields[11:13]))
        return ticks / os.sysconf("SC_CLK_TCK")


def _text(file: Path) -> str:
    """A file of a process; nothing if that has just ended."""
    try:
        return file.read_text("utf-8")
    except OSError:
        return ""


def _memory(pid: int) -> float:
    lines = _text(Path(f"/proc/{pid}/status")).splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


def days(count: int) -> list[date]:
    return [FIRST + timedelta(days=number) for number in range(count)]


def put_raw(azurite: Azurite, count: int) -> None:
    """A file a day with some hundred events."""
    storage = DataStorage(
        read_settings(
            {"DATA_STORAGE": azurite.connection_string, "AZURE_FUNCTIONS_ENVIRONMENT": "Development"}
        )
    )
    for day in days(count):
        lines = (
            json.dumps(
                {"deviceId": f"d{number % 20}", "name": "open", "timestamp": f"{day}T10:00:{number % 60:02}Z"}
            )
            for number in range(LINES)
        )
        storage.container("raw").upload_blob(f"shop/events/{day}/a.ndjson", "\n".join(lines).encode())


def run_batch(app: App, count: int, parallel: int) -> dict[str, Any]:
    """Requests the batch and waits for its end; the batch."""
    body = {
        "app": "shop",
        "exportTypes": ["Event"],
        "startDate": str(FIRST),
        "endDate": str(days(count)[-1]),
        "windowDays": 1,
        "parallel": parallel,
    }
    status, batch = app.post("/api/batches", body)
    assert status == 202, batch
    while batch["state"] == "Running":
        time.sleep(1)
        batch = app.get(f"/api/batches/{batch['id']}")[1]
    assert batch["counts"] == {"Succeeded": count}, batch["counts"]
    return dict(batch)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--parallel", type=int, default=8)
    given = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        Azurite(log=Path(folder) / "azurite.log", access_log=True) as azurite,
    ):
        put_raw(azurite, given.count)
        config = Path(folder) / "exports.toml"
        config.write_text("[apps.shop]\n", "utf-8")
        port = free_ports(1)[0]
        # An app in Azure is told of blobs: here the trigger would look into `exports` once a second.
        off = {"AzureWebJobs.exported_file.Disabled": "true", "TRIGGER_GRACE_SECONDS": "1"}
        with App(azurite, Path(folder), port, host="devhost", EXPORTS_CONFIG=str(config), **off) as app:
            lines = azurite.log.read_text("utf-8").count("\n")
            with Watch(app.pid).watching() as busy:
                run_batch(app, given.count, given.parallel)
            calls: Counter[str] = calls_by_service(azurite.log.read_text("utf-8").splitlines()[lines:])
            with Watch(app.pid).watching() as idle:
                time.sleep(min(busy["seconds"], 20))
    cpu = busy["cpu"] - idle["cpu"] * busy["seconds"] / idle["seconds"]
    result = {
        "exports": given.count,
        "parallel": given.parallel,
        "seconds": round(busy["seconds"], 1),
        "exportsAMinute": round(given.count / busy["seconds"] * 60, 1),
        "cpuSecondsAnExport": round(cpu / given.count, 3),
        "idleCpuSecondsASecond": round(idle["cpu"] / idle["seconds"], 3),
        "callsAnExport": round(sum(calls.values()) / given.count, 1),
        "peakMiB": round(busy["peak"]),
        "idleMiB": round(idle["peak"]),
    }
    print(f"{given.count} small exports, {given.parallel} at once, both halves:\n")
    for name, value in result.items():
        print(f"  {name:24} {value:>10}")
    print(f"\n  calls by service: {dict(sorted(calls.items()))}\n")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
