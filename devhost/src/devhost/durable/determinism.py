"""Determinism check: replays an orchestrator's earlier histories and compares its answers.

An orchestrator is deterministic when a longer history only adds steps to its answer, and when the same
history gives the same answer again. Both are held against what was answered in each episode. A third check
compares the ids of the running tasks: where the SDK and the host number them differently, a result would
reach the wrong task. In production each of the three ends in a failed instance, a hung one or a wrong result.
"""

from __future__ import annotations

import json
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from devhost.durable import actions as a
from devhost.durable.actions import Action, Known, NotDeterministicError, UnsupportedActionError, replay
from devhost.durable.episode import STATE_MARK, OrchestratorCall
from devhost.durable.history import MESSAGES, Event, Kind
from devhost.durable.model import TERMINAL, EpisodeReport
from devhost.durable.texts import NOT_DETERMINISTIC
from devhost.errors import NoWorkerError, WorkerExitedError

PREFIXES = 40
"""Earlier histories replayed after an episode: all up to this number, then a sample that moves on with each
episode, so that every one has its turn."""
EVENTS = 20_000
"""Events replayed by one check at most, about; long histories are sampled more thinly."""
REMEMBERED = 2_000
"""Executions whose answers are kept; those longest without an episode are dropped first."""

OpenTasks = Callable[[OrchestratorCall, str], dict[int, bool] | None]
"""As `sdk.open_tasks`: of an orchestrator's handle and a context."""
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")
_LONGEST = 300
_WORDS = {
    a.ACTIVITY: "call_activity",
    a.ACTIVITY_RETRY: "call_activity_with_retry",
    a.SUB: "call_sub_orchestrator",
    a.SUB_RETRY: "call_sub_orchestrator_with_retry",
    a.CONTINUE_AS_NEW: "continue_as_new",
    a.TIMER: "create_timer",
    a.WAIT_EVENT: "wait_for_external_event",
    a.WHEN_ANY: "task_any",
    a.WHEN_ALL: "task_all",
    **a.UNSUPPORTED,
}


@dataclass(frozen=True)
class Divergence:
    """One finding. `step` counts the actions from 1; 0 stands for the output or custom status."""

    orchestrator: str
    step: int
    detail: str

    def __str__(self) -> str:
        return (
            f"orchestrator '{self.orchestrator}' is not deterministic and would break in production:"
            f" {self.detail}"
        )


@dataclass(frozen=True)
class Episode:
    """One call of an orchestrator: its context, and its answer or failure as text."""

    execution_id: str
    name: str
    handle: OrchestratorCall
    context: str
    events: int
    """Length of the history in `context`."""
    answer: str
    over: bool
    """Whether this was the last episode of its execution."""
    failure: str | None
    """Output of an instance that failed because history and answer disagree."""


@dataclass(frozen=True)
class _Point:
    """Kept record of an episode: events seen, actions given, hash of the whole answer."""

    events: int
    actions: int | None
    digest: int


