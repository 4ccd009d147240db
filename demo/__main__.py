"""The demo: raw data in, exports out, in one command, with every number counted a second time.

`make demo`, or `make demo DATA=folder` with raw data of your own. Everything runs on this machine and is
ended again; what it made stays in `.run/demo`.
"""

import argparse
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NoReturn

import requests
from azure.core.exceptions import AzureError

from demo import count_comparison, evidence
from demo.generate import WINDOW, generate
from demo.raw_data import DataError, Export, in_folder, upload
from demo.story import Story, keep
from localdev.app import App, log_tail
from localdev.azurite import Azurite
from localdev.folder_lock import locked
from localdev.processes import ROOT, StartError, free_ports, is_listening
from localdev.webhook_receiver import Receiver, new_secret

SECONDS = 180
STATE = ROOT / ".run" / "demo"
MARK = ".demo"
ENDS = {"Succeeded", "Empty", "Failed", "TimedOut", "Cancelled"}
GOOD = {"Succeeded", "Empty"}


class DemoError(RuntimeError):
    """Something the demo shows is not so; the text says what."""


class Demo:
    """One run over one folder of raw data."""

    def __init__(self, story: Story, state: Path, data: Path | None) -> None:
        self.story = story
        self.state = state
        self.data = data or state / "raw"
        self.generated = data is None
        self.exports: dict[str, Export] = {}
        self.shown: dict[str, dict[str, Any]] = {}

    def run(self, stack: ExitStack) -> None:
        """Everything, in order. Raises DemoError."""
        if self.generated:
            generate(self.data)
        wanted = in_folder(self.data).exports(WINDOW if self.generated else None)
        secret = new_secret()
        receiver = stack.enter_context(Receiver(secret))
        azurite = stack.enter_context(Azurite(self.state / "azurite.log", self.state / "azurite"))
        config = self._write_config(wanted, receiver.url)
        files = upload(self.data, azurite.connection_string)
        app = stack.enter_context(
            App(
                azurite,
                self.state,
                free_ports(1)[0],
                host="devhost",
                EXPORTS_CONFIG=str(config),
                POLL_FIRST_SECONDS="0.5",
                POLL_MAX_SECONDS="2",
                DEMO_WEBHOOK_SECRET=secret,
            )
        )
        where = "made-up raw data" if self.generated else "raw data"
        self.story.say(f"Azurite, a webhook receiver and the app are up; {where}: {files} files uploaded.")
        self._request(app, wanted)
        self._kill(app)
        self._wait(app)
        results = self._count(azurite)
        self._notifications(receiver, azurite, results)
        self._finish(results)

    # --- the steps

    def _request(self, app: App, wanted: list[Export]) -> None:
        self.story.step("Request exports")
        for export in wanted:
            status, answer = app.post("/api/exports", export.body())
            if status != 202:
                raise DemoError(f"the request of {export.name} was answered {status}: {answer}")
            self.exports[answer["id"]] = export
            self.shown[answer["id"]] = answer
            self.story.say(f"   {status}  {answer['id']}")
        first = next(iter(self.exports))
        status, answer = app.post("/api/exports", wanted[0].body())
        if status != 200 or answer["id"] != first:
            raise DemoError(f"the same request again was answered {status} with id {answer.get('id')}")
        self.story.say(f"   {status}  {answer['id']}  (the first request once more: the same export)")

    def _kill(self, app: App) -> None:
        self.story.step("kill -9 the app in the middle, and start it again")
        self._until(app, lambda: any(one["state"] != "Requested" for one in self.shown.values()))
        left = [self.exports[key] for key, one in self.shown.items() if one["state"] not in ENDS]
        if not left:
            raise DemoError("all exports had ended before the app could be killed")
        app.kill()
        if is_listening(int(app.url.rsplit(":", 1)[1])):
            raise DemoError("the app still answers after kill -9")
        self.story.say(f"   killed with {len(left)} of {len(self.exports)} exports unfinished")
        app.restart()
        self.story.say("   started again")

    def _wait(self, app: App) -> None:
        self._until(app, lambda: all(one["state"] in ENDS for one in self.shown.values()))
        for key, one in self.shown.items():
            export = self.exports[key]
            if one["state"] not in GOOD:
                raise DemoError(f"{export.name} ended {one['state']}: {one['error']}")
            self.story.say(f"   {export.name}: {one['state']}, attempt {one['attempt']}")

    def _until(self, app: App, enough: Callable[[], bool]) -> None:
        """Look at the exports until it is enough; every change is a line."""
        deadline = time.monotonic() + SECONDS
        while not enough():
            if app.ended():
                raise DemoError("the app ended by itself")
            if time.monotonic() > deadline:
                stuck = [f"{self.exports[k].name} is {v['state']}" for k, v in self.shown.items()]
                raise DemoError(f"not finished after {SECONDS} s: {', '.join(stuck)}")
            time.sleep(0.2)
            for key in [key for key, one in self.shown.items() if one["state"] not in ENDS]:
                status, answer = app.get(f"/api/exports/{key}")
                if status != 200:
                    raise DemoError(f"GET /api/exports/{key} was answered {status}: {answer}")
                if answer["state"] != self.shown[key]["state"] and key == next(iter(self.exports)):
                    self.story.seen(f"{self.exports[key].name}: {answer['state']}")
                self.shown[key] = answer
            states = Counter(one["state"] for one in self.shown.values())
        self.story.live("   " + "   ".join(f"{state} {count}" for state, count in states.items()))

    def _count(self, azurite: Azurite) -> list[count_comparison.Result]:
        account = count_comparison.Account.connect(azurite.connection_string)
        curated = self.state / "curated"
        results = [
            count_comparison.collect(account, export, self.shown[key], self.data, curated)
            for key, export in self.exports.items()
        ]
        self.story.step("What could not be used, and why")
        evidence.show_rejects(self.story, results)
        self.story.step("Every number, beside an independent count of the raw files in plain Python")
        for table in count_comparison.table(results):
            self.story.table(table)
        checks = (count_comparison.problems, count_comparison.manifest_faults)
        if problems := [problem for result in results for check in checks for problem in check(result)]:
            raise DemoError("\n  ".join(problems))
        compared = sum(len(count_comparison.compared(result)) for result in results)
        self.story.say(f"   {compared} numbers compared, all the same")
        self.story.step("Ask the table, as any engine that reads Delta Lake, and look at its history")
        evidence.show_query(self.story, results[0])
        evidence.show_history(self.story, results[0], azurite.connection_string)
        return results

    def _notifications(
        self, receiver: Receiver, azurite: Azurite, results: list[count_comparison.Result]
    ) -> None:
        self.story.step("Who was told")
        first, messages, problems = evidence.notifications(
            receiver, azurite.connection_string, self.exports, SECONDS / 3
        )
        if problems:
            raise DemoError("\n  ".join(problems))
        evidence.save_events(self.state, first)
        event = first[0].event
        self.story.say(f"   webhook: {len(first)} notifications, every signature verified")
        self.story.say(f"      {event['type']}  {event['id']}")
        rates, problems = evidence.reject_rates(receiver, self.exports, results, SECONDS / 3)
        if problems:
            raise DemoError("\n  ".join(problems))
        self.story.say(f"   webhook: {len(rates)} exports had more rejects than REJECT_ALERT allows")
        for event in rates[-1:]:
            data: Any = event["data"]
            of = f"{data['rejected']:,} of {data['records']:,} records of {data['app']} {data['exportType']}"
            self.story.say(f"      {event['type']}  {of}")
        told = {message["id"] for message in messages if message["type"].endswith(".completed")}
        self.story.say(f"   queue {evidence.QUEUE!r}: {len(told)} messages with the same ends")

    def _finish(self, results: list[count_comparison.Result]) -> None:
        state = self.state.relative_to(ROOT) if self.state.is_relative_to(ROOT) else self.state
        data = f"{state}/raw" if self.generated else self.data
        self.story.title("Where everything lies")
        places = {
            "raw data": data,
            "Parquet": f"{state}/curated/{results[0].export.app}/…",
            "export files": f"{state}/{results[0].file.name}, …",
            "notifications": f"{state}/notifications.ndjson",
            "storage, logs": f"{state}/azurite, {state}/app.log",
        }
        for name, place in places.items():
            self.story.say(f"   {name:<14} {place}")
        self.story.title("Try next")
        self.story.say(f"   make start STATE={state}    # the same app with these exports, until Ctrl-C")
        self.story.say(f"   make trace ID={next(iter(self.exports))}    # meanwhile, elsewhere")
        strict = " --strict" if results[-1].export.strict else ""
        self.story.say(f"   .venv/bin/mobexport check{strict} {state}/{results[-1].file.name}")

    def _write_config(self, wanted: list[Export], url: str) -> Path:
        strict = {export.app: export.strict for export in wanted}
        text = "".join(
            f'[apps."{app}"]\nchecks = "{"strict" if checks else "lenient"}"\n'
            'notify = ["demo-webhook", "demo-queue"]\n\n'
            for app, checks in strict.items()
        )
        text += (
            f'[targets.demo-webhook]\nkind = "webhook"\nurl = "{url}"\n'
            'secret_setting = "DEMO_WEBHOOK_SECRET"\n\n'
            f'[targets.demo-queue]\nkind = "storage-queue"\nqueue = "{evidence.QUEUE}"\n'
        )
        file = self.state / "exports.toml"
        file.write_text(text, "utf-8")
        return file


