"""Wrong tokens, and a key server that means harm: good callers go on."""

from __future__ import annotations

import base64
import gzip
import hashlib
import hmac
import json
import random
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from entra_tenant import CLIENT, EntraTenant
from running_app import TASKS

from benchmarks.attack.callers import refused
from benchmarks.attack.scenario import NotHeld, Scenario
from benchmarks.attack.stage import HEALTHY, VERSION, Stage
from mobexport.export_api.auth.signing_keys import FAILED_PAUSE_SECONDS

TOKENS = "Wrong token"
KEYS = "Key server"
OTHER = "0d0d0d0d-1111-4222-8333-444444444444"
CONFIG = f'[apps.bank]\n[callers]\n"{CLIENT}" = ["{HEALTHY}"]\n'
PATH = TASKS.format(app=HEALTHY) + VERSION
AGAIN_SECONDS = FAILED_PAUSE_SECONDS + 0.5
KNOWN_SECONDS = 5.0
"""A good caller with a known key waits so long at most, whatever the key server does."""


def part(value: object) -> str:
    """A part of a token."""
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def unsigned(tenant: EntraTenant, algorithm: str) -> str:
    """A good token without a signature."""
    return f"{part({'alg': algorithm, 'kid': 'key-1'})}.{part(tenant.claims())}."


def hs256(tenant: EntraTenant) -> str:
    """A token signed with the public key as if it were a secret."""
    text = f"{part({'alg': 'HS256', 'kid': 'key-1'})}.{part(tenant.claims())}"
    signature = hmac.new(tenant.public_pem(), text.encode(), hashlib.sha256).digest()
    return f"{text}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def another_key(tenant: EntraTenant) -> str:
    """A token by another key under the name of the right one."""
    with EntraTenant() as other:
        return other.sign(tenant.claims())


def short_key(tenant: EntraTenant) -> str:
    """A token by a key of 1,024 bits that is published: it signs nothing."""
    tenant.keys["short"] = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    with warnings.catch_warnings(action="ignore"):  # that it is short is the point
        return jwt.encode(tenant.claims(), tenant.keys["short"], algorithm="RS256", headers={"kid": "short"})


Make = Callable[[EntraTenant], str]
WRONG: dict[str, Make] = {
    "none": lambda t: unsigned(t, "none"),
    "NONE": lambda t: unsigned(t, "NONE"),
    "HS256 with the public key": hs256,
    "another key": another_key,
    "a short key": short_key,
    "an unknown key": lambda t: t.sign(t.claims(), kid="made-up"),
    "a key id of 9,000 characters": lambda t: t.sign(t.claims(), kid="x" * 9000),
    "a key id with a path": lambda t: t.sign(t.claims(), kid="../../keys"),
    "a key of its own in the header": lambda t: t.sign(t.claims(), kid="made-up", jku="http://127.0.0.1:1/"),
    "expired": lambda t: t.token(exp=1),
    "not valid yet": lambda t: t.token(nbf=2**40),
    "issued in the future": lambda t: t.token(iat=2**40),
    "without an end": lambda t: t.token(exp=None),
    "another audience": lambda t: t.token(aud="https://management.azure.com"),
    "no audience": lambda t: t.token(aud=None),
    "another issuer": lambda t: t.token(iss="https://evil.example/"),
    "the issuer of the other version": lambda t: t.token(iss=t.issuer("1.0")),
    "another tenant": lambda t: t.token(tid=OTHER),
    "no application": lambda t: t.token(azp=None),
    "a number as application": lambda t: t.token(azp=7),
    "another version": lambda t: t.token(ver="3.0"),
    "a caller nobody lists": lambda t: t.token(azp=OTHER),
    "a list as version": lambda t: t.token(ver=["2.0"]),
    "garbage": lambda _: "garbage",
    "three parts of garbage": lambda _: "a.b.c",
    "20,000 characters": lambda _: "a" * 20_000,
    "a deep header": lambda _: base64.urlsafe_b64encode(b"[" * 6000).decode() + ".e30.x",
    "half a surrogate pair": lambda _: (
        base64.urlsafe_b64encode(b'{"kid":"\\ud800","alg":"RS256"}').decode() + ".e30.x"
    ),
}
ANSWERS: dict[str, bytes] = {
    "deep JSON": b"[" * 100_000,
    "5,000 digits": b'{"issuer": ' + b"9" * 5000 + b"}",
    "half a surrogate pair": b'{"issuer": "\\ud800", "jwks_uri": "x"}',
    "no UTF-8": b"\xff",
    "a flood": b" " * 50_000_000,
    "a packed bomb": gzip.compress(b" " * 200_000_000),
}


