"""`exports.toml`: apps, callers, notification targets and where export jobs are created.

Secrets stand here by the name of a setting, never by value. The file is optional on a developer's
machine, where any app with raw data counts as configured.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)

from mobexport import export_types
from mobexport.config_problems import (
    ConfigProblem,
    CrossProblems,
    Place,
    find_problems,
    syntax_problem,
    with_lines,
)
from mobexport.errors import ConfigError, NotFound, UnknownExportType
from mobexport.ids import GUID
from mobexport.near_names import did_you_mean
from mobexport.raw_mapping import RawMapping, check_raw, with_presets
from mobexport.schedule import Schedule
from mobexport.settings import Duration, Settings, check_total_deadline, is_loopback
from mobexport.targets import AnyTarget, Target, kinds

USUAL_FILE = "exports.toml"
APP_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?")
"""An app's name is a folder name, a table key and a URL segment at once."""


MAX_TARGETS = 20
"""Targets of one export: each has its delivery in the export's row."""


ClientId = Annotated[
    str,
    StringConstraints(to_lower=True, pattern=rf"^{GUID}$"),
]
"""Client id of an Entra application or managed identity: a GUID, compared in any case."""


TargetName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?$")]
"""Part of instance ids: Durable's client cuts an id off at `#`, and loses one with `/`."""


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Source(_Table):
    """`[source]`, `[apps."name".source]`: an Export API, and the path below which it keeps the apps."""

    kind: Literal["export-api"] = "export-api"
    """The system that runs the export jobs; `services.py` has a client for each."""
    url: str = ""
    """Base URL up to `/subscriptions`; empty: EXPORT_API_URL."""
    scope: str = ""
    """Token scope; empty: that of EXPORT_API_SCOPE, or with a loopback `url` none."""

    subscription: str = "00000000-0000-0000-0000-000000000000"
    resource_group: str = "mobile-engagement"
    app_collection: str = "apps"

    @model_validator(mode="after")
    def _token(self) -> Source:
        if self.url and not is_loopback(self.url):
            if not self.url.startswith("https://"):
                raise ValueError("url must begin with https:// (http:// only for loopback)")
            if not self.scope:
                raise ValueError("scope: set the scope of that Export API's tokens")
        return self


class App(_Table):
    """`[apps."name"]`: one app whose data may be exported."""

    checks: Literal["lenient", "strict"] = "lenient"
    """`strict` rejects records without the ids that the published schema asks for."""
    csv_formulas: Literal["as-recorded", "quoted"] = "as-recorded"
    """`quoted` puts a `'` before each text of a CsvBlob that a spreadsheet would take for a formula."""
    notify: tuple[str, ...] = Field((), max_length=MAX_TARGETS)
    """Targets of this app's notifications when a request names none."""
    parallel: int = Field(4, ge=1, le=32)
    """Exports of a batch, or of the schedule, that run at once."""
    reject_alert: float | None = Field(None, ge=0, le=1)
    """Instead of REJECT_ALERT."""
    queue_deadline: Duration | None = None
    run_deadline: Duration | None = None
    total_deadline: Duration | None = None
    """Instead of QUEUE_DEADLINE, RUN_DEADLINE and TOTAL_DEADLINE."""
    source: Source | None = None
    """An Export API of this app's own; none: `[source]`."""
    schedule: Schedule | None = None
    """Daily exports; none: nothing."""
    raw: dict[str, RawMapping] = {}
    """By kind, how its raw files are read; none: as docs/raw-data.md says."""

    @field_validator("raw", mode="before")
    @classmethod
    def _presets(cls, value: Any) -> Any:
        return with_presets(value)

    @field_validator("raw")
    @classmethod
    def _raw(cls, value: dict[str, RawMapping]) -> dict[str, RawMapping]:
        check_raw(value)
        return value

    @model_validator(mode="after")
    def _sas(self) -> App:
        if self.total_deadline is not None:
            check_total_deadline("total_deadline", self.total_deadline)
        return self


class Containers(_Table):
    """`[containers]`: where export files may be written, beside the app's own data account."""

    hosts: tuple[Annotated[str, Field(pattern=r"^[a-z0-9-]+(?:\.[a-z0-9-]+)+(?::[0-9]{1,5})?$")], ...] = ()
    """Hosts of storage accounts, with the port where it is not the default one; no patterns."""


class ExportsConfig(_Table):
    """The whole of `exports.toml`."""

    source: Source = Source()
    containers: Containers = Containers()
    callers: dict[ClientId, Literal["*"] | tuple[str, ...]] = {}
    """Callers of the Export API: client id of an Entra application → the apps it may export, or all."""
    apps: dict[str, App] = {}
    targets: dict[TargetName, AnyTarget] = {}

    @model_validator(mode="after")
    def _names(self) -> ExportsConfig:
        if found := list(_cross_problems(self.model_dump())):
            raise CrossProblems(found)
        return self

    def may_export(self, client_id: str, app: str) -> bool:
        """Whether that caller of the Export API may export that app."""
        allowed = self.callers.get(client_id.lower(), ())
        return allowed == "*" or app in allowed

    def target(self, name: str) -> Target:
        """The target of that name. Raises ConfigError if it is gone."""
        try:
            return self.targets[name]
        except KeyError:
            raise ConfigError(f"exports.toml has no [targets.{name}]") from None


