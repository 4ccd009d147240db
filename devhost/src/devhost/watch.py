"""Changes of an app's files that restart the host, found by polling their times."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

Snapshot = Mapping[str, tuple[int, int]]
"""Time of the last change in nanoseconds and size, by path."""
_SKIPPED = ("node_modules", "__pycache__")
_LEAST_PAUSE_SECONDS = 0.4
_PAUSE_PER_LOOK = 200
"""Seconds of rest per second of polling: half a per cent of a core for any number of files."""


class Watch:
    """Every `.py` below the root, and host.json; not in hidden folders, virtual environments or `skip`.

    The real host looks into those too, which makes it restart on `pip install`.
    """

    def __init__(self, root: Path, skip: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._root = root
        self._skip = str(skip)
        self._clock = clock
        self.pause = _LEAST_PAUSE_SECONDS
        """Seconds to wait before the next poll."""
        self._seen = self.look()

    def look(self) -> Snapshot:
        began = self._clock()
        found = dict(self._files(str(self._root)))
        with suppress(OSError):
            found[str(self._root / "host.json")] = _times((self._root / "host.json").stat())
        self.pause = max(_LEAST_PAUSE_SECONDS, (self._clock() - began) * _PAUSE_PER_LOOK)
        return found

    def changes(self) -> list[str]:
        """Paths that are new, gone or different since the last call, relative to the root."""
        before, self._seen = self._seen, self.look()
        names = before.keys() | self._seen.keys()
        different = sorted(name for name in names if before.get(name) != self._seen.get(name))
        return [os.path.relpath(name, self._root) for name in different]

    def _files(self, folder: str) -> Iterator[tuple[str, tuple[int, int]]]:
        try:
            entries = list(os.scandir(folder))
        except OSError:
            return  # gone meanwhile, or not ours to read
        if any(entry.name == "pyvenv.cfg" for entry in entries):
            return
        for entry in entries:
            with suppress(OSError):
                if entry.is_dir(follow_symlinks=False):
                    if entry.name not in _SKIPPED and entry.name[0] != "." and entry.path != self._skip:
                        yield from self._files(entry.path)
                elif entry.name.endswith(".py"):
                    yield entry.path, _times(entry.stat())


def _times(found: os.stat_result) -> tuple[int, int]:
    return found.st_mtime_ns, found.st_size
