"""The command `mobexport`: export files on a laptop, without Azure, and the story of one export.

Exit codes: 0 all is well, 1 rejects were found (`check`, and `convert --strict`), 2 a wrong call or file.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from mobexport import export_types
from mobexport.errors import MobexportError, RequestError
from mobexport.export_types import ExportType
from mobexport.pipeline.converting import Conversion, convert_file
from mobexport.pipeline.elements import elements

_CHUNK = 4 * 1024 * 1024
_SHOWN = 3
_WIDTH = 100


@dataclass(frozen=True)
class Command:
    """A subcommand: its words, its arguments, and what it does (giving the exit code)."""

    name: str
    help: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; the exit code. Prints what it found to stdout, what is wrong to stderr."""
    parser = argparse.ArgumentParser(
        prog="mobexport", description="Look at Mobile Engagement export files, and at one export."
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in COMMANDS:
        own = commands.add_parser(command.name, help=command.help, description=command.help)
        command.add_arguments(own)
        own.set_defaults(run=command.run)
    arguments = parser.parse_args(argv)
    try:
        return int(arguments.run(arguments))
    except MobexportError as error:
        print(f"mobexport: {error.message}", file=sys.stderr)
    except OSError as error:
        print(f"mobexport: {error.filename or 'file'}: {error.strerror or error}", file=sys.stderr)
    return 2


def _file_arguments(parser: argparse.ArgumentParser) -> None:
    names = ", ".join(declared.name for declared in export_types.all_types())
    parser.add_argument("file", metavar="FILE", type=Path, help="an export file (JSON)")
    parser.add_argument(
        "--type", metavar="TYPE", help=f"{names}; default: by the file's name or its first element"
    )
    parser.add_argument("--strict", action="store_true", help="reject ids that are missing or no GUIDs")
    parser.add_argument(
        "--window",
        nargs=2,
        metavar=("START", "END"),
        type=_day,
        help="reject records of other days (UTC, both included), as 2025-03-01",
    )


def _convert_arguments(parser: argparse.ArgumentParser) -> None:
    _file_arguments(parser)
    parser.add_argument("--app", default="app", metavar="NAME", help="value of the column app (default: app)")
    parser.add_argument(
        "--out", default=Path("parquet"), metavar="DIR", type=Path, help="where to write (default: parquet)"
    )


def _convert(arguments: argparse.Namespace) -> int:
    declared = _recognise(arguments.file, arguments.type)
    conversion = _run(arguments, declared, arguments.app, arguments.out)
    _print_counts(arguments.file, declared, conversion)
    for output in conversion.outputs:
        print(f"{output.path}  {output.rows:,} rows, {output.bytes:,} bytes")
    if conversion.rejects:
        print(f"{conversion.rejects}  {conversion.rejected:,} rejects")
    return 1 if arguments.strict and conversion.rejected else 0


def _check(arguments: argparse.Namespace) -> int:
    declared = _recognise(arguments.file, arguments.type)
    with tempfile.TemporaryDirectory(prefix="mobexport-") as folder:
        conversion = _run(arguments, declared, "app", Path(folder))
        _print_counts(arguments.file, declared, conversion)
    return 1 if conversion.rejected else 0


def _trace_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", metavar="ID", help="id of the export")
    parser.add_argument(
        "--url",
        default="http://127.0.0.1:7071",
        metavar="URL",
        help="where the app runs (default: http://127.0.0.1:7071)",
    )
    parser.add_argument("--code", metavar="KEY", help="function key, where the app asks for one")


def _trace(arguments: argparse.Namespace) -> int:
    from mobexport.trace import print_trace

    return print_trace(arguments.id, arguments.url, arguments.code)


def _openapi(_arguments: argparse.Namespace) -> int:
    from mobexport.export_api.openapi import describe

    print(json.dumps(describe(), indent=2))
    return 0


COMMANDS = (
    Command("convert", "Convert an export file to Parquet, one file a day.", _convert_arguments, _convert),
    Command("check", "Check every record of an export file; writes nothing.", _file_arguments, _check),
    Command("openapi", "Print the Export API's OpenAPI description.", lambda _parser: None, _openapi),
    Command("trace", "Print the timeline of one export of a running app.", _trace_arguments, _trace),
)


def _run(arguments: argparse.Namespace, declared: ExportType, app: str, out: Path) -> Conversion:
    from mobexport.duck import DuckLimits

    window = arguments.window
    if window and not declared.historical:
        raise RequestError(f"{declared.name} is a snapshot and has no days: leave --window out")
    if window and window[0] > window[1]:
        raise RequestError("--window: START must not be after END")
    with tempfile.TemporaryDirectory(prefix="mobexport-") as folder:
        return convert_file(
            declared,
            _chunks(arguments.file),
            app=app,
            window=(window[0], window[1]) if window else None,
            snapshot_day=None if declared.historical else datetime.now(UTC).date(),
            strict=arguments.strict,
            stem=arguments.file.stem,
            out_dir=out,
            workdir=Path(folder),
            limits=DuckLimits(memory_mb=1024, temp_mb=20_000),
        )


def _recognise(file: Path, named: str | None) -> ExportType:
    """The type of a file: as named, by the file's name, or by its first element."""
    if named:
        return export_types.get(named)
    for declared in export_types.all_types():
        if file.name.lower().startswith(f"{declared.name.lower()}-"):
            return declared
    first = next(elements(_chunks(file)), None)
    try:
        found = json.loads(first.text) if first else None
    except ValueError:
        found = None
    explained = {
        declared.name: keys
        for declared in export_types.all_types()
        if isinstance(found, dict) and (keys := _explained(declared, found.keys()))
    }
    most = max(explained.values(), default=0)
    likely = [name for name, keys in explained.items() if keys == most]
    if len(likely) != 1:
        names = ", ".join(declared.name for declared in export_types.all_types())
        raise RequestError(f"{file}: cannot tell the export type; name it with --type ({names})")
    return export_types.get(likely[0])


def _explained(declared: ExportType, keys: Collection[str]) -> int:
    """How many of an element's keys are that type's; 0 if it cannot be one."""
    fields = {column.name.partition(".")[0]: column for column in declared.columns}
    if declared.inner:
        fields = {name: fields[name] for name in declared.group}
    must = {name for name, field in fields.items() if field.required and field.published}
    known = {*fields, declared.inner} if declared.inner else set(fields)
    inner_is_there = not declared.inner or declared.inner in keys
    own = known.intersection(keys) - set(declared.group)
    return len(known.intersection(keys)) if inner_is_there and must <= set(keys) and own else 0


def _print_counts(file: Path, declared: ExportType, conversion: Conversion) -> None:
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


def _chunks(file: Path) -> Iterator[bytes]:
    with file.open("rb") as data:
        while chunk := data.read(_CHUNK):
            yield chunk


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no date such as 2025-03-01") from None


if __name__ == "__main__":
    sys.exit(main())
