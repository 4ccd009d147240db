"""Labels of blobs for people in a storage browser: metadata, and a README.txt in each container; pure.

Nothing reads them back. A README stands at a container's top, where no data lies: neither raw files, nor the
blob trigger, nor tables are found there.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Final

from mobexport.blob_paths import CURATED_CONTAINER, EXPORTS_CONTAINER, REJECTS_CONTAINER
from mobexport.wire import AttemptRef, TaskRef

README: Final = "README.txt"
Labels = Mapping[str, str]


def export_labels(app: str, export_type: str, ref: AttemptRef, day: date | None = None) -> dict[str, str]:
    """Metadata of what an export writes; of a Parquet file with its day."""
    return {
        "app": app,
        "type": export_type,
        "export": ref.export_id,
        "attempt": str(ref.attempt),
        **({"day": day.isoformat()} if day else {}),
    }


def task_labels(export_type: str, ref: TaskRef) -> dict[str, str]:
    """Metadata of what an export task of the Export API writes."""
    return {"app": ref.app, "type": export_type, "task": ref.task_id}


READMES: Final[Mapping[str, str]] = {
    EXPORTS_CONTAINER: """\
exports: the files of each export, as the Export API delivered them
===================================================================

{app}/{type}/{export id}/{attempt}/files/         the files: JSON, one element a line
{app}/{type}/{export id}/{attempt}/_complete.json their list; it is written last
{app}/{type}/{export id}/{attempt}/_converted/    what became of each file; notes of the app

The same data stands in the container curated as tables, which is where to read it.

Kept: a deployment of this app has a rule that deletes what is older than 30 days.
Without it: until you delete it.
You may delete: everything of exports that have ended. Leave alone: exports that are running.
""",
    CURATED_CONTAINER: """\
curated: the exported data as tables
====================================

{app}/{type}/                one Delta Lake table; read it with any engine that knows Delta
                             (DuckDB, Polars, Spark, Fabric, Databricks, Power BI)
{app}/{type}/date=2025-03-23 its Parquet files of one day (UTC); snapshots: snapshot=...
{app}/{type}/_delta_log/     its log, which says what counts
_manifests/{app}/{type}/     one JSON file an export: what went in, what came out, counts

Not every Parquet file counts: some are superseded or not committed yet. Read through the log, not by folder.

Kept: for ever; files that no longer count as long as TABLE_HISTORY_DAYS says.
You may delete: whole tables, with their folder. Leave alone: single files, which would break their table.
""",
    REJECTS_CONTAINER: """\
rejects: records that could not be used, each with its reason
=============================================================

raw/{app}/{task id}.ndjson                            lines of raw data, found by the Export API
export/{app}/{export id}-{attempt}-{file}.ndjson      records of an export file, found by the pipeline

One JSON object a line: where it stood, the rule, the field, the original. They hold device and user data.

Kept: a deployment of this app has a rule that deletes what is older than 90 days.
Without it: until you delete it.
You may delete: everything, at any time; nothing reads it but people.
""",
}
"""By container, of those that the app makes."""
RAW_README: Final = """\
raw: your raw data; the app only reads it
=========================================

{app}/{kind}/{YYYY-MM-DD}/{any name}.ndjson   or .ndjson.gz, .ndjson.zst, .parquet: one record a line

Kinds: activities, crashes, devices, errors, events, jobs, pushes, sessions, tags, tokens.
Other layouts and names: mappings in exports.toml.
"mobexport raw check" tells what is read, and what is not and why.

Kept: as long as you keep it. You may delete: what needs to be exported no more.
"""
"""Of the container of raw data: the app never writes there, what makes it on this machine does."""
