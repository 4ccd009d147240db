"""The ports of a large export on Azure storage: raw blobs, the work container, the target's blocks."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Self

from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError
from azure.storage.blob import BlobBlock, BlobClient, ContentSettings

from mobexport.blob_labels import Labels
from mobexport.errors import SourceChanged
from mobexport.export_api.writer.blocks import Aside, Blocks, BlockTarget
from mobexport.export_api.writer.raw_store import RawInput
from mobexport.storage import DataStorage, ahead


class BlobSource:
    """Raw blobs of the plan, pinned to their ETags."""

    def __init__(self, storage: DataStorage, files: Sequence[RawInput]) -> None:
        self._storage = storage
        self._files = files

    def read(self, file: int, first: int, end: int) -> Iterator[bytes]:
        """Bytes `first` up to before `end`. Raises SourceChanged if the blob was replaced or deleted."""
        if end <= first:
            return
        blob, name = self._files[file].blob, self._files[file].container
        container = self._storage.container(name, create=False)
        with _same_version(f"{name}/{blob.name}"):
            stream = container.get_blob_client(blob.name).download_blob(
                first,
                end - first,
                etag=blob.etag,
                match_condition=MatchConditions.IfNotModified,
                max_concurrency=1,
                decompress=False,
            )
            yield from ahead(stream.chunks())


class WorkContainer:
    """The container with a task's intermediates."""

    def __init__(self, storage: DataStorage, container: str) -> None:
        self._container = storage.container(container)

    def put(self, name: str, path: Path) -> None:
        """Keeps a local file, whole or not at all."""
        with path.open("rb") as data:
            self._container.upload_blob(name, data, overwrite=True, max_concurrency=2)

    def read(self, name: str, first: int, end: int | None) -> Iterator[bytes]:
        """Bytes `first` up to before `end` (None: its end)."""
        length = None if end is None else end - first
        if length == 0:
            return
        stream = self._container.download_blob(name, first, length, max_concurrency=1)
        yield from stream.chunks()


class BlobTarget:
    """The export file as a block blob, written with the caller's SAS.

    The client's errors pass: whoever runs the step knows which of them are the caller's fault.
    """

    def __init__(self, blob: BlobClient, content_type: str, labels: Labels | None = None) -> None:
        self._blob = blob
        self._settings = ContentSettings(content_type=content_type)
        self._labels = dict(labels) if labels else None

    def stage(self, block: str, data: bytes) -> None:
        """Keeps a block, over one of that name."""
        self._blob.stage_block(_id(block), data, length=len(data))

    def commit(self, blocks: Sequence[str]) -> None:
        """Makes the file of these blocks; what was staged besides them is dropped."""
        self._blob.commit_block_list(
            [BlobBlock(block_id=_id(block)) for block in blocks],
            content_settings=self._settings,
            metadata=self._labels,
        )


class BlockStream:
    """A blob of any length that is written bit by bit and appears at the end of the `with` block.

    There is none if nothing was written, or the block ends by an exception.
    """

    def __init__(self, target: BlockTarget, aside: Aside = nullcontext) -> None:
        self._target = target
        self._aside = aside
        self._blocks = Blocks(target, 0, aside)

    def write(self, data: bytes) -> None:
        self._blocks.add(data)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        self._blocks.__exit__(kind, *rest)
        if kind is None and self._blocks.count:
            with self._aside():
                self._target.commit(self._blocks.names)


def _id(block: str) -> str:
    return base64.b64encode(block.encode()).decode()


@contextmanager
def _same_version(name: str) -> Iterator[None]:
    try:
        yield
    except HttpResponseError as error:
        if error.status_code in (404, 412):
            what = "deleted" if error.status_code == 404 else "replaced or deleted"
            raise SourceChanged(f"{name} was {what} while it was read") from None
        raise
