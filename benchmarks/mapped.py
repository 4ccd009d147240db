"""CPU time of the Export API's writer over mapped raw data, beside unmapped lines of the same content.

`python -m benchmarks.mapped` takes turns, so that what else the machine does falls on all alike, and prints
the best of each and its ratio to the unmapped lines. `--events` and `--rounds` make it smaller.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.raw_data import DAY, make_events
from mobexport import export_types
from mobexport.export_api.writer.export_file import RawFile, write_export
from mobexport.raw_mapping import RawMapping
from mobexport.records.limits import Limits
from mobexport.snowplow import COLUMNS

_CHUNK = 4 * 1024 * 1024
OTHER_NAMES = {
    "deviceId": "device",
    "name": "event",
    "timestamp": "time",
    "infoId": "info",
    "sessionId": "session",
    "extras": "props",
}
NESTED = {
    "deviceId": "context.device.id",
    "name": "event",
    "timestamp": "time",
    "infoId": "context.device.info",
    "sessionId": "context.session",
    "extras": "props",
}


def renamed(record: dict[str, Any]) -> dict[str, Any]:
    """A record under other names."""
    return {other: record[name] for name, other in OTHER_NAMES.items() if name in record}


def nested(record: dict[str, Any]) -> dict[str, Any]:
    """A record as collectors nest it, with its type."""
    context: dict[str, Any] = {"device": {"id": record["deviceId"], "info": record["infoId"]}}
    if "sessionId" in record:
        context["session"] = record["sessionId"]
    own = {"event": record["name"], "time": record["timestamp"], "props": record["extras"]}
    return {"type": "track", **own, "context": context}


def enriched(record: dict[str, Any]) -> dict[str, Any]:
    """A record as Snowplow's pipeline enriches it, with its usual columns filled."""
    session = {"userId": record["deviceId"], "sessionId": record.get("sessionId"), "sessionIndex": 3}
    at = record["timestamp"].replace("T", " ").replace("Z", "")
    return {
        "app_id": "shop", "platform": "mob", "etl_tstamp": at, "collector_tstamp": at,
        "dvce_created_tstamp": at, "event": "unstruct", "event_id": "c6ef3124-b53a-4b13-a233-0088f79dcbcb",
        "name_tracker": "app", "v_tracker": "ios-5.0.0", "v_collector": "ssc-2.9.0", "v_etl": "enrich-4.0.0",
        "user_ipaddress": "203.0.113.9", "domain_userid": record["deviceId"],
        "network_userid": record["infoId"], "geo_country": "DE", "geo_region": "BE", "geo_city": "Berlin",
        "geo_latitude": "52.5", "geo_longitude": "13.4", "useragent": "Shop/2.3 (iPhone; iOS 18.3)",
        "contexts": _self_describing("contexts", [_self_describing("client_session", session)]),
        "unstruct_event": _self_describing("unstruct_event", _self_describing("own", record["extras"])),
        "os_timezone": "Europe/Berlin", "dvce_type": "Mobile", "dvce_ismobile": "1", "derived_tstamp": at,
        "domain_sessionid": record.get("sessionId") or "", "event_vendor": "com.example",
        "event_name": record["name"], "event_format": "jsonschema", "event_version": "1-0-0",
    }  # fmt: skip


def _self_describing(name: str, data: Any) -> dict[str, Any]:
    return {"schema": f"iglu:com.snowplowanalytics.snowplow/{name}/jsonschema/1-0-0", "data": data}


def as_json(record: dict[str, Any]) -> bytes:
    """A record as a line of JSON."""
    return json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode()


def as_cells(record: dict[str, Any]) -> bytes:
    """A record as a line of Snowplow's cells."""
    cells = (record.get(name, "") for name in COLUMNS)
    return b"\t".join(one.encode() if isinstance(one, str) else as_json(one) for one in cells)


ENRICHED = {
    "deviceId": "domain_userid",
    "name": "event_name",
    "timestamp": {"path": "derived_tstamp", "as": "local"},
    "infoId": "network_userid",
    "sessionId": "domain_sessionid",
    "extras": "unstruct_event.data.data",
}
SNOWPLOW = {"time_zone": "UTC", "fields": ENRICHED}
WAYS: dict[str, tuple[Callable[[dict[str, Any]], dict[str, Any]], dict[str, Any] | None]] = {
    "unmapped": (lambda record: record, None),
    "other names": (renamed, {"fields": OTHER_NAMES}),
    "members of objects": (nested, {"fields": NESTED}),
    "members of objects, where": (nested, {"where": {"type": "track"}, "fields": NESTED}),
    "Snowplow, JSON": (enriched, SNOWPLOW),
    "Snowplow, tab-separated": (enriched, {**SNOWPLOW, "format": "tsv", "columns": COLUMNS}),
}


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=300_000)
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measure(Path(folder), arguments.events, arguments.rounds)


def measure(folder: Path, events: int, rounds: int) -> None:
    """Writes every way's file in turns."""
    make_events(folder / "made" / "a.ndjson", events, random.Random(7))
    records = [json.loads(line) for line in (folder / "made" / "a.ndjson").read_bytes().splitlines()]
    data = {
        way: b"".join(
            (as_cells if table and "columns" in table else as_json)(form(one)) + b"\n" for one in records
        )
        for way, (form, table) in WAYS.items()
    }
    best = dict.fromkeys(WAYS, float("inf"))
    for _ in range(rounds):
        for way, (_, table) in WAYS.items():
            chunks = [data[way][at : at + _CHUNK] for at in range(0, len(data[way]), _CHUNK)]
            mappings = {"events": RawMapping.model_validate(table)} if table else {}
            begun = time.process_time()
            counts = write_export(
                export_types.get("Event"),
                [RawFile(f"events/{DAY}/a.ndjson", lambda chunks=chunks: iter(chunks))],
                window=(DAY, DAY),
                target=folder / "target",
                rejects=folder / "rejects",
                workdir=folder / "work",
                limits=Limits(),
                mappings=mappings,
            )
            best[way] = min(best[way], time.process_time() - begun)
            assert counts.exported == events
    for way, seconds in best.items():
        size = len(data[way]) / 1e6
        print(f"{way:28} {size:6.0f} MB {seconds:6.2f} s CPU  {seconds / best['unmapped']:.2f} times")
    cpu = {way: round(seconds, 3) for way, seconds in best.items()}
    print(json.dumps({"bench": "mapped", "events": events, "rounds": rounds, "cpu": cpu}))


if __name__ == "__main__":
    main()
