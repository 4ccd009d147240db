"""One step that writes or converts a file at a time, in a temporary folder that is always removed.

An instance has one core and about 0.8 GB of temporary disk; so a step can use its limits alone.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_lock = threading.Lock()


@contextmanager
def exclusive_step() -> Iterator[Path]:
    """Waits for its turn, then gives an empty folder for this step alone."""
    with _lock, tempfile.TemporaryDirectory(prefix="mobexport-") as folder:
        yield Path(folder)
