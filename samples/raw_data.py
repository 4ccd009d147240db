"""Raw data as the demo and `make start` find it: which apps, kinds and days, and into the container."""

from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

from azure.core.exceptions import ResourceExistsError
from azure.storage.blob import BlobServiceClient, ContainerClient

from samples.recount import RULES

CONTAINER = "raw"
ENDINGS = (".ndjson", ".ndjson.gz", ".parquet")
MAX_DAYS = 366
HISTORICAL = ("Event", "Activity")

Window = tuple[date, date]


class DataError(ValueError):
    """The data cannot be used; the text says why and what would do."""


@dataclass(frozen=True)
class Export:
    """An export to request; `window` is None for a snapshot."""

    app: str
    export_type: str
    window: Window | None
    strict: bool = False

    @property
    def name(self) -> str:
        """For a line of output."""
        return f"{self.app} {self.export_type}"

    def body(self) -> dict[str, object]:
        """What is sent to `POST /api/exports`."""
        body: dict[str, object] = {"exportType": self.export_type, "app": self.app}
        if self.window:
            body |= {"startDate": self.window[0].isoformat(), "endDate": self.window[1].isoformat()}
        return body


@dataclass
class Apps:
    """The days and the number of files of every app and kind, from paths `{app}/{kind}/{day}/{file}`."""

    days: dict[tuple[str, str], set[date]] = field(default_factory=dict)
    weight: Counter[str] = field(default_factory=Counter)

    def add(self, path: str, events: int = 1) -> None:
        """One file; `events` is how much it counts if it holds events."""
        parts = path.split("/")
        if len(parts) < 4 or not path.endswith(ENDINGS):
            return
        try:
            day = date.fromisoformat(parts[2])
        except ValueError:
            return
        self.days.setdefault((parts[0], parts[1]), set()).add(day)
        if parts[1] == RULES["Event"].kind:
            self.weight[parts[0]] += events

    def by_events(self) -> list[str]:
        """The apps with events, most first."""
        return [app for app, _ in sorted(self.weight.items(), key=lambda item: (-item[1], item[0]))]

    def has(self, app: str, export_type: str) -> bool:
        """Whether the app has raw data of that type."""
        return (app, RULES[export_type].kind) in self.days

    def window(self, app: str) -> Window:
        """First to last day of the app's dated kinds, at most a year of it, the newest."""
        days = [day for name in HISTORICAL if self.has(app, name) for day in self.days[app, RULES[name].kind]]
        return max(min(days), max(days) - timedelta(days=MAX_DAYS - 1)), max(days)

    def exports(self, window: Window | None = None) -> list[Export]:
        """Event, Activity and Tag of the first app, and Event of a second one with strict checks."""
        apps = self.by_events()
        if not apps:
            raise DataError(
                "no events to export: the demo needs at least one {app}/events/{YYYY-MM-DD}/*.ndjson"
            )
        first = apps[0]
        dated = window or self.window(first)
        found = [Export(first, name, dated) for name in HISTORICAL if self.has(first, name)]
        if self.has(first, "Tag"):
            found.append(Export(first, "Tag", None))
        strict = [Export(other, "Event", window or self.window(other), strict=True) for other in apps[1:2]]
        return found + strict


def in_folder(folder: Path) -> Apps:
    """What is there; the app with the most records of events counts as the first."""
    apps = Apps()
    for file in _files(folder):
        path = file.relative_to(folder).as_posix()
        apps.add(path, events=file.read_bytes().count(b"\n") + 1 if "/events/" in path else 0)
    return apps


def in_container(names: Iterable[str]) -> Apps:
    """The same by the names of blobs."""
    apps = Apps()
    for name in names:
        apps.add(name)
    return apps


def upload(folder: Path, connection: str) -> int:
    """Put everything below `folder` into the container; how many files. What is there is overwritten."""
    files = _files(folder)
    with raw_container(connection) as container, ThreadPoolExecutor(8) as pool:

        def put(file: Path) -> None:
            with file.open("rb") as content:
                container.upload_blob(file.relative_to(folder).as_posix(), content, overwrite=True)

        list(pool.map(put, files))
    return len(files)


def raw_container(connection: str) -> ContainerClient:
    """The container of raw data, made if it is not there."""
    container = BlobServiceClient.from_connection_string(connection).get_container_client(CONTAINER)
    with suppress(ResourceExistsError):
        container.create_container()
    return container


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise DataError(f"DATA={folder} is no folder")
    found = sorted(file for file in folder.glob("*/*/*/*") if file.name.endswith(ENDINGS))
    if not found:
        raise DataError(f"DATA={folder}: there is no {{app}}/{{kind}}/{{YYYY-MM-DD}}/*.ndjson in it")
    return found
