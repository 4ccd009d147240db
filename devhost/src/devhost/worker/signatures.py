"""Match a Python function with its bindings, as the Python worker does when it loads one.

Source of the rules and of the texts: `functions.py` and `bindings/` of azure-functions-python-worker.
"""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from azure.functions import get_binding_registry
from azure.functions.meta import Datum

from devhost.errors import AppError
from devhost.worker.messages import Binding

_registry: Callable[[], Any] = get_binding_registry


class Generic:
    """Converter of the worker for plain str and bytes parameters, and for types without one in the SDK."""

    @staticmethod
    def check_input_type_annotation(pytype: type) -> bool:
        return issubclass(pytype, (str, bytes))

    @staticmethod
    def check_output_type_annotation(pytype: type) -> bool:
        return issubclass(pytype, (str, bytes, bytearray))

    @staticmethod
    def has_implicit_output() -> bool:
        return True

    @staticmethod
    def decode(data: Datum, *, trigger_metadata: object) -> Any:  # noqa: ARG004 - as the SDK's converters
        return data.value

    @staticmethod
    def encode(obj: Any, *, expected_type: type | None) -> Datum:  # noqa: ARG004 - as the SDK's converters
        if isinstance(obj, (bytes, bytearray)):
            return Datum(bytes(obj), "bytes")
        kinds = {str: "string", dict: "dict", list: "list", bool: "bool", int: "int", float: "double"}
        for kind, name in kinds.items():
            if isinstance(obj, kind):
                return Datum(obj, name)
        if obj is None:
            return Datum(None, None)
        raise NotImplementedError


@dataclass(frozen=True)
class Parameter:
    """One binding of a function and the converter of its values."""

    binding: Binding
    converter: Any
    """A class of azure.functions with `decode` and `encode`, or Generic."""
    annotation: type | None = None

    @property
    def name(self) -> str:
        return str(self.binding["name"])

    @property
    def type(self) -> str:
        return str(self.binding["type"])

    def decode(self, data: Datum, metadata: Mapping[str, Datum]) -> Any:
        """`metadata` is the trigger's. Raises TypeError when the binding cannot take the data."""
        try:
            return self.converter.decode(data, trigger_metadata=dict(metadata))
        except NotImplementedError as error:
            raise TypeError(
                "unable to decode incoming TypedData: unsupported combination of TypedData field"
                f" {data.type!r} and expected binding type {self.converter}"
            ) from error

    def encode(self, value: Any) -> Datum:
        """Raises TypeError when the binding cannot take the value."""
        try:
            encoded: Datum = self.converter.encode(value, expected_type=self.annotation)
        except NotImplementedError as error:
            raise TypeError(
                f'unable to encode outgoing TypedData: unsupported type "{self.converter}"'
                f' for Python type "{type(value).__name__}"'
            ) from error
        return encoded


@dataclass(frozen=True)
class Signature:
    """Parameters and result of a function; `result` is None when it must return nothing."""

    inputs: tuple[Parameter, ...]
    outputs: tuple[Parameter, ...]
    result: Parameter | None
    wants_context: bool


def match(name: str, call: Callable[..., Any], bindings: tuple[Binding, ...]) -> Signature:
    """Raises AppError in the words of the worker."""

    def refuse(why: str) -> AppError:
        return AppError(f"cannot load the {name} function: {why}")

    parameters = set(inspect.signature(call).parameters)
    try:
        annotations = typing.get_type_hints(call)
    except Exception as error:
        raise refuse(f"its annotations cannot be read: {type(error).__name__}: {error}") from error
    bound = {str(b["name"]): b for b in bindings if b["name"] != "$return"}
    if any(str(b.get("direction", "IN")).upper() == "INOUT" for b in bindings):
        raise refuse('"inout" bindings are not supported')
    wants_context = "context" in parameters and "context" not in bound
    if wants_context:
        parameters.discard("context")
        found = annotations.get("context")
        if found is not None and (not isinstance(found, type) or found.__name__ != "Context"):
            raise refuse(
                f'the "context" parameter is expected to be of type azure.functions.Context, got {found!r}'
            )
    where = "the function definition (function.json or function decorators)"
    if parameters - set(bound):
        raise refuse(
            f"the following parameters are declared in Python but not in {where}: {parameters - set(bound)!r}"
        )
    if set(bound) - parameters:
        raise refuse(
            f"the following parameters are declared in {where} but not in Python: {set(bound) - parameters!r}"
        )
    inputs: list[Parameter] = []
    outputs: list[Parameter] = []
    for parameter, binding in bound.items():
        try:
            matched, is_out = _parameter(binding, annotations.get(parameter))
        except ValueError as error:
            raise refuse(str(error)) from error
        (outputs if is_out else inputs).append(matched)
    try:
        result = _result(bindings, annotations)
    except ValueError as error:
        raise refuse(str(error)) from error
    return Signature(tuple(inputs), tuple(outputs), result, wants_context)


