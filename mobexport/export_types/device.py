"""Device: the newest facts about each device, with its tags.

An element is one exported record. The other records of a device are merged into it and count as superseded,
its newest tags too; tags of a device that has no record of its own are outside of the export.
"""

from __future__ import annotations

from typing import Final

from mobexport.export_types.model import ExportType, Field, FieldKind, Flat, Merge
from mobexport.export_types.tag import TAG

_MS = "ms since 1970 UTC"

DEVICE: Final = ExportType(
    name="Device",
    route="devices",
    kind="devices",
    historical=False,
    shape=Flat(),
    group=("deviceId",),
    time="timestamp",
    fields=(
        Field("deviceId", FieldKind.ID, required=True, help="the device"),
        Field("timestamp", FieldKind.TIME, required=True, help="when this was known"),
        Field(
            "meta",
            FieldKind.OBJECT,
            members=(
                Field("firstSeen", FieldKind.INTEGER, help=f"{_MS}; the least of all records"),
                Field("lastSeen", FieldKind.INTEGER, help=f"{_MS}; the greatest of all records"),
                Field("lastInfo", FieldKind.INTEGER, help=_MS),
                Field("lastLocation", FieldKind.INTEGER, help=_MS),
                Field("nativePushEnabled", FieldKind.BOOLEAN),
            ),
            help="the newest that was told",
        ),
        Field(
            "info",
            FieldKind.OBJECT,
            members=(
                Field("phoneModel", FieldKind.TEXT),
                Field("phoneManufacturer", FieldKind.TEXT),
                Field("firmwareVersion", FieldKind.TEXT),
                Field("firmwareName", FieldKind.TEXT),
                Field("androidAPILevel", FieldKind.INTEGER),
                Field("carrierCountry", FieldKind.TEXT),
                Field("locale", FieldKind.TEXT),
                Field("carrierName", FieldKind.TEXT),
                Field("networkType", FieldKind.TEXT),
                Field("networkSubtype", FieldKind.TEXT),
                Field("applicationVersionName", FieldKind.TEXT),
                Field("applicationVersionCode", FieldKind.INTEGER),
                Field("timeZoneOffset", FieldKind.INTEGER, help="minutes from UTC"),
                Field("serviceVersion", FieldKind.TEXT),
            ),
            help="the newest that was told",
        ),
        Field(
            "location",
            FieldKind.OBJECT,
            members=(
                Field("countrycode", FieldKind.TEXT),
                Field("region", FieldKind.TEXT),
                Field("locality", FieldKind.TEXT),
            ),
            help="the newest that was told",
        ),
    ),
    merge=Merge(
        identity=("deviceId",),
        by="timestamp",
        least=("meta.firstSeen",),
        greatest=("meta.lastSeen",),
        each=("meta", "info", "location"),
    ),
    joined=TAG,
    samples=(
        (
            '{"deviceId":"9f1c3e0a-6a0b-4c1e-9d6a-0b1f2c3d4e5f","timestamp":"2025-03-23T14:52:05.201Z",'
            '"meta":{"firstSeen":1742740239535,"lastSeen":1742741525201,"nativePushEnabled":true},'
            '"info":{"phoneModel":"Pixel 4a","firmwareName":"android","locale":"en-US"}}'
        ),
    ),
)
