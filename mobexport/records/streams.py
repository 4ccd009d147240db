"""Chunks of bytes as a file that is read once."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import IO, Any


def stream_of(chunks: Iterable[bytes]) -> IO[bytes]:
    """A file, to be read once from its start, of some chunks."""
    return io.BufferedReader(_Chunks(chunks), 256 * 1024)


class _Chunks(io.RawIOBase):
    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._left = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._left:
            following = next(self._chunks, None)
            if following is None:
                return 0
            self._left = memoryview(following)
        size = min(len(buffer), len(self._left))
        buffer[:size] = self._left[:size]
        self._left = self._left[size:]
        return size
