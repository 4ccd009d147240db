"""Configuration of the host: host.json, local.settings.json, the environment, `%NAME%`."""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from devhost.errors import AppError, IndexingError

DEVELOPMENT_STORAGE = "UseDevelopmentStorage=true"
_MAX_BODY_BYTES = 100 * 1024 * 1024
_PERCENT = re.compile(r"%([^%]+)%")
_LEVELS = {
    "trace": logging.DEBUG,
    "debug": logging.DEBUG,
    "information": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
    "none": logging.CRITICAL + 1,
}
_DURABLE_USED = ("hubName", "defaultVersion", "versionMatchStrategy", "maxConcurrentActivityFunctions")
_DURABLE_UNUSED = (
    "appLeaseOptions",
    "entityMessageReorderWindowInMinutes",
    "extendedSessionIdleTimeoutInSeconds",
    "extendedSessionsEnabled",
    "grpcHttpClientTimeout",
    "httpSettings",
    "localRpcEndpointEnabled",
    "maxConcurrentEntityFunctions",
    "maxConcurrentOrchestratorFunctions",
    "maxEntityOperationBatchSize",
    "maxGrpcMessageSizeInBytes",
    "maxOrchestrationActions",
    "notifications",
    "overridableExistingInstanceStates",
    "rollbackEntityOperationsOnExceptions",
    "storageProvider",
    "storeInputsInOrchestrationHistory",
    "throwStatusExceptionsOnRaiseEvent",
    "tracing",
    "useAppLease",
    "useGracefulShutdown",
    "versionFailureStrategy",
)
"""The other settings of Durable extension 3.14."""


class UnresolvedSettingError(IndexingError):
    """A `%NAME%` names no setting."""


@dataclass(frozen=True)
class LogLevels:
    """`logging.logLevel`: the longest category that is a prefix of another decides."""

    levels: Mapping[str, int] = field(default_factory=dict)

    def of(self, category: str) -> int:
        folded = category.lower()
        found = [name for name in self.levels if folded.startswith(name)]
        return self.levels[max(found, key=len)] if found else self.levels.get("default", logging.INFO)


@dataclass(frozen=True)
class HostJson:
    """Settings of host.json that the host reads."""

    route_prefix: str = "api"
    hub: str = "TestHubName"
    default_version: str | None = None
    version_match_strategy: str | None = None
    max_activities: int = 10 * (os.cpu_count() or 1)
    max_blobs: int = 8 * (os.cpu_count() or 1)
    """Blobs that one function processes at the same time."""
    blob_attempts: int = 5
    log_levels: LogLevels = LogLevels()
    has_extensions: bool = True
    """Whether it names an extension bundle; without one the real host knows little but HTTP and timers."""
    notes: tuple[str, ...] = ()
    """Messages about settings without effect here."""


def _read_object(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text("utf-8-sig"))
    except FileNotFoundError:
        return {}
    except json.JSONDecodeError as error:
        raise AppError(f"{path.name}, line {error.lineno}, column {error.colno}: {error.msg}") from error
    except (OSError, ValueError) as error:
        raise AppError(f"{path.name}: {error}") from error
    if not isinstance(value, dict):
        raise AppError(f"{path.name}: a JSON object is needed, not {type(value).__name__}")
    return value


class _Section:
    """A section of host.json with case-insensitive names, as in .NET."""

    def __init__(self, value: object, path: str = "") -> None:
        self._path = path
        self.values: Mapping[str, Any] = value if isinstance(value, dict) else {}

    def within(self, *names: str) -> _Section:
        section = self
        for name in names:
            section = _Section(section.get(name), f"{section._path}{name}.")
        return section

    def get(self, name: str) -> Any:
        return next((value for key, value in self.values.items() if key.lower() == name.lower()), None)

    def text(self, name: str, default: str) -> str:
        value = self.get(name)
        if value is not None and not isinstance(value, str):
            raise AppError(f"host.json: {self._path}{name} must be text, not {json.dumps(value)}")
        return default if value is None else value

    def number(self, name: str, default: int, low: int, high: int = 2**31 - 1) -> int:
        value = self.get(name)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            limit = f"from {low}" + (f" to {high}" if high < 2**31 - 1 else " on")
            raise AppError(
                f"host.json: {self._path}{name} must be a whole number {limit}, not {json.dumps(value)}"
            )
        return value


