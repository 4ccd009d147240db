"""Spans, counts and log lines of single steps, with OpenTelemetry's in-memory exporters."""

import inspect
import io
import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from types import SimpleNamespace
from typing import Any

import azure.functions as func
import pytest
import requests
from opentelemetry import metrics as api_metrics
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from urllib3 import HTTPResponse

from durable_app.blueprint import Blueprint
from durable_app.http import Api, problem
from mobexport import durable_names as names
from mobexport.config import Endpoint, Source
from mobexport.errors import ConfigError, Throttled, Transient
from mobexport.pipeline.jobs.export_api_client import ExportApiClient
from mobexport.pipeline.registry.export_request import ExportRequest
from mobexport.telemetry import exporting, logs, metrics, tracing
from mobexport.wire import VERSION, Step

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
CARRIED = f"00-{TRACE}-{PARENT}-00"
OF_HOST = f"00-{TRACE}-1111111111111111-01"
OF_OTHERS = "00-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-1111111111111111-01"


@pytest.fixture
def spans(monkeypatch) -> InMemorySpanExporter:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(sampler=ALWAYS_ON)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer", provider.get_tracer)
    return exporter


@pytest.fixture
def counted(monkeypatch) -> Iterator[Callable[[str], dict[str, Any]]]:
    reader = InMemoryMetricReader()
    meter = MeterProvider(metric_readers=[reader]).get_meter("test")
    for name in ("_calls", "_exports", "_rows", "_rejects", "_bytes", "_deliveries"):
        monkeypatch.setattr(metrics, name, meter.create_counter(name.strip("_")))
    monkeypatch.setattr(metrics, "_phases", meter.create_histogram("phases"))

    def read(name: str) -> dict[str, Any]:
        data = json.loads((reader.get_metrics_data() or SimpleNamespace(to_json=lambda: "{}")).to_json())
        points = [
            point
            for resource in data.get("resource_metrics", ())
            for scope in resource["scope_metrics"]
            for metric in scope["metrics"]
            if metric["name"] == name
            for point in metric["data"]["data_points"]
        ]
        return {json.dumps(point["attributes"], sort_keys=True): point["value"] for point in points}

    yield read
    reader.shutdown()


class Answers:
    """Answers, or raises, in turn instead of `requests`; keeps the traces it was given."""

    def __init__(self) -> None:
        self.answers: list[Exception | tuple[int, Any]] = []
        self.traces: list[str | None] = []

    def request(self, method: str, url: str, *, headers: dict[str, str], **_: Any) -> requests.Response:
        self.traces.append(headers.get("traceparent"))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        found = requests.Response()
        found.status_code, body = answer
        found.raw = HTTPResponse(io.BytesIO(json.dumps(body).encode()), preload_content=False)
        return found


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Answers:
    made = Answers()
    monkeypatch.setattr(requests.Session, "request", lambda _, *given, **named: made.request(*given, **named))
    return made


@pytest.fixture
def make_request() -> Callable[..., ExportRequest]:
    def make(app: str) -> ExportRequest:
        day = date(2025, 3, 23)
        at = datetime(2026, 11, 24, tzinfo=UTC)
        return ExportRequest(app, "Event", (day, day), None, (), False, at)

    return make


@pytest.fixture
def client() -> ExportApiClient:
    return ExportApiClient(Endpoint("http://user:pw@localhost:1/api", "", "EXPORT_API_SCOPE", Source()))


def test_given_failing_calls_then_spans_and_counts_say_how_but_no_url(
    spans, counted, make_request, client, answers
) -> None:
    broken = requests.ConnectionError("https://a/c?sig=SECRET")
    answers.answers = [broken, (429, {}), (200, {"id": "t", "state": "Queued"})]
    request = make_request(app="shop")
    with pytest.raises(Transient), tracing.span("step", parent=CARRIED):
        client.status(request, "t")
    with pytest.raises(Throttled):
        client.status(request, "t")
    client.status(request, "t")
    first, step, second, third = spans.get_finished_spans()
    assert (first.parent.span_id, step.parent.span_id) == (step.context.span_id, int(PARENT, 16))
    assert {f"{one.context.trace_id:032x}" for one in (first, step)} == {TRACE}
    ends = [(one.status.status_code.name, one.attributes.get("error.type")) for one in (first, second, third)]
    assert ends == [("ERROR", "Transient"), ("ERROR", "429"), ("UNSET", None)]
    assert first.attributes["url.full"].startswith("http://localhost:1/api/subscriptions/")
    assert "SECRET" not in "".join(one.to_json() for one in spans.get_finished_spans())
    assert "pw" not in first.attributes["url.full"]
    assert answers.traces[0].split("-")[1:3] == [TRACE, f"{first.context.span_id:016x}"]
    assert counted("calls") == {
        '{"method": "GET", "result": "200"}': 1,
        '{"method": "GET", "result": "429"}': 1,
        '{"method": "GET", "result": "ConnectionError"}': 1,
    }


