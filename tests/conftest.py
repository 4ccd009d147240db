"""What tests of several packages share: the storage emulator, and the app in virtual time."""

import asyncio
import inspect
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest

from activities import batching, collecting, creating, notifying, processing, serving
from devhost.durable.engine import EndedError, NotFoundError
from devhost.replay import AlreadyExistsError, ReplayHarness
from localdev.azurite import Azurite, missing
from mobexport import durable_names as names
from orchestrators.deliver_notification import deliver_notification
from orchestrators.poll_export_job import poll_export_job
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
        poll_export_job,
        process_export,
        deliver_notification,
        serve_export_task,
        run_task_lane,
    )
}
ACTIVITY_MODULES = (creating, batching, collecting, processing, notifying, serving)


class VirtualApp:
    """The app's orchestrators and its own activities, in virtual time: what they touch is up to the test.

    `overrides` replace activities by functions `step -> outcome`; `crashed` answers whether the step that
    has just been done is to end like one whose worker died right after it: done, its answer lost.
    """

    def __init__(self, **options: Any) -> None:
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
                outcome = asyncio.run(function(step, self.client))
            else:
                outcome = function(step)
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
            status = self._h.status(instance_id).runtime_status
        except KeyError:
            return SimpleNamespace(runtime_status=None)
        return SimpleNamespace(runtime_status=SimpleNamespace(value=status))


@pytest.fixture
def virtual_app() -> type[VirtualApp]:
    return VirtualApp


@pytest.fixture(scope="session")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azurite]:
    """An Azurite of this test run's own (one per xdist worker), in memory, on free loopback ports.

    `.connection_string`, `.blob_endpoint`, `.queue_endpoint`, `.table_endpoint`, `.log` (a path). Tests share
    it: name containers, queues and tables uniquely.
    """
    if reason := missing():
        pytest.skip(reason)
    with Azurite(log=tmp_path_factory.mktemp("azurite") / "azurite.log") as running:
        yield running


# What starts programs or takes a second or more, by module or test: `make check` leaves it to `make test`.
LONG = frozenset(
    {
        "test_both_halves",
        "test_conversion_reference",
        "test_export_file",
        "test_raw_formats",
        "test_chaos",
        "test_determinism_process",
        "test_blob_trigger",
        "test_generate",
        "test_hostile_elements",
        "test_hostile_lines",
        "test_hostile_parquet",
        "test_hooks",
        "test_worker_contract",
        "test_golden_calls",
        "test_process",
        "test_slices",
        "test_smoke",
        "test_supervisor",
        "test_given_a_large_element_with_a_long_text_when_converted_then_all_of_it",
        "test_given_a_legal_file_when_cut_then_its_parts_give_what_the_whole_gives",
        "test_given_a_small_file_that_unpacks_to_much_when_read_then_in_small_chunks",
        "test_given_a_cancel_at_any_interleaving_when_accepted_then_never_lost",
        "test_given_a_lane_of_many_steps_when_it_runs_then_all_of_them_and_a_short_history",
        "test_given_a_line_over_16_mib_when_written_then_rejected_with_its_beginning",
        "test_given_an_interval_when_the_clock_changes_then_it_runs_at_each_match_of_the_local_time",
        "test_given_any_api_and_any_crash_when_run_then_a_legal_way_to_one_end",
        "test_given_any_expression_when_asked_then_the_next_time_is_the_first_second_that_matches",
        "test_given_any_seed_when_a_careful_orchestrator_runs_then_it_gives_its_result",
        "test_given_an_accepted_cancel_at_every_single_operation_when_run_then_never_lost",
        "test_given_an_oauth_server_that_is_down_when_called_then_tried_again_since_it_may_come_back",
        "test_given_an_oauth_server_that_is_not_trusted_when_called_then_no_secret_is_sent_to_it",
        "test_given_any_file_when_converted_then_as_plain_python_says",
        "test_given_any_file_when_cut_then_its_parts_give_what_the_whole_gives",
        "test_given_every_cut_of_a_file_when_converted_then_never_a_row_less_in_silence",
        "test_given_many_blocks_when_files_are_listed_and_cut_otherwise_then_the_same_bytes",
        "test_given_one_device_with_all_records_when_taken_apart_then_memory_stays_flat",
        "test_given_one_file_when_cut_and_formatted_otherwise_then_the_same_bytes",
        "test_given_real_data_when_written_then_all_of_it_in_the_contracts_shape",
        "test_given_rows_in_many_groups_when_converted_then_a_file_a_day_in_the_files_order",
        "test_given_some_cuts_when_scaled_out_then_the_bytes_counts_and_rejects_of_the_rules",
        "test_given_some_raw_lines_when_written_then_the_bytes_and_counts_of_the_rules",
        "test_given_the_switch_when_the_host_runs_then_it_prints_its_seed_and_is_harsh",
        "test_given_work_of_a_dead_host_when_harsh_then_it_comes_back_late",
    }
)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark whatever uses the emulator, or is long; first, so that `-m "not azurite"` sees the marks."""
    for item in items:
        if "azurite" in getattr(item, "fixturenames", ()):
            item.add_marker("azurite")
        if LONG & {item.path.stem, getattr(item, "originalname", item.name)}:
            item.add_marker("long")
