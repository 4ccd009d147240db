"""The data account of commands about data: `DATA_STORAGE` of environment, profile or local file."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from mobexport.cli.connection import profile_option, profile_settings
from mobexport.errors import NotFound
from mobexport.local_settings import read_local_settings

if TYPE_CHECKING:
    from deltalake import DeltaTable

    from mobexport.storage import DataStorage
    from mobexport.tables.tables import Tables

_Function = TypeVar("_Function", bound=Callable[..., Any])
_SHOWN: Final = 20
_SECONDS: Final = 10


def account_option(function: _Function) -> _Function:
    """The option `--profile`, for commands that use the data account and no app."""

    def keep(ctx: click.Context, _parameter: click.Parameter, value: str | None) -> None:
        ctx.ensure_object(dict)["profile"] = value

    return profile_option(keep)(function)


def read_account() -> DataStorage:
    """The data account as it is named; nothing is asked of it. Raises ConfigError."""
    from mobexport.settings import read_settings
    from mobexport.storage import DataStorage

    return DataStorage(read_settings({**read_local_settings(Path()), **profile_settings(), **os.environ}))


@contextmanager
def open_storage() -> Iterator[DataStorage]:
    """The data account. Raises ConfigError, Transient, also for what goes wrong within."""
    from mobexport.blob_paths import CURATED_CONTAINER
    from mobexport.storage import known_error

    storage = read_account()
    try:
        # Asked first, and once: the clients would try again for minutes before they say what is wrong.
        storage.container(CURATED_CONTAINER, create=False).exists(retry_total=0, connection_timeout=_SECONDS)
        yield storage
    except Exception as error:
        known = known_error(error)
        if known is None or known is error:
            raise
        raise known from None


@contextmanager
def open_tables() -> Iterator[Tables]:
    """The tables of the account. Raises ConfigError, Transient."""
    from mobexport.tables.tables import Tables, as_our_errors

    with open_storage() as storage, as_our_errors("of this account"):
        yield Tables(storage)


@contextmanager
def open_table(folder: str) -> Iterator[DeltaTable]:
    """One table. Raises NotFound that names those there are."""
    with open_tables() as tables:
        yield find_table(tables, folder)


def find_table(tables: Tables, folder: str) -> DeltaTable:
    """One of the tables. Raises NotFound that names those there are."""
    there = tables.folders()
    table = tables.open(folder) if folder in there else None
    if table is None:
        near = get_close_matches(folder, there, 3) or there[:_SHOWN]
        raise NotFound(f"there is no table {folder!r}; there are: {', '.join(near) or 'none yet'}")
    return table
