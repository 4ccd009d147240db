"""Tokens of callers: both versions that are good, and every way one can be wrong."""

import base64
import gzip
import hashlib
import hmac
import json
import logging
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from entra_tenant import AUDIENCE, CLIENT, TENANT, EntraTenant
from waiting import wait_for

from mobexport.config import ExportsConfig
from mobexport.errors import ConfigError, Forbidden, Transient, Unauthorized, Unavailable
from mobexport.export_api.auth import entra
from mobexport.export_api.auth.authentication import check_caller, check_serving
from mobexport.export_api.auth.signing_keys import (
    FAILED_PAUSE_SECONDS,
    KEEP_SECONDS,
    PAUSE_SECONDS,
    SigningKeys,
    fetch_issuer,
)
from mobexport.settings import Settings, read_settings

ROOT = Path(__file__).parents[3]
LOCAL = {"DATA_STORAGE": "UseDevelopmentStorage=true", "AZURE_FUNCTIONS_ENVIRONMENT": "Development"}
OTHER = "0d0d0d0d-1111-4222-8333-444444444444"
CONFIG = ExportsConfig.model_validate(
    {"apps": {"shop": {}, "bank": {}}, "callers": {CLIENT.upper(): ["shop"], OTHER: "*"}}
)


@pytest.fixture(scope="module")
def tenant() -> Iterator[EntraTenant]:
    with EntraTenant() as running:
        yield running


@pytest.fixture
def settings(tenant: EntraTenant) -> Settings:
    entra.token_checker.cache_clear()
    return read_settings({**LOCAL, **tenant.settings})


@pytest.fixture
def admit(settings: Settings) -> Callable[..., None]:
    def call(authorization: str | None, app: str = "shop") -> None:
        check_caller(settings, CONFIG, authorization, app)

    return call


@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_given_a_good_token_when_checked_then_admitted(tenant, admit, version: str) -> None:
    admit(f"Bearer {tenant.token(version)}")
    admit(f"bearer  {tenant.token(version)}")
    client = {"appid" if version == "1.0" else "azp": OTHER}
    admit(f"Bearer {tenant.token(version, **client)}", "bank")


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda t: t.claims(exp=1), "expired"),
        (lambda t: t.claims(nbf=2**40), "not valid yet"),
        (lambda t: t.claims(iat=2**40), "not valid yet"),
        (lambda t: t.claims(exp=None), "lacks a claim"),
        (lambda t: t.claims(nbf=None), "lacks a claim"),
        (lambda t: t.claims(aud="https://management.azure.com"), "another audience"),
        (lambda t: t.claims(aud=None), "lacks a claim"),
        (lambda t: t.claims(iss="https://evil.example/"), "another issuer"),
        (lambda t: t.claims(iss=t.issuer("1.0")), "another issuer"),
        (lambda t: t.claims("1.0", iss=t.issuer("2.0")), "another issuer"),
        (lambda t: t.claims(iss=None), "lacks a claim"),
        (lambda t: t.claims(tid=OTHER), "another tenant"),
        (lambda t: t.claims(tid=None), "lacks a claim"),
        (lambda t: t.claims(azp=None), "which application"),
        (lambda t: t.claims(azp=7), "which application"),
        (lambda t: t.claims(azp=None, appid=CLIENT), "which application"),
        (lambda t: t.claims("1.0", appid=None, azp=CLIENT), "which application"),
        (lambda t: t.claims(ver=None), "not an access token of Entra"),
        (lambda t: t.claims(ver="3.0"), "not an access token of Entra"),
        (lambda t: t.claims(ver=["2.0"]), "not an access token of Entra"),
    ],
)
def test_given_wrong_claims_under_the_right_key_then_401_with_reason(tenant, admit, make, says: str) -> None:
    with pytest.raises(Unauthorized, match=says) as refused:
        admit(f"Bearer {tenant.sign(make(tenant))}")
    assert refused.value.status == 401
    assert f'{tenant.url}/{TENANT}"' in refused.value.challenge
    assert 'error="invalid_token"' in refused.value.challenge


@pytest.mark.parametrize(
    ("authorization", "says"),
    [
        (None, "needs an Authorization header"),
        ("", "needs an Authorization header"),
        ("Basic dXNlcjpwYXNz", "must be `Bearer`"),
        ("Bearer", "must be `Bearer`"),
        ("Bearer a b", "must be `Bearer`"),
        ("Bearer garbage", "not a JSON Web Token"),
        ("Bearer a.b.c", "not a JSON Web Token"),
        ("Bearer " + "a" * 20_000, "too long"),
        ("SharedAccessSignature sig=x", "must be `Bearer`"),
    ],
)
def test_given_no_token_when_checked_then_401(admit, authorization: str | None, says: str) -> None:
    with pytest.raises(Unauthorized, match=says) as refused:
        admit(authorization)
    # RFC 6750: a call without credentials is told how to get some, not that they were wrong.
    assert ("error=" in refused.value.challenge) == bool(authorization)


