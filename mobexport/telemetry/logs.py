"""Logging: the app's loggers add the ids of the present export to each record.

The ids are at the end of the message as a JSON object, since the Functions host keeps nothing but the message
of a record, and are attributes of the record for other handlers.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

_SDKS: Final = {
    "azure": logging.WARNING,
    "urllib3": logging.ERROR,
    "requests": logging.ERROR,
    "msal": logging.WARNING,
    "msal_extensions": logging.WARNING,
}
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
    """A module's logger, instead of `logging.getLogger`; messages are formats."""
    return AppLogger(logging.getLogger(name), {})


@contextmanager
def log_context(ids: Mapping[str, str | int]) -> Iterator[None]:
    """Adds these ids to all records logged within, also by threads and tasks begun within."""
    token = _about.set({**about(), **ids})
    try:
        yield
    finally:
        _about.reset(token)


def note(**ids: str | int) -> None:
    """Adds ids that became known only now to those of the surrounding `log_context`."""
    known = _about.get()
    if known is not None:
        known.update(ids)


def about() -> dict[str, str | int]:
    """The ids of the present context."""
    return dict(_about.get() or {})


def quiet_sdks() -> None:
    """Silences the libraries that log requests, whatever the level of the root logger.

    The Azure SDK logs a dozen lines a request, and logs are paid for by the gigabyte. urllib3 and msal
    write whole URLs and answers, of SAS and tokens too: urllib3 at DEBUG, and with the warning of a retry.
    """
    for name, level in _SDKS.items():
        logging.getLogger(name).setLevel(level)
