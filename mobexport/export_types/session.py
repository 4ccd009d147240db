"""Session: times that users spent in the app, one object a session."""

from __future__ import annotations

from typing import Final

from mobexport.export_types.model import ExportType, Field, FieldKind, Flat, Merge

SESSION: Final = ExportType(
    name="Session",
    route="sessions",
    kind="sessions",
    historical=True,
    shape=Flat(),
    group=("sessionId",),
    time="start",
    fields=(
        Field("sessionId", FieldKind.ID, required=True, help="the session"),
        Field("deviceId", FieldKind.ID, required=True, help="the device"),
        Field("start", FieldKind.TIME, required=True, help="when it began"),
        Field("end", FieldKind.TIME, help="when it ended"),
        Field("infoId", FieldKind.ID, help="the device's technical information then"),
        Field("locationId", FieldKind.ID, help="where the device was then"),
    ),
    merge=Merge(identity=("sessionId",), by="start", keep="first", greatest=("end",)),
    samples=(
        (
            '{"sessionId":"df45556c-1a00-452b-bc0b-7ccc65f5a148","deviceId":"9f1c3e0a-6a0b-4c1e-9d6a-0b1f2c3d4e5f",'
            '"start":"2025-03-23T14:30:39.535Z","end":"2025-03-23T14:37:52.930Z"}'
        ),
    ),
)
