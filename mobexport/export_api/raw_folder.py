"""Raw data in a folder of this machine, listed and read as a container is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mobexport.storage import RawBlob

_CHUNK = 1024 * 1024


class RawFolder:
    """A folder as the raw container; other containers of mappings are not there."""

    def __init__(self, folder: Path, container: str) -> None:
        self._folder = folder
        self._container = container

    def list_blobs(self, container: str, prefix: str = "") -> Iterator[RawBlob]:
        """Files whose path begins so, by name."""
        if container != self._container:
            return
        start = self._folder / prefix.rpartition("/")[0]
        for path in sorted(start.rglob("*")) if start.is_dir() else ():
            name = path.relative_to(self._folder).as_posix()
            if name.startswith(prefix) and path.is_file():
                yield RawBlob(name, "", path.stat().st_size)

    def list_folders(self, container: str, prefix: str = "") -> Iterator[str]:
        """What lies right below a folder, folders with `/` at the end."""
        start = self._folder / prefix
        if container == self._container and start.is_dir():
            for path in sorted(start.iterdir()):
                yield f"{path.name}/" if path.is_dir() else path.name

    def read_chunks(self, _container: str, blob: RawBlob, first: int = 0) -> Iterator[bytes]:
        """The bytes of a file, from `first` on."""
        with (self._folder / blob.name).open("rb") as data:
            data.seek(first)
            while chunk := data.read(_CHUNK):
                yield chunk
