"""Paths of blob triggers: `container` or `container/pattern`, where `{name}` matches anything.

A name matches greedily, also nothing. Written after BlobPathSource of the Storage extension and
BindingTemplateParser of the WebJobs SDK.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from devhost.errors import BLOBS, IndexingError

_CONTAINER = re.compile(r"(?=.{3,63}\Z)[a-z0-9](?:-?[a-z0-9])+|\$root|\$web|\$logs")
_TOKEN = re.compile(r"(?P<escape>\{\{|\}\})|\{(?P<name>[^{}]*)\}|(?P<literal>[^{}]+)|(?P<unbalanced>[{}])")
_NAME = re.compile(r"[^\W\d][\w.\-]*")
_BUILT_IN = ("rand-guid", "datetime")
"""Names that are legal although one has a hyphen; they have no other meaning in a trigger's path."""


@dataclass(frozen=True)
class BlobPath:
    container: str
    pattern: re.Pattern[str]
    names: tuple[str, ...]
    """Names of the pattern's groups, in order."""
    prefix: str
    """Literal start of the pattern, for listing the container."""

    def match(self, blob: str) -> dict[str, str] | None:
        """Values by name, the last one of a repeated name; None if the blob does not match."""
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
    _check_container(container)
    if not slash:
        return BlobPath(container, re.compile(".*", re.DOTALL), (), "")
    names: list[str] = []
    pattern, prefix = "", ""
    for token in _TOKEN.finditer(blob):
        if token["unbalanced"]:
            which = "closing" if token["unbalanced"] == "{" else "opening"
            raise IndexingError(
                f"Invalid template '{blob}'. Missing {which} bracket at position {token.start() + 1}."
            )
        if token["name"] is not None:
            names.append(_checked_name(blob, token))
            pattern += "(.*)"
            continue
        literal = token["literal"] or token[0][0]
        pattern += re.escape(literal)
        prefix += literal if not names else ""
    return BlobPath(container, re.compile(pattern, re.DOTALL), tuple(names), prefix)


def split_path(path: str) -> tuple[str, str]:
    """Container and name of `container/blob`. Raises IndexingError."""
    container, _, name = path.partition("/")
    if not container or not name:
        raise IndexingError(
            f"Invalid blob path specified : '{path}'. Blob identifiers must be in the format"
            " 'container/blob'.",
            BLOBS,
        )
    _check_container(container)
    return container, name


def _check_container(name: str) -> None:
    if not _CONTAINER.fullmatch(name):
        raise IndexingError(
            f"Invalid container name: {name} (3 to 63 lower-case letters, digits and single hyphens)", BLOBS
        )


def _checked_name(template: str, token: re.Match[str]) -> str:
    """The name between the braces, without its format."""
    name = token["name"].partition(":")[0]
    if not token["name"]:
        raise IndexingError(
            f"Invalid template '{template}'. The parameter name at position {token.start() + 1} is empty."
        )
    if name.lower() in _BUILT_IN:
        return name
    if not _NAME.fullmatch(name) or "" in name.split("."):
        raise IndexingError(f"Invalid template '{template}'. Invalid template expression '{name}")
    if "." in name:
        raise IndexingError("Capture expressions can't include dot operators")
    if "-" in name:
        raise IndexingError(f"Invalid template '{template}'. The parameter name '{name}' is invalid.")
    return name
