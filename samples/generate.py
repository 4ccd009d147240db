"""The made-up raw data of two apps: the same bytes every time, and something of everything that can be wrong.

`python -m samples.generate --out DIR` writes `{app}/{kind}/{YYYY-MM-DD}/part-N.ndjson`, which is what the
collectors of a team drop into the container `raw`. Every term of the counts that the project keeps is there.
"""

import argparse
import json
import random
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from uuid import UUID

from samples import vocabulary as words

SEED = 20180331  # the day the service closed
WINDOW = (date(2025, 3, 22), date(2025, 3, 25))
FIRST_DAY = date(
    2025, 3, 21
)  # one day before the window and one after it: the scan reads them for late records
DAYS = 6
LONG_AGO = date(2025, 2, 10)  # a folder that no scan of the window opens
PART_LINES = 1500
DAY_MS = 86_400_000

Json = dict[str, object]


@dataclass(frozen=True)
class App:
    """One made-up app: the name of its folder, and how many devices use it."""

    name: str
    devices: int


APPS = (App("shop.example.ios", 260), App("news.example.android", 90))


@dataclass(frozen=True)
class Device:
    """One installation: its ids, and how often it is used."""

    device_id: str
    info_id: str
    location_id: str | None
    sessions_a_day: float


@dataclass
class Files:
    """The lines of one app and kind, by folder, in the order in which they will stand there."""

    by_day: dict[date, list[bytes]] = field(default_factory=lambda: defaultdict(list))

    def add(self, folder: date, line: bytes | Json) -> None:
        """Append a record, or a line that is none."""
        self.by_day[folder].append(line if isinstance(line, bytes) else _dump(line))

    def write(self, root: Path) -> int:
        """Write the folders below `root`; how many lines there are."""
        for day, lines in sorted(self.by_day.items()):
            folder = root / day.isoformat()
            folder.mkdir(parents=True)
            for part, start in enumerate(range(0, len(lines), PART_LINES)):
                # No newline after the last line: collectors that join lines leave it out.
                (folder / f"part-{part}.ndjson").write_bytes(b"\n".join(lines[start : start + PART_LINES]))
        return sum(len(lines) for lines in self.by_day.values())


