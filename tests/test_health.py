"""Health: the failing part is named, also when the other side hangs, and asking often costs nothing."""

import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from scripted_export_api import GARBAGE, Fault, ScriptedExportApi

from localdev.processes import LOOPBACK, free_ports
from mobexport import health
from mobexport.config import ExportsConfig
from mobexport.errors import ConfigError, Transient
from mobexport.health import Health, app_checks, check_export_api, check_secrets
from mobexport.settings import read_settings
from mobexport.storage import DataStorage
from triggers.health import _check_indexing

LOCAL = {
    "DATA_STORAGE": "UseDevelopmentStorage=true",
    "AZURE_FUNCTIONS_ENVIRONMENT": "Development",
    "EXPORT_API_AUTH": "none",
}


def failing(found: dict[str, Any]) -> dict[str, str]:
    """The parts that are not well, by name."""
    wrong = {name: result for name, result in found["checks"].items() if result != "ok"}
    assert found["status"] == ("failing" if wrong else "ok")
    return wrong


def fine() -> None:
    """A check that is well."""


def test_given_many_callers_then_health_is_checked_once_in_ten_seconds(monkeypatch) -> None:
    clock, looked = [1000.0], []
    found = Health({"settings": lambda: looked.append(1)})
    monkeypatch.setattr(health.time, "monotonic", lambda: clock[0])
    for _ in range(50):
        assert found.check()["status"] == "ok"
    assert len(looked) == 1
    clock[0] += 11
    found.check()
    assert len(looked) == 2


def test_given_a_failing_part_then_health_names_it_without_secrets() -> None:
    def fails():
        raise Transient("cannot reach https://a/c?sig=SECRET")

    found = failing(Health({"settings": fine, "storage": fails}).check())
    assert set(found) == {"storage"}
    assert "SECRET" not in str(found)


def test_given_the_app_when_checked_then_each_part_has_a_check_of_its_own() -> None:
    assert set(app_checks()) == {"settings", "configuration", "storage", "secrets", "exportApi", "telemetry"}


def test_given_a_function_that_is_not_indexed_then_health_names_it(monkeypatch) -> None:
    monkeypatch.setattr("triggers.health.registered", set())
    with pytest.raises(ConfigError, match=r"not indexed, so that calls of them would hang: .*run_export"):
        _check_indexing()


def test_given_a_hanging_part_then_health_answers_and_does_not_retry_it() -> None:
    started, released = [], threading.Event()

    def hangs() -> None:
        started.append(1)
        released.wait(30)

    found = Health({"settings": fine, "exportApi": hangs}, seconds=0.2, cached=0)
    for _ in range(3):
        assert failing(found.check()) == {"exportApi": "no answer within 0 seconds"}
    assert len(started) == 1
    released.set()


# --- the Export APIs of the apps, over real HTTP ------------------------------------------------------------


def configured(good: str, bad: str, **settings: str) -> Health:
    """Two apps: `good` with a well-behaved Export API, and `bad` with that one."""
    apps = {"good": {"source": {"url": good}}, "bad": {"source": {"url": bad}}}
    config = ExportsConfig.model_validate({"apps": apps})
    read = read_settings({**LOCAL, **settings})
    return Health({"exportApi": lambda: check_export_api(read, config)})


@contextmanager
def _refusing() -> Iterator[str]:
    yield f"http://{LOOPBACK}:{free_ports(1)[0]}"


@contextmanager
def _silent() -> Iterator[str]:
    """Accepts, and never answers."""
    with socket.create_server((LOOPBACK, 0)) as server:
        yield f"http://{LOOPBACK}:{server.getsockname()[1]}"


@contextmanager
def _no_tls() -> Iterator[str]:
    """Answers a TLS handshake with something else."""
    with ScriptedExportApi() as api:
        yield api.url.replace("http://", "https://")


@contextmanager
def _faulty(fault: Fault) -> Iterator[str]:
    with ScriptedExportApi() as api:
        # A refused token is asked with once more where there is one: the fault stays.
        api.faults = [fault] * 10
        yield api.url


SECRET_BODY = b'{"error": {"code": "No", "message": "https://a/c?sig=TOPSECRET Bearer TOPSECRET"}}'


@pytest.mark.parametrize(
    ("server", "says"),
    [
        (_refusing, "ConnectionError"),
        (_silent, "ReadTimeout"),
        (_no_tls, "SSLError"),
        (lambda: _faulty(Fault(401, SECRET_BODY)), 'HTTP 401: No: .*; check apps."bad".source.scope'),
        (lambda: _faulty(Fault(403, SECRET_BODY)), 'HTTP 403: No: .*; check apps."bad".source.scope'),
        (lambda: _faulty(Fault(500, SECRET_BODY)), "HTTP 500"),
        (lambda: _faulty(Fault(302, b"", {"Location": "http://127.0.0.1:1/"})), "HTTP 302"),
        (lambda: _faulty(GARBAGE), "other than a JSON object"),
    ],
    ids=["refused", "silent", "no TLS", "401", "403", "500", "302", "garbage"],
)
def test_given_one_failing_export_api_of_two_then_app_and_setting_named(
    monkeypatch, server: Callable[[], Any], says: str
) -> None:
    monkeypatch.setattr(health, "_TIMEOUT", (1.0, 0.5))
    with ScriptedExportApi() as good, server() as bad:
        checked = configured(good.url, bad)
        found = failing(checked.check())
        assert set(found) == {"exportApi"}
        assert found["exportApi"].startswith("apps.\"bad\".source.url (app 'bad'): the Export API ")
        assert "good" not in found["exportApi"]
        assert re.search(says, found["exportApi"])
        assert "TOPSECRET" not in str(found)
        assert len(good.calls) == 1
        # Asked again at once it is the same answer, and nobody is called.
        assert failing(checked.check()) == found
        assert len(good.calls) == 1


