"""The running app under attack, its storage, and what scenarios ask of it."""

from __future__ import annotations

import itertools
import json
import statistics
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import requests

from benchmarks.attack.scenario import NotHeld, Scenario
from localdev.app import App
from localdev.azurite import Azurite
from localdev.processes import free_ports
from mobexport.settings import read_settings
from mobexport.storage import DataStorage

HEALTHY = "healthy"
FIRST = date(2025, 1, 1)
EVENT = b'{"deviceId":"d1","name":"open","timestamp":"%sT10:00:00Z"}\n'
VERSION = "?api-version=2014-12-01"
HEALTHY_SECONDS = 120.0
"""A healthy export's time beside any attack."""
ANSWER_SECONDS = 30.0
QUICK = {
    "POLL_FIRST_SECONDS": "0.3",
    "POLL_MAX_SECONDS": "1",
    "TRIGGER_GRACE_SECONDS": "1",
    "AzureWebJobs.exported_file.Disabled": "true",
}


def storage_of(connection: str) -> DataStorage:
    """Clients of an account, as the app has them."""
    return DataStorage(
        read_settings({"DATA_STORAGE": connection, "AZURE_FUNCTIONS_ENVIRONMENT": "Development"})
    )


@dataclass(frozen=True)
class Ends:
    """The ends that an export may have: states, and rows when there are any."""

    states: Collection[str]
    rows: int | None = None
    """Of one that succeeded."""


WELL = Ends({"Succeeded"}, 1)
TOLD = Ends({"Failed", "TimedOut"})


@dataclass
class Stage:
    """One app under attack. `storage` is its data account, past any proxy."""

    app: App
    storage: DataStorage
    days: Iterator[date] = field(
        default_factory=lambda: (FIRST + timedelta(days=number) for number in itertools.count())
    )

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        seconds: float = ANSWER_SECONDS,
    ) -> tuple[int, Any]:
        """Status and answer (JSON, else text); NotHeld when there is none in time."""
        session = requests.Session()
        session.trust_env = False
        try:
            answer = session.request(
                method,
                self.app.url + path,
                data=body,
                headers=headers,
                timeout=seconds,
                allow_redirects=False,
            )
        except requests.RequestException as error:
            raise NotHeld(f"{method} {path[:60]}: no answer: {type(error).__name__}") from None
        finally:
            session.close()
        try:
            return answer.status_code, answer.json()
        except ValueError:
            return answer.status_code, answer.text

    def post(self, path: str, body: Mapping[str, Any], **headers: str) -> tuple[int, Any]:
        """Status and answer of a POST of JSON."""
        return self.ask(
            "POST", path, json.dumps(body).encode(), {"Content-Type": "application/json", **headers}
        )

    def request(self, app: str, day: date | None = None) -> str:
        """Requests the events of a day nobody asked for yet, or of that day; the export's id."""
        text = str(day or next(self.days))
        body = {"exportType": "Event", "app": app, "startDate": text, "endDate": text}
        status, export = self.post("/api/exports", body)
        if status not in (200, 202):
            raise NotHeld(f"a request was answered {status}: {str(export)[:200]}")
        return str(export["id"])

    def end(self, export_id: str, seconds: float) -> dict[str, Any]:
        """The export once it has ended; NotHeld when it has not in time."""
        deadline = time.monotonic() + seconds
        while True:
            status, export = self.ask("GET", f"/api/exports/{export_id}")
            if status != 200:
                raise NotHeld(f"the export is answered {status}: {str(export)[:200]}")
            if export["phase"] == "done":
                return dict(export)
            if time.monotonic() > deadline:
                raise NotHeld(f"still {export['state']} after {seconds:.0f} s")
            time.sleep(0.3)

    def expect(self, export_id: str, ends: Ends, seconds: float) -> dict[str, Any]:
        """The export at one of these ends, with its rows or an error that says something."""
        export = self.end(export_id, seconds)
        state, rows = export["state"], (export["counts"] or {}).get("rows")
        if state not in ends.states:
            raise NotHeld(f"{state}, not {' or '.join(sorted(ends.states))}: {str(export['error'])[:200]}")
        if state == "Succeeded" and rows != ends.rows:
            raise NotHeld(f"{rows} rows, not {ends.rows}")
        if state in ("Failed", "TimedOut") and not (export["error"] or {}).get("message"):
            raise NotHeld("it failed without a message")
        if (export["error"] or {}).get("kind") == "bug":
            raise NotHeld(f"a bug: {str(export['error'])[:200]}")
        return export

    def healthy(self, seconds: float = HEALTHY_SECONDS) -> float:
        """Seconds of an export of somebody else through both halves; NotHeld if it takes too long."""
        began = time.monotonic()
        self.expect(self.request(HEALTHY), WELL, seconds)
        return time.monotonic() - began

    def alone(self) -> float:
        """The median of three healthy exports with nothing beside them, in seconds."""
        self.healthy()
        return statistics.median(self.healthy() for _ in range(3))

    def beside(self, peer: str) -> Scenario:
        """A healthy export beside a peer's attack."""

        def judge() -> None:
            self.healthy()

        return Scenario(peer, "a healthy export beside it", judge)


def put_raw(storage: DataStorage, app: str = HEALTHY, *, days: int) -> None:
    """An event a day."""
    raw = storage.container("raw")
    for number in range(days):
        day = str(FIRST + timedelta(days=number))
        raw.upload_blob(f"{app}/events/{day}/a.ndjson", EVENT % day.encode(), overwrite=True)


class Attacked(App):
    """The app, which is up as soon as it answers: its peers are not well, and health says so."""

    def _healthy(self) -> bool:
        try:
            return self.get("/api/health")[0] in (200, 503)
        except requests.RequestException:
            return False


@contextmanager
def running(azurite: Azurite, state: Path, config: str, **settings: str) -> Iterator[Stage]:
    """An app with that `exports.toml`, attacked until the end of the block."""
    state.mkdir(parents=True, exist_ok=True)
    file = state / "exports.toml"
    file.write_text(config, "utf-8")
    given = {"EXPORTS_CONFIG": str(file), **QUICK, **settings}
    with Attacked(azurite, state, free_ports(1)[0], host="devhost", **given) as app:
        yield Stage(app, storage_of(azurite.connection_string))
