"""Heavy steps: one at a time in a process, in a temporary folder that is always removed, and marked.

An instance has one core and about 0.8 GB of temporary disk; so a step can use its limits alone. Only while it
waits for somebody else's storage another one takes its turn. A mark stands
in a table while a step is under way: where the worker dies in it, it stays, and the step's next try finds it.
Memory is limited while it is under way, so that a step which takes too much fails, and not its worker.
"""

from __future__ import annotations

import errno
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError

from mobexport.clock import stamp
from mobexport.errors import OutOfMemory, WorkerLost
from mobexport.storage import STEPS_TABLE, DataStorage

MAX_DEATHS: Final = 3
"""Workers that may die in one step before it is not begun again."""

ROOM: Final = 768 * 2**20
"""Bytes that the process may take more than it has when a step begins. Ordinary steps take up to 200 MiB, and
run with room for 100 (measured); allocators reserve more where nothing limits them."""

_PARTITION: Final = "steps"
_lock = threading.Lock()


@dataclass(frozen=True)
class HeavyStep:
    """A heavy step whose turn it is."""

    folder: Path
    _turn: ExitStack

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Lets others take their turn while this one waits for somebody else's storage."""
        self._turn.close()
        try:
            yield
        finally:
            self._turn.enter_context(_turn())


@dataclass(frozen=True)
class HeavySteps:
    """Heavy steps over one data account."""

    storage: DataStorage

    @contextmanager
    def run(self, key: str, what: str, helps: str) -> Iterator[HeavyStep]:
        """Waits for its turn, then gives the step, with an empty folder for it alone.

        `key` names the step for all its tries. Raises WorkerLost, which says `what` it was at and which
        setting `helps`, if the worker died in each of three earlier tries.
        """
        with ExitStack() as turn, tempfile.TemporaryDirectory(prefix="mobexport-") as folder:
            turn.enter_context(_turn())
            self._begin(key, what, helps)
            try:
                yield HeavyStep(Path(folder), turn)
            except (MemoryError, OSError) as error:
                # A map of memory is refused by the system's own error.
                if isinstance(error, OSError) and error.errno != errno.ENOMEM:
                    raise
                raise OutOfMemory(
                    f"{what} takes more than {ROOM >> 20} MiB of memory: choose a smaller {helps}, or look at"
                    " what is special in that data"
                ) from None
            finally:
                self._table.delete_entity(_PARTITION, key)

    def forget(self, before: datetime) -> int:
        """Deletes marks that have not changed since then, of steps that nobody tries again; their number."""
        old = self._table.query_entities("updated_at lt @before", parameters={"before": stamp(before)})
        return sum(1 for entity in old if self._table.delete_entity(entity) is None)

    def _begin(self, key: str, what: str, helps: str) -> None:
        mark = {"PartitionKey": _PARTITION, "RowKey": key, "begun": 1, "updated_at": stamp()}
        try:
            self._table.create_entity(mark)
            return
        except ResourceExistsError:
            begun = self._begun(key)
        if begun >= MAX_DEATHS:
            raise WorkerLost(
                f"the worker died {begun} times while it was at {what}, most often for want of memory:"
                f" choose a larger instance size, or a smaller {helps}, and ask again"
            )
        self._table.upsert_entity({**mark, "begun": begun + 1})

    def _begun(self, key: str) -> int:
        try:
            return int(self._table.get_entity(_PARTITION, key)["begun"])
        except ResourceNotFoundError:
            return 0  # Another try of the step has just ended.

    @property
    def _table(self) -> Any:
        return self.storage.table(STEPS_TABLE)


@contextmanager
def _turn() -> Iterator[None]:
    with _lock, _limited_memory():
        yield


@contextmanager
def _limited_memory() -> Iterator[None]:
    """Limits the private memory of the process to what it has now and `ROOM`; on Linux only.

    The limit holds for all threads; what they start anew is small beside it.
    """
    if sys.platform != "linux":
        yield
        return
    import resource

    pages = int(Path("/proc/self/statm").read_text("ascii").split()[5])
    before = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = pages * resource.getpagesize() + ROOM
    bounds = [limit for limit in before if limit != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_DATA, (min([wanted, *bounds]), before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)
