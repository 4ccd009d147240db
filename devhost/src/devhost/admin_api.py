"""The host's own endpoints below /admin: status, the list of functions, running one by hand."""

from __future__ import annotations

import json
import os
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
        return web.Response(status=404)

    def _sorted(self) -> list[Function]:
        """As .NET sorts without regard to case: by upper case, so an underscore comes after letters."""
        return sorted(self._functions.values(), key=lambda f: f.name.upper())

    def _keys(self, path: str, name: str) -> web.Response:
        """Nothing here asks for a key; what a caller reads as one works in a `code=`."""
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
        """The keys of the real host; what it says about files and test data has no meaning here."""
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


def _json(value: Any) -> web.Response:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return web.Response(body=text.encode(), headers={"Content-Type": "application/json; charset=utf-8"})
