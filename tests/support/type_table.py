"""The ten export types by the design's tables, written by hand: what the oracle and the judges know.

It shares nothing with the declarations it judges. A field a line: name, kind, need in a raw record, need in
an export file. Needs: `!` must be there, `?` may be absent unless checks are strict, `.` may be absent, `-`
is not there at all. Source: design section 3, contract/export-files.schema.json.
"""

from __future__ import annotations

from dataclasses import dataclass

META = ("firstSeen", "lastSeen", "lastInfo", "lastLocation", "nativePushEnabled")
INFO = (
    "phoneModel", "phoneManufacturer", "firmwareVersion", "firmwareName", "androidAPILevel", "carrierCountry",
    "locale", "carrierName", "networkType", "networkSubtype", "applicationVersionName",
    "applicationVersionCode", "timeZoneOffset", "serviceVersion",
)  # fmt: skip
LOCATION = ("countrycode", "region", "locality")
_INTEGERS = {*META[:-1], "androidAPILevel", "applicationVersionCode", "timeZoneOffset"}


@dataclass(frozen=True)
class Field:
    """One field; `kind` is id, text, time, object, json, int, bool, campaign, flag or states."""

    name: str
    kind: str
    raw: str
    file: str


@dataclass(frozen=True)
class ExportType:
    """One type: its list in an element (empty: none), the element's fields, what the days are about."""

    name: str
    inner: str
    group: tuple[str, ...]
    time: str | None
    fields: tuple[Field, ...]

    @property
    def columns(self) -> tuple[Field, ...]:
        """Columns of an export file, in order."""
        return tuple(one for one in self.fields if one.file != "-")

    @property
    def raw(self) -> tuple[Field, ...]:
        """Fields of a raw record."""
        return tuple(one for one in self.fields if one.raw != "-")


def _type(name: str, inner: str, group: str, time: str | None, fields: str) -> ExportType:
    found = [Field(*line.split()) for line in fields.strip().splitlines()]
    return ExportType(name, inner, tuple(group.split()), time, tuple(found))


def _members(outer: str, names: tuple[str, ...]) -> str:
    kinds = {name: "int" if name in _INTEGERS else "text" for name in names} | {"nativePushEnabled": "bool"}
    return "\n".join(f"{outer}.{name} {kinds[name]} - ." for name in names)


TYPES = {
    one.name: one
    for one in (
        _type("Activity", "activities", "sessionId deviceId", "timestamp", """
            sessionId  id      .  ?
            deviceId   id      !  .
            name       text    !  !
            timestamp  time    !  !
            extras     object  .  .
        """),
        _type("Event", "events", "deviceId", "timestamp", """
            deviceId    id      !  !
            name        text    !  !
            timestamp   time    !  !
            infoId      id      .  ?
            sessionId   id      .  ?
            locationId  id      .  ?
            extras      object  .  .
        """),
        _type("Error", "errors", "deviceId", "timestamp", """
            deviceId   id      !  !
            name       text    !  !
            timestamp  time    !  !
            infoId     id      .  .
            sessionId  id      .  .
            jobId      id      .  .
            extras     object  .  .
        """),
        _type("Crash", "crashes", "deviceId", "timestamp", """
            deviceId   id      !  !
            crashId    id      !  !
            name       text    !  !
            timestamp  time    !  !
            infoId     id      .  .
            sessionId  id      .  .
            extras     object  .  .
        """),
        _type("Session", "", "sessionId", "start", """
            sessionId   id    !  !
            deviceId    id    !  !
            start       time  !  !
            end         time  .  .
            infoId      id    .  .
            locationId  id    .  .
        """),
        _type("Job", "", "jobId", "start", """
            jobId     id      !  !
            deviceId  id      !  !
            name      text    !  !
            start     time    !  !
            end       time    .  .
            infoId    id      .  ?
            extras    object  .  .
        """),
        _type("Push", "", "deviceId campaignType campaignId", None, """
            deviceId      id        !  !
            campaignType  campaign  !  !
            campaignId    int       !  !
            timestamp     time      !  -
            status        flag      !  -
            status        states    -  !
        """),
        _type("Token", "", "deviceId", None, """
            deviceId   id    !  !
            timestamp  time  !  -
            token      text  !  !
            type       text  !  !
            valid      bool  !  -
        """),
        _type("Tag", "appInfo", "deviceId", None, """
            deviceId   id    !  !
            timestamp  time  !  -
            key        text  !  !
            value      json  .  .
        """),
        _type("Device", "", "deviceId", None, f"""
            deviceId   id        !  !
            timestamp  time      !  -
            meta       meta      .  -
            info       info      .  -
            location   location  .  -
            {_members("meta", META)}
            {_members("info", INFO)}
            {_members("location", LOCATION)}
            appInfo    object    -  .
        """),
    )
}  # fmt: skip
"""By name."""

NESTED = {name: one.inner for name, one in TYPES.items() if one.inner and name != "Tag"}
HISTORICAL = {name for name, one in TYPES.items() if one.time}
