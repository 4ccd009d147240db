"""The bytes of export files against a second implementation: plain Python, in memory, by the rules.

It shares nothing with the declarations, and builds the expected file from the values that the raw lines were
made of, so that it never reads JSON itself.
"""

import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mobexport import export_types
from mobexport.duck import DuckLimits
from mobexport.export_api.file_writer import ExportCounts, RawFile, write_export

WINDOW = (date(2025, 3, 1), date(2025, 3, 2))
RAW_JSON = [
    "{}",
    '{"a":1e3}',
    '{"b":null,"a":-0,"b":0.10}',
    '{"\\u00e9":"\\/ é 😀"}',
    '{"n":123456789012345678901}',
]


@dataclass(frozen=True)
class Raw:
    """A raw line: the values it was made of (None: absent), or why it is to be rejected."""

    file: str
    text: str
    device: str = ""
    session: str | None = None
    name: str = ""
    instant: datetime = datetime(2025, 1, 1, tzinfo=UTC)
    value: str | None = None
    unknown: bool = False
    rejected: bool = False


def instants() -> st.SearchStrategy[tuple[datetime, str]]:
    """An instant around the window and one of the ways to write it; few of them, so that ties are common."""

    @st.composite
    def build(draw: st.DrawFn) -> tuple[datetime, str]:
        micro = draw(st.sampled_from([0, 0, 5_000, 999_999]))
        seconds = draw(st.sampled_from([-1, 0, 1, 3600, 86_400, 2 * 86_400 - 1, 2 * 86_400]))
        at = datetime(2025, 3, 1, tzinfo=UTC) + timedelta(seconds=seconds, microseconds=micro)
        offset = draw(st.sampled_from([None, 0, 90, -345]))
        local = at if offset is None else at.astimezone(timezone(timedelta(minutes=offset)))
        text = local.strftime("%Y-%m-%dT%H:%M:%S") + draw(
            st.sampled_from(
                [
                    f".{micro:06}",
                    f".{micro:06}9",
                    f".{micro // 1000:03}" if micro % 1000 == 0 else f".{micro:06}",
                ]
            )
        )
        if offset is None:
            return at, text + draw(st.sampled_from("Zz"))
        sign = "-" if offset < 0 else "+"
        return at, f"{text}{sign}{abs(offset) // 60:02}:{abs(offset) % 60:02}"

    return build()


@st.composite
def raw_lines(draw: st.DrawFn, export_type: str) -> Raw:
    file = draw(st.sampled_from(["x/1", "x/10", "x/2", "é"]))
    if draw(st.integers(0, 9)) == 0:
        return Raw(
            file,
            draw(st.sampled_from(["{", "[]", "5", '{"a":NaN}', '{"deviceId":"d"}', "\x00"])),
            rejected=True,
        )
    device = draw(st.sampled_from(["d1", "d2", "d3", "dé", 'd"4']))
    session = draw(st.sampled_from([None, "s1", "s2"]))
    name = draw(st.sampled_from(["n", "é\n", "\\", "k"]))
    at, time = draw(instants())
    value = draw(st.sampled_from([None, "null", *RAW_JSON]))
    unknown = draw(st.booleans())
    pairs = [("deviceId", _string(draw, device)), ("timestamp", json.dumps(time))]
    if export_type == "Tag":
        pairs += [("key", _string(draw, name)), ("value", value)]
    else:
        pairs += [("name", _string(draw, name)), ("extras", value)]
        pairs += [("sessionId", None if session is None else _string(draw, session))]
    if unknown:
        pairs.append(("more", draw(st.sampled_from(["1", "null", '{"a":[1.50]}']))))
    colon, comma = draw(st.sampled_from([(":", ","), (": ", ", "), ("\t:", " ,\r")]))
    written = [f'"{key}"{colon}{text}' for key, text in draw(st.permutations(pairs)) if text is not None]
    value = None if value == "null" else value
    return Raw(file, "{" + comma.join(written) + "}", device, session, name, at, value, unknown)


def _string(draw: st.DrawFn, value: str) -> str:
    return json.dumps(value, ensure_ascii=draw(st.booleans()))


