"""Every command that speaks to an app, against the running one: what a person and a script get of it."""

import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from azure.storage.blob import AccountSasPermissions, ResourceTypes, Services, generate_account_sas
from json_server import serving_json
from waiting import until

from localdev.app import App
from localdev.processes import free_ports
from localdev.webhook_receiver import Receiver, new_secret
from mobexport.cli import main
from mobexport.settings import read_settings
from mobexport.storage import DataStorage

GOOD = '{"deviceId":"d1","name":"open","timestamp":"2025-03-23T10:00:00Z"}\n'
ROOT = Path(__file__).parents[2]
DAY = ("--from", "2025-03-23")


@dataclass
class Channels:
    """Slack, Teams and Event Grid in one: what arrived, and the status of the answers."""

    status: int = 200
    arrived: list[tuple[str, Any]] = field(default_factory=list)
    """Path and body."""

    def answer(self, _method: str, path: str, _headers: dict[str, str], body: bytes) -> tuple[int, Any]:
        self.arrived.append((path, json.loads(body)))
        return self.status, None


@dataclass(frozen=True)
class Running:
    """The app, its account, and the receiver of its target `hook`."""

    app: App
    storage: DataStorage
    receiver: Receiver
    signing: str
    channels: Channels


@pytest.fixture(scope="module")
def running(azurite, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    storage = DataStorage(
        read_settings(
            {"DATA_STORAGE": azurite.connection_string, "AZURE_FUNCTIONS_ENVIRONMENT": "Development"}
        )
    )
    raw = storage.container("raw")
    for app in ("cli", "cli-slow"):
        raw.upload_blob(f"{app}/events/2025-03-23/a.ndjson", GOOD * 3, overwrite=True)
    for declared, line in (
        ("tags", '{"deviceId":"d","timestamp":"2025-03-23T10:00:00Z","key":"k","value":"v"}'),
        (
            "pushes",
            '{"deviceId":"d","campaignType":"Announcement","campaignId":7,"timestamp":"2025-03-23T10:00:00Z","status":"SystemNotificationDisplayed"}',
        ),
    ):
        raw.upload_blob(f"cli/{declared}/2025-03-23/a.ndjson", line, overwrite=True)
    state: Path = tmp_path_factory.mktemp("command-line")
    secret, signing = new_secret(), new_secret()
    channels = Channels()
    with Receiver(secret) as receiver, serving_json(channels.answer) as channel_url:
        config = state / "exports.toml"
        config.write_text(
            '[apps.cli]\n[apps.cli-slow]\n[targets.hook]\nkind = "webhook"\n'
            f'url = "{receiver.url}"\nsecret_setting = "HOOK_SECRET"\n'
            '[targets.chat]\nkind = "slack"\nurl_setting = "CHAT_URL"\n'
            '[targets.team]\nkind = "teams"\nurl_setting = "TEAM_URL"\n'
            f'[targets.grid]\nkind = "event-grid"\nendpoint = "{channel_url}/grid"\n'
            'key_setting = "GRID_KEY"\n'
            '[targets.dead]\nkind = "webhook"\nurl = "http://127.0.0.1:9/"\nsecret_setting = "HOOK_SECRET"\n'
        )
        settings = {
            "POLL_FIRST_SECONDS": "0.5",
            "POLL_MAX_SECONDS": "1",
            "EXPORTS_CONFIG": str(config),
            "HOOK_SECRET": secret,
            "CHAT_URL": f"{channel_url}/chat",
            "TEAM_URL": f"{channel_url}/team",
            "GRID_KEY": "key",
            "REQUEST_SIGNING_SECRET": signing,
        }
        with App(azurite, state, free_ports(1)[0], host="devhost", **settings) as app:
            yield Running(app, storage, receiver, signing, channels)


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(running, azurite, monkeypatch, capsys, tmp_path) -> Run:
    """Runs a command in an empty folder and home; its exit code, output and errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("MOBEXPORT_URL", running.app.url)
    monkeypatch.setenv("MOBEXPORT_SIGNING_SECRET", running.signing)
    monkeypatch.setenv("DATA_STORAGE", azurite.connection_string)
    monkeypatch.setenv("AZURE_FUNCTIONS_ENVIRONMENT", "Development")

    def command(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(words)
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return command


@pytest.fixture(scope="module")
def done(running) -> dict:
    """An export of events that has ended: its records are good."""
    env = {"MOBEXPORT_URL": running.app.url, "MOBEXPORT_SIGNING_SECRET": running.signing}
    words = ["export", "Event", "--app", "cli", *DAY, "--wait", "--timeout", "60", "--json"]
    found = _process(*words, env=env)
    assert found.returncode == 0, found.stderr
    return json.loads(found.stdout)


def _process(*words: str, env: dict[str, str]) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "mobexport", *words],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=90,
        cwd=ROOT,
    )


def test_given_an_export_when_waited_for_then_its_end_and_quiet_stderr(done, running) -> None:
    assert (done["state"], done["counts"]["rows"]) == ("Succeeded", 3)
    env = {"MOBEXPORT_URL": running.app.url, "MOBEXPORT_SIGNING_SECRET": running.signing}
    again = _process("export", "Event", "--app", "cli", *DAY, "--wait", env=env)
    assert (again.returncode, again.stderr) == (0, "")
    assert re.search(r"^counts +records 3, rows 3, rejected 0$", again.stdout, re.MULTILINE)


def test_given_no_wait_then_the_id_alone_on_stdout(run, done) -> None:
    code, out, err = run("export", "event", "--app", "cli", *DAY)
    assert (code, out.strip()) == (0, done["id"])
    assert f"mobexport watch {done['id']}" in err


def test_given_an_export_when_shown_or_watched_then_what_the_app_says(run, done) -> None:
    code, out, _ = run("status", done["id"])
    assert code == 0
    assert re.search(r"^state +Succeeded$", out, re.MULTILINE)
    assert json.loads(run("status", done["id"], "--json")[1])["id"] == done["id"]
    code, out, _ = run("watch", done["id"], "--json")
    assert [json.loads(line)["state"] for line in out.splitlines()] == ["Succeeded"]
    assert "attempt 1 Succeeded 3 records 3 rows" in run("watch", done["id"])[1]


def test_given_exports_when_listed_then_a_table_or_json_with_filters(run, done) -> None:
    code, out, _ = run("list", "--app", "cli", "--type", "Event", "--state", "succeeded")
    assert code == 0
    assert re.match(r"id +state +days +records +rows +rejected +asked for\n", out)
    assert re.search(rf"^{done['id']} +Succeeded +2025-03-23 +3 +3 +0 +20", out, re.MULTILINE)
    found = json.loads(run("list", "--app", "cli", "--json", "-n", "1")[1])
    assert len(found) == 1
    code, out, err = run("list", "--app", "nobody")
    assert (code, out, err) == (0, "", "no exports\n")


def test_given_more_exports_than_a_page_when_listed_then_all(run, done) -> None:
    for day in ("2024-02-01", "2024-02-02"):
        assert run("export", "Event", "--app", "cli", "--from", day)[0] == 0
    from mobexport.cli.app_api import AppApi
    from mobexport.cli.connection import Connection

    api = AppApi(Connection(os.environ["MOBEXPORT_URL"]))
    ids = [one["id"] for one in api.list_exports({"app": "cli", "limit": "1"}, 3)]
    assert len(set(ids)) == 3
    assert [one[10:20] for one in ids[:2]] == ["2024-02-02", "2024-02-01"]  # newest first


def test_given_a_batch_when_waited_for_then_each_export(run) -> None:
    words = ("batch", "Event", "Activity", "--app", "cli", *DAY, "--to", "2025-03-24", "--window-days", "2")
    code, out, _ = run(*words, "--wait", "--timeout", "60")
    assert code == 0
    assert re.search(r"^state +Succeeded$", out, re.MULTILINE)
    assert len(re.findall(r"2025-03-23\.\.2025-03-24$", out, re.MULTILINE)) == 2
    id_ = run(*words)[1].strip()
    assert id_.startswith("batch-")
    assert json.loads(run("status", id_, "--json")[1])["state"] == "Succeeded"


def test_given_an_export_when_rerun_then_its_next_attempt(run) -> None:
    code, out, _ = run("export", "Event", "--app", "cli", "--from", "2025-03-22", "--wait", "--json")
    first = json.loads(out)
    code, out, _ = run("rerun", first["id"], "--notify", "hook", "--wait", "--json")
    assert (code, json.loads(out)["id"], json.loads(out)["attempt"]) == (0, first["id"], 2)


def test_given_pushes_when_rerun_then_the_same_campaigns(run) -> None:
    words = (
        "export",
        "Push",
        "--app",
        "cli",
        "--campaign-type",
        "Announcement",
        "--campaign-id",
        "7",
        "--wait",
        "--json",
    )
    code, out, _ = run(*words)
    first = json.loads(out)
    assert (code, first["campaignIds"], first["counts"]["rows"]) == (0, [7], 1)
    again = json.loads(run("rerun", first["id"], "--wait", "--json")[1])
    assert (again["id"], again["attempt"]) == (first["id"], 2)


def test_given_a_cancel_in_time_or_too_late_then_its_exit_code(run, done) -> None:
    id_ = run("export", "Event", "--app", "cli-slow", *DAY)[1].strip()
    code, out, err = run("cancel", id_, "--wait", "--json")
    if code == 0:  # else it was collected before
        assert json.loads(out)["state"] == "Cancelled"
        assert run("status", id_)[0] == 1
    else:
        assert code == 2
    code, _, err = run("cancel", done["id"])
    assert code == 2
    assert err.startswith("mobexport: ")
    assert len(err.splitlines()) == 1


def test_given_a_container_of_ones_own_then_delivered_and_no_rerun(run, running, monkeypatch) -> None:
    running.storage.container("cli-theirs")
    url = running.storage.container_write_url("cli-theirs", timedelta(hours=1))
    monkeypatch.setenv("MOBEXPORT_CONTAINER_URL", url)
    code, out, err = run("export", "Tag", "--app", "cli", "--format", "CsvBlob", "--wait", "--json")
    assert (code, json.loads(out)["state"]) == (0, "Delivered"), err
    assert "sig=" not in out + err
    monkeypatch.delenv("MOBEXPORT_CONTAINER_URL")
    code, _, err = run("rerun", json.loads(out)["id"])
    assert (code, "--container-url" in err) == (2, True)


@pytest.fixture(scope="module")
def rejected(running) -> dict:
    """An export of tags whose manifest was given rejects by hand: our own server sends none."""
    env = {"MOBEXPORT_URL": running.app.url, "MOBEXPORT_SIGNING_SECRET": running.signing}
    found = _process("export", "Tag", "--app", "cli", "--wait", "--json", env=env)
    export = json.loads(found.stdout)
    path = export["manifest"]
    manifest = running.storage.read_json("curated", path)
    name = f"export/cli/{export['id']}-1-0.ndjson"
    lines = [
        {"element": n, "record": 0, "rule": "type", "field": "key", "original": "\x1b[31m{" + "x" * 60}
        for n in range(30)
    ]
    body = "".join(json.dumps(line) + "\n" for line in lines).rstrip("\n")
    running.storage.container("rejects").upload_blob(name, body, overwrite=True)
    client = running.storage.container("curated").get_blob_client(path)
    client.upload_blob(json.dumps({**manifest, "rejects": [name]}), overwrite=True)
    return export


def test_given_rejects_when_printed_then_the_first_or_all(run, rejected, done) -> None:
    code, out, _ = run("rejects", rejected["id"])
    assert (code, len(out.splitlines())) == (0, 21)
    assert "\x1b" not in out
    assert len(run("rejects", rejected["id"], "--json")[1].splitlines()) == 30
    assert len(run("rejects", rejected["id"], "--json", "-n", "3")[1].splitlines()) == 3
    assert run("rejects", done["id"]) == (0, "", "no rejects\n")


def test_given_rejects_of_raw_data_when_printed_then_their_place(run, running) -> None:
    lines = b'{"deviceId":"d","name":"a","timestamp":"2024-03-01T10:00:00Z"}\n{"deviceId":"d"}\n'
    running.storage.container("raw").upload_blob("cli/errors/2024-03-01/bad.ndjson", lines, overwrite=True)
    found = json.loads(run("export", "Error", "--app", "cli", "--from", "2024-03-01", "--wait", "--json")[1])
    code, out, err = run("rejects", found["id"])
    header, reject = out.splitlines()
    assert (code, header.split()[:2], err) == (0, ["place", "rule"], "")
    assert reject.split()[:3] == ["errors/2024-03-01/bad.ndjson:2", "missing", "name"]


def test_given_an_export_when_pulled_then_checked_and_not_twice(run, done, tmp_path) -> None:
    code, out, _ = run("pull", done["id"], "--json")
    (file,) = json.loads(out)
    assert (code, file["outcome"], file["checked"]) == (0, "fetched", "sha256")
    assert Path(file["path"]).stat().st_size == file["bytes"]
    code, out, _ = run("pull", done["id"])
    assert (code, "0 fetched, 1 there, 0 wrong; 1 checked by sha256" in out) == (0, True)
    code, out, _ = run("pull", done["id"], "--collected", "--to", "files", "--json")
    (file,) = json.loads(out)
    assert (code, Path(file["path"]).is_relative_to(tmp_path / "files" / "exports")) == (0, True)


def test_given_a_pull_that_was_cut_then_it_goes_on_where_it_stopped(run, done) -> None:
    (file,) = json.loads(run("pull", done["id"], "--json")[1])
    path = Path(file["path"])
    whole = path.read_bytes()
    path.unlink()
    part = path.with_name(f"{path.name}.{hashlib.sha256(whole).hexdigest()[:12]}.part")
    part.write_bytes(whole[:100])
    (file,) = json.loads(run("pull", done["id"], "--json")[1])
    assert (file["outcome"], path.read_bytes() == whole, part.exists()) == ("resumed", True, False)
    path.unlink()
    part.write_bytes(b"?" * 100)
    code, out, _ = run("pull", done["id"], "--json")
    assert (code, json.loads(out)[0]["outcome"], path.exists(), part.exists()) == (1, "wrong", False, False)


def test_given_a_table_when_pulled_then_its_files_with_their_sums(run, done) -> None:
    code, out, _ = run("pull", "cli/Event", "--json")
    files = json.loads(out)
    assert code == 0
    assert {file["checked"] for file in files} == {"sha256"}
    assert run("pull", "cli/Nothing")[0] == 2


def test_given_sql_then_rows_of_the_tables_and_nothing_else(run, done) -> None:
    code, out, _ = run(
        "query", 'SELECT name, count(*) AS n, min(timestamp) AS first FROM "cli/Event" GROUP BY name'
    )
    assert (code, out.splitlines()[0].split()) == (0, ["name", "n", "first"])
    assert re.search(r"^open +3 +2025-03-23T10:00:00Z$", out, re.MULTILINE)
    code, out, _ = run(
        "query", "SELECT date, count(*) AS n FROM Event GROUP BY date", "--app", "cli", "--json"
    )
    assert [json.loads(line) for line in out.splitlines()] == [{"date": "2025-03-23", "n": 3}]
    code, _, err = run("query", "SELECT * FROM nothing")
    assert (code, '"cli/Event"' in err) == (2, True)
    for closed in ("SELECT * FROM read_text('/etc/hostname')", "SET enable_external_access = true"):
        assert run("query", closed)[0] == 2
    assert run("query", "SELECT 1", "--app", "nobody")[0] == 2


def test_given_a_table_then_head_is_tables_head(run, done) -> None:
    assert run("head", "cli/Event", "-n", "1") == run("tables", "head", "cli/Event", "-n", "1")
    assert len(run("head", "cli/Event", "--json")[1].splitlines()) == 3


def test_given_a_target_when_tested_then_delivered_signed_or_why_not(run, running) -> None:
    code, out, _ = run("notify", "test", "hook", "--json")
    told = json.loads(out)
    assert (code, told["delivered"], told["error"]) == (0, True, None)
    (arrived,) = [one for one in running.receiver.received if one.message_id == told["eventId"]]
    assert (arrived.verified, arrived.event["type"]) == (True, "mobexport.target.test")
    code, out, _ = run("notify", "test", "dead")
    assert (code, "not delivered: the webhook cannot be reached" in out) == (1, True)
    code, _, err = run("notify", "test", "none")
    assert (code, "there are: chat, dead, grid, hook, team" in err) == (2, True)


def test_given_a_target_of_each_kind_when_tested_then_in_its_form(run, running) -> None:
    for target, path in (("chat", "/chat"), ("team", "/team"), ("grid", "/grid?api-version=2018-01-01")):
        code, out, _ = run("notify", "test", target, "--json")
        assert (code, json.loads(out)["delivered"]) == (0, True)
        ((where, body),) = running.channels.arrived[-1:]
        assert (where, "Notifications arrive here." in json.dumps(body) or body["id"]) == (
            path, json.loads(out)["eventId"] if target == "grid" else True
        )  # fmt: skip
    running.channels.status = 404
    try:
        code, out, _ = run("notify", "test", "chat")
    finally:
        running.channels.status = 200
    assert (code, "put its URL into CHAT_URL" in out) == (1, True)


def test_given_a_target_that_refused_then_listed_and_sent_again(run, running) -> None:
    channels = running.channels
    words = ("export", "Event", "--app", "cli", "--from", "2025-03-21", "--notify", "grid", "--wait")
    channels.status = 410
    try:
        export = json.loads(run(*words, "--json")[1])
        until(running.app, lambda: json.loads(run("notify", "list", "--app", "cli", "--json")[1]))
    finally:
        channels.status = 200
    code, out, _ = run("notify", "list", "--app", "cli")
    assert (code, out.split()[:2]) == (0, ["export", "notification"])
    said = rf"^{export['id']} +grid +completed +1 +\S+ +Event Grid answered HTTP 410: there is no such topic"
    assert re.search(said, out, re.MULTILINE)
    refused = channels.arrived[-1]
    code, out, _ = run("notify", "resend", export["id"], "grid")
    assert (code, out) == (0, f"{export['id']} grid: being sent again\n")
    found = until(running.app, lambda: _delivered(run, export["id"]))
    assert (found["state"], found["resent"]) == ("Delivered", 1)
    assert channels.arrived[-1] == refused
    code, _, err = run("notify", "resend", export["id"], "grid")
    assert (code, "was delivered at" in err) == (2, True)
    code, out, err = run("notify", "resend", "--all", "--app", "cli")
    assert (code, out, err) == (0, "", "no failed notifications\n")
    for wrong in (
        (),
        (export["id"],),
        ("--all", export["id"], "grid"),
        (export["id"], "grid", "--app", "cli"),
    ):
        assert run("notify", "resend", *wrong)[0] == 2


def _delivered(run: Run, id_: str) -> Any:
    """The delivery to `grid`, once it is one."""
    found = json.loads(run("status", id_, "--json")[1])["deliveries"]["grid"]
    return found if found["state"] == "Delivered" else None


def test_given_no_schedules_then_the_place_where_they_belong(run) -> None:
    assert run("schedules") == (0, "", 'no schedules: exports.toml has no [apps."…".schedule]\n')
    assert json.loads(run("schedules", "--json")[1]) == []


def test_given_several_refusals_then_all_are_sent_again_at_once(run, running) -> None:
    def listed(state: str) -> list[Any]:
        words = ("notify", "list", "--state", state, "--app", "cli", "--json")
        return list(json.loads(run(*words)[1]))

    resend = ("notify", "resend", "--all", "--app", "cli", "--target")
    running.channels.status = 403
    try:
        for day in ("2025-03-19", "2025-03-20"):
            run("export", "Event", "--app", "cli", "--from", day, "--notify", "chat", "--wait")
        until(running.app, lambda: len(listed("failed")) == 2)
    finally:
        running.channels.status = 200
    assert run(*resend, "team")[1] == ""
    code, out, _ = run(*resend, "chat", "--json")
    assert (code, [one["state"] for one in json.loads(out)]) == (0, ["Pending", "Pending"])
    until(running.app, lambda: listed("pending") == [])
    assert listed("failed") == []


def test_given_a_healthy_app_then_doctor_is_content(run, done) -> None:
    code, out, err = run("doctor")
    assert (code, err) == (0, "")
    assert {line.rsplit("  ", 1)[0].split("  ")[0] for line in out.splitlines()[1:]} >= {
        "app", "app: storage", "key", "signing", "clock", "identity", "account", "registry", "writing"
    }  # fmt: skip
    assert {one["state"] for one in json.loads(run("doctor", "--json")[1])} == {"ok"}


def test_given_nothing_that_answers_then_doctor_says_what_to_do(run, monkeypatch) -> None:
    monkeypatch.setenv("DATA_STORAGE", "AccountName=x")
    code, out, _ = run("doctor", "--url", "http://127.0.0.1:9", "--json")
    found = {one["check"]: one for one in json.loads(out)}
    assert code == 1
    assert {name: one["state"] for name, one in found.items()} == {
        "app": "failed", "key": "not asked", "signing": "not asked", "clock": "not asked",
        "identity": "ok", "account": "failed", "registry": "not asked", "writing": "not asked",
    }  # fmt: skip
    assert "make start" in found["app"]["remedy"]
    assert "DATA_STORAGE" in found["account"]["remedy"]


def _doctor(run: Run) -> dict[str, dict[str, str]]:
    return {one["check"]: one for one in json.loads(run("doctor", "--json")[1])}


def test_given_an_identity_that_may_only_read_then_doctor_says_so(run, azurite, monkeypatch) -> None:
    account = connection_of(azurite.connection_string)
    sas = generate_account_sas(
        account["AccountName"],
        account["AccountKey"],
        resource_types=ResourceTypes(service=True, container=True, object=True),
        permission=AccountSasPermissions(read=True, list=True),
        expiry=datetime.now(UTC) + timedelta(hours=1),
        services=Services(blob=True),
    )
    ends = ";".join(f"{name}={account[name]}" for name in ("BlobEndpoint", "TableEndpoint"))
    monkeypatch.setenv("DATA_STORAGE", f"{ends};SharedAccessSignature={sas}")
    found = _doctor(run)
    assert (found["account"]["state"], found["writing"]["state"]) == ("ok", "limited")
    assert "Storage Blob and Table Data Contributor" in found["writing"]["remedy"]
    # It is not for tables, either.
    assert (found["registry"]["state"], "Table Data Reader" in found["registry"]["remedy"]) == (
        "failed",
        True,
    )


def connection_of(text: str) -> dict[str, str]:
    """The parts of a connection string."""
    return dict(part.split("=", 1) for part in text.strip(";").split(";"))


def test_given_nobody_signed_in_then_doctor_names_the_remedy(run, monkeypatch) -> None:
    for name in ("DATA_STORAGE", *(name for name in os.environ if name.startswith("AZURE_"))):
        monkeypatch.delenv(name, raising=False)
    for kind in ("blob", "queue", "table"):
        monkeypatch.setenv(f"DATA_STORAGE__{kind}ServiceUri", f"https://none.{kind}.core.windows.net")
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "EnvironmentCredential")
    found = _doctor(run)
    assert found["identity"]["found"] == "no way to sign in to Entra ID worked on this machine"
    assert "az login" in found["identity"]["remedy"]
    assert {found[name]["state"] for name in ("account", "registry", "writing")} == {"not asked"}


def test_given_a_signing_secret_that_is_not_the_apps_then_doctor_says_so(run, monkeypatch) -> None:
    for secret in ("", new_secret(), "whsec_no base64"):
        monkeypatch.setenv("MOBEXPORT_SIGNING_SECRET", secret)
        found = _doctor(run)["signing"]
        assert (found["state"], "REQUEST_SIGNING_SECRET" in found["remedy"]) == ("failed", True)
        assert "base64" not in found["found"] or secret == "whsec_no base64"


def test_given_an_export_then_its_trace_as_lines_or_json(run, done) -> None:
    code, out, _ = run("trace", done["id"])
    assert (code, "run_export started" in out, "3 records = 3 rows + 0 rejects" in out) == (0, True, True)
    told = json.loads(run("trace", done["id"], "--json")[1])
    assert told["lines"][0]["instance"] == "run"


def test_given_an_app_then_its_description_is_the_one_of_this_code(run) -> None:
    assert run("openapi") == run("openapi", "--from-app")


def test_given_ctrl_c_while_waiting_then_quiet_and_130(run, done, monkeypatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("mobexport.cli.app_api.AppApi.get", interrupted)
    code, _, err = run("watch", done["id"])
    assert (code, err) == (130, "\n")  # ends the line with ^C


def test_given_a_time_limit_that_passes_then_exit_4(run, done, monkeypatch) -> None:
    monkeypatch.setattr("mobexport.cli.waiting.has_ended", lambda _found: False)
    assert run("watch", done["id"], "--timeout", "0.1")[0] == 4
    assert run("export", "Event", "--app", "cli", *DAY, "--wait", "--timeout", "0.1")[0] == 4


def test_given_what_is_wrong_then_one_line_and_its_exit_code(run, monkeypatch) -> None:
    for words, code, says in (
        (("export", "Event", "--app", "nobody", *DAY), 2, "nobody"),
        (("export", "Event", "--app", "cli", "--to", "2025-03-23"), 2, "--from"),
        (("export", "Fax"), 2, "activity"),
        (("status", "none"), 2, "no export or batch 'none'"),
        (("list", "--since", "soon"), 2, "createdFrom"),
        (("list", "--url", "http://127.0.0.1:9"), 3, "is the app running?"),
        (("list", "--url", "http://example.test"), 2, "https"),
        (("list", "--profile", "none"), 2, "profiles.toml"),
        (("pull", "cli/Event", "--collected"), 2, "--collected"),
    ):
        found, out, err = run(*words)
        assert (found, out, len(err.splitlines()), says in err) == (code, "", 1, True), (words, err)
    monkeypatch.setenv("MOBEXPORT_SIGNING_SECRET", "")
    code, _, err = run("export", "Event", "--app", "cli", "--from", "2024-01-01")
    assert (code, "signed" in err) == (2, True)