class DeterminismCheck:
    """Records the answers of orchestrators and replays them.

    Wrapped calls and `episode` run in the threads of the episodes and cost next to nothing; `run` does the
    work, in one thread.
    """

    def __init__(self, open_tasks: OpenTasks, prefixes: int = PREFIXES) -> None:
        self._open_tasks = open_tasks
        self._prefixes = prefixes
        self._asked = threading.local()
        self._points: OrderedDict[str, tuple[list[_Point], str]] = OrderedDict()

    def wrap(
        self, name: str, call: OrchestratorCall, handle: OrchestratorCall | None = None
    ) -> OrchestratorCall:
        """`call`, recorded for the `episode` that follows in this thread.

        `handle` (default: `call`) is used for replays, and to look for open tasks.
        """

        def remembering(context: str) -> str:
            try:
                answer = str(call(context))
            except (WorkerExitedError, NoWorkerError):
                self._asked.last = None  # says nothing of the orchestrator
                raise
            except Exception as error:
                self._asked.last = (name, handle or call, context, _failure(error))
                raise
            self._asked.last = (name, handle or call, context, answer)
            return answer

        return remembering

    def episode(self, report: EpisodeReport) -> Episode | None:
        """The recorded call, in the thread that ran the episode; None if there was none."""
        asked = getattr(self._asked, "last", None)
        self._asked.last = None
        instance, outcome = report.instance, report.outcome
        # What was asked before may be of an episode that failed in the host, and that nobody reported.
        if asked is None or instance.execution_id not in asked[2]:
            return None
        name, handle, context, answer = asked
        failed = (outcome.output or "").startswith(NOT_DETERMINISTIC)
        return Episode(
            execution_id=instance.execution_id,
            name=name,
            handle=handle,
            context=context,
            events=len(report.past) + (0 if instance.seeded else 1 + len(report.messages)),
            answer=answer,
            over=outcome.status in TERMINAL or outcome.next_generation is not None,
            failure=outcome.output if failed else None,
        )

    def run(self, episodes: Sequence[Episode], known: Known) -> Iterator[Divergence]:
        """Replay one execution's history up to its new episodes, oldest first; at most one finding each."""
        last = episodes[-1]
        points, answer = self._points.pop(last.execution_id, ([], ""))
        for episode in episodes:
            actions = _actions(episode.answer)
            if points and (found := _departed(episode.name, _actions(answer), actions)):
                yield found
            points.append(_Point(episode.events, _count(actions), _digest(episode.answer)))
            answer = episode.answer
        if not last.over:
            self._remember(last.execution_id, points, answer)
        if last.failure is not None:
            yield Divergence(last.name, 0, last.failure)
        # An execution may be over by the time its turn comes: the ids are those of each episode that waited.
        for number in sample(range(len(episodes)), last.events, self._prefixes):
            if not episodes[number].over:
                yield from _foreign_ids(episodes[number], known, self._open_tasks)
        yield from _replay(last, points, self._prefixes)

    def _remember(self, execution_id: str, points: list[_Point], answer: str) -> None:
        self._points[execution_id] = (points, answer)
        if len(self._points) > REMEMBERED:
            self._points.popitem(last=False)


def _replay(last: Episode, points: Sequence[_Point], prefixes: int) -> Iterator[Divergence]:
    earlier = Prefixes(last.context)
    remembered = {point.events: point for point in points}
    final = _actions(last.answer)
    # Episodes of an earlier host process have left no answer, but their place in the history.
    lengths = sorted({*boundaries(earlier.history), *remembered})
    for length in sample(lengths, last.events, prefixes):
        again = _ask(last.handle, earlier.context(length))
        point = remembered.get(length)
        if point is not None and point.digest == _digest(again):
            continue
        found = _departed(last.name, _actions(again), final)
        if found is None and point is not None:
            found = _differs(last.name, point, final, again)
        if found is not None:
            yield found


# --- which histories ---


def boundaries(history: Sequence[Event]) -> list[int]:
    """Lengths of the histories that the episodes of an execution saw: up to the messages of each batch,
    without the decisions that followed."""
    lengths: list[int] = []
    for index, event in enumerate(history):
        if event["EventType"] == Kind.ORCHESTRATOR_STARTED:
            end = index + 1
            while end < len(history) and history[end]["EventType"] in MESSAGES:
                end += 1
            if end > index + 1:
                lengths.append(end)
    return lengths


class Prefixes:
    """Contexts of an execution's earlier episodes, rebuilt from its last one."""

    def __init__(self, context: str) -> None:
        parts = json.loads(context)
        self.history: list[Event] = parts.pop("history")
        self._rest = parts
        self._texts = [json.dumps(event, ensure_ascii=False) for event in self.history]

    def context(self, length: int) -> str:
        started = [i for i in range(length) if self.history[i]["EventType"] == Kind.ORCHESTRATOR_STARTED]
        new = [{**event, "IsPlayed": False} for event in self.history[started[-1] : length]]
        texts = [*self._texts[: started[-1]], *(json.dumps(event, ensure_ascii=False) for event in new)]
        rest = json.dumps({**self._rest, "isReplaying": len(started) > 1}, ensure_ascii=False)
        return f'{{"history": [{", ".join(texts)}], {rest[1:]}'


