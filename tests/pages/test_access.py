"""Admission to the status page: who sees it where, and who may change something."""

import base64
import json
from typing import Any

import pytest

from mobexport.errors import Forbidden, NotFound, Unauthorized
from mobexport.pages.access import Visitor, admit
from mobexport.settings import Settings, read_settings

STORAGE = {"DATA_STORAGE": "UseDevelopmentStorage=true"}
LOCAL = {**STORAGE, "AZURE_FUNCTIONS_ENVIRONMENT": "Development"}
AZURE = {
    **STORAGE,
    "WEBSITE_HOSTNAME": "func-x.azurewebsites.net",
    "WEBSITE_INSTANCE_ID": "1",
    "EXPORT_API_SCOPE": "api://x/.default",
}
CLIENT = "44444444-4444-4444-4444-44444444444a"
EASY = {**AZURE, "PAGE_AUTH": "easy-auth", "WEBSITE_AUTH_ENABLED": "True", "PAGE_CLIENT_ID": CLIENT}
HERE = {"host": "127.0.0.1:7071"}


def settings(environ: dict[str, str]) -> Settings:
    return read_settings(environ)


def principal(*roles: str, **changes: Any) -> dict[str, str]:
    """The header of App Service Authentication for somebody with these roles."""
    claims = [
        {"typ": "aud", "val": CLIENT.upper()},
        {"typ": "name", "val": "Ada"},
        {"typ": "preferred_username", "val": "ada@example.com"},
    ]
    claims += [{"typ": "roles", "val": role} for role in roles]
    body = {"auth_typ": "aad", "claims": claims, "name_typ": "name", "role_typ": "roles", **changes}
    return {"X-MS-CLIENT-PRINCIPAL": base64.b64encode(json.dumps(body).encode()).decode()}


def test_given_a_developers_machine_then_open_and_may_change() -> None:
    assert admit(settings(LOCAL), HERE) == Visitor("this machine", may_change=True)
    assert admit(settings(LOCAL), {"Host": "localhost:7071"}).may_change
    assert admit(settings(LOCAL), {"Host": "[::1]:7071"}).may_change


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:7071", "127.0.0.1.evil.example", "", "10.0.0.7"]
)
def test_given_another_host_name_on_this_machine_then_refused(host: str) -> None:
    with pytest.raises(Forbidden):
        admit(settings(LOCAL), {"host": host})


@pytest.mark.parametrize(
    "environ",
    [
        {**LOCAL, "PAGE_AUTH": "off"},
        {**LOCAL, "WEBSITE_INSTANCE_ID": "1"},
        {**LOCAL, "AZURE_FUNCTIONS_ENVIRONMENT": "Production"},
        AZURE,
        {**AZURE, "WEBSITE_AUTH_ENABLED": "True"},
        {**EASY, "WEBSITE_AUTH_ENABLED": "False"},
        {**AZURE, "PAGE_AUTH": "easy-auth"},
        {**EASY, "PAGE_CLIENT_ID": ""},
    ],
)
def test_given_no_authentication_in_front_then_there_is_no_page(environ: dict[str, str]) -> None:
    with pytest.raises(NotFound, match="PAGE_AUTH"):
        admit(settings(environ), {**HERE, **principal("operator")})


@pytest.mark.parametrize(("roles", "may_change"), [(("reader",), False), (("reader", "operator"), True)])
def test_given_a_role_then_looking_is_for_readers_changing_for_operators(roles, may_change: bool) -> None:
    assert admit(settings(EASY), principal(*roles)) == Visitor("ada@example.com", may_change)


def test_given_roles_under_the_long_name_of_version_one_then_they_count() -> None:
    long = "http://schemas.microsoft.com/ws/2008/06/identity/claims/role"
    claims = [{"typ": "aud", "val": CLIENT}, {"typ": long, "val": "reader"}]
    assert admit(settings(EASY), principal(claims=claims)) == Visitor("somebody", may_change=False)


@pytest.mark.parametrize("roles", [(), ("Reader",), ("admin", "operators")])
def test_given_a_user_without_a_role_then_forbidden(roles: tuple[str, ...]) -> None:
    with pytest.raises(Forbidden, match="reader and operator"):
        admit(settings(EASY), principal(*roles))


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-MS-CLIENT-PRINCIPAL": ""},
        {"X-MS-CLIENT-PRINCIPAL": "not base64"},
        {"X-MS-CLIENT-PRINCIPAL": base64.b64encode(b"[1").decode()},
        {"X-MS-CLIENT-PRINCIPAL": base64.b64encode(b"[1]").decode()},
        {"X-MS-CLIENT-PRINCIPAL": "A" * 40_000},
        {"X-MS-CLIENT-PRINCIPAL": "é"},
        principal(claims=[{"typ": "roles", "val": "operator"}]),
        principal(claims=[{"typ": "roles", "val": "operator"}, {"typ": "aud", "val": CLIENT[:-1] + "b"}]),
        principal("operator", auth_typ="google"),
        principal("operator", claims="operator"),
        principal("operator", claims=[{"typ": "roles", "val": ["operator"]}]),
        principal("operator", claims=[{"typ": "roles"}]),
    ],
)
def test_given_no_readable_principal_then_sign_in(headers: dict[str, str]) -> None:
    with pytest.raises(Unauthorized):
        admit(settings(EASY), headers)
