"""Versions of orchestrations that this host runs (host.json: defaultVersion, versionMatchStrategy)."""

from __future__ import annotations

from dataclasses import dataclass


def _key(version: str) -> tuple[tuple[int, int, str], ...]:
    parts = version.split(".")
    return tuple((1, int(p), "") if p.isdigit() else (0, 0, p) for p in parts)


@dataclass(frozen=True)
class Versioning:
    """`strategy` is None, Strict or CurrentOrOlder, any case. A version that does not match stays Pending,
    as recorded.
    """

    default: str | None = None
    strategy: str = "CurrentOrOlder"

    def runs(self, version: str | None) -> bool:
        if not version or self.strategy.lower() == "none":
            return True
        own = self.default or ""
        if self.strategy.lower() == "strict":
            return version == own
        return bool(own) and _key(version) <= _key(own)
