"""Error: faults that the app handled, grouped by device."""

from __future__ import annotations

from typing import Final

from mobexport.export_types.model import ExportType, Field, FieldKind, Grouped

ERROR: Final = ExportType(
    name="Error",
    route="errors",
    kind="errors",
    historical=True,
    shape=Grouped(nested="errors"),
    group=("deviceId",),
    time="timestamp",
    fields=(
        Field("deviceId", FieldKind.ID, required=True, help="the device"),
        Field("name", FieldKind.TEXT, required=True, help="name of the error"),
        Field("timestamp", FieldKind.TIME, required=True, help="when it happened"),
        Field("infoId", FieldKind.ID, help="the device's technical information then"),
        Field("sessionId", FieldKind.ID, help="the session; absent outside of one"),
        Field("jobId", FieldKind.ID, help="the job; absent outside of one"),
        Field("extras", FieldKind.OBJECT, help="the app's own data"),
    ),
    samples=(
        (
            '{"deviceId":"9f1c3e0a-6a0b-4c1e-9d6a-0b1f2c3d4e5f","sessionId":"df45556c-1a00-452b-bc0b-7ccc65f5a148",'
            '"jobId":"5021b27a-3209-57ce-8437-0987693734d8","name":"timeout",'
            '"timestamp":"2025-03-23T14:37:54.507Z","extras":{"after":30}}'
        ),
    ),
)
