"""Facts about made-up devices over time: tags, push tokens, reactions to campaigns, technical data.

Only the newest counts, so there are older ones, several of one instant, and some that remove a fact.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass

from demo import vocabulary as words
from demo.raw_files import Json

Moment = int
"""Milliseconds since 1970 UTC."""
Told = tuple[str, Moment, Json]
"""Kind, when, and the record without its time."""
PUSHED = {"Announcement": 3, "DataPush": 1, "Poll": 2}
"""Campaigns of each type."""
REACTIONS = (
    ("Queued", "SystemNotificationDisplayed", "SystemNotificationActioned", "ContentDisplayed"),
    ("Queued", "InAppNotificationDisplayed", "InAppNotificationExited"),
    ("Queued", "Dropped"),
    ("Queued",),
)


@dataclass(frozen=True)
class Period:
    """First and last instant at which the devices are used."""

    first: Moment
    last: Moment


def states(dice: random.Random, device_id: str, number: int, period: Period) -> Iterator[Told]:
    """Everything about one device; `number` is its place among the devices of the app."""
    yield from _tags(dice, device_id, period)
    yield from _tokens(dice, device_id, number, period)
    yield from _pushes(dice, device_id, period)
    if number % 17 != 5:  # the tags of those others have no device to stand with
        yield from _facts(dice, device_id, number, period)


def _tags(dice: random.Random, device_id: str, period: Period) -> Iterator[Told]:
    for key, values in words.TAGS.items():
        for moment in _moments(dice, period, dice.randrange(4)):
            record: Json = {"deviceId": device_id, "key": key}
            value = None if dice.random() < 0.15 else dice.choice(values)
            yield "tags", moment, record | {"value": value}
            if dice.random() < 0.03:  # the same instant again: the later line wins
                yield "tags", moment, record | {"value": dice.choice(values)}


def _tokens(dice: random.Random, device_id: str, number: int, period: Period) -> Iterator[Told]:
    kind = "apns" if number % 3 else "gcm"
    for moment in _moments(dice, period, dice.randrange(3)):
        record: Json = {"deviceId": device_id, "token": f"{dice.getrandbits(256):064x}", "type": kind}
        yield "tokens", moment, record | {"valid": dice.random() > 0.2}
        if dice.random() < 0.05:
            yield "tokens", moment, record | {"token": f"{dice.getrandbits(256):064x}", "valid": True}


def _pushes(dice: random.Random, device_id: str, period: Period) -> Iterator[Told]:
    for campaign_type, count in PUSHED.items():
        for campaign_id in range(1, count + 1):
            if dice.random() < 0.4:
                continue
            record: Json = {"deviceId": device_id, "campaignType": campaign_type, "campaignId": campaign_id}
            moment = dice.randrange(period.first, period.last)
            told = []
            for flag in dice.choice(REACTIONS):
                told.append(("pushes", moment, record | {"status": flag}))
                moment += dice.choice((0, 40, 5_000, 90_000_000))
            if dice.random() < 0.1:
                told.append((told[-1][0], moment, told[-1][2]))  # the same flag once more
            dice.shuffle(told)  # as they arrive
            yield from told


def _facts(dice: random.Random, device_id: str, number: int, period: Period) -> Iterator[Told]:
    model, maker, firmware, name, level = words.PHONES[number % len(words.PHONES)]
    first_seen = period.first - dice.randrange(10**10)
    for moment in _moments(dice, period, dice.randrange(1, 4)):
        record: Json = {"deviceId": device_id}
        if dice.random() < 0.9:
            record["meta"] = {
                "firstSeen": first_seen + dice.choice((0, 0, 3_600_000)),
                "lastSeen": moment,
                "nativePushEnabled": dice.random() < 0.7,
            }
        if dice.random() < 0.8:
            info: Json = {"phoneModel": model, "phoneManufacturer": maker, "firmwareVersion": firmware}
            info |= {"firmwareName": name, "locale": dice.choice(("de-DE", "en-US", "ja-JP"))}
            info |= {"applicationVersionName": "4.7.1", "applicationVersionCode": 471, "timeZoneOffset": 60}
            record["info"] = info | ({"androidAPILevel": level} if level else {})
        if dice.random() < 0.4:
            record["location"] = dice.choice(words.PLACES)
        yield "devices", moment, record


def _moments(dice: random.Random, period: Period, count: int) -> list[Moment]:
    return sorted(dice.randrange(period.first, period.last) for _ in range(count))
