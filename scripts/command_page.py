"""Write the parts of docs/command-line.md that the program itself knows: its help, and its exit codes.

`python -m scripts.command_page`; a test holds the page against it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click

from mobexport.cli.exits import MEANINGS
from mobexport.cli.program import NAME, program

PAGE: Final = Path(__file__).resolve().parent.parent / "docs" / "command-line.md"
_WIDTH: Final = 100


def with_parts(text: str) -> str:
    """The page with both parts as they are now."""
    for name, part in (("exit codes", _exits()), ("commands", _commands())):
        begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        found = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
        text = found.sub(lambda _: f"{begin}\n{part}\n{end}", text)  # noqa: B023 - used at once
    return text


def _exits() -> str:
    rows = [f"| {int(code)} | {meaning} |" for code, meaning in MEANINGS.items()]
    return "\n".join(["| code | when |", "|---|---|", *rows])


def _commands() -> str:
    return "\n\n".join(_sections(program, NAME, None))


def _sections(command: click.Command, path: str, parent: click.Context | None) -> Iterator[str]:
    settings = {**command.context_settings, "terminal_width": _WIDTH, "max_content_width": _WIDTH}
    context = click.Context(command, info_name=path.rpartition(" ")[2], parent=parent, **settings)
    yield f"### {path}\n\n```\n{command.get_help(context)}\n```"
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            yield from _sections(command.commands[name], f"{path} {name}", context)


def main() -> None:
    PAGE.write_text(with_parts(PAGE.read_text("utf-8")), "utf-8")
    print(f"{PAGE} is written")


if __name__ == "__main__":
    main()
