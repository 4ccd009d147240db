"""The blocks that a large file is made of: their names, and the text cut into them while it is made."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol, Self

TARGET_BLOCK_BYTES = 4 * 1024 * 1024
_STAGING = 2
_PATIENCE = 1.0
"""Seconds of waiting for a target after which others take their turn."""

Aside = Callable[[], AbstractContextManager[None]]
"""`HeavyStep.aside`, or `nullcontext` for what waits in nobody's way."""


class BlockTarget(Protocol):
    """The export file: blocks under names of equal length, and their list that makes it appear at once."""

    def stage(self, block: str, data: bytes) -> None:
        """Keeps a block, over one of that name."""

    def commit(self, blocks: Sequence[str]) -> None:
        """Makes the file of these blocks in their order; may be repeated."""


class Blocks:
    """Cuts a bucket's text into blocks of one size, wherever its chunks end, and stages them two at a time.

    All are staged when the `with` block ends without an exception. What staging raises comes with a later
    block, or then.
    """

    def __init__(self, target: BlockTarget, bucket: int, aside: Aside = nullcontext) -> None:
        self._target = target
        self._bucket = bucket
        self._aside = aside
        self._pending = bytearray()
        self._pool = ThreadPoolExecutor(_STAGING)
        self._staging: deque[Future[None]] = deque()
        self.count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                if self._pending:
                    self._stage(len(self._pending))
                self._wait(0)
        finally:
            with nullcontext() if kind is None else self._aside():
                self._pool.shutdown(cancel_futures=True)

    def add(self, data: bytes) -> None:
        self._pending += data
        while len(self._pending) >= TARGET_BLOCK_BYTES:
            self._stage(TARGET_BLOCK_BYTES)

    @property
    def names(self) -> list[str]:
        """The staged blocks in their order."""
        return [block_name(self._bucket + 1, number) for number in range(1, self.count + 1)]

    def _stage(self, size: int) -> None:
        self._wait(_STAGING - 1)
        self.count += 1
        block = block_name(self._bucket + 1, self.count)
        self._staging.append(self._pool.submit(self._target.stage, block, bytes(self._pending[:size])))
        del self._pending[:size]

    def _wait(self, left: int) -> None:
        while len(self._staging) > left:
            oldest = self._staging.popleft()
            if not wait([oldest], _PATIENCE).done:
                with self._aside():
                    wait([oldest])
            oldest.result()


def block_name(bucket: int, number: int) -> str:
    """A block's name: bucket 0 has the file's beginning, number 0 of each what stands before its text."""
    return f"{bucket:05}-{number:06}"
