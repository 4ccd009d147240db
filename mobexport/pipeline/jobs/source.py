"""The port to a system that runs export jobs; the Export API client is the one there is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from mobexport.pipeline.registry.export_request import ExportRequest
from mobexport.pipeline.registry.states import JobState


@dataclass(frozen=True)
class Job:
    """An export job as its system shows it; `state` in that system's own words."""

    id: str
    state: str
    description: str = ""
    error: str | None = None
    retry_after: float | None = None
    """Seconds that the system asked to wait before the next call."""


class JobSource(Protocol):
    """What the pipeline needs of a system that runs export jobs.

    All calls raise RemoteError (Transient, Throttled, Rejected), or ConfigError.
    """

    states: Mapping[str, JobState]
    """Its words for the state of a job; any other is an error, never "still running"."""

    def create(self, request: ExportRequest, container_url: str, description: str) -> Job:
        """Asks for a job that writes into the container. Not idempotent: look by marker first."""

    def status(self, request: ExportRequest, job_id: str) -> Job:
        """The job's present state."""

    def find_by_marker(self, request: ExportRequest, marker: str) -> list[Job]:
        """The newest jobs whose description begins with `marker`, oldest first."""
