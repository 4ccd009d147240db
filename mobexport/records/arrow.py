"""Arrow arrays and the buffers below them, where their functions would copy or convert.

Source of the layouts: the Apache Arrow columnar format.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc


def split(data: bytes, separator: bytes) -> pa.Array:
    """The parts of a text between separators, as BINARY."""
    offsets = pa.array([0, len(data)], pa.int32()).buffers()[1]
    whole = pa.Array.from_buffers(pa.binary(), 1, [None, offsets, pa.py_buffer(data)])
    return pc.split_pattern(whole, separator).values


def values_of(array: pa.Array) -> bytes:
    """All values of an array of strings, one behind the other."""
    _, offsets, data = array.buffers()
    if data is None or not len(array):
        return b""
    view = memoryview(offsets).cast("i")
    return bytes(memoryview(data)[view[array.offset] : view[array.offset + len(array)]])


def places(mask: pa.Array) -> list[int]:
    """Where a mask is true."""
    found: list[int] = pc.indices_nonzero(pc.fill_null(mask, False)).to_pylist()
    return found
