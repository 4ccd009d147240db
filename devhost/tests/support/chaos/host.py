"""A host that kills itself at a commit: `python -m chaos.host start …`, told where by CHAOS_KILL."""

from __future__ import annotations

import os
import signal
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from devhost import building, cli
from devhost.durable.commit_points import CommitPoint
from devhost.durable.store import Store

BEFORE, AFTER = "before", "after"


@dataclass(frozen=True)
class Kill:
    """The `number`th time (from 1) a process comes to `point` (None: any), `before` or `after` its commit."""

    point: CommitPoint | None
    side: str
    number: int

    def __str__(self) -> str:
        return f"{self.point.value if self.point else 'any'}:{self.side}:{self.number}"

    @classmethod
    def parse(cls, text: str) -> Self:
        point, side, number = text.split(":")
        return cls(None if point == "any" else CommitPoint(point), side, int(number))


class KillingStore(Store):
    """The store itself; only its process does not live as long."""

    def __init__(self, path: Path | str) -> None:
        super().__init__(path)
        told = os.environ.get("CHAOS_KILL")
        self._kill = Kill.parse(told) if told else None
        self._passed: Counter[CommitPoint | None] = Counter()

    def _commit(self, point: CommitPoint) -> None:
        self._passed.update((point, None))
        kill = self._kill
        hit = kill is not None and kill.point in (point, None) and self._passed[kill.point] == kill.number
        if hit and kill is not None and kill.side == BEFORE:
            os.kill(os.getpid(), signal.SIGKILL)
        super()._commit(point)
        if hit:
            os.kill(os.getpid(), signal.SIGKILL)


def main(store: type[Store] = KillingStore) -> int:
    vars(building)["Store"] = store
    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
