"""Smoke test: run one export against a running app over HTTP, show each step, and the reason if one fails.

    SMOKE_FUNCTION_KEY=… python -m scripts.smoke https://app.azurewebsites.net --app com.example.shop

Where calls must be signed (REQUEST_SIGNING_SECRET), SMOKE_SIGNING_SECRET has the same secret.
Exit code 0: all is well, 1: it is not, and the last line says why, 2: wrong arguments. Run by `make smoke`.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final, NoReturn
from urllib.parse import quote, urlsplit

import requests

from mobexport.standard_webhooks import call_headers

KEY: Final = "SMOKE_FUNCTION_KEY"
SECRET: Final = "SMOKE_SIGNING_SECRET"
_LOOPBACK: Final = {"localhost", "127.0.0.1", "::1"}
_TIMEOUT: Final = (10, 60)
_STARTED_BY: Final = {
    "blob trigger": "started by the blob trigger",
    "run": "started by the run after its grace time: the blob trigger was not heard, see docs/operations.md",
}
_GOOD_ENDS: Final = {"Succeeded", "Empty"}
_TASKS: Final = (
    "/api/subscriptions/smoke/resourceGroups/smoke/providers/Microsoft.MobileEngagement"
    "/appcollections/smoke/apps/{app}/devices/exportTasks?api-version=2014-12-01"
)


class SmokeError(Exception):
    """The app did not do what it should; the message says what it did instead."""


class Smoke:
    """The steps, against one app. `patience` and `deadline`: seconds for its start, and for the export.

    `secret`: signs calls that change something, as Standard Webhooks says; empty: they are not signed.
    """

    def __init__(
        self,
        url: str,
        key: str,
        *,
        secret: str = "",
        patience: float,
        deadline: float,
        say: Callable[[str], None],
    ) -> None:
        self._url = url.rstrip("/")
        self._local = (urlsplit(url).hostname or "") in _LOOPBACK
        self._key, self._secret = key, secret
        self._patience, self._deadline = patience, deadline
        self._say = say
        self._began = time.monotonic()
        self._session = requests.Session()
        self._session.trust_env = not self._local

    def run(self, app: str, export_type: str, day: date) -> None:
        """All steps. Raises SmokeError with the reason at the first that fails."""
        self.health()
        self.closed(app)
        export = self.request(app, export_type, day)
        self.check(self.wait(export))

    def health(self) -> None:
        """Waits until the app is well: right after a deployment, or scaled to zero, it takes its time."""
        seen, until = "", time.monotonic() + self._patience
        while True:
            try:
                status, body = self._call("GET", "/api/health", key=False)
            except SmokeError as error:
                found = str(error)
            else:
                if status == 200:
                    return self._step("health", "ok")
                found = _failing(status, body)
            if found != seen:
                self._step("health", found)
            if time.monotonic() > until:
                raise SmokeError(f"the app is not healthy after {self._patience:.0f} s: {found}")
            seen = found
            time.sleep(2)

    def closed(self, app: str) -> None:
        """Nobody without a key or token is let in, except in local development."""
        status, body = self._call("GET", _TASKS.format(app=quote(app, safe="")), key=False)
        if status == 401:
            self._step("Export API", "refuses callers without a token")
        elif status == 503 and "ROLE" in str(body):
            self._step("Export API", "not served by this app")
        elif self._local and status == 200:
            self._step("Export API", "open to everybody: local development")
        else:
            raise SmokeError(f"the Export API answered a call without a token with HTTP {status}, not 401")
        if self._local:
            return
        status, _ = self._call("GET", "/api/exports/smoke", key=False)
        if status != 401:
            raise SmokeError(f"the pipeline answered a call without a key with HTTP {status}, not 401")
        self._step("pipeline", "refuses callers without a key")

    def request(self, app: str, export_type: str, day: date) -> dict[str, Any]:
        """Asks for the export, twice: the second request must find the first one's export."""
        body = {"app": app, "exportType": export_type, "startDate": f"{day}", "endDate": f"{day}"}
        status, first = self._call("POST", "/api/exports", {**body, "rerun": True})
        if status not in (200, 202) or not isinstance(first, dict):
            raise SmokeError(f"the request was refused: HTTP {status} {_detail(first)}")
        self._step("request", f"{first['id']}, attempt {first['attempt']} (HTTP {status})")
        status, second = self._call("POST", "/api/exports", body)
        same = isinstance(second, dict) and [second.get(name) for name in ("id", "attempt")]
        if status != 200 or same != [first["id"], first["attempt"]]:
            raise SmokeError(f"the same request is not the same export: HTTP {status} {_detail(second)}")
        self._step("again", "the same export (HTTP 200)")
        return first

    def wait(self, export: Mapping[str, Any]) -> dict[str, Any]:
        """The export once it has ended; says each state it was seen in."""
        path, state = f"/api/exports/{quote(export['id'], safe='')}", ""
        until = time.monotonic() + self._deadline
        while True:
            status, body = self._call("GET", path)
            if status != 200 or not isinstance(body, dict):
                raise SmokeError(f"the export cannot be looked at: HTTP {status} {_detail(body)}")
            if body["state"] != state:
                state = body["state"]
                self._step("state", state)
            if body["phase"] == "done":
                return body
            if time.monotonic() > until:
                raise SmokeError(f"the export is still {state} after {self._deadline:.0f} s")
            time.sleep(1)

    def check(self, export: Mapping[str, Any]) -> None:
        """A good end, a manifest, and every record accounted for."""
        if export["state"] not in _GOOD_ENDS:
            raise SmokeError(f"the export ended as {export['state']}: {_detail(export.get('error'))}")
        counts = export.get("counts") or {}
        if not export.get("manifest"):
            raise SmokeError(f"the export ended as {export['state']} without a manifest")
        if counts.get("records") != counts.get("rows", 0) + counts.get("rejected", 0):
            raise SmokeError(f"the counts do not add up: {counts}")
        self._step(
            "result", f"{counts['records']} records = {counts['rows']} rows + {counts['rejected']} rejects"
        )
        self._step("manifest", str(export["manifest"]))
        self._step("phases", _phases(export.get("phases") or {}))
        by = str(export.get("processingStartedBy"))
        self._step("processing", _STARTED_BY.get(by, "the app does not say who started it"))

    def _call(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *, key: bool = True
    ) -> tuple[int, Any]:
        headers = {"x-functions-key": self._key} if key and self._key else {}
        data = None
        if body is not None:
            data = json.dumps(body).encode()
            headers |= {
                "Content-Type": "application/json",
                **self._signature(method, path, data),
            }
        try:
            answer = self._session.request(
                method, self._url + path, data=data, headers=headers, timeout=_TIMEOUT, allow_redirects=False
            )
        except requests.RequestException as error:
            raise SmokeError(f"{self._url} does not answer: {type(error).__name__}") from None
        try:
            return answer.status_code, answer.json()
        except ValueError:
            return answer.status_code, answer.text[:200]

    def _signature(self, method: str, path: str, body: bytes) -> dict[str, str]:
        if not self._secret:
            return {}
        try:
            return call_headers(self._secret, method, path, body)
        except ValueError:
            raise SmokeError(f"{SECRET} must be whsec_ and base64") from None

    def _step(self, what: str, found: str) -> None:
        self._say(f"{time.monotonic() - self._began:7.1f} s  {what:<11} {found}")


