"""The port to a system that runs export jobs; the Export API client is the one there is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from mobexport.pipeline.registry.export_request import ExportRequest


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

    def create(self, request: ExportRequest, container_url: str, description: str) -> Job:
        """Asks for a job that writes into the container. Not idempotent: look by token first."""

    def status(self, request: ExportRequest, job_id: str) -> Job:
        """The job's present state."""

    def find_by_token(self, request: ExportRequest, token: str) -> list[Job]:
        """The newest jobs whose description begins with `token`, oldest first."""
