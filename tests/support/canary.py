"""Looks for secrets in whatever was written: plain, URL-encoded, and as part of anything in base64."""

import base64
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from mobexport.storage import DataStorage


class Found(NamedTuple):
    """A secret that was found: by which name, in which spelling, where."""

    secret: str
    spelling: str
    place: str


def spellings(secret: str) -> dict[str, bytes]:
    """Every spelling of a secret that is looked for."""
    once = quote(secret, safe="")
    texts = {
        "plain": secret,
        "URL-encoded": once,
        "URL-encoded twice": quote(once, safe=""),
        "URL-encoded in lower case": _lower_escapes(once),
        # Which characters are left alone differs: the storage SDK keeps the slashes of a signature.
        **{
            f"URL-encoded but {kept}": quote(secret, safe=kept) for kept in ("/", "=", "/=", "+", "+/", "+/=")
        },
    }
    found = {name: text.encode() for name, text in texts.items()}
    found["UTF-16"] = secret.encode("utf-16-le")
    for name, data in list(found.items()):
        for alphabet, encode in (("base64", base64.b64encode), ("base64url", base64.urlsafe_b64encode)):
            for before in range(3):
                # The characters at either end also hold bits of what stands before and behind.
                whole = encode(bytes(before) + data)
                found[f"{alphabet}+{before} of {name}"] = whole[(0, 2, 3)[before] : len(whole) // 4 * 4 - 4]
    return found


def _lower_escapes(text: str) -> str:
    parts = text.split("%")
    return "%".join([parts[0], *(part[:2].lower() + part[2:] for part in parts[1:])])


def find(secrets: Mapping[str, str], written: Mapping[str, bytes]) -> list[Found]:
    """Every secret in every place it was found in; `secrets` and `written` by their names."""
    looked_for = [
        (name, kind, data) for name, secret in secrets.items() for kind, data in spellings(secret).items()
    ]
    return [
        Found(name, kind, place)
        for place, content in written.items()
        for name, kind, data in looked_for
        if data in content
    ]


def stored(storage: DataStorage) -> Iterator[tuple[str, bytes]]:
    """Everything in a data account by its place: rows of tables, messages of queues, blobs, their headers."""
    for table in storage._tables.list_tables():
        for row in storage.table(table.name).list_entities():
            yield f"table {table.name}/{row['PartitionKey']}/{row['RowKey']}", repr(dict(row)).encode()
    for queue in storage._queues.list_queues():
        for number, message in enumerate(storage.queue(queue.name).peek_messages(max_messages=32)):
            yield f"queue {queue.name}/{number}", str(message.content).encode()
    for container in storage.blobs.list_containers(include_metadata=True):
        client = storage.blobs.get_container_client(container.name)
        yield f"container {container.name}", repr(dict(container)).encode()
        for blob in client.list_blobs(include=["metadata"]):
            place = f"blob {container.name}/{blob.name}"
            yield place, client.download_blob(blob.name).readall()
            # A server-side copy's source is shown with the blob.
            yield (
                f"{place}, properties",
                repr(client.get_blob_client(blob.name).get_blob_properties()).encode(),
            )


def on_disk(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Every file below a folder as it is, and every SQLite database as text as well."""
    for path in sorted(folder.rglob("*")):
        if not path.is_file():
            continue
        data = path.read_bytes()
        yield f"file {path.name}", data
        if data.startswith(b"SQLite format 3\0"):
            # A long value is cut over pages in the file; here it is in one piece.
            with closing(sqlite3.connect(path)) as database:
                yield f"database {path.name}", "\n".join(database.iterdump()).encode()
