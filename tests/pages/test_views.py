"""Pages as HTML: hostile names are text, timelines tell what was seen, pictures have their numbers."""

import itertools
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any

import pytest

from mobexport.errors import NotFound
from mobexport.pages import bodies, words
from mobexport.pages.calendar_view import MARKS, Cell, Day
from mobexport.pages.charts import Line, Piece, columns
from mobexport.pages.export_view import account, can_rerun, is_live, rules, seconds, timeline
from mobexport.pages.site import asset, read_asset, render

HOSTILE = {
    "script": "<script>alert(1)</script>",
    "attribute": '" autofocus onfocus="alert(1)',
    "single": "' onmouseover='alert(1)",
    "image": "<img src=x onerror=alert(1)>",
    "template": "{{ 7*7 }}{% include 'x' %}",
    "entity": "&lt;b&gt;&#x27;",
    "link": "javascript:alert(1)",
    "comment": "--><svg/onload=alert(1)>",
    "rtl": "\u202egpj.exe\u202c",
    "isolate": "\u2066x\u2069",
    "control": "a\x00b\x1b[31mc\x7fd",
    "lines": "a\r\nSet-Cookie: x=1\u2028b",
    "surrogate": "\ud800",
    "long": "W" * 100_000,
    "secret": "https://x.blob.core.windows.net/c?sv=1&sig=SECRETSECRET",
}
SITE = {"pages": (("Exports", ""),), "here": "", "visitor": "me", "may_change": True, "token": "0" * 32}
BASE: dict[str, Any] = {
    "id": "shop-event-1",
    "app": "shop",
    "exportType": "Event",
    "window": ["2025-03-23", "2025-03-24"],
    "snapshotDay": None,
    "state": "Succeeded",
    "phase": "done",
    "progress": {},
    "attempt": 1,
    "cancelRequested": False,
    "jobId": "j1",
    "destination": None,
    "files": 1,
    "counts": {
        "records": 90,
        "rows": 88,
        "rejected": 2,
        "rules": {"missing:name": 2},
        "raw": {
            "read": 100, "rejected": 3, "outside": 7, "superseded": 0, "removed": 0, "exported": 90,
            "rules": {"not-json": 3},
        },
        "balances": True,
    },
    "empty": None,
    "manifest": "_manifests/x.json",
    "processingStartedBy": "run",
    "phases": {},
    "moments": {
        "Requested": "2026-11-24T00:00:00.000Z",
        "Submitted": "2026-11-24T00:00:01.000Z",
        "Running": "2026-11-24T00:00:02.000Z",
        "Processing": "2026-11-24T00:01:02.000Z",
        "Converted": "2026-11-24T00:01:05.000Z",
        "Committed": "2026-11-24T00:01:06.000Z",
    },
    "restarts": 0,
    "deliveries": {},
    "lateFiles": [],
    "error": None,
    "notes": [],
    "createdAt": "2026-11-24T00:00:00.000Z",
    "attemptBeganAt": "2026-11-24T00:00:00.000Z",
    "updatedAt": "2026-11-24T00:01:06.000Z",
    "endedAt": "2026-11-24T00:01:06.000Z",
    "links": {},
}  # fmt: skip


