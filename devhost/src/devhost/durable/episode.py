"""One episode: replay of an orchestrator over its history, and what follows from it.

No I/O besides the orchestrator's own code.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from devhost.durable import history as h
from devhost.durable import texts
from devhost.durable.actions import (
    Action,
    Decision,
    Known,
    NotDeterministicError,
    Replay,
    UnsupportedActionError,
    replay,
)
from devhost.durable.history import Event, Kind
from devhost.durable.model import (
    COMPLETED,
    FAILED,
    RUNNING,
    SUSPENDED,
    TERMINATED,
    Instance,
    NewActivity,
    NewChild,
    NewTimer,
    NextGeneration,
    Outcome,
)
from devhost.errors import NoWorkerError, UserCodeError, WorkerExitedError
from devhost.timestamps import parse_stamp

OrchestratorCall = Callable[[str], str]
"""Takes the context as JSON text, gives the state as JSON text, or raises as the SDK does."""

STATE_MARK = "\n\n$OutOfProcData$:"
_CUSTOM_STATUS_LIMIT_KB = 16
_TICK = timedelta(microseconds=1)


@dataclass(frozen=True)
class State:
    """Answer of the orchestrator function."""

    actions: Sequence[Action]
    is_done: bool = False
    output: str | None = None
    custom_status: str | None = None
    error: str | None = None
    fatal: str | None = None
    """Failure without actions to replay; ends the instance whatever it waits for."""
    died: bool = False
    """Whether the worker process died: the host replays that as a run without actions, so that steps in the
    history seem to be those of another orchestrator."""


def compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def context_json(instance: Instance, events: Sequence[Event], *, is_replaying: bool) -> str:
    """Context of an orchestrator (protocol of extension 3.14: `upperSchemaVersionNew` 3)."""
    parent = instance.parent
    return json.dumps(
        {
            "history": events,
            "input": h.parse_or_text(instance.input),
            "instanceId": instance.id,
            "isReplaying": is_replaying,
            "parentInstanceId": parent["OrchestrationInstance"]["InstanceId"] if parent else None,
            "upperSchemaVersion": 1,
            "upperSchemaVersionNew": 3,
            "longRunningTimerIntervalDuration": "3.00:00:00",
            "maximumShortTimerDuration": "6.00:00:00",
            "defaultHttpAsyncRequestSleepTimeMillseconds": 30000,
        },
        ensure_ascii=False,
    )


def call_orchestrator(call: OrchestratorCall, context: str) -> State:
    """Run the orchestrator; all ways in which it fails become a State with an error.

    Raises NoWorkerError: nothing was run.
    """
    try:
        return _parse_state(json.loads(call(context)))
    except NoWorkerError:
        raise
    except WorkerExitedError as error:
        return State((), fatal=texts.worker_died_in_orchestrator(str(error)), died=True)
    except Exception as error:
        told = error if isinstance(error, UserCodeError) else UserCodeError.of(error)
        message, mark, state_text = told.message.partition(STATE_MARK)
        if mark:
            return _parse_state(json.loads(state_text))
        return State((), fatal=texts.orchestrator_crashed(told.exception_type, message, told.stack))


def _parse_state(state: dict[str, Any]) -> State:
    custom = compact(state["customStatus"]) if state.get("customStatus") is not None else None
    kilobytes = len((custom or "").encode("utf-16-le", "surrogatepass")) / 1024
    if kilobytes > _CUSTOM_STATUS_LIMIT_KB:
        return State((), fatal=texts.custom_status_too_large(int(kilobytes)))
    return State(
        actions=[action for batch in state["actions"] for action in batch],
        is_done=state["isDone"],
        output=compact(state["output"]) if "output" in state else None,
        custom_status=custom,
        error=state.get("error"),
    )


def run_episode(
    instance: Instance,
    past: Sequence[Event],
    messages: Sequence[Event],
    now: datetime,
    call: OrchestratorCall | None,
    known: Known,
    known_orchestrators: Sequence[str],
) -> Outcome:
    """Decide one episode of `instance`; `call` is None when the app has no such orchestrator."""
    if past and not instance.seeded:
        last = next(e for e in reversed(past) if e["EventType"] == Kind.ORCHESTRATOR_STARTED)
        now = max(now, parse_stamp(last["Timestamp"]) + _TICK)
    incoming = [] if instance.seeded else [h.orchestrator_started(now), *messages]
    shown = [{**e, "IsPlayed": False} for e in past] if instance.seeded else list(past)
    events = [*shown, *incoming]
    if call is None:
        state = State((), fatal=texts.unknown_orchestrator(instance.name, known_orchestrators))
    else:
        replaying = bool(past) and not instance.seeded
        state = call_orchestrator(call, context_json(instance, events, is_replaying=replaying))
    return _decide(instance, events, h.played(incoming), state, now, known)


def _decide(
    instance: Instance, events: list[Event], appended: list[Event], state: State, now: datetime, known: Known
) -> Outcome:
    at = now + _TICK
    result = Outcome(list(appended), RUNNING, None, state.custom_status, at)
    if state.fatal is not None and not state.died:
        return _crash(instance, result, state.fatal, _next_id(events), at)
    try:
        sim = replay(state.actions, events, known)
    except NotDeterministicError as error:
        _schedule(instance, result, error.state, at)
        return _finish(instance, result, FAILED, str(error), error.state.next_id, at)
    except UnsupportedActionError as error:
        result.warnings.append(f"instance '{instance.id}' failed: {error}")
        return _finish(
            instance,
            result,
            FAILED,
            texts.orchestrator_failed(instance.name, str(error)),
            _next_id(events),
            at,
        )
    if state.fatal is not None:
        return _crash(instance, result, state.fatal, sim.next_id, at)
    terminated = next((e for e in appended if e["EventType"] == Kind.EXECUTION_TERMINATED), None)
    if terminated is not None:
        return _finish(instance, result, TERMINATED, terminated["Input"], sim.next_id, at)
    result.warnings += [
        f"instance '{instance.id}' waits for ever: the app has no {name}"
        f" (orchestrator '{instance.name}' asks for it)"
        for name in dict.fromkeys(sim.unknown)
    ]
    _schedule(instance, result, sim, at)
    ended = sim.continued or (sim.finished and (state.is_done or state.error is not None))
    if not ended or sim.open:
        result.status = SUSPENDED if sim.is_suspended else RUNNING
        result.output = _last_reason(events)
        # The batch of a new generation is closed already; only new decisions close it once more.
        if result.events or not instance.seeded:
            result.events.append(h.orchestrator_completed(at + _TICK))
        return result
    if state.error is not None:
        return _finish(
            instance, result, FAILED, texts.orchestrator_failed(instance.name, state.error), sim.next_id, at
        )
    if sim.continued:
        return _continue(instance, result, sim, at)
    return _finish(
        instance, result, COMPLETED, state.output if state.output is not None else "null", sim.next_id, at
    )


def _crash(instance: Instance, result: Outcome, why: str, event_id: int, at: datetime) -> Outcome:
    result.custom_status = None
    return _finish(instance, result, FAILED, texts.orchestrator_failed(instance.name, why), event_id, at)


def _next_id(events: Sequence[Event]) -> int:
    return 1 + max((e["EventId"] for e in events), default=-1)


def _last_reason(events: Sequence[Event]) -> str | None:
    """Reason of the last suspend or resume, which shows as the output until the end."""
    for event in reversed(events):
        if event["EventType"] in (Kind.SUSPENDED, Kind.RESUMED):
            reason: str | None = event["Reason"]
            return reason
    return None


def _schedule(instance: Instance, result: Outcome, sim: Replay, at: datetime) -> None:
    for decision in sorted(sim.decisions.values(), key=lambda d: d.id):
        if decision.kind is Kind.TASK_SCHEDULED:
            result.events.append(h.task_scheduled(at, decision.id, decision.name))
            result.activities.append(NewActivity(decision.id, decision.name, decision.input))
        elif decision.kind is Kind.TIMER_CREATED:
            result.events.append(h.timer_created(at, decision.id, decision.fire_at))
            if not decision.cancelled:
                fired = h.timer_fired(at + _TICK, decision.id, decision.fire_at)
                result.timers.append(NewTimer(decision.id, parse_stamp(decision.fire_at), fired))
        else:
            child = _child(instance, decision, at)
            result.events.append(
                h.sub_created(at, decision.id, decision.name, decision.version, child.instance_id)
            )
            result.children.append(child)


def _child(instance: Instance, decision: Decision, at: datetime) -> NewChild:
    child_id = decision.instance_id or f"{instance.execution_id}:{decision.id}"
    execution_id = uuid.uuid4().hex
    parent = h.parent_instance(
        instance.name, instance.version, instance.id, instance.execution_id, decision.id
    )
    started = h.execution_started(
        at,
        instance_id=child_id,
        execution_id=execution_id,
        name=decision.name,
        version=decision.version,
        input_text=json.dumps(decision.input, ensure_ascii=False),
        generation=None,
        parent=parent,
    )
    return NewChild(child_id, execution_id, started)


def _finish(
    instance: Instance, result: Outcome, status: str, output: str | None, event_id: int, at: datetime
) -> Outcome:
    result.status, result.output = status, output
    result.events.append(h.execution_completed(at + _TICK, event_id, status, output))
    result.events.append(h.orchestrator_completed(at + _TICK))
    if instance.parent is not None:
        task_id = instance.parent["TaskScheduleId"]
        if status == COMPLETED:
            result.to_parent = h.sub_completed(at, task_id, output)
        else:
            prefix = texts.orchestrator_failed(instance.name, "")
            inner = (output or "").removeprefix(prefix)
            details = texts.child_details(inner) if status == FAILED else None
            result.to_parent = h.sub_failed(at, task_id, output, details)
    return result


def _continue(instance: Instance, result: Outcome, sim: Replay, at: datetime) -> Outcome:
    """Outcome with a next generation: its batch is closed before its first run, and late events go along."""
    execution_id = uuid.uuid4().hex
    input_text = json.dumps(sim.continue_input, ensure_ascii=False)
    started_at = at + 8 * _TICK
    started = h.execution_started(
        at,
        instance_id=instance.id,
        execution_id=execution_id,
        name=instance.name,
        version=instance.version,
        input_text=input_text,
        generation=None,
        parent=instance.parent,
    )
    seed = [
        h.orchestrator_started(started_at),
        started,
        *sim.carried,
        h.orchestrator_completed(started_at + _TICK),
    ]
    seed = [{**e, "IsPlayed": e["EventType"] != Kind.ORCHESTRATOR_STARTED} for e in seed]
    result.next_generation = NextGeneration(execution_id, input_text, seed, at)
    return result
