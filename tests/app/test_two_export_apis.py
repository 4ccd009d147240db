"""Two apps in one running app, each with an Export API, limits, a schedule and targets of its own."""

import base64
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from oauth_server import OAuthServer
from scripted_export_api import ScriptedExportApi
from waiting import until

from localdev.app import App
from localdev.processes import free_ports
from localdev.webhook_receiver import Receiver, new_secret
from mobexport.settings import read_settings
from mobexport.storage import DataStorage

CONFIG = """
[apps.north]
notify = ["hook"]
parallel = 1
schedule = {{at = "00:00", types = ["Event"], late_days = 1}}
source = {{url = "{north}", scope = "api://north/.default", subscription = "s-north"}}

[apps.south]
notify = ["queue"]
parallel = 3
queue_deadline = 3
source = {{url = "{south}", scope = "api://south/.default", subscription = "s-south"}}

[targets.hook]
kind = "webhook"
url = "{hook}"
secret_setting = "NORTH_SECRET"

[targets.queue]
kind = "storage-queue"
queue = "south-only"
"""


def file_of(app: str) -> dict[str, bytes]:
    events = [{"name": app, "timestamp": "2025-03-23T10:00:00Z"}]
    return {f"Event-{app}.json": json.dumps([{"deviceId": "d", "events": events}]).encode()}


def ask(app: App, name: str) -> str:
    """Asks for three days of events of an app; id of the batch."""
    days = {"startDate": "2025-03-23", "endDate": "2025-03-25"}
    return str(app.post("/api/batches", {"app": name, "exportTypes": ["Event"], **days})[1]["id"])


def outcome(app: App, batch: str) -> dict[str, int]:
    """How the exports of a batch ended."""

    def ended() -> Any:
        found = app.get(f"/api/batches/{batch}")[1]
        return found["state"] != "Running" and found

    return dict(until(app, ended)["counts"])


@pytest.mark.slow
def test_given_two_apps_with_own_export_apis_then_kept_apart(azurite, tmp_path: Path) -> None:
    secret, oauth = new_secret(), OAuthServer(tmp_path)
    local = {"DATA_STORAGE": azurite.connection_string, "AZURE_FUNCTIONS_ENVIRONMENT": "Development"}
    storage = DataStorage(read_settings(local))
    with ScriptedExportApi() as north, ScriptedExportApi() as south, Receiver(secret) as receiver:
        north.files, south.files = file_of("north"), file_of("south")
        places = {"north": north.url, "south": south.url, "hook": receiver.url}
        (tmp_path / "exports.toml").write_text(CONFIG.format(**places))
        settings = {
            "EXPORTS_CONFIG": str(tmp_path / "exports.toml"),
            "NORTH_SECRET": secret,
            "POLL_FIRST_SECONDS": "0.3",
            "POLL_MAX_SECONDS": "0.6",
            **oauth.environment,
        }
        with App(azurite, tmp_path, free_ports(1)[0], host="devhost", **settings) as app:
            # Each gets its exports, so many at a time as its own limit says.
            for batch in [ask(app, name) for name in ("north", "south")]:
                assert outcome(app, batch) == {"Succeeded": 3}
            assert north.most_open == 1
            assert 1 < south.most_open <= 3

            # The schedule is the north's alone.
            assert app.post("/admin/functions/tick", {})[0] == 202
            yesterday = str(datetime.now(UTC).date() - timedelta(days=1))

            def daily() -> Any:
                exports = app.get("/api/exports?app=north")[1]["exports"]
                found = [one for one in exports if one["window"][0] >= yesterday]
                return [one["state"] for one in found] == ["Succeeded"]

            until(app, daily)
            assert (len(north.jobs), len(south.jobs)) == (4, 3)

            # A job that stays Queued: the south's deadline is its own.
            for api in (north, south):
                api.states = ("Queued",)
            body = {"exportType": "Event", "startDate": "2025-01-01", "endDate": "2025-01-01"}
            ids = {
                name: app.post("/api/exports", {**body, "app": name})[1]["id"] for name in ("north", "south")
            }
            late = until(
                app,
                lambda: (one := app.get(f"/api/exports/{ids['south']}")[1])["phase"] == "done" and one,
            )
            assert (late["state"], "0:00:03" in late["error"]["message"]) == ("TimedOut", True)
            assert app.get(f"/api/exports/{ids['north']}")[1]["state"] == "Queued"
            assert app.post(f"/api/exports/{ids['north']}/cancel", {})[0] == 202
            until(app, lambda: app.get(f"/api/exports/{ids['north']}")[1]["state"] == "Cancelled")
            until(app, lambda: len(receiver.received) >= 4 and len(queued(storage)) >= 4)

            # Neither saw the other's calls, tokens or targets.
            for api, name in ((north, "north"), (south, "south")):
                (path,) = api.apps
                assert path.startswith(f"/subscriptions/s-{name}/")
                assert path.endswith(f"/apps/{name}")
                scopes = {oauth.scopes[int(token.rpartition("-")[2]) - 1] for token in api.callers}
                assert scopes == {f"api://{name}/.default"}
                assert all(f"mobexport/{name}-event-" in job.description for job in api.jobs)
            assert not north.callers & south.callers
            assert {one.event["data"]["exportId"].split("-")[0] for one in receiver.received} == {"north"}
            assert all(one.verified for one in receiver.received)
            assert {event["data"]["exportId"].split("-")[0] for event in queued(storage)} == {"south"}
            for name in ("north", "south"):
                blobs = [blob.name for blob in storage.list_blobs("exports", f"{name}/")]
                assert {blob.rpartition("/")[2] for blob in blobs if "Event-" in blob} == {
                    f"Event-{name}.json"
                }

            # One of them is gone: health says which.
            south.__exit__(None, None, None)
            _, health = until(app, lambda: (one := app.get("/api/health"))[0] == 503 and one)
            assert {part for part, found in health["checks"].items() if found != "ok"} == {"exportApi"}
            assert health["checks"]["exportApi"].startswith("apps.\"south\".source.url (app 'south'): ")
            assert "north" not in health["checks"]["exportApi"]
    oauth.stop()


def queued(storage: DataStorage) -> list[dict[str, Any]]:
    messages = storage.queue("south-only").peek_messages(max_messages=32)
    return [json.loads(base64.b64decode(message.content)) for message in messages]
