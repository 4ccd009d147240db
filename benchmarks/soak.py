"""Soak test: the whole app under kills and faults at once; in the end every record counts exactly once.

Six historical types over some days, and the snapshots, go as one batch through the app in harsh mode. The app
or its worker process is killed (-9) every few seconds, messages get lost, a third of all calls to the Export
API and to the webhook go wrong. What failed is asked for again, as its owner would. Run by `make soak`; the
seed it prints repeats the choices of kills, faults and harsh mode. Without losses by the host itself, all
exports must have ended six minutes after the last kill, and nine of ten after two.
"""

import argparse
import json
import math
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import duckdb
import requests
from deltalake import DeltaTable

from localdev.app import App
from localdev.azurite import Azurite
from localdev.processes import LOOPBACK, StartError, free_ports
from localdev.webhook_receiver import Receiver, new_secret
from mobexport import export_types
from mobexport.blob_paths import CURATED_CONTAINER
from mobexport.settings import read_settings
from mobexport.storage import DataStorage

FIRST_DAY = date(2025, 3, 1)
APP = "soak"
# What tells a record from every other, by export type.
KEYS = {
    "Activity": "name",
    "Event": "name",
    "Error": "name",
    "Crash": "name",
    "Session": "sessionId",
    "Job": "jobId",
    "Tag": "key",
    "Token": "token",
    "Device": "deviceId",
    "Push": "campaignId",
}
# Seconds from the last kill until so large a share of the exports has ended.
ENDED_WITHIN = {0.9: 120, 1.0: 360}
FAULTS = ("before", "after", "429", "503", "500", "html")


def records(kind: str, day: date, count: int) -> Iterator[dict[str, Any]]:
    """Raw records of a day, each with a key of its own."""
    for number in range(count):
        unique = f"{kind}-{day}-{number}"
        at = f"{day}T{number % 24:02}:00:00Z"
        device = {"deviceId": f"d{number % 5}"}
        yield {
            "activities": {**device, "sessionId": "s", "name": unique, "timestamp": at},
            "events": {**device, "name": unique, "timestamp": at},
            "errors": {**device, "name": unique, "timestamp": at},
            "crashes": {**device, "crashId": unique, "name": unique, "timestamp": at},
            "sessions": {**device, "sessionId": unique, "start": at, "end": at},
            "jobs": {**device, "jobId": unique, "name": "job", "start": at, "end": at},
            "tags": {**device, "timestamp": at, "key": unique, "value": number},
            "tokens": {"deviceId": unique, "timestamp": at, "token": unique, "type": "apns", "valid": True},
            "devices": {"deviceId": unique, "timestamp": at, "meta": {"firstSeen": number}},
            "pushes": {
                **device,
                "campaignType": "Poll",
                "campaignId": day.toordinal() * 1000 + number,
                "timestamp": at,
                "status": "ContentDisplayed",
            },
        }[kind]


def key_of(record: dict[str, Any], name: str) -> str:
    """The record's key as Parquet shows it."""
    return str(record[name])


