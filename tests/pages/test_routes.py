"""The routes of the status page over real storage: answers, headers, forms, roles, errors."""

import asyncio
import base64
import json
import re
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import azure.functions as func
import pytest
from curated import storage_of
from durable_client import CLIENT

from mobexport.clock import stamp
from mobexport.config import ExportsConfig
from mobexport.pipeline.notify import make_event
from mobexport.pipeline.notify.undelivered import notifications
from mobexport.pipeline.registry.export_request import ExportRequest
from mobexport.pipeline.registry.states import State
from mobexport.services import Services
from mobexport.settings import read_settings
from triggers import pages

CLIENT_ID = "44444444-4444-4444-4444-44444444444a"
TOKEN = "0123456789abcdef" * 2
SENT = {
    "Host": "127.0.0.1:7071",
    "Content-Type": "application/x-www-form-urlencoded",
    "Cookie": f"mobexport-form={TOKEN}",
}
LOCAL = {"DATA_STORAGE": "UseDevelopmentStorage=true", "AZURE_FUNCTIONS_ENVIRONMENT": "Development"}
AZURE = {
    "DATA_STORAGE": "UseDevelopmentStorage=true",
    "EXPORT_API_SCOPE": "api://x/.default",
    "WEBSITE_HOSTNAME": "x.azurewebsites.net",
    "WEBSITE_AUTH_ENABLED": "True",
    "PAGE_AUTH": "easy-auth",
    "PAGE_CLIENT_ID": CLIENT_ID,
}
CONFIG = ExportsConfig.model_validate(
    {
        "apps": {"shop": {"notify": ["ops"], "schedule": {}}},
        "targets": {"ops": {"kind": "storage-queue", "queue": "ops"}},
    }
)
FORMS = (
    "page_request",
    "page_request_batch",
    "page_cancel",
    "page_rerun",
    "page_resend",
    "page_run_schedule",
)
GETS = {one for one in dir(pages) if one.startswith("page_")} - {*FORMS}


@pytest.fixture(scope="module")
def storage(azurite) -> Any:
    return storage_of(azurite)


def services(storage: Any = None, **settings: str) -> Services:
    return Services(read_settings(LOCAL | settings), CONFIG, storage)


def call(name: str, given: Services, headers: dict[str, str] = SENT, /, **params: Any) -> func.HttpResponse:
    """What a route answers; `query` and `form` are its options and fields, the rest is of its path."""
    query, form, client = params.pop("query", {}), params.pop("form", None), params.pop("client", CLIENT)
    body = urlencode({"form-token": TOKEN, **(form or {})}).encode()
    request = func.HttpRequest(
        "GET", "http://x/api/ui", headers=headers, params=query, route_params=params, body=body
    )
    function = getattr(pages, name)
    if asyncio.iscoroutinefunction(function):
        return asyncio.run(function(given, request, client))
    return function(given, request)


def html(answer: func.HttpResponse) -> str:
    return answer.get_body().decode()


def principal(*roles: str) -> dict[str, str]:
    claims = [{"typ": "aud", "val": CLIENT_ID}, *({"typ": "roles", "val": role} for role in roles)]
    text = json.dumps({"auth_typ": "aad", "claims": claims}).encode()
    return {"X-MS-CLIENT-PRINCIPAL": base64.b64encode(text).decode()}


def asked(storage: Any, **body: Any) -> str:
    """The id of an export that was requested and not begun."""
    given = {"exportType": "Event", "app": "shop", "startDate": "2025-03-23", "endDate": "2025-03-23"}
    return services(storage).request_export(given | body)[0].id


@pytest.mark.parametrize("name", sorted(one for one in dir(pages) if one.startswith("page_")))
def test_given_an_app_in_azure_without_sign_in_then_a_clear_404(name: str) -> None:
    answer = call(name, services(**{**AZURE, "PAGE_AUTH": "local", "AZURE_FUNCTIONS_ENVIRONMENT": "x"}))
    assert (answer.status_code, answer.mimetype) == (404, "text/html")
    assert "PAGE_AUTH=easy-auth" in html(answer)
    assert "Exports</a>" not in html(answer)


@pytest.mark.parametrize("name", sorted(one for one in dir(pages) if one.startswith("page_")))
def test_given_nobody_signed_in_then_401_with_a_link_and_no_dialog(name: str) -> None:
    answer = call(name, services(**AZURE))
    assert answer.status_code == 401
    assert "WWW-Authenticate" not in answer.headers
    assert '/.auth/login/aad?post_login_redirect_uri=/api/ui"' in html(answer)


