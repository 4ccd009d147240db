"""The line that the alert on failed exports looks for: logged for failures, and for those alone."""

import asyncio
import logging
from types import SimpleNamespace
from typing import Any

import pytest

from activities.collecting import FAILED_EXPORT, finish_export
from mobexport.pipeline.messages import EndStep
from mobexport.pipeline.registry.states import State
from mobexport.wire import Outcome

ERROR = {"code": "Truncated", "kind": "data", "message": "cut off at https://x.example/c?sig=SECRET"}


@pytest.mark.parametrize(
    ("state", "error", "logged"),
    [
        (State.FAILED, ERROR, True),
        (State.TIMED_OUT, ERROR, True),
        (State.CANCELLED, {**ERROR, "code": "Cancelled"}, False),
        (State.SUCCEEDED, None, False),
        (State.EMPTY, None, False),
    ],
)
def test_given_a_finished_attempt_then_failures_logged_without_secrets(
    caplog: pytest.LogCaptureFixture,
    state: State,
    error: dict[str, Any] | None,
    logged: bool,
) -> None:
    row = SimpleNamespace(
        id="an-id", attempt=2, state=state, error=error, manifest=None, pending_deliveries=()
    )
    services = SimpleNamespace(finisher=SimpleNamespace(finish=lambda *_: row))
    step = EndStep(export_id="an-id", attempt=2, outcome=Outcome()).to_json()
    with caplog.at_level(logging.INFO):
        ended = asyncio.run(finish_export(services, step, SimpleNamespace()))
    assert ended["ok"]["state"] == str(state)
    lines = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(lines) == logged
    for line in lines:
        assert line.startswith(f"{FAILED_EXPORT} an-id attempt 2 {state}: Truncated: cut off")
        assert "SECRET" not in line
