"""All commands of `mobexport`, and how their failures end."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Final

import click
from click.exceptions import NoArgsIsHelpError

from mobexport.cli import (
    config,
    doctor,
    exports,
    files,
    notify,
    pull,
    query,
    raw,
    rejects,
    schedules,
    service,
    tables,
)
from mobexport.cli.exits import Exit, exit_of
from mobexport.cli.output import one_line
from mobexport.errors import MobexportError

NAME: Final = "mobexport"
_COMPLETE: Final = "_MOBEXPORT_COMPLETE"
_SETTINGS: Final = {"max_content_width": 100, "help_option_names": ["-h", "--help"]}


@click.group(name=NAME, context_settings=_SETTINGS)
def program() -> None:
    """Mobile Engagement exports: ask for them, follow them, use their files and tables.

    Commands about exports speak to an app: at --url, MOBEXPORT_URL or a profile, else on this machine.
    Commands about data use the account in DATA_STORAGE.
    """


@program.command()
@click.argument("shell", type=click.Choice(("bash", "zsh", "fish")))
def completion(shell: str) -> None:
    """Print a shell's completion script.

    In .bashrc: eval "$(mobexport completion bash)"
    """
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    assert found is not None
    click.echo(found(program, {}, NAME, _COMPLETE).source())


for module in (exports, schedules, notify, rejects, pull, query, tables, files, raw, config, service, doctor):
    for command in module.COMMANDS:
        program.add_command(command)


def run(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    try:
        found = program.main(
            None if argv is None else list(argv),
            prog_name=NAME,
            complete_var=_COMPLETE,
            standalone_mode=False,
        )
        return int(found or 0)
    except MobexportError as error:
        return _fail(error.message, exit_of(error))
    except click.UsageError as error:
        if error.ctx is None or isinstance(error, NoArgsIsHelpError):  # its help is the message
            error.show()
            return Exit.WRONG_CALL
        return _fail(f"{error.format_message()} (see {error.ctx.command_path} --help)", Exit.WRONG_CALL)
    except click.ClickException as error:
        return _fail(error.format_message(), Exit.WRONG_CALL)
    except (click.Abort, KeyboardInterrupt):
        return Exit.INTERRUPTED
    except BrokenPipeError:
        # Who reads has seen enough (`| head`); nothing more may be written, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.OK
    except OSError as error:
        return _fail(f"{error.filename or 'file'}: {error.strerror or error}", Exit.WRONG_CALL)


def _fail(message: str, code: Exit) -> Exit:
    print(f"{NAME}: {one_line(message)}", file=sys.stderr)
    return code
