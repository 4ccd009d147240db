"""The orchestrators under what production may do: doubled and dying activities, timers that are early."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from devhost.replay import HarshPolicy
from mobexport import durable_names as names


@pytest.mark.parametrize("seed", range(12))
def test_given_any_seed_then_an_export_ends_processed_and_nothing_waits(
    make_pipeline: Callable[..., Any], seed: int
) -> None:
    pipeline = make_pipeline(harsh=HarshPolicy(seed))
    run = pipeline.start()
    pipeline.h.run()
    assert pipeline.ends[-1]["state"] == "Succeeded"
    assert pipeline.processed
    statuses = {i: pipeline.h.status(i).runtime_status for i in pipeline.h.instances()}
    assert set(statuses.values()) == {"Completed"}, statuses
    assert run in statuses
    assert len(pipeline.called(names.CREATE_EXPORT_JOB)) >= 1
