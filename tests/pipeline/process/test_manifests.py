"""Manifests: their published schema, names in the first records, drift."""

import copy
import json
from dataclasses import replace
from datetime import UTC, date, datetime

import pytest
from jsonschema import Draft202012Validator
from manifests import SCHEMA, faults_of

from localdev.webhook_receiver import Receiver, new_secret
from mobexport import export_types
from mobexport.blob_paths import COMPLETE, CURATED_CONTAINER, EXPORTS_CONTAINER
from mobexport.heavy import HeavySteps
from mobexport.pipeline import notify
from mobexport.pipeline.finishing import Finisher
from mobexport.pipeline.notify.delivery import Deliverer
from mobexport.pipeline.process.conversion import convert_file
from mobexport.pipeline.process.drift import find_drift, has_drifted
from mobexport.pipeline.process.processor import Processor
from mobexport.pipeline.registry.states import State
from mobexport.pipeline.requests.views import show_export
from mobexport.records import sampling
from mobexport.records.limits import Limits
from mobexport.records.names import SampledNames, added
from mobexport.records.sampling import SAMPLED_RECORDS
from mobexport.settings import read_settings
from mobexport.tables.tables import Tables
from mobexport.targets import WebhookTarget
from mobexport.wire import Outcome

DAY = date(2025, 3, 23)
EVENT = export_types.get("Event")


def event_file(*extras: dict, more: str = "") -> bytes:
    """An event for each extras, of one device."""
    records = ",".join(
        f'{{"name":"open","timestamp":"{DAY}T10:00:00Z","extras":{json.dumps(one)}{more}}}' for one in extras
    )
    return f'[{{"deviceId":"d","events":[{records}]}}]'.encode()


def sampled(tmp_path, data: bytes, type_=EVENT) -> SampledNames:
    return convert_file(
        type_, [data], app="a", window=None, snapshot_day=DAY, strict=False, stem="x",
        out_dir=tmp_path / "out", workdir=tmp_path / "work", limits=Limits(2**26, 2**28),
    ).sampled  # fmt: skip


# --- names in the first records -----------------------------------------------------------------------------


def test_given_undeclared_members_then_counted_by_name(tmp_path) -> None:
    data = event_file({"sku": 1}, {"sku": 2, "n": None}, more=',"colour":"red"').replace(
        b'"deviceId"', b'"model":"M","deviceId"'
    )
    assert sampled(tmp_path, data) == SampledNames(2, {"colour": 2, "model": 1}, {"sku": 2, "n": 1})


def test_given_devices_then_members_of_objects_are_dotted(tmp_path) -> None:
    device = b'{"deviceId":"d","info":{"locale":"en","screen":"large"},"appInfo":{"plan":"gold"}}'
    data = b'[%b,{"deviceId":"e"}]' % device
    found = sampled(tmp_path, data, export_types.get("Device"))
    assert found == SampledNames(2, {"info.screen": 1}, {"plan": 1})


def test_given_tags_then_their_keys_are_no_undeclared_names(tmp_path) -> None:
    found = sampled(tmp_path, b'[{"deviceId":"d","appInfo":{"a":1,"b":2},"x":1}]', export_types.get("Tag"))
    assert found == SampledNames(2, {"x": 1}, {})


