"""The receiver takes what is signed and refuses everything else."""

import base64
import hashlib
import hmac
import time

import pytest
import requests

from localdev.webhook_receiver import Receiver, main, new_secret, problem_with

BODY = b'{"type":"export.succeeded","id":"a"}'
# The example of the Standard Webhooks specification, so that sender and receiver are not wrong together.
SPEC_SECRET = "whsec_plJ3nmyCDGBKInavdOK15jsl"
SPEC_BODY = b'{"event_type":"ping","data":{"success":true}}'
SPEC_HEADERS = {
    "webhook-id": "msg_loFOjxBNrRLzqYUf",
    "webhook-timestamp": "1731705121",
    "webhook-signature": "v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0=",
}


def sign(secret: str, message_id: str, sent: int, body: bytes) -> dict[str, str]:
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.new(key, f"{message_id}.{sent}.".encode() + body, hashlib.sha256).digest()
    signature = "v1," + base64.b64encode(digest).decode()
    return {"webhook-id": message_id, "webhook-timestamp": str(sent), "webhook-signature": signature}


def test_given_the_example_of_the_specification_then_it_is_accepted() -> None:
    assert problem_with(SPEC_HEADERS, SPEC_BODY, SPEC_SECRET, 1731705121) is None


def test_given_a_signed_request_then_kept_and_answered_204() -> None:
    secret = new_secret()
    with Receiver(secret) as receiver:
        answer = requests.post(
            receiver.url, BODY, headers=sign(secret, "m1", int(time.time()), BODY), timeout=5
        )
        again = requests.post(
            receiver.url, BODY, headers=sign(secret, "m1", int(time.time()), BODY), timeout=5
        )
        delivery = receiver.wait_for(lambda one: one.message_id == "m1", 5)
    assert (answer.status_code, again.status_code) == (204, 204)
    assert delivery
    assert delivery.verified
    assert delivery.event["type"] == "export.succeeded"
    assert [one.repeated for one in receiver.received] == [False, True]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"webhook-signature": "v1," + base64.b64encode(bytes(32)).decode()}, "wrong signature"),
        ({"webhook-id": "another"}, "wrong signature"),
        ({"webhook-signature": ""}, "not signed"),
        ({"webhook-signature": "v1,é"}, "wrong signature"),
        ({"webhook-timestamp": "soon"}, "sent too long ago, or in the future"),
    ],
)
def test_given_a_tampered_header_when_verified_then_it_is_refused(
    change: dict[str, str], problem: str
) -> None:
    secret = new_secret()
    headers = sign(secret, "m1", 1_000_000, BODY) | change
    assert problem_with(headers, BODY, secret, 1_000_000) == problem


def test_given_a_tampered_body_when_it_arrives_then_it_is_refused_with_401() -> None:
    secret = new_secret()
    with Receiver(secret) as receiver:
        headers = sign(secret, "m1", int(time.time()), BODY)
        answer = requests.post(receiver.url, BODY + b" ", headers=headers, timeout=5)
        unsigned = requests.post(receiver.url, BODY, timeout=5)
    assert (answer.status_code, unsigned.status_code) == (401, 401)
    assert [one.problem for one in receiver.received] == ["wrong signature", "not signed"]


@pytest.mark.parametrize("seconds", [-301, 301])
def test_given_a_time_beyond_the_tolerance_then_the_call_is_refused(seconds: int) -> None:
    secret = new_secret()
    headers = sign(secret, "m1", 1_000_000, BODY)
    assert problem_with(headers, BODY, secret, 1_000_000 + seconds) == "sent too long ago, or in the future"


def test_given_two_signatures_when_one_fits_then_it_is_accepted() -> None:
    old, new = new_secret(), new_secret()
    headers = sign(old, "m1", 1_000_000, BODY)
    headers["webhook-signature"] += " " + sign(new, "m1", 1_000_000, BODY)["webhook-signature"]
    assert problem_with(headers, BODY, new, 1_000_000) is None


def test_given_a_secret_that_is_no_base64_when_it_starts_then_it_says_so() -> None:
    with pytest.raises(ValueError, match="whsec_ and base64"):
        Receiver("whsec_not base64!")


def test_given_no_secret_when_run_by_itself_then_it_says_what_to_set(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("WEBHOOK_SECRET", raising=False)
    assert main([]) == 2
    assert "WEBHOOK_SECRET" in capsys.readouterr().err
