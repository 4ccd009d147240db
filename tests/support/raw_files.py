"""Raw files for tests: lines, Parquet, zstd, Avro of Event Hubs Capture, and folders of them."""

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq

from mobexport.export_api.raw_folder import RawFolder


def lines(*records: Any) -> bytes:
    return b"".join((one if isinstance(one, bytes) else json.dumps(one).encode()) + b"\n" for one in records)


def parquet(*records: dict[str, Any]) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(list(records)), out)
    return out.getvalue()


def capture(*bodies: bytes) -> bytes:
    # The schema as the page of Event Hubs Capture shows it:
    # https://learn.microsoft.com/azure/event-hubs/explore-captured-avro-files
    value = ["long", "double", "string", "bytes"]
    fields: list[dict[str, Any]] = [
        {"name": "SequenceNumber", "type": "long"},
        {"name": "Offset", "type": "string"},
        {"name": "EnqueuedTimeUtc", "type": "string"},
        {"name": "SystemProperties", "type": {"type": "map", "values": value}},
        {"name": "Properties", "type": {"type": "map", "values": [*value, "null"]}},
        {"name": "Body", "type": ["null", "bytes"]},
    ]
    namespace = "Microsoft.ServiceBus.Messaging"
    schema = {"type": "record", "name": "EventData", "namespace": namespace, "fields": fields}
    out = io.BytesIO()
    fastavro.writer(
        out,
        fastavro.parse_schema(schema),
        [
            {
                "SequenceNumber": n, "Offset": str(n * 100), "EnqueuedTimeUtc": "3/23/2025 10:00:01 AM",
                "SystemProperties": {}, "Properties": {}, "Body": body,
            }
            for n, body in enumerate(bodies)
        ],
        codec="deflate",
    )  # fmt: skip
    return out.getvalue()


def put(folder: Path, files: Mapping[str, bytes]) -> RawFolder:
    folder.mkdir(exist_ok=True)
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return RawFolder(folder, "raw")


def zstd(data: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as out:
        out.write(data)
    return bytes(sink.getvalue())
