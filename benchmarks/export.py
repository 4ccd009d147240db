"""Speed and memory of the Export API's writer, beside plain Python and a floor.

`python -m benchmarks.export` makes raw data, runs every row in a process of its own, baselines in between,
and prints a table and one line of JSON. `--events` and `--large-mb` make it smaller; `--no-azurite` leaves
the rows with the storage emulator out.

Plain Python is what one writes first, and checks nothing. The floor decodes every line into a struct of the
declared fields and writes as many bytes: what any writer with msgspec has to do at least.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.measuring import (
    MIB,
    Bench,
    Result,
    Task,
    Way,
    as_deployed,
    azurite,
    chunks_of,
    storage_of,
)
from benchmarks.raw_data import DAY, make_data

if TYPE_CHECKING:
    from mobexport.export_types import Field

ROWS = {"NDJSON": (5, 3), "gzip": (5, 3), "Device join": (2.5, 2.5)}
"""Goals in CPU seconds: times as fast as plain Python, times as slow as the floor."""


# --- plain Python -------------------------------------------------------------------------------------------


def plain(task: Task, folder: Path) -> Callable[[], Result]:
    """json.loads, group, json.dumps: what one writes first, and nothing it need not do."""
    write = plain_devices if task["type"] == "Device" else plain_events
    return partial(write, _files(task), folder / "target")


def plain_events(files: list[Path], target: Path) -> Result:
    """Events by device, in the order of their times."""
    groups: dict[str, list[tuple[str, int, dict[str, Any]]]] = {}
    number = 0
    day = str(DAY)
    for file in files:
        with io.BufferedReader(gzip.open(file)) if file.suffix == ".gz" else file.open("rb") as lines:
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
    return {"exported": number}


def plain_devices(files: list[Path], target: Path) -> Result:
    """The newest state of devices and tags."""
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
    return {"exported": len(states)}


def _sorted(records: list[tuple[str, int, dict[str, Any]]]) -> list[tuple[str, int, dict[str, Any]]]:
    return sorted(records, key=lambda one: one[:2])


def _dump(target: Path, groups: dict[str, Any], element: Callable[[str], dict[str, Any]]) -> None:
    order = sorted(groups, key=lambda key: (hashlib.md5(key.encode()).digest(), key))
    with target.open("w", encoding="utf-8") as out:
        for n, key in enumerate(order):
            text = json.dumps(element(key), ensure_ascii=False, separators=(",", ":"))
            out.write((",\n" if n else "[\n") + text)
        out.write("\n]\n")


# --- the floor ----------------------------------------------------------------------------------------------


def floor(task: Task, folder: Path) -> Callable[[], Result]:
    """Unzips, decodes each line into a struct of the declared fields, writes `out` bytes; keeps nothing."""
    import msgspec

    from mobexport import export_types

    declared = export_types.get(task["type"])
    types = [declared, *filter(None, [declared.joined])]
    decoders = {one.kind: msgspec.json.Decoder(_struct(one.name, one.fields)) for one in types}

    def run() -> Result:
        count = 0
        for path in _files(task):
            decode = decoders[_kind(path)].decode
            for block in _blocks(path):
                for line in block.split(b"\n"):
                    decode(line)
                    count += 1
        with (folder / "target").open("wb") as out:
            for left in range(task["out"], 0, -MIB):
                out.write(bytes(min(left, MIB)))
        return {"read": count}

    return run


def _struct(name: str, fields: Sequence[Field]) -> Any:
    import msgspec

    from mobexport.export_types import FieldKind

    def declared(field: Field) -> tuple[Any, ...]:
        if field.is_raw_json:
            return field.name, msgspec.Raw, msgspec.Raw()
        kinds = {FieldKind.INTEGER: int, FieldKind.BOOLEAN: bool}
        kind = _struct(field.name, field.members) if field.members else kinds.get(field.kind, str)
        return (field.name, kind) if field.required else (field.name, kind | None, None)

    first = sorted(fields, key=lambda field: not field.required)
    return msgspec.defstruct(name, [declared(field) for field in first], gc=False)


def _blocks(path: Path) -> Iterator[bytes]:
    """Whole lines, about 1 MiB at a time, without the last one's end."""
    rest = b""
    with path.open("rb") as data:
        unzip = zlib.decompressobj(wbits=31) if path.suffix == ".gz" else None
        while chunk := (data.read(MIB // 4) if unzip else data.read(MIB)):
            block = rest + (unzip.decompress(chunk) if unzip else chunk)
            end = block.rfind(b"\n")
            if end >= 0:
                yield block[:end]
            rest = block[end + 1 :]
    if rest:
        yield rest


# --- ours ---------------------------------------------------------------------------------------------------


@as_deployed
def ours(task: Task, folder: Path) -> Callable[[], Result]:
    """Local files to a local file, in one step."""
    from mobexport.export_api.writer.export_file import RawFile

    raw = [
        RawFile(f"{_kind(path)}/{n:03}-{path.name}", partial(chunks_of, path), _kind(path))
        for n, path in enumerate(_files(task))
    ]
    return partial(_writer(task, folder), raw, folder / "target")


def _writer(task: Task, folder: Path) -> Callable[[Sequence[Any], Any], Result]:
    """The writer with all that it imports: what writes raw files to a target."""
    from mobexport import export_types
    from mobexport.export_api.writer.export_file import write_export
    from mobexport.records.formats import ExportFormat
    from mobexport.records.limits import Limits

    (folder / "work").mkdir()
    declared = export_types.get(task["type"])

    def write(raw: Sequence[Any], target: Any) -> Result:
        counts = write_export(
            declared,
            raw,
            window=None if task["type"] == "Device" else (DAY, DAY),
            output=ExportFormat(task.get("output", ExportFormat.JSON)),
            target=target,
            rejects=folder / "rejects",
            workdir=folder / "work",
            limits=Limits(**task.get("limits", {})),
        )
        assert counts.balances()
        assert not counts.rejected
        return {"read": counts.read, "exported": counts.exported}

    return write


@as_deployed
def steps(task: Task, folder: Path) -> Callable[[], Result]:
    """All steps of a large task, one after the other, in this one process."""
    from mobexport.export_api.tasks.selection import Selection
    from mobexport.export_api.writer import scale_out
    from mobexport.export_api.writer.slices import RawEntry
    from mobexport.records.formats import ExportFormat
    from mobexport.records.limits import Limits

    files = _files(task)
    target = folder / "target"

    class Local:
        """The three ports on a folder."""

        def read(self, name: Any, first: int, end: int | None) -> Iterator[bytes]:
            return chunks_of(files[name] if isinstance(name, int) else folder / name, first, end)

        def put(self, name: str, path: Path) -> None:
            shutil.copyfile(path, folder / name)

        def stage(self, block: str, data: bytes) -> None:
            (folder / f"block-{block}").write_bytes(data)

        def commit(self, blocks: Sequence[str]) -> None:
            with target.open("wb") as out:
                for block in blocks:
                    out.write((folder / f"block-{block}").read_bytes())

    def run() -> Result:
        local = Local()
        entries = tuple(
            RawEntry(f"events/{n:03}-{path.name}", path.stat().st_size, "events")
            for n, path in enumerate(files)
        )
        spec = scale_out.Spec(task["type"], ExportFormat.JSON, Selection((DAY, DAY)), entries)
        spec = scale_out.plan(spec, local)
        partition = partial(scale_out.partition_slice, workdir=folder / "work", limits=Limits())
        tokens = [partition(spec, one.number, local, local)["token"] for one in spec.slices]
        written = [
            scale_out.write_bucket(spec, bucket, tokens, local, local) for bucket in range(spec.buckets)
        ]
        counts = scale_out.commit(spec, tokens, written, local, local, io.BytesIO())
        assert counts.balances()
        sizes = {"slices": len(spec.slices), "buckets": spec.buckets}
        return {"read": counts.read, "exported": counts.exported, **sizes}

    return run


# --- on Azurite ---------------------------------------------------------------------------------------------


def put(task: Task, _: Path) -> Callable[[], Result]:
    """The raw files as blobs."""
    raw = storage_of(task["connection"]).container("raw")

    def run() -> Result:
        for path in _files(task):
            with path.open("rb") as data:
                raw.upload_blob(f"{task['row']}/{_kind(path)}/{path.name}", data)
        return {}

    return run


def transfer(task: Task, _: Path) -> Callable[[], Result]:
    """The bytes of the raw blobs down, those of the file up in blocks of 4 MiB, and nothing else."""
    from azure.storage.blob import BlobBlock

    storage = storage_of(task["connection"])
    blobs = list(storage.list_blobs("raw", f"{task['row']}/"))
    blob = storage.container("landing").get_blob_client("bare")

    def run() -> Result:
        for one in blobs:
            for _ in storage.read_chunks("raw", one):
                pass
        blocks = []
        for number, chunk in enumerate(chunks_of(Path(task["file"]))):
            blocks.append(BlobBlock(block_id=f"{number:08}"))
            blob.stage_block(blocks[-1].id, chunk, length=len(chunk))
        blob.commit_block_list(blocks)
        return {}

    return run


@as_deployed
def end_to_end(task: Task, folder: Path) -> Callable[[], Result]:
    """From raw blobs to a blob."""
    from mobexport.export_api.writer.export_file import RawFile
    from mobexport.export_api.writer.scale_out_storage import BlobTarget, BlockStream

    storage = storage_of(task["connection"])
    raw = []
    for one in storage.list_blobs("raw", f"{task['row']}/"):
        _, kind, name = one.name.split("/")
        raw.append(RawFile(f"{kind}/{name}", partial(storage.read_chunks, "raw", one), kind))
    blob = storage.container("landing").get_blob_client(task["row"])
    write = _writer(task, folder)

    def run() -> Result:
        with BlockStream(BlobTarget(blob, "application/json")) as stream:
            return write(raw, stream)

    return run


def get(task: Task, folder: Path) -> Callable[[], Result]:
    """The written blob, to see that it is the same file."""
    blob = storage_of(task["connection"]).container("landing").get_blob_client(task["row"])

    def run() -> Result:
        with (folder / "target").open("wb") as out:
            blob.download_blob().readinto(out)
        return {}

    return run


# --- the run ------------------------------------------------------------------------------------------------

WAYS: dict[str, Way] = {
    way.__name__: way for way in (plain, floor, ours, steps, put, transfer, end_to_end, get)
}


def task_of(way: str, row: str, data: Path, **more: Any) -> Task:
    """A task over the files of a row."""
    files = sorted(str(path) for path in (data / row).rglob("*") if path.is_file())
    kind = "Device" if row == "Device join" else "Event"
    return {"way": way, "row": row, "type": kind, "files": files, **more}


def _kind(path: Path) -> str:
    return path.parent.name


def _files(task: Task) -> list[Path]:
    return [Path(name) for name in task["files"]] * int(task.get("copies", 1))


def main() -> None:
    bench = Bench("benchmarks.export", WAYS, __doc__)
    with tempfile.TemporaryDirectory(prefix="bench-export-") as name:
        data = Path(name)
        make_data(data, bench.events)
        sizes = {
            row: sum(path.stat().st_size for path in _files(task_of("", row, data))) / 1e6 for row in ROWS
        }
        computed = {row: compute(bench, row, data, sizes[row]) for row in ROWS}
        if bench.azurite:
            with azurite() as connection:
                for row in ROWS:
                    on_azurite(bench, row, data, sizes[row], computed[row], connection)
        # The app would take steps for that much; in one step it needs more temporary files, not more memory.
        at_once = task_of("ours", "NDJSON", data, limits={"disk_mb": 2 * bench.large_mb})
        in_steps = task_of("steps", "NDJSON", data)
        for task, title in ((at_once, "one step"), (in_steps, "all steps of a large task")):
            once = bench.growth(f"NDJSON, growing, {title}", sizes["NDJSON"], task)
            assert once["md5"] == computed["NDJSON"]["md5"]
    bench.finish()


def megabytes(folder: Path) -> float:
    """Size of its files, in millions of bytes."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def compute(bench: Bench, row: str, data: Path, mb: float) -> Result:
    """File to file: ours beside the baselines. Leaves the file as `{row}.out`."""
    first = bench.measured(task_of("ours", row, data), keep=data / f"{row}.out")
    found = bench.row(
        row,
        mb,
        {
            "plain Python": task_of("plain", row, data),
            "floor": task_of("floor", row, data, out=first["out"]),
            "ours": task_of("ours", row, data),
        },
    )
    faster, slower = ROWS[row]
    mine = found["ours"]
    bench.at_least(faster, found["plain Python"]["cpu"] / mine["cpu"], "times as fast as plain Python, CPU")
    bench.at_most(slower, mine["cpu"] / found["floor"]["cpu"], "times the floor, CPU")
    bench.peak(mine)
    assert mine["md5"] == first["md5"]
    return mine


def on_azurite(bench: Bench, row: str, data: Path, mb: float, computed: Result, connection: str) -> None:
    """Blobs to a blob: the same file."""
    given = {"connection": connection, "file": str(data / f"{row}.out")}
    bench.measured(task_of("put", row, data, **given))
    bare, whole = (task_of(way, row, data, **given) for way in ("transfer", "end_to_end"))
    bench.end_to_end(f"{row} on Azurite", mb, computed, bare, whole)
    assert bench.measured(task_of("get", row, data, **given))["md5"] == computed["md5"]


if __name__ == "__main__":
    main()