def read_host_json(root: Path, environment: Mapping[str, str]) -> HostJson:
    """Read host.json. Raises AppError naming the bad setting, or the line that is no JSON."""
    top = _Section(_read_object(root / "host.json"))
    durable = top.within("extensions", "durableTask")
    blobs = top.within("extensions", "blobs")
    try:
        hub = resolve(durable.text("hubName", HostJson.hub), environment)
    except UnresolvedSettingError as error:
        raise AppError(f"host.json: extensions.durableTask.hubName: {error}") from error
    return HostJson(
        route_prefix=top.within("extensions", "http").text("routePrefix", "api").strip("/"),
        hub=hub,
        default_version=durable.text("defaultVersion", "") or None,
        version_match_strategy=durable.text("versionMatchStrategy", "") or None,
        max_activities=durable.number("maxConcurrentActivityFunctions", HostJson.max_activities, 1),
        max_blobs=blobs.number("maxDegreeOfParallelism", HostJson.max_blobs, 1),
        blob_attempts=blobs.number("poisonBlobThreshold", HostJson.blob_attempts, 1),
        log_levels=_log_levels(top.within("logging", "logLevel")),
        has_extensions=bool(top.get("extensionBundle")),
        notes=tuple(_durable_notes(durable.values)),
    )


def _log_levels(section: _Section) -> LogLevels:
    levels = {}
    for category, level in section.values.items():
        if str(level).lower() not in _LEVELS:
            raise AppError(
                f"host.json: logging.logLevel.{category} must be one of {', '.join(_LEVELS)}, not {level}"
            )
        levels[category.lower()] = _LEVELS[str(level).lower()]
    return LogLevels(levels)


def _durable_notes(values: Mapping[str, Any]) -> Iterator[str]:
    """Messages about settings without effect and misspelt ones, which the real host ignores silently."""
    known = {name.lower(): name for name in (*_DURABLE_USED, *_DURABLE_UNUSED)}
    unused = [name for name in values if name.lower() in {n.lower() for n in _DURABLE_UNUSED}]
    if unused:
        yield f"host.json: durableTask settings without effect in devhost: {', '.join(unused)}"
    for name in values:
        if name.lower() not in known:
            close = get_close_matches(name.lower(), known, 1)
            hint = f"; do you mean {known[close[0]]}?" if close else ""
            yield f"host.json: the Durable extension knows no setting durableTask.{name}{hint}"


@dataclass(frozen=True)
class LocalSettings:
    """Contents of local.settings.json: settings for the environment, and a port."""

    values: Mapping[str, str]
    port: int | None = None


def read_local_settings(root: Path) -> LocalSettings:
    """Read local.settings.json, empty if there is none. Raises AppError."""
    settings = _read_object(root / "local.settings.json")
    if settings.get("IsEncrypted"):
        raise AppError(
            "local.settings.json is encrypted; run `func settings decrypt` where Core Tools are installed"
        )
    found = dict(_Section(settings.get("Values")).values)
    for name, value in _Section(settings.get("ConnectionStrings")).values.items():
        text = value.get("ConnectionString") if isinstance(value, dict) else value
        found[f"ConnectionStrings:{name}"] = text
    for name, value in found.items():
        if isinstance(value, dict | list):
            raise AppError(f"local.settings.json: the value of {name} must be text, not {json.dumps(value)}")
    texts = {n: v if isinstance(v, str) else json.dumps(v) for n, v in found.items() if v is not None}
    port = _Section(settings.get("Host")).get("LocalHttpPort")
    return LocalSettings(texts, port if isinstance(port, int) else None)


def apply_local_settings(
    settings: LocalSettings, environment: MutableMapping[str, str], say: Callable[[str], None]
) -> None:
    """Put the values into the environment; those already set there win."""
    for name, value in settings.values.items():
        if name in environment:
            say(
                f"Skipping '{name}' from local settings"
                " as it's already defined in current environment variables."
            )
            continue
        environment[name] = value


def check_runtime(environment: Mapping[str, str]) -> None:
    """Raises AppError for an app in another language."""
    name = "FUNCTIONS_WORKER_RUNTIME"
    runtime = environment.get(name, "python")
    if runtime.lower() != "python":
        raise AppError(
            f"{name} is '{runtime}', and devhost runs Python apps only: set it to python in"
            " local.settings.json or in the environment"
        )


def request_body_limit(environment: Mapping[str, str]) -> int:
    """Bytes of the largest request body. Raises AppError; the real host takes its default instead."""
    name = "FUNCTIONS_REQUEST_BODY_SIZE_LIMIT"
    text = environment.get(name) or str(_MAX_BODY_BYTES)
    if not re.fullmatch(r"[0-9]{1,18}", text.strip()):
        raise AppError(f"{name} must be a number of bytes, not {text!r}; without it {_MAX_BODY_BYTES} counts")
    return int(text)


def resolve(text: str, environment: Mapping[str, str]) -> str:
    """Replace each `%NAME%` by the setting. Raises UnresolvedSettingError."""

    def value(match: re.Match[str]) -> str:
        found = environment.get(match[1])
        if found is None:
            raise UnresolvedSettingError(f"'%{match[1]}%' does not resolve to a value.")
        return found

    return _PERCENT.sub(value, text)