def test_given_a_trickling_export_api_then_health_does_not_wait_for_it(
    monkeypatch,
) -> None:
    over = threading.Event()

    def trickle(server: socket.socket) -> None:
        with server.accept()[0] as client:
            client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
            while not over.wait(0.1):
                client.sendall(b" ")

    monkeypatch.setattr(health, "_API_SECONDS", 1.0)
    with ScriptedExportApi() as good, socket.create_server((LOOPBACK, 0)) as server:
        threading.Thread(target=trickle, args=(server,), daemon=True).start()
        checked = configured(good.url, f"http://{LOOPBACK}:{server.getsockname()[1]}")
        try:
            assert failing(checked.check()) == {
                "exportApi": "apps.\"bad\".source.url (app 'bad'): no answer within 1 seconds"
            }
        finally:
            over.set()


def test_given_a_pipeline_only_app_with_its_own_export_api_then_failing() -> None:
    with ScriptedExportApi() as good:
        own = read_settings(LOCAL).own_api_url
        checked = configured(good.url, own, ROLE="pipeline")
        assert "ROLE is 'pipeline'" in failing(checked.check())["exportApi"]
        assert good.calls == ["GET exportTasks"]


def test_given_storage_that_goes_away_then_failing_naming_the_setting(
    azurite,
) -> None:
    port = free_ports(1)[0]
    there = DataStorage(read_settings({**LOCAL, "DATA_STORAGE": azurite.connection_string}))
    there.table("exports")
    assert failing(Health({"storage": lambda: there.ping(4)}).check()) == {}
    assert failing(Health({"storage": lambda: there.ping_writes(4)}).check()) == {}
    # Nothing was written to find that out.
    assert not list(there.table("exports").query_entities("PartitionKey eq 'none'"))
    assert not there.container("exports").get_blob_client(".rights").exists()
    gone = azurite.connection_string.replace(azurite.table_endpoint, f"http://{LOOPBACK}:{port}/x")
    away = DataStorage(read_settings({**LOCAL, "DATA_STORAGE": gone}))
    away._made.add("table:exports")  # as in a process that used the table before
    assert failing(Health({"storage": lambda: away.ping(4)}).check()) == {
        "storage": "DATA_STORAGE: storage cannot be reached (ServiceRequestError)"
    }


@pytest.mark.parametrize("server", [_refusing, _silent])
def test_given_storage_down_or_silent_then_named_at_once_without_key(
    server,
) -> None:
    with server() as url:
        text = f"DefaultEndpointsProtocol=http;AccountName=a;AccountKey=VE9QU0VDUkVU;BlobEndpoint={url}/a;"
        broken = DataStorage(read_settings({**LOCAL, "DATA_STORAGE": text}))
        found = failing(Health({"storage": lambda: broken.ping(0.3)}).check())
    assert set(found) == {"storage"}
    assert re.fullmatch(r"DATA_STORAGE: storage cannot be reached \(Service\w+Error\)", found["storage"])


def test_given_an_unread_secret_of_the_vault_then_health_names_it() -> None:
    hook = {"kind": "webhook", "url": "https://ops.example/hook", "secret_setting": "OPS_SECRET"}
    config = ExportsConfig.model_validate({"targets": {"ops": hook}})
    reference = "@Microsoft.KeyVault(VaultName=kv;SecretName=OPS-SECRET)"
    with pytest.raises(ConfigError, match="OPS_SECRET: the platform has not read it from the vault"):
        check_secrets(config, {"OPS_SECRET": reference})
    with pytest.raises(ConfigError, match="REQUEST_SIGNING_SECRET"):
        check_secrets(config, {"REQUEST_SIGNING_SECRET": reference})
    check_secrets(config, {"OPS_SECRET": "whsec_abcd", "OTHER": reference})


@pytest.mark.parametrize("secret", [None, "", "whsec_", "whsec_not base64!", "whsec_abcd\n", '"whsec_abcd"'])
def test_a_secret_that_would_sign_nothing_makes_health_fail(secret: str | None) -> None:
    hook = {"kind": "webhook", "url": "https://ops.example/hook", "secret_setting": "OPS_SECRET"}
    config = ExportsConfig.model_validate({"targets": {"ops": hook}})
    environ = {} if secret is None else {"OPS_SECRET": secret}
    with pytest.raises(ConfigError, match=r"^OPS_SECRET: .*targets\.ops") as error:
        check_secrets(config, environ)
    assert "abcd" not in error.value.message
