"""Upkeep of tables, once a day: their properties, compaction, vacuum, checkpoints, old logs.

Each step may be repeated and be killed anywhere. None stands in the way of an export: a commit that comes in
between wins, and what the upkeep had begun is left for the next day.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from deltalake import CommitProperties, DeltaTable, PostCommitHookProperties, WriterProperties
from deltalake.exceptions import CommitFailedError, DeltaError

from mobexport.blob_paths import CURATED_CONTAINER
from mobexport.errors import MobexportError
from mobexport.heavy import HeavySteps
from mobexport.tables.active_files import ActiveFile, active_files
from mobexport.tables.pointers import pointer_blobs
from mobexport.tables.tables import Tables, as_our_errors
from mobexport.tables.transactions import last_checkpoint
from mobexport.telemetry.logs import get_logger

_MIB: Final = 2**20
_LEAST_LOG: Final = timedelta(days=30)
# A commit writes one at each tenth version; half as many are worth the forty calls of one at night.
_CHECKPOINT_AFTER: Final = 5
# As conversion writes them; the level is that of pyarrow.
_ROW_GROUP_ROWS: Final = 65_536
_WRITER: Final = WriterProperties(compression="ZSTD", compression_level=1, max_row_group_size=_ROW_GROUP_ROWS)
_QUIET: Final = PostCommitHookProperties(cleanup_expired_logs=False)

_log = get_logger(__name__)


@dataclass(frozen=True)
class CompactionLimits:
    """Which days are compacted, and how much of that one run does."""

    target_bytes: int = 128 * _MIB
    """Size of the files that compaction makes, about."""
    small_bytes: int = 32 * _MIB
    many: int = 8
    """A day with so many small files is compacted."""
    run_files: int = 2_000
    """Files that one run reads at most, in all tables."""
    run_bytes: int = 1024 * _MIB
    """Their bytes; a day that has more in files below the target stays as it is."""


@dataclass
class Budget:
    """What a run may still read."""

    files: int
    bytes: int

    def takes(self, files: int, size: int) -> bool:
        """Spends it, if there is enough left."""
        if files > self.files or size > self.bytes:
            return False
        self.files -= files
        self.bytes -= size
        return True


def partitions_to_compact(
    files: Iterable[ActiveFile], limits: CompactionLimits, budget: Budget
) -> list[Mapping[str, str]]:
    """Partitions with many small files, those with most first, as far as the budget goes, which is spent."""
    found: dict[tuple[tuple[str, str], ...], list[int]] = {}
    for file in files:
        if file.bytes < limits.target_bytes:
            found.setdefault(tuple(sorted(file.partition.items())), []).append(file.bytes)
    small = {one: sum(size < limits.small_bytes for size in sizes) for one, sizes in found.items()}
    wanted = sorted((one for one in found if small[one] >= limits.many), key=lambda one: (-small[one], one))
    return [dict(one) for one in wanted if budget.takes(len(found[one]), sum(found[one]))]


@dataclass(frozen=True)
class TableUpkeep:
    """Keeps up the tables of one data account."""

    tables: Tables
    steps: HeavySteps
    history: timedelta
    """For so long files that no longer count are kept, and with them the table's older versions."""
    limits: CompactionLimits = field(default_factory=CompactionLimits)

    def run(self, unfinished: Collection[str] = ()) -> dict[str, int]:
        """Keeps up every table: `{compacted, superseded, checkpoints, failed}`: partitions, files, tables.

        `unfinished` are folders for which an attempt older than the history is still at work: it may have
        written files that it has not committed, and nothing is deleted there. A table that fails is logged,
        and the others go on.
        """
        done: Counter[str] = Counter({"compacted": 0, "superseded": 0, "checkpoints": 0, "failed": 0})
        budget = Budget(self.limits.run_files, self.limits.run_bytes)
        for folder in self.tables.folders():
            try:
                with as_our_errors(folder):
                    done.update(self._keep_up(folder, budget, vacuums=folder not in unfinished))
            except (MobexportError, DeltaError) as error:
                said = str(error).partition("\n")[0]  # delta-rs adds its stack
                _log.warning("table %s was not kept up, the next run tries again: %s", folder, said)
                done["failed"] += 1
        return dict(done)

    def _keep_up(self, folder: str, budget: Budget, *, vacuums: bool) -> Counter[str]:
        done: Counter[str] = Counter()
        table = self.tables.open(folder)
        if table is None:
            return done
        try:
            self._set_properties(table)
            for partition in partitions_to_compact(active_files(table), self.limits, budget):
                done["compacted"] += self._compact(table, folder, partition)
            # What pointers name counts until it is migrated, and no log knows of it.
            if vacuums and not next(pointer_blobs(self.tables.storage, folder), None):
                done["superseded"] += len(self._vacuum(table))
            done["checkpoints"] += self._checkpoint(table, folder)
        except CommitFailedError:
            _log.info("table %s: an export was committed meanwhile; the next run goes on", folder)
        return done

    def _set_properties(self, table: DeltaTable) -> None:
        """Vacuum knows by its tombstone when a file ended; a version is readable as long as its log is there.

        Compacted files have statistics of ids alone, as long texts do not belong into the log, and the
        greatest time would be cut to milliseconds, so that a reader might skip its record.
        """
        ids = [field.name for field in table.schema().fields if field.name.endswith("Id")]
        wanted = {
            "delta.deletedFileRetentionDuration": f"interval {self.history.days} days",
            "delta.logRetentionDuration": f"interval {max(self.history, _LEAST_LOG).days} days",
            "delta.dataSkippingStatsColumns": ",".join(ids),
        }
        known = table.metadata().configuration
        if any(known.get(name) != value for name, value in wanted.items()):
            table.alter.set_table_properties(wanted)

    def _compact(self, table: DeltaTable, folder: str, partition: Mapping[str, str]) -> int:
        """Whether it was done. One commit for each day: an export of one of them only undoes that one."""
        name = ".".join([folder.replace("/", "."), *partition.values()])
        try:
            with self.steps.run(f"compact-{name}", f"compaction of {name}", "CONVERT_PART_MB"):
                table.optimize.compact(
                    partition_filters=[(name, "=", value) for name, value in partition.items()],
                    target_size=self.limits.target_bytes,
                    max_concurrent_tasks=1,
                    writer_properties=_WRITER,
                    commit_properties=CommitProperties(custom_metadata={"upkeep": "compaction"}),
                    post_commithook_properties=_QUIET,
                )
        except CommitFailedError:
            _log.info("table %s: an export of %s was faster than its compaction", folder, dict(partition))
            table.update_incremental()
            return 0
        return 1

    def _vacuum(self, table: DeltaTable) -> list[str]:
        """Deletes files that have not counted for so long, and files as old that were never committed."""
        return table.vacuum(
            retention_hours=int(self.history.total_seconds() // 3600),
            dry_run=False,
            enforce_retention_duration=False,
            full=True,
            post_commithook_properties=_QUIET,
        )

    def _checkpoint(self, table: DeltaTable, folder: str) -> int:
        last = last_checkpoint(self.tables.storage.container(CURATED_CONTAINER), folder)
        table.update_incremental()
        if table.version() - (-1 if last is None else last) < _CHECKPOINT_AFTER:
            return 0
        table.create_checkpoint()
        table.cleanup_metadata()
        return 1
