"""Columns of side tables as arrays: a few bytes per document, never the text."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq


def column(path: Path, name: str) -> np.ndarray:
    """A column of numbers; null is NaN where there is one."""
    return pq.read_table(path, columns=[name])[name].to_numpy()


def is_null(path: Path, name: str) -> np.ndarray:
    """bool [rows]."""
    return pq.read_table(path, columns=[name])[name].is_null().to_numpy()


def highest(path: Path, name: str, places: list[int]) -> np.ndarray:
    """The highest of the values at `places` of a list column, float32 [rows]; NaN for null."""
    found = []
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(columns=[name]):
            lists = batch.column(0)
            values = np.full(len(lists), np.nan, np.float32)
            filled = lists.is_valid().to_numpy(zero_copy_only=False)
            if filled.any():
                matrix = lists.flatten().to_numpy().reshape(filled.sum(), -1)
                values[filled] = matrix[:, places].max(axis=1)
            found.append(values)
    return np.concatenate(found) if found else np.empty(0, np.float32)
