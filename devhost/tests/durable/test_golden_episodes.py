"""Every recorded episode decided again: the real host's history and the SDK's answer in, new events out."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from devhost.durable.actions import Known
from devhost.durable.episode import run_episode
from devhost.durable.history import Kind
from devhost.durable.model import TERMINAL, Instance, Outcome
from devhost.timestamps import parse_stamp, stamp

LINES = (Path(__file__).parent / "golden" / "episodes.ndjson").read_text("utf-8").splitlines()
NOT_RUN = "x-http_call"
"""It calls `call_http`, which devhost does not run."""
RECORDED: list[dict[str, Any]] = [one for one in map(json.loads, LINES) if one["instance"] != NOT_RUN]
DECISIONS = (Kind.TASK_SCHEDULED, Kind.SUB_CREATED, Kind.TIMER_CREATED)
# "nope" is the recorded app's misspelt name: nothing is ever scheduled for it.
KNOWN = Known(lambda name: name != "nope", lambda name: name != "nope")
ANY_TIME = datetime(2026, 1, 1, tzinfo=UTC)


def _shape(event: dict[str, Any]) -> tuple[Any, ...]:
    # The host writes 100 ns, this one whole microseconds.
    fire_at = stamp(parse_stamp(event["FireAt"])) if "FireAt" in event else None
    return (
        event["EventType"],
        event["EventId"],
        event.get("Name", "").lower(),
        fire_at,
        event.get("InstanceId"),
    )


def _decide(recorded: dict[str, Any], length: int, state: dict[str, Any]) -> Outcome:
    history = recorded["history"][:length]
    started = next(e for e in history if e["EventType"] == Kind.EXECUTION_STARTED)
    seeded = history[-1]["EventType"] == Kind.ORCHESTRATOR_COMPLETED
    batch = max(i for i, e in enumerate(history) if e["EventType"] == Kind.ORCHESTRATOR_STARTED)
    instance = Instance(
        id=recorded["instance"],
        name=started["Name"],
        version=started["Version"],
        execution_id=started["OrchestrationInstance"]["ExecutionId"],
        status="Running",
        input=None,
        output=None,
        custom_status=None,
        created=ANY_TIME,
        updated=ANY_TIME,
        generation=0,
        parent=started["ParentInstance"],
        seeded=seeded,
    )

    def sdk(_context: str) -> str:
        if "error" in state:
            raise RuntimeError(f"{state['error']}\n\n$OutOfProcData$:{json.dumps(state)}")
        return json.dumps(state)

    past, messages = (history, []) if seeded else (history[:batch], history[batch + 1 :])
    return run_episode(
        instance, past, messages, parse_stamp(history[batch]["Timestamp"]), sdk, KNOWN, ["other"]
    )


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda r: f"{r['source']}-{r['instance']}")
def test_given_recorded_episodes_then_the_same_work_is_scheduled(recorded):
    for length, state in recorded["states"]:
        wanted = []
        for event in recorded["history"][length:]:
            if event["EventType"] in (Kind.ORCHESTRATOR_COMPLETED, Kind.ORCHESTRATOR_STARTED):
                break
            wanted.append(event)
        outcome = _decide(recorded, length, state)
        if length < len(recorded["history"]):
            decided = [e for e in outcome.events if e["EventType"] in DECISIONS]
            assert [_shape(e) for e in decided] == [_shape(e) for e in wanted]
            assert outcome.status not in TERMINAL


@pytest.mark.parametrize(
    "recorded",
    [r for r in RECORDED if "final" in r and r["final"][1] != "…"],
    ids=lambda r: f"{r['source']}-{r['instance']}",
)
def test_given_a_recorded_last_episode_then_it_ends_as_recorded(recorded):
    status, output = recorded["final"]

    outcome = _decide(recorded, *recorded["states"][-1])

    assert outcome.status == status
    text = outcome.output or "null"
    assert text == (output if status == "Failed" else text)
    if status != "Failed":
        assert (json.loads(text) if status == "Completed" else outcome.output) == output


def test_given_a_new_generation_that_waits_then_batch_not_closed_twice():
    waits = next(r for r in RECORDED if r["instance"] == "x-can_events" and r["states"][0][0] == 3)

    assert _decide(waits, *waits["states"][0]).events == []
