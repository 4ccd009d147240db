"""Secrets put in through every entrance are found nowhere in what the app wrote, said or stored.

Entrances: the SAS of a containerUrl, good and bad ones; bearer tokens, good and bad ones; query parameters;
the storage key and the webhook's secret and URL in the settings; the SAS of the pipeline's own landing
containers, read from the one row that may hold them while a task runs. A description is data that must come
back as it was given, so what looks like a secret there may stand in the task's row and its answers, and there
only. That the search finds what it looks for is shown by planting a secret in each kind of place.
"""

import base64
import json
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import canary
import pytest
import requests
from entra_tenant import CLIENT, EntraTenant

from localdev.app import App
from localdev.azurite import PUBLIC_KEY, Azurite, missing
from localdev.processes import free_ports
from localdev.webhook_receiver import Receiver, new_secret
from mobexport.settings import read_settings
from mobexport.storage import SECRETS_TABLE, DataStorage

pytestmark = pytest.mark.slow

TASKS = (
    "/api/subscriptions/s/resourceGroups/r/providers/Microsoft.MobileEngagement/appcollections/a/apps/{app}"
    "/devices/exportTasks"
)
EVENT = b'{"deviceId":"d1","name":"open","timestamp":"2025-03-23T10:00:00Z"}\nno json\n'
DAYS = {"startDate": "2025-03-23", "endDate": "2025-03-23"}


def new_canary() -> str:
    """Unique, with the characters that are spelled otherwise in URLs."""
    return f"k/{os.urandom(18).hex()}+{os.urandom(6).hex()}=="


@dataclass
class Run:
    """What went in, and all that came out."""

    secrets: dict[str, str] = field(default_factory=dict)
    written: dict[str, bytes] = field(default_factory=dict)
    states: dict[str, str] = field(default_factory=dict)
    description: str = ""
    state: Path = Path()
    """Folder that the app writes to."""
    given: Path = Path()
    """Folder with its configuration."""

    def secret(self, name: str, value: str | None = None) -> str:
        self.secrets[name] = value or new_canary()
        return self.secrets[name]

    def call(self, method: str, url: str, **options: Any) -> requests.Response:
        """One call; its whole answer counts as written."""
        with requests.Session() as session:
            session.trust_env = False
            answer = session.request(method, url, timeout=60, **options)
        number = sum(place.startswith("answer") for place in self.written)
        place = f"answer {number}: {method} {urlsplit(url).path.rsplit('/', 1)[-1]}"
        self.written[place] = answer.content + repr(dict(answer.headers)).encode()
        return answer


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    if reason := missing():
        pytest.skip(reason)
    result = Run(state=tmp_path_factory.mktemp("state"), given=tmp_path_factory.mktemp("given"))
    key = result.secret("storage key", base64.b64encode(os.urandom(64)).decode())
    before = os.environ.get("AZURITE_ACCOUNTS")
    os.environ["AZURITE_ACCOUNTS"] = f"devstoreaccount1:{key}"
    try:
        azurite = Azurite(log=tmp_path_factory.mktemp("azurite") / "azurite.log")
    finally:
        os.environ.pop("AZURITE_ACCOUNTS")
        if before is not None:
            os.environ["AZURITE_ACCOUNTS"] = before
    with azurite:
        connection = azurite.connection_string.replace(PUBLIC_KEY, key)
        storage = DataStorage(
            read_settings({"DATA_STORAGE": connection, "AZURE_FUNCTIONS_ENVIRONMENT": "Development"})
        )
        raw = storage.container("raw")
        raw.upload_blob("shop/events/2025-03-23/a.ndjson", EVENT)
        raw.upload_blob("broken/events/2025-03-23/a.ndjson.gz", b"no gzip")
        keyed = {"DATA_STORAGE": connection, "AzureWebJobsStorage": connection}
        _call_export_api(result, azurite, storage, keyed)
        _run_pipeline(result, azurite, storage, keyed)
        result.written |= dict(canary.stored(storage)) | dict(canary.on_disk(result.state))
        yield result


