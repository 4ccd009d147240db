"""Signatures of inbound calls: the published scheme, and every way in which one can be wrong."""

import pytest

from mobexport.errors import ConfigError, Unauthorized
from mobexport.standard_webhooks import check, sign

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NOW = 1_700_000_000
BODY = b'{"exportType": "Tag"}'
SIGNATURE = sign(SECRET, "m1", NOW, BODY)


def headers(**changes: str) -> dict[str, str]:
    signed = {"webhook-id": "m1", "webhook-timestamp": str(NOW), "webhook-signature": SIGNATURE}
    return {**signed, **{name.replace("_", "-"): value for name, value in changes.items()}}


def test_given_a_signed_call_then_admitted_even_beside_another_signature() -> None:
    assert check(SECRET, "S", headers(), BODY, NOW + 299) == "m1"
    check(SECRET, "S", headers(webhook_signature=f"v1,AAAA {SIGNATURE}"), BODY, NOW)


@pytest.mark.parametrize(
    ("given", "body", "now"),
    [
        ({}, BODY, NOW),
        (headers(), BODY + b" ", NOW),
        (headers(), BODY, NOW + 301),
        (headers(), BODY, NOW - 301),
        (headers(webhook_id="m2"), BODY, NOW),
        (headers(webhook_timestamp=str(NOW + 1)), BODY, NOW),
        (headers(webhook_timestamp="soon"), BODY, NOW),
        (headers(webhook_timestamp="\u0661\u0667" * 5), BODY, NOW),
        (headers(webhook_signature=""), BODY, NOW),
        (headers(webhook_signature="v1,\u00e9"), BODY, NOW),
        (headers(webhook_signature=sign("whsec_AAAA", "m1", NOW, BODY)), BODY, NOW),
    ],
)
def test_given_a_call_not_rightly_signed_when_checked_then_refused(given, body: bytes, now: int) -> None:
    with pytest.raises(Unauthorized):
        check(SECRET, "S", given, body, now)


def test_given_an_unusable_signing_secret_then_the_setting_is_named() -> None:
    with pytest.raises(ConfigError, match="S: must be whsec_"):
        check("whsec_%%%", "S", headers(), BODY, NOW)
