"""Hostile targets: webhooks that are told of exports, and containers that tasks write to."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

from raw_server import Pieces, RawServer, dripping, saying
from running_app import TASKS
from scripted_export_api import ScriptedExportApi

from benchmarks.attack.export_apis import GOOD, SECONDS, events, silence
from benchmarks.attack.scenario import NotHeld, Scenario
from benchmarks.attack.stage import FIRST, VERSION, Stage

WEBHOOK = "Webhook"
CONTAINER = "Container"
SIGNATURE = "Q0FOQVJZLUNBTkFSWQ"
SAS = f"sv=2024-11-04&sr=c&sp=cw&se=2999-01-01&sig={SIGNATURE}"
CALL_SECONDS, SHORT_SECONDS = 70.0, 8.0
"""A target has the app's call so long: one of a webhook ends after 30 s, of a container after 60."""
TIMES_ALONE = 2.0
"""A healthy export beside three hung targets takes so many times its time alone at most."""

Script = Callable[[], Pieces]
TARGETS: dict[str, Script | None] = {
    "hangs": silence,
    "drips": dripping(b"HTTP/1.1 201 Created\r\nX: ", b"x"),
    "floods": dripping(b"HTTP/1.1 201 Created\r\n\r\n", b"x" * 65536, 0.001),
    "redirects": saying(
        b"HTTP/1.1 307 Temporary Redirect\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"
    ),
    "asks to wait a day": saying(
        b"HTTP/1.1 429 Too Many\r\nRetry-After: 86400\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    ),
    "answers garbage": saying(b"\x00\xff\x00garbage\r\n\r\n"),
    "closes at once": saying(),
    "is down": None,
}
DOWN = "http://127.0.0.1:1/"
SHORT = ("hangs", "floods", "redirects")


class Targets:
    """`with` it: a webhook and a container of each kind. `config` is their part of `exports.toml`."""

    def __init__(self, *, short: bool) -> None:
        self._short = short
        self._names = SHORT if short else tuple(TARGETS)
        self._stack = ExitStack()
        self._containers: list[str] = []
        self.config = ""

    def __enter__(self) -> Targets:
        api = self._stack.enter_context(ScriptedExportApi())
        api.files = {"Event-1.json": events(2)}
        for number, name in enumerate(self._names):
            self.config += (
                f'[apps.told-{number}]\nnotify = ["hook-{number}"]\nsource = {{url = "{api.url}"}}\n'
                f'[targets.hook-{number}]\nkind = "webhook"\nurl = "{self._serve(name)}"\n'
                'secret_setting = "HOOK_SECRET"\n'
            )
            self._containers.append(self._serve(name))
        self.config += "[apps.writer]\n"
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _serve(self, name: str) -> str:
        script = TARGETS[name]
        return self._stack.enter_context(RawServer(script)).url if script else DOWN

    def webhooks(self, stage: Stage) -> Iterator[Scenario]:
        """An export of each app that has a hostile webhook: it ends well all the same."""
        for number, name in enumerate(self._names):

            def judge(app: str = f"told-{number}") -> None:
                stage.expect(stage.request(app, FIRST), GOOD, SECONDS)
                # It is told of the end now, and has 30 s to answer, again and again.
                time.sleep(SHORT_SECONDS if self._short else CALL_SECONDS)

            yield Scenario(WEBHOOK, name, judge)

    def containers(self, stage: Stage) -> Iterator[Scenario]:
        """A task with no data into each hostile container: it says neither success nor secret."""
        for name, url in zip(self._names, self._containers, strict=True):

            def judge(url: str = url) -> None:
                path = create(stage, url)
                deadline = time.monotonic() + (SHORT_SECONDS if self._short else CALL_SECONDS)
                while look(stage, path) != "Failed" and time.monotonic() < deadline:
                    time.sleep(1)

            yield Scenario(CONTAINER, name, judge)

    def hung(self, stage: Stage) -> None:
        """Three tasks into containers that hang."""
        for _ in range(3):
            create(stage, self._stack.enter_context(RawServer(silence)).url)


def create(stage: Stage, account: str) -> str:
    """Creates a task into a container there; its path."""
    path = TASKS.format(app="writer")
    day = str(FIRST)
    body = {
        "exportFormat": "JsonBlob",
        "startDate": day,
        "endDate": day,
        "containerUrl": f"{account}account/landing?{SAS}",
    }
    status, task = stage.post(f"{path}/events{VERSION}", body)
    if status != 202:
        raise NotHeld(f"a task was answered {status}: {str(task)[:200]}")
    return f"{path}/{task['id']}{VERSION}"


def look(stage: Stage, path: str) -> str:
    """The state of a task that cannot succeed."""
    status, task = stage.ask("GET", path)
    if status != 200 or task["state"] == "Succeeded":
        raise NotHeld(f"the task is answered {status}: {str(task)[:200]}")
    if "sig=" in str(task):
        raise NotHeld("a signature is shown")
    return str(task["state"])


def hung_scenario(stage: Stage, targets: Targets, alone: float, told: dict[str, str]) -> Scenario:
    """Three hung containers, and the time of healthy exports beside them against `alone` seconds."""

    def judge() -> None:
        targets.hung(stage)
        beside = statistics.median(stage.healthy() for _ in range(3))
        told["healthy export alone"] = f"{alone:.1f} s"
        told["beside three hung containers"] = f"{beside:.1f} s"
        if beside > TIMES_ALONE * alone:
            raise NotHeld(f"a healthy export took {beside:.1f} s, alone {alone:.1f} s")

    return Scenario(CONTAINER, "three hang, a healthy export at most twice as long", judge)
