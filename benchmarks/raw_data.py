"""Raw data that the benches of the record engine read: events, and devices with their tags."""

from __future__ import annotations

import gzip
import json
import random
from datetime import date
from pathlib import Path
from typing import Any
from uuid import UUID

DAY = date(2025, 3, 23)
NAMES = ("memory_usage", "cpu_usage", "session_start", "lifecycle_app", "add_to_cart", "checkout")


def make_data(folder: Path, events: int) -> None:
    """The three inputs: events as lines and as gzip, devices with their tags; about 280 bytes a record."""
    numbers = random.Random(7)
    plain = folder / "NDJSON" / "events" / "a.ndjson"
    devices = make_events(plain, events, numbers)
    (folder / "gzip" / "events").mkdir(parents=True)
    with gzip.open(folder / "gzip" / "events" / "a.ndjson.gz", "wb", compresslevel=6) as packed:
        packed.write(plain.read_bytes())
    for kind in ("devices", "tags"):
        (folder / "Device join" / kind).mkdir(parents=True)
        with (folder / "Device join" / kind / "a.ndjson").open("w", encoding="utf-8") as out:
            for n in range(events // 2):
                made = _device(numbers, n) if kind == "devices" else _tag(numbers, n)
                record = {"deviceId": numbers.choice(devices), "timestamp": _time(numbers), **made}
                out.write(json.dumps(record, ensure_ascii=False, separators=(",", ":")) + "\n")


def make_events(path: Path, events: int, numbers: random.Random) -> list[str]:
    """A file of raw events, 50 for each device, in no order; the devices."""
    devices = [str(UUID(int=numbers.getrandbits(128))) for _ in range(max(events // 50, 1))]
    infos = [str(UUID(int=numbers.getrandbits(128))) for _ in range(200)]
    path.parent.mkdir(parents=True)
    with path.open("w", encoding="utf-8") as out:
        for _ in range(events):
            record: dict[str, Any] = {"deviceId": numbers.choice(devices)}
            if numbers.random() < 0.9:
                record["sessionId"] = str(UUID(int=numbers.getrandbits(128)))
            record |= {"name": numbers.choice(NAMES), "timestamp": _time(numbers)}
            record |= {"infoId": numbers.choice(infos), "extras": _extras(numbers)}
            out.write(json.dumps(record, ensure_ascii=False, separators=(",", ":")) + "\n")
    return devices


def _time(numbers: random.Random) -> str:
    ms = numbers.randrange(86_400_000)
    return f"{DAY}T{ms // 3_600_000:02}:{ms // 60_000 % 60:02}:{ms // 1000 % 60:02}.{ms % 1000:03}Z"


def _extras(numbers: random.Random) -> dict[str, Any]:
    match numbers.randrange(3):
        case 0:
            return {"screen": "Checkout", "count": numbers.randrange(1000), "ok": True}
        case 1:
            return {
                "java_max_heap": numbers.randrange(10**6),
                "ratio": numbers.randrange(1000) / 8,
                "trace": None,
            }
        case _:
            return {"name": "Müller é", "type": "foreground"}


def _device(numbers: random.Random, n: int) -> dict[str, Any]:
    return {
        "meta": {
            "firstSeen": 1742740239535 + n, "lastSeen": 1742741525201 + n, "nativePushEnabled": n % 3 == 0
        },
        "info": {
            "phoneModel": "Pixel 4a", "phoneManufacturer": "Google", "firmwareVersion": "33",
            "firmwareName": "android", "locale": "en-US", "carrierName": "unknown", "networkType": "wifi",
            "applicationVersionName": f"0.{numbers.randrange(20)}.0", "applicationVersionCode": 29045653 + n,
        },
    }  # fmt: skip


def _tag(numbers: random.Random, n: int) -> dict[str, Any]:
    text = (
        "Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod tempor incididunt ut labore"
    )
    value = text if n % 3 else n
    return {"key": f"key{numbers.randrange(8)}", "value": value if n % 11 else None}
