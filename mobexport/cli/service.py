"""Commands about a running app and its APIs: `openapi`, `trace`."""

from __future__ import annotations

from typing import Final

import click

from mobexport.cli.connection import app_options, connect
from mobexport.cli.output import json_option, print_json


@click.command()
@click.option(
    "--from-app", is_flag=True, help="The description that the app serves, which may be another version."
)
@app_options
def openapi(from_app: bool) -> None:
    """Print the OpenAPI description of both APIs (JSON)."""
    if from_app:
        from mobexport.cli.app_api import AppApi

        print_json(AppApi(connect()).description())
        return
    from mobexport.openapi import describe

    print_json(describe())


@click.command()
@click.argument("export_id", metavar="ID")
@click.option("--code", metavar="KEY", help="Function key, or the Durable system key; as --key.")
@json_option
@app_options
def trace(export_id: str, code: str | None, as_json: bool) -> int:
    """Print the timeline of one export across both halves."""
    from mobexport.trace import print_trace

    app = connect()
    return print_trace(export_id, app.url, code or app.key or None, as_json=as_json)


COMMANDS: Final[tuple[click.Command, ...]] = (openapi, trace)
