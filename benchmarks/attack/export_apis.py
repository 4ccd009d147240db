"""Malicious Export APIs: each drives an app of its own to an end, while the others do too."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from raw_server import Pieces, RawServer, dripping
from scripted_export_api import CUT, DOWN, GARBAGE, HTML, LOST, Fault, Job, ScriptedExportApi

from benchmarks.attack.scenario import NotHeld, Scenario
from benchmarks.attack.stage import FIRST, TOLD, Ends, Stage

PEER = "Export API"
DEADLINE = 20
"""Seconds that an attempt has in all; a call under way may end it 60 s later, and an end takes a moment."""
SECONDS = 150.0
JSON_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


def events(count: int) -> bytes:
    """An export file with so many events of one device."""
    nested = [{"name": f"e{number}", "timestamp": "2025-01-01T10:00:00Z"} for number in range(count)]
    return json.dumps([{"deviceId": "d", "events": nested}]).encode()


GOOD = Ends({"Succeeded"}, 2)
EITHER = Ends({"Succeeded", "Failed", "TimedOut"}, 2)
"""A clear failure, or the job's own two rows: never anything else."""
FORGED = json.dumps({"version": 1, "app": "other", "files": [{"name": "x", "size": 1, "etag": "x"}]}).encode()
CONVERTED = json.dumps({"version": 1, "rows": 1_000_000, "outputs": []}).encode()
BOMB = Fault(body=gzip.compress(b" " * 200_000_000), headers={"Content-Encoding": "gzip"})


@dataclass(frozen=True)
class Api:
    """What one Export API does, and the ends its exports may have."""

    ends: Ends = TOLD
    does: Mapping[str, Any] = field(default_factory=dict)
    """Attributes of the scripted Export API."""
    raw: Callable[[], Pieces] | None = None
    """Bytes instead, of a server that need not speak HTTP."""
    cancel: bool = False
    """Cancelled as soon as it is requested."""


def silence() -> Pieces:
    """Nothing, for ever."""
    yield 3600, b""


def always(fault: Fault) -> dict[str, Any]:
    """The same answer to every call."""
    return {"faults": [fault] * 10_000}


def created(identity: str) -> dict[str, Any]:
    """A task with that id, whatever is asked; `identity` is JSON."""
    return {"create_faults": [Fault(202, b'{"id": %s, "state": "Queued"}' % identity.encode())] * 50}


SILENT = Api(raw=silence)
APIS: dict[str, Api] = {
    "speaks well": Api(GOOD),
    "hangs": SILENT,
    "hangs, cancelled": Api(Ends({"Cancelled"}), raw=silence, cancel=True),
    "drips a header": Api(raw=dripping(b"HTTP/1.1 200 OK\r\nX: ", b"x")),
    "drips a body": Api(raw=dripping(JSON_HEAD + b"Content-Length: 999999\r\n\r\n", b" ")),
    "floods a body": Api(raw=dripping(JSON_HEAD + b"\r\n", b" " * 65536, 0.001)),
    "floods a header": Api(raw=dripping(b"HTTP/1.1 200 OK\r\nX: ", b"x" * 65536, 0.001)),
    "packs a bomb": Api(does=always(BOMB)),
    "is down": Api(does=always(DOWN)),
    "is down for a while": Api(GOOD, {"faults": [DOWN] * 3}),
    "asks to wait a day": Api(does=always(Fault(429, b"{}", {"Retry-After": "86400"}))),
    "answers 500 for ever": Api(does=always(Fault(500, b"{}"))),
    "answers 999": Api(does=always(Fault(999, b"{}"))),
    "redirects": Api(does=always(Fault(307, b"{}", {"Location": "http://127.0.0.1:1/"}))),
    "answers a page": Api(does=always(HTML)),
    "answers garbage": Api(does=always(GARBAGE)),
    "answers garbage now and then": Api(GOOD, {"faults": [None, GARBAGE, None, HTML]}),
    "breaks connections": Api(GOOD, {"faults": [CUT, None, CUT]}),
    "answers deep JSON": Api(does=always(Fault(body=b"[" * 200_000))),
    "answers integers of 5,000 digits": Api(does=always(Fault(body=b'{"value": %s}' % (b"9" * 5000)))),
    "loses the answer to a create": Api(EITHER, {"create_faults": [LOST]}),
    "lists no task": Api(GOOD, {"create_faults": [LOST], "hide_newest": 3}),
    "gives half a surrogate pair as id": Api(does=created('"\\ud800"')),
    "gives a NUL as id": Api(does=created('"a\\u0000b"')),
    "gives an id of 5,000 characters": Api(does=created(json.dumps("x" * 5000))),
    "gives a path as id": Api(does=created('"../../x"')),
    "gives a list as id": Api(does=created("[[]]")),
    "invents a state": Api(does={"states": ("Queued", "Paused")}),
    "gives half a surrogate pair as state": Api(does={"states": ("Queued", "\ud800")}),
    "fails with half a surrogate pair": Api(does={"states": ("Queued", "Failed"), "error": "\ud800\x00"}),
    "fails with 3 MB": Api(does={"states": ("Queued", "Failed"), "error": "x" * 3_000_000}),
    "stays Queued": Api(does={"states": ("Queued",)}),
    "stays Queued, cancelled": Api(Ends({"Cancelled"}), {"states": ("Queued",)}, cancel=True),
    "writes no file": Api(Ends({"Empty", "TimedOut"}), {"files": {}}),
    "writes a cut file": Api(does={"files": {"Event-1.json": events(2)[:-3]}}),
    "writes nonsense": Api(does={"files": {"Event-1.json": b"<html>"}}),
    "writes a deep file": Api(does={"files": {"Event-1.json": b"[" * 1_000_000}}),
    "writes a packed bomb": Api(does={"files": {"Event-1.json": gzip.compress(b" " * 200_000_000)}}),
    "forges our list of files": Api(EITHER, {"files": {"Event-1.json": events(2), "_complete.json": FORGED}}),
    "forges our rows": Api(EITHER, {"files": {"Event-1.json": events(2), "_converted/0.json": CONVERTED}}),
    "names a file with a line end": Api(EITHER, {"files": {"Event%0A1.json": events(2)}}),
    "names a file with 900 characters": Api(EITHER, {"files": {"x" * 900 + ".json": events(2)}}),
    "plants a job": Api(GOOD, {"plant": True}),
}  # fmt: skip
SHORT = ("answers deep JSON", "gives half a surrogate pair as id",
         "fails with half a surrogate pair", "forges our list of files", "plants a job")  # fmt: skip