def _fresh(state: Path) -> None:
    """An empty folder; only one that an earlier demo made is removed for it."""
    if state.exists() and any(state.iterdir()):
        if not (state / MARK).exists():
            raise DataError(f"{state} is not empty and not from a demo: choose another folder")
        shutil.rmtree(state)
    state.mkdir(parents=True, exist_ok=True)
    (state / MARK).touch()


def _terminated(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument("--data", type=Path, help="a folder {app}/{kind}/{YYYY-MM-DD}/*.ndjson")
    parser.add_argument("--state", type=Path, default=STATE, help="an empty folder for all that is made")
    parser.add_argument("--transcript", type=Path, help="also keep the output in this file")
    chosen = parser.parse_args(arguments)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _terminated)
    story = Story()
    state = chosen.state.absolute()
    try:
        with ExitStack() as stack:
            stack.enter_context(locked(state))
            _fresh(state)
            Demo(story, state, chosen.data).run(stack)
    except KeyboardInterrupt:
        print("\nstopped; everything the demo had started is ended", file=sys.stderr)
        return 130
    except (DataError, StartError) as error:
        print(f"\nThe demo cannot run: {error}", file=sys.stderr)
        return 1
    except (DemoError, requests.RequestException, AzureError, KeyError, ValueError, OSError) as error:
        print(f"\nTHE DEMO FAILED: {type(error).__name__}: {error}\n", file=sys.stderr)
        print(f"The end of {state / 'app.log'}:\n{log_tail(state)}", file=sys.stderr)
        return 1
    story.title(f"Done in {story.seconds:.0f} s.")
    if chosen.transcript:
        keep(story.lines, chosen.transcript)
    return 0


if __name__ == "__main__":
    sys.exit(main())
