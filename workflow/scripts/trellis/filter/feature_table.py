"""The table of features: written a row group at a time, the same bytes however its parts were cut."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

ROW_GROUP = 20_000


def schema(bands: int) -> pa.Schema:
    """A source's table: its signatures have `bands` keys."""
    return pa.schema(
        [
            ("doc_id", pa.uint64()),
            ("n_tokens", pa.uint32()),
            ("n_tokens_reference", pa.uint32()),
            ("signature", pa.list_(pa.uint64(), bands)),
            ("contaminated_by", pa.string()),
            ("slice", pa.string()),
        ]
    )


def write_features(path: Path, bands: int, parts: Iterable[dict[str, np.ndarray | list]]) -> int:
    """Streams the columns of some documents after another; `signed` says which have a signature. Returns the rows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Signatures are random numbers: zstd and a dictionary would find nothing in them.
    options = {name: "NONE" if name == "signature" else "ZSTD" for name in schema(bands).names}
    rows = 0
    with pq.ParquetWriter(
        path, schema(bands), compression=options, use_dictionary=["contaminated_by", "slice"]
    ) as writer:
        for group in _row_groups(bands, parts):
            writer.write_table(group, row_group_size=ROW_GROUP)
            rows += len(group)
    return rows


def _row_groups(bands: int, parts: Iterable[dict]) -> Iterator[pa.Table]:
    """Tables of ROW_GROUP rows; the last one, or the only one of no documents, is shorter."""
    waiting, empty = schema(bands).empty_table(), True
    for part in parts:
        waiting = pa.concat_tables([waiting, _table(bands, part)])
        while len(waiting) >= ROW_GROUP:
            yield waiting.slice(0, ROW_GROUP)
            waiting, empty = waiting.slice(ROW_GROUP), False
    if len(waiting) or empty:
        yield waiting.combine_chunks()


def _table(bands: int, part: dict) -> pa.Table:
    keys = pa.array(part["signature"].reshape(-1))
    missing = pa.array(~part["signed"])
    columns = {
        **part,
        "signature": pa.FixedSizeListArray.from_arrays(keys, bands, mask=missing),
        "contaminated_by": pa.array(part["contaminated_by"], pa.string()),
        "slice": pa.array(part["slice"], pa.string()),
    }
    return pa.table({name: columns[name] for name in schema(bands).names}, schema=schema(bands))
