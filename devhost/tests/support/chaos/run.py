"""Rounds of kills: at every commit, then at random moments; each ends in an audit."""

from __future__ import annotations

import functools
import json
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from azure.storage.blob import BlobServiceClient, ContainerClient

from chaos.audit import audit
from chaos.host import AFTER, BEFORE, Kill
from chaos.workload import EXPECTED, Client, HostDiedError, check_results
from devhost.durable.commit_points import CommitPoint
from devhost.durable.history import Kind
from devhost.life import WORKER_LOST
from devhost.worker.process import MOST_DEATHS

APP = Path(__file__).parent / "app"
HOST = (sys.executable, "-m", "chaos.host")
_START_SECONDS = 60
_PAUSE = 0.03
_CONTAINER = "chaos"


class ChaosError(Exception):
    """The experiment itself does not work: the host does not start, or never comes to a commit point."""


@dataclass
class Arena:
    """One state folder with everything that happened to it. `storage` is a connection string for the blob
    part; without it that is left out."""

    folder: Path
    storage: str | None = None
    host: Sequence[str] = HOST
    client: Client = field(default_factory=Client)
    patience: float = 120.0
    """Seconds after which an orchestration that has not ended counts as stuck."""
    kills: int = 0
    worker_kills: int = 0
    _process: subprocess.Popen[bytes] | None = None
    _log_begin: int = 0
    _killed_worker: int = 0
    _blobs: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        shutil.copytree(APP, self.folder / "app", ignore=shutil.ignore_patterns("__pycache__"))
        self.runs.touch()
        if self.storage:
            self._container().create_container()

    @property
    def runs(self) -> Path:
        return self.folder / "runs.log"

    @property
    def _state(self) -> Path:
        return self.folder / "state"

    @property
    def database(self) -> Path:
        return self._state / "devhost.sqlite"

    # --- the host's life ----------------------------------------------------------------------------------

    def start(self, kill: Kill | None = None) -> bool:
        """Start a host; False if it killed itself before it listened."""
        log = self.folder / "host.log"
        environment = {k: v for k, v in os.environ.items() if v != "UseDevelopmentStorage=true"}
        environment |= {"CHAOS_RUNS": str(self.runs), "CHAOS_KILL": str(kill) if kill else ""}
        environment |= {"CHAOS_STORAGE": self.storage or "", "PYTHONUNBUFFERED": "1"}
        environment["PYTHONPATH"] = str(APP.parents[1])
        options = (
            "start",
            "--no-reload",
            "--script-root",
            str(self.folder / "app"),
            "--port",
            "0",
            "--state",
            str(self._state),
        )
        self._log_begin = log.stat().st_size if log.exists() else 0
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [*self.host, *options], env=environment, stdout=output, stderr=subprocess.STDOUT
            )
        until = time.monotonic() + _START_SECONDS
        while time.monotonic() < until:
            text = self._log()
            if found := re.search(r"devhost is listening on (\S+)\n", text):
                self.client.base = found[1]
                return True
            if self.has_died():
                return False
            time.sleep(_PAUSE)
        raise ChaosError(f"the host did not start:\n{text[-2000:]}")

    def _log(self) -> str:
        """Log of the host that was started last."""
        with (self.folder / "host.log").open("rb") as lines:
            lines.seek(self._log_begin)
            return lines.read().decode("utf-8", "replace")

    def has_died(self) -> bool:
        """Whether the host is gone by a kill, or by the third death of its worker.

        Raises ChaosError if it ended otherwise.
        """
        code = None if self._process is None else self._process.poll()
        if code not in (None, -signal.SIGKILL, WORKER_LOST):
            raise ChaosError(f"the host ended with {code}; see {self.folder / 'host.log'}")
        return code is not None

    def kill_worker(self) -> None:
        """Kill the worker process that runs now, or the next one, unless the host is gone before."""
        until = time.monotonic() + _START_SECONDS
        while not self.has_died() and time.monotonic() < until:
            started = re.findall(r"Worker process started and initialized \(process (\d+)\)", self._log())
            if started and int(started[-1]) != self._killed_worker:
                self._killed_worker = int(started[-1])
                os.kill(self._killed_worker, signal.SIGKILL)
                self.worker_kills += 1
                return
            time.sleep(_PAUSE)

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self.bury()

    def bury(self, *, by_itself: bool = False) -> None:
        """After the host's death: what reached the disk settles what its clients could not know."""
        assert self._process is not None
        self._process.wait(60)
        self._process = None
        self.kills += not by_itself
        if any(order.doubtful for order in self.client.orders):
            self.client.settle_doubts(set(self._events_on_disk()))

    def stop(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        if self._process.wait(60):
            raise ChaosError(f"the host did not end cleanly; see {self.folder / 'host.log'}")
        self._process = None

    def abandon(self) -> None:
        """End a host that may still run."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait(10)

    def _events_on_disk(self) -> Iterator[tuple[str, str]]:
        """Read from a copy: the files stay as the dead host left them, for the next one to recover."""
        with tempfile.TemporaryDirectory() as folder:
            for file in self._state.glob("devhost.sqlite*"):
                shutil.copy(file, folder)
            with closing(sqlite3.connect(Path(folder) / "devhost.sqlite")) as db:
                for table in ("history", "inbox"):
                    for instance_id, text in db.execute(f"SELECT instance_id, event FROM {table}"):
                        event = json.loads(text)
                        if event["EventType"] == Kind.EVENT_RAISED:
                            yield instance_id, event["Name"]

    # --- what is asked of it ------------------------------------------------------------------------------

    def upload(self, name: str) -> None:
        """A blob for the trigger."""
        if self.storage:
            blob = self._container().upload_blob(name, name.encode())
            self._blobs[name] = str(blob.get_blob_properties().etag).strip('"')

    def _container(self) -> ContainerClient:
        assert self.storage is not None
        return BlobServiceClient.from_connection_string(self.storage).get_container_client(_CONTAINER)

    def work(self, until: Callable[[], bool]) -> bool:
        """Let the clients insist until then; False if the host died before."""
        end = time.monotonic() + self.patience
        while not until():
            if self.has_died():
                return False
            try:
                self.client.pursue()
            except HostDiedError:
                if not self._dies():
                    raise ChaosError("the host does not answer, and has not died") from None
                return False
            if time.monotonic() > end:
                return not self.has_died()
            time.sleep(_PAUSE)
        return not self.has_died()

    def _dies(self) -> bool:
        until = time.monotonic() + 5
        while not self.has_died() and time.monotonic() < until:
            time.sleep(_PAUSE)
        return self.has_died()

    @property
    def is_settled(self) -> bool:
        """All results are there, and all blobs were seen."""
        return self.client.is_done and not list(self._unseen())

    def _unseen(self) -> Iterator[str]:
        lines = set(self.runs.read_text("utf-8").splitlines())
        for name in self._blobs:
            if f"blob {_CONTAINER}/{name} {name}" not in lines:
                yield f"blob {name} was never seen"

    def finish(self) -> list[str]:
        """Run to the end without another kill, stop, and give all that is wrong."""
        self.start()
        self.work(lambda: self.is_settled)
        if self.client.heals:
            self.work(self.client.end_left_children)
        self.stop()
        return [
            *check_results(self.client, self.runs),
            *self._unseen(),
            *audit(self.database),
            *self._check_triggers(),
        ]

    def _check_triggers(self) -> Iterator[str]:
        with closing(sqlite3.connect(self.database)) as db:
            receipts = dict(db.execute("SELECT blob, etag FROM blob_receipt WHERE function = 'seen'"))
            statuses = dict(db.execute("SELECT function, status FROM timer_status"))
        for name, etag in self._blobs.items():
            if str(receipts.get(name)).strip('"') != etag:
                yield f"blob {name} has the receipt {receipts.get(name)} instead of {etag}"
        status = json.loads(statuses["beat"]) if "beat" in statuses else None
        if status is None or datetime.fromisoformat(status["Next"]) <= datetime.fromisoformat(status["Last"]):
            yield f"the timer's status is {status}"
        if not any(line.startswith("timer beat") for line in self.runs.read_text("utf-8").splitlines()):
            yield "the timer never ran"


def plan(numbers: Sequence[int], *, blobs: bool) -> list[Kill]:
    """A kill on each side of each commit point, at the first, second, … time that a process comes there.

    The timer's status goes first, and twice: what a host writes when there is none yet comes once in the life
    of a state folder.
    """
    rare = (CommitPoint.TIMER_STATUS, CommitPoint.BLOB_RECEIPT, CommitPoint.PURGE)
    points = [CommitPoint.TIMER_STATUS, *CommitPoint]
    return [
        Kill(point, side, number)
        for point in points
        for side in (BEFORE, AFTER)
        for number in (numbers[:1] if point in rare else numbers)
        if blobs or point is not CommitPoint.BLOB_RECEIPT
    ]


def every_commit(arena: Arena, numbers: Sequence[int], say: Callable[[str], None]) -> None:
    """Carry out the plan, with new orchestrations for every kill. Raises ChaosError when a process never came
    to a commit point."""
    for index, kill in enumerate(plan(numbers, blobs=arena.storage is not None)):
        began = time.monotonic()
        arena.client.add(f"c{index}", list(EXPECTED), purge="fan")
        arena.upload(f"c{index}")
        if arena.start(kill) and arena.work(lambda: arena.is_settled):
            arena.kill()
            raise ChaosError(f"no process ever came to {kill}")
        arena.bury()
        say(f"  killed at {kill!s:<28} {time.monotonic() - began:5.1f} s")


def random_moments(
    arena: Arena, kills: int, moments: random.Random, say: Callable[[str], None], load: int = 20
) -> None:
    """`load` orchestrations, and a quarter of that more with each life of a host.

    Half of the kills are the worker's. Of the host's, half come from outside at any time, half at any commit.
    """
    kinds = list(EXPECTED)
    arena.client.heals = True
    number = -1
    while arena.kills + arena.worker_kills < kills:
        number += 1
        for index in range(load if number == 0 else load // 4):
            arena.client.add(f"r{number}-{index}", [moments.choice(kinds)])
        if arena.worker_kills <= arena.kills:
            worker_deaths(arena, moments, say)
            continue
        side, commit, delay = (
            moments.choice((BEFORE, AFTER)),
            moments.randint(1, 120),
            moments.uniform(0.0, 1.5),
        )
        inside = moments.random() < 0.5
        if not arena.start(Kill(None, side, commit) if inside else None):
            arena.bury()
        elif inside:
            if arena.work(lambda: arena.is_settled):
                arena.kill()  # it ran out of work before
            else:
                arena.bury()
        else:
            end = time.monotonic() + delay
            arena.work(functools.partial(_is_past, end))
            arena.kill()
        say(f"  killed {side} commit {commit}" if inside else f"  killed {delay:.2f} s after its start")


def worker_deaths(arena: Arena, moments: random.Random, say: Callable[[str], None]) -> None:
    """One life of a host whose worker is killed up to three times: the third time it ends itself.

    Messages get lost on the way.
    """
    before, deaths, lost = arena.worker_kills, moments.randint(1, MOST_DEATHS), 0
    arena.start()
    for _ in range(deaths):
        arena.work(functools.partial(_is_past, time.monotonic() + moments.uniform(0.2, 1.5)))
        if moments.random() < 0.3 and not arena.has_died():
            lost += arena.client.lose_messages()
        arena.kill_worker()
    if deaths == MOST_DEATHS:
        arena.bury(by_itself=True)
    else:
        arena.stop()
    ended = "; the host ended itself" if deaths == MOST_DEATHS else ""
    say(f"  killed the worker {arena.worker_kills - before} times, {lost} messages lost{ended}")


def _is_past(moment: float) -> bool:
    return time.monotonic() > moment


def run(
    seed: int,
    storage: str | None,
    *,
    kills: int,
    numbers: Sequence[int],
    folder: Path,
    say: Callable[[str], None],
    host: Sequence[str] = HOST,
) -> list[str]:
    """Both rounds, each on a state folder of its own below `folder`; gives what is wrong."""
    moments = random.Random(seed)
    rounds: dict[str, tuple[str | None, Callable[[Arena], None]]] = {
        "before and after every commit": (storage, lambda arena: every_commit(arena, numbers, say)),
        "at random moments under load": (None, lambda arena: random_moments(arena, kills, moments, say)),
    }
    problems: list[str] = []
    for title, (blobs, play) in rounds.items():
        say(f"{title}:")
        began = time.monotonic()
        arena = Arena(folder / title.replace(" ", "-"), blobs, host)
        try:
            play(arena)
            found = arena.finish()
        finally:
            arena.abandon()
        problems += found
        say(
            f"  {arena.kills} kills of the host, {arena.worker_kills} of its worker,"
            f" {len(arena.client.orders)} orchestrations asked for, {arena.client.healed} started again,"
            f" {len(found)} problems, {time.monotonic() - began:.0f} s"
        )
    return problems
