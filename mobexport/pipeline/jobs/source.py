"""The port to a system that runs export jobs; `export_api_client` is the one there is.

To add one: a module beside this with a class of this protocol, and its `kind` in `exports.toml`
(CONTRIBUTING.md, *Add a source of export jobs*).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from mobexport.pipeline.registry.export_request import ExportRequest
from mobexport.pipeline.registry.states import JobState
from mobexport.records.formats import ExportFormat


class Delivery(StrEnum):
    """Way in which a job's files are delivered."""

    PUSHED = "pushed"
    """The system writes them into the container whose URL it is given."""
    LEFT = "left"
    """The system leaves them in a folder of the data account that its jobs name; it is only read."""


@dataclass(frozen=True)
class Job:
    """An export job as its system shows it; `state` in that system's own words."""

    id: str
    state: str
    description: str = ""
    """Begins with the marker that the job was created with."""
    error: str | None = None
    retry_after: float | None = None
    """Seconds that the system asked to wait before the next call."""
    folder: str | None = None
    """`container/folder/` with its files, once it succeeded; for `Delivery.LEFT`."""
    counts: Mapping[str, Any] | None = None
    """What became of the raw records (`contract.RecordCounts`), once it succeeded; None: it does not tell."""


class JobSource(Protocol):
    """A system that runs export jobs, as the pipeline uses it.

    All calls raise RemoteError (Transient, Throttled, Rejected), or ConfigError.
    """

    states: Mapping[str, JobState]
    """The system's words for the state of a job; any other word is an error, never "still running"."""
    delivery: Delivery
    file_format: ExportFormat
    """Format of the files that the pipeline processes."""

    def create(self, request: ExportRequest, container_url: str | None, description: str) -> Job:
        """Asks for a job that writes into the container (None for `Delivery.LEFT`).

        Not idempotent: look by marker first.
        """

    def status(self, request: ExportRequest, job_id: str) -> Job:
        """The job's present state."""

    def find_by_marker(self, request: ExportRequest, marker: str) -> list[Job]:
        """The newest jobs of the request's type whose description begins with `marker`, oldest first."""

    def abort(self, request: ExportRequest, job_id: str) -> None:
        """Stops a job that nobody waits for any more, if the system can; may be repeated."""