def test_given_no_exporter_then_the_trace_is_still_passed_on(make_request, client, answers) -> None:
    answers.answers = [(200, {"id": "t", "state": "Queued"})]
    with tracing.span("step", parent=CARRIED):
        client.status(make_request(app="shop"), "t")
    assert answers.traces == [CARRIED]


def test_given_no_trace_when_a_call_is_made_then_no_header(make_request, client, answers) -> None:
    answers.answers = [(200, {"id": "t", "state": "Queued"})]
    client.status(make_request(app="shop"), "t")
    assert answers.traces == [None]


@pytest.mark.parametrize(
    ("invocation", "carried", "expected"),
    [
        (None, None, None),
        (None, CARRIED, CARRIED),
        (OF_HOST, None, OF_HOST),
        (OF_HOST, CARRIED, OF_HOST),
        (OF_OTHERS, CARRIED, CARRIED),
        ("", CARRIED, CARRIED),
        ("nonsense", CARRIED, CARRIED),
    ],
)
def test_given_a_host_span_and_a_carried_one_then_never_another_trace(invocation, carried, expected) -> None:
    assert tracing.choose_parent(invocation, carried) == expected


@pytest.mark.parametrize("carried", ["", "nonsense", "00-" + "0" * 32 + "-" + "0" * 16 + "-00", "x" * 9999])
def test_given_an_invalid_traceparent_then_a_trace_of_its_own(spans, carried) -> None:
    with tracing.span("step", parent=carried):
        pass
    (span,) = spans.get_finished_spans()
    assert span.parent is None


@dataclass(frozen=True, kw_only=True)
class Given(Step):
    export_id: str = ""
    attempt: int = 1


def _registered(blueprint: Blueprint) -> Callable[..., Any]:
    """The function as the host calls it."""
    return blueprint.sdk._function_builders[0].build().get_user_function()


def _activity(function: Callable[[Any], Any]) -> Callable[..., Any]:
    """The activity as the host calls it, with what is given besides the version."""
    blueprint = Blueprint()

    def run(services: Any, step: Given) -> Any:
        return function(step)

    run.__name__ = function.__name__
    blueprint.activity(Given)(run)
    return lambda step, **host: _registered(blueprint)({"version": VERSION, **step}, **host)


@pytest.fixture(autouse=True)
def no_services(monkeypatch) -> None:
    """The activities of these tests need none."""
    monkeypatch.setattr("durable_app.blueprint._services", lambda: None)


def test_given_an_expected_activity_failure_then_its_span_has_the_code(spans) -> None:
    def check_export_job(step):
        raise ConfigError("EXPORT_API_SCOPE: https://a?sig=SECRET")

    outcome = _activity(check_export_job)({"exportId": "e-1", "attempt": 2, "trace": CARRIED})
    assert outcome["error"]["code"] == "Configuration"
    (span,) = spans.get_finished_spans()
    assert (span.name, span.status.description) == (names.CHECK_EXPORT_JOB, "Configuration")
    assert dict(span.attributes) == {
        "mobexport.export_id": "e-1",
        "mobexport.attempt": 2,
        "error.type": "Configuration",
    }
    assert "SECRET" not in span.to_json()


def test_given_an_activity_with_a_bug_then_its_span_has_class_but_no_text(spans) -> None:
    def collect_files(step):
        raise KeyError("sig=SECRET")

    with pytest.raises(RuntimeError):
        _activity(collect_files)({"exportId": "e-1", "attempt": 2})
    (span,) = spans.get_finished_spans()
    assert span.status.description == "KeyError"
    assert "SECRET" not in span.to_json()


