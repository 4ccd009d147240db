"""Containers that hang, in a running app: another app's export goes on meanwhile."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from running_app import TASKS
from waiting import until

from localdev.app import App
from localdev.processes import free_ports
from mobexport.settings import read_settings
from mobexport.storage import DataStorage

EVENT = b'{"deviceId":"d1","name":"open","timestamp":"2025-03-23T10:00:00Z"}\n'
ONE_DAY = {"startDate": "2025-03-23", "endDate": "2025-03-23"}
PATH = TASKS.format(app="hung")
SAS = "sv=2024-11-04&sr=c&sp=cw&se=2999-01-01&sig=c2VjcmV0"


class Silent:
    """A storage account that takes connections and says nothing."""

    def __init__(self, server: socket.socket) -> None:
        self.url = f"http://127.0.0.1:{server.getsockname()[1]}/account/landing"
        self.asked: list[socket.socket] = []
        self._server = server

    def serve(self) -> None:
        while True:
            try:
                self.asked.append(self._server.accept()[0])
            except OSError:
                return


@contextmanager
def silent() -> Iterator[Silent]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        found = Silent(server)
        thread = threading.Thread(target=found.serve)
        thread.start()
        try:
            yield found
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join(20)
            for one in found.asked:
                one.close()


def test_given_three_hung_containers_then_another_apps_export_ends(azurite, tmp_path: Path) -> None:
    local = {"DATA_STORAGE": azurite.connection_string, "AZURE_FUNCTIONS_ENVIRONMENT": "Development"}
    raw = DataStorage(read_settings(local)).container("raw")
    for name in ("hung", "healthy"):
        raw.upload_blob(f"{name}/events/2025-03-23/a.ndjson", EVENT, overwrite=True)
    settings = {"EXPORT_API_AUTH": "none", "EXPORTS_CONFIG": "/dev/null", "POLL_FIRST_SECONDS": "0.3"}
    with silent() as account, App(azurite, tmp_path, free_ports(1)[0], host="devhost", **settings) as app:
        body = {**ONE_DAY, "exportFormat": "JsonBlob", "containerUrl": f"{account.url}?{SAS}"}
        for _ in range(3):
            status, task = app.post(f"{PATH}/events?api-version=2014-12-01", body)
            assert status == 202, task
        until(app, lambda: len(account.asked) >= 3)
        _, export = app.post("/api/exports", {**ONE_DAY, "exportType": "Event", "app": "healthy"})
        found = until(app, lambda: ended(app, export["id"]))
        assert (found["state"], found["counts"]["rows"]) == ("Succeeded", 1)
        status, task = app.get(f"{PATH}/{task['id']}?api-version=2014-12-01")
        assert (status, task["state"]) == (200, "Started")


def ended(app: App, export_id: str) -> dict:
    found = app.get(f"/api/exports/{export_id}")[1]
    return found if found["phase"] == "done" else {}
