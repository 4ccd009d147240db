"""Commands over export files on a laptop, without Azure: `convert`, `check`."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

import click

from mobexport import export_types
from mobexport.cli.exits import Exit
from mobexport.cli.output import json_option, print_json
from mobexport.errors import RequestError
from mobexport.export_types import ExportType
from mobexport.records.formats import ExportFormat
from mobexport.records.limits import Limits

if TYPE_CHECKING:
    from mobexport.pipeline.process.conversion import Conversion

_CHUNK = 4 * 1024 * 1024
_SHOWN = 3
_WIDTH = 100
_EVERY_SECONDS = 0.2


_Function = TypeVar("_Function", bound=Callable[..., Any])


class _InputType(click.ParamType[Any]):
    """The argument FILE."""

    name = "file"

    def convert(self, value: Any, _param: click.Parameter | None, _ctx: click.Context | None) -> Any:
        return value if isinstance(value, Input) else Input(str(value))


def _file_options(function: _Function) -> _Function:
    day = click.DateTime(["%Y-%m-%d"])
    for option in (
        click.option(
            "--window",
            nargs=2,
            type=day,
            metavar="START END",
            help="Reject records of other days (UTC, both included), as 2025-03-01.",
        ),
        click.option("--strict", is_flag=True, help="Reject missing ids and ids that are not GUIDs."),
        click.option(
            "--type", "named", metavar="TYPE", help="Default: by the file's name or its first element."
        ),
        click.argument("file", type=_InputType(), metavar="FILE"),
    ):
        function = option(function)
    return function


@click.command()
@_file_options
@click.option("--app", default="app", metavar="NAME", help="Value of the column app (default: app).")
@click.option(
    "--out",
    default=Path("parquet"),
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Where to write (default: parquet).",
)
@json_option
def convert(
    file: Input,
    named: str | None,
    strict: bool,
    window: tuple[datetime, datetime] | None,
    app: str,
    out: Path,
    as_json: bool,
) -> int:
    """Convert an export file to Parquet, one file a day.

    FILE is JSON or CSV, also gzip; - is standard input."""
    declared = _recognise(file, named)
    conversion = _run(file, declared, strict, window, app, out)
    if as_json:
        outputs = [
            {"path": str(one.path), "rows": one.rows, "bytes": one.bytes} for one in conversion.outputs
        ]
        rejects = str(conversion.rejects) if conversion.rejects else None
        print_json({**_counts(file, declared, conversion), "outputs": outputs, "rejects": rejects})
    else:
        _print_counts(file, declared, conversion)
        for output in conversion.outputs:
            print(f"{output.path}  {output.rows:,} rows, {output.bytes:,} bytes")
        if conversion.rejects:
            print(f"{conversion.rejects}  {conversion.rejected:,} rejects")
    return Exit.BAD_RESULT if strict and conversion.rejected else Exit.OK


@click.command()
@_file_options
@json_option
def check(
    file: Input, named: str | None, strict: bool, window: tuple[datetime, datetime] | None, as_json: bool
) -> int:
    """Check every record of an export file; write nothing.

    FILE is JSON or CSV, also gzip; - is standard input."""
    declared = _recognise(file, named)
    with tempfile.TemporaryDirectory(prefix="mobexport-") as folder:
        conversion = _run(file, declared, strict, window, "app", Path(folder))
        if as_json:
            print_json({**_counts(file, declared, conversion), "examples": _examples(conversion.rejects)})
        else:
            _print_counts(file, declared, conversion)
    return Exit.BAD_RESULT if conversion.rejected else Exit.OK


COMMANDS: Final[tuple[click.Command, ...]] = (convert, check)


def _counts(file: Input, declared: ExportType, conversion: Conversion) -> dict[str, Any]:
    return {
        "file": str(file),
        "exportType": declared.name,
        "counts": {
            "records": conversion.records,
            "rows": conversion.rows,
            "rejected": conversion.rejected,
            "rules": dict(conversion.rules),
            "lenient": dict(conversion.lenient),
        },
    }


def _run(
    file: Input,
    declared: ExportType,
    strict: bool,
    window: tuple[datetime, datetime] | None,
    app: str,
    out: Path,
) -> Conversion:
    from mobexport.pipeline.process.conversion import convert_file

    if window and not declared.historical:
        raise RequestError(f"{declared.name} is a snapshot and has no days: leave --window out")
    if window and window[0] > window[1]:
        raise RequestError("--window: START must not be after END")
    with tempfile.TemporaryDirectory(prefix="mobexport-") as folder, Progress(file.size) as progress:
        return convert_file(
            declared,
            file.chunks(),
            app=app,
            window=(window[0].date(), window[1].date()) if window else None,
            snapshot_day=None if declared.historical else datetime.now(UTC).date(),
            strict=strict,
            stem=file.stem,
            out_dir=out,
            workdir=Path(folder),
            limits=Limits(memory_mb=256, disk_mb=20_000),
            file_format=file.format,
            watch=progress.show,
        )


class Input:
    """An export file, or standard input for `-`, of which the beginning can be read first."""

    def __init__(self, name: str) -> None:
        self._path = None if name == "-" else Path(name)
        self.name = "standard input" if self._path is None else self._path.name
        self.stem = "stdin" if self._path is None else self._path.stem
        self._begun: list[bytes] = []
        self._rest: Iterator[bytes] | None = None

    def __str__(self) -> str:
        return self.name if self._path is None else str(self._path)

    @property
    def size(self) -> int:
        """Bytes; 0 if unknown."""
        return self._path.stat().st_size if self._path and self._path.is_file() else 0

    @property
    def format(self) -> ExportFormat:
        """CSV by the name, also of gzip; standard input by its first byte: an array begins with a bracket."""
        if self._path is not None:
            name = self._path.name.lower().removesuffix(".gz")
            return ExportFormat.CSV if name.endswith(".csv") else ExportFormat.JSON
        return ExportFormat.JSON if self.first_byte() in b"[{" else ExportFormat.CSV

    def first_byte(self) -> bytes:
        """The first byte of its text, unpacked; a bracket if there is none."""
        from mobexport.records.gunzip import unpacked

        for chunk in unpacked(self.beginning(), self.name):
            if text := chunk.lstrip(b"\xef\xbb\xbf \t\r\n"):
                return text[:1]
        return b"["

    def beginning(self) -> Iterator[bytes]:
        """The chunks, kept for `chunks`."""
        yield from list(self._begun)
        self._rest = self._rest or self._read()
        for chunk in self._rest:
            self._begun.append(chunk)
            yield chunk

    def chunks(self) -> Iterator[bytes]:
        """The chunks from the start, once."""
        while self._begun:
            yield self._begun.pop(0)
        yield from self._rest or self._read()

    def _read(self) -> Iterator[bytes]:
        with sys.stdin.buffer if self._path is None else self._path.open("rb") as data:
            while chunk := data.read(_CHUNK):
                yield chunk


class Progress:
    """A progress line on the terminal; nothing if stderr is not a terminal."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._out = sys.stderr if sys.stderr.isatty() else None
        self._started = self._shown = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._out:
            self._out.write("\r\033[K")

    def show(self, size: int, rows: int) -> None:
        """Shows bytes and rows so far, a few times a second."""
        now = time.monotonic()
        if self._out is None or now - self._shown < _EVERY_SECONDS:
            return
        self._shown = now
        of = f" of {self._size / 1e6:,.0f}" if self._size else ""
        speed = size / 1e6 / max(now - self._started, 0.001)
        self._out.write(f"\r\033[K{size / 1e6:,.0f}{of} MB, {rows:,} rows, {speed:.0f} MB/s")
        self._out.flush()


