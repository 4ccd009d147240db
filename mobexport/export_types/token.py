"""Token: addresses for push messages to a device, the newest of each type, if valid."""

from __future__ import annotations

from typing import Final

from mobexport.export_types.model import ExportType, Field, FieldKind, Flat, Merge

TOKEN: Final = ExportType(
    name="Token",
    route="tokens",
    kind="tokens",
    historical=False,
    shape=Flat(),
    group=("deviceId",),
    time="timestamp",
    fields=(
        Field("deviceId", FieldKind.ID, required=True, help="the device"),
        Field("timestamp", FieldKind.TIME, required=True, help="when the token was told"),
        Field("token", FieldKind.TEXT, required=True, help="the token"),
        Field("type", FieldKind.TEXT, required=True, help="the push service, such as apns or gcm"),
        Field("valid", FieldKind.BOOLEAN, required=True, help="false ends the token; not exported"),
    ),
    merge=Merge(identity=("deviceId", "type"), by="timestamp", present="valid"),
    samples=(
        (
            '{"deviceId":"9f1c3e0a-6a0b-4c1e-9d6a-0b1f2c3d4e5f","timestamp":"2025-03-23T14:30:39.535Z",'
            '"token":"5ed6ee72a20ad2067d7a15486b000cdc","type":"apns","valid":true}'
        ),
    ),
)
