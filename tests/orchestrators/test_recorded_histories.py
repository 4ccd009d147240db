"""Recorded histories of every orchestrator, replayed against the code of today.

A running instance is replayed by whatever code is deployed: an orchestrator that answers a recorded history
differently breaks the instances that are going. docs/change-an-orchestrator.md says what to do then. To
record those of a new version: `RECORD_HISTORIES=1 pytest tests/orchestrators/test_recorded_histories.py`.
"""

import json
import os
from pathlib import Path
from typing import Any

import azure.durable_functions as df
import pytest

from devhost.replay import Kind
from mobexport import durable_names as names
from mobexport.errors import Transient
from mobexport.export_api.messages import ServeExportTask
from mobexport.pipeline.messages import ProcessExport, RunBatch
from orchestrators.deliver_notification import deliver_notification
from orchestrators.process_export import process_export
from orchestrators.run_batch import run_batch
from orchestrators.run_export import run_export
from orchestrators.run_task_lane import run_task_lane
from orchestrators.serve_export_task import serve_export_task

FOLDER = Path(__file__).parent / "histories"
VERSION = json.loads((Path(__file__).parents[2] / "host.json").read_text("utf-8"))["extensions"][
    "durableTask"
]["defaultVersion"]
FUNCTIONS = {
    function.__name__: function
    for function in (
        run_export,
        process_export,
        deliver_notification,
        run_batch,
        run_task_lane,
        serve_export_task,
    )
}
HANDLES = {name: df.Orchestrator.create(function) for name, function in FUNCTIONS.items()}
MARK = "$OutOfProcData$:"


def recorded() -> list[dict[str, Any]]:
    """One line an execution: orchestrator, scenario, context as the host gave it last, answers by episode."""
    return [
        json.loads(line)
        for file in sorted(FOLDER.glob("*.ndjson"))
        for line in file.read_text("utf-8").splitlines()
    ]


def decide(name: str, context: dict[str, Any]) -> dict[str, Any]:
    """What the orchestrator decides on a history, flat."""
    try:
        text = str(HANDLES[name](json.dumps(context)))
    except Exception as error:  # an orchestrator that fails answers by an exception with its state in it
        text = str(error).partition(MARK)[2]
    state = json.loads(text)
    actions = [action for batch in state["actions"] for action in batch]
    return {
        "actions": [_comparable(one) for one in actions],
        "isDone": state["isDone"],
        "output": state.get("output"),
    }


def _comparable(action: Any) -> Any:
    if isinstance(action, dict):
        return {key: _comparable(value) for key, value in action.items() if key != "isCanceled"}
    return [_comparable(one) for one in action] if isinstance(action, list) else action


def prefixes(context: dict[str, Any]) -> list[dict[str, Any]]:
    """The history as each episode began with it: up to, not with, each end of an episode."""
    events = context["history"]
    ends = [n for n, event in enumerate(events) if event["EventType"] == Kind.ORCHESTRATOR_COMPLETED]
    return [{**context, "history": events[:end]} for end in (*ends, len(events))]


LINES = recorded()


@pytest.mark.parametrize("line", LINES, ids=lambda line: f"{line['orchestrator']}-{line['scenario']}")
def test_given_a_recorded_history_then_each_prefix_decides_the_same(line) -> None:
    found = [decide(line["orchestrator"], context) for context in prefixes(line["context"])]
    last = found[-1]
    assert last == line["answer"]
    assert [len(one["actions"]) for one in found] == line["steps"]
    for earlier in found:
        assert earlier["actions"] == last["actions"][: len(earlier["actions"])]


def test_every_orchestrator_has_histories_of_the_current_version() -> None:
    assert {line["orchestrator"] for line in LINES if line["version"] == VERSION} == names.ORCHESTRATORS
    assert set(FUNCTIONS) == names.ORCHESTRATORS


# --- recording ---------------------------------------------------------------------------


