"""Admin API below /admin: the host's status, the list of functions, manual runs."""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import unquote

from aiohttp import web

from devhost.invoker import CALLED, Call, Invoker
from devhost.triggers.background import Trigger
from devhost.version import VERSION
from devhost.worker.messages import Datum, Function

_log = logging.getLogger("devhost")
Run = Callable[[Function, str | None], None]
"""Runs a function in the background with a text as its input."""


class AdminApi:
    """Handlers of the admin routes; `errors` tells by function name why a function does not run.

    `lose` deletes the waiting messages of an instance (None: of all), and gives their number.
    """

    def __init__(
        self,
        functions: Sequence[Function],
        origin: str,
        prefix: str,
        run: Run,
        errors: Mapping[str, str],
        lose: Callable[[str | None], int],
    ) -> None:
        self._functions = {f.name.lower(): f for f in functions}
        self._origin = origin
        self._prefix = prefix
        self._run = run
        self._errors = errors
        self._lose = lose
        self._began = time.monotonic()

    def handle(self, method: str, path: str, content_type: str, body: bytes) -> web.Response:
        """Answer one request; `path` is the part after /admin/."""
        parts = [part for part in path.strip("/").split("/") if part]
        match (method, [part.lower() for part in parts]):
            case ("GET" | "POST", ["host", "ping"]):
                return web.Response(headers={"Cache-Control": "no-store,no-cache", "Pragma": "no-cache"})
            case ("GET", ["host", "status"]):
                return _json(self._status())
            case ("GET", ["host", "keys" | "functionkeys"]):
                return self._keys(path, "default")
            case ("GET", ["host", "systemkeys"]):
                return self._keys(path, "durabletask_extension")
            case ("GET", ["functions"]):
                return _json([self._describe(f) for f in self._sorted()])
            case ("GET", ["functions", name]) if name in self._functions:
                return _json(self._describe(self._functions[name]))
            case ("GET", ["functions", name, "status"]) if name in self._functions:
                error = self._errors.get(self._functions[name].name)
                return _json({"errors": [error]} if error else {})
            case ("GET", ["functions", name, "keys"]) if name in self._functions:
                return self._keys(path, "default")
            case ("POST", ["functions", name]) if name in self._functions:
                return self._start(self._functions[name], content_type, body)
            # Ours alone: loses messages as the platform may (docs/testing.md).
            case ("DELETE", ["devhost", "messages"]):
                return _json({"lost": self._lose(None)})
            case ("DELETE", ["devhost", "messages", _]):
                return _json({"lost": self._lose(unquote(parts[2]))})
        return web.Response(status=404)

    def _sorted(self) -> list[Function]:
        """In .NET's case-insensitive order, which compares upper case: underscores come after letters."""
        return sorted(self._functions.values(), key=lambda f: f.name.upper())

    def _keys(self, path: str, name: str) -> web.Response:
        """One key with a fixed value: no call needs it, and `code=local` is accepted."""
        href = f"{self._origin}/admin/{path.strip('/')}"
        return _json({"keys": [{"name": name, "value": "local"}], "links": [{"rel": "self", "href": href}]})

    def _status(self) -> dict[str, Any]:
        return {
            "id": "devhost",
            "state": "Running",
            "version": VERSION,
            "versionDetails": VERSION,
            "platformVersion": "",
            "instanceId": "",
            "computerName": "",
            "processUptime": int((time.monotonic() - self._began) * 1000),
            "functionAppContentEditingState": "Unknown",
        }

    def _describe(self, function: Function) -> dict[str, Any]:
        """Members as on the real host; those about files and test data have no meaning here."""
        url = None
        if function.trigger_type == "httpTrigger":
            url = "/".join(part for part in (self._origin, self._prefix, function.route) if part)
        script = os.environ.get("PYTHON_SCRIPT_FILE_NAME", "function_app.py")
        folder = os.environ.get("AzureWebJobsScriptRoot", "")  # noqa: SIM112
        return {
            "name": function.name,
            "script_root_path_href": None,
            "script_href": f"{self._origin}/admin/vfs{folder}/{script}",
            "config_href": None,
            "test_data_href": f"{self._origin}/admin/vfs{folder}/{function.name}.dat",
            "href": f"{self._origin}/admin/functions/{function.name}",
            "invoke_url_template": url,
            "language": "python",
            "config": {
                "name": function.name,
                "entryPoint": function.entry_point,
                "scriptFile": script,
                "language": "python",
                "functionDirectory": folder,
                "bindings": list(function.bindings),
            },
            "files": None,
            "test_data": "",
            "isDisabled": False,
            "isDirect": False,
            "isProxy": False,
        }

    def _start(self, function: Function, content_type: str, body: bytes) -> web.Response:
        if "json" not in content_type.lower():
            return web.Response(status=415)
        try:
            value = json.loads(body)
        except ValueError:
            return web.Response(status=400)
        if not isinstance(value, dict) or not isinstance(value.get("input"), str | None):
            return web.Response(status=400)
        self._run(function, value.get("input"))
        return web.Response(status=202)


class ManualRuns:
    """Runs functions on request, each once and in the background."""

    def __init__(self, triggers: Mapping[str, Trigger], invoker: Invoker, errors: Mapping[str, str]) -> None:
        """Triggers and errors by function name; an error tells why a function does not run."""
        self._triggers = triggers
        self._invoker = invoker
        self._errors = errors

    def start(self, function: Function, text: str | None) -> None:
        threading.Thread(target=self._run, args=(function, text), name="devhost-admin", daemon=True).start()

    def _run(self, function: Function, text: str | None) -> None:
        try:
            trigger = self._triggers.get(function.name)
            if trigger is not None:
                trigger.run_by_hand(text)
            elif function.trigger_type == "activityTrigger":
                value = Datum("null" if text is None else text, "string")
                self._invoker.invoke(function, Call(value, reason=CALLED))
            else:
                why = self._errors.get(function.name) or f"{function.trigger_type} is not run that way"
                _log.error("Functions.%s cannot be run by hand: %s", function.name, why)
        except Exception as error:
            _log.error("Functions.%s: %s", function.name, error)


def _json(value: Any) -> web.Response:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return web.Response(body=text.encode(), headers={"Content-Type": "application/json; charset=utf-8"})
