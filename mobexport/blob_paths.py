"""Paths of blobs in the data account, all in one place; pure, and light to import.

exports   {app}/{type}/{export id}/{attempt}/files/…, _complete.json, _converted/{n}[-{part}].json
curated   {app}/{type}/date=…|snapshot=…/{export id}-{attempt}-{n}.parquet, _delta_log/
          _manifests/{app}/{type}/{export id}-{attempt}.json
rejects   raw/{app}/{task id}.ndjson, export/{app}/{export id}-{attempt}-{n}.ndjson
landing-… files of a job           work-{task id} intermediate data of a large task
"""

from __future__ import annotations

import re
from datetime import date
from typing import Final

from mobexport.wire import AttemptRef, TaskRef

EXPORTS_CONTAINER: Final = "exports"
CURATED_CONTAINER: Final = "curated"
REJECTS_CONTAINER: Final = "rejects"
LANDING_PREFIX: Final = "landing-"
WORK_PREFIX: Final = "work-"
COMPLETE: Final = "_complete.json"
COMPLETE_PATTERN: Final = f"{EXPORTS_CONTAINER}/{{app}}/{{type}}/{{exportId}}/{{attempt}}/{COMPLETE}"
"""Pattern of the blob trigger. It matches only the list of collected files, which is written last."""

_LANDING: Final = re.compile(rf"{LANDING_PREFIX}[0-9a-f]{{20}}")
_SLUG: Final = re.compile(r"[^a-z0-9]+")


def slug(text: str) -> str:
    """At most 40 characters `a-z0-9-` of the text, for the readable part of an id."""
    return _SLUG.sub("-", text.lower()).strip("-")[:40]


def export_folder(app: str, export_type: str, ref: AttemptRef) -> str:
    """`{app}/{type}/{export id}/{attempt}/` in `exports`."""
    return f"{app}/{export_type}/{ref.export_id}/{ref.attempt}/"


def files_folder(folder: str) -> str:
    """Folder of the collected files, in an export's folder: their names are somebody else's."""
    return f"{folder}files/"


def parse_complete_path(name: str) -> AttemptRef | None:
    """The attempt of `exports/{app}/{type}/{export id}/{attempt}/_complete.json`; None for others.

    The host's pattern also fits a collected file of that name.
    """
    parts = name.split("/")
    if len(parts) != 6 or parts[-1] != COMPLETE or not parts[-2].isdecimal():
        return None
    return AttemptRef(parts[-3], int(parts[-2]))


def conversion_path(folder: str, index: int, part: int | None = None) -> str:
    """Result of converting the collected file of that number, or one part of it, in the export's folder."""
    return f"{folder}_converted/{_label(index, part)}.json"


def conversion_prefix(folder: str, index: int) -> str:
    """Common prefix of the results of a file's parts."""
    return f"{folder}_converted/{index}-"


def cut_path(folder: str, index: int) -> str:
    """Plan that cuts the collected file of that number into parts."""
    return f"{folder}_converted/{index}.parts.json"


def output_stem(ref: AttemptRef, index: int, part: int | None = None) -> str:
    """Common prefix of the Parquet files and rejects of a collected file, or of a part of it."""
    return f"{ref}-{_label(index, part)}"


def _label(index: int, part: int | None) -> str:
    # With zeros, so that names sort as the parts do.
    return f"{index}" if part is None else f"{index}-{part:04}"


def manifest_path(app: str, export_type: str, ref: AttemptRef) -> str:
    """The manifest of an attempt in `curated`."""
    return f"{manifest_prefix(app, export_type, ref.export_id)}{ref.attempt}.json"


def manifest_prefix(app: str, export_type: str, export_id: str) -> str:
    """Common prefix of the manifests of an export; `{attempt}.json` follows."""
    return f"_manifests/{app}/{export_type}/{export_id}-"


def day_folder(app: str, export_type: str, day: date, *, snapshot: bool) -> str:
    """Folder in `curated` of one day: `{app}/{type}/date=…/`, for snapshots `snapshot=…/`."""
    return f"{app}/{export_type}/{'snapshot' if snapshot else 'date'}={day.isoformat()}/"


def export_rejects_path(app: str, ref: AttemptRef, index: int, part: int | None = None) -> str:
    """Rejects of a collected file, or of a part of it, in `rejects`."""
    return f"export/{app}/{output_stem(ref, index, part)}.ndjson"


def raw_rejects_path(ref: TaskRef) -> str:
    """Rejects of a task's raw data, in `rejects`."""
    return f"raw/{ref.app}/{ref.task_id}.ndjson"


def is_landing(container: str) -> bool:
    """Whether the container is a landing container, by its name."""
    return _LANDING.fullmatch(container) is not None


def landing_prefix(marker: str) -> str:
    """Common prefix of the landing containers of an attempt, by its marker; ten hexadecimal digits follow."""
    return f"{LANDING_PREFIX}{marker[:10]}"


def work_container(task_id: str) -> str:
    """Container for a task's intermediate data; deleted when the task ends."""
    return f"{WORK_PREFIX}{task_id}"