class Sample:
    """One app's data, drawn from a random generator of its own."""

    def __init__(self, app: App, seed: int) -> None:
        self.app = app
        self.random = random.Random(f"{seed}/{app.name}")
        self.devices = [self._device(number) for number in range(app.devices)]
        self.kinds: dict[str, Files] = {kind: Files() for kind in ("events", "activities", "tags")}

    def write(self, root: Path) -> int:
        """Make everything and write it below `root/{app}`; how many lines that were."""
        for offset in range(DAYS):
            self._day(FIRST_DAY + timedelta(days=offset))
        self._long_ago()
        self._tags()
        self._bad_lines()
        return sum(files.write(root / self.app.name / kind) for kind, files in self.kinds.items())

    # --- what the devices do

    def _device(self, number: int) -> Device:
        device_id = self._guid()
        if number % 41 == 7:
            device_id = f"guest-{number:05d}"  # an id that is no GUID: it passes, and strict checks reject it
        elif number % 29 == 3:
            device_id = device_id.replace("-", "")  # 32 digits without dashes are a GUID as well
        location = self._guid() if self.random.random() > 0.05 else None
        return Device(device_id, self._guid(), location, self.random.uniform(0.2, 1.6))

    def _day(self, day: date) -> None:
        midnight = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1000)
        for device in self.devices:
            sessions = int(device.sessions_a_day + self.random.random())
            for _ in range(sessions):
                self._session(device, midnight + self.random.randrange(DAY_MS - 1_800_000))

    def _session(self, device: Device, start: int) -> None:
        # A background refresh records events and screens outside any session.
        session = self._guid() if self.random.random() > 0.04 else None
        moment = start
        for _ in range(self.random.randrange(1, 6)):
            screen = self.random.choice(words.SCREENS)
            self._place("activities", moment, self._record(device, session, screen, moment))
            for _ in range(self.random.randrange(0, 6)):
                moment += self.random.randrange(200, 45_000)
                self._place("events", moment, self._event(device, session, moment))
            moment += self.random.randrange(500, 60_000)

    def _record(self, device: Device, session: str | None, name: str, moment: int) -> Json:
        record: Json = {"deviceId": device.device_id, "sessionId": session, "name": name}
        if session is None and self.random.random() < 0.5:
            del record["sessionId"]  # absent or null: both say that there is none
        record["timestamp"] = self._time(moment)
        return record

    def _event(self, device: Device, session: str | None, moment: int) -> Json:
        name = self.random.choices(words.EVENTS, words.EVENT_WEIGHTS)[0]
        record = self._record(device, session, name, moment) | {"infoId": device.info_id}
        if device.location_id:
            record["locationId"] = device.location_id
        if extras := self._extras(name):
            record["extras"] = extras
        if self.random.random() < 0.02:
            record["appVersion"] = "4.7.1"  # a field that the layout does not know: left out, and counted
        return record

    def _extras(self, name: str) -> Json:
        item = self.random.choice(words.ITEMS)
        extras: Json = {"item": item, "position": self.random.randrange(40)}
        if name == "purchase":
            # Beyond 2^53: whoever reads it as a double changes it.
            extras |= {"orderId": 9_007_199_254_740_993 + self.random.randrange(10**15), "coupon": None}
            extras["price"] = round(self.random.uniform(1, 250), 2)
        return extras if self.random.random() > 0.2 else {}

    def _place(self, kind: str, moment: int, record: Json) -> None:
        """Into the folder of its day; one in sixty arrives a day late."""
        day = datetime.fromtimestamp(moment / 1000, UTC).date()
        late = timedelta(days=1) if self.random.random() < 1 / 60 else timedelta()
        self.kinds[kind].add(day + late, record)

    # --- tags: the newest value of a key counts

    def _tags(self) -> None:
        files = self.kinds["tags"]
        start = int(datetime(2025, 3, 21, tzinfo=UTC).timestamp() * 1000)
        for device in self.devices:
            for key, values in words.TAGS.items():
                moments = sorted(
                    start + self.random.randrange(DAYS * DAY_MS) for _ in range(self.random.randrange(4))
                )
                for moment in moments:
                    value = None if self.random.random() < 0.15 else self.random.choice(values)
                    record = {"deviceId": device.device_id, "timestamp": self._time(moment), "key": key}
                    folder = datetime.fromtimestamp(moment / 1000, UTC).date()
                    files.add(folder, record | {"value": value})
                    if self.random.random() < 0.03:  # the same instant again: the later line wins
                        files.add(folder, record | {"value": self.random.choice(values)})

    # --- what should not be there, and is

    def _long_ago(self) -> None:
        midnight = int(datetime(LONG_AGO.year, LONG_AGO.month, LONG_AGO.day, tzinfo=UTC).timestamp() * 1000)
        for device in self.devices[:20]:
            self._session(device, midnight + self.random.randrange(DAY_MS // 2))

    def _bad_lines(self) -> None:
        for kind, files in self.kinds.items():
            for day in sorted(files.by_day)[1:]:
                for line in self._bad(kind, day):
                    lines = files.by_day[day]
                    lines.insert(self.random.randrange(len(lines)), line)

    def _bad(self, kind: str, day: date) -> Iterator[bytes]:
        good: Json = {"deviceId": self._guid(), "name": "open", "timestamp": f"{day}T12:00:00.000Z"}
        if kind == "tags":
            good = {
                "deviceId": self._guid(),
                "key": "plan",
                "timestamp": f"{day}T12:00:00.000Z",
                "value": "free",
            }
        yield _dump(good)[:-9]
        yield self.random.choice((b'["a","list"]', b'"a text"', b"42", b"null"))
        for name in [name for name in good if name != "value"]:
            yield _dump({key: value for key, value in good.items() if key != name})
        yield _dump(good | {"deviceId": None})
        yield _dump(good | {"timestamp": self.random.choice(("yesterday", f"{day}T25:61:00Z", "2025-13-40"))})
        yield _dump(good).replace(b'"timestamp"', b'"note":"caf\xe9","timestamp"')  # Latin-1, so not UTF-8
        yield b""  # a blank line is no record

    # --- values

    def _guid(self) -> str:
        return str(UUID(int=self.random.getrandbits(128), version=4))

    def _time(self, moment: int) -> str:
        """RFC 3339 in one of the ways in which collectors write it."""
        at = datetime.fromtimestamp(moment // 1000, UTC)
        kind = self.random.random()
        if kind < 0.02:
            shifted = at + timedelta(hours=2)
            return f"{shifted:%Y-%m-%dT%H:%M:%S}.{moment % 1000:03d}+02:00"
        if kind < 0.04:
            return f"{at:%Y-%m-%dT%H:%M:%S}.{moment % 1000:03d}{self.random.randrange(1000):03d}Z"
        if kind < 0.05:
            return f"{at:%Y-%m-%dT%H:%M:%S}Z"
        return f"{at:%Y-%m-%dT%H:%M:%S}.{moment % 1000:03d}Z"


def _dump(record: Json) -> bytes:
    return json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode()


def generate(out: Path, seed: int = SEED) -> int:
    """Write the sample below `out`, which has to be empty or absent; the number of lines."""
    if out.exists() and any(out.iterdir()):
        raise FileExistsError(f"{out} is not empty: choose another folder, or remove it first")
    return sum(Sample(app, seed).write(out) for app in APPS)


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m samples.generate", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="an empty or absent folder")
    chosen = parser.parse_args(arguments)
    try:
        lines = generate(chosen.out)
    except OSError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{lines:,} lines of {len(APPS)} apps in {chosen.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
