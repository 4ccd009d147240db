"""What tests of several packages share: the storage emulator, and the app in virtual time."""

import asyncio
import inspect
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest
from manifests import faults_of

from activities import batching, collecting, creating, notifying, processing, serving
from devhost.replay import AlreadyExistsError, EndedError, NotFoundError, ReplayHarness
from localdev.azurite import Azurite, missing
from mobexport import durable_names as names
from mobexport.pipeline.process import processor
from mobexport.pipeline.process.manifests import make_manifest
from orchestrators.deliver_notification import deliver_notification
from orchestrators.process_export import process_export
from orchestrators.run_batch import run_batch
from orchestrators.run_export import run_export
from orchestrators.run_task_lane import run_task_lane
from orchestrators.serve_export_task import serve_export_task

ORCHESTRATORS = {
    function.__name__: function
    for function in (
        run_export,
        run_batch,
        process_export,
        deliver_notification,
        serve_export_task,
        run_task_lane,
    )
}
ACTIVITY_MODULES = (creating, batching, collecting, processing, notifying, serving)


class VirtualApp:
    """The app's orchestrators and its own activities, in virtual time: what they touch is up to the test.

    The activities work with `services`. `overrides` replace activities by functions `step -> outcome`;
    `crashed` answers whether the step that has just been done is to end like one whose worker died right
    after it: done, its answer lost.
    """

    def __init__(self, **options: Any) -> None:
        self.services: Any = None
        self.overrides: dict[str, Callable[[Any], Any]] = {}
        self.crashed: Callable[[str], bool] = lambda name: False
        self.h = ReplayHarness(
            ORCHESTRATORS, {name: self._activity(name) for name in names.ACTIVITIES}, **options
        )
        self.client = _Client(self.h)

    def _activity(self, name: str) -> Callable[[Any], Any]:
        function = next(getattr(module, name) for module in ACTIVITY_MODULES if hasattr(module, name))

        def run(step: Any) -> Any:
            if name in self.overrides:
                outcome = self.overrides[name](step)
            elif inspect.iscoroutinefunction(function):
                outcome = asyncio.run(function(self.services, step, self.client))
            else:
                outcome = function(self.services, step)
            if self.crashed(name):
                raise RuntimeError("the worker died")
            return outcome

        return run

    def start(self, name: str, instance: str, payload: Any) -> None:
        """What a client does: a running instance is left alone."""
        with suppress(AlreadyExistsError):
            self.h.start(name, payload, instance)

    def called(self, name: str) -> list[Any]:
        """Inputs of the calls of one activity."""
        return [given for _, called, given in self.h.activity_calls if called == name]


class _Client:
    """The durable client of an activity, as far as this app uses it."""

    def __init__(self, harness: ReplayHarness) -> None:
        self._h = harness

    async def start_new(self, name: str, instance_id: str, client_input: Any) -> str:
        try:
            return self._h.start(name, client_input, instance_id)
        except AlreadyExistsError as error:
            raise Exception(str({"Message": "An Orchestration instance already exists."})) from error

    async def raise_event(self, instance_id: str, event_name: str, event_data: Any = None) -> None:
        try:
            self._h.raise_event(instance_id, event_name, event_data)
        except (NotFoundError, EndedError) as error:
            raise Exception(str(error)) from error

    async def get_status(self, instance_id: str) -> Any:
        try:
            found = self._h.status(instance_id)
        except KeyError:
            return SimpleNamespace(runtime_status=None)
        return SimpleNamespace(
            runtime_status=SimpleNamespace(value=found.runtime_status),
            last_updated_time=found.updated,
            custom_status=found.custom_status,
        )

    async def terminate(self, instance_id: str, reason: str) -> None:
        self._h.terminate(instance_id, reason)


@pytest.fixture
def virtual_app() -> type[VirtualApp]:
    return VirtualApp


@pytest.fixture(scope="session")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azurite]:
    """An Azurite of this test run's own (one per xdist worker), in memory, on free loopback ports.

    `.connection_string`, `.blob_endpoint`, `.queue_endpoint`, `.table_endpoint`, `.log` (a path). Tests share
    it: name containers, queues and tables uniquely.
    """
    yield from _running(tmp_path_factory)


@pytest.fixture(scope="module")
def azurite_alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azurite]:
    """One of this module's own: nothing in it is of other tests."""
    yield from _running(tmp_path_factory)


def _running(folders: pytest.TempPathFactory) -> Iterator[Azurite]:
    if reason := missing():
        pytest.skip(reason)
    with Azurite(log=folders.mktemp("azurite") / "azurite.log") as running:
        yield running


@pytest.fixture(autouse=True)
def _valid_manifests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every manifest that a test's own process writes is as published."""

    def checked(*given: Any) -> dict[str, Any]:
        manifest = make_manifest(*given)
        assert faults_of(manifest) == []
        return manifest

    monkeypatch.setattr(processor, "make_manifest", checked)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark whatever uses the emulator; first, so that `-m "not azurite"` sees the marks."""
    for item in items:
        if {"azurite", "azurite_alone"} & {*getattr(item, "fixturenames", ())}:
            item.add_marker("azurite")
