"""The smoke test: passes against the running app, fails with the reason against one that misbehaves."""

import json
import os
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from json_server import serving_json

from localdev.app import App
from localdev.processes import free_ports
from mobexport.settings import read_settings
from mobexport.storage import DataStorage
from scripts.smoke import main

pytestmark = pytest.mark.long

EVENT = b'{"deviceId":"d1","name":"open","timestamp":"2025-03-23T10:00:00Z"}\n'
BAD = b'{"deviceId":"d1","name":"open"}\n'
ID = "shop-event"
Smoked = Callable[..., tuple[int, str, str]]


@pytest.fixture
def smoke(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Smoked:
    """Runs it with these arguments: (exit code, standard output, standard error)."""

    def run(*arguments: str, secret: str = "") -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["smoke", *arguments])
        monkeypatch.delenv("SMOKE_FUNCTION_KEY", raising=False)
        monkeypatch.delenv("SMOKE_SIGNING_SECRET", raising=False)
        if secret:
            monkeypatch.setenv("SMOKE_SIGNING_SECRET", secret)
        code = 0
        try:
            main()
        except SystemExit as ended:
            code = int(ended.code or 0)
        return (code, *capsys.readouterr())

    return run


def test_given_a_deaf_blob_trigger_then_smoke_passes_and_says_who_began(
    azurite, smoke: Smoked, tmp_path: Path
) -> None:
    deaf = {"AzureWebJobs.exported_file.Disabled": "true", "TRIGGER_GRACE_SECONDS": "0.5"}
    quick = {"POLL_FIRST_SECONDS": "0.5", "POLL_MAX_SECONDS": "1", "EXPORTS_CONFIG": os.devnull}
    settings = read_settings(
        {"DATA_STORAGE": azurite.connection_string, "AZURE_FUNCTIONS_ENVIRONMENT": "Development"}
    )
    raw = DataStorage(settings).container("raw")
    raw.upload_blob("deaf/events/2025-03-23/a.ndjson", EVENT, overwrite=True)
    with App(azurite, tmp_path, free_ports(1)[0], host="devhost", **quick, **deaf) as app:
        code, out, err = smoke(app.url, "--app", "deaf", "--day", "2025-03-23")
    assert code == 0, out + err
    assert "started by the run after its grace time: the blob trigger was not heard" in out


def test_given_the_running_app_when_smoked_twice_then_two_whole_exports(
    azurite, smoke: Smoked, tmp_path: Path
) -> None:
    settings = read_settings(
        {"DATA_STORAGE": azurite.connection_string, "AZURE_FUNCTIONS_ENVIRONMENT": "Development"}
    )
    raw = DataStorage(settings).container("raw")
    raw.upload_blob("smoked/events/2025-03-23/a.ndjson", EVENT, overwrite=True)
    quick = {"POLL_FIRST_SECONDS": "0.5", "POLL_MAX_SECONDS": "1", "EXPORTS_CONFIG": os.devnull}
    with App(azurite, tmp_path, free_ports(1)[0], host="devhost", **quick) as app:
        for attempt in (1, 2):
            code, out, err = smoke(app.url, "--app", "smoked", "--day", "2025-03-23")
            assert code == 0, out + err
            assert f"attempt {attempt} " in out
            assert "1 records = 1 rows + 0 rejects" in out
            assert "Succeeded" in out
            assert "started by the blob trigger" in out
            assert re.search(r"phases +create \d+\.\d s, poll \d+\.\d s, collect \d+\.\d s, process \d+", out)
        code, out, _ = smoke(app.url, "--app", "smoked", "--day", "2024-01-01")
        assert (code, "Empty" in out) == (0, True)
        code, _, err = smoke(app.url, "--app", "smoked", "--type", "Fax")
        assert (code, "exportType" in err) == (1, True)


def test_given_an_app_that_wants_signatures_then_smoke_signs(azurite, smoke: Smoked, tmp_path: Path) -> None:
    settings = read_settings(
        {"DATA_STORAGE": azurite.connection_string, "AZURE_FUNCTIONS_ENVIRONMENT": "Development"}
    )
    raw = DataStorage(settings).container("raw")
    raw.upload_blob("signed/events/2025-03-23/a.ndjson", EVENT, overwrite=True)
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    given = {"EXPORTS_CONFIG": os.devnull, "REQUEST_SIGNING_SECRET": secret}
    with App(azurite, tmp_path, free_ports(1)[0], host="devhost", POLL_FIRST_SECONDS="0.5", **given) as app:
        code, _, err = smoke(app.url, "--app", "signed", "--day", "2024-01-01")
        assert (code, "the call must be signed" in err) == (1, True)
        code, out, err = smoke(app.url, "--app", "signed", "--day", "2024-01-01", secret=secret)
        assert code == 0, out + err
        code, _, err = smoke(app.url, "--app", "signed", secret="whsec_?")
        assert (code, "SMOKE_SIGNING_SECRET must be whsec_" in err) == (1, True)


