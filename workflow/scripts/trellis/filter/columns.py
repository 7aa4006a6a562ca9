"""Columns of side tables as arrays: a few bytes per document, never the text."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

# Documents that are looked at together.
ROWS = 1 << 17


def stream(paths: Iterable[Path], names: Iterable[str], rows: int = ROWS) -> Iterator[pa.Table]:
    """The columns `names`, as far as the tables have them, in tables of `rows` rows, the last of fewer: where one file
    ends and the next begins does not show."""
    waiting: list[pa.RecordBatch] = []
    for path in paths:
        with pq.ParquetFile(path) as file:
            known = [name for name in names if name in file.schema_arrow.names]
            for batch in file.iter_batches(batch_size=rows, columns=known):
                waiting.append(batch)
                while sum(map(len, waiting)) >= rows:
                    table = pa.Table.from_batches(waiting)
                    yield table.slice(0, rows)
                    waiting = table.slice(rows).to_batches()
    if any(map(len, waiting)):
        yield pa.Table.from_batches(waiting)


def numbers(table: pa.Table, name: str) -> np.ndarray:
    """A column of scores, float32 [rows]; NaN for null, for what is not finite, and for a column that is not there."""
    if name not in table.column_names:
        return np.full(len(table), np.nan, np.float32)
    values = table[name].to_numpy().astype(np.float32)
    return np.where(np.isfinite(values), values, np.float32(np.nan))


def vectors(table: pa.Table, name: str, width: int) -> np.ndarray:
    """A list column of scores, float32 [rows, width]; a row is NaN throughout where it is null, has another length or
    holds anything that is not finite, and where the column is not there."""
    found = np.full((len(table), width), np.nan, np.float32)
    if name in table.column_names and width:
        lists = table[name].combine_chunks()
        whole = pc.equal(pc.list_value_length(lists), width).fill_null(False)
        kept = lists if pc.all(whole).as_py() else lists.filter(whole)
        values = kept.flatten().to_numpy(zero_copy_only=False).reshape(-1, width)
        found[whole.to_numpy(zero_copy_only=False)] = values
        found[~np.isfinite(found).all(axis=1)] = np.nan
    return found


def write_columns(path: Path, schema: pa.Schema, columns: list[np.ndarray | pa.Array]) -> int:
    """Writes arrays as a zstd parquet file; returns the number of rows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_arrays(
        [pa.array(each, field.type) for each, field in zip(columns, schema, strict=True)], schema=schema
    )
    pq.write_table(table, path, compression="zstd", row_group_size=ROWS)
    return len(table)
