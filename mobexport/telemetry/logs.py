"""Logs that name what they are about: the app's loggers add the ids of the export at work to each record.

They stand at the end of the message as a JSON object, since the Functions host takes nothing else of a record
over, and as attributes of the record for other handlers.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

_about: ContextVar[dict[str, str | int] | None] = ContextVar("about", default=None)


class AppLogger(logging.LoggerAdapter[logging.Logger]):
    """A logger of the app's own."""

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        ids = about()
        if not ids:
            return msg, kwargs
        # The message is a format; ids hold nothing that looks like one.
        return f"{msg} {json.dumps(ids)}", {**kwargs, "extra": ids}


def get_logger(name: str) -> AppLogger:
    """What every module of the app logs with, instead of `logging.getLogger`; messages are formats."""
    return AppLogger(logging.getLogger(name), {})


@contextmanager
def log_context(ids: Mapping[str, str | int]) -> Iterator[None]:
    """What is logged in here, also by threads and tasks that are begun here, is about these ids."""
    token = _about.set({**about(), **ids})
    try:
        yield
    finally:
        _about.reset(token)


def note(**ids: str | int) -> None:
    """Adds ids that are known only now to those of the surrounding `log_context`."""
    known = _about.get()
    if known is not None:
        known.update(ids)


def about() -> dict[str, str | int]:
    """The ids that hold here."""
    return dict(_about.get() or {})


def quiet_sdks() -> None:
    """The Azure SDK says a dozen lines about each request it makes, which are paid for by the gigabyte."""
    logging.getLogger("azure").setLevel(logging.WARNING)
