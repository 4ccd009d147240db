"""An Azurite of a test run's own: in memory, on free ports."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from devhost.azurite import Azurite, find_command
from devhost.errors import HostError
from devhost.ports import open_port

ROOT = Path(__file__).parents[3]
TRIES = 3


@contextmanager
def emulator(folder: Path) -> Iterator[Azurite]:
    """Its log is in `folder`. Raises HostError when Azurite is not installed or does not start."""
    command = find_command(ROOT)
    running = _start(command, folder)
    try:
        yield running
    finally:
        running.stop()


def _start(command: str, folder: Path) -> Azurite:
    for left in reversed(range(TRIES)):
        starting = Azurite(command, folder, _free_ports(), in_memory=True)
        try:
            starting.start()
        except HostError:
            # A free port can be taken by another process before Azurite has it.
            if not left:
                raise
        else:
            return starting
    raise AssertionError("the last try returns or raises")


def _free_ports() -> tuple[int, int, int]:
    with ExitStack() as held:
        blob, queue, table = (held.enter_context(open_port(0)).getsockname()[1] for _ in range(3))
        return blob, queue, table
