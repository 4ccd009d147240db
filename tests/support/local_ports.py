"""The ports of a large export on local memory and files, as the tests use them."""

from collections.abc import Iterator, Sequence
from pathlib import Path


class MemorySource:
    """Raw files as bytes, read in chunks of a few bytes or more."""

    def __init__(self, contents: Sequence[bytes], chunk: int) -> None:
        self._contents = contents
        self._chunk = chunk

    def read(self, file: int, first: int, end: int) -> Iterator[bytes]:
        assert 0 <= first <= end <= len(self._contents[file])
        data = self._contents[file][first:end]
        return (data[at : at + self._chunk] for at in range(0, len(data), self._chunk))


class MemoryStore:
    """Intermediates by name."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}

    def put(self, name: str, path: Path) -> None:
        self.blobs[name] = path.read_bytes()

    def read(self, name: str, first: int, end: int | None) -> Iterator[bytes]:
        yield self.blobs[name][first:end]


class MemoryTarget:
    """Staged blocks, and the file of the last commit."""

    def __init__(self) -> None:
        self.blocks: dict[str, bytes] = {}
        self.data: bytes | None = None

    def stage(self, block: str, data: bytes) -> None:
        assert data
        self.blocks[block] = data

    def commit(self, blocks: Sequence[str]) -> None:
        assert len({len(block) for block in self.blocks}) <= 1
        assert len(set(blocks)) == len(blocks)
        self.data = b"".join(self.blocks[block] for block in blocks)
