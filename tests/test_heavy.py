"""Heavy steps over a real account: one at a time, cleaned up, and not for ever."""

import mmap
import resource
import sys
import threading
import uuid
from datetime import timedelta

import pytest

from mobexport.clock import now
from mobexport.errors import OutOfMemory, WorkerLost
from mobexport.heavy import MAX_DEATHS, ROOM, HeavySteps
from mobexport.settings import read_settings
from mobexport.storage import STEPS_TABLE, DataStorage

WHAT, HELPS = "convert of exports/a.json", "CONVERT_PART_MB"


@pytest.fixture
def steps(azurite) -> HeavySteps:
    settings = {"DATA_STORAGE": azurite.connection_string, "AZURE_FUNCTIONS_ENVIRONMENT": "Development"}
    return HeavySteps(DataStorage(read_settings(settings)))


@pytest.fixture
def key() -> str:
    return uuid.uuid4().hex


def marks(steps: HeavySteps, key: str) -> list[int]:
    rows = steps.storage.table(STEPS_TABLE).query_entities(f"RowKey eq '{key}'")
    return [row["begun"] for row in rows]


def run(steps: HeavySteps, key: str) -> None:
    with steps.run(key, WHAT, HELPS):
        pass


def die(steps: HeavySteps, key: str) -> None:
    """Begins a step, as a worker does that dies in it."""
    steps._begin(key, WHAT, HELPS)


def test_given_a_step_that_ends_then_neither_mark_nor_folder_is_left(steps, key) -> None:
    with steps.run(key, WHAT, HELPS) as step:
        assert step.folder.is_dir()
        assert marks(steps, key) == [1]
    assert not step.folder.exists()
    assert marks(steps, key) == []


def test_given_a_step_that_raises_then_it_did_not_die(steps, key) -> None:
    for _ in range(MAX_DEATHS + 1):
        with pytest.raises(ValueError, match="bad"), steps.run(key, WHAT, HELPS) as step:
            raise ValueError("bad")
        assert not step.folder.exists()
    assert marks(steps, key) == []


def test_given_a_step_that_died_twice_then_a_third_try_may_succeed(steps, key) -> None:
    for _ in range(MAX_DEATHS - 1):
        die(steps, key)
    with steps.run(key, WHAT, HELPS):
        assert marks(steps, key) == [MAX_DEATHS]
    assert marks(steps, key) == []


def test_given_a_step_that_died_thrice_then_it_is_not_begun_again(steps, key) -> None:
    for _ in range(MAX_DEATHS):
        die(steps, key)
    for _ in range(2):
        with pytest.raises(WorkerLost) as error, steps.run(key, WHAT, HELPS):
            pytest.fail("it was begun")
        assert not error.value.retryable
        assert f"died {MAX_DEATHS} times while it was at {WHAT}" in error.value.message
        assert HELPS in error.value.message
    # Another step is not to blame.
    with steps.run(f"{key}-other", WHAT, HELPS):
        pass


def test_given_two_steps_then_one_waits_for_the_other_unmarked(steps, key) -> None:
    inside, leave = threading.Event(), threading.Event()

    def first() -> None:
        with steps.run(f"{key}-1", WHAT, HELPS):
            inside.set()
            leave.wait(20)

    threads = [threading.Thread(target=first), threading.Thread(target=run, args=[steps, f"{key}-2"])]
    threads[0].start()
    assert inside.wait(20)
    threads[1].start()
    assert (marks(steps, f"{key}-1"), marks(steps, f"{key}-2")) == ([1], [])
    leave.set()
    for thread in threads:
        thread.join(20)
    assert marks(steps, f"{key}-1") == marks(steps, f"{key}-2") == []


def test_given_a_step_aside_then_another_takes_its_turn(steps, key) -> None:
    unlimited = resource.getrlimit(resource.RLIMIT_DATA)
    with steps.run(f"{key}-1", WHAT, HELPS) as first:
        with first.aside():
            assert resource.getrlimit(resource.RLIMIT_DATA) == unlimited
            with steps.run(f"{key}-2", WHAT, HELPS):
                assert (marks(steps, f"{key}-1"), marks(steps, f"{key}-2")) == ([1], [1])
        if sys.platform == "linux":
            assert resource.getrlimit(resource.RLIMIT_DATA) != unlimited
        other = threading.Thread(target=run, args=[steps, f"{key}-3"])
        other.start()
        other.join(0.3)
        assert (other.is_alive(), marks(steps, f"{key}-3")) == (True, [])
    other.join(20)
    assert not other.is_alive()


def test_given_old_marks_then_forgotten_and_the_step_begins_anew(steps, key) -> None:
    for _ in range(MAX_DEATHS):
        die(steps, key)
    steps.forget(now() - timedelta(days=1))
    assert marks(steps, key) == [MAX_DEATHS]
    assert steps.forget(now() + timedelta(seconds=1)) >= 1
    assert marks(steps, key) == []


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited on Linux only")
@pytest.mark.parametrize(
    "take",
    [
        "bytearray(2 * ROOM)",
        "pa.array(np.zeros(ROOM // 8)).cast(pa.string())",
        "mmap.mmap(-1, 2 * ROOM, flags=mmap.MAP_PRIVATE)",
    ],
)
def test_given_a_step_that_takes_too_much_memory_then_it_fails_alone(steps, key, take) -> None:
    # Now: no module can be loaded where memory is at its limit.
    pytest.importorskip("pyarrow.compute")
    names = {
        "ROOM": ROOM,
        "mmap": mmap,
        "pa": pytest.importorskip("pyarrow"),
        "np": pytest.importorskip("numpy"),
    }
    with pytest.raises(OutOfMemory, match=HELPS), steps.run(key, WHAT, HELPS):
        eval(take, names)
    assert marks(steps, key) == []
    before = resource.getrlimit(resource.RLIMIT_DATA)
    with steps.run(key, WHAT, HELPS):
        assert resource.getrlimit(resource.RLIMIT_DATA) != before
    assert resource.getrlimit(resource.RLIMIT_DATA) == before
