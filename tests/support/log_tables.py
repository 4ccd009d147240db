"""Tables of a Log Analytics workspace, filled from the local host's log; queries in their own language.

The engine is duckdb-kql. Of the columns only those that the queries use are there.
Source: https://learn.microsoft.com/azure/azure-monitor/reference/tables/apptraces, …/apprequests.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

import duckdb_kql

_TABLES: Final = """
create table AppTraces (TimeGenerated timestamp, Message varchar, SeverityLevel bigint, Properties json,
  OperationId varchar);
create table AppRequests (TimeGenerated timestamp, Name varchar, Success boolean, ResultCode varchar,
  OperationId varchar);
"""
_LINE: Final = re.compile(r"^\[(\S+)Z\] (?:(warning|error|critical): )?(?:(\w+): )?(.*)$")
_RAN: Final = re.compile(r"^Executed 'Functions\.(\w+)' \((\w+),")
_LEVELS: Final = {None: 1, "warning": 2, "error": 3, "critical": 4}


class LogTables:
    """`AppTraces` and `AppRequests`."""

    def __init__(self) -> None:
        self._connection = duckdb_kql.connect()
        self._connection.execute(_TABLES)

    def trace(self, at: datetime, message: str, level: int = 1, **properties: str) -> None:
        """A row of AppTraces."""
        row = [at, message, level, json.dumps(properties), "operation"]
        self._connection.execute("insert into AppTraces values (?, ?, ?, ?, ?)", row)

    def request(self, at: datetime, name: str, *, success: bool = True, code: int = 0) -> None:
        """A row of AppRequests: a function ran; `code` is 0, or the status of an HTTP function."""
        row = [at, name, success, str(code), "operation"]
        self._connection.execute("insert into AppRequests values (?, ?, ?, ?, ?)", row)

    def read(self, log: Iterable[str]) -> None:
        """The local host's lines as the real one would send them: a run is a request, the rest are traces."""
        for line in log:
            found = _LINE.match(line)
            if found is None:
                continue  # a further line of the one before
            at, level, function, message = found.groups()
            ran = _RAN.match(message)
            if ran:
                self.request(datetime.fromisoformat(at), ran[1], success=ran[2] == "Succeeded")
            else:
                category = f"Function.{function}.User" if function else "Host"
                self.trace(datetime.fromisoformat(at), message, _LEVELS[level], Category=category)

    def ask(self, query: str, now: datetime) -> list[Mapping[str, Any]]:
        """The rows of a query, with `now` for the present time."""
        found = duckdb_kql.query(self._connection, query, query_now=now)
        return [dict(zip(found.columns, row, strict=True)) for row in found.fetchall()]
