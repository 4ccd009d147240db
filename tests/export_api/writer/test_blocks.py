"""Blocks: the text in order whatever its chunks, two on their way at most, no failure lost."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mobexport.export_api.writer import blocks
from mobexport.export_api.writer.blocks import Blocks


class Target:
    """Keeps blocks; `broken` is a block that fails; `meet` parties stage at the same time."""

    def __init__(self, broken: str = "", meet: int = 1) -> None:
        self.kept: dict[str, bytes] = {}
        self.going = 0
        self._broken = broken
        self._barrier = threading.Barrier(meet)

    def stage(self, block: str, data: bytes) -> None:
        self.going += 1
        self._barrier.wait(10)
        if block == self._broken:
            raise OSError(block)
        self.kept[block] = data
        self.going -= 1

    def commit(self, blocks: Sequence[str]) -> None:
        raise AssertionError("the blocks alone commit nothing")


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "TARGET_BLOCK_BYTES", 10)


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(st.lists(st.binary(max_size=35), max_size=8))
def test_given_any_chunks_when_cut_then_whole_blocks_and_a_rest_in_order(chunks: list[bytes]) -> None:
    blocks.TARGET_BLOCK_BYTES = 10
    target = Target()
    with Blocks(target, 3) as made:
        for chunk in chunks:
            made.add(chunk)
    assert b"".join(target.kept[name] for name in made.names) == b"".join(chunks)
    assert len(target.kept) == made.count == -(-sum(map(len, chunks)) // 10)
    assert made.names == sorted(made.names)
    assert all(len(target.kept[name]) == 10 for name in made.names[:-1])


def test_given_a_slow_target_when_blocks_come_then_two_are_on_their_way() -> None:
    target = Target(meet=2)
    with Blocks(target, 0) as made:
        made.add(b"x" * 60)
    assert made.count == 6
    assert len(target.kept) == 6


def test_given_a_failing_block_then_it_is_raised_and_none_follows() -> None:
    target = Target(broken="00001-000002")
    with pytest.raises(OSError, match="00001-000002"), Blocks(target, 0) as made:
        made.add(b"x" * 500)
    assert made.count < 6


def test_given_a_failing_last_block_then_it_is_raised_at_the_end() -> None:
    with pytest.raises(OSError, match="00001-000002"), Blocks(Target(broken="00001-000002"), 0) as made:
        made.add(b"x" * 15)


def test_given_an_exception_when_the_block_ends_then_nothing_is_on_its_way() -> None:
    target = Target()

    def stop() -> None:
        with Blocks(target, 0) as made:
            made.add(b"x" * 25)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        stop()
    assert target.going == 0
    assert len(target.kept) <= 2


def test_given_a_slow_target_then_the_wait_for_it_is_aside(monkeypatch) -> None:
    monkeypatch.setattr(blocks, "_PATIENCE", 0.05)
    going, asides = threading.Event(), list[bool]()

    class Slow(Target):
        def stage(self, block: str, data: bytes) -> None:
            assert going.wait(20)
            super().stage(block, data)

    @contextmanager
    def aside() -> Iterator[None]:
        asides.append(going.is_set())
        going.set()
        yield

    target = Slow()
    with Blocks(target, 0, aside) as made:
        made.add(b"x" * 45)
    assert (asides, b"".join(target.kept.values())) == ([False], b"x" * 45)
