"""What the bindings of a function besides its trigger become: something to read, or to write to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from azure.functions.meta import Datum

from devhost.bindings.blobs import BlobInput, BlobOutput
from devhost.bindings.queues import Encoding, QueueOutput
from devhost.errors import SCRIPT_HOST, IndexingError
from devhost.indexing import Function
from devhost.settings import resolve
from devhost.signatures import Binding
from devhost.storage import Storage

TRIGGERS = (
    "httpTrigger",
    "timerTrigger",
    "blobTrigger",
    "queueTrigger",
    "eventGridTrigger",
    "orchestrationTrigger",
    "activityTrigger",
    "entityTrigger",
)
"""What devhost runs."""


class Input(Protocol):
    def read(self, data: Mapping[str, Any]) -> Datum: ...


class Output(Protocol):
    def write(self, value: Datum, data: Mapping[str, Any]) -> None: ...


@dataclass(frozen=True)
class Bindings:
    """By parameter name; `$return` among the outputs, unless it is the HTTP response."""

    inputs: Mapping[str, Input]
    outputs: Mapping[str, Output]


@dataclass(frozen=True)
class BindingServices:
    """`client_json` gives the value of a durableClient binding, asked at each run: the ports come late."""

    storage: Storage
    environment: Mapping[str, str]
    encoding: Encoding
    client_json: Callable[[], str]


class _DurableClient:
    def __init__(self, client_json: Callable[[], str]) -> None:
        self._client_json = client_json

    def read(self, _data: Mapping[str, Any]) -> Datum:
        return Datum(self._client_json(), "string")


def build_bindings(function: Function, services: BindingServices) -> Bindings:
    """Raises IndexingError for a binding that cannot work, or that devhost does not know."""
    inputs: dict[str, Input] = {}
    outputs: dict[str, Output] = {}
    for binding in function.bindings:
        if binding is function.trigger:
            continue
        name, kind = str(binding["name"]), str(binding["type"])
        is_out = str(binding.get("direction", "IN")).upper() == "OUT"
        if kind == "http" and is_out:
            continue
        if is_out:
            outputs[name] = _output(kind, binding, services)
        else:
            inputs[name] = _input(kind, binding, services)
    return Bindings(inputs, outputs)


def _input(kind: str, binding: Binding, services: BindingServices) -> Input:
    if kind == "durableClient":
        return _DurableClient(services.client_json)
    if kind == "blob":
        return BlobInput(binding, resolve(str(binding["path"]), services.environment), services.storage)
    raise unknown(kind, "input", ("durableClient", "blob"))


def _output(kind: str, binding: Binding, services: BindingServices) -> Output:
    if kind == "blob":
        return BlobOutput(binding, resolve(str(binding["path"]), services.environment), services.storage)
    if kind == "queue":
        name = resolve(str(binding["queueName"]), services.environment)
        return QueueOutput(binding, name, services.storage, services.encoding)
    raise unknown(kind, "output", ("http", "blob", "queue"))


def unknown(kind: str, what: str, known: Sequence[str]) -> IndexingError:
    """`what` is trigger, input or output."""
    return IndexingError(
        f"devhost does not know the {what} binding '{kind}' (it knows {', '.join(known)});"
        " the other functions go on.",
        SCRIPT_HOST,
    )
