"""Made-up raw data of two apps: the same bytes every time, with every sort of error.

`python -m demo.generate --out DIR` writes `{app}/{kind}/{YYYY-MM-DD}/part-N` in three formats, as the
collectors of a team drop them into the container `raw`: all ten kinds, and every term of the counts that the
project keeps.
"""

import argparse
import random
import sys
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from uuid import UUID

from demo import vocabulary as words
from demo.bad_lines import spoil
from demo.devices import Period, states
from demo.raw_files import Files, Json

SEED = 20180331  # the day the service closed
WINDOW = (date(2025, 3, 22), date(2025, 3, 25))
FIRST_DAY = date(
    2025, 3, 21
)  # one day before the window and one after it: the scan reads them for late records
DAYS = 6
LONG_AGO = date(2025, 2, 10)  # a folder that no scan of the window opens
DAY_MS = 86_400_000
KINDS = (
    "activities",
    "crashes",
    "devices",
    "errors",
    "events",
    "jobs",
    "pushes",
    "sessions",
    "tags",
    "tokens",
)


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


class Sample:
    """One app's data, drawn from a random generator of its own."""

    def __init__(self, app: App, seed: int) -> None:
        self.app = app
        self.random = random.Random(f"{seed}/{app.name}")
        self.devices = [self._device(number) for number in range(app.devices)]
        self.kinds = {kind: Files(typed_times=place % 2 == 0) for place, kind in enumerate(KINDS)}

    def write(self, root: Path) -> int:
        """Make everything and write it below `root/{app}`; how many lines that were."""
        for offset in range(DAYS):
            self._day(FIRST_DAY + timedelta(days=offset))
        self._long_ago()
        self._states()
        for kind, files in self.kinds.items():
            spoil(self.random, kind, files)
        return sum(files.write(root / self.app.name / kind) for kind, files in self.kinds.items())

    def _device(self, number: int) -> Device:
        device_id = self._guid()
        if number % 41 == 7:
            device_id = f"guest-{number:05d}"  # an id that is no GUID: it passes, and strict checks reject it
        elif number % 29 == 3:
            device_id = device_id.replace("-", "")  # 32 digits without dashes are a GUID as well
        location = self._guid() if self.random.random() > 0.05 else None
        return Device(device_id, self._guid(), location, self.random.uniform(0.2, 1.6))

    # --- what the devices do

    def _day(self, day: date) -> None:
        for device in self.devices:
            sessions = int(device.sessions_a_day + self.random.random())
            for _ in range(sessions):
                self._session(device, _midnight(day) + self.random.randrange(DAY_MS - 1_800_000))

    def _long_ago(self) -> None:
        for device in self.devices[:20]:
            self._session(device, _midnight(LONG_AGO) + self.random.randrange(DAY_MS // 2))

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
        job = self._job(device, session, start) if self.random.random() < 0.5 else None
        self._faults(device, session, job, moment)
        if session:
            self._session_records(device, session, start, moment)

    def _session_records(self, device: Device, session: str, start: int, end: int) -> None:
        record: Json = {"sessionId": session, "deviceId": device.device_id, "infoId": device.info_id}
        if device.location_id:
            record["locationId"] = device.location_id
        first = record | {"start": self._time(start), "end": self._time(end)}
        kind = self.random.random()
        if kind < 0.02:
            del first["end"]
        self._place("sessions", start, first)
        if kind < 0.12:  # told again: a later end, or an earlier start, or both as they were
            later, earlier = self.random.choice(((9_000, 0), (0, 4_000), (-2_000, 0), (0, 0)))
            again = record | {"start": self._time(start - earlier), "end": self._time(end + later)}
            self._place("sessions", start, again | {"infoId": self._guid()})
        elif kind < 0.15:  # resumed on the next day: it stays a session of the day before
            again = record | {"start": self._time(start + DAY_MS), "end": self._time(end + DAY_MS)}
            self._place("sessions", start + DAY_MS, again)

    def _job(self, device: Device, session: str | None, start: int) -> str:
        job = self._guid()
        name = self.random.choice(words.JOBS)
        record: Json = {"jobId": job, "deviceId": device.device_id, "name": name, "start": self._time(start)}
        if self.random.random() < 0.9:
            record["infoId"] = device.info_id
        if self.random.random() < 0.2:
            record["sessionId"] = session  # unknown for a job
        end = self._time(start + self.random.randrange(50, 90_000))
        done = record | {"end": end, "extras": {"bytes": self.random.randrange(10**7)}}
        told = self.random.choice(([record, done], [done, record], [done], [done], [done], [record]))
        for one in told:
            self._place("jobs", start, one)
        if told[-1] is done and self.random.random() < 0.1:  # the same end again: the later line wins
            self._place("jobs", start, done | {"extras": {"again": True}})
        return job

    def _faults(self, device: Device, session: str | None, job: str | None, moment: int) -> None:
        if self.random.random() < 0.12:
            name = self.random.choice(words.ERRORS)
            error = self._record(device, session, name, moment) | {"infoId": device.info_id}
            if job:
                error |= {"jobId": job, "extras": {"after": 30, "detail": None}}
            self._place("errors", moment, error)
        if self.random.random() < 0.04:
            name = self.random.choice(words.CRASHES)
            crash = {"crashId": self._guid()} | self._record(device, session, name, moment)
            self._place("crashes", moment, crash | {"extras": {"frames": ["main()", 'draw("x")']}})
            if self.random.random() < 0.2:  # sent twice: both are kept
                self._place("crashes", moment, crash | {"extras": {"frames": ["main()", 'draw("x")']}})

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

    # --- what is known of the devices

    def _states(self) -> None:
        period = Period(_midnight(FIRST_DAY), _midnight(FIRST_DAY) + DAYS * DAY_MS)
        for number, device in enumerate(self.devices):
            for kind, moment, record in states(self.random, device.device_id, number, period):
                self._place(kind, moment, record | {"timestamp": self._time(moment)})

    def _place(self, kind: str, moment: int, record: Json) -> None:
        """Into the folder of its day; one in sixty arrives a day late."""
        day = datetime.fromtimestamp(moment / 1000, UTC).date()
        late = timedelta(days=1) if self.random.random() < 1 / 60 else timedelta()
        self.kinds[kind].add(day + late, record)

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


def _midnight(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1000)


def generate(out: Path, seed: int = SEED) -> int:
    """Write the sample below `out`, which has to be empty or absent; the number of lines."""
    if out.exists() and any(out.iterdir()):
        raise FileExistsError(f"{out} is not empty: choose another folder, or remove it first")
    return sum(Sample(app, seed).write(out) for app in APPS)


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m demo.generate", description=__doc__)
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
