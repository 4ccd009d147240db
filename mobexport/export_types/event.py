"""Event: what users did, grouped by device."""

from __future__ import annotations

from typing import Final

from mobexport.export_types.model import ExportType, Field, FieldKind, Grouped

EVENT: Final = ExportType(
    name="Event",
    route="events",
    kind="events",
    historical=True,
    shape=Grouped(nested="events"),
    group=("deviceId",),
    time="timestamp",
    fields=(
        Field("deviceId", FieldKind.ID, required=True, help="the device"),
        Field("name", FieldKind.TEXT, required=True, help="name of the event"),
        Field("timestamp", FieldKind.TIME, required=True, help="when it happened"),
        Field("infoId", FieldKind.ID, strict=True, help="the device's technical information then"),
        Field("sessionId", FieldKind.ID, strict=True, help="the session; absent outside of one"),
        Field("locationId", FieldKind.ID, strict=True, help="where the device was then"),
        Field("extras", FieldKind.OBJECT, help="the app's own data"),
    ),
    samples=(
        (
            '{"deviceId":"9f1c3e0a-6a0b-4c1e-9d6a-0b1f2c3d4e5f","name":"add_to_cart",'
            '"timestamp":"2025-03-23T14:37:38.184Z","extras":{"sku":"A-17"}}'
        ),
    ),
)
