"""The checksum of a table's rows: the same wherever the rows lie and however they are stored."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from hashlib import _Hash


def rows_sha256(table: pa.Table) -> str:
    """Return the SHA-256 of the rows of a table, in hex.

    It is taken of each column's name, type, nulls and values, without those of nulls. All NaN are
    one value.
    """
    digest = hashlib.sha256(str(table.num_rows).encode())
    for name in table.column_names:
        column = table[name]
        digest.update(f"\n{name}:{column.type}\n".encode())
        chunks = column.chunks or [pa.array([], column.type)]
        _feed(digest, pa.concat_arrays(chunks))
    return digest.hexdigest()


def _feed(digest: _Hash, array: pa.Array) -> None:
    kind = array.type
    digest.update(np.packbits(_numpy(pc.is_valid(array))).tobytes())
    if pa.types.is_list(kind):
        digest.update(_numpy(pc.fill_null(pc.list_value_length(array), 0)).tobytes())
        _feed(digest, array.flatten())
    elif pa.types.is_string(kind):
        digest.update(_numpy(pc.fill_null(pc.binary_length(array), 0)).tobytes())
        _feed_texts(digest, pc.fill_null(array, ""))
    elif pa.types.is_null(kind):
        return
    elif pa.types.is_boolean(kind) or pa.types.is_integer(kind):
        digest.update(_numpy(pc.fill_null(array, False if kind == pa.bool_() else 0)).tobytes())
    elif pa.types.is_floating(kind):
        values = _numpy(pc.fill_null(array, 0.0))
        digest.update(np.where(np.isnan(values), np.nan, values).tobytes())
    else:
        raise TypeError(f"no checksum of a column of {kind}")


def _feed_texts(digest: _Hash, array: pa.Array) -> None:
    _, places, content = array.buffers()
    if content is None or not len(array):
        return
    offsets = np.frombuffer(places, np.int32)[array.offset : array.offset + len(array) + 1]
    digest.update(content.slice(int(offsets[0]), int(offsets[-1] - offsets[0])))


def _numpy(array: pa.Array) -> Any:
    return array.to_numpy(zero_copy_only=False)
