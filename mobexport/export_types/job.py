"""Job: tasks that the app performed, one object a job."""

from __future__ import annotations

from typing import Final

from mobexport.export_types.model import ExportType, Field, FieldKind, Flat, Merge

JOB: Final = ExportType(
    name="Job",
    route="jobs",
    kind="jobs",
    historical=True,
    shape=Flat(),
    group=("jobId",),
    time="start",
    fields=(
        Field("jobId", FieldKind.ID, required=True, help="the job"),
        Field("deviceId", FieldKind.ID, required=True, help="the device"),
        Field("name", FieldKind.TEXT, required=True, help="name of the job"),
        Field("start", FieldKind.TIME, required=True, help="when it began"),
        Field("end", FieldKind.TIME, help="when it ended"),
        Field("infoId", FieldKind.ID, strict=True, help="the device's technical information then"),
        Field("extras", FieldKind.OBJECT, help="the app's own data"),
    ),
    merge=Merge(identity=("jobId",), by="end"),
    samples=(
        (
            '{"jobId":"5021b27a-3209-57ce-8437-0987693734d8","deviceId":"9f1c3e0a-6a0b-4c1e-9d6a-0b1f2c3d4e5f",'
            '"name":"upload","start":"2025-03-23T14:37:37.882Z","end":"2025-03-23T14:37:37.948Z",'
            '"extras":{"status":0}}'
        ),
    ),
)
