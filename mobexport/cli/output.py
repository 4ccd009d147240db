"""Output: tables and JSON on stdout, progress on a terminal's stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import click

_Function = TypeVar("_Function", bound=Callable[..., Any])
_CELL: Final = 40


def json_option(function: _Function) -> _Function:
    """The option `--json`, as the argument `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")(function)


def print_json(value: Any) -> None:
    """One value as JSON, over several lines."""
    print(json.dumps(value, ensure_ascii=False, indent=2))


def print_json_line(value: Any) -> None:
    """One value as JSON, in one line, at once."""
    print(json.dumps(value, ensure_ascii=False), flush=True)


def one_line(text: str) -> str:
    """The text in one line, without what a terminal would obey."""
    return "".join(
        char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in " ".join(text.split())
    )


def cell(value: Any) -> str:
    """A value in a column: one line, cut."""
    text = "" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = one_line(text)
    return text if len(text) <= _CELL else f"{text[: _CELL - 1]}…"


def print_rows(
    header: Sequence[str], rows: Sequence[Sequence[str]], right: AbstractSet[int] = frozenset()
) -> None:
    """Columns as wide as they need to be, those in `right` to the right; with colour on a terminal."""
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
        for at, name in enumerate(header):
            table.add_column(name, justify="right" if at in right else "left", overflow="fold")
        for row in rows:
            table.add_row(*(Text(one_line(text), style=_STYLES.get(text, "")) for text in row))
        Console().print(table)
        return
    lines = [header, *([one_line(text) for text in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = [
            text.rjust(width) if at in right else text.ljust(width)
            for at, (text, width) in enumerate(zip(line, widths, strict=True))
        ]
        print("  ".join(cells).rstrip())


_STYLES: Final = {
    "Succeeded": "green",
    "Empty": "green",
    "Delivered": "green",
    "ok": "green",
    "Failed": "red",
    "TimedOut": "red",
    "PartiallySucceeded": "yellow",
    "Cancelled": "yellow",
    "failed": "red",
}


@contextmanager
def spinner(text: str) -> Iterator[Callable[[str], None]]:
    """A spinner with a text that can be changed; nothing unless stderr is a terminal."""
    if not sys.stderr.isatty():
        yield lambda _text: None
        return
    from rich.console import Console
    from rich.markup import escape

    with Console(stderr=True).status(escape(one_line(text))) as status:
        yield lambda changed: status.update(escape(one_line(changed)))


@contextmanager
def bar(text: str, total: int) -> Iterator[Callable[[int], None]]:
    """A progress bar over bytes: call it with each number added; nothing unless stderr is a terminal."""
    if not sys.stderr.isatty():
        yield lambda _added: None
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(escape(one_line(text)), total=total)
        yield lambda added: progress.advance(task, added)