def test_given_more_records_then_only_the_first_are_looked_at(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(sampling, "SAMPLED_RECORDS", 3)
    assert sampled(tmp_path, event_file(*({"a": n} for n in range(5)), {"b": 1})) == SampledNames(
        3, {}, {"a": 3}
    )


def test_given_many_and_long_names_then_both_are_bounded(tmp_path) -> None:
    found = sampled(tmp_path, event_file({f"n{n:02}": 1 for n in range(60)}, {"x" * 1000: 1}))
    assert (len(found.extras), found.extras["*"]) == (51, 11)
    assert max(map(len, sampled(tmp_path, event_file({"x" * 1000: 1})).extras)) == 65
    assert added([found.to_json(), found.to_json()]).extras["*"] == 22


@pytest.mark.parametrize("extras", ["[1]", '"text"', "null", "7"])
def test_given_broken_extras_then_the_sample_goes_on(tmp_path, extras) -> None:
    data = event_file({"a": 1}, {"b": 1}).replace(b'{"a": 1}', extras.encode())
    assert sampled(tmp_path, data).extras == {"b": 1}


# --- drift --------------------------------------------------------------------------------------------------


def sample(*names: str, records: int = 1, **undeclared: int) -> dict:
    return {"records": records, "undeclared": undeclared, "extras": dict.fromkeys(names, 1)}


@pytest.mark.parametrize(
    ("now", "earlier", "new", "missing"),
    [
        (sample("a", "b"), sample("b", "c"), ["a"], ["c"]),
        (sample("a"), sample("a"), [], []),
        (sample("a"), None, [], []),
        (sample("a"), sample(records=0), [], []),
        (sample(records=0), sample("a"), [], []),
        # Among those that are not shown may be the very one.
        (sample("a", "*"), sample("b"), ["a"], []),
        (sample("a"), sample("b", "*"), [], ["b"]),
    ],
)
def test_given_two_samples_then_what_is_new_and_what_is_missing(now, earlier, new, missing) -> None:
    drift = find_drift(now, "m", earlier)
    assert (drift["newExtras"], drift["missingExtras"]) == (new, missing)
    assert has_drifted(drift) == bool(new or missing)


def test_given_an_undeclared_name_then_it_drifted() -> None:
    assert has_drifted(find_drift(sample(colour=2), None, None))


@pytest.fixture
def process(registry, storage, azurite, make_request):
    """Takes a file through the steps of an export; its row at the end, and its manifest."""
    settings = {"DATA_STORAGE": azurite.connection_string, "AZURE_FUNCTIONS_ENVIRONMENT": "Development"}
    processor = Processor(registry, storage, read_settings(settings), Tables(storage), HeavySteps(storage))

    def run(data: bytes, at: int, **changes):
        asked = make_request(requested_at=datetime(2026, 11, 24, at, tzinfo=UTC), **changes)
        row, _ = registry.request(asked, rerun=True)
        for state in (State.SUBMITTED, State.COLLECTING, State.PROCESSING):
            row = registry.change(row.ref, lambda now, state=state: replace(now, state=state))
        storage.container(EXPORTS_CONTAINER).upload_blob(f"{row.folder}Event-0.json", data)
        files = [blob.to_json() for blob in storage.list_blobs(EXPORTS_CONTAINER, row.folder)]
        storage.write_json(
            EXPORTS_CONTAINER,
            row.folder + COMPLETE,
            {"version": 1, "exportId": row.id, "attempt": row.attempt, "files": files},
        )
        processor.convert(row.ref, 0)
        processor.commit(row.ref)
        processor.commit(row.ref)
        row = Finisher(registry, storage, processor, lambda _: None).finish(row.ref, Outcome()) or row
        row = registry.get(asked.id)
        return row, storage.read_json(CURATED_CONTAINER, row.manifest_path)

    return run


def test_given_drift_then_manifest_view_and_notification_say_so(process, storage, registry) -> None:
    with Receiver(secret := new_secret()) as receiver:
        first, manifest = process(event_file({"sku": 1, "n": 1}), 1, notify=("hook",))
        assert manifest["drift"] == {
            "comparedWith": None, "undeclared": {}, "newUndeclared": [], "newExtras": [],
            "missingExtras": [],
        }  # fmt: skip
        assert "drift" not in show_export(first, "")["counts"]
        row, manifest = process(event_file({"sku": 1, "x": 1}, more=',"colour":1'), 2, notify=("hook",))
        expected = {
            "comparedWith": first.manifest, "undeclared": {"colour": 1},
            "newUndeclared": ["colour"], "newExtras": ["x"],
            "missingExtras": ["n"],
        }  # fmt: skip
        assert manifest["drift"] == expected
        assert show_export(row, "")["counts"]["drift"] == expected
        assert row.delivery("hook~schema-drift")["state"] == "Pending"
        target = WebhookTarget(kind="webhook", url=receiver.url, secret_setting="SECRET")
        event = row.events[str(row.attempt)]
        with pytest.MonkeyPatch.context() as patched:
            patched.setenv("SECRET", secret)
            notify.send(target, event, storage)
            Deliverer(registry, lambda name, event: notify.send({"hook": target}[name], event, storage)).send(
                row.ref, "hook~schema-drift", tries=1, attempts=1
            )
        ended, drift = (one.event for one in receiver.received)
        assert ended["data"]["counts"]["drift"] == expected
        assert drift["type"] == "mobexport.export.schema-drift"
        assert drift["id"] == f"{row.id}/{row.attempt}/schema-drift"
        assert (drift["data"]["newExtras"], drift["data"]["missingExtras"]) == (["x"], ["n"])
        row = registry.get(row.id)
        # The end's own notification is still to be made, and its event is there.
        assert row.delivery("hook~schema-drift")["state"] == "Delivered"
        assert row.delivery("hook")["state"] == "Pending"
        assert row.events.keys() == {"1", "2"}


# --- the schema ---------------------------------------------------------------------------------------------


def objects_of(schema):
    if isinstance(schema, dict):
        if schema.get("type") == "object":
            yield schema
        for part in schema.values():
            yield from objects_of(part)
    elif isinstance(schema, list):
        for part in schema:
            yield from objects_of(part)


def test_schema_is_one_and_closed() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert all("additionalProperties" in one for one in objects_of(SCHEMA))
    assert f"first {SAMPLED_RECORDS:,} records" in SCHEMA["properties"]["sampled"]["description"]


def change(path: str, value) -> dict:
    return {"path": path.split("."), "value": value}


@pytest.mark.parametrize(
    "wrong",
    [
        change("version", 2),
        change("attempt", 0),
        change("colour", "red"),
        change("counts.colour", 1),
        change("counts.rows", -1),
        change("inputs.0.sha256", "abc"),
        change("outputs.0.rows", "1"),
        change("outputs.0.colour", 1),
        change("checks", "loose"),
        change("requestedAt", "yesterday"),
        change("drift.newExtras", ["x" * 66]),
        change("sampled.extras", {f"n{n}": 1 for n in range(52)}),
    ],
    ids=lambda one: ".".join(one["path"]),
)
def test_given_a_wrong_manifest_then_it_does_not_validate(process, wrong) -> None:
    _, manifest = process(event_file({"a": 1}), 1)
    assert faults_of(manifest) == []
    changed = copy.deepcopy(manifest)
    place = changed
    for step in wrong["path"][:-1]:
        place = place[int(step) if step.isdecimal() else step]
    place[wrong["path"][-1]] = wrong["value"]
    assert len(faults_of(changed)) == 1


@pytest.mark.parametrize("name", SCHEMA["required"])
def test_given_a_manifest_without_a_member_then_it_does_not_validate(name) -> None:
    assert name in SCHEMA["properties"]
    manifest = {"version": 1}
    assert any(f"'{name}' is a required property" in one for one in faults_of(manifest)) == (
        name != "version"
    )
