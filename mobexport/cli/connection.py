"""The app that commands speak to: its URL, function key and signing secret.

Each comes from the first of these that has it: the options `--url` and `--key`; the environment
(`MOBEXPORT_URL`, `MOBEXPORT_KEY`, `MOBEXPORT_SIGNING_SECRET`); the profile that `--profile` or
`MOBEXPORT_PROFILE` names, else `[default]`. Without any URL it is the app on this machine.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import click

from mobexport.errors import ConfigError

LOCAL_URL: Final = "http://127.0.0.1:7071"
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_KEYS: Final = frozenset({"url", "key", "signing_secret", "resource_group", "function_app", "settings"})
_AZ_SECONDS: Final = 120
_Function = TypeVar("_Function", bound=Callable[..., Any])


@dataclass(frozen=True)
class Connection:
    """An app, and what it asks of callers; empty: nothing."""

    url: str
    """Origin, without a slash at the end."""
    key: str = field(default="", repr=False)
    secret: str = field(default="", repr=False)
    """Signs calls that change something, where REQUEST_SIGNING_SECRET is set."""

    @property
    def is_local(self) -> bool:
        """Whether the app is on this machine."""
        return (urlsplit(self.url).hostname or "") in _LOOPBACK


@dataclass(frozen=True)
class Profile:
    """`[name]` of the file of profiles."""

    url: str = ""
    key: str = field(default="", repr=False)
    signing_secret: str = field(default="", repr=False)
    resource_group: str = ""
    """With `function_app`: URL and key are asked of `az`."""
    function_app: str = ""
    settings: Mapping[str, str] = field(default_factory=dict, repr=False)
    """App settings of the data account, such as DATA_STORAGE__blobServiceUri."""


def app_options(function: _Function) -> _Function:
    """The options that say which app: `--url`, `--key`, `--profile`, as one argument `connection`."""

    def keep(name: str) -> Callable[[click.Context, click.Parameter, str | None], None]:
        def callback(ctx: click.Context, _parameter: click.Parameter, value: str | None) -> None:
            ctx.ensure_object(dict)[name] = value

        return callback

    options = (
        click.option("--url", metavar="URL", help=f"The app (default: {LOCAL_URL}).", **_kept(keep("url"))),
        click.option(
            "--key", metavar="KEY", help="Function key; better: MOBEXPORT_KEY.", **_kept(keep("key"))
        ),
        profile_option(keep("profile")),
    )
    for option in reversed(options):
        function = option(function)
    return function


def profile_option(
    callback: Callable[[click.Context, click.Parameter, str | None], None],
) -> Callable[[_Function], _Function]:
    """The option `--profile`."""
    return click.option(
        "--profile", metavar="NAME", help="Profile of profiles.toml (default: default).", **_kept(callback)
    )


def _kept(callback: Callable[[click.Context, click.Parameter, str | None], None]) -> dict[str, Any]:
    return {"callback": callback, "expose_value": False, "is_eager": True}


def given() -> Mapping[str, str | None]:
    """The options of `app_options` as the present command was given them."""
    found = click.get_current_context().obj
    return found if isinstance(found, dict) else {}


def connect() -> Connection:
    """The app of the present command. Raises ConfigError that names the place at fault."""
    return resolve(given(), os.environ, profiles_file())


def profile_settings() -> Mapping[str, str]:
    """Settings of the data account in the profile of the present command. Raises ConfigError."""
    return read_profile(given().get("profile"), os.environ, profiles_file()).settings


def profiles_file() -> Path:
    """`profiles.toml` in the user's folder of configurations."""
    return Path(click.get_app_dir("mobexport")) / "profiles.toml"


def resolve(options: Mapping[str, str | None], environ: Mapping[str, str], file: Path) -> Connection:
    """The connection by options, environment and profile, in this order. Raises ConfigError.

    The key of a profile goes to the URL of that profile alone.
    """
    profile = read_profile(options.get("profile"), environ, file)
    url = options.get("url") or environ.get("MOBEXPORT_URL") or ""
    key = options.get("key") or environ.get("MOBEXPORT_KEY") or ""
    secret = environ.get("MOBEXPORT_SIGNING_SECRET") or ""
    if not url:
        key, secret = key or profile.key, secret or profile.signing_secret
        if profile.function_app:
            url = profile.url or f"https://{_ask_az(profile, 'show', 'defaultHostName')}"
            key = key or _ask_az(profile, "keys list", "functionKeys.default")
        url = url or profile.url or LOCAL_URL
    found = Connection(url.rstrip("/"), key, secret)
    parts = urlsplit(found.url)
    if not parts.hostname or parts.scheme not in ("http", "https") or parts.path or parts.query:
        raise ConfigError(f"{url!r} is not the URL of an app, such as https://NAME.azurewebsites.net")
    if parts.scheme == "http" and not found.is_local:
        raise ConfigError(
            f"{found.url}: use https; http, which shows the key to everybody, is for this machine"
        )
    return found


def read_profile(name: str | None, environ: Mapping[str, str], file: Path) -> Profile:
    """The profile of that name; without a name `[default]`, if there is one. Raises ConfigError."""
    name = name or environ.get("MOBEXPORT_PROFILE")
    try:
        profiles = tomllib.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        profiles = {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: {error}") from None
    if name and name not in profiles:
        known = ", ".join(sorted(profiles)) or "none"
        raise ConfigError(f"there is no profile [{name}] in {file}; there are: {known}")
    found = profiles.get(name or "default", {})
    if not isinstance(found, dict) or found.keys() - _KEYS:
        raise ConfigError(f"{file}: [{name or 'default'}] may have {', '.join(sorted(_KEYS))}")
    settings = found.pop("settings", {})
    texts = [*found.values(), *(settings.values() if isinstance(settings, dict) else [None])]
    if not all(isinstance(value, str) for value in texts):
        raise ConfigError(f"{file}: [{name or 'default'}]: every value must be text")
    if ("function_app" in found) != ("resource_group" in found):
        raise ConfigError(
            f"{file}: [{name or 'default'}]: give resource_group and function_app both, or none"
        )
    has_secret = "key" in found or "signing_secret" in found
    if has_secret and os.name == "posix" and file.stat().st_mode & 0o077:
        raise ConfigError(f"{file} holds secrets and others may read it: chmod 600 {file}")
    return Profile(**found, settings=settings)


def _ask_az(profile: Profile, command: str, query: str) -> str:
    """One value of `az functionapp …`. Raises ConfigError with what `az` said."""
    az = shutil.which("az")
    if az is None:
        raise ConfigError(
            "the profile names a function_app, which needs the Azure CLI: there is no `az` on the PATH"
        )
    words = ["--resource-group", profile.resource_group, "--name", profile.function_app]
    done = subprocess.run(  # noqa: S603 - the user's own program and profile
        [az, "functionapp", *command.split(), *words, "--query", query, "--output", "json"],
        capture_output=True,
        text=True,
        check=False,
        timeout=_AZ_SECONDS,
    )
    try:
        found = json.loads(done.stdout) if done.returncode == 0 else None
    except ValueError:
        found = None
    if not isinstance(found, str) or not found:
        said = done.stderr.strip().splitlines()
        raise ConfigError(f"az functionapp {command}: {said[-1] if said else 'found nothing'}; az login?")
    return found
