"""A small job source that is no Export API: files appear in a container, with a status document beside them.

A job is a folder of the container `vendor`: `job.json` is what was asked for, `status.json` what its system
says of it, and the files are CSV.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from mobexport.errors import Rejected
from mobexport.pipeline.jobs.source import Delivery, Job
from mobexport.pipeline.registry.export_request import ExportRequest
from mobexport.pipeline.registry.states import JobState
from mobexport.records.formats import ExportFormat
from mobexport.storage import DataStorage

VENDOR = "vendor"


class FolderSource:
    """A JobSource over a container; tests play the system behind it with `put`."""

    states: Mapping[str, JobState] = {
        "waiting": JobState.QUEUED,
        "working": JobState.RUNNING,
        "done": JobState.SUCCEEDED,
        "broken": JobState.FAILED,
    }
    delivery = Delivery.LEFT
    file_format = ExportFormat.CSV

    def __init__(self, storage: DataStorage, app: str) -> None:
        self._storage = storage
        self._app = app
        self._storage.container(VENDOR)

    def put(self, path: str, data: bytes | Mapping[str, Any]) -> None:
        """What the system behind it does: writes below the app's folder."""
        body = data if isinstance(data, bytes) else json.dumps(data).encode()
        self._storage.container(VENDOR).upload_blob(f"{self._app}/{path}", body, overwrite=True)

    def jobs(self) -> list[str]:
        """Ids of all jobs, oldest first."""
        names = [blob.name.split("/") for blob in self._storage.list_blobs(VENDOR, f"{self._app}/")]
        return sorted({parts[1] for parts in names if parts[-1] == "job.json"})

    def create(self, request: ExportRequest, container_url: str | None, description: str) -> Job:
        assert container_url is None
        job_id = f"job-{len(self.jobs()) + 1}"
        self.put(f"{job_id}/job.json", {"marker": description, "of": request.subject()})
        return Job(job_id, "waiting", description)

    def status(self, request: ExportRequest, job_id: str) -> Job:
        asked = self._read(f"{job_id}/job.json")
        if asked is None:
            raise Rejected(f"there is no job {job_id}", status=404)
        shown = self._read(f"{job_id}/status.json") or {"phase": "waiting"}
        folder = f"{VENDOR}/{self._app}/{job_id}/files/"
        return Job(job_id, shown["phase"], asked["marker"], shown.get("why"), folder=folder)

    def find_by_marker(self, request: ExportRequest, marker: str) -> list[Job]:
        found = [self.status(request, job_id) for job_id in self.jobs()]
        return [job for job in found if job.description.startswith(marker)]

    def abort(self, request: ExportRequest, job_id: str) -> None:
        self.put(f"{job_id}/stop.json", {})

    def _read(self, path: str) -> Any:
        return self._storage.read_json(VENDOR, f"{self._app}/{path}")