class FaultyProxy:
    """Passes calls on to `target`, and spoils a third of them."""

    def __init__(self, target: str, chance: random.Random) -> None:
        self.calls, self.spoiled = 0, 0
        proxy = self
        session = requests.Session()
        session.trust_env = False

        class Handler(BaseHTTPRequestHandler):
            def _pass(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                # Health asks for one task: it says when the app is up again, and is let through.
                spared = "top=1&" in f"{self.path}&"
                fault = chance.choice(FAULTS) if not spared and chance.random() < 1 / 3 else ""
                proxy.calls += 1
                proxy.spoiled += bool(fault)
                if fault in ("429", "503", "500"):
                    return self._send(int(fault), b"{}", "application/json")
                if fault == "before":
                    return self.connection.close()
                kept = {
                    name: value
                    for name, value in self.headers.items()
                    if name.lower() not in ("host", "content-length", "connection", "accept-encoding")
                }
                url = target + self.path
                try:
                    answer = session.request(self.command, url, data=body, headers=kept, timeout=20)
                except requests.RequestException:
                    return self._send(502, b"{}", "application/json")
                if fault == "after":
                    return self.connection.close()
                if fault == "html":
                    return self._send(200, b"<html>Sign in</html>", "text/html")
                return self._send(answer.status_code, answer.content, "application/json")

            do_GET = do_POST = _pass  # noqa: N815 - the base class's names

            def _send(self, status: int, body: bytes, kind: str) -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Retry-After", "1")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Quiet."""

            def handle(self) -> None:
                try:
                    super().handle()
                except (OSError, ValueError):
                    return

        self._server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://{LOOPBACK}:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()


class Killer:
    """Kills the app or its worker process now and then, and starts again what does not by itself."""

    def __init__(self, app: App, chance: random.Random, kills: int, *, workers: bool) -> None:
        self.kills, self.worker_kills, self._left, self._app, self._chance = 0, 0, kills, app, chance
        self._workers = workers
        self.last = datetime.min.replace(tzinfo=UTC)
        self._next = time.monotonic() + chance.uniform(4, 9)

    def look(self) -> None:
        """Kills if it is time; half of the kills are the worker's."""
        self.revive()
        if not self._left or time.monotonic() < self._next:
            return
        if self._workers and self._chance.random() < 0.5:
            self._app.kill_worker()
            self.worker_kills += 1
        else:
            self._app.kill()
            self._restart()
            self.kills += 1
        self._left -= 1
        self.last = datetime.now(UTC)
        self._next = time.monotonic() + self._chance.uniform(4, 9)

    def revive(self) -> None:
        """Start the app again if it has ended by itself, after the third death of its worker."""
        if self._app.ended():
            self._restart()

    def _restart(self) -> None:
        try:
            self._app.restart()
        except StartError:
            self._app.restart()


def until_done(app: App, killer: Killer, body: dict[str, Any], seconds: float) -> tuple[dict[str, Any], int]:
    """Asks for the batch until all of it succeeded; the batch, and how often it was asked for."""
    deadline = time.monotonic() + seconds
    asked = 0
    batch: dict[str, Any] = {}
    while time.monotonic() < deadline:
        killer.look()
        try:
            if not batch or batch["state"] in ("Failed", "PartiallySucceeded"):
                status, batch = app.post("/api/batches", body)
                asked += status == 202
                if status not in (200, 202):
                    print(f"  the batch was answered {status}: {batch}", file=sys.stderr)
                    batch = {}
            else:
                status, found = app.get(f"/api/batches/{batch['id']}")
                batch = found if status == 200 else batch
        except requests.RequestException:
            pass
        if batch.get("state") == "Succeeded":
            return batch, asked
        time.sleep(0.5)
    raise SystemExit(f"not done after {seconds:.0f} s: {batch.get('counts')}")


def answer(app: App, killer: Killer, path: str) -> Any:
    """The app's answer; its worker may die under the call, or it may end by itself and be started again."""
    while True:
        killer.revive()
        with suppress(requests.RequestException):
            status, found = app.get(path)
            if status != 500:
                return found
        time.sleep(0.5)


def running(app: App, killer: Killer) -> list[str]:
    """Instances that have not ended."""
    query = "runtimeStatus=Running,Pending,Suspended,ContinuedAsNew&top=1000"
    found = answer(app, killer, f"/runtime/webhooks/durabletask/instances?{query}")
    return [one["instanceId"] for one in found]


def seen(storage: DataStorage) -> dict[str, Counter[str]]:
    """Keys of all records that the tables hold, by export type, as an engine reads them."""
    found: dict[str, Counter[str]] = {name: Counter() for name in KEYS}
    options = {
        "azure_storage_account_name": str(storage.blobs.account_name),
        "azure_storage_account_key": str(storage.blobs.credential.account_key),
        "azure_storage_endpoint": storage.blobs.url.rstrip("/"),
        "azure_allow_http": "true",
    }
    for name, key in KEYS.items():
        table = DeltaTable(f"az://{CURATED_CONTAINER}/{APP}/{name}", storage_options=options)
        rows = duckdb.from_arrow(table.to_pyarrow_dataset()).project(f"CAST({key} AS VARCHAR)").fetchall()
        found[name].update(value for (value,) in rows)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=20)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--records", type=int, default=40, help="of each kind and day")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--minutes", type=float, default=45)
    parser.add_argument(
        "--no-worker-kills",
        dest="worker_kills",
        action="store_false",
        help="kill hosts alone, and lose no message",
    )
    parser.add_argument(
        "--no-losses",
        dest="losses",
        action="store_false",
        help="let the host lose no message and no worker of its own accord; how soon all ends is judged",
    )
    parser.add_argument("--no-harsh", dest="harsh", action="store_false")
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(10**6)
    harsh = "on" if options.harsh else "off"
    workers = "workers too" if options.worker_kills else "hosts alone"
    options.losses = options.losses and options.harsh and options.worker_kills
    print(
        f"seed {seed}; {options.days} days, {options.kills} kills ({workers}), harsh mode {harsh},"
        f" losses {'on' if options.losses else 'off'}",
        flush=True,
    )
    with tempfile.TemporaryDirectory() as name:
        problems, figures = soak(Path(name), seed, options)
    for problem in problems:
        print(f"WRONG: {problem}")
    print(json.dumps({"seed": seed, "problems": len(problems), **figures}))
    sys.exit(bool(problems))


