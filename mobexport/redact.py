"""Remove secrets from text before it is logged, stored or returned.

Covers the secrets that this app handles: SAS signatures, bearer tokens, account keys and webhook secrets,
keys of Event Grid, plain or encoded. Log and error paths call `redact` on all text that came from outside.
"""

from __future__ import annotations

import re
from typing import Final

MASK: Final = "***"

_PATTERNS: Final = (
    # `sig=` of a SAS, its `=` plain or encoded for URLs (however often), JSON or HTML, whatever stands before
    # it, since that may be an encoded `&`; the value ends at a separator.
    re.compile(r"(?i)(sig(?:=|%(?:25)*3d|\\+u003d|\\x3d|&#(?:x3d|61);))[^&\s\"'<>\\]+"),
    # The same as a field of JSON or of a dictionary that was printed.
    re.compile(r"(?i)([\"']sig\\*[\"']\s*:\s*\\*[\"'])[^\s\"'\\]+"),
    # A JSON Web Token by itself; it begins as a JSON object does in base64url.
    re.compile(r"((?<![\w-])eyJ)[\w-]+\.[\w-]+(?:\.[\w-]*)?"),
    re.compile(r"(?i)(bearer(?:\s|%(?:25)*20|\+)+)[a-z0-9._~+/=-]+"),
    re.compile(r"(?i)(\b(?:accountkey|sharedaccesssignature)=)[^;\s\"']+"),
    re.compile(r"(?i)(\bwhsec_)[a-z0-9+/=_-]+"),
    re.compile(r"(?i)([?&]code=)[^&\s\"']+"),
    # The path of a Slack webhook is its secret.
    re.compile(r"(?i)(\bhooks\.slack(?:-gov)?\.com(?:/|%(?:25)*2f))[^\s\"'<>\\]+"),
    re.compile(r"(?i)(\baeg-sas-key[\"']?\s*[:=]\s*[\"']?)[^\s\"',}]+"),
)


def redact(text: str) -> str:
    """`text` with every recognised secret replaced by `***`."""
    for pattern in _PATTERNS:
        text = pattern.sub(rf"\1{MASK}", text)
    return text


def brief(error: Exception, most: int) -> str:
    """`Type: text` of any error, without secrets, in so many characters."""
    return redact(f"{type(error).__name__}: {error}")[:most]