def _export(state: str, phase: str = "done", **more: Any) -> dict[str, Any]:
    counts = {"records": 1, "rows": 1, "rejected": 0}
    return {"id": ID, "attempt": 1, "state": state, "phase": phase, "counts": counts, "manifest": "m", **more}


GOOD: dict[str, tuple[int, Any]] = {
    "GET /api/health": (200, {"status": "ok"}),
    "GET /api/subscriptions": (401, {"error": {}}),
    "POST rerun": (202, _export("Requested", "create")),
    "POST again": (200, _export("Requested", "create")),
    "GET /api/exports": (200, _export("Succeeded")),
}


def double(answers: dict[str, tuple[int, Any]]) -> AbstractContextManager[str]:
    """A server that gives these answers, by method and beginning of the path."""

    def answer(method: str, path: str, _headers: dict[str, str], body: bytes) -> tuple[int, Any]:
        if method == "POST":
            return answers["POST rerun" if json.loads(body).get("rerun") else "POST again"]
        key = next(key for key in answers if key.startswith("GET") and f"GET {path}".startswith(key))
        return answers[key]

    return serving_json(answer)


def test_given_good_answers_when_smoked_then_passes(smoke: Smoked) -> None:
    with double(GOOD) as url:
        code, out, err = smoke(url, "--app", "shop")
    assert (code, err) == (0, "")
    assert "refuses callers without a token" in out


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (
            {"GET /api/health": (503, {"checks": {"storage": "no role", "settings": "ok"}})},
            "not healthy after 0 s: storage: no role",
        ),
        ({"GET /api/subscriptions": (500, {})}, "without a token with HTTP 500, not 401"),
        ({"POST rerun": (401, "")}, "the request was refused: HTTP 401"),
        (
            {"POST rerun": (400, {"detail": "wrong", "problems": [{"field": "app", "message": "unknown"}]})},
            "HTTP 400 wrong; app: unknown",
        ),
        ({"POST again": (200, {**_export("Requested", "create"), "id": "other"})}, "not the same export"),
        ({"POST again": (202, _export("Requested", "create"))}, "not the same export"),
        ({"GET /api/exports": (500, {"detail": "boom"})}, "cannot be looked at: HTTP 500 boom"),
        (
            {"GET /api/exports": (200, _export("Failed", error={"code": "Truncated", "message": "cut off"}))},
            "ended as Failed: Truncated; cut off",
        ),
        ({"GET /api/exports": (200, _export("Running", "poll"))}, "still Running after 0 s"),
        ({"GET /api/exports": (200, _export("Succeeded", manifest=None))}, "without a manifest"),
        (
            {
                "GET /api/exports": (
                    200,
                    _export("Succeeded", counts={"records": 3, "rows": 1, "rejected": 1}),
                )
            },
            "do not add up",
        ),
    ],
)
def test_given_a_bad_answer_when_smoked_then_fails_with_the_reason(
    smoke: Smoked, wrong: dict[str, Any], says: str
) -> None:
    with double({**GOOD, **wrong}) as url:
        code, _, err = smoke(url, "--app", "shop", "--patience", "0", "--deadline", "0")
    assert code == 1
    assert says in err


def test_given_nobody_there_when_smoked_then_fails_with_the_reason(smoke: Smoked) -> None:
    code, _, err = smoke(f"http://127.0.0.1:{free_ports(1)[0]}", "--app", "shop", "--patience", "0")
    assert (code, "does not answer" in err) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["https://app.example.com", "--app", "shop"], "SMOKE_FUNCTION_KEY"),
        (["app.example.com", "--app", "shop"], "https://"),
        (["http://127.0.0.1:1"], "--app"),
    ],
)
def test_given_wrong_arguments_when_smoked_then_2_and_the_remedy(
    smoke: Smoked, arguments: list[str], says: str
) -> None:
    code, _, err = smoke(*arguments)
    assert (code, says in err) == (2, True)
