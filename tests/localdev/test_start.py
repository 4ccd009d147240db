"""`make start` from outside: the README's first request succeeds against what it serves."""

from __future__ import annotations

import json
import os
import re
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from localdev import start
from localdev.processes import ROOT, free_ports

pytestmark = [pytest.mark.azurite, pytest.mark.long]


def test_the_readmes_first_request_succeeds(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("EXPORTS_CONFIG", os.devnull)
    (body,) = re.findall(r"-d '(\{.*\})'", (ROOT / "README.md").read_text("utf-8"))
    with ExitStack() as stack:
        app = start.start(stack, tmp_path / "state", free_ports(1)[0], None, "devhost")
        status, export = app.post("/api/exports", json.loads(body))
        assert status == 202, export
        until = time.monotonic() + 60
        while export["phase"] != "done":
            assert time.monotonic() < until, export
            time.sleep(0.2)
            export = app.get(f"/api/exports/{export['id']}")[1]
        assert (export["state"], export["counts"]["rows"]) == ("Succeeded", 2)