@pytest.mark.parametrize("name", FORMS)
def test_given_a_reader_then_forms_are_forbidden(name: str) -> None:
    answer = call(name, services(**AZURE), {**SENT, **principal("reader")})
    assert (answer.status_code, "operator" in html(answer)) == (403, True)


def test_given_a_reader_then_the_form_tells_whom_it_is_for() -> None:
    assert "<form" not in html(call("page_request_form", services(**AZURE), principal("reader")))
    assert '<form method="post"' in html(call("page_request_form", services(**AZURE), principal("operator")))


@pytest.mark.parametrize("name", FORMS)
def test_given_a_form_of_another_site_then_403_and_nothing_is_done(name: str) -> None:
    answer = call(name, services(), {**SENT, "Origin": "https://evil.example"}, exportId="x", app="shop")
    assert (answer.status_code, "another site" in html(answer)) == (403, True)


@pytest.mark.parametrize("name", sorted(GETS - {"page_file", "page_export"}))
def test_given_a_serving_only_app_then_503_names_the_role(name: str) -> None:
    answer = call(name, services(ROLE="export-api"), app="shop", batchId="b")
    assert (answer.status_code, "ROLE" in html(answer)) == (503, True)


def test_given_a_page_then_its_headers_and_one_cookie(storage) -> None:
    answer = call("page_exports", services(storage), {"Host": "localhost:7071"})
    assert answer.status_code == 200
    headers = answer.headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["Cache-Control"] == "no-store"
    assert "SameSite=Strict" in headers["Set-Cookie"]
    assert "Set-Cookie" not in call("page_exports", services(storage)).headers


def test_given_exports_then_newest_first_and_filtered(storage) -> None:
    asked(storage, startDate="2025-03-20")
    asked(storage, startDate="2025-03-01")
    page = html(call("page_exports", services(storage), query={"app": "shop", "exportType": "Event"}))
    days = [one for one in re.findall(r"2025-03-\d\d(?= to)", page) if one in ("2025-03-20", "2025-03-01")]
    assert days[0] == "2025-03-01"
    none = html(call("page_exports", services(storage), query={"app": "other"}))
    assert "No export fits" in none


def test_given_more_exports_than_a_page_then_a_link_to_the_next(storage) -> None:
    for day in range(10, 14):
        asked(storage, startDate=f"2025-02-{day}")
    query = {"app": "shop", "limit": "2", "code": "function-key"}
    seen: set[str] = set()
    while True:
        page = html(call("page_exports", services(storage), query=query))
        assert "function-key" not in page
        found = set(re.findall(r'href="/api/ui/exports/([^"]+)"', page))
        assert found
        assert not found & seen
        seen |= found
        link = re.search(r'rel="next" href="/api/ui\?([^"]+)"', page)
        if link is None:
            break
        query = dict(one.split("=", 1) for one in link[1].replace("%3D", "=").split("&amp;"))
        assert (query["app"], query["limit"]) == ("shop", "2")
    assert len(seen) >= 4


def test_given_a_wrong_filter_then_400_and_what_is_wrong(storage) -> None:
    answer = call("page_exports", services(storage), query={"state": "<b>", "continuation": "forged"})
    assert answer.status_code == 400
    assert "&lt;b&gt;" in html(answer)
    assert "<b>" not in html(answer)


def test_given_no_such_export_then_a_404_page(storage) -> None:
    answer = call("page_export", services(storage), exportId="none-such")
    assert (answer.status_code, "there is no export" in html(answer)) == (404, True)


def test_given_a_wrong_request_then_the_form_again_with_each_problem(storage) -> None:
    form = {
        "exportType": "Event", "app": "shop", "startDate": "2025-03-24", "endDate": "2025-03-23",
        "containerUrl": "https://a.blob.core.windows.net/c?sig=SECRET",
    }  # fmt: skip
    answer = call("page_request", services(storage), form=form)
    page = html(answer)
    assert answer.status_code == 400
    assert 'id="problem-endDate"' in page
    assert 'aria-describedby="problem-endDate"' in page
    assert 'value="2025-03-24"' in page
    assert "SECRET" not in page


def test_given_a_cancel_of_what_ended_then_409_in_words(storage) -> None:
    given = services(storage)
    row = given.registry.get(asked(storage, startDate="2025-01-05", endDate="2025-01-05"))
    given.registry.change(row.ref, lambda now: replace(now, state=State.CANCELLED))
    answer = call("page_cancel", given, exportId=row.id)
    assert (answer.status_code, "cannot be cancelled" in html(answer)) == (409, True)