def ask(stage: Stage, token: str, path: str = PATH) -> tuple[int, Any]:
    """The list of tasks with that token."""
    return stage.ask("GET", path, None, {"Authorization": f"Bearer {token}"})


def good(stage: Stage, tenant: EntraTenant, seconds: float = KNOWN_SECONDS) -> None:
    """A caller with a good token of a known key is served, soon."""
    began = time.monotonic()
    status, answer = ask(stage, tenant.token())
    taken = time.monotonic() - began
    if status != 200:
        raise NotHeld(f"a good token was answered {status}: {str(answer)[:200]}")
    if taken > seconds:
        raise NotHeld(f"a good caller waited {taken:.1f} s")


def token_scenarios(
    stage: Stage, tenant: EntraTenant, chance: random.Random, *, short: bool
) -> Iterator[Scenario]:
    """Each wrong token, and good ones with some characters changed."""
    for name, make in WRONG.items():

        def judge(make: Make = make) -> None:
            token = make(tenant)
            status, answer = ask(stage, token)
            refused(status, answer, range(401, 404))
            if len(token) > 50 and token in str(answer):
                raise NotHeld("the token is repeated")

        yield Scenario(TOKENS, name, judge)
    for number in range(5 if short else 60):
        text = list(tenant.token())
        at = chance.randrange(len(text) - 2)
        text[at] = chance.choice([letter for letter in "abcXYZ019._-" if letter != text[at]])

        def changed(token: str = "".join(text)) -> None:
            refused(*ask(stage, token), range(401, 404))

        yield Scenario(TOKENS, f"character {at} changed ({number + 1})", changed)

    def another_app() -> None:
        refused(*ask(stage, tenant.token(), TASKS.format(app="bank") + VERSION), range(403, 404))

    yield Scenario(TOKENS, "a good one for another app", another_app)


def cold_scenario(stage: Stage, tenant: EntraTenant) -> Scenario:
    """The key server answers deep JSON when the first caller comes, then is well again."""

    def judge() -> None:
        tenant.raw = ANSWERS["deep JSON"]
        status, answer = ask(stage, tenant.token())
        tenant.raw = None
        if status != 503:
            raise NotHeld(f"without keys a token was answered {status}: {str(answer)[:200]}")
        time.sleep(AGAIN_SECONDS)
        good(stage, tenant)

    return Scenario(KEYS, "deep JSON before any key is known", judge)


def key_scenarios(stage: Stage, tenant: EntraTenant) -> Iterator[Scenario]:
    """The key server at its worst, one after the other: made-up keys are refused, good callers served."""

    def made_up(name: str) -> None:
        # 503: whether there is such a key cannot be known now.
        status, answer = ask(stage, tenant.sign(tenant.claims(), kid=name))
        if status not in (401, 503):
            raise NotHeld(f"a made-up key was answered {status}: {str(answer)[:200]}")

    def spoiled(spoil: Callable[[], None], mend: Callable[[], None], count: int) -> None:
        time.sleep(AGAIN_SECONDS)
        before = len(tenant.requests)
        spoil()
        try:
            with ThreadPoolExecutor(count) as pool:
                asked = [pool.submit(made_up, f"made-up-{number}") for number in range(count)]
                time.sleep(0.3)
                for _ in range(3):
                    good(stage, tenant)
                for one in asked:
                    one.result()
        finally:
            mend()
        if len(tenant.requests) == before:
            raise NotHeld("the key server was never asked, so nothing was tried")
        good(stage, tenant)

    for name, answer in ANSWERS.items():

        def hostile(answer: bytes = answer) -> None:
            spoiled(lambda: setattr(tenant, "raw", answer), lambda: setattr(tenant, "raw", None), 3)

        yield Scenario(KEYS, name, hostile)
    yield Scenario(
        KEYS,
        "is down",
        lambda: spoiled(lambda: setattr(tenant, "down", True), lambda: setattr(tenant, "down", False), 3),
    )
    # The last one: when it goes on, the app has its answer, and asks for no other for a minute.
    yield Scenario(
        KEYS, "hangs while 12 made-up keys come", lambda: spoiled(tenant.hold.clear, tenant.hold.set, 12)
    )