class _Html(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.links: list[str] = []
        self.ids: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.links += [value or "" for name, value in attrs if name in ("href", "src", "action")]
        self.ids += [value or "" for name, value in attrs if name == "id"]

    def handle_data(self, data: str) -> None:
        self.text += data


def export_page(export: dict[str, Any], **values: Any) -> str:
    given = {
        "site": SITE, "export": export, "notice": "", "seconds": 66.0, "progress": "", "files": [],
        "steps": timeline(export), "bars": account(export), "rules": rules(export), "samples": [],
        "more_files": 0, "can_cancel": True, "can_rerun": True, "can_wait": True, "live": is_live(export),
    }  # fmt: skip
    return render("export", **{**given, **values}).html


def _everywhere(odd: str) -> dict[str, Any]:
    counts = {
        **BASE["counts"],
        "rules": {odd: 1},
        "rawUnknown": odd,
        "drift": {"undeclared": {odd: 1}, "newUndeclared": [odd], "newExtras": [odd], "missingExtras": [odd]},
    }
    delivery = {"event": odd, "state": "Failed", "tries": 3, "at": BASE["endedAt"], "error": odd}
    return {
        **BASE, "id": odd, "app": odd, "jobId": odd, "destination": odd, "manifest": odd, "empty": odd,
        "counts": counts, "lateFiles": [odd], "notes": [odd], "deliveries": {odd: delivery},
        "error": {"code": odd, "message": odd}, "state": "Failed",
    }  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_given_a_hostile_name_anywhere_then_it_is_text(name: str) -> None:
    odd = HOSTILE[name]
    sample = {"file": odd, "line": odd, "rule": odd, "field": odd, "original": odd}
    file = {"path": odd, "rows": 1, "bytes": 1}
    plain = _Html(export_page(BASE, samples=[("raw data", [{**sample, "rule": "x"}])], files=[file]))
    page = export_page(
        _everywhere(odd),
        steps=timeline({**_everywhere(odd), "deliveries": {}}),
        samples=[("raw data", [sample])],
        files=[file],
        notice=odd,
        progress=odd,
        site={**SITE, "visitor": odd, "token": odd},
    )
    found = _Html(page)
    assert found.tags <= plain.tags | {"dl", "dt", "dd", "th", "td", "table"}
    assert found.attributes <= plain.attributes | {"aria-current"}
    assert all(link.startswith(("/api/", "#")) for link in found.links)
    assert not [one for one in "\u202e\u2066\u2069\x00\x1b\x7f\u2028\ud800" if one in page]
    assert "SECRETSECRET" not in page
    assert len(page) < 120_000
    assert name != "template" or "{{ 7*7 }}" in found.text


def _batch(odd: str) -> dict[str, Any]:
    times = {"createdAt": BASE["createdAt"], "endedAt": None}
    own = {"id": odd, "state": odd, "counts": {odd: 1}, "parallel": 1, "notes": [odd]}
    return {**own, **times, "exports": [_everywhere(odd)]}


def _schedule(odd: str) -> dict[str, Any]:
    texts = dict.fromkeys(("app", "at", "timeZone", "lastDay", "lastRunAt", "nextRunAt", "error"), odd)
    return {**texts, "types": [odd], "lateDays": 1, "digest": False, "dueDays": [odd], "watched": [odd]}


def _days(odd: str) -> dict[str, Any]:
    kind = {"exportType": odd, "kind": odd, "historical": True, "days": [], "error": odd}
    cell = Cell("missing", "!", odd, asks=True)
    shown = {"app": odd, "first": odd, "last": odd, "types": [kind]}
    line = {"days": [Day(odd, (cell,))], "kinds": [kind], "missing": 1, "earlier": odd, "later": odd}
    return {"shown": shown, "marks": MARKS, **line}


def _charts(odd: str) -> dict[str, Any]:
    chart = columns(odd, [(odd, 1.0, odd)])
    line = Line(_everywhere(odd), 1.0, (Piece(odd, 1.0, "quiet", 0, 1),))
    days = {"shown": _days(odd)["shown"], "rows": [chart], "rates": chart}
    return {**days, "lines": [line], "phases": ((odd, "quiet"),)}


@pytest.mark.parametrize("name", HOSTILE)
def test_given_a_hostile_list_filter_and_form_then_it_is_text(name: str) -> None:
    odd = HOSTILE[name]
    row = {"export": _everywhere(odd), "seconds": 1.0, "rejects": 1, "progress": odd}
    given = bodies.given({"app": [odd], "startDate": [odd], "campaignIds": [odd], "containerUrl": [odd]})
    shared = {"site": SITE, "types": [odd], "apps": [odd], "given": given, "problems": {"app": odd, odd: odd}}
    pages = [
        render("exports", exports=[row], unreadable=[odd], next="a=b", states=[odd], live=False, **shared),
        render(
            "request", campaign_types=[odd], formats=[odd], targets=[odd], chosen=[odd], more=True,
            campaign=True, **shared,
        ),
        render(
            "batch_form", chosen_types=[odd], targets=[odd], chosen=[odd],
            **shared,
        ),
        render("batch", notice=odd, live=True, batch=_batch(odd), site=SITE),
        render("schedules", schedules=[_schedule(odd)], site=SITE),
        render("raw", **shared, **_days(odd)),
        render("charts", **shared, **_charts(odd)),
        render("error", title=odd, detail=odd, sign_in=True, back=True),
    ]  # fmt: skip
    for page in pages:
        found = _Html(page.html)
        assert not found.tags & {"img", "iframe", "b", "object"}
        assert not {one for one in found.attributes if one.startswith("on")} | ({"style"} & found.attributes)
        assert all(link.startswith(("/api/", "#", "/.auth/")) for link in found.links)
        assert "SECRETSECRET" not in page.html
        assert not [one for one in "\u202e\u2066\x00\x1b\u2028\ud800" if one in page.html]


def test_given_a_page_then_nothing_inline_and_a_policy_that_forbids_it() -> None:
    one, two = render("error", title="x", detail="y", sign_in=False, back=False), export_page(BASE)
    policy = one.headers["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert policy.startswith("default-src 'none'; script-src 'nonce-")
    assert "frame-ancestors 'none'" in policy
    nonce = policy.split("'nonce-")[1].split("'")[0]
    assert one.html.count(f'nonce="{nonce}"') == 2
    assert nonce not in two
    assert not {"style"} & _Html(two).tags | ({"style"} & _Html(two).attributes)


def test_given_an_export_page_then_its_ids_are_unique() -> None:
    found = _Html(export_page(BASE))
    assert len(found.ids) == len(set(found.ids)) > 8


def test_given_a_fast_job_then_the_timeline_says_what_was_not_seen() -> None:
    steps = timeline(BASE)
    assert [(step.name, step.status) for step in steps] == [
        ("requested", "done"), ("created", "done"), ("queued", "skipped"), ("running", "done"),
        ("collected", "done"), ("processed", "done"), ("committed", "done"),
    ]  # fmt: skip
    assert [step.seconds for step in steps] == [None, 1, None, 1, 60, 3, 1]


def test_given_a_running_job_then_the_timeline_stands_there() -> None:
    moments = {name: BASE["moments"][name] for name in ("Requested", "Submitted")}
    steps = timeline({**BASE, "state": "Submitted", "moments": moments, "endedAt": None})
    assert [step.status for step in steps] == ["done", "now", *["ahead"] * 5]


@pytest.mark.parametrize(("state", "word"), [("Failed", "failed"), ("TimedOut", "timed out")])
def test_given_an_attempt_that_failed_then_the_timeline_ends_there(state: str, word: str) -> None:
    moments = {name: BASE["moments"][name] for name in ("Requested", "Submitted")}
    error = {"code": "X", "message": "why"}
    steps = timeline({**BASE, "state": state, "moments": moments, "error": error})
    assert [(step.name, step.status) for step in steps] == [
        ("requested", "done"),
        ("created", "done"),
        (word, "failed"),
    ]
    assert steps[-1].about == "why"


def test_given_deliveries_then_the_timeline_ends_with_them() -> None:
    made = {"event": "completed", "tries": 1, "at": "2026-11-24T00:01:09.000Z"}
    wait = {**BASE, "deliveries": {"a": {**made, "state": "Delivered"}, "b": {**made, "state": "Retrying"}}}
    assert (timeline(wait)[-1].status, is_live(wait)) == ("now", True)
    done = {**BASE, "deliveries": {"a": {**made, "state": "Delivered"}}}
    assert (timeline(done)[-1].status, timeline(done)[-1].seconds, is_live(done)) == ("done", 3, False)
    lost = {**BASE, "deliveries": {"a": {**made, "state": "Failed"}}}
    assert timeline(lost)[-1].status == "failed"


def test_given_a_row_of_an_earlier_version_then_its_phases_tell() -> None:
    phases = {"create": "2026-11-24T00:00:00.000Z", "poll": "2026-11-24T00:00:01.000Z"}
    steps = timeline({**BASE, "moments": {}, "phases": phases})
    assert [step.at for step in steps[:2]] == list(phases.values())


def test_given_an_account_then_bars_fill_and_small_parts_can_be_seen() -> None:
    counts = {**BASE["counts"]["raw"], "read": 1_000_001, "exported": 1_000_000, "rejected": 1, "outside": 0}
    raw, own = account({**BASE, "counts": {**BASE["counts"], "raw": counts}})
    assert [part.name for part in raw.parts] == ["exported", "outside", "superseded", "removed", "rejected"]
    assert sum(part.width for part in raw.parts) == pytest.approx(100, abs=0.05)
    assert raw.parts[-1].width > 0.5
    for before, after in itertools.pairwise(own.parts):
        assert after.x == pytest.approx(before.x + before.width, abs=0.02)


def test_given_no_counts_of_the_server_then_one_bar_and_a_word() -> None:
    export = {
        **BASE,
        "counts": {**BASE["counts"], "raw": None, "rawUnknown": "unknown: why", "balances": None},
    }
    assert [bar.title for bar in account(export)] == ["records of the export file"]
    assert "unknown: why" in export_page(export)
    assert account({**BASE, "counts": None}) == []


def test_given_rejects_of_both_halves_then_most_first() -> None:
    assert rules(BASE) == [("raw data", "not-json", 3), ("export file", "missing:name", 2)]


def test_given_a_destination_then_no_rerun_since_its_url_is_gone() -> None:
    assert can_rerun(BASE)
    assert not can_rerun({**BASE, "destination": "h/c"})
    assert not can_rerun({**BASE, "state": "Running"})


def test_given_a_reader_then_no_buttons() -> None:
    assert "<form" not in export_page(BASE, site={**SITE, "may_change": False})
    assert export_page(BASE).count("<form") == 2


def test_given_times_then_seconds_up_to_now_or_the_end() -> None:
    now = datetime(2026, 11, 24, 0, 5, tzinfo=UTC)
    assert seconds(BASE, now) == 66
    assert seconds({**BASE, "endedAt": None}, now) == 300


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.84, "0.8 s"), (42, "42 s"), (185, "3 min 5 s"), (7440, "2 h 4 min"), (90000, "1 d 1 h"),
     (60, "1 min"), (3600, "1 h"), (None, words.NONE)],
)  # fmt: skip
def test_given_a_duration_then_words(value: float | None, text: str) -> None:
    assert words.duration(value) == text


def test_given_a_form_then_the_body_of_the_api() -> None:
    fields = {"exportType": ["Push"], "campaignIds": ["1, 2 x"], "rerun": ["true"], "notify": ["a", "b"]}
    assert bodies.export_body(fields) == {
        "exportType": "Push", "campaignIds": [1, 2, "x"], "rerun": True, "notify": ["a", "b"],
    }  # fmt: skip
    batch = {"exportTypes": ["Tag"], "windowDays": ["7"], "parallel": ["many"], "app": [" shop "]}
    assert bodies.batch_body(batch) == {
        "exportTypes": ["Tag"], "windowDays": 7, "parallel": "many", "app": "shop",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["../site.py", "page.py", "", "..", "templates/base.html", "x" * 5000])
def test_given_a_file_that_is_no_asset_then_not_found(name: str) -> None:
    with pytest.raises(NotFound):
        read_asset(name)


def test_given_an_asset_then_its_url_changes_with_its_content() -> None:
    data, media = read_asset("page.css")
    assert media == "text/css"
    assert len(data) > 1000
    assert asset("page.css") != asset("page.js")
