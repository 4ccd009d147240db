"""Raw data for the demo and `make start`: find apps, kinds and days in a folder, and upload it."""

from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

from azure.core.exceptions import ResourceExistsError
from azure.storage.blob import BlobServiceClient, ContainerClient, ContentSettings

from demo.independent_count import RULES, Feedback
from demo.raw_reading import BadLineError, records
from mobexport.blob_labels import RAW_README, README

CONTAINER = "raw"
ENDINGS = (".ndjson", ".ndjson.gz", ".parquet")
MAX_DAYS = 366
# Event first: the demo's query is about it.
TYPES = ("Event", "Activity", "Crash", "Error", "Job", "Session", "Device", "Push", "Tag", "Token")

Window = tuple[date, date]


class DataError(ValueError):
    """The data cannot be used; the text says why, and what can be."""


@dataclass(frozen=True)
class Export:
    """An export to request; `window` is None for a snapshot, `feedback` is for Push."""

    app: str
    export_type: str
    window: Window | None
    strict: bool = False
    feedback: Feedback | None = None

    @property
    def name(self) -> str:
        """For a line of output."""
        asked = f" {self.feedback.campaign_type}" if self.feedback else ""
        return f"{self.app} {self.export_type}{asked}"

    def body(self) -> dict[str, object]:
        """The body for `POST /api/exports`."""
        body: dict[str, object] = {"exportType": self.export_type, "app": self.app}
        if self.window:
            body |= {"startDate": self.window[0].isoformat(), "endDate": self.window[1].isoformat()}
        if self.feedback:
            body["campaignType"] = self.feedback.campaign_type
            if self.feedback.window:
                first, last = (f"{at:%Y-%m-%dT%H:%M:%SZ}" for at in self.feedback.window)
                body |= {"campaignWindowStart": first, "campaignWindowEnd": last}
            else:
                body["campaignIds"] = list(self.feedback.campaign_ids)
        return body


@dataclass
class Apps:
    """The days and the number of files of every app and kind, from paths `{app}/{kind}/{day}/{file}`."""

    days: dict[tuple[str, str], set[date]] = field(default_factory=dict)
    weight: Counter[str] = field(default_factory=Counter)
    campaigns: dict[str, Counter[tuple[str, int]]] = field(default_factory=dict)
    """By app, how many records there are of each campaign: its type and id."""

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
        dated = [name for name, rules in RULES.items() if rules.time and self.has(app, name)]
        days = [day for name in dated for day in self.days[app, RULES[name].kind]]
        return max(min(days), max(days) - timedelta(days=MAX_DAYS - 1)), max(days)

    def exports(self, window: Window | None = None) -> list[Export]:
        """Every type, of the app with most events that has it; Event of a second app with strict checks."""
        apps = self.by_events()
        if not apps:
            raise DataError(
                "no events to export: the demo needs at least one {app}/events/{YYYY-MM-DD}/*.ndjson"
            )
        found = [
            export
            for name in TYPES
            for app in [app for app in apps if self.has(app, name)][:1]
            for export in self._exports(app, name, window or self.window(app), strict=app in apps[1:2])
        ]
        return found + [Export(app, "Event", window or self.window(app), strict=True) for app in apps[1:2]]

    def _exports(self, app: str, name: str, window: Window, *, strict: bool) -> list[Export]:
        if name == "Push":
            return [Export(app, name, None, strict, asked) for asked in self._feedback(app, window)]
        return [Export(app, name, window if RULES[name].time else None, strict)]

    def _feedback(self, app: str, window: Window) -> list[Feedback]:
        """The most frequent campaign type by its time; another one by its campaigns."""
        campaigns = self.campaigns.get(app, Counter())
        sizes: Counter[str] = Counter()
        for (campaign_type, _), count in campaigns.items():
            sizes[campaign_type] += count
        instants = (
            datetime.combine(window[0], time.min, UTC),
            datetime.combine(window[1], time(23, 59, 59), UTC),
        )
        ids = {name: tuple(sorted(at for kind, at in campaigns if kind == name)) for name in sizes}
        names = sorted(sizes, key=lambda name: (-sizes[name], name))
        return [Feedback(name, window=instants) for name in names[:1]] + [
            Feedback(name, campaign_ids=ids[name]) for name in names[1:2]
        ]


def in_folder(folder: Path) -> Apps:
    """Content of a folder; the app with the most bytes of events counts as the first."""
    apps = Apps()
    for file in _files(folder):
        path = file.relative_to(folder).as_posix()
        apps.add(path, events=file.stat().st_size if "/events/" in path else 0)
    for app, kind in apps.days:
        if kind == RULES["Push"].kind:
            pushes = [one for one in records(folder / app / kind, None) if not isinstance(one, BadLineError)]
            apps.campaigns[app] = Counter((one["campaignType"], one["campaignId"]) for one in pushes)
    return apps


def in_container(names: Iterable[str]) -> Apps:
    """The same by the names of blobs."""
    apps = Apps()
    for name in names:
        apps.add(name)
    return apps


def upload(folder: Path, connection: str, *, every_file: bool = False) -> int:
    """Put raw files (or all files) of a folder into the container, over what is there; how many."""
    files = [file for file in folder.rglob("*") if file.is_file()] if every_file else _files(folder)
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
        settings = ContentSettings(content_type="text/plain; charset=utf-8")
        container.upload_blob(README, RAW_README.encode(), content_settings=settings)
    return container


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise DataError(f"DATA={folder} is not a folder")
    found = sorted(file for file in folder.glob("*/*/*/*") if file.name.endswith(ENDINGS))
    if not found:
        raise DataError(f"DATA={folder}: there is no {{app}}/{{kind}}/{{YYYY-MM-DD}}/*.ndjson in it")
    return found
