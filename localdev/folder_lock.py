"""Hold a state folder for one process at a time, so that nobody wipes what another one uses."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from localdev.processes import StartError


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Holds the folder within the `with` block; the lock goes with the process, however it ends.

    Its file stands beside the folder, which may be removed meanwhile. Raises StartError if another process
    holds it.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f"{folder.name}.lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            raise StartError(
                f"{folder} is in use by process {holder}: end it, or choose another folder (STATE=…)"
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
