"""An event as people read it: what stands in a card, and that nothing of it is endless."""

import pytest
from card_events import ENDED, HOSTILE, digest, ended, failed

from mobexport.targets.parts.card import MAX_FACTS, MAX_LINES, Mood, cut, duration, make_card, share

BASE = "https://app.example/api"
REASONS = "Their reasons: the manifest and the rejects."


def test_given_a_completed_export_then_a_person_reads_what_it_came_to() -> None:
    card = make_card(ENDED, BASE)
    # Rejects make it a warning.
    assert (card.title, card.mood) == ("Event export of com.example.shop succeeded", Mood.WARNING)
    assert card.facts == (
        ("Export", "event-shop-20250323-1"),
        ("App", "com.example.shop"),
        ("Type", "Event"),
        ("Days", "2025-03-23 to 2025-03-25"),
        ("State", "Succeeded"),
        ("Rows", "1,200"),
        ("Rejects", "3 of 1,203 (0.249 %)"),
        ("Duration", "4 min 12 s"),
    )
    assert card.link == f"{BASE}/exports/event-shop-20250323-1"


@pytest.mark.parametrize(
    ("event", "title", "mood", "line"),
    [
        (ended(rejected=0), "Event export of com.example.shop succeeded", Mood.GOOD, None),
        (failed("no route"), "Event export of com.example.shop failed", Mood.BAD, "Remote: no route"),
        (
            ended(state="Empty", rejected=0, empty="no raw files of these days"),
            "Event export of com.example.shop found nothing to export",
            Mood.WARNING,
            "Empty: no raw files of these days",
        ),
        (
            {**ended(rejected=9, records=10, alert=0.05), "type": "mobexport.export.reject-rate"},
            "Event export of com.example.shop has many rejects",
            Mood.WARNING,
            f"More records than usual could not be used; the alert is at 5 %. {REASONS}",
        ),
        (
            {**ended(newExtras=["a", "b"], comparedWith="x"), "type": "mobexport.export.schema-drift"},
            "Event export of com.example.shop: its fields have changed",
            Mood.WARNING,
            "New extras: a, b",
        ),
        (
            digest(2, state="Failed", error="Remote", rows=None),
            "com.example.shop, 2025-03-23: 0 of 2 exports well",
            Mood.BAD,
            "Event: Failed, Remote",
        ),
        (
            {**digest(0), "type": "mobexport.schedule.no-data"},
            "com.example.shop: no data of 2025-03-23",
            Mood.WARNING,
            "Every export of that day ended well, and none brought a row: do the collectors still send?",
        ),
        (
            {"type": "mobexport.target.test", "data": {"target": "ops"}},
            "Test of the target ops",
            Mood.PLAIN,
            "Notifications arrive here.",
        ),
        ({"type": "of.tomorrow", "data": "x"}, "of.tomorrow", Mood.PLAIN, None),
        ({}, "", Mood.PLAIN, None),
    ],
)
def test_given_an_event_then_its_title_and_its_reason(event, title, mood, line) -> None:
    card = make_card(event, BASE)
    assert (card.title, card.mood) == (title, mood)
    assert next(iter(card.lines), None) == line


@pytest.mark.parametrize("kind", HOSTILE)
def test_given_texts_from_outside_then_one_line_each_and_bounded(kind: str) -> None:
    text = HOSTILE[kind]
    event = ended(app=text, exportType=text, window=[text, text], error={"code": text, "message": text})
    for one in (event, digest(100, exportType=text, empty=text)):
        card = make_card(one, BASE)
        texts = [card.title, *card.lines, *(value for _, value in card.facts)]
        assert all(len(one) <= 1000 and one.isprintable() for one in texts)
        assert "TOPSECRET" not in "".join(texts)
        assert len(card.facts) <= MAX_FACTS
        assert len(card.lines) <= MAX_LINES + 1


def test_given_a_long_digest_then_failures_come_first_the_rest_counted() -> None:
    event = digest(40)
    event["data"]["exports"] = [*event["data"]["exports"], {"exportType": "Tag", "state": "Failed"}]
    card = make_card(event, BASE)
    assert (card.lines[0], card.lines[-1]) == ("Tag: Failed", f"… and {41 - MAX_LINES} more")
    assert card.link == f"{BASE}/batches/daily-2025-03-23-shop"


def test_given_a_limit_then_no_escape_is_cut_in_two() -> None:
    assert cut("a&b", 7, lambda text: text.replace("&", "&amp;")) == "a&amp;b"
    assert cut("a&b", 6, lambda text: text.replace("&", "&amp;")) == "a…"


def test_given_times_and_counts_then_as_people_say_them() -> None:
    begin = "2025-03-24T03:30:00.000Z"
    ends = ("2025-03-24T03:30:42.400Z", "2025-03-24T06:35:10.000Z", "2025-03-24T03:00:00Z")
    assert [duration(begin, end) for end in ends] == ["42 s", "3 h 5 min", "0 s"]
    assert (duration(begin, None), duration("soon", begin)) == (None, None)
    assert [share(0, 0), share(None, 3), share(1, 3)] == ["0 of 0", None, "1 of 3 (33.3 %)"]
