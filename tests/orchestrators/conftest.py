"""The orchestrators in virtual time, over a scripted pipeline instead of storage and HTTP."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from devhost.replay import AlreadyExistsError, ReplayHarness
from mobexport import durable_names as names
from mobexport.pipeline.poll_policy import PollPolicy
from orchestrators.deliver_notification import deliver_notification
from orchestrators.poll_export_job import poll_export_job
from orchestrators.process_export import process_export
from orchestrators.run_export import run_export
from orchestrators.serve_export_task import serve_export_task

ORCHESTRATORS = {
    names.RUN_EXPORT: run_export,
    names.POLL_EXPORT_JOB: poll_export_job,
    names.PROCESS_EXPORT: process_export,
    names.DELIVER_NOTIFICATION: deliver_notification,
    names.SERVE_EXPORT_TASK: serve_export_task,
}
POLICY = PollPolicy(first=5, most=300, queue_deadline=3600, run_deadline=7200, total_deadline=86_400)
STEP = {"exportId": "e", "attempt": 1}


def error(code: str, *, retryable: bool = False) -> dict[str, Any]:
    return {"error": {"code": code, "kind": "remote", "message": f"it was {code}", "retryable": retryable}}


class Pipeline:
    """What the activities would do, as a script: job states in turn, then the last for ever."""

    def __init__(self, **options: Any) -> None:
        self.states: list[str] = ["Queued", "Running", "Collecting"]
        self.looks: list[dict[str, Any]] = [{"files": 2}]
        self.cancelled = False
        self.processed = False
        self.processing_error: dict[str, Any] | None = None
        self.trigger = True
        self.overrides: dict[str, Callable[[Any], Any]] = {}
        self.ends: list[dict[str, Any]] = []
        self.policy = POLICY
        activities = {name: self._activity(name) for name in names.ACTIVITIES}
        self.h = ReplayHarness(ORCHESTRATORS, activities, **options)

    def _activity(self, name: str) -> Callable[[Any], Any]:
        def run(step: Any) -> Any:
            if name in self.overrides:
                return self.overrides[name](step)
            guarded = name in (names.CREATE_EXPORT_JOB, names.CHECK_EXPORT_JOB, names.COLLECT_FILES)
            if guarded and self.cancelled:
                return error("Cancelled")
            return getattr(self, f"_{name}", lambda _: {"ok": {}})(step)

        return run

    def _check_export_job(self, _: Any) -> Any:
        state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        return {
            "ok": {"state": state, "error": "no reason" if state == "Failed" else None, "retryAfter": None}
        }

    def _collect_files(self, _: Any) -> Any:
        found = self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]
        if "files" in found and self.trigger:
            self.h.schedule(2, self.start_processing)
        return {"ok": found}

    def start_processing(self) -> None:
        with suppress(AlreadyExistsError):
            self.h.start(names.PROCESS_EXPORT, {"version": 1, **STEP}, names.process_instance("e", 1))

    def _begin_processing(self, _: Any) -> Any:
        return {"ok": {"done": self.processed, "files": 2}}

    def _announce_processed(self, step: Any) -> Any:
        self.processing_error = step["outcome"].get("error")
        self.processed = self.processing_error is None
        self.h.raise_event(names.run_instance("e", 1), names.PROCESSED, None)
        return {"ok": {"notify": ["hook"] if self.processed else []}}

    def _ensure_processing_started(self, _: Any) -> Any:
        if self.processing_error:
            return {"error": self.processing_error}
        if not self.processed:
            self.start_processing()
        return {"ok": {"done": self.processed}}

    def _finish_export(self, step: Any) -> Any:
        failed = step["outcome"].get("error")
        states = {"Cancelled": "Cancelled", "TimedOut": "TimedOut"}
        end = {"state": states.get(failed["code"], "Failed") if failed else "Succeeded", "error": failed}
        self.ends.append(end)
        return {"ok": end}

    def start(self) -> str:
        """Starts the run; its instance id."""
        run = {"version": 1, **STEP, "policy": self.policy.to_json(), "graceSeconds": 60, "notify": ["hook"]}
        return self.h.start(names.RUN_EXPORT, run, names.run_instance("e", 1))

    def cancel(self) -> None:
        """What the HTTP function does: the flag first, then the hints."""
        self.cancelled = True
        for instance in (names.run_instance("e", 1), names.poll_instance("e", 1)):
            # A hint: whoever is not there, or has ended, needs none.
            with suppress(Exception):
                self.h.raise_event(instance, names.CANCEL, None)

    def called(self, name: str) -> list[Any]:
        """Inputs of the calls of one activity."""
        return [given for _, called, given in self.h.activity_calls if called == name]


@pytest.fixture
def pipeline() -> Pipeline:
    return Pipeline()


@pytest.fixture
def make_pipeline() -> type[Pipeline]:
    return Pipeline
