"""One export through the running app, both halves and a webhook: one trace, metrics, logs, and no secret."""

import json
import os
import re
import time
from dataclasses import dataclass
from typing import Any

import canary
import pytest
import recording_exporter

from localdev.app import App
from localdev.azurite import PUBLIC_KEY, Azurite, missing
from localdev.processes import free_ports
from localdev.webhook_receiver import Receiver, new_secret
from mobexport import durable_names as names
from mobexport.settings import read_settings
from mobexport.storage import DataStorage

pytestmark = pytest.mark.azurite

TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
RAW = b'{"deviceId":"d1","name":"open","timestamp":"2025-03-23T10:00:00Z"}\n'
BODY = {"exportType": "Event", "app": "shop", "startDate": "2025-03-23", "endDate": "2025-03-23"}


@dataclass
class Recorded:
    """What one export left behind."""

    export: dict[str, Any]
    spans: list[dict[str, Any]]
    metrics: dict[tuple[str, str], Any]
    """The last value by name and attributes (JSON, sorted)."""
    log: str
    notification: dict[str, str]
    """Headers that the webhook got."""
    text: bytes
    secrets: dict[str, str]

    def named(self, name: str) -> list[dict[str, Any]]:
        found = [span for span in self.spans if span["name"] == name]
        assert found, name
        return found

    def parents(self, name: str) -> set[str]:
        """Names of the spans right above those of that name."""
        by_id = {span["span"]: span["name"] for span in self.spans}
        return {by_id.get(span["parent"], "caller") for span in self.named(name)}

    def metric(self, name: str, **attributes: str) -> Any:
        return self.metrics.get((name, json.dumps(attributes, sort_keys=True)))


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    if reason := missing():
        pytest.skip(reason)
    state = tmp_path_factory.mktemp("state")
    file = state / "telemetry.ndjson"
    secrets = {
        "webhook secret": new_secret(),
        "webhook path": os.urandom(12).hex(),
        "webhook query": os.urandom(12).hex(),
        "function key": os.urandom(12).hex(),
        "storage key": PUBLIC_KEY,
    }
    settings = recording_exporter.installed(state / "packages", file)
    config = state / "exports.toml"
    with (
        Azurite(log=state / "azurite.log") as azurite,
        Receiver(secrets["webhook secret"]) as receiver,
    ):
        storage = DataStorage(
            read_settings(
                {"DATA_STORAGE": azurite.connection_string, "AZURE_FUNCTIONS_ENVIRONMENT": "Development"}
            )
        )
        storage.container("raw").upload_blob("shop/events/2025-03-23/a.ndjson", RAW)
        url = f"{receiver.url}/{secrets['webhook path']}?t={secrets['webhook query']}"
        config.write_text(
            f'[apps.shop]\nnotify = ["hook"]\n[targets.hook]\nkind = "webhook"\nurl = "{url}"\n'
            'secret_setting = "HOOK_SECRET"\n'
        )
        app = App(
            azurite,
            state,
            free_ports(1)[0],
            host="devhost",
            EXPORTS_CONFIG=str(config),
            HOOK_SECRET=secrets["webhook secret"],
            POLL_FIRST_SECONDS="0.3",
            POLL_MAX_SECONDS="0.5",
            WEBSITE_SITE_NAME="Func-Shop",
            **settings,
        )
        with app:
            import requests

            answer = requests.post(
                f"{app.url}/api/exports",
                json=BODY,
                params={"code": secrets["function key"]},
                headers={"traceparent": f"00-{TRACE}-{CALLER}-00"},
                timeout=30,
            )
            assert answer.status_code == 202, answer.text
            export_id = answer.json()["id"]
            deadline = time.monotonic() + 60
            while True:
                _, export = app.get(f"/api/exports/{export_id}")
                if export["phase"] == "done" and export["deliveries"]["hook"]["state"] == "Delivered":
                    break
                assert time.monotonic() < deadline, app.log.read_text()[-3000:]
                time.sleep(0.2)
            delivery = receiver.wait_for(lambda one: one.verified, 10)
            assert delivery is not None
            # The last thing that is counted; an app that is stopped need not send what it still has.
            while "mobexport.notifications" not in file.read_text():
                assert time.monotonic() < deadline
                time.sleep(0.1)
        lines = [json.loads(line) for line in file.read_text().splitlines()]
    metrics = {
        (line["metric"], json.dumps(line["attributes"], sort_keys=True)): line["value"]
        for line in lines
        if "metric" in line
    }
    # The test's own looks at the export are requests of their own.
    spans = [line for line in lines if "span" in line and line["name"] != "get_export"]
    return Recorded(
        export, spans, metrics, app.log.read_text(), dict(delivery.headers), file.read_bytes(), secrets
    )


