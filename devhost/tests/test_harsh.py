"""Harsh mode: the policy's decisions, and their effect where they belong."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from datetime import timedelta
from pathlib import Path
from typing import Any

import azure.durable_functions as df
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devhost.durable.dispatcher import Dispatcher
from devhost.durable.engine import Engine
from devhost.durable.history import Kind
from devhost.durable.store import Store
from devhost.harsh import LOSSES, BlobArrivals, Chances, Delivery, HarshPolicy
from devhost.replay import ReplayHarness
from devhost.timestamps import parse_stamp

NEVER = Chances(**{field.name: 0.0 for field in fields(Chances)})
# Recorded when the Python worker was killed under an activity; the stack trace of the host cut.
RECORDED_REASON = "Activity function 'sleepy' failed: {python} exited with code 137 (0x89)"
RECORDED_DETAILS = (
    '{"$type":"Microsoft.Azure.WebJobs.Script.Workers.WorkerProcessExitException,'
    ' Microsoft.Azure.WebJobs.Script","Message":"{python} exited with code 137 (0x89)",'
    '"Data":{"$type":"System.Collections.ListDictionaryInternal, System.Private.CoreLib"},'
    '"InnerException":{"$type":"System.Exception, System.Private.CoreLib",'
    '"ClassName":"System.Exception","Message":"","Data":null,"InnerException":null,"HelpURL":null,'
    '"StackTraceString":null,"RemoteStackTraceString":null,"RemoteStackIndex":0,"ExceptionMethod":null,'
    '"HResult":-2146233088,"Source":null,"WatsonBuckets":null},"HelpLink":null,'
    '"Source":"System.Private.CoreLib","HResult":-2146233088,"StackTrace":'
)


class Scripted(HarshPolicy):
    """One kind of delivery for the first delivery of every activity, nothing else."""

    def __init__(self, first: Delivery) -> None:
        super().__init__(0, NEVER)
        self._first = first
        self._seen: set[tuple[str, int]] = set()

    def delivery(self, instance_id: str, task_id: int) -> Delivery:
        if (instance_id, task_id) in self._seen:
            return Delivery.ONCE
        self._seen.add((instance_id, task_id))
        return self._first


# --- decisions ---


@given(st.integers(), st.text(), st.integers(0, 1000))
def test_given_a_seed_when_asked_the_same_again_then_it_answers_the_same(
    seed: int, instance_id: str, number: int
) -> None:
    def answers() -> list[Any]:
        policy = HarshPolicy(seed)
        return [
            *(policy.delivery(instance_id, number) for _ in range(5)),
            policy.timer_lead(instance_id, number),
            policy.blob_delay(instance_id, "1"),
            policy.blob_runs(instance_id),
            policy.recovery_delay(instance_id),
            policy.kills_worker(instance_id),
            policy.loses(instance_id, "TIMER_FIRED"),
        ]

    first = answers()
    assert first == answers()
    assert timedelta(0) <= first[5] < timedelta(seconds=1)
    assert 0 <= first[6] <= Chances().longest_scan
    assert 0 <= first[8] <= Chances().longest_recovery


def test_given_many_deliveries_then_each_kind_has_its_share() -> None:
    policy, disturbed = HarshPolicy(7), HarshPolicy(7)
    found = [policy.delivery(f"i{n}", 0) for n in range(5000)]
    again = []
    for number in reversed(range(5000)):
        disturbed.timer_lead(f"i{number}", 0)
        again.append(disturbed.delivery(f"i{number}", 0))
    assert found == again[::-1]
    shares = {kind: count / 5000 for kind, count in Counter(found).items()}
    for kind, share in (
        (Delivery.TWICE, 0.1),
        (Delivery.OVERLAPPING, 0.1),
        (Delivery.DIES_BEFORE, 0.03),
        (Delivery.DIES_AFTER, 0.03),
        (Delivery.ONCE, 0.74),
    ):
        assert shares[kind] == pytest.approx(share, abs=0.02)
    assert found != [HarshPolicy(8).delivery(f"i{n}", 0) for n in range(5000)]


def test_given_losses_then_workers_and_messages_have_their_share() -> None:
    policy = HarshPolicy(7, LOSSES)
    assert sum(policy.kills_worker("work") for _ in range(30_000)) == pytest.approx(100, abs=40)
    lost = [policy.loses(f"i{n}", "TIMER_FIRED") for n in range(50_000)]
    assert sum(lost) == pytest.approx(100, abs=40)
    usual = HarshPolicy(7)
    assert not any(usual.kills_worker("work") or usual.loses("i", "TIMER_FIRED") for _ in range(5000))


def test_given_one_activity_delivered_repeatedly_then_outcomes_vary() -> None:
    policy = HarshPolicy(5)
    assert {policy.delivery("i", 0) for _ in range(200)} == set(Delivery)


def test_given_late_news_of_blobs_then_each_version_arrives_in_time() -> None:
    now = 0.0
    policy = HarshPolicy(1, Chances(blob_late=0.0, blob_dropped=1.0, longest_scan=10.0))
    news = BlobArrivals(policy, clock=lambda: now)
    waiting = {("c/a", "1"), ("c/a", "2"), ("c/b", "1")}
    assert not any(news.arrived(path, etag) for path, etag in waiting)
    arrivals = {}
    while len(arrivals) < 3:
        now += 0.1
        arrivals.update({key: now for key in waiting - set(arrivals) if news.arrived(*key)})
        assert now < 10.2
    assert len(set(arrivals.values())) > 1


# --- in the worker ---


def one(context):
    return (yield context.call_activity("sleepy", 7))


def waits(context):
    due = context.current_utc_datetime + timedelta(seconds=30)
    yield context.create_timer(due)
    return context.current_utc_datetime < due


@contextmanager
def working(store: Store, activity: Callable[[str, str | None], str], harsh: HarshPolicy) -> Iterator[Engine]:
    engine = Engine(
        store,
        {f.__name__: df.Orchestrator.create(f) for f in (one, waits)},
        ["sleepy"],
        timer_lead=harsh.timer_lead,
    )
    dispatcher = Dispatcher(engine, activity, max_activities=4, warn=lambda _: None, harsh=harsh)
    dispatcher.start()
    try:
        yield engine
    finally:
        assert dispatcher.stop(10.0)


def _eventually(check: Callable[[], Any]) -> Any:
    until = time.monotonic() + 20
    while not (value := check()):
        assert time.monotonic() < until
        time.sleep(0.01)
    return value


def _end(engine: Engine, instance_id: str) -> str:
    def look() -> str | None:
        instance = engine.store.instance(instance_id)
        return f"{instance.status} {instance.output}" if instance and instance.is_terminal else None

    return str(_eventually(look))


def _kinds(store: Store, instance_id: str) -> Counter[Kind]:
    return Counter(Kind(event["EventType"]) for event in store.history(instance_id))


def test_given_a_delivery_twice_then_both_run_and_the_first_result_counts() -> None:
    runs = iter(range(1, 10))
    done = []

    def activity(_: str, __: str | None) -> str:
        done.append(next(runs))
        return str(done[-1])

    store = Store(":memory:")
    with working(store, activity, Scripted(Delivery.TWICE)) as engine:
        assert _end(engine, engine.start("one", None, "x")) == "Completed 1"
        _eventually(lambda: len(done) == 2)
    assert _kinds(store, "x")[Kind.TASK_COMPLETED] == 1
    assert store.inbox("x") == []
    store.close()


def test_given_overlapping_deliveries_then_the_first_result_counts() -> None:
    both, gate, lock = threading.Barrier(2), threading.Event(), threading.Lock()
    runs: list[int] = []

    def activity(_: str, __: str | None) -> str:
        with lock:
            runs.append(len(runs))
            mine = len(runs)
        both.wait(20)  # neither comes here alone
        if mine == 1:
            gate.wait(20)
        return str(mine)

    store = Store(":memory:")
    with working(store, activity, Scripted(Delivery.OVERLAPPING)) as engine:
        assert _end(engine, engine.start("one", None, "x")) == "Completed 2"
        gate.set()
    assert _kinds(store, "x")[Kind.TASK_COMPLETED] == 1
    assert store.inbox("x") == []
    store.close()


@pytest.mark.parametrize(("delivery", "runs"), [(Delivery.DIES_BEFORE, 0), (Delivery.DIES_AFTER, 1)])
def test_given_a_worker_that_dies_in_an_activity_then_fails_as_recorded(
    delivery: Delivery, runs: int
) -> None:
    done: list[str | None] = []

    def activity(_: str, text: str | None) -> str:
        done.append(text)
        return "1"

    store = Store(":memory:")
    with working(store, activity, Scripted(delivery)) as engine:
        assert _end(engine, engine.start("one", None, "x")).startswith("Failed")
    failed = next(e for e in store.history("x") if e["EventType"] == Kind.TASK_FAILED)
    assert failed["Reason"] == RECORDED_REASON.replace("{python}", sys.executable)
    assert failed["Details"].startswith(RECORDED_DETAILS.replace("{python}", sys.executable))
    assert len(done) == runs
    store.close()


def test_given_a_lossy_queue_then_starts_arrive_and_the_rest_does_not() -> None:
    store, told = Store(":memory:"), list[str]()
    engine = Engine(
        store,
        {"one": df.Orchestrator.create(one)},
        ["sleepy"],
        loses=HarshPolicy(1, Chances(message_lost=1)).loses,
    )
    dispatcher = Dispatcher(engine, lambda _, __: "1", max_activities=1, warn=told.append)
    dispatcher.start()
    engine.start("one", None, "x")
    _eventually(lambda: told)
    assert dispatcher.stop(10.0)
    assert told == ["harsh mode: a message of 'x' was lost (TASK_COMPLETED)"]
    assert (_kinds(store, "x")[Kind.TASK_SCHEDULED], store.inbox("x"), store.activities()) == (1, [], [])
    instance = store.instance("x")
    assert instance is not None
    assert instance.status == "Running"
    store.close()


def test_given_a_harsh_timer_then_due_less_than_a_second_early() -> None:
    store = Store(":memory:")
    harsh = HarshPolicy(3, Chances(early_timer=1.0))
    with working(store, lambda _, __: "1", harsh) as engine:
        for number in range(20):
            engine.start("waits", None, f"w{number}")
        _eventually(lambda: all(store.timers(f"w{number}") for number in range(20)))
        leads = set()
        for number in range(20):
            created = next(e for e in store.history(f"w{number}") if e["EventType"] == Kind.TIMER_CREATED)
            leads.add(parse_stamp(created["FireAt"]) - store.timers(f"w{number}")[0][1])
    assert len(leads) == 20
    assert timedelta(0) < min(leads)
    assert timedelta(milliseconds=500) < max(leads) < timedelta(seconds=1)
    store.close()


@pytest.mark.long
def test_given_work_of_a_dead_host_when_harsh_then_it_comes_back_late() -> None:
    store = Store(":memory:")
    dead = Engine(store, {"one": df.Orchestrator.create(one)}, ["sleepy"])
    for number in range(12):
        dead.run_episode(dead.start("one", None, f"i{number}"))
    began, ran = time.monotonic(), []

    def activity(_: str, __: str | None) -> str:
        ran.append(time.monotonic() - began)
        return "1"

    harsh = HarshPolicy(1, Chances(0, 0, 0, 0, late_recovery=0.5, longest_recovery=1.0))
    delays = [HarshPolicy(1, harsh.chances).recovery_delay(f"i{number} 0") for number in range(12)]
    with working(store, activity, harsh) as engine:
        for number in range(12):
            assert _end(engine, f"i{number}") == "Completed 1"
    assert 0 < sum(delay > 0 for delay in delays) < 12
    assert max(ran) >= max(delays)
    store.close()


# --- in the replay harness ---


def careful(context):
    """What an orchestrator should look like: tries again, and does not compare the clock with its timer."""
    retry = df.RetryOptions(1000, 20)
    total = 0
    for number in range(4):
        total += yield context.call_activity_with_retry("sleepy", retry, number)
        yield context.create_timer(context.current_utc_datetime + timedelta(seconds=30))
    return total


@pytest.mark.long
@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6))
def test_given_any_seed_then_a_careful_orchestrator_gives_its_result(seed: int) -> None:
    harness = ReplayHarness(
        {"careful": careful}, {"sleepy": lambda n: harness.after(n, n)}, harsh=HarshPolicy(seed)
    )
    instance_id = harness.start("careful", None, "c")
    harness.run()
    assert harness.status(instance_id).output == 6
    assert {given for _, _, given in harness.activity_calls} == {0, 1, 2, 3}


@pytest.mark.parametrize(
    ("delivery", "calls", "output"),
    [
        (Delivery.ONCE, 1, 0),
        (Delivery.TWICE, 2, 0),
        (Delivery.OVERLAPPING, 2, 0),
        (Delivery.DIES_BEFORE, 0, "exited with code 137 (0x89)"),
        (Delivery.DIES_AFTER, 1, "exited with code 137 (0x89)"),
    ],
)
@pytest.mark.parametrize("later", [False, True])
def test_given_a_delivery_in_virtual_time_then_all_is_as_on_the_host(
    delivery: Delivery, calls: int, output: Any, later: bool
) -> None:
    def sleepy(_: object) -> Any:
        nth = len(harness.activity_calls) - 1
        return harness.after(60 - nth, nth) if later else nth

    harness = ReplayHarness({"one": one}, {"sleepy": sleepy}, harsh=Scripted(delivery))
    instance_id = harness.start("one")
    harness.run()
    assert len(harness.activity_calls) == calls
    status = harness.status(instance_id)
    if isinstance(output, str):
        assert status.runtime_status == "Failed"
        assert output in status.output
    else:
        # The second of two runs ends first here.
        assert status.output == (1 if later and calls == 2 else 0)


def test_given_a_harsh_timer_in_virtual_time_then_the_clock_is_early() -> None:
    harness = ReplayHarness({"waits": waits}, {}, harsh=HarshPolicy(3, Chances(early_timer=1.0)))
    instance_id = harness.start("waits")
    harness.run()
    assert harness.status(instance_id).output is True


# --- the process ---

APP = """
import os
import azure.durable_functions as df
app = df.DFApp()
RETRY = df.RetryOptions(10, 30)

