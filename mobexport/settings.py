"""App settings, read once from the environment and validated together.

Infrastructure lives here; apps and notification targets live in `exports.toml` (`config.py`). Every
setting stands in the table of docs/settings.md, which a test compares with this class.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from mobexport.errors import ConfigError
from mobexport.ids import GUID
from mobexport.records.limits import Limits

# A user-delegation key, and so the SAS it signs, lives 7 days; half a day is left for clock skew.
MAX_SAS_LIFETIME = timedelta(days=6, hours=12)
SAS_MARGIN = timedelta(hours=2)
REJECT_ALERT = 0.05
_CLOCK = re.compile(r"(?:(?P<d>\d+)\.)?(?P<h>\d{1,2}):(?P<m>\d{2}):(?P<s>\d{2})")


def _duration(value: Any) -> Any:
    """`[d.]hh:mm:ss` as host.json writes it, or a number of seconds."""
    if isinstance(value, str):
        if clock := _CLOCK.fullmatch(value.strip()):
            days, hours, minutes, seconds = (int(part or 0) for part in clock.groups())
            return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
        try:
            return timedelta(seconds=float(value))
        except ValueError:
            raise ValueError("use [d.]hh:mm:ss or a number of seconds") from None
    return value


Duration = Annotated[timedelta, BeforeValidator(_duration), Field(gt=timedelta(0))]


class _Problems(ValueError):
    """Settings that do not fit together: every reason."""

    def __init__(self, found: list[str]) -> None:
        super().__init__("; ".join(found))
        self.found = found


class Settings(BaseSettings):
    """One attribute per app setting; the setting's name is the attribute in upper case."""

    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", case_sensitive=False, env_ignore_empty=True
    )

    role: Literal["both", "pipeline", "export-api"] = "both"
    """Half of the system that this app runs."""

    data_storage: SecretStr | None = None
    """Connection string of the data account (locally: Azurite's)."""
    data_storage_blob_uri: str | None = Field(None, validation_alias="DATA_STORAGE__blobServiceUri")
    """Blob endpoint of the data account, read with the app's identity; instead of a connection string."""
    data_storage_queue_uri: str | None = Field(None, validation_alias="DATA_STORAGE__queueServiceUri")
    """Queue endpoint of the data account."""
    data_storage_table_uri: str | None = Field(None, validation_alias="DATA_STORAGE__tableServiceUri")
    """Table endpoint of the data account."""
    data_storage_client_id: str | None = Field(None, validation_alias="DATA_STORAGE__clientId")
    """Client id of the user-assigned identity that reads the data account."""

    raw_container: str = "raw"
    """Container with the team's raw data; read only."""
    raw_slack_days: int = Field(1, ge=0, le=7)
    """Days by which a raw record may lie beside the folder of its day."""

    exports_config: str = "exports.toml"
    """Path of the file with apps and notification targets, from the app's folder."""

    export_api_url: str = ""
    """Base URL of the Export API, up to `/subscriptions`; empty: this app's own."""
    export_api_scope: str = ""
    """Token scope for the Export API; empty: no token, for a loopback URL only."""
    export_api_auth: Literal["entra", "none"] = "entra"
    """Check of the Export API's callers; `none` counts only in local development."""
    export_api_tenant_id: str = Field("", pattern=rf"^(?:{GUID})?$")
    """Tenant (directory) of Entra ID that the callers' tokens must be of."""
    export_api_audience: str = ""
    """Required audience of the tokens (`aud`), several separated by commas."""
    export_api_authority: str = "https://login.microsoftonline.com"
    """URL of Entra ID, without the tenant; another one in sovereign clouds."""

    page_auth: Literal["local", "easy-auth", "off"] = "local"
    """Who sees the status page: anybody on a developer's machine, signed-in users with a role, or nobody."""
    page_client_id: str = Field("", pattern=rf"^(?:{GUID})?$")
    """Client id of the app registration that signs the status page's users in, with `easy-auth`."""
    website_auth_enabled: bool = False
    """Set by the platform: whether App Service Authentication is in front of the app."""

    export_api_max_tasks: int = Field(200, ge=1, le=10_000)
    """Unfinished tasks that one app may have; beyond, a new one is answered 429."""

    poll_first_seconds: float = Field(5.0, gt=0, le=3600)
    """Wait before the second poll of an export job; doubles from there."""
    poll_max_seconds: float = Field(300.0, gt=0, le=86400)
    """Longest wait between two polls."""
    queue_deadline: Duration = timedelta(hours=6)
    """Longest time in which an export job may stay Queued."""
    run_deadline: Duration = timedelta(hours=12)
    """Longest time in which an export job may stay Started."""
    total_deadline: Duration = timedelta(hours=24)
    """Longest time from an attempt's begin until its files are collected."""
    trigger_grace_seconds: float = Field(60.0, gt=0, le=3600)
    """Wait for the blob trigger, before the pipeline starts processing itself."""

    reject_alert: float = Field(REJECT_ALERT, ge=0, le=1)
    """Share of rejected records beyond which an export is an event of its own: 0.05 is one in twenty."""

    late_days: int = Field(3, ge=1, le=31)
    """Days up to yesterday that a schedule exports each time, since data comes late."""
    request_signing_secret: SecretStr | None = None
    """`whsec_…`: calls that request, cancel or batch exports must be signed with it (Standard Webhooks)."""

    history_days: int = Field(14, ge=1, le=365)
    """Days for which Durable keeps the history of ended instances."""
    landing_days: int = Field(8, ge=7, le=90)
    """After how many days containers of jobs that nobody reads are deleted."""
    late_file_hours: float = Field(1.0, gt=0, le=168)
    """Time for which a collected landing container is kept, to find late files."""
    table_history_days: int = Field(7, ge=2, le=365)
    """Days for which files of curated tables that no longer count are kept; more than an export may take."""
    registry_days: int = Field(365, ge=31, le=3650)
    """Days for which ended exports and batches stay in the registry."""

    work_memory_mb: int = Field(132, ge=16, le=4096)
    """Records that a step which writes or converts a file holds in memory before it uses temporary files."""
    work_disk_mb: int = Field(400, ge=64)
    """Limit of the temporary files of such a step."""

    export_small_mb: float = Field(128, ge=0)
    """Raw data up to this size is exported in one step; more of it by many instances side by side."""
    export_slice_mb: float = Field(128, gt=0, le=256)
    """Raw data of a large export that one step reads."""
    export_gzip_mb: float = Field(256, gt=0)
    """The largest gzip file of a large export, or member of one: slices begin at members."""
    export_lanes: int = Field(4, ge=1, le=64)
    """Steps of one large export, or of one large file to convert, that run side by side at most."""
    convert_part_mb: float = Field(128, gt=0)
    """A larger export file is converted in parts of about this size, by many instances side by side."""

    telemetry_exporter: str = ""
    """Exporter of spans and metrics, by its OpenTelemetry entry point; empty: none are recorded."""

    website_hostname: str = "localhost:7071"
    """Set by the platform: this app's own host name."""
    website_instance_id: str = ""
    """Set by the platform in Azure only."""
    azure_functions_environment: str = "Production"
    """Set by the platform; `Development` on a developer's machine."""

    @model_validator(mode="after")
    def _together(self) -> Settings:
        if found := list(self._problems()):
            raise _Problems(found)
        return self

    def _problems(self) -> Iterator[str]:
        uris = (self.data_storage_blob_uri, self.data_storage_queue_uri, self.data_storage_table_uri)
        if self.data_storage is None and not all(uris):
            yield (
                "DATA_STORAGE: set a connection string (locally UseDevelopmentStorage=true), or all three of"
                " DATA_STORAGE__blobServiceUri, DATA_STORAGE__queueServiceUri, DATA_STORAGE__tableServiceUri"
            )
        if self.poll_max_seconds < self.poll_first_seconds:
            yield "POLL_MAX_SECONDS: must not be smaller than POLL_FIRST_SECONDS"
        try:
            check_total_deadline("TOTAL_DEADLINE", self.total_deadline)
        except ValueError as error:
            yield str(error)
        if not self.export_api_authority.startswith("https://") and not (
            self.is_local and is_loopback(self.export_api_authority)
        ):
            yield "EXPORT_API_AUTHORITY: must begin with https://"
        if not self.export_api_scope and self.role != "export-api" and not is_loopback(self.api_url):
            yield (
                "EXPORT_API_SCOPE: set the scope of the Export API's tokens; calls without a token are"
                f" for loopback only, and EXPORT_API_URL is {self.api_url}"
            )

    @property
    def api_url(self) -> str:
        """Base URL of the Export API the pipeline drives, without a trailing slash."""
        return self.export_api_url.rstrip("/") or self.own_api_url

    @property
    def people_url(self) -> str:
        """Where links for people begin: the status page where there is one, else the HTTP API."""
        signs_in = self.page_auth == "easy-auth" and self.website_auth_enabled and self.page_client_id
        has_page = signs_in or (self.page_auth == "local" and self.is_local)
        return f"{self.own_api_url}/ui" if has_page else self.own_api_url

    @property
    def own_api_url(self) -> str:
        """Base URL of the Export API that this app serves."""
        scheme = "http" if is_loopback(f"http://{self.website_hostname}") else "https"
        return f"{scheme}://{self.website_hostname}/api"

    @property
    def export_api_audiences(self) -> tuple[str, ...]:
        """The values of `aud` that count."""
        return tuple(part for item in self.export_api_audience.split(",") if (part := item.strip()))

    @property
    def own_caller(self) -> str:
        """Client id with which this app calls its own Export API; empty where it does not."""
        return (self.data_storage_client_id or "").lower() if self.role == "both" else ""

    @property
    def work_limits(self) -> Limits:
        """Limits of a step that writes or converts a file."""
        return Limits(self.work_memory_mb, self.work_disk_mb)

    @property
    def is_local(self) -> bool:
        """Whether this is a developer's machine: all three signs must agree."""
        return (
            self.azure_functions_environment == "Development"
            and not self.website_instance_id
            and is_loopback(f"http://{self.website_hostname}")
        )