def _signature(url: str) -> str:
    return parse_qs(urlsplit(url).query)["sig"][0]


def _call_export_api(run: Run, azurite: Azurite, storage: DataStorage, keyed: dict[str, str]) -> None:
    """Good and bad calls with Entra tokens, and tasks that succeed and fail."""
    config = run.given / "exports.toml"
    config.write_text(f'[apps.shop]\n[apps.broken]\n[callers]\n"{CLIENT}" = "*"\n')
    state = run.state / "api"
    state.mkdir()
    storage.container("landing-ok")
    good = storage.container_write_url("landing-ok", timedelta(hours=1))
    run.secret("SAS of a good containerUrl", _signature(good))
    gone = storage.container_write_url("landing-gone", timedelta(hours=1))
    run.secret("SAS of a container that does not exist", _signature(gone))
    forged = good.partition("sig=")[0] + f"sig={quote(run.secret('SAS with a wrong signature'), safe='')}"
    foreign = f"https://evil.example/c?sp=w&sig={quote(run.secret('SAS for another host'), safe='')}"
    looks = run.secret("SAS-looking text in a description")
    run.description = f"see https://x.example/c?sp=rw&sig={looks}"

    with (
        EntraTenant() as tenant,
        App(
            azurite,
            state,
            free_ports(1)[0],
            host="devhost",
            EXPORTS_CONFIG=str(config),
            **keyed,
            **tenant.settings,
        ) as app,
    ):
        token = tenant.token()
        run.secret("bearer token", token)
        expired = run.secret("bearer token that expired", tenant.token(exp=1))
        garbage = run.secret("bearer token that is none", os.urandom(20).hex())
        headers = {"Authorization": f"Bearer {token}"}
        query = {"api-version": "2014-12-01", "code": run.secret("query parameter")}

        def create(name: str, app_name: str, url: str, **more: str) -> str:
            body = {"containerUrl": url, "exportFormat": "JsonBlob", **DAYS, **more}
            path = f"{app.url}{TASKS.format(app=app_name)}/events"
            answer = run.call("POST", path, json=body, headers=headers, params=query)
            if answer.status_code == 202:
                run.states[name] = answer.json()["id"]
            return str(answer.status_code)

        assert create("good", "shop", good, description=run.description) == "202"
        assert create("gone", "shop", gone) == "202"
        assert create("forged", "shop", forged) == "202"
        assert create("broken", "broken", good) == "202"
        assert create("foreign", "shop", foreign) == "400"
        assert create("wrong body", "shop", good, exportFormat=run.secret("value of a wrong field")) == "400"
        path = app.url + TASKS.format(app="shop")
        cut = f'{{"containerUrl": "{run.secret("SAS in a body that is no JSON")}'
        assert run.call("POST", f"{path}/events", data=cut, headers=headers, params=query).status_code == 400
        for bad in (expired, garbage):
            answer = run.call("GET", path, headers={"Authorization": f"Bearer {bad}"}, params=query)
            assert answer.status_code == 401
        order = {**query, "$orderby": run.secret("value of a wrong option")}
        assert run.call("GET", path, headers=headers, params=order).status_code == 400
        wrong_version = {"api-version": run.secret("value of a wrong version")}
        assert run.call("GET", path, headers=headers, params=wrong_version).status_code == 400
        assert run.call("GET", f"{path}/none", headers=headers, params=query).status_code == 404

        for name, task_id in list(run.states.items()):
            owner = TASKS.format(app="broken" if name == "broken" else "shop")
            deadline = time.monotonic() + 120
            while run.states[name] not in ("Succeeded", "Failed"):
                assert time.monotonic() < deadline, app.log.read_text()[-3000:]
                time.sleep(0.3)
                task = run.call("GET", f"{app.url}{owner}/{task_id}", headers=headers, params=query).json()
                run.states[name] = task["state"]
        run.call("GET", path, headers=headers, params={**query, "$top": "1"})


