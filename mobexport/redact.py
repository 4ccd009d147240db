"""Remove secrets from text before it is logged, stored or returned.

Covers the secrets that this app handles: SAS signatures, bearer tokens, account keys and webhook secrets,
plain or URL-encoded. Log and error paths call `redact` on all text that came from outside.
"""

from __future__ import annotations

import re
from typing import Final

MASK: Final = "***"

_PATTERNS: Final = (
    # `sig=` of a SAS, plain or with its `=` URL-encoded; the value ends at a separator.
    re.compile(r"(?i)((?:\b|%26|%3f)sig(?:=|%3d|%253d))[^&\s\"'<>\\]+"),
    re.compile(r"(?i)(\bbearer\s+)[a-z0-9._~+/=-]+"),
    re.compile(r"(?i)(\b(?:accountkey|sharedaccesssignature)=)[^;\s\"']+"),
    re.compile(r"(?i)(\bwhsec_)[a-z0-9+/=_-]+"),
    re.compile(r"(?i)([?&]code=)[^&\s\"']+"),
)


def redact(text: str) -> str:
    """`text` with every recognised secret replaced by `***`."""
    for pattern in _PATTERNS:
        text = pattern.sub(rf"\1{MASK}", text)
    return text
