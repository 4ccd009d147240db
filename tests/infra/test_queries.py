"""The queries of alerts and workbook over lines that the app wrote: a renamed field does not go unnoticed."""

import re
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from bicep_compiler import ROOT, of_type
from log_tables import LogTables

from durable_app.healing import LOST
from localdev.app import App
from localdev.azurite import Azurite, missing
from localdev.processes import free_ports
from mobexport.settings import read_settings
from mobexport.storage import DataStorage

QUERIES = {path.stem: path.read_text("utf-8") for path in (ROOT / "infra" / "queries").glob("*.kql")}
PAGE = (ROOT / "docs" / "operations.md").read_text("utf-8")
YESTERDAY = datetime.now(UTC).date() - timedelta(days=1)
# Yesterday, even if midnight comes between.
DAYS = [YESTERDAY, YESTERDAY + timedelta(days=1)]
DAILY = 'schedule = {at = "00:00:00", types = ["Event"], late_days = 1}'
APPS = f"""
[apps."kql.shop"]
checks = "strict"
{DAILY}
[apps."kql.quiet"]
{DAILY}
[apps."kql.broken"]
[targets.ops]
kind = "storage-queue"
queue = "notifications"
"""
GUID = "11111111-2222-3333-4444-{:012}"


def lines(day: date, good: int, bad: int) -> bytes:
    """Events of a day; in strict mode those without a session are rejects."""
    rows = [
        f'{{"deviceId":"{GUID.format(n)}","name":"open","timestamp":"{day}T10:00:00Z"'
        f',"infoId":"{GUID.format(n)}","locationId":"{GUID.format(n)}"'
        + (f',"sessionId":"{GUID.format(n)}"' if n < good else "")
        + "}"
        for n in range(good + bad)
    ]
    return "\n".join(rows).encode()


class Written:
    """What the app wrote, and when it was."""

    def __init__(self, log: list[str], statuses: list[tuple[str, int]]) -> None:
        self.log, self.statuses = log, statuses
        self.now = datetime.now(UTC)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Written]:
    """A schedule that brings data, one that brings none, an export that fails, a half that is off."""
    if reason := missing():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("kql")
    # Its own: a tick also goes on with what other tests left.
    with Azurite(log=folder / "azurite.log") as azurite:
        yield written_by(azurite, folder)


def written_by(azurite: Azurite, folder: Path) -> Written:
    (folder / "exports.toml").write_text(APPS, "utf-8")
    local = {"DATA_STORAGE": azurite.connection_string, "AZURE_FUNCTIONS_ENVIRONMENT": "Development"}
    raw = DataStorage(read_settings(local)).container("raw")
    for day in DAYS:
        raw.upload_blob(f"kql.shop/events/{day}/a.ndjson", lines(day, good=40, bad=15), overwrite=True)
    raw.upload_blob(f"kql.broken/events/{YESTERDAY}/a.ndjson.gz", b"\x1f\x8b broken", overwrite=True)
    settings = {
        "EXPORTS_CONFIG": str(folder / "exports.toml"),
        "POLL_FIRST_SECONDS": "0.5",
        "POLL_MAX_SECONDS": "1",
    }
    with App(azurite, folder, free_ports(1)[0], host="devhost", **settings) as app:
        asked = {
            "app": "kql.broken",
            "exportType": "Event",
            "startDate": f"{YESTERDAY}",
            "endDate": f"{YESTERDAY}",
        }
        assert app.post("/api/exports", asked)[0] == 202
        assert app.post("/admin/functions/tick", {})[0] == 202
        await_lines(app.log, "export ended:", 3)
        # The tick that finds the batches ended tells of the day without data.
        await_lines(app.log, "no data:", 1, lambda: app.post("/admin/functions/tick", {}))
        good = [("get_export", app.get("/api/exports?app=kql.shop")[0]) for _ in range(20)]
        log = app.log.read_text("utf-8").splitlines()
    off = {**settings, "ROLE": "export-api"}
    with App(azurite, folder, free_ports(1)[0], host="devhost", **off) as app:
        bad = [("list_exports", app.get("/api/exports?app=kql.shop")[0]) for _ in range(6)]
    return Written(log, good + bad)


def await_lines(path: Path, text: str, times: int, again: Callable[[], object] = lambda: None) -> None:
    """Waits until the log has the text so often; `again` is what helps, every second."""
    until = time.monotonic() + 90
    looks = 0
    while path.read_text("utf-8").count(text) < times:
        assert time.monotonic() < until, path.read_text("utf-8")[-4000:]
        time.sleep(0.2)
        looks += 1
        if looks % 5 == 0:
            again()


