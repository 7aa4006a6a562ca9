"""Parquet files, read a few rows at a time: memory follows the largest row, not the row group or its dictionary.

Damaged bytes end their row group, and are counted as `corrupt`; a file that is no parquet at all is Unreadable.
"""

import errno
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

BATCH_ROWS = 256
BATCH_BYTES = 32 * 2**20  # of a batch, as the row group's metadata has it: what is stored, unpacked
DICTIONARY_BYTES = 256 * 2**20  # of a batch, if each of its values were its column's whole dictionary
READ_BYTES = 2**20  # of a column, from the disk at once
# What pyarrow raises on damaged bytes, found by damaging some.
DAMAGE = (pa.ArrowException, OSError, ValueError, OverflowError)


class Unreadable(Exception):
    """What is wrong with a file as a whole, as the end of a sentence that begins with its name."""


@dataclass(frozen=True)
class Share:
    """What one of several jobs reads of the same file: every item whose number is `shard` modulo `shards`."""

    shard: int
    shards: int

    def takes(self, number: int) -> bool:
        """Whether this job reads the item `number`."""
        return number % self.shards == self.shard


@dataclass(frozen=True)
class Batch:
    """Rows of a file from number `first` on, in the columns asked for."""

    first: int
    rows: pa.RecordBatch


def batches(
    path: Path, required: list[str], optional: list[str], share: Share, rejected: Counter[str]
) -> Iterator[Batch]:
    """The rows of the share's row groups. Raises Unreadable when this is no parquet file or a required column is
    missing."""
    try:
        file = pq.ParquetFile(path, buffer_size=READ_BYTES, pre_buffer=False)
    except DAMAGE as error:
        raise_unless_damaged(error)
        raise Unreadable(f"is no parquet file ({_first_line(error)})") from None
    with file:
        names = file.schema_arrow.names
        if missing := [name for name in required if name not in names]:
            raise Unreadable(f"has no column {', '.join(missing)}; its columns are {', '.join(names)}")
        columns = [name for name in names if name in {*required, *optional}]
        first = 0
        for group in range(file.num_row_groups):
            rows = file.metadata.row_group(group).num_rows
            if share.takes(group) and rows:
                try:
                    yield from _group(file, path, group, columns, first)
                except DAMAGE as error:
                    raise_unless_damaged(error)
                    rejected["corrupt"] += 1
            first += rows


def raise_unless_damaged(error: Exception) -> None:
    """Raises what the disk, not the bytes, is to blame for."""
    disk = isinstance(error, OSError) and error.errno not in (None, errno.EINVAL)
    if disk or isinstance(error, MemoryError):
        raise error


def _group(file: pq.ParquetFile, path: Path, group: int, columns: list[str], first: int) -> Iterator[Batch]:
    size = _batch_rows(file, path, group, columns)
    for rows in file.iter_batches(size, row_groups=[group], columns=columns, use_threads=False):
        yield Batch(first, rows)
        first += len(rows)


def _batch_rows(file: pq.ParquetFile, path: Path, group: int, columns: list[str]) -> int:
    """As many rows as the metadata allows: a row weighs its share of the stored bytes, or, since a dictionary stores once
    what many rows repeat, as many whole dictionaries as it has values."""
    metadata = file.metadata.row_group(group)
    stored = expanded = 0.0
    for index in range(metadata.num_columns):
        column = metadata.column(index)
        if column.path_in_schema.split(".")[0] in columns:
            stored += column.total_uncompressed_size
            if column.physical_type == "BYTE_ARRAY" and column.has_dictionary_page:
                expanded += _dictionary_bytes(path, column) * column.num_values
    rows = metadata.num_rows
    return int(max(1, min(BATCH_ROWS, BATCH_BYTES * rows / (stored or 1), DICTIONARY_BYTES * rows / (expanded or 1))))


def _dictionary_bytes(path: Path, column: pq.ColumnChunkMetaData) -> int:
    """How large a column's dictionary is when unpacked: the second field of its page's header (Thrift's compact protocol,
    all three fields zigzag varints), which pyarrow does not show. Whatever cannot be read so counts as the whole column."""
    with path.open("rb") as file:
        file.seek(column.dictionary_page_offset)
        header = file.read(32)
    fields, position = [], 0
    while len(fields) < 2 and position < len(header) and header[position] == 0x15:  # the next field, an i32
        value, shift, more = 0, 0, True
        while more and (position := position + 1) < len(header):
            value |= (header[position] & 0x7F) << shift
            shift, more = shift + 7, header[position] >= 0x80
        fields.append(value >> 1)
        position += 1
    return fields[1] if len(fields) == 2 else column.total_uncompressed_size


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
