"""Which blobs a blob trigger watches: `container` or `container/pattern`.

Sources: BlobPathSource of the Storage extension; a name in the pattern matches greedily, also nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from devhost.bindings.blobs import check_container
from devhost.bindings.expressions import parse_template
from devhost.errors import BLOBS, IndexingError


@dataclass(frozen=True)
class BlobPath:
    container: str
    pattern: re.Pattern[str]
    names: tuple[str, ...]
    """Of the pattern's groups, in order."""
    prefix: str
    """The pattern's literal start: what the container is listed by."""

    def match(self, blob: str) -> dict[str, str] | None:
        """The values of the names; of a name that stands there twice, the last."""
        found = self.pattern.fullmatch(blob)
        return None if found is None else dict(zip(self.names, found.groups(), strict=True))


def parse_path(text: str) -> BlobPath:
    """Read a path whose settings are resolved. Raises IndexingError."""
    container, slash, blob = text.partition("/")
    if (slash and not (container and blob)) or "\\" in container:
        raise IndexingError(
            f"Invalid blob trigger path '{text}'. Paths must be in the format 'container/blob'.", BLOBS
        )
    if "{" in container:
        raise IndexingError(
            f"Invalid blob trigger path '{text}'. Container paths cannot contain {{resolve}} tokens.", BLOBS
        )
    check_container(container)
    if not slash:
        return BlobPath(container, re.compile(".*", re.DOTALL), (), "")
    template = parse_template(blob)
    return BlobPath(container, template.pattern(), tuple(template.names()), template.prefix)
