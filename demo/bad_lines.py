"""Bad lines among the good ones of the sample data: one for each way in which a line can be wrong."""

import random
from collections.abc import Iterator
from datetime import date

from demo.raw_files import Files, Json, dump

GUID = "7d0cb9a4-40b4-4b0c-8f3b-0a1d2c3e4f50"
NOT_REQUIRED = {"value", "end", "extras", "meta"}
# Values that make a good record bad.
WRONG: dict[str, tuple[object, ...]] = {
    "name": (" ", 7),
    "key": ("", ["plan"]),
    "end": ("later",),
    "extras": ([], "text"),
    "meta": ([], {"lastSeen": "now"}, {"firstSeen": 1.5}),
    "campaignType": ("Fax",),
    "campaignId": ("1", 1.5),
    "status": ("Seen", ["Queued"]),
    "valid": ("yes", 1),
}


def spoil(dice: random.Random, kind: str, files: Files) -> None:
    """Puts a line of each sort into every folder but the first."""
    for day in sorted(files.by_day)[1:]:
        lines = files.by_day[day]
        for line in _bad(dice, _good(kind, day), day):
            lines.insert(dice.randrange(len(lines)), line)


def _good(kind: str, day: date) -> Json:
    """A record of that kind with nothing wrong, so that one thing can be."""
    at = f"{day}T12:00:00.000Z"
    device: Json = {"deviceId": GUID}
    named = device | {"name": "open", "timestamp": at, "extras": {}}
    pushed = {"campaignType": "Poll", "campaignId": 1, "status": "Queued"}
    return {
        "activities": named,
        "events": named,
        "errors": named,
        "crashes": named | {"crashId": GUID},
        "sessions": device | {"sessionId": GUID, "start": at, "end": at},
        "jobs": device | {"jobId": GUID, "name": "sync", "start": at, "end": at},
        "pushes": device | pushed | {"timestamp": at},
        "tokens": device | {"token": "ab", "type": "apns", "valid": True, "timestamp": at},
        "tags": device | {"key": "plan", "timestamp": at, "value": "free"},
        "devices": device | {"timestamp": at, "meta": {}},
    }[kind]


def _bad(dice: random.Random, good: Json, day: date) -> Iterator[bytes]:
    time = "start" if "start" in good else "timestamp"
    yield dump(good)[:-9]
    yield dice.choice((b'["a","list"]', b'"a text"', b"42", b"null"))
    for name in [name for name in good if name not in NOT_REQUIRED]:
        yield dump({key: value for key, value in good.items() if key != name})
    yield dump(good | {"deviceId": None})
    yield dump(good | {time: dice.choice(("yesterday", f"{day}T25:61:00Z", "2025-13-40"))})
    for name in [name for name in WRONG if name in good]:
        yield dump(good | {name: dice.choice(WRONG[name])})
    yield dump(good).replace(f'"{time}"'.encode(), f'"note":"caf\xe9","{time}"'.encode("latin-1"))
    yield dump(good).replace(b'"deviceId"', b'"note":"\\ud83d","deviceId"')  # half of an emoji
    yield b""  # a blank line is not a record
