"""Rows to the bytes of a file: the same rows, the same bytes."""

import gzip
import io
import json
import zipfile
from collections.abc import Callable
from random import Random
from uuid import UUID

import pyarrow as pa
import pyarrow.parquet as pq

from hub_repos.text import rng

SHORT = "Too short."
DECOY = b"Nobody reads this file.\n"

Row = dict
Rows = list[Row]


def parquet(rows: Rows, columns: dict[str, pa.DataType], group: int = 20) -> bytes:
    """Rows as parquet, in row groups of `group`."""
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, pa.schema(columns)), buffer, row_group_size=group, compression="zstd")
    return buffer.getvalue()


def jsonl(rows: Rows) -> bytes:
    return b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows)


def zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name, (2024, 9, 16, 0, 0, 0)), data, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def gzipped(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


def make_rows(name: str, count: float, make: Callable[[Random, int], Row], bad: Rows) -> Rows:
    """Generated rows, and copies of the first of them with what makes each bad."""
    rows = [make(rng(name, number), number) for number in range(max(2, round(count)))]
    return rows + [make(rng(name, "bad", number), -1 - number) | change for number, change in enumerate(bad)]


def random_uuid(r: Random) -> str:
    return str(UUID(int=r.getrandbits(128), version=4))
