"""The container that an export file is written to: somebody else's, behind a SAS that may only write.

Redirects are never followed: the host was checked, and where it points to was not. Each call has a time limit
as a whole, its answer a limit in bytes: a container that hangs, drips or floods fails the step, which comes
back later.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path

import requests
from azure.core.exceptions import HttpResponseError
from azure.core.pipeline.transport import RequestsTransport
from azure.storage.blob import ContainerClient, ContentSettings

from mobexport.blob_labels import Labels
from mobexport.container_url import ContainerUrl
from mobexport.errors import Rejected
from mobexport.export_api.writer.scale_out_storage import BlobTarget
from mobexport.http_calls import Connections
from mobexport.storage import CHUNK

_WHOLE = 64 * 1024 * 1024
_CONNECT_SECONDS, _READ_SECONDS = 5.0, 10.0
_CALL_SECONDS = 60.0
"""For one block of 4 MiB, or a file's list of blocks."""
_LEAST_BYTES_A_SECOND = 2**20
_MOST_ANSWER = 1024 * 1024
"""Bytes; storage answers a write with an error's few lines at most."""

Limit = Callable[[float], AbstractContextManager[None]]
"""Of one call, in seconds."""


@contextmanager
def open_target(url: ContainerUrl) -> Iterator[tuple[ContainerClient, Limit]]:
    """A client of the container that goes nowhere else, and the time limit for a call of it."""
    # The right to create does not cover blocks: such a file goes in one piece, which is in memory then.
    whole = CHUNK if url.can_overwrite else _WHOLE
    connections = Connections(_MOST_ANSWER)
    try:
        with requests.Session() as session:
            for scheme in ("http://", "https://"):
                session.mount(scheme, connections)
            client = ContainerClient.from_container_url(
                url.url,
                retry_total=0,
                max_block_size=CHUNK,
                max_single_put_size=whole,
                permit_redirects=False,
                transport=RequestsTransport(
                    session=session,
                    session_owner=False,
                    connection_timeout=_CONNECT_SECONDS,
                    read_timeout=_READ_SECONDS,
                ),
            )
            with client:
                yield client, connections.within
    finally:
        connections.release()


def write_file(
    source: Path, url: ContainerUrl, name: str, content_type: str, labels: Labels | None = None
) -> None:
    """Writes the file whole or not at all. Raises Rejected if the container refuses it for good."""
    settings = ContentSettings(content_type=content_type)
    try:
        with (
            source.open("rb") as data,
            open_target(url) as (container, within),
            container.get_blob_client(name) as blob,
            within(_CALL_SECONDS + source.stat().st_size / _LEAST_BYTES_A_SECOND),
        ):
            blob.upload_blob(
                data, overwrite=True, content_settings=settings, metadata=dict(labels) if labels else None
            )
    except HttpResponseError as error:
        if is_written_already(error, url):
            return
        if refusal := as_refusal(error, url):
            raise refusal from None
        raise


class TargetFile:
    """A file that is written in blocks. Raises Rejected if the container refuses one for good."""

    def __init__(self, blocks: BlobTarget, url: ContainerUrl, within: Limit) -> None:
        self._blocks = blocks
        self._url = url
        self._within = within

    def stage(self, block: str, data: bytes) -> None:
        """Keeps a block, over one of that name."""
        self._try(partial(self._blocks.stage, block, data))

    def commit(self, blocks: Sequence[str]) -> None:
        """Makes the file of these blocks."""
        self._try(partial(self._blocks.commit, blocks))

    def _try(self, call: Callable[[], None]) -> None:
        try:
            with self._within(_CALL_SECONDS):
                call()
        except HttpResponseError as error:
            if refusal := as_refusal(error, self._url):
                raise refusal from None
            raise


@contextmanager
def open_blocks(
    url: ContainerUrl, name: str, content_type: str, labels: Labels | None = None
) -> Iterator[TargetFile]:
    """A file of the container to be written in blocks. Raises Rejected if its SAS cannot do that."""
    if not url.can_overwrite:
        raise Rejected(
            f"container {url.container!r}: such a large file needs a SAS with the right to write (w),"
            " since it is written in blocks, which the right to create (c) does not cover",
            code="NeedsWrite",
        )
    with open_target(url) as (container, within), container.get_blob_client(name) as blob:
        yield TargetFile(BlobTarget(blob, content_type, labels), url, within)


def is_written_already(error: HttpResponseError, url: ContainerUrl) -> bool:
    """Whether a repeated commit was refused by a create-only SAS: the file of the first one is whole."""
    return (
        error.status_code == 403
        and not url.can_overwrite
        and getattr(error, "error_code", "") == "AuthorizationPermissionMismatch"
    )


def as_refusal(error: HttpResponseError, url: ContainerUrl) -> Rejected | None:
    """The reason why the container will never take the file; None for what may pass by itself."""
    status = error.status_code
    if status is None or not 300 <= status < 500 or status in (408, 429):
        return None
    where = f"container {url.container!r} on {url.host}"
    if status < 400:
        return Rejected(
            f"{where} answered with a redirect (HTTP {status}), which is not followed", status=status
        )
    reason = getattr(error, "error_code", None) or f"HTTP {status}"
    more = "" if url.can_overwrite else " A file of more than 64 MB needs the right to write (w)."
    return Rejected(
        f"{where} refused the file ({reason}): does it exist, and is the SAS unexpired and allowed to write?"
        f"{more}",
        status=status,
    )
