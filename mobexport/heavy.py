"""Heavy steps: one at a time in a process, in a temporary folder that is always removed, and marked.

An instance has one core and about 0.8 GB of temporary disk; so a step can use its limits alone. A mark stands
in a table while a step is under way: where the worker dies in it, it stays, and the step's next try finds it.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError

from mobexport.clock import stamp
from mobexport.errors import WorkerLost
from mobexport.storage import STEPS_TABLE, DataStorage

MAX_DEATHS: Final = 3
"""Workers that may die in one step before it is not begun again."""

_PARTITION: Final = "steps"
_lock = threading.Lock()


@dataclass(frozen=True)
class HeavySteps:
    """Heavy steps over one data account."""

    storage: DataStorage

    @contextmanager
    def run(self, key: str, what: str, helps: str) -> Iterator[Path]:
        """Waits for its turn, then gives an empty folder for this step alone.

        `key` names the step for all its tries. Raises WorkerLost, which says `what` it was at and which
        setting `helps`, if the worker died in each of three earlier tries.
        """
        with _lock, tempfile.TemporaryDirectory(prefix="mobexport-") as folder:
            self._begin(key, what, helps)
            try:
                yield Path(folder)
            finally:
                self._table.delete_entity(_PARTITION, key)

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
