"""The steps that write a task's file: one for a small input; partition, write and commit for a large one.

Which it is, and the input itself, is fixed by `plan`. Each step can be repeated at any time, also while an
earlier attempt of it is still running: what a step of a large task found out is kept in the task's work
container by whoever comes first, and everybody goes on with that. A step that fails for good ends the task,
so that the steps beside it stop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial, update_wrapper
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec

from mobexport import export_types
from mobexport.blob_labels import task_labels
from mobexport.blob_paths import REJECTS_CONTAINER, raw_rejects_path, work_container
from mobexport.clock import now
from mobexport.config import App, ExportsConfig
from mobexport.container_url import ContainerUrl, check_configured_url
from mobexport.contract import TaskState
from mobexport.errors import DataError, MobexportError, Rejected
from mobexport.export_api.tasks.task_registry import ExportTask, TaskRegistry
from mobexport.export_api.writer.raw_layout import told
from mobexport.export_api.writer.raw_store import Plan, plan_files
from mobexport.export_api.writer.scale_out_storage import BlobSource, BlobTarget, BlockStream, WorkContainer
from mobexport.export_api.writer.target import TargetFile, open_blocks, write_file
from mobexport.heavy import HeavyStep, HeavySteps
from mobexport.raw_mapping import mapping_to_json
from mobexport.records.formats import ExportFormat
from mobexport.redact import redact
from mobexport.settings import Settings
from mobexport.storage import NDJSON, DataStorage
from mobexport.telemetry.logs import get_logger
from mobexport.wire import TaskRef

if TYPE_CHECKING:
    from pathlib import Path

    from mobexport.export_api.tasks.counts import ExportCounts
    from mobexport.export_api.writer import scale_out

_log = get_logger(__name__)
_Rest = ParamSpec("_Rest")
_PLAN = "plan.json"


@dataclass(frozen=True)
class Planned:
    """A task with its fixed input; without slices it is a small one, or has ended."""

    task: ExportTask
    input: Plan | None = None
    spec: scale_out.Spec | None = None

    @property
    def slices(self) -> int:
        """Number of slices of a large task; 0 for a small one."""
        return len(self.spec.slices) if self.spec else 0


def _unless_ended(
    step: Callable[Concatenate[TaskWriter, ExportTask, _Rest], dict[str, Any]],
) -> Callable[Concatenate[TaskWriter, TaskRef, _Rest], dict[str, Any]]:
    """The step by the task's reference. Of a task that has ended it gives the counts: it is a repetition, the
    container URL is gone, and so is the need."""

    def run(writer: TaskWriter, ref: TaskRef, /, *rest: _Rest.args, **named: _Rest.kwargs) -> dict[str, Any]:
        task = writer.registry.get(ref.app, ref.task_id)
        if task.state is not TaskState.STARTED:
            return dict(task.counts or {})
        return step(writer, task, *rest, **named)

    return update_wrapper(run, step)


@dataclass(frozen=True)
class TaskWriter:
    """The writing steps over one data account."""

    settings: Settings
    config: ExportsConfig
    storage: DataStorage
    registry: TaskRegistry
    steps: HeavySteps

    # --- steps --------------------------------------------------------------------------------------------

    def plan(self, ref: TaskRef) -> Planned:
        """Starts the task and fixes its input. A repetition finds the plan of the first time."""
        task = self.registry.start(ref.app, ref.task_id)
        if task.state is not TaskState.STARTED:
            return Planned(task)
        made = self._make_plan(task)
        if not self.storage.write_json(work_container(task.id), _PLAN, made):
            return Planned(task, *self._planned(task))
        return Planned(task, *self._read_plan(made))

    def write_file(self, planned: Planned) -> dict[str, Any]:
        """A small task in one step; the counts of section 3 of the design."""
        from mobexport.export_api.writer.export_file import RawFile, write_export

        task, plan, spec = planned.task, planned.input, planned.spec
        if plan is None or spec is None:
            return dict(task.counts or {})
        url = self._url(task)
        files = [
            RawFile(
                entry.name,
                partial(self.storage.read_chunks, file.container, file.blob),
                entry.kind,
                entry.stored,
                entry.day,
            )
            for entry, file in zip(spec.files, plan.files, strict=True)
        ]
        with self._heavy(task, "write") as step:
            target, rejects, workdir = (step.folder / name for name in ("target", "rejects", "work"))
            workdir.mkdir()
            write = partial(
                write_export,
                export_types.get(task.export_type),
                files,
                selection=spec.selection,
                output=spec.output,
                rejects=rejects,
                workdir=workdir,
                limits=self.settings.work_limits,
                mappings=spec.raw_mappings,
                quote_formulas=spec.quote_formulas,
                slack_days=spec.slack_days,
            )
            if url.can_overwrite:
                # Sent block by block while the rest is made.
                with _blocks(task, spec, url) as blocks, BlockStream(blocks, step.aside) as stream:
                    counts = write(target=stream)
                    self._keep_rejects(task, counts, rejects)
            else:
                counts = write(target=target)
                self._keep_rejects(task, counts, rejects)
                with step.aside():
                    write_file(target, url, _file_name(task, spec), spec.output.content_type, _labels(task))
        return _shown(counts, plan)

    @_unless_ended
    def partition_slice(self, task: ExportTask, number: int) -> dict[str, Any]:
        """Reads one slice of a large task into records by bucket."""
        container, done = work_container(task.id), _slice_outcome(number)
        if self.storage.read_json(container, done) is None:
            from mobexport.export_api.writer import scale_out

            store = WorkContainer(self.storage, container)
            plan, spec = self._planned(task)
            source = BlobSource(self.storage, plan.files)
            with self._heavy(task, f"slice {number}") as step, self._ends(task):
                outcome = scale_out.partition_slice(
                    spec, number, source, store, workdir=step.folder, limits=self.settings.work_limits
                )
            self.storage.write_json(container, done, outcome)
        return {"slice": number}

    @_unless_ended
    def write_bucket(self, task: ExportTask, bucket: int) -> dict[str, Any]:
        """Stages the blocks of one bucket of a large task."""
        container, done = work_container(task.id), _bucket_outcome(bucket)
        if self.storage.read_json(container, done) is None:
            from mobexport.export_api.writer import scale_out

            store = WorkContainer(self.storage, container)
            _, spec = self._planned(task)
            tokens = self._tokens(task, spec)
            with (
                self._heavy(task, f"bucket {bucket}") as step,
                self._ends(task),
                self._target(task, spec) as target,
            ):
                outcome = scale_out.write_bucket(spec, bucket, tokens, store, target, step.aside)
            self.storage.write_json(container, done, outcome)
        return {"bucket": bucket}

    @_unless_ended
    def commit_file(self, task: ExportTask) -> dict[str, Any]:
        """Makes the file of a large task appear; the counts of section 3 of the design."""
        from mobexport.export_api.writer import scale_out

        plan, spec = self._planned(task)
        store = WorkContainer(self.storage, work_container(task.id))
        tokens = self._tokens(task, spec)
        written = [self._outcome(task, _bucket_outcome(bucket)) for bucket in range(spec.buckets)]
        blob = self.storage.container(REJECTS_CONTAINER).get_blob_client(raw_rejects_path(task.ref))
        with (
            self._ends(task),
            BlockStream(BlobTarget(blob, NDJSON, _labels(task))) as rejects,
            self._target(task, spec) as target,
        ):
            counts = scale_out.commit(spec, tokens, written, store, target, rejects)
        return _shown(counts, plan)

    def _heavy(self, task: ExportTask, step: str) -> AbstractContextManager[HeavyStep]:
        what = f"{step} of task {task.id} ({task.export_type} of {task.app!r})"
        return self.steps.run(
            f"{task.id}-{step.replace(' ', '-')}", what, "EXPORT_SMALL_MB or EXPORT_SLICE_MB"
        )

    def _keep_rejects(self, task: ExportTask, counts: ExportCounts, rejects: Path) -> None:
        if counts.rejected:
            self.storage.upload_file(
                REJECTS_CONTAINER, raw_rejects_path(task.ref), rejects, NDJSON, _labels(task)
            )

    # --- parts --------------------------------------------------------------------------------------------

    def _make_plan(self, task: ExportTask) -> dict[str, Any]:
        from mobexport.export_api.writer import scale_out

        export_type = export_types.get(task.export_type)
        app = self.config.apps.get(task.app, App())
        mappings = {kind: one for kind, one in app.raw.items() if kind in export_type.kinds}
        found = plan_files(
            self.storage,
            self.settings.raw_container,
            task.app,
            export_type,
            task.selection.window,
            self.settings.raw_slack_days,
            app.raw,
        )
        if lines := list(told(found.skipped)):
            _log.warning("export task %s does not read all there is: %s", task.id, "; ".join(lines))
        spec = scale_out.Spec(
            task.export_type,
            ExportFormat(task.export_format),
            task.selection,
            tuple(file.entry(task.app) for file in found.files),
            mappings={kind: mapping_to_json(one) for kind, one in mappings.items()},
            quote_formulas=app.csv_formulas == "quoted",
            slack_days=self.settings.raw_slack_days if found.days else None,
        )
        if sum(file.unpacked for file in spec.files) > self.settings.export_small_mb * 2**20:
            with self._target(task, spec):
                spec = self._cut(spec, found)
        return {"input": found.to_json(), "spec": spec.to_json()}

    def _cut(self, spec: scale_out.Spec, found: Plan) -> scale_out.Spec:
        from mobexport.export_api.writer import scale_out

        slice_bytes = int(self.settings.export_slice_mb * 2**20)
        source = BlobSource(self.storage, found.files)
        planned = scale_out.plan(spec, source, slice_bytes=slice_bytes, bucket_bytes=max(slice_bytes // 2, 1))
        most = self.settings.export_gzip_mb
        for piece in (piece for one in planned.slices for piece in one.pieces):
            file = spec.files[piece.file]
            if file.is_gzip and piece.end - piece.first > most * 2**20:
                raise DataError(
                    f"{file.name} has more than EXPORT_GZIP_MB ({most:g}) in one gzip member, which cannot be"
                    " cut into slices: split it, or store it plain or as Parquet",
                    code="TooLarge",
                )
        return planned

    def _planned(self, task: ExportTask) -> tuple[Plan, scale_out.Spec]:
        fixed = self.storage.read_json(work_container(task.id), _PLAN)
        if fixed is None:
            raise DataError(f"the plan of task {task.id} is gone: was its work container deleted?")
        return self._read_plan(fixed)

    def _read_plan(self, fixed: Mapping[str, Any]) -> tuple[Plan, scale_out.Spec]:
        from mobexport.export_api.writer import scale_out

        plan = Plan.from_json(fixed["input"], self.settings.raw_container)
        return plan, scale_out.Spec.from_json(fixed["spec"])

    def _url(self, task: ExportTask) -> ContainerUrl:
        secret = self.registry.container_url(task.app, task.id)
        if secret is None:
            raise Rejected("the task's container URL is gone", code="ContainerUrlGone")
        return check_configured_url(secret, self.settings, self.config, self.storage.blobs.url, now())

    def _target(self, task: ExportTask, spec: scale_out.Spec) -> AbstractContextManager[TargetFile]:
        return _blocks(task, spec, self._url(task))

    def _outcome(self, task: ExportTask, name: str) -> dict[str, Any]:
        found: dict[str, Any] | None = self.storage.read_json(work_container(task.id), name)
        if found is None:
            raise DataError(f"{name} of task {task.id} is gone: was its work container deleted?")
        return found

    def _tokens(self, task: ExportTask, spec: scale_out.Spec) -> list[str]:
        return [self._outcome(task, _slice_outcome(one.number))["token"] for one in spec.slices]

    @contextmanager
    def _ends(self, task: ExportTask) -> Iterator[None]:
        """Ends the task where a step of many fails for good: the others need not go on."""
        try:
            yield
        except MobexportError as error:
            if not error.retryable:
                self.registry.fail(task.app, task.id, redact(error.message))
            raise


def _blocks(task: ExportTask, spec: scale_out.Spec, url: ContainerUrl) -> AbstractContextManager[TargetFile]:
    return open_blocks(url, _file_name(task, spec), spec.output.content_type, _labels(task))


def _labels(task: ExportTask) -> dict[str, str]:
    return task_labels(task.export_type, task.ref)


def _file_name(task: ExportTask, spec: scale_out.Spec) -> str:
    return f"{task.export_type}-{task.id}.{spec.output.extension}"


def _shown(counts: ExportCounts, plan: Plan) -> dict[str, Any]:
    return {**counts.to_json(), **plan.told()}


def _slice_outcome(number: int) -> str:
    return f"outcome/slice-{number:05}.json"


def _bucket_outcome(bucket: int) -> str:
    return f"outcome/bucket-{bucket:05}.json"
