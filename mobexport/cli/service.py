"""Commands about a running app and its API: `openapi`, `trace`."""

from __future__ import annotations

import argparse
import json

from mobexport.cli.command import Command


def _trace_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", metavar="ID", help="id of the export")
    parser.add_argument(
        "--url",
        default="http://127.0.0.1:7071",
        metavar="URL",
        help="base URL of the app (default: http://127.0.0.1:7071)",
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
    Command("openapi", "Print the Export API's OpenAPI description.", lambda _parser: None, _openapi),
    Command("trace", "Print the timeline of one export of a running app.", _trace_arguments, _trace),
)
