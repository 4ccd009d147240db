"""Forms of the status page: only those that this browser was given, bounded."""

import re

import pytest

from mobexport.errors import Forbidden, RequestError
from mobexport.pages.posts import read_form, token_of
from mobexport.settings import read_settings

SETTINGS = read_settings(
    {"DATA_STORAGE": "UseDevelopmentStorage=true", "AZURE_FUNCTIONS_ENVIRONMENT": "Development"}
)
AZURE = read_settings(
    {
        "DATA_STORAGE": "UseDevelopmentStorage=true",
        "WEBSITE_HOSTNAME": "x.azurewebsites.net",
        "EXPORT_API_SCOPE": "api://x/.default",
    }
)
TOKEN = "0123456789abcdef" * 2
GOOD = {
    "host": "127.0.0.1:7071",
    "content-type": "application/x-www-form-urlencoded",
    "cookie": f"other=1; mobexport-form={TOKEN}",
    "origin": "http://127.0.0.1:7071",
    "sec-fetch-site": "same-origin",
}
BODY = f"form-token={TOKEN}&app=shop&types=Event&types=Tag&empty=".encode()


def test_given_a_form_of_this_page_then_its_fields() -> None:
    assert read_form(SETTINGS, GOOD, BODY) == {"app": ["shop"], "types": ["Event", "Tag"]}
    # An old browser says less.
    less = {name: GOOD[name] for name in ("host", "content-type", "cookie")}
    assert read_form(SETTINGS, less, BODY)["app"] == ["shop"]


@pytest.mark.parametrize(
    "change",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:7072"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "none"},
        {"cookie": ""},
        {"cookie": f"mobexport-form={TOKEN[::-1]}"},
        {"cookie": "mobexport-form="},
        {"cookie": "mobexport-form=short"},
        {"cookie": f"__Host-mobexport-form={TOKEN}"},
    ],
)
def test_given_a_form_of_elsewhere_then_refused(change: dict[str, str]) -> None:
    with pytest.raises(Forbidden):
        read_form(SETTINGS, {**GOOD, **change}, BODY)


@pytest.mark.parametrize("body", [b"app=shop", b"form-token=&app=shop", b"form-token=" + b"0" * 32, b""])
def test_given_a_form_without_its_token_then_refused(body: bytes) -> None:
    with pytest.raises(Forbidden):
        read_form(SETTINGS, GOOD, body)


@pytest.mark.parametrize(
    ("change", "body"),
    [
        ({"content-type": "application/json"}, b"{}"),
        ({"content-type": "text/plain"}, BODY),
        ({}, BODY + b"&a=" + b"x" * 70_000),
        ({}, BODY + b"&a=1" * 200),
        ({}, BODY + b"&a=%ff"),
        ({}, BODY + "&a=é".encode()),
    ],
)
def test_given_what_no_form_sends_then_a_bad_request(change: dict[str, str], body: bytes) -> None:
    with pytest.raises(RequestError):
        read_form(SETTINGS, {**GOOD, **change}, body)


def test_given_no_cookie_then_one_that_no_other_site_sends() -> None:
    token, cookie = token_of(SETTINGS, {})
    assert re.fullmatch("[0-9a-f]{32}", token)
    assert cookie == f"mobexport-form={token}; Path=/; HttpOnly; SameSite=Strict"
    token, cookie = token_of(AZURE, {})
    assert cookie == f"__Host-mobexport-form={token}; Path=/; HttpOnly; SameSite=Strict; Secure"
    assert token_of(SETTINGS, {})[0] != token_of(SETTINGS, {})[0]
    assert token_of(SETTINGS, GOOD) == (TOKEN, None)