def mutated(chance: random.Random) -> Api:
    """Every status a good answer with some bytes changed."""
    text = bytearray(b'{"id":"job-001","description":"d","state":"Succeeded","exportType":"Event"}')
    for _ in range(chance.randint(1, 6)):
        text[chance.randrange(len(text))] = chance.randrange(256)
    # A change can be one in what nobody reads: then the job goes on as such.
    return Api(
        Ends({"Succeeded", "Failed", "TimedOut", "Empty"}, 2),
        {"faults": [None, None] + [Fault(body=bytes(text))] * 10_000},
    )


def apis(chance: random.Random, *, short: bool) -> dict[str, Api]:
    """The table in an order of the seed, with answers that are changed by it."""
    chosen = {name: APIS[name] for name in SHORT} if short else dict(APIS)
    for number in range(1 if short else 6):
        chosen[f"changes bytes of its answers, {number + 1}"] = mutated(chance)
    names = list(chosen)
    chance.shuffle(names)
    return {name: chosen[name] for name in names}


class ExportApis:
    """`with` it: all servers. `config` is their part of `exports.toml`."""

    def __init__(self, table: Mapping[str, Api]) -> None:
        self._table = table
        self._stack = ExitStack()
        self._scripted: list[ScriptedExportApi] = []
        self.config = ""

    def __enter__(self) -> ExportApis:
        for number, api in enumerate(self._table.values()):
            self.config += (
                f"[apps.api-{number}]\ntotal_deadline = {DEADLINE}\n"
                f'source = {{url = "{self._serve(api, number).rstrip("/")}"}}\n'
            )
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _serve(self, api: Api, number: int) -> str:
        if api.raw:
            return self._stack.enter_context(RawServer(api.raw)).url
        scripted = self._stack.enter_context(ScriptedExportApi())
        self._scripted.append(scripted)
        scripted.files = {"Event-1.json": events(2)}
        for name, value in api.does.items():
            if name == "plant":
                guess = f"mobexport/api-{number}-event-"
                scripted.jobs.append(
                    Job(
                        "planted",
                        guess,
                        f"{scripted.url}/account/landing-planted?sig=x",
                        "events",
                        ["Succeeded"],
                        {},
                    )
                )
                continue
            setattr(scripted, name, list(value) if isinstance(value, list) else value)
        return scripted.url

    def signatures(self) -> dict[str, str]:
        """The signatures of all containers that the app handed out, by their jobs."""
        return {
            f"{api.url} {job.id}": parse_qs(urlsplit(job.container_url).query)["sig"][0]
            for api in self._scripted
            for job in api.jobs
            if job.id != "planted"
        }

    def scenarios(self, stage: Stage) -> Iterator[Scenario]:
        """One for each API."""
        for number, (name, api) in enumerate(self._table.items()):
            yield Scenario(PEER, name, self._judge(stage, f"api-{number}", api))

    def _judge(self, stage: Stage, app: str, api: Api) -> Callable[[], None]:
        def judge() -> None:
            export_id = stage.request(app, FIRST)
            if api.cancel:
                status, answer = stage.post(f"/api/exports/{export_id}/cancel", {})
                if status != 202:
                    raise NotHeld(f"a cancel was answered {status}: {answer}")
            export = stage.expect(export_id, api.ends, SECONDS)
            if "sig=" in json.dumps(export):
                raise NotHeld("a signature is shown")

        return judge


def listed(stage: Stage) -> Scenario:
    """After all of it the list of exports is still one."""

    def judge() -> None:
        status, answer = stage.ask("GET", "/api/exports?limit=100")
        if status != 200 or answer.get("unreadable"):
            raise NotHeld(f"the list is answered {status}: {str(answer)[:200]}")

    return Scenario(PEER, "the list of exports afterwards", judge)
