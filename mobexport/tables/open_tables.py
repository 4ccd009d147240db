"""Tables that stay open between commits: whoever commits again reads only what came since.

Opening one reads its checkpoint and each commit after it, some thirty calls. A few tables are kept, for
minutes, and one commit at a time works with each.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Final

from mobexport.tables.transactions import Transactions, read_transactions

if TYPE_CHECKING:
    from azure.storage.blob import ContainerClient
    from deltalake import DeltaTable

# azure-identity gives tokens that are good for five minutes at least; an open table keeps the one it got.
_SECONDS: Final = 240
_MOST: Final = 4


@dataclass
class OpenTable:
    """A table and its transactions, as of the version that was read last."""

    table: DeltaTable
    folder: str
    container: ContainerClient
    until: float
    """By the monotonic clock."""
    log: Transactions | None = None

    def transactions(self) -> dict[str, int]:
        """Version of each application transaction by its name. Raises Transient."""
        self.log = read_transactions(self.container, self.folder, self.table.version(), self.log)
        return dict(self.log.known)

    def refresh(self) -> bool:
        """Reads what came since; False if that cannot be done, as the table is old or another one."""
        if time.monotonic() > self.until or self.log is None:
            return False
        if not self.log.still_hold(self.container, self.folder):
            return False
        self.table.update_incremental()
        return True


class OpenTables:
    """The open tables of an account."""

    def __init__(self) -> None:
        self._kept: dict[str, OpenTable] = {}
        self._locks: dict[str, Lock] = {}
        self._lock = Lock()

    @contextmanager
    def use(
        self, folder: str, container: ContainerClient, open_table: Callable[[], DeltaTable]
    ) -> Iterator[OpenTable]:
        """The newest version of a table, for one user at a time; opened anew after one who failed."""
        with self._lock:
            own = self._locks.setdefault(folder, Lock())
        with own:
            # Taken out, so that a failure leaves none behind.
            found = self._kept.pop(folder, None)
            if found is None or not found.refresh():
                until = time.monotonic() + _SECONDS
                found = OpenTable(open_table(), folder, container, until)
            yield found
            with self._lock:
                self._kept[folder] = found
                for oldest in list(self._kept)[:-_MOST]:
                    # Its user may have taken it out just now.
                    self._kept.pop(oldest, None)