def _cross_problems(data: Mapping[str, Any]) -> Iterator[tuple[Place, str]]:
    """What does not fit together in a file's tables, whose values may be of any type."""
    apps, targets = (_table(data.get(name)) for name in ("apps", "targets"))
    for name, app in apps.items():
        if not APP_NAME.fullmatch(name):
            yield ("apps", name), "use 1-64 letters, digits, dots, hyphens and underscores"
        for target in _texts(_table(app).get("notify")):
            if target not in targets:
                near = did_you_mean(target, targets)
                yield ("apps", name, "notify"), f"there is no [targets.{target}]{near}"
        for wanted in _texts(_table(_table(app).get("schedule")).get("types")):
            try:
                export_types.get(wanted)
            except UnknownExportType as error:
                yield ("apps", name, "schedule", "types"), error.message
    for caller, allowed in _table(data.get("callers")).items():
        for name in _texts(allowed):
            if name not in apps:
                yield ("callers", caller), f'there is no [apps."{name}"]{did_you_mean(name, apps)}'


def _table(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _texts(value: Any) -> list[str]:
    return [one for one in value if isinstance(one, str)] if isinstance(value, list | tuple) else []


def load_config(path: Path, *, required: bool) -> ExportsConfig:
    """`exports.toml` as checked models; an empty configuration if it is absent and not required.

    Raises ConfigError that lists every problem with its place.
    """
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        if required:
            raise ConfigError(
                f"EXPORTS_CONFIG: there is no {path.name}; copy exports.sample.toml and name your apps"
            ) from None
        return ExportsConfig()
    except UnicodeDecodeError:
        raise ConfigError(f"{path.name}: must be UTF-8") from None
    try:
        return parse_config(text)
    except ConfigProblems as error:
        raise ConfigError.of([one.in_file(path.name) for one in error.found]) from None


class ConfigProblems(Exception):
    """Every problem of a file."""

    def __init__(self, found: list[ConfigProblem]) -> None:
        super().__init__(found)
        self.found = found


def parse_config(text: str) -> ExportsConfig:
    """The configuration that a file's text says. Raises ConfigProblems."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigProblems([syntax_problem(error)]) from None
    try:
        return ExportsConfig.model_validate(data)
    except ValidationError as error:
        found = find_problems(ExportsConfig, kinds(), data, text, error)
        # Tables are compared with each other only if each is well by itself: here they are not.
        known = {one.place for one in found}
        found += [one for one in with_lines(_cross_problems(data), text) if one.place not in known]
        raise ConfigProblems(sorted(found, key=lambda one: one.line or 0)) from None


def config_path(settings: Settings, root: str) -> Path:
    """Path of the file that the settings name; `root` is the app's folder."""
    path = Path(settings.exports_config)
    return path if path.is_absolute() else root / path


def read_config(settings: Settings, root: str) -> ExportsConfig:
    """The configuration that the settings name; `root` is the app's folder. Raises ConfigError.

    On a developer's machine the file of the usual name may be absent; one that was named must be there.
    """
    is_usual = settings.exports_config == USUAL_FILE
    return load_config(config_path(settings, root), required=not (settings.is_local and is_usual))


def find_app(config: ExportsConfig, settings: Settings, name: str) -> App:
    """The app's configuration; in local development an unnamed app gets the defaults.

    Raises NotFound for an app that is not configured or whose name cannot be one.
    """
    if name in config.apps:
        return config.apps[name]
    if settings.is_local and not config.apps and APP_NAME.fullmatch(name):
        return App()
    raise NotFound(f'app {name[:64]!r} is not configured; add [apps."{name[:64]}"] to exports.toml')


@dataclass(frozen=True)
class Endpoint:
    """The Export API of one app, as its client needs it."""

    url: str
    """Base URL up to `/subscriptions`, without a trailing slash."""
    scope: str
    """Token scope; empty: no token."""
    scope_setting: str
    """Setting or key of the scope, for messages."""
    source: Source
    url_setting: str = "EXPORT_API_URL"
    """Setting or key of the URL, for messages."""

    def tasks_url(self, app: str) -> str:
        """URL of the app's export tasks."""
        subscription, group, collection = (
            quote(part, safe="")
            for part in (self.source.subscription, self.source.resource_group, self.source.app_collection)
        )
        return (
            f"{self.url}/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.MobileEngagement"
            f"/appcollections/{collection}/apps/{quote(app, safe='')}/devices/exportTasks"
        )


def find_endpoint(config: ExportsConfig, settings: Settings, app: str) -> Endpoint:
    """The Export API of that app: its own, else `[source]`'s, else the settings'."""
    own = config.apps[app].source if app in config.apps else None
    source = own or config.source
    if source.url:
        place = f'apps."{app}".source' if own else "source"
        return Endpoint(source.url.rstrip("/"), source.scope, f"{place}.scope", source, f"{place}.url")
    scope = source.scope or settings.export_api_scope
    return Endpoint(settings.api_url, scope, "EXPORT_API_SCOPE", source)
