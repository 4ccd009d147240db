"""Types for the part of the untyped Durable SDK that this app uses."""

from __future__ import annotations

from collections.abc import Generator
from datetime import datetime
from typing import Any, Protocol


class Task(Protocol):
    """A task: an orchestrator can wait for it."""

    @property
    def is_completed(self) -> bool: ...

    @property
    def result(self) -> Any: ...


class TimerTask(Task, Protocol):
    """A durable timer; one that lost a race must be cancelled, or the instance waits for it."""

    def cancel(self) -> None: ...


class Context(Protocol):
    """The part of the context that orchestrators may use."""

    @property
    def instance_id(self) -> str: ...
    @property
    def current_utc_datetime(self) -> datetime: ...
    def get_input(self) -> Any: ...
    def call_activity(self, name: str, input_: Any = None) -> Task: ...
    def call_sub_orchestrator(
        self, name: str, input_: Any = None, instance_id: str | None = None
    ) -> Task: ...
    def create_timer(self, fire_at: datetime) -> TimerTask: ...
    def wait_for_external_event(self, name: str) -> Task: ...
    def task_any(self, activities: list[Task]) -> Task: ...
    def task_all(self, activities: list[Task]) -> Task: ...
    def continue_as_new(self, input_: Any) -> None: ...


class Client(Protocol):
    """The part of the durable client that triggers and activities may use."""

    async def start_new(
        self, orchestration_function_name: str, instance_id: str | None = None, client_input: Any = None
    ) -> str: ...
    async def raise_event(self, instance_id: str, event_name: str, event_data: Any = None) -> None: ...
    async def get_status(self, instance_id: str) -> Any: ...
    async def purge_instance_history_by(
        self, created_time_from: Any = None, created_time_to: Any = None, runtime_status: Any = None
    ) -> Any: ...


Steps = Generator[Any, Any, Any]
"""An orchestrator, or a part of one: yields tasks, is sent their results."""
