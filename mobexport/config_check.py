"""Check settings, `exports.toml` and secrets together, before anything runs.

The same rules stop `mobexport config check` and `make start`, and make health say what is wrong.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from mobexport.config import USUAL_FILE, ExportsConfig, config_path, read_config
from mobexport.errors import ConfigError
from mobexport.local_settings import read_local_settings
from mobexport.named_secret import signing_secret
from mobexport.near_names import did_you_mean
from mobexport.settings import Settings, is_loopback, read_settings, setting_names

_SIGNED_CALLS: Final = "REQUEST_SIGNING_SECRET"
_LOOKUP_SECONDS: Final = 1.0


def check_all(environ: Mapping[str, str], root: Path, *, look_up: bool = True) -> tuple[list[str], list[str]]:
    """Every problem, and notes that are none; `root` is the app's folder.

    `environ` goes before the values of `local.settings.json`, as in the host. With `look_up` hosts of
    webhooks that no name service finds within a second are a problem.
    """
    problems: list[str] = []
    local: dict[str, str] = {}
    try:
        local = read_local_settings(root)
    except ConfigError as error:
        problems.append(error.message)
    values = {**local, **environ}
    problems += _misspelt(values)
    try:
        settings = read_settings(values)
    except ConfigError as error:
        problems += error.problems
        # The file can be judged all the same.
        settings = Settings.model_construct(
            exports_config=values.get("EXPORTS_CONFIG") or USUAL_FILE,
            azure_functions_environment=values.get("AZURE_FUNCTIONS_ENVIRONMENT", ""),
        )
    try:
        config = read_config(settings, str(root))
    except ConfigError as error:
        return [*problems, *error.problems], []
    problems += secret_problems(config, values)
    problems += _unknown_hosts(config) if look_up else []
    return problems, list(_notes(config, config_path(settings, str(root))))


def secret_problems(config: ExportsConfig, environ: Mapping[str, str]) -> list[str]:
    """Secrets that are missing, not read from the vault, or none by their form; values are not repeated."""
    named = {
        secret.setting: (secret, f"targets.{name}")
        for name, target in config.targets.items()
        for secret in target.secrets()
    }
    if environ.get(_SIGNED_CALLS):
        named[_SIGNED_CALLS] = (signing_secret(_SIGNED_CALLS), "signed calls")
    return [
        problem
        for _, (secret, used_by) in sorted(named.items())
        if (problem := secret.problem(used_by, environ))
    ]


def _misspelt(values: Mapping[str, Any]) -> Iterator[str]:
    """Settings of no known name whose name is nearly that of one."""
    known = setting_names()
    for name in sorted(values):
        # By chance names of others are near, but not as near as this.
        if name.upper() not in known and (near := did_you_mean(name.upper(), known, 0.85)):
            yield f"{name}: no such setting{near}"


def _unknown_hosts(config: ExportsConfig) -> list[str]:
    """Hosts of webhooks that no name service knows; asked all at once."""
    urls = {name: str(getattr(target, "url", "") or "") for name, target in config.targets.items()}
    asked = {name: urlsplit(url).hostname or "" for name, url in urls.items() if url and not is_loopback(url)}
    found: set[str] = set()

    def ask(name: str, host: str) -> None:
        try:
            socket.getaddrinfo(host, None)
        except OSError:
            return
        found.add(name)

    threads = [threading.Thread(target=ask, args=one, daemon=True) for one in asked.items()]
    for thread in threads:
        thread.start()
    until = time.monotonic() + _LOOKUP_SECONDS
    for thread in threads:
        thread.join(max(until - time.monotonic(), 0))
    return [
        f"targets.{name}.url: no name service here knows the host {host!r}"
        for name, host in asked.items()
        if name not in found
    ]


def _notes(config: ExportsConfig, path: Path) -> Iterator[str]:
    if not path.exists():
        yield f"there is no {path.name}: locally any app with raw data may be exported"
    for name, app in config.apps.items():
        if app.schedule and (over := app.schedule.day_is_over_at()):
            at = f"{app.schedule.at:%H:%M} in {app.schedule.time_zone}"
            yield f"apps.{name}.schedule: at {at} the UTC day is not over; it is at {over:%H:%M}"
