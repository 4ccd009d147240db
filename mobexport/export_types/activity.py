"""Activity: the screens that users saw, grouped by session and device."""

from __future__ import annotations

from typing import Final

from mobexport.export_types.model import ExportType, Field, FieldKind, Grouped

ACTIVITY: Final = ExportType(
    name="Activity",
    route="activities",
    kind="activities",
    historical=True,
    shape=Grouped(nested="activities"),
    group=("sessionId", "deviceId"),
    time="timestamp",
    fields=(
        Field("sessionId", FieldKind.ID, strict=True, help="the session; absent outside of one"),
        Field("deviceId", FieldKind.ID, required=True, published=False, help="the device"),
        Field("name", FieldKind.TEXT, required=True, help="name of the screen"),
        Field("timestamp", FieldKind.TIME, required=True, help="when it was shown"),
        Field("extras", FieldKind.OBJECT, help="the app's own data"),
    ),
    samples=(
        (
            '{"deviceId":"9f1c3e0a-6a0b-4c1e-9d6a-0b1f2c3d4e5f","sessionId":"df45556c-1a00-452b-bc0b-7ccc65f5a148",'
            '"name":"Checkout","timestamp":"2025-03-23T14:37:37.989Z"}'
        ),
    ),
)