def scenarios(make_pipeline, memory_app, virtual_app):
    """Name and a function that plays it."""

    def pipeline(**script):
        def play() -> None:
            app = make_pipeline()
            for name, value in script.items():
                setattr(app, name, value)
            app.start()
            app.h.run()

        return play

    def whole(cancel: float | None = None, **options):
        def play() -> None:
            app = memory_app()
            for name, value in options.items():
                setattr(app.api, name, value)
            app.answers = [Transient("down")] * 3
            with app.in_virtual_time():
                if cancel is not None:
                    app.h.schedule(cancel, app.cancel)
                app.start()
                app.h.run()

        return play

    def batch() -> None:
        app = virtual_app()
        answers = iter([False, False, True])
        app.overrides[names.ADVANCE_BATCH] = lambda _: {
            "ok": {"ended": next(answers), "moved": False, "counts": {}}
        }
        app.start(names.RUN_BATCH, "batch-b", RunBatch(batch_id="b").to_json())
        app.h.run()

    def parts() -> None:
        app = virtual_app()
        for name in names.ACTIVITIES:
            app.overrides[name] = lambda _: {"ok": {}}
        app.overrides[names.BEGIN_PROCESSING] = lambda _: {"ok": {"done": False, "files": 2, "large": [1]}}
        app.overrides[names.FIND_PARTS] = lambda _: {"ok": {"parts": 3, "lanes": 2}}
        app.start(names.PROCESS_EXPORT, "process-e-1", ProcessExport(export_id="e", attempt=1).to_json())
        app.h.run()

    def serve(slices: int):
        def play() -> None:
            app = virtual_app()
            for name in names.ACTIVITIES:
                app.overrides[name] = lambda _: {"ok": {"state": "Succeeded"}}
            if slices:
                plan = {"slices": slices, "buckets": slices, "lanes": 2}
                app.overrides[names.PLAN_EXPORT_TASK] = lambda _: {"ok": plan}
            app.start(names.SERVE_EXPORT_TASK, "task-t", ServeExportTask(app="a", task_id="t").to_json())
            app.h.run()

        return play

    return {
        "succeeds": whole(),
        "is-cancelled": whole(cancel=9.0),
        "fails": whole(script=["Queued", "Failed"]),
        "is-continued-as-new": whole(script=["Queued", *["Started"] * 5, "Succeeded"]),
        "is-throttled": whole(failures=[None, None, Transient("x", retry_after=90)]),
        "times-out": whole(script=["Queued"]),
        "is-empty-for-a-while": pipeline(looks=[{"none": True}, {"pending": 1}, {"files": 1}]),
        "has-no-trigger": pipeline(trigger=False),
        "batch": batch,
        "is-small": serve(0),
        "is-large": serve(3),
        "is-converted-in-parts": parts,
    }


@pytest.mark.skipif("RECORD_HISTORIES" not in os.environ, reason="records; RECORD_HISTORIES=1 to do so")
def test_record(make_pipeline, memory_app, virtual_app, monkeypatch) -> None:
    lines = []
    for scenario, play in scenarios(make_pipeline, memory_app, virtual_app).items():
        latest: dict[str, tuple[str, dict[str, Any]]] = {}
        original = df.Orchestrator.create

        def create(function, latest=latest, original=original):
            handle = original(function)

            def call(asked: str) -> str:
                given = json.loads(asked)
                started = next(event for event in given["history"] if event["EventType"] == 0)
                execution = f"{given['instanceId']} {started['Timestamp']}"
                there = latest.get(execution)
                # The determinism check asks again with shorter histories.
                if there is None or len(there[1]["history"]) < len(given["history"]):
                    latest[execution] = (function.__name__, given)
                return handle(asked)

            return call

        with monkeypatch.context() as patch:
            patch.setattr(df.Orchestrator, "create", create)
            play()
        for name, context in latest.values():
            found = [decide(name, one) for one in prefixes(context)]
            lines.append(
                {
                    "orchestrator": name,
                    "scenario": scenario,
                    "version": VERSION,
                    "steps": [len(one["actions"]) for one in found],
                    "answer": found[-1],
                    "context": context,
                }
            )
    FOLDER.mkdir(exist_ok=True)
    text = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
    (FOLDER / f"{VERSION}.ndjson").write_text(text, "utf-8")