@pytest.fixture
def given_up(storage) -> Any:
    """Services, and an export whose notification was given up: its error is hostile."""
    given = services(storage)
    row = given.registry.get(asked(storage, startDate="2025-01-07", endDate="2025-01-07"))
    lost = {"event": "failed", "state": "Failed", "tries": 9, "at": stamp(), "error": "<b>gone</b>"}
    ended = replace(row, state=State.FAILED, ended_at=stamp())
    told = ended.with_event(make_event(ended, "failed"), lost)
    return given, given.registry.change(row.ref, lambda _: replace(told, etag=row.etag))


def test_given_a_lost_notification_then_a_button_sends_it_again(given_up) -> None:
    given, row = given_up
    started: list[str] = []

    class Client:
        async def start_new(self, name: str, instance: str, message: Any) -> None:
            started.append(name)

    action = f'action="/api/ui/exports/{row.id}/notifications/ops/resend"'
    for page in (html(call("page_export", given, exportId=row.id)), html(call("page_notifications", given))):
        assert action in page
        assert "&lt;b&gt;gone&lt;/b&gt;" in page
    answer = call("page_resend", given, client=Client(), exportId=row.id, notification="ops")
    assert (answer.status_code, started) == (303, ["deliver_notification"])
    assert answer.headers["Location"] == f"/api/ui/exports/{row.id}?done=resend"
    (one,) = notifications(given.registry.get(row.id))
    assert (one.state, one.resent) == ("Pending", 1)
    assert action not in html(call("page_export", given, exportId=row.id))
    assert row.id in html(call("page_notifications", given, query={"state": "pending"}))
    assert call("page_resend", given, exportId=row.id, notification="ops").status_code == 409


def test_given_a_wrong_filter_of_notifications_then_it_is_named(storage) -> None:
    answer = call("page_notifications", services(storage), query={"state": "lost"})
    assert (answer.status_code, "must be one of failed, pending" in html(answer)) == (400, True)


def test_given_a_snapshot_of_another_day_then_rerun_says_what_to_do(storage) -> None:
    from datetime import UTC, date, datetime

    given = services(storage)
    at = datetime(2025, 3, 23, tzinfo=UTC)
    row, _ = given.registry.request(
        ExportRequest("shop", "Tag", None, date(2025, 3, 23), (), False, at), rerun=False
    )
    answer = call("page_rerun", given, exportId=row.id)
    assert (answer.status_code, "that day is over" in html(answer)) == (400, True)


def test_given_a_schedule_then_next_run_and_a_button(storage) -> None:
    page = html(call("page_schedules", services(storage)))
    assert 'action="/api/ui/schedules/shop/run"' in page
    assert "none yet" in page
    assert "<form" not in html(call("page_schedules", services(storage, **AZURE), principal("reader")))


def test_given_no_schedule_of_an_app_then_running_it_is_404(storage) -> None:
    answer = call("page_run_schedule", services(storage), app="other")
    assert (answer.status_code, "schedule]" in html(answer)) == (404, True)


def test_given_a_wrong_batch_then_the_form_again_with_each_problem(storage) -> None:
    form = {"app": "shop", "exportTypes": "Event", "startDate": "2025-03-23", "windowDays": "many"}
    answer = call("page_request_batch", services(storage), form=form)
    page = html(answer)
    assert answer.status_code == 400
    assert 'id="problem-windowDays"' in page
    assert 'id="problem-endDate"' in page
    assert 'value="Event" checked' in page


@pytest.mark.parametrize("name", ["page_raw", "page_charts"])
def test_given_wrong_days_then_400_and_what_is_wrong(storage, name: str) -> None:
    answer = call(name, services(storage), query={"app": "shop", "last": "<soon>"})
    assert (answer.status_code, "&lt;soon&gt;" in html(answer)) == (400, False)
    assert "must be a date" in html(answer)
    assert call(name, services(storage), query={"app": "<b>"}).status_code == 400


@pytest.mark.parametrize("name", ["page_raw", "page_charts"])
def test_given_an_app_without_anything_then_the_page_says_so(storage, name: str) -> None:
    answer = call(name, services(storage), query={"app": "shop", "last": "2020-01-01"})
    assert answer.status_code == 200
    assert "All raw data" in html(answer) or "No rows of these days" in html(answer)


def test_given_a_static_file_then_it_may_be_kept_and_nothing_else_is_there() -> None:
    answer = call("page_file", services(), name="page.js")
    assert (answer.status_code, answer.mimetype) == (200, "text/javascript")
    assert "immutable" in answer.headers["Cache-Control"]
    assert call("page_file", services(), name="../site.py").status_code == 404
