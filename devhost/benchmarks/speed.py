"""Speed of the local host: start, orchestrations a second, idle timers, memory; `make bench-devhost`.

Beside each figure stands what it cannot beat in the same run: Python's own start, the SDK's replay alone,
SQLite's commits alone. The figures of the real host are recorded ones, from a machine with two cores as well.
"""

import argparse
import itertools
import json
import os
import re
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

APP = Path(__file__).parent / "app"
TICKS = os.sysconf("SC_CLK_TCK")
REAL = {
    "start s": 4.2,
    "chain x20 /s": 19.9,
    "chain x1 /s": 8.1,
    "p50 s": 0.97,
    "p95 s": 1.38,
    "RSS MiB": 250 + 58,
}
figures: dict[str, Any] = {}


def _row(name: str, value: float, unit: str, beside: str = "") -> None:
    print(f"{name:<58}{value:>10.2f} {unit:<8}{beside}", flush=True)
    figures[name] = round(value, 3)


class Host:
    """A running devhost over the bench app."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, started: float) -> None:
        self.process = process
        self.port = port
        self.started = started
        """Seconds from the command to the first 200 of a function."""

    def pids(self) -> list[str]:
        """The host and its worker."""
        tasks = Path(f"/proc/{self.process.pid}/task")
        return [str(self.process.pid), *"".join(t.read_text() for t in tasks.glob("*/children")).split()]

    def cpu(self) -> float:
        """Seconds of processor time so far."""
        stats = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in self.pids()]
        return sum(int(parts[11]) + int(parts[12]) for parts in stats) / TICKS

    def rss(self) -> float:
        """MiB, shared pages counted once for each process."""
        statuses = [Path(f"/proc/{pid}/status").read_text() for pid in self.pids()]
        return sum(int(re.search(r"VmRSS:\s+(\d+)", s)[1]) for s in statuses) / 1024  # type: ignore[index]


@contextmanager
def host(*options: str) -> Iterator[Host]:
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        # Without the supervisor, so that time and memory are those of host and worker.
        command = [sys.executable, "-m", "devhost", "start", "--no-reload", "--script-root", str(APP)]
        command += ["--port", "0"]
        environment = {k: v for k, v in os.environ.items() if v != "UseDevelopmentStorage=true"}
        began = time.perf_counter()
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*command, "--state", str(Path(folder) / "state"), *options],
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            while not (found := re.search(r"listening on http://127.0.0.1:(\d+)\n", log.read_text())):
                if process.poll() is not None:
                    raise SystemExit(log.read_text())
                time.sleep(0.005)
            port = int(found[1])
            while _call(HTTPConnection("127.0.0.1", port), "GET", "/api/ready")[0] != 200:
                time.sleep(0.005)
            yield Host(process, port, time.perf_counter() - began)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def _call(connection: HTTPConnection, method: str, path: str) -> tuple[int, bytes]:
    connection.request(method, path, body=b"" if method == "POST" else None)
    answer = connection.getresponse()
    return answer.status, answer.read()


# --- start ---


def bench_start(runs: int) -> None:
    def seconds(*command: str) -> float:
        began = time.perf_counter()
        subprocess.run([sys.executable, *command], check=True)
        return time.perf_counter() - began

    def median(measure: Callable[[], float]) -> float:
        return statistics.median(measure() for _ in range(runs))

    def started() -> float:
        with host() as running:
            return running.started

    sdk = "import azure.functions, azure.durable_functions, aiohttp.web"
    _row("start: python -c pass", median(lambda: seconds("-c", "pass")), "s")
    _row("start: … and the SDKs imported", median(lambda: seconds("-c", sdk)), "s")
    _row("start: to the first 200 of a function", median(started), "s", f"real host {REAL['start s']} s")


# --- baselines of an orchestration ---


def bench_parts() -> None:
    """A chain is 3 episodes and 6 commits (start, episode, activity, episode, activity, end)."""
    import azure.durable_functions as df

    from devhost.durable.engine import Engine
    from devhost.durable.sdk import remember_repeated_work
    from devhost.durable.store import Store

    def chain(context: Any) -> Any:
        one = yield context.call_activity("say", "a")
        two = yield context.call_activity("say", {"n": 2})
        return [one, two]

    asked: list[str] = []
    handle = df.Orchestrator.create(chain)

    def remember(context: str) -> str:
        asked.append(context)
        return str(handle(context))

    engine = Engine(Store(":memory:"), {"chain": remember}, ["say"])
    instance_id = engine.start("chain", None)
    while engine.run_episode(instance_id) is not None:
        for call in engine.store.activities():
            engine.activity_succeeded(call, '"said"')
    rounds = 200

    def replays() -> float:
        """Milliseconds of processor time."""
        began = time.process_time()
        for _ in range(rounds):
            for context in asked:
                handle(context)
        return (time.process_time() - began) / rounds * 1000

    _row("chain: the SDK's three replays alone, as released", replays(), "ms")
    remember_repeated_work()
    _row("chain: the SDK's three replays alone, as devhost runs it", replays(), "ms")
    with tempfile.TemporaryDirectory() as folder:
        db = sqlite3.connect(Path(folder) / "x.sqlite", isolation_level=None)
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=NORMAL")
        db.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT)")
        began = time.process_time()
        for _ in range(6 * rounds):
            db.execute("BEGIN IMMEDIATE")
            db.executemany("INSERT INTO t (b) VALUES (?)", [("x" * 500,)] * 4)
            db.execute("COMMIT")
        _row("chain: six SQLite commits alone", (time.process_time() - began) / rounds * 1000, "ms")
        db.close()


# --- chain ---


def run_chains(port: int, count: int, clients: int) -> tuple[float, list[float]]:
    """`count` chains started by `clients` at once through an HTTP function, each polled to its end; seconds,
    and the latencies."""
    left, latencies, lock = itertools.count(), [], threading.Lock()

    def client() -> None:
        connection = HTTPConnection("127.0.0.1", port)
        while next(left) < count:
            began = time.perf_counter()
            status, body = _call(connection, "POST", "/api/start/chain")
            assert status == 202, body
            path = f"/runtime/webhooks/durabletask/instances/{json.loads(body)['id']}"
            pause = 0.02
            while (found := _call(connection, "GET", path))[0] == 202:
                time.sleep(pause)
                pause = min(0.1, pause * 1.5)
            assert json.loads(found[1])["runtimeStatus"] == "Completed", found[1]
            with lock:
                latencies.append(time.perf_counter() - began)

    began = time.perf_counter()
    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(latencies) == count
    return time.perf_counter() - began, latencies


def bench_chain(count: int) -> None:
    for label, options in (("check on", ()), ("check off", ("--no-determinism-check",))):
        with host(*options) as running:
            run_chains(running.port, 40, 20)
            for clients, real in ((20, "chain x20 /s"), (1, "chain x1 /s")):
                number = count if clients > 1 else count // 4
                cpu = running.cpu()
                seconds, latencies = run_chains(running.port, number, clients)
                rate = number / seconds
                _row(
                    f"chain x{clients}, {label}",
                    rate,
                    "/s",
                    f"real host {REAL[real]}, {rate / REAL[real]:.1f} times",
                )
                ordered = sorted(latencies)
                _row(f"chain x{clients}, {label}: p50", ordered[number // 2], "s")
                _row(f"chain x{clients}, {label}: p95", ordered[number * 95 // 100], "s")
                _row(
                    f"chain x{clients}, {label}: processor time each",
                    (running.cpu() - cpu) / number * 1000,
                    "ms",
                )
            _row(
                f"memory after that, {label}",
                running.rss(),
                "MiB",
                f"real host {REAL['RSS MiB']} without storage",
            )


# --- idle ---


def bench_idle(seconds: float) -> None:
    with host() as running:
        connection = HTTPConnection("127.0.0.1", running.port)

        def share() -> float:
            before = running.cpu()
            time.sleep(seconds)
            return (running.cpu() - before) / seconds * 100

        _row("idle: without any timer", share(), "% core")
        for _ in range(1000):
            status, body = _call(connection, "POST", "/runtime/webhooks/durabletask/orchestrators/sleeper")
            assert status == 202, body
        time.sleep(5)
        listed = _call(
            connection, "GET", "/runtime/webhooks/durabletask/instances?runtimeStatus=Running&top=2000"
        )
        assert len(json.loads(listed[1])) == 1000, "not all of them sleep"
        _row("idle: with 1,000 timers", share(), "% core", "goal < 2")


# --- memory ---


def bench_memory(total: int) -> None:
    """Finished and purged by the thousand."""
    with host() as running:
        connection = HTTPConnection("127.0.0.1", running.port)
        purge = "/runtime/webhooks/durabletask/instances?createdTimeFrom=2000-01-01&runtimeStatus=Completed"
        steps: list[float] = []
        print("memory after each 1,000 finished and purged, MiB:", end="")
        for _ in range(total // 1000):
            run_chains(running.port, 1000, 20)
            assert json.loads(_call(connection, "DELETE", purge)[1]) == {"instancesDeleted": 1000}
            steps.append(running.rss())
            print(f" {steps[-1]:.1f}", end="", flush=True)
        print()
        _row("memory: after the first 1,000", steps[0], "MiB")
        _row(f"memory: after {total:,}", steps[-1], "MiB")
        figures["memory steps"] = [round(step, 1) for step in steps]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=("start", "parts", "chain", "idle", "memory"))
    parser.add_argument("--chains", type=int, default=600)
    parser.add_argument("--finished", type=int, default=10_000)
    options = parser.parse_args()
    parts: dict[str, Callable[[], None]] = {
        "start": lambda: bench_start(5),
        "parts": bench_parts,
        "chain": lambda: bench_chain(options.chains),
        "idle": lambda: bench_idle(20),
        "memory": lambda: bench_memory(options.finished),
    }
    # Other work on the machine shows here, and makes every figure worse.
    _row("load of the machine before", os.getloadavg()[0], "")
    for name, measure in parts.items():
        if options.only in (None, name):
            measure()
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