def _recognise(file: Input, named: str | None) -> ExportType:
    """The type of a file: as named, by the file's name, or by its first element."""
    if file.format is ExportFormat.JSON and file.first_byte() == b"{":
        raise RequestError(
            f"{file}: this is raw data, one JSON object a line, and no export file, which is a JSON array:"
            " put it into the container raw as {app}/{kind}/{YYYY-MM-DD}/{name}.ndjson, and export it"
        )
    if named:
        asked = export_types.get(named)
        other = _other_type(file, asked)
        if other:
            raise RequestError(f"{file}: looks like {other}, not like {asked.name}: see --type")
        return asked
    for declared in export_types.all_types():
        if file.name.lower().startswith(f"{declared.name.lower()}-"):
            return declared
    if file.format is ExportFormat.CSV:
        raise RequestError(f"{file}: name the export type of a CSV file with --type, such as --type Event")
    explained = _explanations(file)
    most = max(explained.values(), default=0)
    likely = [name for name, keys in explained.items() if keys == most]
    if len(likely) != 1:
        names = ", ".join(declared.name for declared in export_types.all_types())
        raise RequestError(f"{file}: cannot tell the export type; name it with --type ({names})")
    return export_types.get(likely[0])


def _other_type(file: Input, asked: ExportType) -> str | None:
    """The one type that the first element can only be of, if it cannot be of the asked one."""
    if file.format is ExportFormat.CSV:
        return None  # Its header is checked when it is read.
    explained = _explanations(file)
    return next(iter(explained)) if len(explained) == 1 and asked.name not in explained else None


