"""A scenario of the attack, and the rounds in which scenarios run beside healthy exports."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

AT_ONCE = 12


class NotHeld(Exception):
    """The app did what it must not; the message says what."""


@dataclass(frozen=True)
class Scenario:
    """What a peer does, and a judge of what the app made of it."""

    peer: str
    name: str
    judge: Callable[[], None]
    """Plays the scenario to its end; raises NotHeld."""


@dataclass(frozen=True)
class Result:
    """How one scenario went; `problem` is empty when it held."""

    peer: str
    name: str
    seconds: float
    problem: str = ""


def play(scenario: Scenario) -> Result:
    """One scenario; what breaks in it counts as not held, since nobody can say what the app did."""
    began = time.monotonic()
    try:
        scenario.judge()
    except NotHeld as problem:
        return Result(scenario.peer, scenario.name, time.monotonic() - began, str(problem))
    except Exception as broken:  # noqa: BLE001 - shown in the table; the other scenarios go on
        return Result(scenario.peer, scenario.name, time.monotonic() - began, f"broke: {broken!r}")
    return Result(scenario.peer, scenario.name, time.monotonic() - began)


def play_beside(scenarios: Sequence[Scenario], beside: Scenario) -> list[Result]:
    """The scenarios, some at once, and `beside` again and again until the last has ended."""
    found: list[Result] = []
    with ThreadPoolExecutor(AT_ONCE) as pool:
        running: list[Future[Result]] = [pool.submit(play, one) for one in scenarios]
        while True:
            found.append(play(beside))
            if all(one.done() for one in running):
                return [one.result() for one in running] + found
