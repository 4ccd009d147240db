"""The served description against the app that serves it: schemathesis over the pipeline, the page."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
import requests

from localdev.app import App
from localdev.processes import free_ports
from mobexport.openapi import describe
from mobexport.pages.api_docs import render
from mobexport.pipeline import openapi as pipeline
from mobexport.pipeline.requests import batch_parsing, request_parsing

APP = "described"


@pytest.fixture(scope="module")
def running(azurite, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    state: Path = tmp_path_factory.mktemp("openapi")
    config = state / "exports.toml"
    config.write_text(f'[apps.{APP}]\n[targets.queue]\nkind = "storage-queue"\n')
    settings = {"EXPORTS_CONFIG": str(config), "POLL_FIRST_SECONDS": "0.5", "POLL_MAX_SECONDS": "5"}
    with App(azurite, state, free_ports(1)[0], host="devhost", **settings) as app:
        yield app


def test_described_bodies_have_the_fields_that_are_read() -> None:
    schemas = pipeline.describe()["components"]["schemas"]
    assert set(schemas["exportRequest"]["properties"]) == request_parsing.FIELDS
    assert set(schemas["batchRequest"]["properties"]) == batch_parsing.FIELDS


def test_every_reference_of_the_document_leads_somewhere() -> None:
    document = describe()
    found = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(document)))
    assert found == set(document["components"]["schemas"])
    ids = [
        one["operationId"]
        for item in document["paths"].values()
        for one in item.values()
        if "operationId" in one
    ]
    assert len(ids) == len(set(ids))


def test_given_the_app_then_it_serves_its_description_to_anybody(running) -> None:
    answer = requests.get(f"{running.url}/api/openapi.json", timeout=30)
    assert (answer.status_code, answer.json()) == (200, describe())


class _Page(HTMLParser):
    """Tags of a page, its links, and its ids."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.links: set[str] = set()
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        given = dict(attrs)
        self.links |= {str(given[name]) for name in ("href", "src") if name in given}
        self.ids += [str(given["id"])] if "id" in given else []
        assert not any(name.startswith("on") for name in given)


def test_given_the_page_then_no_script_no_other_host_and_links_lead(running) -> None:
    answer = requests.get(f"{running.url}/api/docs", timeout=30)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
    page = _Page()
    page.feed(answer.text)
    assert not page.tags & {"script", "link", "img", "iframe", "form"}
    assert {f"#{id_}" for id_ in page.ids} >= page.links - {"openapi.json"}
    assert len(page.ids) == len(set(page.ids)) > 30


@pytest.mark.parametrize("odd", ["<script>alert(1)</script>", '" onload="x', "'><img src=x>", "&lt;b&gt;"])
def test_given_odd_words_in_a_document_then_escaped(odd: str) -> None:
    document = describe()
    document["tags"][0]["description"] = odd
    document["components"]["schemas"][odd] = {
        "description": odd,
        "properties": {odd: {"enum": [odd], "description": odd}},
    }
    document["info"]["title"] = odd
    page = _Page()
    page.feed(render(document))
    assert not page.tags & {"script", "img", "b"}


# Switched off, each for what the host decides and not this app.
EXCLUDED = "unsupported_method"  # the host answers 404, not 405, to a method that no function has


def _satisfiable() -> dict:
    """The pipeline's description, narrowed to what JSON Schema cannot say: this app, dates in order.

    Without keys: the host checks them, and the local one asks for none.
    """
    document = pipeline.describe()
    document["servers"] = []
    document["security"] = []
    document["components"]["securitySchemes"] = {}
    for path in ("/exports", "/notifications"):
        options = document["paths"][path]["get"]["parameters"]
        # A token is good only if it came from an answer.
        options[:] = [one for one in options if one["name"] != "continuation"]
    (target,) = document["paths"]["/targets/{target}/test"]["parameters"]
    target["schema"] = {"enum": ["queue"]}
    for path in ("/schedules/{app}/run", "/apps/{app}/days"):
        document["paths"][path]["parameters"][0]["schema"] = {"enum": [APP]}
    schemas = document["components"]["schemas"]
    narrow = {
        "app": {"enum": [APP, None]},
        "exportType": {"enum": ["Event", "Session"]},
        "exportTypes": {"type": ["array", "null"], "items": {"enum": ["Event", "Session"]}, "minItems": 1},
        "startDate": {"enum": ["2025-03-23"]},
        "endDate": {"enum": ["2025-03-24"]},
        "notify": {"type": ["array", "null"], "items": {"enum": ["queue"]}},
        "format": {"enum": ["JsonBlob"]},
    }
    for name in ("exportRequest", "batchRequest"):
        fields = schemas[name]["properties"]
        for field in list(fields):
            if field in narrow:
                fields[field] = narrow[field]
            elif field.startswith("campaign") or field == "containerUrl":
                del fields[field]
        schemas[name]["required"] = [*schemas[name].get("required", ()), "startDate", "endDate"]
    return document


def test_given_the_description_then_schemathesis_agrees(running, tmp_path: Path) -> None:
    document = tmp_path / "openapi.json"
    document.write_text(json.dumps(_satisfiable()))
    command = [
        str(Path(sys.executable).parent / "schemathesis"),
        *("run", str(document), "--url", f"{running.url}/api", "--no-color"),
        *("--checks", "all", "--exclude-checks", EXCLUDED),
        *("--phases", "coverage,fuzzing", "--max-examples", "5", "--generation-deterministic"),
        *("--workers", "1", "--request-timeout", "30"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-12000:] + done.stderr[-2000:]
    assert (
        f"Tested: {sum(len(item) - ('parameters' in item) for item in _satisfiable()['paths'].values())}"
        in done.stdout
    )