def _explanations(file: Input) -> dict[str, int]:
    """For each type that the first element can be of, how many of its keys belong to it."""
    from mobexport.records.elements import elements
    from mobexport.records.gunzip import unpacked
    from mobexport.records.json_text import FAILS, raw_members

    first = next(elements(unpacked(file.beginning(), file.name)), None)
    found: dict[str, Any] = {}
    if first:
        with suppress(*FAILS):
            found = raw_members(first.texts[0])
    return {
        declared.name: keys
        for declared in export_types.all_types()
        if (keys := _explained(declared, found.keys()))
    }


def _explained(declared: ExportType, keys: Collection[str]) -> int:
    """Number of an element's keys that belong to that type; 0 if it cannot be one."""
    fields = {column.name.partition(".")[0]: column for column in declared.columns}
    if declared.inner:
        fields = {name: fields[name] for name in declared.group}
    must = {name for name, field in fields.items() if field.required and field.published}
    known = {*fields, declared.inner} if declared.inner else set(fields)
    inner_is_there = not declared.inner or declared.inner in keys
    own = known.intersection(keys) - set(declared.group)
    return len(known.intersection(keys)) if inner_is_there and must <= set(keys) and own else 0


def _print_counts(file: Input, declared: ExportType, conversion: Conversion) -> None:
    days = f" in {len(conversion.outputs)} days" if declared.historical else ""
    print(f"{file}: {declared.name}, {conversion.records:,} records{days}")
    print(f"  rows      {conversion.rows:,}")
    print(f"  rejected  {conversion.rejected:,}")
    examples = _examples(conversion.rejects)
    for rule, count in conversion.rules.items():
        print(f"    {rule}  {count:,}")
        for example in examples.get(rule, ()):
            print(f"      {example}")
    for note, count in conversion.lenient.items():
        print(f"  let pass: {note}  {count:,}")


def _examples(rejects: Path | None) -> dict[str, list[str]]:
    """The first few rejects by reason, shortened."""
    found: dict[str, list[str]] = {}
    if rejects is None:
        return found
    with rejects.open(encoding="utf-8") as lines:
        for line in lines:
            reject = json.loads(line)
            rule = ":".join(filter(None, (reject["rule"], reject.get("field"))))
            shown = found.setdefault(rule, [])
            if len(shown) < _SHOWN:
                original = " ".join(reject["original"].split())
                text = f"{original[:_WIDTH]}…" if len(original) > _WIDTH else original
                shown.append(f"element {reject['element']}, record {reject['record']}: {text}")
    return found
