"""The container that an export file is written to: somebody else's, behind a SAS that may only write.

Redirects are never followed: the host was checked, and where it points to was not.
"""

from __future__ import annotations

from pathlib import Path

from azure.core.exceptions import HttpResponseError
from azure.storage.blob import ContainerClient, ContentSettings

from mobexport.container_url import ContainerUrl
from mobexport.errors import Rejected
from mobexport.storage import CHUNK


def open_target(url: ContainerUrl) -> ContainerClient:
    """A client of the container that goes nowhere else; for use in a `with` block."""
    return ContainerClient.from_container_url(
        url.url, retry_total=2, max_block_size=CHUNK, max_single_put_size=CHUNK, permit_redirects=False
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
    return Rejected(
        f"{where} refused the file ({reason}): does it exist, and is the SAS unexpired and allowed to write?",
        status=status,
    )