def check_total_deadline(name: str, value: timedelta) -> None:
    """Raises ValueError, naming the setting, if no SAS could live as long as an attempt."""
    longest = MAX_SAS_LIFETIME - SAS_MARGIN
    if value > longest:
        raise ValueError(
            f"{name}: must not exceed {longest} ([d.]hh:mm:ss), since the container's SAS"
            " cannot live longer than 6.5 days"
        )


def is_loopback(url: str) -> bool:
    """Whether the URL's host is this machine."""
    return (urlsplit(url).hostname or "") in {"localhost", "127.0.0.1", "::1"}


def read_settings(environ: dict[str, str] | None = None) -> Settings:
    """Settings from `environ` (default: the process's).

    Raises ConfigError that lists every problem with the setting's name and the remedy; values are
    never repeated, since they may be secret.
    """
    if environ is not None:
        before = dict(os.environ)
        os.environ.clear()
        os.environ.update(environ)
        try:
            return read_settings()
        finally:
            os.environ.clear()
            os.environ.update(before)
    try:
        return Settings()
    except ValidationError as error:
        items = error.errors(include_input=False)
        raise ConfigError.of([problem for item in items for problem in _problems_of(item)]) from None


def setting_names() -> dict[str, str]:
    """The names of all settings, by the same in upper case."""
    names = (str(one.validation_alias or name.upper()) for name, one in Settings.model_fields.items())
    return {name.upper(): name for name in names}


def _problems_of(item: Any) -> list[str]:
    cause = item.get("ctx", {}).get("error")
    if isinstance(cause, _Problems):
        return cause.found
    message = str(item["msg"]).removeprefix("Value error, ")
    name = "__".join(str(part) for part in item["loc"])
    return [f"{name if '__' in name else name.upper()}: {message}" if name else message]
