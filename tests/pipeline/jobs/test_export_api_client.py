"""The client against a real HTTP server that answers well, badly, late, or not at all."""

import json
import threading
from collections.abc import Iterator
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from raw_server import RawServer, dripping

from mobexport.config import Endpoint, Source
from mobexport.errors import ConfigError, Rejected, Throttled, Transient
from mobexport.pipeline.jobs.export_api_client import ExportApiClient
from mobexport.pipeline.registry.export_request import Campaign

SECRET_URL = "https://a.blob.core.windows.net/c?sv=1&sig=TOPSECRET"
TASK = {"id": "t1", "state": "Queued", "dateCreated": "2026-11-24T00:00:00Z", "exportType": "Event"}


class Api:
    """Answers what the test says, and keeps what it was asked."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, dict[str, str], bytes]] = []
        self.asked: list[tuple[str, str, bytes]] = []
        api = self

        class Handler(BaseHTTPRequestHandler):
            def _answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                api.asked.append((self.command, self.path, body))
                status, headers, answer = api.answers.pop(0)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            do_GET = do_POST = _answer  # noqa: N815 - the base class's names

            def log_message(self, *args: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/api"

    def says(self, status: int, body: object, **headers: str) -> None:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.answers.append((status, {name.replace("_", "-"): value for name, value in headers.items()}, raw))


@pytest.fixture
def api() -> Iterator[Api]:
    api = Api()
    thread = threading.Thread(target=api.server.serve_forever, args=[0.02], daemon=True)
    thread.start()
    yield api
    api.server.shutdown()
    api.server.server_close()


@pytest.fixture
def client(api: Api) -> ExportApiClient:
    return ExportApiClient(Endpoint(api.url, "", "EXPORT_API_SCOPE", Source(app_collection="my apps")))


def test_given_a_request_when_created_then_the_contract_is_spoken(api, client, make_request) -> None:
    api.says(202, TASK, Location="x", Retry_After="7")
    job = client.create(make_request(app="shop"), SECRET_URL, "token/1")
    assert (job.id, job.state, job.retry_after) == ("t1", "Queued", 7)
    method, path, body = api.asked[0]
    assert method == "POST"
    assert path.startswith("/api/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/")
    assert "/appcollections/my%20apps/apps/shop/devices/exportTasks/events?api-version=2014-12-01" in path
    assert json.loads(body) == {
        "containerUrl": SECRET_URL,
        "exportFormat": "JsonBlob",
        "description": "token/1",
        "startDate": "2025-03-23",
        "endDate": "2025-03-23",
    }


def test_given_pascal_case_when_read_then_the_same(api, client, make_request) -> None:
    api.says(200, {"Id": "t1", "State": "Failed", "ErrorDetails": "see https://x?sig=TOPSECRET"})
    job = client.status(make_request(), "t1")
    assert (job.id, job.state) == ("t1", "Failed")
    assert "TOPSECRET" not in str(job.error)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, Rejected), (401, ConfigError), (403, ConfigError), (404, Rejected), (302, Rejected),
        (408, Transient), (429, Throttled), (500, Transient), (502, Transient), (503, Throttled),
    ],
)  # fmt: skip
def test_given_a_status_when_answered_then_its_error_without_secrets(
    api, client, make_request, status, error
) -> None:
    api.says(
        status,
        {"error": {"code": "C", "message": f"no {SECRET_URL}"}},
        Retry_After="30",
        Location="http://127.0.0.1:1/",
    )
    with pytest.raises(error) as raised:
        client.create(make_request(), SECRET_URL, "token")
    assert f"HTTP {status}" in raised.value.message
    assert "TOPSECRET" not in raised.value.message
    if error in (Throttled, Transient):
        assert raised.value.retry_after == 30


@pytest.mark.parametrize("answer", [b"<html>", b"[]", b"", b"\xff", b'{"id": "t1"}', b'{"state": "x"}'])
def test_given_nonsense_when_answered_then_tried_again(api, client, make_request, answer: bytes) -> None:
    api.says(200, answer)
    with pytest.raises(Transient):
        client.status(make_request(), "t1")


def test_given_nobody_when_called_then_tried_again_without_the_url(api, client, make_request) -> None:
    api.server.shutdown()
    api.server.server_close()
    with pytest.raises(Transient, match="cannot be reached") as raised:
        client.create(make_request(), SECRET_URL, "token")
    assert "TOPSECRET" not in raised.value.message
    api.server = type("Gone", (), {"shutdown": lambda _: None, "server_close": lambda _: None})()


def test_given_tasks_of_others_when_searched_then_only_ours_oldest_first(api, client, make_request) -> None:
    mine = [{**TASK, "id": name, "description": "mobexport/e/1/landing-x"} for name in ("t9", "t3")]
    api.says(200, {"value": [*mine, {**TASK, "description": "mobexport/e/11/landing-x"}, TASK]})
    found = client.find_by_marker(make_request(), "mobexport/e/1/")
    assert [job.id for job in found] == ["t3", "t9"]
    assert "%24orderby=dateCreated+desc" in api.asked[0][1]


@pytest.mark.parametrize(
    ("changes", "route", "parameters"),
    [
        ({"export_type": "Tag", "window": None, "snapshot_day": date(2026, 11, 24)}, "tags", {}),
        (
            {"export_type": "Push", "window": None, "campaign": Campaign("Poll", ids=(1, 2))},
            "feedbackByCampaign",
            {"campaignType": "Poll", "campaignIds": [1, 2]},
        ),
        (
            {"export_type": "Push", "window": None, "campaign": Campaign("Poll", window=("a", "b"))},
            "feedbackByDate",
            {"campaignType": "Poll", "campaignWindowStart": "a", "campaignWindowEnd": "b"},
        ),
    ],
)
def test_given_a_request_of_each_kind_then_its_route_and_parameters(
    api, client, make_request, changes, route: str, parameters
) -> None:
    api.says(202, TASK)
    client.create(make_request(app="shop", **changes), SECRET_URL, "token")
    _, path, body = api.asked[0]
    assert f"/exportTasks/{route}?" in path
    assert json.loads(body) == {
        "containerUrl": SECRET_URL,
        "exportFormat": "JsonBlob",
        "description": "token",
        **parameters,
    }


def task(**changes: object) -> bytes:
    return json.dumps({**TASK, **changes}).encode()


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (task(id=5), "id must be"),
        (task(id=".."), "id must be"),
        (task(id="a/b"), "id must be"),
        (task(id="a\0"), "id must be"),
        (task(id="\ud800"), "id must be Unicode"),
        (task(id="x" * 5000), "id is longer than 200"),
        (task(id=SECRET_URL), "id must be"),
        (task(id="sig=TOPSECRET"), "id holds a secret"),
        (task(state="x" * 41), "state is longer than 40"),
        (task(state=["Queued"]), "state must be"),
        (task(other={"deep": "\udfff"}), "other.deep must be Unicode"),
        (b'{"id": ' + b"9" * 4301 + b"}", "id must be a number"),
        (b'{"a":' * 5000 + b"1" + b"}" * 5000, "nested"),
        (task(description=" " * 9 * 1024 * 1024), "gave no usable answer.*larger than"),
    ],
    ids=range(14),
)
def test_given_an_unfit_answer_then_refused_at_once_without_it(
    api, client, make_request, answer: bytes, says: str
) -> None:
    api.says(200, answer)
    with pytest.raises(Rejected, match=says) as raised:
        client.status(make_request(), "t1")
    assert len(raised.value.message) < 400
    assert "TOPSECRET" not in raised.value.message


COUNTS = dict.fromkeys(("read", "rejected", "outside", "superseded", "removed", "exported"), 2)


@pytest.mark.parametrize(
    ("told", "kept"),
    [
        (COUNTS, {**COUNTS, "rules": {}}),
        (
            {**COUNTS, "rules": {"x" * 200: 1}, "empty": "sig=SECRET\n", "colour": 1},
            {**COUNTS, "rules": {"x" * 79 + "…": 1}, "empty": "sig=*** "},
        ),
        (None, None),
        ({}, None),
        ("many", None),
        ({**COUNTS, "read": -1}, None),
        ({**COUNTS, "read": "2"}, None),
        ({**COUNTS, "read": True}, None),
    ],
    ids=range(8),
)
def test_counts_of_a_task_are_kept_or_unknown(api, client, make_request, told, kept) -> None:
    api.says(200, task(state="Succeeded", **({} if told is None else {"counts": told})))
    assert client.status(make_request(), "1").counts == kept


@pytest.mark.parametrize("status", [600, 999])
def test_given_a_status_that_is_none_then_rejected(api, client, make_request, status: int) -> None:
    api.says(status, {})
    with pytest.raises(Rejected, match=f"HTTP {status}"):
        client.status(make_request(), "t1")


def test_given_poisoned_texts_then_they_are_cleaned_and_cut(api, client, make_request) -> None:
    details = "line 1\r\nline 2\0 \u202egpj" + "x" * 100_000
    api.says(200, task(state="Failed", errorDetails=details))
    error = str(client.status(make_request(), "t1").error)
    assert error.startswith("line 1  line 2   gpjx")
    assert len(error) == 1000
    api.says(400, {"error": {"code": "C\0", "message": {"nested": details}}})
    with pytest.raises(Rejected) as raised:
        client.status(make_request(), "t1")
    assert "\0" not in raised.value.message
    assert len(raised.value.message) < 700


def test_given_copies_and_other_types_then_the_first_one_of_the_type(api, client, make_request) -> None:
    ours = {**TASK, "description": "mobexport/e/1/5ec2e7/landing-x", "dateCreated": "2026-11-24T10:00:00Z"}
    copied = {**ours, "id": "a-copy", "dateCreated": "2026-11-24T10:00:01Z"}
    api.says(200, {"value": [copied, {**ours, "id": "tags", "exportType": "Tag"}, ours]})
    found = client.find_by_marker(make_request(), "mobexport/e/1/5ec2e7/")
    assert [job.id for job in found] == ["t1", "a-copy"]


def test_given_odd_tasks_of_others_in_the_list_then_ours_is_found(api, client, make_request) -> None:
    others = [{"id": "a/b\0", "description": "x\0y"}, {"id": 5, "description": 7}, 7, None]
    api.says(200, {"value": [*others, {**TASK, "description": "mobexport/e/1/landing-x"}]})
    assert [job.id for job in client.find_by_marker(make_request(), "mobexport/e/1/")] == ["t1"]


def test_given_an_api_that_drips_then_the_whole_call_has_an_end(make_request) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n"
    with RawServer(dripping(head, b" ")) as server:
        endpoint = Endpoint(server.url.rstrip("/"), "", "EXPORT_API_SCOPE", Source())
        with pytest.raises(Transient, match=r"no whole answer within 0\.5 seconds"):
            ExportApiClient(endpoint, seconds=0.5).status(make_request(), "t1")