def _run_pipeline(run: Run, azurite: Azurite, storage: DataStorage, keyed: dict[str, str]) -> None:
    """Exports that succeed and fail, with notifications; every SAS is read while it is kept."""
    state = run.state / "pipeline"
    state.mkdir()
    config = run.given / "pipeline.toml"
    webhook = new_secret()
    run.secret("webhook secret", webhook.removeprefix("whsec_"))
    url_token = run.secret("token in the webhook's URL", os.urandom(16).hex())
    ended = threading.Event()
    secrets = storage.table(SECRETS_TABLE)

    def watch() -> None:
        while not ended.wait(0.02):
            for row in secrets.list_entities():
                url = row.get("containerUrl") or row["url"]
                run.secret(f"landing SAS {row['RowKey']}", _signature(url))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        with Receiver(webhook) as receiver:
            config.write_text(
                '[apps.shop]\nnotify = ["hook", "queue", "dead", "chat", "team", "grid"]\n'
                '[apps.broken]\nnotify = ["hook"]\n'
                f'[targets.hook]\nkind = "webhook"\nurl = "{receiver.url}?token={url_token}"\n'
                'secret_setting = "HOOK_SECRET"\n[targets.queue]\nkind = "storage-queue"\n'
                f'[targets.dead]\nkind = "webhook"\nurl = "http://127.0.0.1:9/?token={url_token}"\n'
                'secret_setting = "HOOK_SECRET"\n'
                '[targets.chat]\nkind = "slack"\nurl_setting = "CHAT_URL"\n'
                '[targets.team]\nkind = "teams"\nurl_setting = "TEAM_URL"\n'
                '[targets.grid]\nkind = "event-grid"\n'
                f'endpoint = "{receiver.url}"\nkey_setting = "GRID_KEY"\n'
            )
            chat, team = (
                run.secret(f"path of a {name} URL", os.urandom(16).hex()) for name in ("Slack", "Teams")
            )
            settings = {
                # One is down, the others refuse: 401, since nothing is signed.
                "CHAT_URL": f"http://127.0.0.1:9/services/{chat}",
                "TEAM_URL": f"{receiver.url}/{team}?sig={team}",
                "GRID_KEY": run.secret("key of a topic"),
                "EXPORTS_CONFIG": str(config),
                "HOOK_SECRET": webhook,
                "POLL_FIRST_SECONDS": "0.5",
                "POLL_MAX_SECONDS": "1",
            }
            with App(azurite, state, free_ports(1)[0], host="devhost", **settings, **keyed) as app:
                query = {"code": run.secret("function key in the query")}
                sas = quote(run.secret("SAS of a request"), safe="")
                own = f"https://x.blob.core.windows.net/c?sp=w&sig={sas}"
                wrong = {"exportType": "Event", "app": "shop", **DAYS, "containerUrl": own}
                run.call("POST", f"{app.url}/api/exports", json=wrong, params=query)
                storage.container("delivered")
                mine = storage.container_write_url("delivered", timedelta(hours=1))
                run.secret("SAS of a request that is delivered", _signature(mine))
                for name, more in (("shop", {}), ("broken", {}), ("shop, delivered", {"containerUrl": mine})):
                    body = {"exportType": "Event", "app": name.partition(",")[0], **DAYS, **more}
                    answer = run.call("POST", f"{app.url}/api/exports", json=body, params=query)
                    link = f"{app.url}/api/exports/{answer.json()['id']}"
                    deadline = time.monotonic() + 120
                    while (export := run.call("GET", link, params=query).json())["phase"] != "done":
                        assert time.monotonic() < deadline, app.log.read_text()[-3000:]
                        time.sleep(0.3)
                    run.states[f"export of {name}"] = export["state"]
                receiver.wait_for(lambda one: one.verified, 20)
                receiver.wait_for(lambda one: "aeg-sas-key" in one.headers, 20)
                for state_of in ("failed", "pending"):
                    listed = {**query, "state": state_of}
                    run.call("GET", f"{app.url}/api/notifications", params=listed)
                run.call("POST", f"{app.url}/api/targets/team/test", params=query)
            for number, delivery in enumerate(receiver.received):
                # The topic's key is sent to the topic.
                headers = {name: one for name, one in delivery.headers.items() if name != "aeg-sas-key"}
                run.written[f"notification {number}"] = delivery.body + repr(headers).encode()
    finally:
        ended.set()
        watcher.join()


