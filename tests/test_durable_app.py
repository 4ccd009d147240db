"""What the real host does to callers of its client, and that only its safe parts are used."""

import ast
import asyncio
import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durable_app import sdk
from durable_app.blueprint import failed_step
from durable_app.starting import is_going, start_once, wake
from mobexport import durable_names as names
from mobexport.config import ExportsConfig
from mobexport.errors import DataError
from mobexport.pipeline.messages import RunBatch
from mobexport.wire import AttemptRef

ROOT = Path(__file__).parent.parent
SHELL = ("activities", "durable_app", "orchestrators", "triggers")


class Host:
    """A client whose every call is answered like that."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.called: list[tuple[Any, ...]] = []

    async def _answer(self, *given: Any) -> Any:
        self.called.append(given)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    start_new = raise_event = get_status = _answer


# As the SDK words the host's answers; recorded.
RUNNING = Exception("{'Message': 'An Orchestration instance with the status Running already exists.'}")
GONE = Exception("No instance with ID run-e-1 found.")
ENDED = Exception("Instance with ID run-e-1 is gone: either completed or failed")


def test_given_an_id_that_is_running_when_started_again_then_left_alone() -> None:
    asyncio.run(start_once(Host(RUNNING), names.RUN_BATCH, "batch-b", RunBatch(batch_id="b")))


def test_given_a_host_that_is_down_then_not_taken_for_a_running_instance() -> None:
    with pytest.raises(ConnectionError):
        asyncio.run(
            start_once(Host(ConnectionError("down")), names.RUN_BATCH, "batch-b", RunBatch(batch_id="b"))
        )


@pytest.mark.parametrize("answer", [GONE, ENDED, None], ids=["gone", "ended", "there"])
def test_given_any_instance_when_woken_then_a_hint_and_no_failure(answer: Any) -> None:
    host = Host(answer)
    asyncio.run(wake(host, "run-e-1", names.CANCEL))
    assert host.called == [("run-e-1", names.CANCEL, None)]


@pytest.mark.parametrize(
    ("state", "going"),
    [
        *((state, True) for state in ("Running", "Pending", "ContinuedAsNew", "Suspended")),
        *((state, False) for state in ("Completed", "Failed", "Terminated", "Canceled", None)),
    ],
)
def test_given_any_status_when_asked_then_whether_it_is_going(state: str | None, going: bool) -> None:
    status = SimpleNamespace(runtime_status=SimpleNamespace(value=state) if state else None)
    assert asyncio.run(is_going(Host(status), "i")) is going


def test_given_an_instance_that_is_not_there_then_it_is_not_going() -> None:
    from azure.durable_functions.models.DurableOrchestrationStatus import DurableOrchestrationStatus

    # What the SDK makes of the host's 404; its to_json() fails.
    status = DurableOrchestrationStatus.from_json({})
    assert asyncio.run(is_going(Host(status), "i")) is False


@pytest.mark.parametrize("error", [ValueError("x" * 20_000 + "sig=SECRET"), DataError("x" * 20_000)])
def test_given_a_failure_with_a_long_text_then_the_history_gets_little(
    error: Exception,
) -> None:
    # The host keeps an exception's text four times over.
    try:
        kept = json.dumps(failed_step("convert_file", error).to_json())
    except RuntimeError as raised:
        kept = str(raised)
    assert 500 < len(kept) < 1500
    assert "SECRET" not in kept


# --- ids ----------------------------------------------------------------------------------------------------

IDS = re.compile(r"[A-Za-z0-9._-]{1,250}")


@given(target=st.text(max_size=80), attempt=st.integers(1, 10**6))
def test_given_any_configured_target_then_its_instance_can_be_addressed(target: str, attempt: int) -> None:
    # The host takes any id; its client cuts one off at `#` and loses one with `/`.
    try:
        config = ExportsConfig.model_validate({"targets": {target: {"kind": "storage-queue"}}})
    except ValueError:
        return
    for name in config.targets:
        assert IDS.fullmatch(names.notify_instance(AttemptRef("e" * 100, attempt), name))


def test_given_target_names_that_break_an_id_when_configured_then_refused() -> None:
    for name in ("a#b", "a/b", "a b", "é", "", "a?b", "@a", "x" * 65):
        with pytest.raises(ValueError, match="targets"):
            ExportsConfig.model_validate({"targets": {name: {"kind": "storage-queue"}}})
    ExportsConfig.model_validate({"targets": {"ops-1.team_x": {"kind": "storage-queue"}}})


def test_names_on_the_wire_differ_in_any_case() -> None:
    # Names of functions are compared without case there.
    every = [*names.ORCHESTRATORS, *names.ACTIVITIES]
    assert len({name.lower() for name in every}) == len(every)
    assert names.CANCEL != names.PROCESSED


# --- what is used of the SDK, and how -----------------------------------------------------------------------


def _nodes(*folders: str) -> Iterator[tuple[Path, ast.AST]]:
    for path in sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py")):
        tree = ast.parse(path.read_text("utf-8"))
        for node in ast.walk(tree):
            for child in ast.iter_child_nodes(node):
                child.parent = node
        yield from ((path, node) for node in ast.walk(tree))


def _calls(name: str, *folders: str) -> Iterator[tuple[str, ast.Call]]:
    for path, node in _nodes(*folders):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) == name:
            yield f"{path.name}:{node.lineno}", node


def _above(node: ast.AST) -> Iterator[ast.AST]:
    while (found := getattr(node, "parent", None)) is not None:
        yield found
        node = found


def _members(protocol: type) -> set[str]:
    return {name for name in vars(protocol) if not name.startswith("_")}


def test_given_the_sdk_when_used_then_only_what_has_no_trap_in_it() -> None:
    """Left out on purpose: SDK retries, entities, `call_http`, `is_replaying`, history,
    rewind, restart, suspend, versions of single starts, Durable's management URLs, outputs of instances."""
    assert _members(sdk.Context) == {
        "instance_id", "current_utc_datetime", "get_input", "call_activity", "call_sub_orchestrator",
        "create_timer", "wait_for_external_event", "task_any", "continue_as_new",
        "set_custom_status", "new_uuid",
    }  # fmt: skip
    assert _members(sdk.Client) == {
        "start_new", "raise_event", "get_status", "terminate", "purge_instance_history_by"
    }  # fmt: skip
    assert "version" not in inspect.signature(sdk.Client.start_new).parameters
    for path, node in _nodes(*SHELL):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            allowed = {"context": sdk.Context, "client": sdk.Client}.get(node.value.id)
            assert allowed is None or node.attr in _members(allowed), f"{path}:{node.lineno}"


