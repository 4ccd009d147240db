"""Cliffs: odd input beside ordinary input of the same size; none should take more than twice the time.

`python -m benchmarks.cliffs` makes every kind of input in memory, writes or converts it in this one process,
three times, and prints CPU seconds per MB beside those of an ordinary file, and one line of JSON.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from uuid import UUID

from benchmarks.measuring import hide_what_is_not_deployed

# Arrow would look at every list for what is of numpy and pandas.
hide_what_is_not_deployed()

from mobexport import export_types  # noqa: E402
from mobexport.export_api.writer.export_file import RawFile, write_export  # noqa: E402
from mobexport.pipeline.process.conversion import convert_file  # noqa: E402
from mobexport.records.limits import Limits  # noqa: E402

DAY = date(2025, 3, 23)
CHUNK = 4 * 1024 * 1024
RUNS = 3
GOAL = 2.0
EVENT = export_types.get("Event")


def event(n: int, device: int, **more: object) -> dict[str, object]:
    """An ordinary event of some 280 bytes."""
    at = f"2025-03-23T{n % 24:02}:{n % 60:02}:{n // 60 % 60:02}.{n % 1000:03}Z"
    return {
        "deviceId": str(UUID(int=device * 7919 + (1 << 96))),
        "sessionId": str(UUID(int=n // 9 + (1 << 97))),
        "name": "add_to_cart",
        "timestamp": at,
        "infoId": str(UUID(int=n % 200 + (1 << 98))),
        "extras": {"screen": "Checkout", "count": n % 1000, "ok": True},
        **more,
    }


def compact(record: object) -> bytes:
    return json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode()


# --- raw lines ----------------------------------------------------------------------------------------------

Line = Callable[[int], bytes]
LINES: dict[str, Line] = {
    "ordinary": lambda n: compact(event(n, n % 5000)),
    "one device": lambda n: compact(event(n, 1)),
    "a device each": lambda n: compact(event(n, n)),
    "spaces between tokens": lambda n: json.dumps(event(n, n % 5000)).encode(),
    "times without fraction": lambda n: compact(event(n, n % 5000, timestamp="2025-03-23T10:00:00Z")),
    "times with an offset": lambda n: compact(event(n, n % 5000, timestamp="2025-03-23T10:00:00+01:00")),
    "nulls": lambda n: compact(event(n, n % 5000, extras=None, infoId=None)),
    "an undeclared name": lambda n: compact(event(n, n % 5000, colour="red")),
    "30 undeclared names": lambda n: compact(event(n, n % 5000, **{f"more{k}": k for k in range(30)})),
    "another name in each line": lambda n: compact(event(n, n % 5000, **{f"name{n}": 1})),
    "NaN in every 100th": lambda n: odd(n, 100),
    "NaN in every 2nd": lambda n: odd(n, 2),
    "escapes": lambda n: compact(event(n, n % 5000)).replace(b"_", b"\\u005f"),
    "CRLF": lambda n: compact(event(n, n % 5000)) + b"\r",
    "blank lines": lambda n: compact(event(n, n % 5000)) + b"\n",
    "lines of 1 MB": lambda n: compact(event(n, n % 5000, extras={"t": "x" * 1_000_000})),
    "half outside": lambda n: compact(event(n, n % 5000)).replace(b"-23T", b"-23T" if n % 2 else b"-25T"),
    "names twice": lambda n: compact(event(n, n % 5000)).replace(b'{"dev', b'{"name":"a","dev'),
    "blank names": lambda n: compact(event(n, n % 5000)).replace(b"add_", b" add_"),
}  # fmt: skip


def odd(n: int, every: int) -> bytes:
    """One line of so many is not JSON."""
    return compact(event(n, n % 5000)).replace(b"true", b"true" if n % every else b"NaN")


def lines_of(line: Line, size: int) -> bytes:
    made, total, n = [], 0, 0
    while total < size:
        made.append(line(n))
        total += len(made[-1]) + 1
        n += 1
    return b"\n".join(made) + b"\n"


def write(data: bytes, folder: Path) -> None:
    counts = write_export(
        EVENT,
        [RawFile("events/a.ndjson", lambda: chunks(data))],
        window=(DAY, DAY),
        target=folder / "target",
        rejects=folder / "rejects",
        workdir=folder / "work",
        limits=Limits(),
    )
    assert counts.balances()


# --- export files -------------------------------------------------------------------------------------------


def grouped(size: int, per_device: int, line: Line = LINES["ordinary"]) -> Iterator[dict[str, object]]:
    """Elements of so many events."""
    total = n = 0
    while total < size:
        records = []
        for _ in range(per_device):
            text = line(n)
            record = json.loads(text)
            del record["deviceId"]
            records.append(record)
            total += len(text) - 50
            n += 1
            if total >= size:
                break
        yield {"deviceId": str(UUID(int=n)), "events": records}


def array(elements: Iterator[dict[str, object]]) -> bytes:
    return b"[\n" + b",\n".join(map(compact, elements)) + b"\n]\n"


FILES: dict[str, Callable[[int], bytes]] = {
    "ordinary": lambda size: array(grouped(size, 50)),
    "one element": lambda size: array(grouped(size, 10**9)),
    "elements of 1 MB": lambda size: array(grouped(size, 4000)),
    "an event each": lambda size: array(grouped(size, 1)),
    "pretty-printed": lambda size: json.dumps(list(grouped(size, 50)), indent=1).encode(),
    "spaces between tokens": lambda size: json.dumps(list(grouped(size, 50))).encode(),
    "group last": lambda size: array(dict(reversed(list(one.items()))) for one in grouped(size, 50)),
    "times without fraction": lambda size: array(grouped(size, 50, LINES["times without fraction"])),
    "ids that are not GUIDs": lambda size: array(grouped(size, 50)).replace(b'"0000', b'"id-'),
    "NaN in every 1,000th event": lambda size: spoiled(size, 1000),
    "NaN in every 50th event": lambda size: spoiled(size, 50),
    "a number for a name in every 50th": lambda size: spoiled(size, 50, b'"add_to_cart"', b"7"),
    "trailing commas": lambda size: array(grouped(size, 50)).replace(b"}]}", b"}],}"),
    "31 days": lambda size: days(size, 31),
    "365 days": lambda size: days(size, 365),
}


def spoiled(size: int, every: int, value: bytes = b"true", instead: bytes = b"NaN") -> bytes:
    parts = array(grouped(size, 50)).split(value)
    return b"".join(
        part + (instead if n % every == 0 else value) for n, part in enumerate(parts[:-1])
    ) + parts[-1]  # fmt: skip


def days(size: int, count: int) -> bytes:
    def line(n: int) -> bytes:
        day = date.fromordinal(date(2025, 1, 1).toordinal() + n * 7 % count)
        return LINES["ordinary"](n).replace(b"2025-03-23", day.isoformat().encode())

    return array(grouped(size, 50, line))


def convert(data: bytes, folder: Path) -> None:
    done = convert_file(
        EVENT,
        chunks(data),
        app="shop",
        window=None,
        snapshot_day=None,
        strict=False,
        stem="s",
        out_dir=folder / "out",
        workdir=folder / "work",
        limits=Limits(),
    )
    assert done.records == done.rows + done.rejected


# --- the run ------------------------------------------------------------------------------------------------


def chunks(data: bytes) -> Iterator[bytes]:
    return (data[at : at + CHUNK] for at in range(0, len(data), CHUNK))


def measured(work: Callable[[bytes, Path], None], data: bytes) -> float:
    """CPU seconds per MB, the best of three."""
    times = []
    for _ in range(RUNS):
        with tempfile.TemporaryDirectory(prefix="bench-cliffs-") as folder:
            before = time.process_time()
            work(data, Path(folder))
            times.append(time.process_time() - before)
    return min(times) / (len(data) / 1e6)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cliffs", description=__doc__)
    parser.add_argument("--mb", type=float, default=25)
    size = int(parser.parse_args().mb * 1e6)
    report: dict[str, dict[str, float]] = {}
    kinds: list[tuple[str, Callable[[bytes, Path], None], dict[str, Callable[[int], bytes]]]] = [
        (
            "write",
            write,
            {name: lambda size, line=line: lines_of(line, size) for name, line in LINES.items()},
        ),
        ("convert", convert, FILES),
    ]
    for what, work, inputs in kinds:
        # What this process does for the first time costs more.
        measured(work, next(iter(inputs.values()))(size))
        base = 0.0
        report[what] = {}
        for name, make in inputs.items():
            each = measured(work, make(size))
            base = base or each
            report[what][name] = each / base
            verdict = "" if each <= GOAL * base else f"  MISSES {GOAL:g} times"
            print(
                f"{what:8} {name:28} {each * 1000:6.1f} ms/MB {each / base:5.2f} times{verdict}", flush=True
            )
    print(json.dumps(report))


if __name__ == "__main__":
    main()
