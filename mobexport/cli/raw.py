"""Commands over raw data: `raw check`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mobexport.cli.command import Command, Group
from mobexport.errors import NotFound, RequestError

if TYPE_CHECKING:
    from mobexport.settings import Settings
    from mobexport.storage import DataStorage

_SECONDS: Final = 10


def _check_arguments(parser: argparse.ArgumentParser) -> None:
    place = parser.add_mutually_exclusive_group(required=True)
    place.add_argument(
        "folder",
        metavar="FOLDER",
        nargs="?",
        type=Path,
        help="a folder of this machine, as the raw container: {app}/{kind}/{YYYY-MM-DD}/…",
    )
    place.add_argument(
        "--container",
        metavar="NAME",
        nargs="?",
        const="",
        help="a container of the account of DATA_STORAGE (default: RAW_CONTAINER)",
    )
    parser.add_argument(
        "--config",
        metavar="FILE",
        type=Path,
        help="apps and mappings (default: exports.toml in the present folder, if there is one)",
    )
    parser.add_argument(
        "--slack-days", type=int, metavar="N", default=None, help="instead of RAW_SLACK_DAYS (default: 1)"
    )
    parser.add_argument(
        "--records",
        type=int,
        metavar="N",
        default=None,
        help="records read of each file (default: 10,000)",
    )


def _check(arguments: argparse.Namespace) -> int:
    from mobexport.config import load_config
    from mobexport.export_api.raw_check import RECORDS, RawSource, check_raw_data
    from mobexport.export_api.raw_folder import RawFolder

    config = load_config(arguments.config or Path("exports.toml"), required=arguments.config is not None)
    container, slack = "raw", arguments.slack_days
    source: RawSource
    if arguments.folder is not None:
        if not arguments.folder.is_dir():
            raise RequestError(f"{arguments.folder} is no folder")
        source = RawFolder(arguments.folder, container)
    else:
        from mobexport.settings import read_settings

        settings = read_settings()
        container = arguments.container or settings.raw_container
        source = _storage(settings, container)
        slack = settings.raw_slack_days if slack is None else slack
    report = check_raw_data(
        source,
        container,
        config,
        slack_days=1 if slack is None else slack,
        records=RECORDS if arguments.records is None else arguments.records,
    )
    for line in report.lines():
        print(line)
    return 1 if report.has_problems else 0


def _storage(settings: Settings, container: str) -> DataStorage:
    """The account, which has that container. Raises NotFound, and what is known of storage's errors."""
    from mobexport.storage import DataStorage, known_error

    storage = DataStorage(settings)
    try:
        # Asked first, and once: the client would try again for minutes before it says what is wrong.
        asked = storage.container(container, create=False)
        is_there = asked.exists(retry_total=0, connection_timeout=_SECONDS)
    except Exception as error:
        known = known_error(error)
        if known is None:
            raise
        raise known from None
    if not is_there:
        raise NotFound(f"the account of DATA_STORAGE has no container {container!r}")
    return storage


GROUP = Group(
    "raw",
    "Look at raw data before it is exported.",
    (
        Command(
            "check",
            "Tell what is there, what is not read and why, and what would be rejected; changes nothing.",
            _check_arguments,
            _check,
        ),
    ),
)
