"""How fast the Export API's writer is, beside plain Python and bare transfer, and how much memory it takes.

`python -m benchmarks.export` makes raw data, runs every row in a process of its own, baselines in between,
and prints a table and one line of JSON. `--events` and `--large-mb` make it smaller; `--no-azurite` leaves
the rows with the storage emulator out.
"""

import argparse
import gzip
import hashlib
import json
import os
import platform
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any
from uuid import UUID

ROOT = Path(__file__).parent.parent
DAY = date(2025, 3, 23)
CHUNK = 4 * 1024 * 1024
ROWS = ("NDJSON", "gzip", "Device join")
NAMES = ("memory_usage", "cpu_usage", "session_start", "lifecycle_app", "add_to_cart", "checkout")


# --- raw data -----------------------------------------------------------------------------------------------


def make_data(folder: Path, events: int) -> None:
    """The three inputs: events as lines and as gzip, devices with their tags; about 280 bytes a record."""
    numbers = random.Random(7)
    devices = [str(UUID(int=numbers.getrandbits(128))) for _ in range(max(events // 50, 1))]
    infos = [str(UUID(int=numbers.getrandbits(128))) for _ in range(200)]
    (folder / "NDJSON" / "events").mkdir(parents=True)
    plain = folder / "NDJSON" / "events" / "a.ndjson"
    with plain.open("w", encoding="utf-8") as out:
        for _ in range(events):
            record: dict[str, Any] = {"deviceId": numbers.choice(devices)}
            if numbers.random() < 0.9:
                record["sessionId"] = str(UUID(int=numbers.getrandbits(128)))
            record |= {"name": numbers.choice(NAMES), "timestamp": _time(numbers)}
            record |= {"infoId": numbers.choice(infos), "extras": _extras(numbers)}
            out.write(json.dumps(record, ensure_ascii=False, separators=(",", ":")) + "\n")
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


# --- plain Python -------------------------------------------------------------------------------------------


def plain_events(files: list[Path], target: Path) -> None:
    """json.loads, group, json.dumps: what one writes first, and nothing it need not do."""
    groups: dict[str, list[tuple[str, int, dict[str, Any]]]] = {}
    number = 0
    day = str(DAY)
    for file in files:
        with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as lines:
            for line in lines:
                number += 1
                record = json.loads(line)
                if record["timestamp"][:10] == day:
                    groups.setdefault(record.pop("deviceId"), []).append(
                        (record["timestamp"], number, record)
                    )
    _dump(
        target, groups, lambda device: {"deviceId": device, "events": [r[2] for r in _sorted(groups[device])]}
    )


def plain_devices(files: list[Path], target: Path) -> None:
    """The same for the newest state of devices and tags."""
    states: dict[str, dict[str, Any]] = {}
    tags: dict[str, dict[str, tuple[str, int, Any]]] = {}
    number = 0
    for file in files:
        with file.open("rb") as lines:
            for line in lines:
                number += 1
                record = json.loads(line)
                at = (record["timestamp"], number)
                if "key" in record:
                    own = tags.setdefault(record["deviceId"], {})
                    if record["key"] not in own or own[record["key"]][:2] < at:
                        own[record["key"]] = (*at, record.get("value"))
                    continue
                state = states.setdefault(record["deviceId"], {"at": ("", 0), "first": None, "last": None})
                meta = record["meta"]
                state["first"] = min(meta["firstSeen"], state["first"] or meta["firstSeen"])
                state["last"] = max(meta["lastSeen"], state["last"] or meta["lastSeen"])
                if state["at"] < at:
                    state |= {"at": at, "meta": meta, "info": record["info"]}

    def element(device: str) -> dict[str, Any]:
        state = states[device]
        meta = {**state["meta"], "firstSeen": state["first"], "lastSeen": state["last"]}
        shown = sorted(
            (at, n, key, value) for key, (at, n, value) in tags.get(device, {}).items() if value is not None
        )
        found = {"deviceId": device, "meta": meta, "info": state["info"]}
        return {**found, "appInfo": {key: value for _, _, key, value in shown}} if shown else found

    _dump(target, states, element)


def _sorted(records: list[tuple[str, int, dict[str, Any]]]) -> list[tuple[str, int, dict[str, Any]]]:
    return sorted(records, key=lambda one: one[:2])


def _dump(target: Path, groups: dict[str, Any], element: Callable[[str], dict[str, Any]]) -> None:
    order = sorted(groups, key=lambda key: (hashlib.md5(key.encode()).digest(), key))
    with target.open("w", encoding="utf-8") as out:
        for n, key in enumerate(order):
            text = json.dumps(element(key), ensure_ascii=False, separators=(",", ":"))
            out.write((",\n" if n else "[\n") + text)
        out.write("\n]\n")


# --- what a measured process does ---------------------------------------------------------------------------


def work(task: dict[str, Any], folder: Path) -> dict[str, Any]:
    """One row in this process: seconds, CPU seconds, MiB at the peak, MD5 of the file."""
    files = [Path(name) for name in task["files"]]
    target = folder / "target"
    started, used = time.perf_counter(), time.process_time()
    extra: dict[str, Any] = {}
    match task["way"]:
        case "plain":
            (plain_devices if task["type"] == "Device" else plain_events)(files, target)
        case "compute":
            extra = compute(task, files, target, folder)
        case "steps":
            extra = steps(task, files, target, folder)
        case "transfer" | "end to end":
            extra = on_azurite(task, files, target, folder)
            started += extra.pop("before")
    seconds, used = time.perf_counter() - started, time.process_time() - used
    peak = high_water()
    with target.open("rb") as data:
        digest = hashlib.file_digest(data, "md5").hexdigest()
    return {
        "seconds": seconds,
        "cpu": used,
        "peak": peak,
        "md5": digest,
        "out": target.stat().st_size,
        **extra,
    }


def high_water() -> float:
    """MiB this process had at most. Not ru_maxrss: that of the process that forked it counts there too."""
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def compute(task: dict[str, Any], files: list[Path], target: Path, folder: Path) -> dict[str, Any]:
    """Local files to a local file, in one step."""
    from mobexport.export_api.file_writer import RawFile

    raw = [RawFile(f"{path.parent.name}/{path.name}", _reader(path), path.parent.name) for path in files]
    return _write(task, raw, target, folder)


def _write(task: dict[str, Any], raw: Sequence[Any], target: Any, folder: Path) -> dict[str, Any]:
    from mobexport import export_types
    from mobexport.duck import DuckLimits
    from mobexport.export_api.file_writer import write_export

    counts = write_export(
        export_types.get(task["type"]),
        raw,
        window=None if task["type"] == "Device" else (DAY, DAY),
        target=target,
        rejects=folder / "rejects",
        workdir=folder / "work",
        limits=DuckLimits(task["memory_mb"], threads=task["threads"]),
    )
    assert counts.balances()
    assert not counts.rejected
    return {"read": counts.read, "exported": counts.exported}


def _reader(path: Path) -> Callable[[], Iterator[bytes]]:
    def chunks() -> Iterator[bytes]:
        with path.open("rb") as data:
            while chunk := data.read(CHUNK):
                yield chunk

    return chunks


def steps(task: dict[str, Any], files: list[Path], target: Path, folder: Path) -> dict[str, Any]:
    """All steps of a large task, one after the other, in this one process."""
    import io

    from mobexport.duck import DuckLimits
    from mobexport.export_api import scale_out
    from mobexport.export_api.selection import ExportFormat, Selection

    class Local:
        """The three ports on a folder."""

        def read(self, name: Any, first: int, end: int | None) -> Iterator[bytes]:
            path = files[name] if isinstance(name, int) else folder / name
            with path.open("rb") as data:
                data.seek(first)
                left = (path.stat().st_size if end is None else end) - first
                while left and (chunk := data.read(min(CHUNK, left))):
                    left -= len(chunk)
                    yield chunk

        def put(self, name: str, path: Path) -> None:
            shutil.copyfile(path, folder / name)

        def stage(self, block: str, data: bytes) -> None:
            (folder / f"block-{block}").write_bytes(data)

        def commit(self, blocks: Sequence[str]) -> None:
            with target.open("wb") as out:
                for block in blocks:
                    out.write((folder / f"block-{block}").read_bytes())

    local = Local()
    given: dict[str, Any] = {
        "workdir": folder / "work",
        "limits": DuckLimits(task["memory_mb"], threads=task["threads"]),
    }
    entries = tuple(
        scale_out.RawEntry(f"events/{n}-{path.name}", path.stat().st_size, "events")
        for n, path in enumerate(files)
    )
    spec = scale_out.Spec(task["type"], ExportFormat.JSON, Selection((DAY, DAY)), entries)
    spec = scale_out.plan(spec, local, **given)
    tokens = [
        scale_out.partition_slice(spec, one.number, local, local, **given)["token"] for one in spec.slices
    ]
    written = [
        scale_out.write_bucket(spec, bucket, tokens, local, local, **given) for bucket in range(spec.buckets)
    ]
    counts = scale_out.commit(spec, tokens, written, local, local, io.BytesIO())
    assert counts.balances()
    return {
        "read": counts.read,
        "exported": counts.exported,
        "slices": len(spec.slices),
        "buckets": spec.buckets,
    }


def on_azurite(task: dict[str, Any], files: list[Path], target: Path, folder: Path) -> dict[str, Any]:
    """From raw blobs to a blob; `transfer`: the same bytes down and up, and nothing else."""
    from azure.storage.blob import BlobBlock

    from mobexport.export_api.file_writer import RawFile
    from mobexport.export_api.scale_out_storage import BlobTarget, BlockStream
    from mobexport.settings import read_settings
    from mobexport.storage import DataStorage

    begun = time.perf_counter()
    storage = DataStorage(
        read_settings({"DATA_STORAGE": task["connection"], "AZURE_FUNCTIONS_ENVIRONMENT": "Development"})
    )
    raw = storage.container("raw")
    for path in files:
        name = f"{task['row']}/{path.parent.name}/{path.name}"
        if not raw.get_blob_client(name).exists():
            with path.open("rb") as data:
                raw.upload_blob(name, data)
    blobs = list(storage.list_blobs("raw", f"{task['row']}/"))
    blob = storage.container("landing").get_blob_client("file")
    before = time.perf_counter() - begun

    class Upload:
        """A blob in blocks of 4 MiB, each sent when it is full."""

        def __init__(self) -> None:
            self.blocks: list[BlobBlock] = []
            self.pending = bytearray()

        def write(self, data: bytes) -> None:
            self.pending += data
            while len(self.pending) >= CHUNK:
                self.send(CHUNK)

        def send(self, size: int) -> None:
            self.blocks.append(BlobBlock(block_id=f"{len(self.blocks):08}"))
            blob.stage_block(self.blocks[-1].id, bytes(self.pending[:size]), length=size)
            del self.pending[:size]

        def end(self) -> None:
            if self.pending:
                self.send(len(self.pending))
            blob.commit_block_list(self.blocks)

    upload = Upload()
    found: dict[str, Any] = {}
    if task["way"] == "transfer":
        for one in blobs:
            for _ in storage.read_chunks("raw", one):
                pass
        for chunk in _reader(Path(task["output"]))():
            upload.write(chunk)
        upload.end()
    else:
        files_of = [
            RawFile(
                one.name.split("/", 1)[1],
                lambda one=one: storage.read_chunks("raw", one),
                one.name.split("/")[1],
            )
            for one in blobs
        ]
        with BlockStream(BlobTarget(blob, "application/json")) as stream:
            found = _write(task, files_of, stream, folder)
    spent = time.perf_counter()
    target.write_bytes(blob.download_blob().readall())
    return {"before": before + time.perf_counter() - spent, **found}


# --- the run ------------------------------------------------------------------------------------------------


def measured(task: dict[str, Any], keep: Path | None = None) -> dict[str, Any]:
    """The task in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="bench-export-") as folder:
        command = [sys.executable, "-m", "benchmarks.export", "--work", json.dumps(task), "--folder", folder]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(done.stderr)
        if keep:
            shutil.move(Path(folder, "target"), keep)
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return found


def tasks_of(row: str, data: Path, **more: Any) -> dict[str, Any]:
    files = sorted(str(path) for path in (data / row).rglob("*") if path.is_file())
    return {"row": row, "type": "Device" if row == "Device join" else "Event", "files": files, **more}


def best(results: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians of the times, the greatest of the peaks."""
    times = {key: statistics.median(one[key] for one in results) for key in ("seconds", "cpu")}
    return {**results[0], **times, "peak": max(one["peak"] for one in results)}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.export", description=__doc__)
    parser.add_argument("--events", type=int, default=500_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--memory-mb", type=int, default=320)
    parser.add_argument("--large-mb", type=int, default=1024)
    parser.add_argument("--no-azurite", action="store_true")
    parser.add_argument("--work")
    parser.add_argument("--folder", type=Path)
    chosen = parser.parse_args()
    if chosen.work:
        print(json.dumps(work(json.loads(chosen.work), chosen.folder)))
        return
    common = {"threads": chosen.threads, "memory_mb": chosen.memory_mb}
    load = os.getloadavg()[0]
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, load {load:.1f}"
    )
    print(f"{chosen.events:,} events, {chosen.threads} threads, DuckDB {chosen.memory_mb} MB\n")
    report: dict[str, Any] = {"events": chosen.events, "cores": os.cpu_count(), "load": load, "rows": {}}
    with tempfile.TemporaryDirectory(prefix="bench-export-data-") as name:
        data = Path(name)
        make_data(data, chosen.events)
        for row in ROWS:
            size = sum(path.stat().st_size for path in (data / row).rglob("*") if path.is_file())
            plain, ours = [], []
            for _ in range(chosen.repeats):
                plain.append(measured(tasks_of(row, data, way="plain")))
                ours.append(measured(tasks_of(row, data, way="compute", **common), keep=data / f"{row}.out"))
            report["rows"][row] = {"mb": size / 1e6, "plain": best(plain), "compute": best(ours)}
            show_compute(row, report["rows"][row])
        if not chosen.no_azurite:
            from samples.azurite import Azurite

            (data / "azurite").mkdir()
            with Azurite(data / "azurite.log", data / "azurite") as azurite:
                for row in ROWS:
                    given = {"connection": azurite.connection_string, "output": str(data / f"{row}.out")}
                    bare, whole = [], []
                    for _ in range(chosen.repeats):
                        bare.append(measured(tasks_of(row, data, way="transfer", **given)))
                        whole.append(measured(tasks_of(row, data, way="end to end", **given, **common)))
                    report["rows"][row] |= {"transfer": best(bare), "whole": best(whole)}
                    assert whole[0]["md5"] == report["rows"][row]["compute"]["md5"]
                    show_whole(row, report["rows"][row])
        one = tasks_of("NDJSON", data, way="steps", **common)
        copies = max(round(chosen.large_mb / report["rows"]["NDJSON"]["mb"]), 1)
        small, large = measured(one), measured({**one, "files": one["files"] * copies})
        assert small["md5"] == report["rows"]["NDJSON"]["compute"]["md5"]
        growth = large["peak"] / small["peak"] - 1
        report |= {"steps": small, "large": large, "copies": copies, "growth": growth}
        print(f"\nsteps of a large task in one process, {copies} times the input:"
              f" peak {small['peak']:.0f} MiB -> {large['peak']:.0f} MiB"
              f" ({growth:+.1%}; goal: under 10 %); {large['seconds']:.1f} s,"
              f" {large['slices']} slices, {large['buckets']} buckets")  # fmt: skip
    report["load after"] = os.getloadavg()[0]
    print(json.dumps(report))


def show_compute(row: str, found: dict[str, Any]) -> None:
    plain, ours = found["plain"], found["compute"]
    faster = plain["seconds"] / ours["seconds"]
    verdict = "meets" if faster >= 5 else "MISSES"
    print(f"{row:12} {found['mb']:6.0f} MB  plain Python {plain['seconds']:6.2f} s ({plain['cpu']:.2f} CPU)"
          f"  ours {ours['seconds']:6.2f} s ({ours['cpu']:.2f} CPU), {ours['peak']:.0f} MiB"
          f"  {faster:.1f} x, {verdict} 5 x", flush=True)  # fmt: skip


def show_whole(row: str, found: dict[str, Any]) -> None:
    larger = max(found["compute"]["seconds"], found["transfer"]["seconds"])
    times = found["whole"]["seconds"] / larger
    verdict = "meets" if times <= 1.5 else "MISSES"
    print(f"{row:12} end to end {found['whole']['seconds']:6.2f} s, {found['whole']['peak']:.0f} MiB"
          f"  bare transfer {found['transfer']['seconds']:6.2f} s  {times:.2f} x the larger, {verdict} 1.5 x",
          flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
