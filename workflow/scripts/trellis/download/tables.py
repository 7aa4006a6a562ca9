"""Parquet files, read a few rows at a time: memory follows the largest row, not the row group or its dictionary.

Damaged bytes end their row group and are counted as `corrupt`; a file that is no parquet at all is Unreadable.
"""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from trellis.download.reading import Reading, Unreadable, raise_unless_damaged

BATCH_ROWS = 256
BATCH_BYTES = 32 * 2**20  # of a batch, as the metadata has it: what is stored, unpacked
REPEATED_BYTES = 64 * 2**20  # of a batch, if each of its values were its column's whole dictionary
READ_BYTES = 2**20  # of a column, from the disk at once
# What pyarrow raises on damaged bytes, found by damaging some.
DAMAGE = (pa.ArrowException, OSError, ValueError, OverflowError)


def batches(
    path: Path, required: list[str], optional: list[str], reading: Reading
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """The rows of the job's row groups, in those of the columns that there are, each batch with the number of its first
    row in the file. Raises Unreadable when this is no parquet file or a required column is missing."""
    try:
        file = pq.ParquetFile(path, buffer_size=READ_BYTES, pre_buffer=False)
    except DAMAGE as error:
        raise_unless_damaged(error)
        raise Unreadable(f"is no parquet file ({' '.join(str(error).split())})") from None
    with file:
        names = file.schema_arrow.names
        if missing := [name for name in required if name not in names]:
            raise Unreadable(f"has the columns {', '.join(names)}, and no {' and no '.join(missing)}")
        columns = [name for name in names if name in {*required, *optional}]
        first = 0
        for group in range(file.num_row_groups):
            metadata = file.metadata.row_group(group)
            if reading.takes(group):
                try:
                    yield from _group(file, path, group, columns, first)
                except DAMAGE as error:
                    raise_unless_damaged(error)
                    reading.reject("corrupt", group)
            first += metadata.num_rows
            reading.advance(sum(metadata.column(index).total_compressed_size for index in range(metadata.num_columns)))


def _group(
    file: pq.ParquetFile, path: Path, group: int, columns: list[str], first: int
) -> Iterator[tuple[int, pa.RecordBatch]]:
    size = _batch_rows(file.metadata.row_group(group), path, columns)
    for batch in file.iter_batches(size, row_groups=[group], columns=columns, use_threads=False):
        yield first, batch
        first += len(batch)


def _batch_rows(group: pq.RowGroupMetaData, path: Path, columns: list[str]) -> int:
    """As many rows as fit, going by what is stored, and by what may come of a dictionary, which stores once what many rows
    repeat."""
    stored, rows = 1.0, float(BATCH_ROWS)
    for index in range(group.num_columns):
        column = group.column(index)
        if column.path_in_schema.split(".")[0] in columns:
            stored += column.total_uncompressed_size
            if column.physical_type == "BYTE_ARRAY" and column.has_dictionary_page:
                size, repeats = _dictionary(path, column)
                if size * (1 + repeats) > REPEATED_BYTES:
                    rows = min(rows, REPEATED_BYTES / size * group.num_rows / column.num_values)
    return int(max(1, min(rows, BATCH_BYTES / stored * group.num_rows)))


def _dictionary(path: Path, column: pq.ColumnChunkMetaData) -> tuple[int, int]:
    """How large a column's dictionary is when unpacked, and how many values are repetitions at most. pyarrow does not show
    the header of the dictionary's page, which says both; where it cannot be read, both are the most that they can be."""
    with path.open("rb") as file:
        file.seek(column.dictionary_page_offset)
        header = iter(file.read(64))
    try:
        # Thrift's compact protocol: type, unpacked size, packed size, perhaps a checksum; then the dictionary's own
        # structure, which begins with the number of its values.
        fields, head = [], next(header)
        while head == 0x15:
            fields.append(_integer(header))
            head = next(header)
        if head & 0x0F != 0x0C or next(header) != 0x15:
            raise ValueError("no structure")
        return max(fields[1], 0), max(column.num_values - _integer(header), 0)
    except (StopIteration, ValueError, IndexError):
        return column.total_uncompressed_size, column.num_values


def _integer(header: Iterator[int]) -> int:
    """A 32-bit integer: seven bits a byte, the sign last."""
    value = shift = 0
    while (byte := next(header)) >= 0x80:
        value, shift = value | (byte & 0x7F) << shift, shift + 7
    value |= byte << shift
    return value >> 1 ^ -(value & 1)
