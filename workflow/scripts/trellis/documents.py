"""The document table: the one form in which text travels from download to tokenize.

| column | type | meaning |
|---|---|---|
| doc_id | uint64 | xxh3 of source and native id: the key of every later table |
| text | string | the rendered document |
| source | string | the name in the experiment's `sources` |
| licence | string | SPDX name or the licence's own words |
| meta | string | a JSON object: what the source says of the document (labels, scores, native id) |

Text is written once, a source in one table or in many (shards). Later tables are thin, keyed by doc_id and in the same
order as the documents.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from trellis.manifest import Manifest

SCHEMA = pa.schema(
    [
        ("doc_id", pa.uint64()),
        ("text", pa.string()),
        ("source", pa.string()),
        ("licence", pa.string()),
        ("meta", pa.string()),
    ]
)
ROW_GROUP = 2_000
# The token that ends a document, and in a conversation a turn: the one special token that every tokenizer here has.
END_OF_TEXT = "<|endoftext|>"


def document_id(source: str, native_id: str) -> int:
    """A document's 64-bit id, a pure function of where it comes from."""
    return xxhash.xxh3_64_intdigest(f"{source}\0{native_id}".encode())


def write_table(path: Path, schema: pa.Schema, rows: Iterable[dict[str, Any]]) -> int:
    """Streams rows into a zstd parquet file, one row group in memory at a time; returns the number of rows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    total, batch = 0, []
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for row in rows:
            batch.append(row)
            if len(batch) == ROW_GROUP:
                writer.write_table(pa.Table.from_pylist(batch, schema=schema))
                total, batch = total + len(batch), []
        if batch or not total:
            writer.write_table(pa.Table.from_pylist(batch, schema=schema))
    return total + len(batch)


def tables_by_source(manifests: Iterable[Manifest]) -> dict[str, list[Path]]:
    """The document tables of each source, in the order of the results given: the order of all later tables."""
    tables: dict[str, list[Path]] = {}
    for made in manifests:
        tables.setdefault(made.metrics["source"], []).extend(made.paths("documents/"))
    return tables


def side_tables(manifests: Iterable[Manifest], folder: str) -> dict[str, list[Path]]:
    """The tables `folder`/SOURCE.parquet of each source, in the order of the results given."""
    tables: dict[str, list[Path]] = {}
    for made in manifests:
        for path in made.paths(f"{folder}/"):
            tables.setdefault(path.stem, []).append(path)
    return tables


def read_rows(paths: Iterable[Path], columns: list[str] | None = None) -> Iterator[dict[str, Any]]:
    """The rows of parquet files, streamed row group by row group in the order given."""
    for path in paths:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=ROW_GROUP, columns=columns):
                yield from batch.to_pylist()
