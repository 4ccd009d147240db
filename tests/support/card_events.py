"""Events as the pipeline makes them, plain and hostile, for whoever shows them."""

from typing import Any

ENDED: dict[str, Any] = {
    "specversion": "1.0",
    "id": "event-shop-20250323-1/1/completed",
    "source": "/apps/com.example.shop",
    "type": "mobexport.export.completed",
    "subject": "event-shop-20250323-1",
    "time": "2025-03-24T03:34:12.000Z",
    "datacontenttype": "application/json",
    "data": {
        "exportId": "event-shop-20250323-1",
        "attempt": 1,
        "app": "com.example.shop",
        "exportType": "Event",
        "window": ["2025-03-23", "2025-03-25"],
        "snapshotDay": None,
        "state": "Succeeded",
        "beganAt": "2025-03-24T03:30:00.000Z",
        "endedAt": "2025-03-24T03:34:12.000Z",
        "rejected": 3,
        "records": 1203,
        "counts": {"records": 1203, "rows": 1200, "rejected": 3, "raw": None},
        "empty": None,
        "manifest": "_manifests/com.example.shop/Event/event-shop-20250323-1-1.json",
        "error": None,
    },
}


def ended(**data: Any) -> dict[str, Any]:
    """An export's end with other data."""
    return {**ENDED, "data": {**ENDED["data"], **data}}


def failed(message: str) -> dict[str, Any]:
    """A failed export with that message."""
    event = ended(
        state="Failed", counts=None, rejected=None, records=None, error={"code": "Remote", "message": message}
    )
    return {**event, "type": "mobexport.export.failed"}


def digest(exports: int, **one: Any) -> dict[str, Any]:
    """A day of a schedule with so many exports."""
    told = {"exportId": "e", "exportType": "Event", "state": "Succeeded", "rows": 12, "rejected": 0}
    data = {"app": "com.example.shop", "day": "2025-03-23", "batchId": "daily-2025-03-23-shop"}
    return {
        **ENDED,
        "type": "mobexport.schedule.digest",
        "data": {**data, "exports": [{**told, "rawRejected": None, **one}] * exports},
    }


HOSTILE = {
    "markup": "<!channel> & <http://evil.example|click> <@U1>",
    "Markdown": "# big\n* [click](http://evil.example) **bold** `code` {{DATE(2017-02-14T06:08:39Z,SHORT)}}",
    "controls": "a\x00b\x1b[31m\u202egnp\r\nnext",
    "surrogates": "\ud800half",
    "long": "x&" * 20_000,
    "wide": "\U0001f525" * 20_000,
    "secret": "https://a.blob.core.windows.net/c?sig=TOPSECRET&sv=1 https://hooks.slack.com/services/TOPSECRET",
}
"""Texts as a message from outside may be, by what is wrong with them."""