def soak(folder: Path, seed: int, options: argparse.Namespace) -> tuple[list[str], dict[str, Any]]:
    """One run; what is wrong in the end, and figures."""
    began = time.monotonic()
    secret, port = new_secret(), free_ports(1)[0]
    chance = random.Random(seed)
    proxy = FaultyProxy(f"http://{LOOPBACK}:{port}", random.Random(seed + 1))
    with Azurite(log=folder / "azurite.log") as azurite, Receiver(secret) as receiver:
        settings = {"DATA_STORAGE": azurite.connection_string, "AZURE_FUNCTIONS_ENVIRONMENT": "Development"}
        storage = DataStorage(read_settings(settings))
        expected = _raw_data(storage, options.days, options.records)
        hook = FaultyProxy(receiver.url.rstrip("/"), random.Random(seed + 2))
        config = folder / "exports.toml"
        config.write_text(
            f'[apps.{APP}]\nnotify = ["hook", "queue"]\nparallel = 6\n'
            f'[targets.hook]\nkind = "webhook"\nurl = "{hook.url}"\nsecret_setting = "SOAK_SECRET"\n'
            '[targets.queue]\nkind = "storage-queue"\nqueue = "soak"\n'
        )
        extra = {
            "SOAK_SECRET": secret,
            "EXPORTS_CONFIG": str(config),
            "EXPORT_API_URL": f"{proxy.url}/api",
            "POLL_FIRST_SECONDS": "0.5",
            "POLL_MAX_SECONDS": "3",
            "TRIGGER_GRACE_SECONDS": "3",
        }
        flags = ("--harsh", "--seed", str(seed)) if options.harsh else ()
        if options.losses:
            flags += ("--losses",)
        with App(azurite, folder, port, host="devhost", options=flags, **extra) as app:
            killer = Killer(app, chance, options.kills, workers=options.worker_kills)
            last = FIRST_DAY + timedelta(days=options.days - 1)
            body = {"app": APP, "startDate": FIRST_DAY.isoformat(), "endDate": last.isoformat()}
            batch, asked = until_done(app, killer, body, options.minutes * 60)
            left = _wait_for_quiet(app, killer, options.minutes * 60)
            exports = [answer(app, killer, f"/api/exports/{one['id']}") for one in batch["exports"]]
            problems = _judge(expected, seen(storage), exports, left)
            problems += _judge_events(exports, _events(receiver), _queued(storage))
            waits = _waits(exports, killer.last)
            if not options.losses:
                problems += _judge_waits(waits)
    figures = {
        "seconds": round(time.monotonic() - began),
        "exports": len(exports),
        "attempts": sum(one["attempt"] for one in exports),
        "asked": asked,
        "kills": killer.kills,
        "worker kills": killer.worker_kills,
        "seconds after the last kill": {f"{share:.0%}": _reached(waits, share) for share in ENDED_WITHIN},
        "calls": proxy.calls + hook.calls,
        "spoiled": proxy.spoiled + hook.spoiled,
        "records": sum(map(len, expected.values())),
        "webhooks": len(receiver.received),
    }
    return problems, figures


