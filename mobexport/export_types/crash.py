"""Crash: faults that ended the app, grouped by device."""

from __future__ import annotations

from typing import Final

from mobexport.export_types.model import ExportType, Field, FieldKind, Grouped

CRASH: Final = ExportType(
    name="Crash",
    route="crashes",
    kind="crashes",
    historical=True,
    shape=Grouped(nested="crashes"),
    group=("deviceId",),
    time="timestamp",
    fields=(
        Field("deviceId", FieldKind.ID, required=True, help="the device"),
        Field("crashId", FieldKind.ID, required=True, help="the crash"),
        Field("name", FieldKind.TEXT, required=True, help="name of the crash"),
        Field("timestamp", FieldKind.TIME, required=True, help="when it happened"),
        Field("infoId", FieldKind.ID, help="the device's technical information then"),
        Field("sessionId", FieldKind.ID, help="the session; absent outside of one"),
        Field("extras", FieldKind.OBJECT, help="the app's own data"),
    ),
    samples=(
        (
            '{"deviceId":"9f1c3e0a-6a0b-4c1e-9d6a-0b1f2c3d4e5f","crashId":"d58064f1-80d9-4a6a-9f0f-1af51ccfcb19",'
            '"name":"java.lang.OutOfMemoryError","timestamp":"2025-03-23T14:37:41.714Z"}'
        ),
    ),
)
