"""The host's own endpoints below /admin: status, the list of functions, running one by hand."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from aiohttp import web

from devhost.indexing import Function

VERSION = "4.0.0-devhost"
Run = Callable[[Function, str | None], None]
"""Runs a function in the background with the text of `input`."""


class AdminApi:
    """`errors` holds, by function name, why a function is not running."""

    def __init__(
        self, functions: Sequence[Function], origin: str, prefix: str, run: Run, errors: Mapping[str, str]
    ) -> None:
        self._functions = {f.name.lower(): f for f in functions}
        self._origin = origin
        self._prefix = prefix
        self._run = run
        self._errors = errors
        self._began = time.monotonic()

    def handle(self, method: str, path: str, content_type: str, body: bytes) -> web.Response:
        """`path` is what follows /admin/."""
        parts = [part for part in path.strip("/").split("/") if part]
        match (method, [part.lower() for part in parts]):
            case ("GET" | "POST", ["host", "ping"]):
                return web.Response(headers={"Cache-Control": "no-store, no-cache"})
            case ("GET", ["host", "status"]):
                return web.json_response(self._status())
            case ("GET", ["functions"]):
                return web.json_response(
                    [self._describe(self._functions[name]) for name in sorted(self._functions)]
                )
            case ("GET", ["functions", name]) if name in self._functions:
                return web.json_response(self._describe(self._functions[name]))
            case ("GET", ["functions", name, "status"]) if name in self._functions:
                error = self._errors.get(self._functions[name].name)
                return web.json_response({"errors": [error]} if error else {})
            case ("POST", ["functions", name]) if name in self._functions:
                return self._start(self._functions[name], content_type, body)
        return web.Response(status=404)

    def _status(self) -> dict[str, Any]:
        return {
            "id": "devhost",
            "state": "Running",
            "version": VERSION,
            "versionDetails": VERSION,
            "platformVersion": "",
            "instanceId": "",
            "computerName": socket.gethostname(),
            "processUptime": int((time.monotonic() - self._began) * 1000),
            "functionAppContentEditingState": "Unknown",
            "processId": os.getpid(),
        }

    def _describe(self, function: Function) -> dict[str, Any]:
        """The keys of the real host; what it says about files and test data has no meaning here."""
        url = None
        if function.trigger_type == "httpTrigger":
            url = "/".join(part for part in (self._origin, self._prefix, function.route) if part)
        script = os.environ.get("PYTHON_SCRIPT_FILE_NAME", "function_app.py")
        return {
            "name": function.name,
            "script_root_path_href": None,
            "script_href": None,
            "config_href": None,
            "test_data_href": None,
            "href": f"{self._origin}/admin/functions/{function.name}",
            "invoke_url_template": url,
            "language": "python",
            "config": {
                "name": function.name,
                "entryPoint": function.entry_point,
                "scriptFile": script,
                "language": "python",
                "functionDirectory": os.environ.get("AzureWebJobsScriptRoot", ""),  # noqa: SIM112
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