def _part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def test_given_a_token_without_a_signature_when_checked_then_401(tenant, admit) -> None:
    for algorithm in ("none", "None", "NONE"):
        token = f"{_part({'alg': algorithm, 'kid': 'key-1', 'typ': 'JWT'})}.{_part(tenant.claims())}."
        with pytest.raises(Unauthorized, match="not signed with RS256"):
            admit(f"Bearer {token}")


def test_given_hs256_with_the_public_key_when_checked_then_401(tenant, admit) -> None:
    kid = next(iter(tenant.keys))
    text = f"{_part({'alg': 'HS256', 'kid': kid, 'typ': 'JWT'})}.{_part(tenant.claims())}"
    digest = hmac.new(tenant.public_pem(), text.encode(), hashlib.sha256).digest()
    token = f"{text}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"
    # It is what a library that took the algorithm from the header would believe.
    assert jwt.decode(token, options={"verify_signature": False})["azp"] == CLIENT
    with pytest.raises(Unauthorized, match="not signed with RS256"):
        admit(f"Bearer {token}")


def test_given_another_key_or_changed_claims_when_checked_then_401(tenant, admit) -> None:
    kid = next(iter(tenant.keys))
    stranger = EntraTenant()
    with pytest.raises(Unauthorized, match="signature is wrong"):
        admit(f"Bearer {stranger.sign(tenant.claims(), kid=kid)}")
    header, _, signature = tenant.token().split(".")
    forged = f"{header}.{_part(tenant.claims(azp=OTHER))}.{signature}"
    with pytest.raises(Unauthorized, match="signature is wrong"):
        admit(f"Bearer {forged}")
    for kid in ("made-up", "other", "bad"):
        with pytest.raises(Unauthorized, match="key that its tenant does not have"):
            admit(f"Bearer {tenant.sign(tenant.claims(), kid=kid)}")
    with pytest.raises(Unauthorized, match="does not name its key"):
        admit(f"Bearer {jwt.encode(tenant.claims(), tenant.keys['key-1'], algorithm='RS256')}")


@pytest.mark.parametrize(
    ("client", "app"),
    [(CLIENT, "bank"), (CLIENT, "unknown"), ("0e0e0e0e-1111-4222-8333-444444444444", "shop")],
)
def test_given_a_good_token_of_another_caller_when_checked_then_403(tenant, admit, client, app) -> None:
    with pytest.raises(Forbidden, match=r"\[callers\]") as refused:
        admit(f"Bearer {tenant.token(azp=client)}", app)
    assert refused.value.status == 403
    assert client in refused.value.message


@pytest.mark.parametrize(("role", "admitted"), [("both", True), ("export-api", False)])
def test_given_the_apps_own_identity_then_admitted_if_it_has_a_pipeline(
    tenant, role: str, admitted: bool
) -> None:
    own = "0e0e0e0e-1111-4222-8333-444444444444"
    settings = read_settings(
        {**LOCAL, **tenant.settings, "DATA_STORAGE__clientId": own.upper(), "ROLE": role}
    )
    entra.token_checker.cache_clear()
    if admitted:
        check_caller(settings, ExportsConfig(), f"Bearer {tenant.token(azp=own)}", "shop")
        with pytest.raises(Forbidden):
            check_caller(settings, ExportsConfig(), f"Bearer {tenant.token(azp=OTHER)}", "shop")
    else:
        with pytest.raises(Forbidden):
            check_caller(settings, CONFIG, f"Bearer {tenant.token(azp=own)}", "shop")


def test_given_any_refusal_when_raised_then_it_never_repeats_the_token(tenant, admit, caplog) -> None:
    caplog.set_level(logging.DEBUG)
    token = tenant.token(exp=1)
    with pytest.raises(Unauthorized) as refused:
        admit(f"Bearer {token}")
    for part in token.split("."):
        assert part not in str(refused.value) + refused.value.challenge + caplog.text


def test_given_a_clock_that_is_a_little_off_when_checked_then_admitted(tenant, admit) -> None:
    now = tenant.claims()["iat"]
    admit(f"Bearer {tenant.token(exp=now - 20, nbf=now - 3600)}")
    admit(f"Bearer {tenant.token(nbf=now + 40, iat=now + 40)}")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def own() -> Iterator[EntraTenant]:
    with EntraTenant() as running:
        yield running


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def keys(own: EntraTenant, clock: Clock) -> SigningKeys:
    return SigningKeys(f"{own.url}/{TENANT}/v2.0/.well-known/openid-configuration", clock)


