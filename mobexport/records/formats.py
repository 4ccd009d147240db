"""The formats of an export file. Source: `exportFormat` of the specification."""

from __future__ import annotations

from enum import StrEnum


class ExportFormat(StrEnum):
    """`exportFormat` of a request."""

    JSON = "JsonBlob"
    CSV = "CsvBlob"

    @property
    def extension(self) -> str:
        """Ending of the file's name."""
        return "csv" if self is ExportFormat.CSV else "json"

    @property
    def content_type(self) -> str:
        """Content type of the file."""
        return "text/csv; charset=utf-8" if self is ExportFormat.CSV else "application/json"
