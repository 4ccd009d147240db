"""Times: RFC 3339 text to instants in UTC, many at once, and back. Source: RFC 3339, section 5.6.

Instants are to the microsecond, further digits cut off, of the years 1 to 9999 of UTC. Leap seconds are not
told apart from faults: no clock of a phone shows them, and no later step could hold them. The canonical text
is UTC with `Z` and 3 digits, or 6 where the instant has more than milliseconds.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import NoneType
from typing import Final
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc

from mobexport.records.arrow import places, values_of
from mobexport.records.instants import EPOCH, micros_of

INSTANT: Final = pa.timestamp("us", "UTC")
_CLOCK = r"(?:[01]\d|2[0-3]):[0-5]\d"
_TIME = re.compile(
    rf"(\d{{4}}-\d{{2}}-\d{{2}})[Tt]({_CLOCK}:[0-5]\d)(?:\.(\d+))?(?:[Zz]|([+-])({_CLOCK}))", re.ASCII
)
_YEAR = r"(?:\d{3}[1-9]|\d{2}[1-9]0|\d[1-9]00|[1-9]000)"
_PLAIN = rf"^{_YEAR}-\d{{2}}-\d{{2}}T{_CLOCK}:[0-5]\d(?:\.\d{{1,6}})?(?:Z|[+-]{_CLOCK})$"
_YEARS = (-62_135_596_800_000_000, 253_402_300_799_999_999)  # from 1 to 9999
_MARKS = {4: b"-", 7: b"-", 10: b"T", 13: b":", 16: b":", 19: b".", 23: b"Z"}
_USUAL = 24
_LOCAL = re.compile(rf"(\d{{4}}-\d{{2}}-\d{{2}})[T ]({_CLOCK}(?::[0-5]\d)?)(?:\.(\d+))?( UTC)?", re.ASCII)


def read(texts: pa.Array) -> tuple[pa.Array, pa.Array, list[int]]:
    """Canonical texts of times, their instants, both null where there is none; places of what is no time."""
    try:
        if _are_usual(texts):
            return texts, texts.cast(INSTANT), []
        if pc.all(pc.match_substring_regex(texts, _PLAIN)).as_py() is not False:
            found = texts.cast(INSTANT)
            if within(found.cast(pa.int64()), _YEARS) is None:
                return _texts_of(found), found, []
    except pa.ArrowInvalid:
        pass
    read = pa.array([None if text is None else canonical(text) for text in texts.to_pylist()], pa.string())
    return read, read.cast(INSTANT), places(pc.and_(pc.is_null(read), pc.is_valid(texts)))


def _are_usual(texts: pa.Array) -> bool:
    """Whether all times are written as nearly all are: canonical, in milliseconds, of a year from 1000 on.

    They may be of days that there are not.
    """
    data = values_of(texts)
    count = len(texts) - texts.null_count
    marks = ((data[at::_USUAL], mark * count) for at, mark in _MARKS.items())
    is_usual = len(data) == count * _USUAL and all(found == mark for found, mark in marks)
    return is_usual and b"0" not in data[::_USUAL]


def _texts_of(at: pa.Array) -> pa.Array:
    """The canonical texts of instants."""
    micros, millis = at.cast(pa.timestamp("us")), at.cast(pa.timestamp("ms"), safe=False)
    is_whole = pc.equal(micros, millis.cast(micros.type))
    texts = pc.if_else(is_whole, millis.cast(pa.string()), micros.cast(pa.string()))
    return pc.binary_join_element_wise(pc.binary_replace_slice(texts, 10, 11, "T"), "Z", "")


def canonical(text: str) -> str | None:
    """The canonical text of a time; None if it is no RFC 3339 time with an offset."""
    found = _TIME.fullmatch(text)
    if not found:
        return None
    day, clock, fraction, sign, offset = found.groups()
    micros = f"{(fraction or ''):0<6}"[:6]
    digits = micros[:3] if micros.endswith("000") else micros
    try:
        at = datetime.fromisoformat(f"{day}T{clock}+00:00")
        if not sign or offset == "00:00":
            return f"{day}T{clock}.{digits}Z"
        shift = timedelta(hours=int(offset[:2]), minutes=int(offset[3:]))
        at = at - shift if sign == "+" else at + shift
    except (ValueError, OverflowError):
        return None
    return f"{at.replace(tzinfo=None).isoformat()}.{digits}Z"


def of_epoch(values: Sequence[float | str | None], micros: int) -> list[str | None]:
    """Canonical texts of numbers of units since 1970 UTC, each of so many microseconds.

    What is no number, or no instant of the years 1 to 9999, stays as text, which is no time.
    """
    if not {int, NoneType}.issuperset(map(type, values)):
        # Of floats Arrow would cut the fractions off.
        return [None if value is None else _of_number(value, micros) for value in values]
    try:
        # Multiplied unchecked, numbers beyond 64 bits would become instants.
        counted = pc.multiply_checked(pa.array(values, pa.int64()), micros)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        return [None if value is None else _of_number(value, micros) for value in values]
    if within(counted, _YEARS) is not None:
        return [None if value is None else _of_number(value, micros) for value in values]
    found: list[str | None] = _texts_of(counted.cast(INSTANT)).to_pylist()
    return found


def _of_number(value: float | str, micros: int) -> str:
    try:
        count = int((Decimal(str(value)) * micros).to_integral_value())
        return text_of(count) if _YEARS[0] <= count <= _YEARS[1] else str(value)
    except (ArithmeticError, ValueError):
        return str(value)


def of_local(values: Sequence[str | None], zone: str) -> list[str | None]:
    """Canonical texts of times without a zone, which are of `zone`; those with one stay as they are.

    Of a time that a clock shows twice the first counts; one that it leaves out is read by the offset before.
    """
    texts = pa.array(values, pa.string())
    try:
        # Arrow takes dates alone, too: by length they are seen.
        if pc.min(pc.utf8_length(texts)).as_py() not in (None, *range(16)):
            plain = texts.cast(pa.timestamp("us"))
            found: list[str | None] = _texts_of(
                pc.assume_timezone(plain, zone, ambiguous="earliest")
            ).to_pylist()
            return found
    except (pa.ArrowInvalid, ValueError):
        pass
    return [None if value is None else _of_local(value, zone) for value in values]


def _of_local(value: str, zone: str) -> str:
    found = _LOCAL.fullmatch(value)
    if not found:
        return value.replace(" ", "T", 1)
    day, clock, fraction, named = found.groups()
    micros = f"{(fraction or ''):0<6}"[:6]
    try:
        at = datetime.fromisoformat(f"{day}T{clock}{'' if clock.count(':') == 2 else ':00'}.{micros}")
        at = at.replace(tzinfo=UTC if named else ZoneInfo(zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        return value
    return text_of(micros_of(at))


def text_of(instant: int) -> str:
    """The canonical text of an instant in microseconds since 1970."""
    at = EPOCH + timedelta(microseconds=instant)
    digits = "microseconds" if instant % 1000 else "milliseconds"
    return at.replace(tzinfo=None).isoformat(timespec=digits) + "Z"


def within(at: pa.Array, bounds: tuple[int, int] | None) -> pa.Array | None:
    """Which instants (INT64, microseconds since 1970) lie within the bounds; None if all do."""
    if bounds is None or not len(at):
        return None
    ends = pc.min_max(at).as_py()
    if ends["min"] is None or (bounds[0] <= ends["min"] and ends["max"] <= bounds[1]):
        return None
    return pc.and_(pc.greater_equal(at, bounds[0]), pc.less_equal(at, bounds[1]))