@pytest.fixture
def tables(written: Written) -> LogTables:
    """The app's log as tables, with the statuses of its HTTP functions."""
    tables = LogTables()
    tables.read(written.log)
    for name, status in written.statuses:
        tables.request(written.now, name, success=status < 500, code=status)
    return tables


@pytest.fixture
def rows(tables: LogTables, written: Written) -> Callable[..., list[Any]]:
    """The rows of a query, so many hours later."""
    return lambda name, hours=0.0: tables.ask(QUERIES[name], written.now + timedelta(hours=hours))


pytestmark = pytest.mark.long
Rows = Callable[..., list[Any]]


def test_a_failed_export_is_found_by_the_apps_own_line(rows: Rows) -> None:
    (found,) = rows("failed-exports")
    assert "kql-broken" in found["Message"]


def test_lost_orchestrations_are_found_from_five_on(rows: Rows, tables: LogTables, written: Written) -> None:
    # Spelled as the app does it (durable_app/healing.py), which a test of its own sees.
    for number in range(5):
        assert rows("lost-orchestrations") == []
        tables.trace(written.now, f"{LOST} run_export run-e-{number} is dead (Failed)")
    (found,) = rows("lost-orchestrations")
    assert found["Lost"] == 5


def test_a_timer_that_runs_is_a_heartbeat_and_half_an_hour_without_is_none(rows: Rows) -> None:
    assert rows("heartbeat") == []
    assert rows("heartbeat", hours=0.6) == [{"Runs": 0}]


def test_heartbeat_is_the_timer_that_runs_often(indexed: Callable[[str], list[dict[str, Any]]]) -> None:
    often = {
        function["name"]
        for function in indexed("Production")
        for binding in function["bindings"]
        if binding["type"] == "timerTrigger" and re.match(r"\d+ \*/([1-9]|1[0-5]) \* ", binding["schedule"])
    }
    assert set(re.findall(r'Name == "(\w+)"', QUERIES["heartbeat"])) == often


def test_a_schedule_that_brings_nothing_is_found_by_the_apps_line(rows: Rows) -> None:
    told = {"App": "kql.quiet", "Day": f"{YESTERDAY}", "Why": "no row of that day"}
    assert rows("no-data") == [told]
    assert rows("no-data", hours=7) == [told]
    assert rows("no-data", hours=30) == []


def test_a_schedule_whose_exports_never_end_is_found_six_hours_later(
    rows: Rows, tables: LogTables, written: Written
) -> None:
    # Spelled as the app does it: the lines of kql.quiet are its own.
    (line,) = (one for one in written.log if "app kql.quiet: asked for" in one)
    asked = line.partition("app kql.quiet: asked")[2]
    tables.trace(written.now, f"app kql.hangs: asked{asked}")
    assert [one["App"] for one in rows("no-data", hours=5)] == ["kql.quiet"]
    found = {one["App"]: one["Why"] for one in rows("no-data", hours=7)}
    assert found["kql.hangs"] == "no export has brought a record"
    assert found.keys() == {"kql.quiet", "kql.hangs"}


def test_more_rejects_than_the_alert_allows_are_found(rows: Rows) -> None:
    assert rows("rejects") == [{"App": "kql.shop", "Type": "Event", "Rejected": 15, "Records": 55}]


def test_one_call_in_twenty_that_fails_is_found(rows: Rows, tables: LogTables, written: Written) -> None:
    (found,) = rows("server-errors")
    assert found["Failed"] == 6
    for _ in range(120):
        tables.request(written.now, "health", code=200)
    assert rows("server-errors") == []


def test_a_poison_blob_is_found_by_the_hosts_line(tables: LogTables, written: Written) -> None:
    assert tables.ask(QUERIES["poison-blobs"], written.now) == []
    # Of webjobs-sdk, SharedQueueHandler and QueueProcessor.
    line = "Message has reached MaxDequeueCount of 5. Moving message to queue 'webjobs-blobtrigger-poison'."
    tables.trace(written.now, line)
    assert len(tables.ask(QUERIES["poison-blobs"], written.now)) == 1


