"""Make pages of templates, and serve what they load; everything in them is bounded, cleaned and escaped."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from mobexport.errors import NotFound
from mobexport.pages import words
from mobexport.untrusted import prose

ROOT: Final = "/api/ui"
"""Path of the pages."""
_HERE: Final = Path(__file__).parent
_TYPES: Final = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_MOST: Final = 2000
"""Characters of one value on a page."""
HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    # Not no-referrer: the Origin of a form would be `null` then.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_PAGE_HEADERS: Final = {**HEADERS, "Cache-Control": "no-store", "X-Frame-Options": "DENY"}


@dataclass(frozen=True)
class Page:
    """A page, and the headers that go with it."""

    html: str
    headers: Mapping[str, str]


def render(template: str, **values: Any) -> Page:
    """The page that a template makes of these values. What it loads has the nonce of this answer."""
    nonce = secrets.token_urlsafe(16)
    html = _environment().get_template(f"{template}.html").render(nonce=nonce, **values)
    policy = (
        f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; img-src 'self';"
        " connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
    return Page(html, {**_PAGE_HEADERS, "Content-Security-Policy": policy})


def asset(name: str) -> str:
    """URL of a file that pages load; another one for other content, so that browsers may keep it."""
    return f"{ROOT}/static/{name}?v={_read(name)[1]}"


def read_asset(name: str) -> tuple[bytes, str]:
    """Content and media type of such a file. Raises NotFound."""
    if name not in _names():
        raise NotFound(f"the status page has no file {name[:100]!r}")
    return _read(name)[0], _TYPES[Path(name).suffix]


@lru_cache(maxsize=1)
def _names() -> frozenset[str]:
    return frozenset(path.name for path in (_HERE / "static").iterdir() if path.suffix in _TYPES)


@lru_cache(maxsize=16)
def _read(name: str) -> tuple[bytes, str]:
    data = (_HERE / "static" / name).read_bytes()
    return data, hashlib.sha256(data).hexdigest()[:12]


@lru_cache(maxsize=1)
def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_fit,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals |= {"root": ROOT, "asset": asset}
    made.filters |= words.FILTERS
    return made


def _fit(value: Any) -> Any:
    """A value as it may stand on a page: text without controls, secrets, and what turns writing around."""
    if value is None:
        return ""
    return prose(value, _MOST) if isinstance(value, str) and not isinstance(value, Markup) else value
