"""Numbers, times and names as people read them; pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote

from markupsafe import Markup, escape

from mobexport.untrusted import prose

_SIZES: Final = ((1024**3, "GB"), (1024**2, "MB"), (1024, "kB"))
NONE: Final = "\N{EN DASH}"


def number(value: Any) -> str:
    """`1,234`; an en dash for what is not known."""
    return f"{value:,}" if isinstance(value, int) else NONE


def size(value: Any) -> str:
    """Bytes as `1.2 MB`."""
    if not isinstance(value, int):
        return NONE
    return next((f"{value / one:,.1f} {unit}" for one, unit in _SIZES if value >= one), f"{value} bytes")


def percent(value: float | None) -> str:
    """`1.5 %`."""
    return NONE if value is None else f"{100 * value:.2g} %"


def duration(seconds: float | None) -> str:
    """`0.8 s`, `42 s`, `3 min 5 s`, `2 h 4 min`, `3 d 1 h`."""
    if seconds is None:
        return NONE
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for large, name, small, part in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= large:
            rest = whole % large // small
            return f"{whole // large} {name} {rest} {part}" if rest else f"{whole // large} {name}"
    return f"{whole} s"


def instant(text: str | None) -> Markup:
    """A `<time>` in UTC, to the second."""
    try:
        at = datetime.fromisoformat(text or "")
    except ValueError:
        return escape(NONE)
    shown = f"{at:%Y-%m-%d %H:%M:%S}"
    return Markup('<time datetime="{}">{}</time>').format(prose(text, 40), shown)


def outside(value: Any) -> Markup:
    """A text of somebody else's, set apart so that its writing direction stays its own."""
    return Markup("<bdi>{}</bdi>").format(prose(value, 1000))


def segment(value: Any) -> str:
    """A text as one segment of a path."""
    return quote(str(value), safe="", errors="replace")


def days(subject: Mapping[str, Any]) -> str:
    """The days, or the campaigns, of an export."""
    if window := subject.get("window"):
        return window[0] if window[0] == window[1] else f"{window[0]} to {window[1]}"
    if kind := subject.get("campaignType"):
        ids = subject.get("campaignIds")
        if ids:
            return f"{kind} {', '.join(map(str, ids[:5]))}{' …' if len(ids) > 5 else ''}"
        return f"{kind} {subject['campaignWindowStart'][:10]} to {subject['campaignWindowEnd'][:10]}"
    return f"snapshot {subject.get('snapshotDay') or NONE}"


FILTERS: Final[Mapping[str, Callable[..., Any]]] = {
    "number": number,
    "size": size,
    "percent": percent,
    "duration": duration,
    "instant": instant,
    "outside": outside,
    "segment": segment,
    "days": days,
}