def test_given_secrets_through_every_entrance_then_none_is_found(run: Run) -> None:
    assert run.states == {
        "good": "Succeeded",
        "gone": "Failed",
        "forged": "Failed",
        "broken": "Failed",
        "export of shop": "Succeeded",
        "export of broken": "Failed",
        "export of shop, delivered": "Delivered",
    }
    kinds = {place.split()[0] for place in run.written}
    assert kinds == {"answer", "notification", "table", "queue", "container", "blob", "file", "database"}
    assert sum(name.startswith("landing SAS") for name in run.secrets) >= 2
    found = canary.find(run.secrets, run.written)
    data = [one for one in found if one.secret == "SAS-looking text in a description"]
    assert [one for one in found if one not in data] == []
    # A description comes back as it was given: in the task's row and in its answers, and nowhere else.
    assert {one.place.split()[0] for one in data} == {"table", "answer"}
    assert all(one.place.startswith(("table exporttasks/shop/", "answer")) for one in data)
    assert any(json.dumps(run.description)[1:-1].encode() in content for content in run.written.values())


def test_given_tasks_that_failed_then_only_the_good_ones_file_is_there(
    run: Run,
) -> None:
    blobs = [place for place in run.written if place.startswith("blob landing-ok/") and ", " not in place]
    assert len(blobs) == 1
    assert json.loads(run.written[blobs[0]])


def test_given_tasks_that_ended_then_no_row_of_their_secrets_is_left(run: Run) -> None:
    assert not [place for place in run.written if place.startswith(f"table {SECRETS_TABLE}/")]


def test_given_a_planted_secret_then_found_in_every_kind_of_place(
    run: Run, storage_of_its_own: DataStorage, tmp_path: Path
) -> None:
    name, secret = next(iter(run.secrets.items()))
    spelled = list(canary.spellings(secret).values())
    for number, data in enumerate(spelled):
        (tmp_path / f"{number}.log").write_bytes(b"before " + data + b" behind")
    long = "x" * 9000 + quote(secret) + "y" * 9000
    with closing(sqlite3.connect(tmp_path / "host.sqlite")) as database:
        database.execute("CREATE TABLE t (value TEXT)")
        database.execute("INSERT INTO t VALUES (?)", (long,))
        database.commit()
    storage = storage_of_its_own
    storage.table("planted").create_entity({"PartitionKey": "p", "RowKey": "r", "value": secret})
    storage.queue("planted").send_message(base64.b64encode(f"[{secret}]".encode()).decode())
    storage.container("planted").upload_blob(
        "b", f"??{secret}!".encode(), metadata={"m": quote(secret, safe="")}
    )
    written = dict(canary.on_disk(tmp_path)) | dict(canary.stored(storage))
    places = {one.place for one in canary.find({name: secret}, written)}
    assert places >= {f"file {number}.log" for number in range(len(spelled))}
    assert places >= {
        "database host.sqlite",
        "table planted/p/r",
        "queue planted/0",
        "blob planted/b",
        "blob planted/b, properties",
    }
    assert canary.find({"another": new_canary()}, written) == []


@pytest.fixture
def storage_of_its_own(azurite) -> DataStorage:
    return DataStorage(
        read_settings(
            {"DATA_STORAGE": azurite.connection_string, "AZURE_FUNCTIONS_ENVIRONMENT": "Development"}
        )
    )


@pytest.mark.parametrize("before", range(5))
def test_given_a_secret_inside_base64_then_found(before: int) -> None:
    secret = new_canary()
    whole = base64.b64encode(b"x" * before + secret.encode() + b"tail")
    assert canary.find({"s": secret}, {"place": whole})
