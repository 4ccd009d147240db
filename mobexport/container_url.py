"""Rules for container URLs, checked before this app writes to one or hands it on.

A container URL is user input and a secret at once: messages name what is wrong and never repeat it.
Rules: design section 3; SAS fields: the storage REST reference, "Create a service SAS".
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import SplitResult, parse_qsl, urlsplit

from mobexport.config import ExportsConfig
from mobexport.contract import MAX_CONTAINER_URL
from mobexport.errors import Problem, RequestError
from mobexport.settings import Settings, is_loopback

_CONTAINER = re.compile(r"(?=.{3,63}$)[a-z0-9]+(?:-[a-z0-9]+)*")
_HOST = re.compile(r"[a-z0-9.-]+")
# A day, or a UTC time to the minute, the second or a part of it: what the storage service itself reads.
_TIME = re.compile(r"\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d{1,7})?)?Z)?")
# All that a SAS of a service, a user or an account consists of. Anything else could choose an operation or
# another resource.
_SAS_FIELDS = frozenset(
    {
        "sv", "ss", "srt", "sr", "si", "sp", "st", "se", "sip", "spr", "ses", "sdd", "sig",
        "skoid", "sktid", "skt", "ske", "sks", "skv", "saoid", "suoid", "scid", "sduoid", "skdutid",
        "rscc", "rscd", "rsce", "rscl", "rsct",
    }
)  # fmt: skip


@dataclass(frozen=True)
class ContainerUrl:
    """A container URL that passed; `url` is the secret, the rest may be shown."""

    url: str = field(repr=False)
    host: str
    """Host with its port, as storage endpoints name it."""
    container: str
    can_overwrite: bool
    """False for a SAS with `c` but without `w`: a repeated write is refused."""


def check_container_url(
    url: str, *, allowed_hosts: Collection[str], allow_loopback: bool, now: datetime
) -> ContainerUrl:
    """The parts of a usable container URL.

    `allowed_hosts` are storage hosts in lower case, with the port where it is not the default one;
    `allow_loopback` admits http and path-style URLs of this machine (Azurite). Raises RequestError
    with the first rule that is broken.
    """
    parts = _split(url)
    host = parts.netloc.lower()
    loopback = allow_loopback and is_loopback(url)
    if parts.username is not None or parts.password is not None or "@" in parts.netloc:
        raise _refused("must not carry a user name")
    if not loopback:
        if parts.scheme != "https":
            raise _refused("must begin with https://")
        if not _HOST.fullmatch(host.partition(":")[0]) or host not in {
            item.lower() for item in allowed_hosts
        }:
            raise _refused("is not on a storage account that this service may write to")
    elif parts.scheme not in ("http", "https"):
        raise _refused("must begin with https:// (http:// for the local emulator)")
    if parts.fragment or "#" in url:
        raise _refused("must not have a fragment")
    # The emulator puts the account's name first: /devstoreaccount1/container
    segments = parts.path.split("/")[1:]
    if loopback and len(segments) == 2:
        segments = segments[1:]
    if len(segments) != 1 or not _CONTAINER.fullmatch(segments[0]):
        raise _refused("must name one container and nothing below it: https://account/container?sas")
    return ContainerUrl(url, host, segments[0], _check_sas(_sas(parts.query), now))


def check_configured_url(
    url: str, settings: Settings, exports_config: ExportsConfig, own_endpoint: str, now: datetime
) -> ContainerUrl:
    """`check_container_url` with the hosts of this app: its own data account's and the configured ones.

    `own_endpoint` is the data account's blob endpoint. Raises RequestError.
    """
    own = urlsplit(own_endpoint).netloc.lower()
    return check_container_url(
        url,
        allowed_hosts={own, *exports_config.containers.hosts},
        allow_loopback=settings.is_local,
        now=now,
    )


def _split(url: str) -> SplitResult:
    if len(url) > MAX_CONTAINER_URL:
        raise _refused(f"must not have more than {MAX_CONTAINER_URL} characters")
    # urlsplit drops tabs and newlines silently: what is checked must be what is called.
    if any(ord(char) <= 32 or ord(char) >= 127 or char == "\\" for char in url):
        raise _refused("must be plain ASCII without spaces or backslashes")
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise _refused("is not a URL") from None
    if not parts.hostname:
        raise _refused("is not a URL with a host")
    return parts


def _sas(query: str) -> Mapping[str, str]:
    pairs = parse_qsl(query, keep_blank_values=True)
    names = [name.lower() for name, _ in pairs]
    if len(set(names)) != len(names):
        raise _refused("repeats a field of its SAS")
    if not _SAS_FIELDS.issuperset(name for name, _ in pairs):
        raise _refused("must carry a SAS in its query and nothing else")
    fields = dict(pairs)
    if not fields.get("sig"):
        raise _refused("has no SAS (the part after the question mark, with its signature)")
    return fields


def _check_sas(sas: Mapping[str, str], now: datetime) -> bool:
    """Whether the SAS lets a blob be overwritten. Raises RequestError if it lets none be written."""
    if "spr" in sas and "https" not in sas["spr"].split(","):
        raise _refused("needs a SAS that may be used over https (spr=https)")
    account_sas = "ss" in sas or "srt" in sas
    if account_sas:
        if "b" not in sas.get("ss", "") or "o" not in sas.get("srt", ""):
            raise _refused("needs an account SAS for the blob service (ss=b) and its objects (srt=o)")
    elif sas.get("sr") != "c":
        raise _refused("needs a SAS of the container (sr=c), not of a blob or folder")
    # A stored access policy keeps at the account what does not show here.
    policy = not account_sas and bool(sas.get("si"))
    if ("sp" in sas or not policy) and not {"c", "w"} & set(sas.get("sp", "")):
        raise _refused("needs a SAS with the right to create or write blobs (sp with c or w)")
    if "se" in sas or not policy:
        expiry = _instant(sas.get("se", ""))
        if expiry is None:
            raise _refused("needs a SAS with an expiry (se=) that is a UTC time")
        if expiry <= now:
            raise _refused("has a SAS that expired; make a new one")
    if "st" in sas:
        start = _instant(sas["st"])
        if start is None or start > now:
            raise _refused("has a SAS that is not valid yet; leave its start (st=) out, or set it back")
    return "sp" not in sas or "w" in sas["sp"]


def _instant(text: str) -> datetime | None:
    if not _TIME.fullmatch(text):
        return None
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        return None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def _refused(rule: str) -> RequestError:
    return RequestError(
        f"containerUrl {rule}",
        code="InvalidContainerUrl",
        problems=[Problem("containerUrl", rule)],
    )