def reference(export_type: str, raws: list[Raw]) -> tuple[bytes, ExportCounts]:
    """The file and the counts that the rules ask for."""
    places = {id(raw): (raw.file.encode(), n) for n, raw in enumerate(raws)}
    good = [raw for raw in raws if not raw.rejected]
    inside = [raw for raw in good if export_type == "Tag" or WINDOW[0] <= raw.instant.date() <= WINDOW[1]]
    inside.sort(key=lambda raw: (raw.instant, places[id(raw)]))
    superseded = removed = 0
    if export_type == "Tag":
        latest = {(raw.device, raw.name): raw for raw in inside}
        superseded = len(inside) - len(latest)
        inside = [raw for raw in inside if latest[raw.device, raw.name] is raw and raw.value is not None]
        removed = len(latest) - len(inside)
    groups: dict[str, list[Raw]] = {}
    for raw in inside:
        key = f"{raw.session or ''}\x1f{raw.device}" if export_type == "Activity" else raw.device
        groups.setdefault(key, []).append(raw)
    elements = [
        _element(export_type, groups[key])
        for key in sorted(groups, key=lambda key: (hashlib.md5(key.encode()).hexdigest(), key.encode()))
    ]
    unknown = Counter(more=sum(raw.unknown for raw in good))
    counts = ExportCounts(
        len(raws), len(raws) - len(good), len(good) - superseded - removed - len(inside), superseded, removed,
        len(inside), len(groups), dict(+unknown),
    )  # fmt: skip
    return ("[\n" + ",\n".join(elements) + "\n]\n" if elements else "[]").encode(), counts


def _element(export_type: str, raws: list[Raw]) -> str:
    head = f'"deviceId":{_json(raws[0].device)}'
    if export_type == "Tag":
        return f'{{{head},"appInfo":{{{",".join(f"{_json(raw.name)}:{raw.value}" for raw in raws)}}}}}'
    if export_type == "Activity" and raws[0].session is not None:
        head = f'"sessionId":{_json(raws[0].session)},{head}'
    records = []
    for raw in raws:
        digits = "microseconds" if raw.instant.microsecond % 1000 else "milliseconds"
        time = raw.instant.isoformat(timespec=digits).replace("+00:00", "Z")
        record = [f'"name":{_json(raw.name)}', f'"timestamp":"{time}"']
        if export_type == "Event" and raw.session is not None:
            record.append(f'"sessionId":{_json(raw.session)}')
        if raw.value is not None:
            record.append(f'"extras":{raw.value}')
        records.append("{" + ",".join(record) + "}")
    nested = {"Event": "events", "Activity": "activities"}[export_type]
    return f'{{{head},"{nested}":[{",".join(records)}]}}'


def _json(text: str | None) -> str:
    return json.dumps(text, ensure_ascii=False)


@pytest.mark.slow
@settings(max_examples=80, deadline=None, derandomize=True, database=None)
@given(data=st.data(), export_type=st.sampled_from(["Event", "Activity", "Tag"]), chunk=st.integers(1, 99))
def test_given_any_raw_lines_when_written_then_the_bytes_and_counts_of_the_rules(
    data: st.DataObject, export_type: str, chunk: int
) -> None:
    raws = data.draw(st.lists(raw_lines(export_type), max_size=30))
    contents: dict[str, bytes] = {}
    for raw in raws:
        ending = data.draw(st.sampled_from([b"\n", b"\r\n", b"\n\n"]))
        contents[raw.file] = contents.get(raw.file, b"") + raw.text.encode() + ending
    files = [
        RawFile(name, lambda text=text: (text[at : at + chunk] for at in range(0, len(text), chunk)))
        for name, text in contents.items()
    ]
    with TemporaryDirectory() as folder:
        target = Path(folder, "target")
        counts = write_export(
            export_types.get(export_type),
            files,
            window=None if export_type == "Tag" else WINDOW,
            target=target,
            rejects=Path(folder, "rejects"),
            workdir=Path(folder, "work"),
            limits=DuckLimits(),
        )
        expected, expected_counts = reference(export_type, raws)
        assert target.read_bytes().decode() == expected.decode()
        assert counts == expected_counts
        assert counts.balances()
