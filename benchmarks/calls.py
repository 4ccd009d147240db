"""Time of status calls that come at the same moment; what `perInstanceConcurrency` rests on.

Asks the app on the local host for one export, by 1, 4, 8 and 16 callers. Run by `make bench-calls`.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import requests

from localdev.app import App
from localdev.azurite import Azurite
from localdev.processes import free_ports
from mobexport.settings import read_settings
from mobexport.storage import DataStorage

CALLERS: Final = (1, 4, 8, 16)
EVENT: Final = b'{"deviceId":"d1","name":"open","timestamp":"2025-03-23T10:00:00Z"}\n'


def ask(url: str, times: int) -> list[float]:
    """Milliseconds of each of so many calls, one after the other."""
    session = requests.Session()
    session.trust_env = False
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        session.get(url, timeout=60).raise_for_status()
        taken.append((time.perf_counter() - began) * 1000)
    return taken


def measure(url: str, calls: int) -> None:
    """Prints a row for each number of callers: calls a second, and how long one took."""
    ask(url, 10)
    print("| callers | calls/s | median ms | 95 % ms |\n|---|---|---|---|")
    for callers in CALLERS:
        began = time.perf_counter()
        with ThreadPoolExecutor(callers) as pool:
            rows = list(pool.map(ask, [url] * callers, [calls // callers] * callers))
        seconds = time.perf_counter() - began
        taken = sorted(one for row in rows for one in row)
        late = taken[int(len(taken) * 0.95)]
        print(
            f"| {callers} | {len(taken) / seconds:.0f} | {statistics.median(taken):.0f} | {late:.0f} |",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=400, help="calls for each row")
    calls: int = parser.parse_args().calls
    with tempfile.TemporaryDirectory() as folder, Azurite(log=Path(folder) / "azurite.log") as azurite:
        settings = {"DATA_STORAGE": azurite.connection_string, "AZURE_FUNCTIONS_ENVIRONMENT": "Development"}
        raw = DataStorage(read_settings(settings)).container("raw")
        raw.upload_blob("bench/events/2025-03-23/a.ndjson", EVENT)
        quick = {"POLL_FIRST_SECONDS": "0.5", "EXPORTS_CONFIG": os.devnull}
        with App(azurite, Path(folder), free_ports(1)[0], host="devhost", **quick) as app:
            day = {"startDate": "2025-03-23", "endDate": "2025-03-23"}
            _, export = app.post("/api/exports", {"app": "bench", "exportType": "Event", **day})
            path = f"/api/exports/{export['id']}"
            while app.get(path)[1]["phase"] != "done":
                time.sleep(0.2)
            measure(app.url + path, calls)


if __name__ == "__main__":
    main()
