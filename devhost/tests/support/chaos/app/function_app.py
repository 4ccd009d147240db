"""The app under chaos: every feature whose state the host keeps.

Each orchestration returns a value known before and the keys of the activities it relied on; every run of a
function leaves a line in a log.
"""

# mypy: ignore-errors

import os
from datetime import timedelta
from pathlib import Path

import azure.durable_functions as df
import azure.functions as func

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)
RETRY = df.RetryOptions(first_retry_interval_in_milliseconds=100, max_number_of_attempts=20)


def _ran(what, key):
    """One line, written at once: also a killed process leaves whole lines."""
    log = os.open(os.environ["CHAOS_RUNS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(log, f"{what} {key}\n".encode())
    finally:
        os.close(log)


def _work(context, label, number=0):
    return {"key": f"{context.instance_id}/{label}", "n": number}


def _soon(context):
    return context.current_utc_datetime + timedelta(milliseconds=200)


@app.orchestration_trigger(context_name="context")
def fan(context):
    results = yield context.task_all(
        [context.call_activity("double", _work(context, n, n)) for n in range(4)]
    )
    return {"value": sum(r["value"] for r in results), "keys": [r["key"] for r in results]}


@app.orchestration_trigger(context_name="context")
def timers(context):
    keys = []
    for number in range(2):
        yield context.create_timer(_soon(context))
        keys.append((yield context.call_activity("double", _work(context, number)))["key"])
    return {"value": "waited", "keys": keys}


@app.orchestration_trigger(context_name="context")
def parent(context):
    named = [
        context.call_sub_orchestrator("fan", None, f"{context.instance_id}:{number}") for number in range(2)
    ]
    children = yield context.task_all([*named, context.call_sub_orchestrator("timers")])
    caught = False
    while not caught:  # a worker that dies fails it otherwise
        try:
            yield context.call_sub_orchestrator("failing")
        except Exception as error:
            caught = "on purpose" in str(error)
    return {
        "value": [[child["value"] for child in children], caught],
        "keys": [key for child in children for key in child["keys"]],
    }


@app.orchestration_trigger(context_name="context")
def failing(context):
    yield context.call_activity("double", _work(context, "last"))
    raise ValueError("on purpose")


@app.orchestration_trigger(context_name="context")
def approval(context):
    """Two events in any order beside an activity; a timer that is cancelled."""
    done = context.call_activity("double", _work(context, "beside"))
    timer = context.create_timer(context.current_utc_datetime + timedelta(hours=1))
    first = context.wait_for_external_event("first")
    yield context.task_any([timer, first])
    timer.cancel()
    second = yield context.wait_for_external_event("second")
    result = yield done
    return {"value": [first.result, second], "keys": [result["key"]]}


@app.orchestration_trigger(context_name="context")
def rounds(context):
    """Four generations."""
    state = context.get_input() or {"round": 0, "keys": []}
    result = yield context.call_activity("double", _work(context, state["round"]))
    yield context.create_timer(_soon(context))
    keys = [*state["keys"], result["key"]]
    if state["round"] < 3:
        context.continue_as_new({"round": state["round"] + 1, "keys": keys})
        return None
    return {"value": "round 3", "keys": keys}


@app.orchestration_trigger(context_name="context")
def retries(context):
    result = yield context.call_activity_with_retry("flaky", RETRY, _work(context, "flaky", 3))
    return {"value": result["value"], "keys": [result["key"]]}


@app.activity_trigger(input_name="work")
def double(work: dict) -> dict:
    _ran("activity", work["key"])
    return {"value": 2 * work["n"], "key": work["key"]}


@app.activity_trigger(input_name="work")
def flaky(work: dict) -> dict:
    """Fails twice, counted over all processes."""
    _ran("activity", work["key"])
    runs = Path(os.environ["CHAOS_RUNS"]).read_text("utf-8").splitlines().count(f"activity {work['key']}")
    if runs < 3:
        raise ValueError(f"run {runs}")
    return {"value": 2 * work["n"], "key": work["key"]}


@app.timer_trigger(schedule="0 0 0 1 1 *", arg_name="timer", run_on_startup=True)
def beat(timer: func.TimerRequest) -> None:
    _ran("timer", f"beat {timer.past_due}")


if os.environ.get("CHAOS_STORAGE"):

    @app.blob_trigger(arg_name="blob", path="chaos/{name}", connection="CHAOS_STORAGE")
    def seen(blob: func.InputStream) -> None:
        _ran("blob", f"{blob.name} {blob.read().decode()}")