def test_given_known_keys_when_asked_again_then_they_are_not_fetched_again(own, keys, clock) -> None:
    for _ in range(5):
        assert keys.find("key-1")[1] is not None
    assert len(own.requests) == 2
    clock.now += KEEP_SECONDS + 1
    keys.find("key-1")
    wait_for(lambda: len(own.requests) == 4)


def test_given_a_key_rotation_then_new_key_fetched_and_old_one_gone(own, keys, clock) -> None:
    keys.find("key-1")
    own.rotate("key-2")
    clock.now += PAUSE_SECONDS
    assert keys.find("key-2")[1] is not None
    assert keys.find("key-1")[1] is None


def test_given_made_up_keys_again_and_again_then_one_fetch_a_minute(own, keys, clock) -> None:
    keys.find("key-1")
    for second in range(120):
        clock.now += 1
        assert keys.find(f"made-up-{second}")[1] is None
    assert len(own.requests) == 2 + 2 * 2


def test_given_the_key_server_down_then_503_with_wait_and_no_hammering(own, keys, clock) -> None:
    own.down = True
    with pytest.raises(Transient) as failed:
        keys.find("key-1")
    assert failed.value.retry_after == FAILED_PAUSE_SECONDS
    clock.now += 2
    with pytest.raises(Transient) as failed:
        keys.find("key-1")
    assert failed.value.retry_after == FAILED_PAUSE_SECONDS - 2
    assert len(own.requests) == 1
    own.down = False
    clock.now += 3
    assert keys.find("key-1")[1] is not None


def test_given_the_key_server_down_then_known_keys_stay_and_new_ones_wait(own, keys, clock) -> None:
    keys.find("key-1")
    own.down = True
    clock.now += KEEP_SECONDS + 1
    assert keys.find("key-1")[1] is not None
    with pytest.raises(Transient):
        keys.find("key-2")
    assert keys.find("key-1")[1] is not None


def test_given_the_key_server_down_then_unavailable_not_unauthorized(
    own,
) -> None:
    own.down = True
    settings = read_settings({**LOCAL, **own.settings})
    with pytest.raises(Transient) as failed:
        check_caller(settings, CONFIG, f"Bearer {own.token()}", "shop")
    assert failed.value.retryable
    assert 0 < failed.value.retry_after <= FAILED_PAUSE_SECONDS


def test_given_a_slow_key_server_then_good_callers_do_not_wait(own, clock) -> None:
    keys = SigningKeys(f"{own.url}/{TENANT}/v2.0/.well-known/openid-configuration", clock, wait=0.2)
    keys.find("key-1")
    clock.now += PAUSE_SECONDS
    own.hold.clear()
    began = time.monotonic()
    try:
        with pytest.raises(Transient):
            keys.find("made-up")
        for _ in range(5):
            assert keys.find("key-1")[1] is not None
        # Old keys are as good, while new ones are fetched.
        clock.now += KEEP_SECONDS
        keys._wait = 10
        assert keys.find("key-1")[1] is not None
    finally:
        own.hold.set()
    assert time.monotonic() - began < 2
    wait_for(lambda: not _unknown(keys, "made-up"))


def test_given_many_unknown_keys_and_a_slow_server_then_few_threads_wait(own, clock) -> None:
    keys = SigningKeys(f"{own.url}/{TENANT}/v2.0/.well-known/openid-configuration", clock, wait=0.5)
    keys.find("key-1")
    clock.now += PAUSE_SECONDS
    own.hold.clear()
    began = time.monotonic()
    try:
        with ThreadPoolExecutor(4) as pool:
            unknown = pool.map(lambda number: _unknown(keys, f"made-up-{number}"), range(200))
            known = pool.submit(keys.find, "key-1")
            assert known.result()[1] is not None
            assert all(unknown)
    finally:
        own.hold.set()
    # 200 callers of half a second each on four threads would be 25 s.
    assert time.monotonic() - began < 10


def _unknown(keys: SigningKeys, kid: str) -> bool:
    """Whether nobody can say if there is such a key."""
    try:
        keys.find(kid)
    except Transient:
        return True
    return False


@pytest.mark.parametrize(
    "answer",
    [
        b"[" * 100_000,
        b'{"issuer": ' + b"9" * 5000 + b"}",
        b'{"issuer": "\\ud800", "jwks_uri": "x"}',
        b"\xff",
        b" " * 2_000_000,
        gzip.compress(b" " * 50_000_000),
    ],
    ids=["deep", "digits", "surrogate", "no UTF-8", "large", "gzip bomb"],
)
def test_given_a_hostile_key_server_then_503_and_soon_asked_again(own, keys, clock, answer: bytes) -> None:
    own.raw = answer
    with pytest.raises(Transient):
        keys.find("key-1")
    own.raw = None
    clock.now += FAILED_PAUSE_SECONDS
    assert keys.find("key-1")[1] is not None


