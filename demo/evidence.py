"""Evidence besides the numbers: rejects, a query, the notifications."""

import base64
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
from azure.storage.queue import QueueServiceClient

from demo.count_comparison import Result
from demo.raw_data import Export
from demo.story import Story
from localdev.webhook_receiver import Delivery, Receiver
from mobexport.settings import REJECT_ALERT

QUEUE = "notifications"
WIDTH = 78


def show_rejects(story: Story, results: list[Result]) -> None:
    """One raw line and one record that could not be used, each with its reason."""
    for result in results:
        for reject in sorted(result.raw_rejects, key=lambda one: "field" not in one)[:1]:
            _show(story, f"raw line {reject['line']} of {result.export.app}/{reject['file']}", reject)
            break
        else:
            continue
        break
    for result in results:
        for reject in result.rejects[:1]:
            place = f"element {reject.get('element')}, record {reject.get('record')}"
            _show(story, f"{place} of {result.export.name} (strict checks)", reject)
    if not any(result.raw_rejects or result.rejects for result in results):
        story.say("   nothing: this data has no bad lines, and no record that lacks an id")


def _show(story: Story, place: str, reject: dict[str, Any]) -> None:
    field = f" {reject['field']}" if reject.get("field") else ""
    original = reject["original"]
    text = original if isinstance(original, str) else json.dumps(original, ensure_ascii=False)
    text = " ".join(text.split())
    story.say(f"   {place}: {reject['rule']}{field}")
    story.say(f"      {text if len(text) <= WIDTH else text[: WIDTH - 1] + '…'}")


def show_query(story: Story, result: Result) -> None:
    """A query over the table as it stands."""
    label = "key" if result.export.export_type == "Tag" else "name"
    query = (
        f"SELECT {label}, count(*) AS records, count(DISTINCT deviceId) AS devices\n"
        f"FROM events GROUP BY {label} ORDER BY records DESC, {label} LIMIT 4"
    )
    story.say(f'   events = DeltaTable("az://curated/{result.export.app}/Event").to_pyarrow_dataset()')
    for line in query.splitlines():
        story.say(f"   {line}")
    assert result.table is not None
    events = result.table.to_pyarrow_dataset()
    found = duckdb.from_arrow(events).query("events", query)
    rows = found.fetchall() if found else []
    shown = [[_cut(str(name)), f"{records:,}", f"{devices:,}"] for name, records, devices in rows]
    story.table([[label, "records", "devices"], *shown], indent="      ")


def show_history(story: Story, result: Result, connection: str) -> None:
    """Which export changed the table, as the command line tells it."""
    command = ["tables", "history", f"{result.export.app}/{result.export.export_type}"]
    story.say(f"   $ mobexport {' '.join(command)}")
    done = subprocess.run(
        [sys.executable, "-m", "mobexport", *command],
        env={**os.environ, "DATA_STORAGE": connection},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise ValueError(f"mobexport {' '.join(command)}: {done.stderr.strip()}")
    for line in done.stdout.splitlines():
        story.say(f"   {line}")


def _cut(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 40 else text[:39] + "…"


def notifications(
    receiver: Receiver, connection: str, ids: dict[str, Export], seconds: float
) -> tuple[list[Delivery], list[dict[str, Any]], list[str]]:
    """The first delivery and the queue message of every export, and what is wrong with them."""
    deadline = time.monotonic() + seconds
    problems = []
    first = []
    for export_id, export in ids.items():
        left = max(0.0, deadline - time.monotonic())
        ended = f"{export_id}/1/completed"
        found = receiver.wait_for(lambda one, wanted=ended: one.message_id == wanted, left)  # type: ignore[misc]
        if found is None:
            problems.append(f"{export.name}: no notification reached the webhook")
        else:
            first.append(found)
    problems += [
        f"a notification came with a bad signature: {one.problem}"
        for one in receiver.received
        if not one.verified
    ]
    messages = _messages(connection, set(ids), deadline)
    told = {message["subject"] for message in messages}
    problems += [f"{export.name}: no message in the queue" for key, export in ids.items() if key not in told]
    return first, messages, problems


def reject_rates(
    receiver: Receiver, ids: dict[str, Export], results: Sequence[Result], seconds: float
) -> tuple[list[dict[str, Any]], list[str]]:
    """The event of every export with too many rejects by the independent count, and what is missing."""
    wanted = {result.export: result.count for result in results}
    deadline = time.monotonic() + seconds
    found, problems = [], []
    for export_id, export in ids.items():
        count = wanted[export]
        rejected = count.rejected + count.conversion_rejects
        if rejected <= REJECT_ALERT * (records := count.read - count.outside_window):
            continue
        told = f"{export_id}/1/reject-rate"
        left = max(0.0, deadline - time.monotonic())
        event = receiver.wait_for(lambda one, wanted=told: one.message_id == wanted, left)  # type: ignore[misc]
        data: Any = event.event["data"] if event else {}
        if event is None or (data["rejected"], data["records"]) != (rejected, records):
            problems.append(f"{export.name}: {rejected} of {records} rejected, told: {data or 'nothing'}")
        else:
            found.append(dict(event.event))
    return found, problems


def _messages(connection: str, wanted: set[str], deadline: float) -> list[dict[str, Any]]:
    queues = QueueServiceClient.from_connection_string(connection)
    while True:
        there = {queue.name for queue in queues.list_queues()}
        messages = []
        if QUEUE in there:
            found = queues.get_queue_client(QUEUE).peek_messages(max_messages=32)
            messages = [json.loads(base64.b64decode(str(message.content))) for message in found]
        if {message["subject"] for message in messages} >= wanted or time.monotonic() > deadline:
            return messages
        time.sleep(0.2)


def save_events(folder: Path, deliveries: list[Delivery]) -> Path:
    """Keep what the webhook got, one event a line."""
    file = folder / "notifications.ndjson"
    file.write_bytes(b"".join(one.body + b"\n" for one in deliveries))
    return file