def test_figures_of_the_workbook_are_there(rows: Rows, tables: LogTables, written: Written) -> None:
    found = {row["State"]: row for row in rows("exports-by-day")}
    assert found.keys() == {"Succeeded", "Empty", "Failed"}
    good = found["Succeeded"]
    assert (good["Exports"], good["Rows"], good["Rejects"], good["Type"]) == (1, 40, 15, "Event")
    assert good["RawRejects"] == 0
    assert good["Bytes"] > 1000
    assert good["Polling"] > 0
    assert good["Processing"] > 0
    assert any("export failed" in row["Message"] for row in rows("errors"))
    assert {row["Name"] for row in rows("failing-functions")} >= {"finish_export"}
    event = {"Category": "Host.Triggers.DurableTask", "prop__functionType": "Orchestrator"}
    for instance, state in (("a", "Started"), ("b", "Started"), ("b", "Completed")):
        at = written.now + timedelta(seconds=state == "Completed")
        more = {"prop__instanceId": instance, "prop__functionName": "run_export", "prop__state": state}
        tables.trace(at, "event", **event, **more)
    (hanging,) = rows("open-instances", hours=1)
    assert (hanging["Instance"], hanging["Function"]) == ("a", "run_export")


@pytest.mark.parametrize(
    ("condition", "row"),
    [
        ('Message startswith "export ended:"', "Export Ended: {}"),
        ("Message has \"queue 'a-b'\"", "moved to Queue 'a-b'."),
        ('Message has "ended"', "export ended: {}"),
        ('not(Message has "end")', "export ended: {}"),
        ('Properties.absent != "Completed"', "x"),
        ('isempty(extract(@"(\\d+)", 1, Message))', "no number"),
    ],
)
def test_the_engine_has_the_semantics_of_kusto(condition: str, row: str) -> None:
    # Case-insensitive, whole terms, members that are not there: as the language's reference says.
    tables = LogTables()
    tables.trace(datetime(2025, 3, 23, tzinfo=UTC), row)
    assert len(tables.ask(f"AppTraces | where {condition}", datetime(2025, 3, 24, tzinfo=UTC))) == 1


# --- beside the templates and the docs ------------------------------------------------------------------


def test_every_query_stands_in_the_docs_word_for_word() -> None:
    for name, query in QUERIES.items():
        assert f"```kusto\n{query}```" in PAGE, name


def test_every_query_is_used_by_the_template(deployed: dict[str, Any]) -> None:
    alerts = {
        item["properties"]["criteria"]["allOf"][0]["query"]: item["name"]
        for item in of_type(deployed, "Microsoft.Insights/scheduledQueryRules")
    }
    (workbook,) = of_type(deployed, "Microsoft.Insights/workbooks")
    shown = workbook["properties"]["serializedData"]
    for name, query in QUERIES.items():
        in_workbook = query.splitlines()[0] in shown
        assert alerts.get(query) == name or in_workbook, name
        assert "{TimeRange" not in query


def test_every_alert_has_a_part_in_the_docs(deployed: dict[str, Any]) -> None:
    for item in of_type(deployed, "Microsoft.Insights/scheduledQueryRules"):
        assert f"\n## {item['properties']['displayName']}\n" in PAGE
        assert item["properties"]["windowSize"] in ("PT15M", "PT30M", "PT1H", "P1D")


SPANS = {"PT15M": "15 min", "PT30M": "30 min", "PT1H": "1 h", "PT6H": "6 h", "P1D": "day", None: "no"}


def test_docs_have_the_times_of_each_alert(deployed: dict[str, Any]) -> None:
    for item in of_type(deployed, "Microsoft.Insights/scheduledQueryRules"):
        own = item["properties"]
        every, window, mute = (
            SPANS[own.get(name)] for name in ("evaluationFrequency", "windowSize", "muteActionsDuration")
        )
        row = rf"^\|[^|]*{own['displayName']}[^|]* \| {every} \| {window} \| {mute} \| {own['severity']} \|$"
        assert re.search(row, PAGE, re.MULTILINE), own["displayName"]
        # Whoever is told once a look sees the same again at the next, unless it is silent.
        assert own["windowSize"] == own["evaluationFrequency"] or mute != "no"


def test_transactions_alert_is_far_above_an_idle_hour(deployed: dict[str, Any]) -> None:
    (alert,) = (
        item
        for item in of_type(deployed, "Microsoft.Insights/metricAlerts")
        if item["name"] == "storage-transactions"
    )
    threshold = alert["properties"]["criteria"]["allOf"][0]["threshold"]
    # docs/costs.md: 39 calls a minute, and a look at each of two queues every ten seconds by the platform.
    idle = 60 * (39 + 12)
    assert 20 * idle < threshold < 60 * idle
    assert alert["properties"]["windowSize"] == "PT1H"