def _raw_data(storage: DataStorage, days: int, count: int) -> dict[str, set[str]]:
    """Puts raw data in; the keys that must come out, by export type."""
    expected: dict[str, set[str]] = {}
    for one in export_types.all_types():
        keys = expected.setdefault(one.name, set())
        for number in range(days):
            day = FIRST_DAY + timedelta(days=number)
            made = list(records(one.kind, day, count))
            keys |= {key_of(record, KEYS[one.name]) for record in made}
            text = "".join(json.dumps(record) + "\n" for record in made)
            storage.container("raw").upload_blob(f"{APP}/{one.kind}/{day}/a.ndjson", text, overwrite=True)
    return expected


def _wait_for_quiet(app: App, killer: Killer, seconds: float) -> list[str]:
    deadline = time.monotonic() + seconds
    while (left := running(app, killer)) and time.monotonic() < deadline:
        time.sleep(1)
    return left


def _judge(
    expected: dict[str, set[str]],
    found: dict[str, Counter[str]],
    exports: list[dict[str, Any]],
    left: list[str],
) -> list[str]:
    problems = [f"still running: {instance}" for instance in left]
    problems += [
        f"{one['id']} ended as {one['state']}"
        for one in exports
        if one["state"] not in ("Succeeded", "Empty")
    ]
    for name, keys in expected.items():
        # Pushes of other kinds of campaign and records of a device twice: each key once, and no other.
        missing, doubled = keys - set(found[name]), [key for key, times in found[name].items() if times > 1]
        extra = set(found[name]) - keys
        if missing or doubled or extra:
            problems.append(f"{name}: {len(missing)} lost, {len(doubled)} doubled, {len(extra)} invented")
    return problems


def _waits(exports: list[dict[str, Any]], kill: datetime) -> list[float]:
    """Seconds from the last kill to the end of each export, shortest first; 0 of one that had ended."""
    ends = (datetime.fromisoformat(one["endedAt"]) for one in exports)
    return sorted(max(0.0, (end - kill).total_seconds()) for end in ends)


def _reached(waits: list[float], share: float) -> float:
    """Seconds until that share of the exports had ended."""
    return round(waits[max(0, math.ceil(share * len(waits)) - 1)], 1)


def _judge_waits(waits: list[float]) -> list[str]:
    return [
        f"{share:.0%} of the exports had ended only {_reached(waits, share):.0f} s after the last kill"
        f" (limit {limit} s)"
        for share, limit in ENDED_WITHIN.items()
        if _reached(waits, share) > limit
    ]


def _judge_events(exports: list[dict[str, Any]], hooked: Counter[str], queued: Counter[str]) -> list[str]:
    problems = []
    for one in exports:
        wanted = f"{one['id']}/{one['attempt']}/completed"
        problems += [
            f"{target} did not hear of {wanted}"
            for target, heard in (("hook", hooked), ("queue", queued))
            if not heard[wanted]
        ]
    if set(hooked) != set(queued):
        problems.append(f"events that only one target heard of: {sorted(set(hooked) ^ set(queued))[:3]}")
    return problems


def _events(receiver: Receiver) -> Counter[str]:
    return Counter(str(one.event["id"]) for one in receiver.received if one.verified)


def _queued(storage: DataStorage) -> Counter[str]:
    import base64

    messages = storage.queue("soak").receive_messages(messages_per_page=32, visibility_timeout=600)
    return Counter(json.loads(base64.b64decode(message.content))["id"] for message in messages)


if __name__ == "__main__":
    main()
