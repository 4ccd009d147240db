"""`local.settings.json`, the settings of an app on a developer's machine, as the Functions host reads it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from mobexport.errors import ConfigError

LOCAL_SETTINGS: Final = "local.settings.json"


def read_local_settings(folder: Path) -> dict[str, str]:
    """Its `Values`; none if there is no such file. Raises ConfigError."""
    try:
        found = json.loads((folder / LOCAL_SETTINGS).read_text("utf-8-sig"))
        values = {str(name): str(value) for name, value in found["Values"].items()}
    except FileNotFoundError:
        return {}
    except json.JSONDecodeError as error:
        raise ConfigError(f"{LOCAL_SETTINGS}:{error.lineno}: {error.msg} (column {error.colno})") from None
    except (KeyError, TypeError, AttributeError, UnicodeDecodeError, RecursionError):
        raise ConfigError(f'{LOCAL_SETTINGS}: must be {{"Values": {{"NAME": "value"}}}} in UTF-8') from None
    if found.get("IsEncrypted"):
        raise ConfigError(
            f"{LOCAL_SETTINGS} is encrypted: run `func settings decrypt`, or set the environment instead"
        )
    return {"AZURE_FUNCTIONS_ENVIRONMENT": "Development", **values} if values else {}