def test_given_status_of_an_instance_when_looked_at_then_by_is_going_alone() -> None:
    # Output is a reason while suspended, and an unquoted text after a failure.
    assert not list(_calls("get_status", "activities", "orchestrators", "triggers"))


def _named(argument: ast.expr) -> bool:
    return isinstance(argument, ast.Attribute) and getattr(argument.value, "id", "") == "names"


@pytest.mark.parametrize(
    ("function", "position"),
    [
        ("call", 1),
        ("side_by_side", 1),
        ("call_sub_orchestrator", 0),
        ("wait_for_external_event", 0),
        ("wake", 2),
    ],
)
def test_every_call_by_name_uses_one_of_durable_names(function: str, position: int) -> None:
    # A misspelt activity hangs for ever, and so does one that is given as its builder.
    found = list(_calls(function, *SHELL))
    assert found
    passed_on = {
        "run_task_lane.py": "given.activity",  # by side_by_side
        "serve_export_task.py": "activity",  # below
    }
    for place, node in found:
        argument = node.args[position]
        assert _named(argument) or ast.unparse(argument) == passed_on.get(place.split(":")[0]), place


def test_lanes_of_a_large_task_use_activities_of_durable_names() -> None:
    source = (ROOT / "orchestrators/serve_export_task.py").read_text("utf-8")
    table = re.search(r"for activity, count in \((.+)\):\n", source)
    assert table
    assert {*re.findall(r"\(names\.(\w+),", table[1])} == {"PARTITION_SLICE", "WRITE_BUCKET"}


def test_given_work_when_scheduled_then_it_is_waited_for() -> None:
    # What is made and never yielded does not run.
    for place, node in _calls("call_activity", *SHELL):
        assert isinstance(node.parent, ast.Yield), place
    for place, node in _calls("call_sub_orchestrator", "orchestrators"):
        waits = (ast.Yield, ast.ListComp)
        assert isinstance(node.parent, waits), place


def test_only_a_timer_races_an_event() -> None:
    # An activity that lost holds its instance until it ends; a timer that lost, until it fires. Of lanes all
    # are waited for.
    races = [(place.split(":")[0], ast.unparse(race)) for place, race in _calls("task_any", *SHELL)]
    assert races == [
        ("calls.py", "context.task_any([timer, wake])"),
        ("calls.py", "context.task_any([task for _, _, task in going.values()])"),
    ]


def test_given_waits_for_events_when_read_then_one_per_name_and_execution() -> None:
    # An earlier wait swallows the event of a later one.
    found = set()
    for place, node in _calls("wait_for_external_event", "orchestrators"):
        assert not [one for one in _above(node) if isinstance(one, ast.For | ast.While)], place
        key = (place.split(":")[0], ast.unparse(node.args[0]))
        assert key not in found, place
        found.add(key)
    assert len(found) == 2


def test_given_sub_orchestrations_when_read_then_each_has_an_input() -> None:
    for place, node in _calls("call_sub_orchestrator", "orchestrators"):
        assert len(node.args) >= 2, place


def test_orchestrators_never_read_the_clock_to_see_if_a_timer_is_over() -> None:
    # Timers fire up to a second early: `now >= what was waited for` may be false for ever.
    for path, node in _nodes("orchestrators", "durable_app"):
        if isinstance(node, ast.Compare) and "current_utc_datetime" in ast.unparse(node):
            assert ast.unparse(node) == "context.current_utc_datetime - began > _PROCESSING_LIMIT", path


def _arguments(path: str, name: str) -> list[str]:
    tree = ast.parse((ROOT / path).read_text("utf-8"))
    (found,) = (node for node in tree.body if isinstance(node, ast.AsyncFunctionDef) and node.name == name)
    return [one.arg for one in found.args.args]


@pytest.mark.parametrize("name", ["tick", "purge"])
def test_timer_functions_do_not_use_the_hosts_schedule_status(name) -> None:
    # Its status is missing, of the year 1, or late by a minute; the registry knows what was done.
    assert _arguments("triggers/schedules.py", name) == ["services", "client"]


def test_blob_trigger_uses_only_the_name_of_the_blob() -> None:
    # Its length is missing for an empty blob, its address is encoded twice.
    assert _arguments("triggers/exported_file.py", "exported_file") == ["services", "name", "client"]


def test_given_host_json_when_read_then_the_settings_that_recovery_needs() -> None:
    durable_task = json.loads((ROOT / "host.json").read_text("utf-8"))["extensions"]["durableTask"]
    storage = durable_task["storageProvider"]
    # Without a default version an instance that is started with one stays Pending for ever.
    assert durable_task["defaultVersion"]
    # What a killed host had in hand comes back after a minute, not after five.
    assert storage["controlQueueVisibilityTimeout"] == storage["workItemQueueVisibilityTimeout"] == "00:01:00"
    assert storage["partitionCount"] == 1
