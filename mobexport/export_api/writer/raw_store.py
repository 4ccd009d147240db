"""Find the raw files of an export task, and tell what is not read beside them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Protocol

from mobexport.errors import OtherVersion
from mobexport.export_api.tasks.selection import Window
from mobexport.export_api.writer.raw_layout import (
    Days,
    Found,
    RawLayout,
    Skip,
    day_folder_reason,
    grouped,
    kind_folder_reason,
)
from mobexport.export_api.writer.slices import RawEntry
from mobexport.export_types.model import ExportType
from mobexport.raw_mapping import RawMapping, declared_kinds
from mobexport.records.instants import days_around
from mobexport.storage import RawBlob


class RawListing(Protocol):
    """Names of raw data: a storage account, or folders on a machine."""

    def list_blobs(self, container: str, prefix: str = "") -> Iterator[RawBlob]:
        """Blobs below a prefix, by name."""

    def list_folders(self, container: str, prefix: str = "") -> Iterator[str]:
        """Names of what lies right below a prefix that ends with `/`; of folders with `/` at the end."""


@dataclass(frozen=True)
class RawInput:
    """A raw file that is read."""

    blob: RawBlob
    container: str
    kind: str
    format: str = ""
    """As its mapping says; empty: by its name."""
    day: date | None = None
    """The day of its folder, where it has one."""

    def entry(self, app: str) -> RawEntry:
        """The file as a step reads it."""
        name = self.blob.name.removeprefix(f"{app}/")
        day = str(self.day) if self.day else ""
        return RawEntry(name, self.blob.size, self.kind, self.blob.encoding, self.format, day)

    def to_json(self) -> dict[str, Any]:
        form = {"format": self.format} if self.format else {}
        return {"blob": self.blob.to_json(), "container": self.container, "kind": self.kind, **form}


@dataclass(frozen=True)
class Plan:
    """The input of one export task, fixed: what is added, replaced or deleted later does not count."""

    files: tuple[RawInput, ...]
    ignored: int = 0
    """Blobs below the folders that were looked into, and are not read."""
    skipped: tuple[Skip, ...] = ()
    """What is not read, and why: `grouped`."""
    days: Days | None = None
    """First and last day of the folders that were looked into; None: all."""

    def to_json(self) -> dict[str, Any]:
        return {
            "version": 2,
            "files": [file.to_json() for file in self.files],
            "ignored": self.ignored,
            "skipped": [skip.to_json() for skip in self.skipped],
            "days": self.days and [str(day) for day in self.days],
        }

    @classmethod
    def from_json(cls, value: dict[str, Any], container: str) -> Plan:
        """The plan; of version 1, which knew no mappings, all files are in `container`.

        Raises OtherVersion for one that a later version made.
        """
        if value["version"] == 1:
            blobs = (RawBlob(**one) for one in value["blobs"])
            found = (RawInput(blob, container, blob.name.split("/")[1]) for blob in blobs)
            return cls(tuple(found), value["ignored"])
        if value["version"] != 2:
            raise OtherVersion(
                "this task's plan was made by another version of the app: deployed while it was running, see"
                " docs/upgrade.md"
            )
        files = (
            RawInput(RawBlob(**one["blob"]), one["container"], one["kind"], one.get("format", ""))
            for one in value["files"]
        )
        days = value["days"] and (date.fromisoformat(value["days"][0]), date.fromisoformat(value["days"][1]))
        return cls(tuple(files), value["ignored"], tuple(Skip(**one) for one in value["skipped"]), days)

    def told(self) -> dict[str, Any]:
        """What a task's counts say of its input."""
        days = {"daysRead": [str(day) for day in self.days]} if self.days else {}
        skipped = {"skipped": [skip.to_json() for skip in self.skipped]} if self.skipped else {}
        return {"files": len(self.files), "ignoredFiles": self.ignored, **skipped, **days}


def layouts(app: str, kinds: Iterable[str], mappings: Mapping[str, RawMapping]) -> list[RawLayout]:
    """Where each kind of the app lies."""
    return [RawLayout(app, kind, mappings.get(kind)) for kind in kinds]


