"""Checks of the worker when it loads a function, in its own words."""

from collections.abc import Callable
from typing import Any

import azure.functions as func
import pytest
from azure.functions.meta import Datum

from devhost.errors import AppError
from devhost.worker.signatures import Generic, match

HTTP = ({"type": "httpTrigger", "name": "req"}, {"type": "http", "name": "$return", "direction": "OUT"})
TIMER = ({"type": "timerTrigger", "name": "timer"},)
QUEUE_OUT = {"type": "queue", "name": "out", "direction": "OUT"}


def _match(call: Callable[..., Any], *bindings: dict[str, Any]) -> Any:
    return match("f", call, bindings)


def test_given_a_function_then_its_inputs_outputs_and_result_are_known() -> None:
    def call(req: func.HttpRequest, out: func.Out[str], context: func.Context) -> func.HttpResponse: ...

    found = _match(call, *HTTP, QUEUE_OUT)
    assert [p.name for p in found.inputs] == ["req"]
    assert [(p.name, p.annotation) for p in found.outputs] == [("out", str)]
    assert (found.result.type, found.wants_context) == ("http", True)


def test_given_str_and_bytes_then_generic_converter_gives_raw_values() -> None:
    def queue(msg: str) -> None: ...

    def rich(msg: func.QueueMessage) -> None: ...

    binding = {"type": "queueTrigger", "name": "msg"}
    assert _match(queue, binding).inputs[0].converter is Generic
    assert _match(rich, binding).inputs[0].converter is not Generic

    def activity(payload: str) -> str: ...

    found = _match(activity, {"type": "activityTrigger", "name": "payload"})
    assert found.inputs[0].converter is not Generic  # JSON is decoded whatever the type
    assert found.result.type == "activityTrigger"


def test_given_annotations_as_text_when_matched_then_they_are_resolved() -> None:
    def call(msg: "str") -> None: ...

    assert _match(call, {"type": "queueTrigger", "name": "msg"}).inputs[0].converter is Generic

    def unknown(msg: "Nowhere") -> None: ...  # type: ignore[name-defined]  # noqa: F821

    with pytest.raises(
        AppError, match="cannot load the f function: its annotations cannot be read: NameError"
    ):
        _match(unknown, {"type": "queueTrigger", "name": "msg"})


def _parameters(timer: func.TimerRequest, extra: int) -> None: ...
def _no_parameters() -> None: ...
def _wrong_context(timer: func.TimerRequest, context: str) -> None: ...
def _in_as_out(timer: func.Out[str]) -> None: ...
def _out_as_in(timer: func.TimerRequest, out: str) -> None: ...
def _bare_out(timer: func.TimerRequest, out: func.Out) -> None: ...  # type: ignore[type-arg]
def _wrong_type(timer: int) -> None: ...
def _union(timer: func.TimerRequest | None) -> None: ...
def _wrong_out(timer: func.TimerRequest, out: func.Out[int]) -> None: ...
def _wrong_result(req: func.HttpRequest) -> int: ...
def _no_result(req: func.HttpRequest) -> None: ...
def _union_result(req: func.HttpRequest) -> str | None: ...
def _out_result(req: func.HttpRequest) -> func.Out[str]: ...


@pytest.mark.parametrize(
    ("call", "bindings", "message"),
    [
        (
            _parameters,
            TIMER,
            "in Python but not in the function definition (function.json or function decorators): {'extra'}",
        ),
        (_no_parameters, TIMER, "(function.json or function decorators) but not in Python: {'timer'}"),
        (
            _wrong_context,
            TIMER,
            "the \"context\" parameter is expected to be of type azure.functions.Context, got <class 'str'>",
        ),
        (
            _in_as_out,
            TIMER,
            'have the "in" direction in function.json, but its annotation is azure.functions.Out in Python',
        ),
        (
            _out_as_in,
            (*TIMER, QUEUE_OUT),
            '"out" direction, but its annotation in Python is not a subclass of azure.functions.Out',
        ),
        (_bare_out, (*TIMER, QUEUE_OUT), "binding out has invalid Out annotation"),
        (
            _wrong_type,
            TIMER,
            'binding in function.json "timerTrigger" does not match its Python annotation "int"',
        ),
        (_union, TIMER, "binding timer has invalid non-type annotation"),
        (_wrong_out, (*TIMER, QUEUE_OUT), '"queue" does not match its Python annotation "int"'),
        (_wrong_result, HTTP, 'Python return annotation "int" does not match binding type "http"'),
        (_no_result, HTTP, 'Python return annotation "NoneType" does not match binding type "http"'),
        (_union_result, HTTP, "has invalid non-type return annotation"),
        (_out_result, HTTP, "return annotation should not be azure.functions.Out"),
        (_wrong_type, ({**TIMER[0], "direction": "INOUT"},), '"inout" bindings are not supported'),
        (
            _no_result,
            (HTTP[0], {**HTTP[1], "direction": "IN"}),
            '"$return" binding must have direction set to "out"',
        ),
    ],
)
def test_given_a_function_that_does_not_fit_then_the_workers_error(
    call: Callable[..., Any], bindings: tuple[dict[str, Any], ...], message: str
) -> None:
    with pytest.raises(AppError) as told:
        _match(call, *bindings)
    assert str(told.value).startswith("cannot load the f function: ")
    assert message in str(told.value)


@pytest.mark.parametrize(
    ("value", "kind"),
    [("a", "string"), (b"a", "bytes"), ({}, "dict"), ([], "list"), (True, "bool"), (5, "int")],
)
def test_given_values_then_the_generic_converter_encodes_as_the_worker(value: Any, kind: str) -> None:
    assert (
        Generic.encode(value, expected_type=None).type,
        Generic.decode(Datum(value, kind), trigger_metadata={}),
    ) == (
        kind,
        value,
    )
    with pytest.raises(NotImplementedError):
        Generic.encode(object(), expected_type=None)