def test_given_a_trace_known_to_the_host_then_the_span_is_below_its_own(spans) -> None:
    context = SimpleNamespace(trace_context=SimpleNamespace(trace_parent=OF_HOST))
    _activity(lambda step: {})({"trace": CARRIED}, context=context)
    (span,) = spans.get_finished_spans()
    assert f"{span.parent.span_id:016x}" == "1111111111111111"


def test_given_a_log_line_in_a_step_when_written_then_it_ends_with_the_ids(caplog) -> None:
    logger = logs.get_logger("mobexport.test")
    with caplog.at_level(logging.INFO, "mobexport.test"):
        logger.info("outside of %s", "any")

        def send_notification(step):
            logger.info("50%% of %s", "it")
            return {}

        _activity(send_notification)({"exportId": "e-1", "attempt": 2})
        with logs.log_context({"taskId": "t"}):
            logs.note(exportId="e")
            logger.warning("late")
        logger.warning("outside again")
    ids = '{"exportId": "e-1", "attempt": 2}'
    assert [one.getMessage() for one in caplog.records] == [
        "outside of any",
        f"50% of it {ids}",
        'late {"taskId": "t", "exportId": "e"}',
        "outside again",
    ]
    assert (caplog.records[1].exportId, caplog.records[1].attempt) == ("e-1", 2)


def test_given_ids_that_are_none_when_logged_then_left_out(caplog) -> None:
    def send_notification(step):
        logs.get_logger("mobexport.test").warning("done")
        return {}

    _activity(send_notification)({"exportId": "%s\n{}", "attempt": 1})
    assert caplog.messages == ['done {"attempt": 1}']


def test_given_an_http_function_then_the_worker_sees_a_context(spans) -> None:
    blueprint = Blueprint()

    @blueprint.route(Api(lambda *_: None, problem), "exports", "GET")
    def list_exports(services: Any, req: func.HttpRequest) -> func.HttpResponse:
        return func.HttpResponse(status_code=503)

    run = _registered(blueprint)
    assert list(inspect.signature(run).parameters) == ["req", "context"]
    req = func.HttpRequest("GET", "http://x/api/exports", headers={"traceparent": CARRIED}, body=b"")
    assert run(req, None).status_code == 503
    (span,) = spans.get_finished_spans()
    assert (f"{span.context.trace_id:032x}", span.status.description) == (TRACE, "503")


@pytest.fixture
def fresh(monkeypatch) -> Iterator[None]:
    monkeypatch.setattr(exporting, "_done", False)
    monkeypatch.setattr(exporting, "_problem", None)
    before = trace.get_tracer_provider(), api_metrics.get_meter_provider()
    yield
    assert (trace.get_tracer_provider(), api_metrics.get_meter_provider()) == before


def test_given_an_exporter_that_is_missing_then_said_and_work_goes_on(fresh, monkeypatch, caplog) -> None:
    monkeypatch.setenv("TELEMETRY_EXPORTER", "no_such_thing")
    assert _activity(lambda step: {"done": True})({}) == {"ok": {"done": True}}
    with pytest.raises(ConfigError, match="no exporter 'no_such_thing'; installed:"):
        exporting.check()
    assert caplog.messages[0].startswith("no spans, no metrics: TELEMETRY_EXPORTER")
    assert len(caplog.messages) == 1


def test_given_a_broken_exporter_then_setting_named_without_secrets(fresh, monkeypatch) -> None:
    def broken() -> Any:
        raise ValueError("https://a/?sig=SECRET")

    monkeypatch.setenv("TELEMETRY_EXPORTER", "broken")
    point = SimpleNamespace(name="broken", load=lambda: broken)
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: [point])
    with pytest.raises(ConfigError, match="TELEMETRY_EXPORTER: 'broken' cannot start") as error:
        exporting.check()
    assert "SECRET" not in error.value.message


def test_given_no_exporter_asked_for_when_set_up_then_all_is_well(fresh, monkeypatch) -> None:
    monkeypatch.delenv("TELEMETRY_EXPORTER", raising=False)
    exporting.check()


def test_given_an_exception_in_a_span_then_class_but_none_of_its_text(spans) -> None:
    with pytest.raises(ValueError, match="SECRET"), tracing.span("convert"):
        raise ValueError("https://a/c?sig=SECRET")
    (span,) = spans.get_finished_spans()
    assert (span.status.description, span.events) == ("ValueError", ())
    assert "SECRET" not in span.to_json()
