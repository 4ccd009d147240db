"""What the demo prints, and how a transcript of it is compared."""

from collections import Counter
from pathlib import Path

import pytest

from demo.__main__ import main
from demo.raw_data import DataError, in_container, in_folder
from demo.story import BEGIN, END, differs, keep, transcript_in

PRINTED = ["1. Request", "   202  shop-event-ab", "   · shop Event: Running", "2. Count", "", "Done in 12 s."]


def test_given_another_duration_when_compared_then_it_is_the_same() -> None:
    assert differs(["1. Request", "   202  shop-event-ab", "2. Count", "Done in 9 s."], PRINTED) is None


def test_given_left_out_lines_when_compared_then_the_rest_counts() -> None:
    assert differs(["$ make demo", "1. Request", "…", "2. Count", "…"], PRINTED) is None
    assert differs(["…", "Done in 3 s."], PRINTED) is None


@pytest.mark.parametrize(
    "told",
    [["1. Request", "2. Count"], ["1. Request", "…", "3. Else", "…"], [*PRINTED, "more"], PRINTED[:2]],
)
def test_given_another_story_when_compared_then_the_line_is_named(told: list[str]) -> None:
    assert differs(told, PRINTED)


def test_given_a_readme_when_kept_then_only_the_transcript_changes(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(f"# Title\n\n{BEGIN}\n```\nold\n```\n{END}\n\nThe end.\n")
    keep(PRINTED, readme)
    text = readme.read_text()
    assert text.startswith("# Title\n")
    assert text.endswith(f"{END}\n\nThe end.\n")
    assert transcript_in(text) == ["$ make demo", *(line for line in PRINTED if "·" not in line)]


def test_given_paths_then_the_app_with_most_events_is_first() -> None:
    apps = in_container(
        [
            "small/events/2025-03-01/a.ndjson",
            "big/events/2025-03-02/a.ndjson",
            "big/events/2025-03-04/b.ndjson.gz",
            "big/tags/2025-03-04/b.ndjson",
            "big/events/notes.txt",
            "big/events/soon/a.ndjson",
        ]
    )
    assert [(one.name, str(one.window and one.window[1]), one.strict) for one in apps.exports()] == [
        ("big Event", "2025-03-04", False),
        ("big Tag", "None", False),
        ("small Event", "2025-03-01", True),
    ]


def test_given_pushes_then_one_export_by_time_and_one_by_its_campaigns() -> None:
    apps = in_container(["a/events/2025-03-01/a.ndjson", "a/pushes/2025-03-02/a.ndjson"])
    apps.campaigns["a"] = Counter({("Poll", 2): 2, ("Poll", 1): 2, ("DataPush", 7): 3, ("NativePush", 7): 1})
    bodies = [one.body() for one in apps.exports() if one.export_type == "Push"]
    assert bodies == [
        {
            "exportType": "Push",
            "app": "a",
            "campaignType": "Poll",
            "campaignWindowStart": "2025-03-01T00:00:00Z",
            "campaignWindowEnd": "2025-03-01T23:59:59Z",
        },
        {"exportType": "Push", "app": "a", "campaignType": "DataPush", "campaignIds": [7]},
    ]


def test_given_no_data_when_looked_at_then_it_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is no \{app\}/\{kind\}"):
        in_folder(tmp_path)
    with pytest.raises(DataError, match="no events"):
        in_container(["app/tags/2025-03-01/a.ndjson"]).exports()


def test_given_a_folder_of_someone_else_when_the_demo_starts_then_it_stays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.txt").write_text("keep me")
    assert main(["--state", str(tmp_path)]) == 1
    assert "not from a demo" in capsys.readouterr().err
    assert (tmp_path / "mine.txt").exists()