def test_given_an_export_then_all_its_spans_are_of_the_callers_trace(recorded: Recorded) -> None:
    assert recorded.export["state"] == "Succeeded"
    assert {span["trace"] for span in recorded.spans} == {TRACE}
    (request,) = recorded.named("request_export")
    assert request["parent"] == CALLER
    assert {span["resource"]["service.name"] for span in recorded.spans} == {"func-shop"}
    ids = {span["span"] for span in recorded.spans}
    assert {span["parent"] for span in recorded.spans} <= ids | {CALLER}


def test_given_an_export_then_each_step_is_below_what_caused_it(recorded: Recorded) -> None:
    pipeline = (
        *(names.CREATE_EXPORT_JOB, names.CHECK_EXPORT_JOB),
        *(names.BEGIN_PROCESSING, names.ENSURE_PROCESSING_STARTED),
        *(names.SEND_NOTIFICATION, "exported_file"),
    )
    for step in pipeline:
        assert recorded.parents(step) == {"request_export"}, step
    assert recorded.parents("POST exportTasks") == {names.CREATE_EXPORT_JOB}
    assert recorded.parents("GET exportTasks") == {names.CREATE_EXPORT_JOB, names.CHECK_EXPORT_JOB}
    # The other half, over HTTP: it has nothing but the header.
    assert recorded.parents("create_export_task") == {"POST exportTasks"}
    assert recorded.parents("get_export_task") == {"GET exportTasks"}
    for step in (names.PLAN_EXPORT_TASK,):
        assert recorded.parents(step) == {"create_export_task"}, step
    assert recorded.parents("convert") == {names.BEGIN_PROCESSING}
    assert recorded.parents("POST webhook") == {names.SEND_NOTIFICATION}
    (sent,) = recorded.named("POST webhook")
    assert recorded.notification["traceparent"].split("-")[1:3] == [TRACE, sent["span"]]


def test_given_an_export_when_it_ran_then_spans_say_what_and_how(recorded: Recorded) -> None:
    export = {"mobexport.export_id": recorded.export["id"], "mobexport.attempt": 1}
    for name in ("request_export", names.CHECK_EXPORT_JOB, names.BEGIN_PROCESSING):
        for span in recorded.named(name):
            assert export.items() <= span["attributes"].items()
    (created,) = recorded.named("POST exportTasks")
    assert created["kind"] == "CLIENT"
    assert created["attributes"]["http.response.status_code"] == 202
    assert created["attributes"]["url.full"].endswith("/apps/shop/devices/exportTasks/events")
    (converted,) = recorded.named("convert")
    counted = {"mobexport.records": 1, "mobexport.rows": 1, "mobexport.rejected": 0}
    assert counted.items() <= converted["attributes"].items()
    # A server span would be a second request beside the host's own.
    assert {span["kind"] for span in recorded.spans} == {"INTERNAL", "CLIENT"}


def test_given_an_export_when_it_ran_then_the_metrics_add_up(recorded: Recorded) -> None:
    assert recorded.metric("mobexport.exports", export_type="Event", state="Succeeded") == 1
    assert recorded.metric("mobexport.rows", export_type="Event") == recorded.export["counts"]["rows"] == 1
    assert recorded.metric("mobexport.rejects", export_type="Event") == 0
    assert recorded.metric("mobexport.bytes", export_type="Event") == recorded.export["progress"]["bytes"]
    calls = {key[1]: value for key, value in recorded.metrics.items() if key[0] == "mobexport.api.calls"}
    made = [*recorded.named("POST exportTasks"), *recorded.named("GET exportTasks")]
    assert sum(calls.values()) == len(made)
    assert recorded.metric("mobexport.api.calls", method="POST", result="202") == 1
    assert recorded.metric("mobexport.notifications", state="Delivered") == 1
    for phase in ("create", "poll", "collect", "process"):
        count, seconds = recorded.metric("mobexport.phase.duration", export_type="Event", phase=phase)
        assert count == 1
        assert seconds >= 0
    assert set(recorded.export["phases"]) == {"create", "poll", "collect", "process", "done"}


def test_given_an_ended_export_then_one_log_line_has_the_same_measures(recorded: Recorded) -> None:
    (line,) = re.findall(r'export ended: (\{.*\}) (\{"exportId".*\})$', recorded.log, re.MULTILINE)
    measures, ids = map(json.loads, line)
    assert ids == {"exportId": recorded.export["id"], "attempt": 1}
    assert (measures["state"], measures["rows"], measures["bytes"]) == (
        "Succeeded",
        1,
        recorded.export["progress"]["bytes"],
    )
    assert set(measures["seconds"]) == {"create", "poll", "collect", "process"}


def test_given_secrets_in_a_request_then_in_no_span_metric_or_log(
    recorded: Recorded,
) -> None:
    written = {"telemetry": recorded.text, "log": recorded.log.encode()}
    assert canary.find(recorded.secrets, written) == []
    assert b"sig=" not in recorded.text
    assert b"Bearer" not in recorded.text
    assert canary.find({"planted": TRACE}, written) != []
