"""Tag: the newest value of each tag of a device (app info), as one map."""

from __future__ import annotations

from typing import Final

from mobexport.export_types.model import ExportType, Field, FieldKind, Latest

TAG: Final = ExportType(
    name="Tag",
    route="tags",
    kind="tags",
    historical=False,
    shape=Latest(key="key", value="value", into="appInfo"),
    group=("deviceId",),
    time="timestamp",
    fields=(
        Field("deviceId", FieldKind.ID, required=True, help="the device"),
        Field("timestamp", FieldKind.TIME, required=True, help="when the value was set"),
        Field("key", FieldKind.TEXT, required=True, help="name of the tag"),
        Field("value", FieldKind.JSON, help="its value; null removes the tag"),
    ),
    samples=(
        (
            '{"deviceId":"9f1c3e0a-6a0b-4c1e-9d6a-0b1f2c3d4e5f","timestamp":"2025-03-23T14:33:51.943Z",'
            '"key":"plan","value":"gold"}'
        ),
    ),
)
