"""The container that an export file is written to: somebody else's, behind a SAS that may only write.

Redirects are never followed: the host was checked, and where it points to was not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from azure.core.exceptions import HttpResponseError
from azure.storage.blob import ContainerClient, ContentSettings

from mobexport.container_url import ContainerUrl
from mobexport.errors import Rejected
from mobexport.export_api.writer.scale_out_storage import BlobTarget
from mobexport.storage import CHUNK

_WHOLE = 64 * 1024 * 1024


def open_target(url: ContainerUrl) -> ContainerClient:
    """A client of the container that goes nowhere else; for use in a `with` block."""
    # The right to create does not cover blocks: such a file goes in one piece, which is in memory then.
    whole = CHUNK if url.can_overwrite else _WHOLE
    return ContainerClient.from_container_url(
        url.url, retry_total=2, max_block_size=CHUNK, max_single_put_size=whole, permit_redirects=False
    )


def write_file(source: Path, url: ContainerUrl, name: str, content_type: str) -> None:
    """Writes the file whole or not at all. Raises Rejected if the container refuses it for good."""
    settings = ContentSettings(content_type=content_type)
    try:
        with (
            source.open("rb") as data,
            open_target(url) as container,
            container.get_blob_client(name) as blob,
        ):
            blob.upload_blob(data, overwrite=True, content_settings=settings)
    except HttpResponseError as error:
        if is_written_already(error, url):
            return
        if refusal := as_refusal(error, url):
            raise refusal from None
        raise


class TargetFile:
    """A file that is written in blocks. Raises Rejected if the container refuses one for good."""

    def __init__(self, blocks: BlobTarget, url: ContainerUrl) -> None:
        self._blocks = blocks
        self._url = url

    def stage(self, block: str, data: bytes) -> None:
        """Keeps a block, over one of that name."""
        self._try(partial(self._blocks.stage, block, data))

    def commit(self, blocks: Sequence[str]) -> None:
        """Makes the file of these blocks."""
        self._try(partial(self._blocks.commit, blocks))

    def _try(self, call: Callable[[], None]) -> None:
        try:
            call()
        except HttpResponseError as error:
            if refusal := as_refusal(error, self._url):
                raise refusal from None
            raise


@contextmanager
def open_blocks(url: ContainerUrl, name: str, content_type: str) -> Iterator[TargetFile]:
    """A file of the container to be written in blocks. Raises Rejected if its SAS cannot do that."""
    if not url.can_overwrite:
        raise Rejected(
            f"container {url.container!r}: such a large file needs a SAS with the right to write (w),"
            " since it is written in blocks, which the right to create (c) does not cover",
            code="NeedsWrite",
        )
    with open_target(url) as container, container.get_blob_client(name) as blob:
        yield TargetFile(BlobTarget(blob, content_type), url)


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
