"""Order of rows: by group, then by instant, then by arrival."""

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from mobexport.records.sorting import in_order

INSTANTS = st.one_of(
    st.sampled_from([-(1 << 62), -62_135_596_800_000_000, 253_402_300_799_999_999, 0, 1]),
    st.integers(1_742_688_000_000_000, 1_742_688_000_000_009),
)


@settings(max_examples=500, deadline=None, derandomize=True, database=None)
@given(
    rows=st.lists(st.tuples(st.integers(0, 3), INSTANTS), min_size=1, max_size=40),
    factor=st.sampled_from([1, 10_000, 500_000_000]),
)
def test_given_rows_when_sorted_then_by_group_instant_and_arrival(rows, factor) -> None:
    ranks = pa.array([rank * factor for rank, _ in rows], pa.int32())
    found = in_order(ranks, pa.array([at for _, at in rows], pa.int64())).to_pylist()
    assert found == sorted(range(len(rows)), key=lambda place: rows[place])
