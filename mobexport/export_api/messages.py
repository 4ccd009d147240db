"""Messages of the Export API's orchestrations and activities; pure."""

from __future__ import annotations

from dataclasses import dataclass

from mobexport.wire import Message, Outcome, Step, TaskRef


@dataclass(frozen=True, kw_only=True)
class ServeExportTask(Message):
    """Input of `serve_export_task`."""

    app: str
    task_id: str


@dataclass(frozen=True, kw_only=True)
class TaskStep(Step):
    """Input of `plan_export_task` and `commit_file`."""

    app: str
    task_id: str

    @property
    def ref(self) -> TaskRef:
        return TaskRef(self.app, self.task_id)


@dataclass(frozen=True, kw_only=True)
class PartStep(TaskStep):
    """Input of `partition_slice` and `write_bucket`."""

    number: int
    """Of the slice or the bucket, from 0."""


@dataclass(frozen=True, kw_only=True)
class FinishTask(TaskStep):
    """Input of `finish_export_task`."""

    outcome: Outcome