@app.orchestration_trigger(context_name="context")
def careful(context):
    total = 0
    for number in range(5):
        total += yield context.call_activity_with_retry("count", RETRY, number)
    return total

@app.activity_trigger(input_name="x")
def count(x):
    with open(os.environ["RUNS"], "a") as log:
        log.write("x")
    return x
"""


@pytest.mark.long
def test_given_the_harsh_switch_then_the_host_prints_its_seed(tmp_path: Path) -> None:
    (tmp_path / "function_app.py").write_text(APP)
    command = [sys.executable, "-m", "devhost", "start", "--script-root", str(tmp_path), "--port", "0"]
    environment = {k: v for k, v in os.environ.items() if v != "UseDevelopmentStorage=true"}
    environment |= {"RUNS": str(tmp_path / "runs")}
    process = subprocess.Popen(
        [*command, "--harsh", "--seed", "11"],
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        assert process.stdout is not None
        head = ""
        for line in process.stdout:
            head += line
            if found := re.search(r"devhost is listening on (\S+)", line):
                break
        assert "Harsh mode, seed 11" in head
        api = f"{found[1]}/runtime/webhooks/durabletask"
        for number in range(8):
            url = f"{api}/orchestrators/careful/c{number}?timeout=20&pollingInterval=1"
            with urllib.request.urlopen(
                urllib.request.Request(url, b"", method="POST"), timeout=30
            ) as answer:
                assert (answer.status, json.loads(answer.read())) == (200, 10)
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=40)
    finally:
        process.kill()
        process.wait(10)
    assert process.returncode == 0
    assert len((tmp_path / "runs").read_text()) > 40
    assert "is not deterministic" not in output


@pytest.mark.parametrize("option", [("--seed", "0"), ("--losses",)])
def test_given_its_options_without_harsh_then_the_command_line_says_so(option: tuple[str, ...]) -> None:
    done = subprocess.run([sys.executable, "-m", "devhost", "start", *option], capture_output=True, text=True)
    assert done.returncode == 2
    assert f"{option[0]} belongs to --harsh" in done.stderr