def _parameter(binding: Binding, annotation: Any) -> tuple[Parameter, bool]:
    name, kind = binding["name"], str(binding["type"])
    is_out = str(binding.get("direction", "IN")).upper() == "OUT"
    annotated_out = getattr(typing.get_origin(annotation) or annotation, "__name__", "") == "Out"
    inner = annotation
    if annotated_out:
        if len(typing.get_args(annotation)) != 1:
            raise ValueError(f"binding {name} has invalid Out annotation {annotation!r}")
        inner = typing.get_args(annotation)[0]
    if typing.get_origin(inner) in (typing.Union, types.UnionType):
        raise ValueError(f"binding {name} has invalid non-type annotation {annotation!r}")
    if is_out and annotation is not None and not annotated_out:
        raise ValueError(
            f'binding {name} is declared to have the "out" direction, but its annotation in Python is not'
            " a subclass of azure.functions.Out"
        )
    if annotated_out and not is_out:
        raise ValueError(
            f'binding {name} is declared to have the "in" direction in function.json, but its annotation is'
            " azure.functions.Out in Python"
        )
    converter = converter_of(kind)
    if inner in (str, bytes) and not _has_implicit_output(kind):
        converter = Generic
    if isinstance(inner, type):
        check = converter.check_output_type_annotation if is_out else converter.check_input_type_annotation
        if not check(inner):
            raise ValueError(
                f'type of {name} binding in function.json "{kind}" does not match its Python annotation'
                f' "{inner.__name__}"'
            )
    return Parameter(binding, converter, inner if isinstance(inner, type) else None), is_out


def _result(bindings: tuple[Binding, ...], annotations: Mapping[str, Any]) -> Parameter | None:
    """`$return` if it is bound, else the trigger whose result is what the function returns."""
    explicit = next((b for b in bindings if b["name"] == "$return"), None)
    if explicit is None:
        implicit = next((b for b in bindings if _has_implicit_output(str(b["type"]))), None)
        return None if implicit is None else Parameter(implicit, converter_of(str(implicit["type"])))
    if str(explicit.get("direction", "OUT")).upper() != "OUT":
        raise ValueError('"$return" binding must have direction set to "out"')
    kind = str(explicit["type"])
    if "return" not in annotations:
        return Parameter(explicit, converter_of(kind))
    annotation = annotations["return"]
    if getattr(typing.get_origin(annotation), "__name__", "") == "Out":
        raise ValueError("return annotation should not be azure.functions.Out")
    if not isinstance(annotation, type):
        raise ValueError(f"has invalid non-type return annotation {annotation!r}")
    if not converter_of(kind).check_output_type_annotation(annotation):
        raise ValueError(
            f'Python return annotation "{annotation.__name__}" does not match binding type "{kind}"'
        )
    return Parameter(explicit, converter_of(kind), annotation)


def converter_of(kind: str) -> Any:
    """The SDK's converter of a binding type, or Generic."""
    return _registry().get(kind) or Generic


def _has_implicit_output(kind: str) -> bool:
    return kind != "durableClient" and bool(getattr(converter_of(kind), "has_implicit_output", bool)())