def _phases(entered: Mapping[str, str]) -> str:
    """`create 0.1 s, poll 5.2 s, …`."""
    times = sorted((datetime.fromisoformat(at), phase) for phase, at in entered.items())
    pairs = itertools.pairwise(times)
    return ", ".join(f"{phase} {(end - at).total_seconds():.1f} s" for (at, phase), (end, _) in pairs)


def _failing(status: int, body: Any) -> str:
    checks = body.get("checks") if isinstance(body, dict) else None
    if not isinstance(checks, dict):
        return f"HTTP {status}"
    return "; ".join(f"{name}: {found}" for name, found in checks.items() if found != "ok")


def _detail(body: Any) -> str:
    if not isinstance(body, dict):
        return str(body)[:300]
    problems = [f"{item['field']}: {item['message']}" for item in body.get("problems", ())]
    texts = [str(body[name]) for name in ("code", "detail", "message") if body.get(name)]
    return "; ".join(texts + problems)


def main() -> None:
    parser = argparse.ArgumentParser(description="One export against a running app, step by step.")
    parser.add_argument("url", help="where the app is, for example https://NAME.azurewebsites.net")
    parser.add_argument("--app", required=True, help='an app that exports.toml names: [apps."NAME"]')
    parser.add_argument("--type", default="Event", help="a type with dates (default: Event)")
    parser.add_argument(
        "--day",
        type=date.fromisoformat,
        default=datetime.now(UTC).date() - timedelta(days=1),
        help="the day to export (default: yesterday); one without data is a success",
    )
    parser.add_argument("--patience", type=float, default=300, help="seconds to wait for a healthy app")
    parser.add_argument("--deadline", type=float, default=1800, help="seconds that the export may take")
    given = parser.parse_args()
    if not given.url.startswith(("https://", "http://")):
        parser.error("url must begin with https:// (http:// for this machine)")
    key = os.environ.get(KEY, "")
    if not key and (urlsplit(given.url).hostname or "") not in _LOOPBACK:
        parser.error(f"set {KEY} to a function key of the app")
    smoke = Smoke(
        given.url,
        key,
        secret=os.environ.get(SECRET, ""),
        patience=given.patience,
        deadline=given.deadline,
        say=lambda line: print(line, flush=True),
    )
    try:
        smoke.run(given.app, given.type, given.day)
    except SmokeError as error:
        _fail(str(error))
    print("All is well.")


def _fail(reason: str) -> NoReturn:
    print(f"FAILED: {reason}", file=sys.stderr)
    raise SystemExit(1)


if __name__ == "__main__":
    main()
