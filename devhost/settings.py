"""Where the host's configuration comes from: host.json, local.settings.json, the environment, `%NAME%`."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devhost.errors import AppError

DEVELOPMENT_STORAGE = "UseDevelopmentStorage=true"
_PERCENT = re.compile(r"%([^%]+)%")


class UnresolvedSettingError(ValueError):
    """A `%NAME%` names no setting."""


@dataclass(frozen=True)
class HostJson:
    """What the host reads of host.json."""

    route_prefix: str = "api"
    hub: str = "TestHubName"
    default_version: str | None = None
    max_activities: int = 10 * (os.cpu_count() or 1)
    raw: Mapping[str, Any] | None = None


def _read_object(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text("utf-8-sig"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise AppError(f"{path.name}: {error}") from error
    if not isinstance(value, dict):
        raise AppError(f"{path.name}: a JSON object is needed")
    return value


def _section(value: Mapping[str, Any], *keys: str) -> Mapping[str, Any]:
    for key in keys:
        inner = value.get(key)
        value = inner if isinstance(inner, dict) else {}
    return value


def read_host_json(root: Path, environment: Mapping[str, str]) -> HostJson:
    """Raises AppError when the file is no JSON object or a value in it cannot be used."""
    raw = _read_object(root / "host.json")
    durable = _section(raw, "extensions", "durableTask")
    prefix = _section(raw, "extensions", "http").get("routePrefix", "api")
    try:
        return HostJson(
            route_prefix=str(prefix).strip("/"),
            hub=resolve(str(durable.get("hubName") or "TestHubName"), environment),
            default_version=durable.get("defaultVersion"),
            max_activities=max(
                1, int(durable.get("maxConcurrentActivityFunctions") or HostJson.max_activities)
            ),
            raw=raw,
        )
    except (TypeError, ValueError) as error:
        raise AppError(f"host.json: {error}") from error


def apply_local_settings(
    root: Path, environment: MutableMapping[str, str], say: Callable[[str], None]
) -> None:
    """Put the values of local.settings.json into the environment; what is set there already wins."""
    settings = _read_object(root / "local.settings.json")
    if settings.get("IsEncrypted"):
        raise AppError(
            "local.settings.json is encrypted; run `func settings decrypt` where Core Tools are installed"
        )
    values = dict(_section(settings, "Values"))
    for name, value in _section(settings, "ConnectionStrings").items():
        text = value.get("ConnectionString") if isinstance(value, dict) else value
        values[f"ConnectionStrings:{name}"] = text
    for name, value in values.items():
        if value is None:
            continue
        if name in environment:
            say(
                f"Skipping '{name}' from local settings"
                " as it's already defined in current environment variables."
            )
            continue
        environment[name] = value if isinstance(value, str) else json.dumps(value)


def resolve(text: str, environment: Mapping[str, str]) -> str:
    """Replace each `%NAME%` by the setting. Raises UnresolvedSettingError."""

    def value(match: re.Match[str]) -> str:
        found = environment.get(match[1])
        if found is None:
            raise UnresolvedSettingError(f"'%{match[1]}%' does not resolve to a value.")
        return found

    return _PERCENT.sub(value, text)
