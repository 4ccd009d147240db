"""CsvBlob for spreadsheets: texts that one would take for formulas, as recorded or behind a quote."""

import csv
import io
import json
from typing import Any

import pytest

from mobexport.config import App, ExportsConfig
from mobexport.records.export_text import no_formula
from mobexport.services import Services
from mobexport.settings import read_settings
from mobexport.wire import Outcome, TaskRef

FULL_WIDTH = ["\uff1d1", "\uff0b1", "\uff0d1", "\uff201"]
FORMULAS = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "\0=1", *FULL_WIDTH]
PLAIN = ["", "'=1", " =1", "1=1", "a-b", '"=1"', ",=1", "ä"]
DAYS = {"startDate": "2025-03-23", "endDate": "2025-03-23"}


def event(name: str, device: str = "d") -> bytes:
    extras = {"=key": "=1", "n": -5}
    record = {"deviceId": device, "name": name, "timestamp": "2025-03-23T10:00:00Z", "extras": extras}
    return json.dumps(record).encode()


@pytest.fixture
def written(azurite, storage, app, landing):
    """The rows of a task's CsvBlob."""

    def run(route: str, declared: App | None, body: dict[str, Any], **settings: str) -> list[dict[str, str]]:
        base = {
            "DATA_STORAGE": azurite.connection_string,
            "AZURE_FUNCTIONS_ENVIRONMENT": "Development",
            "EXPORT_API_AUTH": "none",
        }
        config = ExportsConfig(apps={app: declared} if declared else {})
        services = Services(read_settings({**base, **settings}), config, storage)
        task = services.export_tasks.create(
            app, route, {"containerUrl": landing, "exportFormat": "CsvBlob", **body}
        )
        ref, writer = TaskRef(app, task.id), services.task_writer
        planned = writer.plan(ref)
        assert (planned.slices > 0) == bool(settings)
        # What the task began with counts: the file may change.
        later = Services(services.settings, ExportsConfig(), storage).task_writer
        for number in range(planned.slices):
            later.partition_slice(ref, number)
        for number in range(planned.spec.buckets if planned.slices else 0):
            later.write_bucket(ref, number)
        counts = later.commit_file(ref) if planned.slices else writer.write_file(planned)
        services.export_tasks.finish(ref, Outcome(counts))
        blob = storage.container(f"landing-{app}").download_blob(f"{task.export_type}-{task.id}.csv")
        return list(csv.DictReader(io.StringIO(blob.readall().decode(), newline="")))

    return run


QUOTED = App(csv_formulas="quoted")


@pytest.mark.parametrize("large", [{}, {"EXPORT_SMALL_MB": "0", "EXPORT_SLICE_MB": "0.0005"}])
def test_given_formulas_when_the_app_asks_for_it_then_behind_a_quote(written, put_raw, large) -> None:
    names = [*FORMULAS, *filter(None, PLAIN)]
    put_raw("events/2025-03-23/a.ndjson", b"\n".join(event(name, f"={n}") for n, name in enumerate(names)))
    rows = written("events", QUOTED, DAYS, **large)
    assert {row["deviceId"] for row in rows} == {f"'={n}" for n in range(len(names))}
    wanted = [f"'{name}" if name in FORMULAS else name for name in names]
    assert sorted(row["name"] for row in rows) == sorted(wanted)
    assert {row["extras"] for row in rows} == {'{"=key":"=1","n":-5}'}
    assert {row["timestamp"] for row in rows} == {"2025-03-23T10:00:00.000Z"}


def test_given_no_such_key_then_cells_are_as_they_were_recorded(written, put_raw) -> None:
    put_raw("events/2025-03-23/a.ndjson", b"\n".join(event(name, "=d") for name in FORMULAS))
    for declared in (None, App()):
        rows = written("events", declared, DAYS)
        assert {row["deviceId"] for row in rows} == {"=d"}
        assert sorted(row["name"] for row in rows) == sorted(FORMULAS)


def test_given_numbers_and_json_when_quoted_then_they_stay(written, put_raw) -> None:
    seen = "2025-03-23T10:00:00Z"
    device = {"deviceId": "d", "timestamp": seen, "info": {"timeZoneOffset": -3600000, "phoneModel": "-x"}}
    tag = {"deviceId": "d", "timestamp": seen, "key": "=k", "value": -5}
    put_raw("devices/2025-03-23/a.ndjson", json.dumps(device).encode())
    put_raw("tags/2025-03-23/a.ndjson", json.dumps(tag).encode())
    (row,) = written("devices", QUOTED, {})
    found = (row["info.timeZoneOffset"], row["info.phoneModel"], row["appInfo"])
    assert found == ("-3600000", "'-x", '{"=k":-5}')
    (row,) = written("tags", QUOTED, {})
    assert (row["deviceId"], row["key"], row["value"]) == ("d", "'=k", "-5")


def test_given_texts_that_are_no_formulas_then_they_stay() -> None:
    assert [no_formula(text) for text in PLAIN] == PLAIN