@pytest.mark.parametrize("bits", [1024, 2047])
def test_given_a_short_rsa_key_then_it_signs_nothing(own, keys, bits: int) -> None:
    own.keys["short"] = rsa.generate_private_key(public_exponent=65537, key_size=bits)
    assert keys.find("key-1")[1] is not None
    assert keys.find("short")[1] is None


@pytest.mark.parametrize("key", [{"n": 5}, {"n": "AQAB", "e": []}, {"n": "", "e": ""}, {"n": "%", "e": "AQ"}])
def test_given_a_key_that_is_none_then_the_others_count(own, keys, key) -> None:
    own.more_keys = [{"kty": "RSA", "kid": "odd", "use": "sig", **key}]
    assert keys.find("odd")[1] is None
    assert keys.find("key-1")[1] is not None


def test_given_metadata_that_points_to_plain_http_then_refused(own, monkeypatch) -> None:
    monkeypatch.setattr(own, "_answer", lambda path: {"issuer": "x", "jwks_uri": "http://keys.example/"})
    with pytest.raises(Transient, match="not https"):
        fetch_issuer(f"{own.url}/metadata")


@pytest.mark.parametrize(
    ("changes", "config", "says"),
    [
        ({"ROLE": "pipeline", "EXPORT_API_SCOPE": "x"}, CONFIG, "ROLE"),
        ({"EXPORT_API_TENANT_ID": ""}, CONFIG, "EXPORT_API_TENANT_ID"),
        ({"EXPORT_API_AUDIENCE": ""}, CONFIG, "EXPORT_API_AUDIENCE"),
        ({}, ExportsConfig(), r"\[callers\]"),
        ({"EXPORT_API_AUTH": "none", "WEBSITE_INSTANCE_ID": "1"}, CONFIG, "EXPORT_API_AUTH"),
        ({"EXPORT_API_AUTH": "none", "AZURE_FUNCTIONS_ENVIRONMENT": "Staging"}, CONFIG, "EXPORT_API_AUTH"),
        (
            {"EXPORT_API_AUTH": "none", "WEBSITE_HOSTNAME": "x.azurewebsites.net", "EXPORT_API_SCOPE": "x"},
            CONFIG,
            "EXPORT_API_AUTH",
        ),
    ],
)
def test_given_inconsistent_settings_then_503_naming_them(changes, config, says) -> None:
    entra_settings = {
        "EXPORT_API_TENANT_ID": TENANT,
        "EXPORT_API_AUDIENCE": AUDIENCE,
        "EXPORT_API_AUTHORITY": "https://login.example.com",
    }
    settings = read_settings({**LOCAL, **entra_settings, **changes})
    for call in (
        lambda: check_serving(settings, config),
        lambda: check_caller(settings, config, "Bearer x", "shop"),
    ):
        with pytest.raises(Unavailable, match=says):
            call()


def test_given_authentication_off_locally_then_no_library_is_imported() -> None:
    settings = {**LOCAL, "EXPORT_API_AUTH": "none"}
    code = (
        "import sys\n"
        "from mobexport.config import ExportsConfig\n"
        "from mobexport.export_api.auth.authentication import check_caller\n"
        "from mobexport.settings import read_settings\n"
        f"check_caller(read_settings({settings!r}), ExportsConfig(), None, 'a')\n"
        "print([name for name in ('jwt', 'cryptography') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"EXPORT_API_TENANT_ID": "contoso"}, "EXPORT_API_TENANT_ID"),
        ({"EXPORT_API_AUTHORITY": "http://login.example.com"}, "EXPORT_API_AUTHORITY"),
        (
            {"EXPORT_API_AUTHORITY": "http://127.0.0.1:1", "AZURE_FUNCTIONS_ENVIRONMENT": "Production"},
            "EXPORT_API_AUTHORITY",
        ),
    ],
)
def test_given_a_wrong_setting_when_read_then_named(changes: dict[str, str], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        read_settings({**LOCAL, **changes})


@pytest.mark.parametrize(
    "callers", [{"me": "*"}, {CLIENT: ["unknown"]}, {CLIENT: "shop"}, {CLIENT: True}, {CLIENT + "0": "*"}]
)
def test_given_wrong_callers_when_validated_then_refused(callers: dict) -> None:
    with pytest.raises(ValueError, match="callers"):
        ExportsConfig.model_validate({"apps": {"shop": {}}, "callers": callers})