def sample(lengths: Sequence[int], events: int, prefixes: int = PREFIXES) -> list[int]:
    """All lengths, or a part of them that changes from episode to episode; always the last one."""
    most = max(2, min(prefixes, 2 * EVENTS // max(events, 1)))
    # A power of two: it seldom changes, so that the sample comes round.
    stride = 1 << (-(-len(lengths) // most) - 1).bit_length()
    return sorted({*lengths[len(lengths) % stride :: stride], *lengths[-1:]}) if stride > 1 else list(lengths)


# --- comparing ---


def _ask(handle: OrchestratorCall, context: str) -> str:
    try:
        return str(handle(context))
    except (WorkerExitedError, NoWorkerError):
        raise
    except Exception as error:
        return _failure(error)


def _failure(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _count(actions: list[Action] | None) -> int | None:
    return None if actions is None else len(actions)


def _digest(answer: str) -> int:
    return hash(_ADDRESS.sub("", answer))


def _state(answer: str) -> dict[str, Any] | None:
    """State in an orchestrator's answer; None for a failure without one."""
    _, mark, state = answer.partition(STATE_MARK)
    try:
        found: dict[str, Any] = json.loads(state if mark else answer)
    except ValueError:
        return None
    return found


def _actions(answer: str) -> list[Action] | None:
    state = _state(answer)
    return None if state is None else [_lasting(action) for batch in state["actions"] for action in batch]


def _lasting(value: Any) -> Any:
    """The part of an action that later episodes cannot change: a timer may be cancelled."""
    if isinstance(value, dict):
        return {key: _lasting(item) for key, item in value.items() if key != "isCanceled"}
    if isinstance(value, list):
        return [_lasting(item) for item in value]
    return value


def _departed(name: str, before: list[Action] | None, now: list[Action] | None) -> Divergence | None:
    """First step in which `now` does not continue `before`."""
    if before is None or now is None or now[: len(before)] == before:
        return None
    step = next(i for i, action in enumerate(before) if i >= len(now) or now[i] != action)
    instead = describe(now[step]) if step < len(now) else "nothing"
    return Divergence(
        name, step + 1, f"step {step + 1} was {describe(before[step])}; with more history it is {instead}"
    )


def _differs(name: str, point: _Point, final: list[Action] | None, again: str) -> Divergence:
    """Finding for a history that was replayed with another answer."""
    now = _actions(again)
    if point.actions is not None and final is not None and now is not None:
        before = final[: point.actions]
        for step in range(max(len(before), len(now))):
            was = describe(before[step]) if step < len(before) else "nothing"
            instead = describe(now[step]) if step < len(now) else "nothing"
            if before[step : step + 1] != now[step : step + 1]:
                return Divergence(
                    name, step + 1, f"step {step + 1} was {was}; the same history again gave {instead}"
                )
    return Divergence(
        name,
        0,
        f"the same history gave the same steps but another answer; now: {_cut(_without_actions(again))}",
    )


def _without_actions(answer: str) -> str:
    state = _state(answer)
    if state is None:
        return answer
    return json.dumps({key: value for key, value in state.items() if key != "actions"}, ensure_ascii=False)


def describe(action: Action) -> str:
    """An action as its author would write it: `call_activity 'name'("input")`."""
    kind = action["actionType"]
    word = _WORDS.get(kind, f"action {kind}")
    if "compoundActions" in action:
        parts = action["compoundActions"]
        if kind == a.WHEN_ALL and len(parts) == 1:
            return describe(parts[0])  # the SDK wraps retries and long timers in a task_all of one
        return _cut(f"{word}({', '.join(describe(part) for part in parts)})")
    named = action.get("functionName") or action.get("externalEventName") or action.get("fireAt") or ""
    given = f"({action['input']})" if action.get("input") not in (None, "null") else ""
    return _cut(f"{word} '{named}'{given}" if named else f"{word}{given}")


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"


# --- ids ---


def _foreign_ids(last: Episode, known: Known, open_tasks: OpenTasks) -> Iterator[Divergence]:
    """Tasks that have one number in the host and another, or none, in the SDK."""
    state = _state(last.answer)
    if state is None or state["isDone"] or "error" in state:
        return
    listed = [action for batch in state["actions"] for action in batch]
    history = json.loads(last.context)["history"]
    own = open_tasks(last.handle, last.context)
    if own is None:
        return
    try:
        host = replay(listed, history, known)
    except (NotDeterministicError, UnsupportedActionError):
        return  # the instance has failed, and its output tells
    timers = {e["EventId"] for e in history if e["EventType"] == Kind.TIMER_CREATED}
    timers |= {d.id for d in host.decisions.values() if d.kind is Kind.TIMER_CREATED}
    for number in sorted(host.open):
        if own.get(number) != (number in timers):
            yield Divergence(
                last.name,
                len(listed),
                f"after step {len(listed)} the host runs {_task(number in timers)} under number {number},"
                f" where the SDK knows {_task(own.get(number))}: a result will reach the wrong task, or none"
                " (a retry beside other work in task_all or task_any? give it its own sub-orchestration)",
            )
            return


def _task(is_timer: bool | None) -> str:
    return {True: "a timer", False: "an activity or sub-orchestration", None: "nothing"}[is_timer]