def plan_files(
    storage: RawListing,
    container: str,
    app: str,
    export_type: ExportType,
    window: Window | None,
    slack_days: int,
    mappings: Mapping[str, RawMapping] | None = None,
) -> Plan:
    """The raw files of a task with their ETags, by name: all kinds that the type reads.

    With a window, the folders of its days and `slack_days` on either side; without one the whole history.
    """
    files: list[RawInput] = []
    skips: list[Skip] = []
    looked: list[Days] = []
    for layout in layouts(app, export_type.kinds, mappings or {}):
        own = layout.mapping.slack_days if layout.mapping else None
        days = window_days(window, slack_days if own is None else own)
        looked += [days] if days else []
        read, left = find_files(storage, layout, container, days)
        files += read
        skips += left
    ignored = sum(skip.files for skip in skips)
    skips += unread_folders(storage, container, app, export_type.kinds, mappings or {})
    files.sort(key=lambda file: (file.blob.name, file.kind, file.container))
    return Plan(tuple(files), ignored, grouped(skips), looked[0] if looked else None)


def find_files(
    storage: RawListing, layout: RawLayout, container: str, days: Days | None
) -> tuple[list[RawInput], list[Skip]]:
    """A kind's raw files in the folders of those days (None: all), and what is not read beside them."""
    where = layout.container(container)
    form = layout.mapping.format if layout.mapping else ""
    files: list[RawInput] = []
    skips: list[Skip] = []
    # Without zeros the prefix of one day is that of others, too: `2025-3-2` is in front of `2025-3-23`.
    blobs = {blob.name: blob for one in layout.prefixes(days) for blob in storage.list_blobs(where, one)}
    for blob in blobs.values():
        verdict = layout.judge(blob.name)
        if isinstance(verdict, Skip):
            skips.append(verdict)
        elif not _is_beside(verdict, days):
            files.append(RawInput(blob, where, layout.kind, form, verdict.day))
    return files, skips


def unread_folders(
    storage: RawListing,
    container: str,
    app: str,
    kinds: Iterable[str],
    mappings: Mapping[str, RawMapping],
) -> list[Skip]:
    """Folders of the app that no export looks into, and folders of these kinds that are no day's."""
    usual = [one.kind for one in layouts(app, kinds, mappings) if one.is_usual]
    if not usual:
        return []
    found = unread_kinds(storage, container, app, mappings)
    for kind in usual:
        folders = (one for one in storage.list_folders(container, f"{app}/{kind}/") if one.endswith("/"))
        found += [
            Skip(f"{app}/{kind}/{name}", reason, 0)
            for name in folders
            if (reason := day_folder_reason(name.rstrip("/")))
        ]
    return found


def unread_kinds(
    storage: RawListing, container: str, app: str, mappings: Mapping[str, RawMapping]
) -> list[Skip]:
    """Folders and files of the app that belong to no kind, and that no mapping of the app reads."""
    known = sorted(declared_kinds())
    read = [
        prefix
        for one in layouts(app, mappings, mappings)
        if not one.is_usual and one.container(container) == container
        for prefix in one.prefixes(None)
    ]
    return [
        Skip(f"{app}/{name}", reason, 0 if name.endswith("/") else 1)
        for name in storage.list_folders(container, f"{app}/")
        if (reason := kind_folder_reason(name.rstrip("/"), known))
        and not any(one.startswith(f"{app}/{name}") or f"{app}/{name}".startswith(one) for one in read)
    ]


def _is_beside(found: Found, days: Days | None) -> bool:
    return days is not None and found.day is not None and not days[0] <= found.day <= days[1]


def window_days(window: Window | None, slack_days: int) -> Days | None:
    """The days of the folders that a window is looked for in; None: all."""
    if window is None:
        return None
    first, last = (end.astimezone(UTC).date() if isinstance(end, datetime) else end for end in window)
    return days_around(first, last, slack_days)
