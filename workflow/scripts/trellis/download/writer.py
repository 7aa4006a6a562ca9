"""The document table of one source as it is written: what the rules take, in row groups bounded by rows and by bytes."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from trellis.documents import ROW_GROUP, SCHEMA, document_id
from trellis.download.archive import Raw
from trellis.download.reading import Reading
from trellis.download.renderers import is_scalar
from trellis.download.rules import judge, judge_column
from trellis.experiment.sources import Rules

GROUP_SIZE = 2**26  # bytes of text and meta of a row group, unless one document alone has more
PLAIN = {str, int, bool, type(None)}  # all of them scalars, or none at all
PENDING_ROWS = 256  # documents that wait to become columns
PENDING_SIZE = 2**23  # characters of them


class DocumentWriter:
    """Judges documents and writes those that are taken; `documents` and `bytes` count them, the rest `reading` counts.

    The file is the same whether documents come one by one or in columns: only the rows decide where a row group ends.
    """

    def __init__(self, path: Path, source: str, rules: Rules, reading: Reading) -> None:
        self.source, self.rules, self.reading = source, rules, reading
        self.documents = self.bytes = 0
        path.parent.mkdir(parents=True, exist_ok=True)
        # Only two columns repeat themselves, and nobody searches by the others.
        self._file = pq.ParquetWriter(
            path, SCHEMA, compression="zstd", use_dictionary=["source", "licence"], write_statistics=False
        )
        self._encode = json.JSONEncoder(ensure_ascii=False, sort_keys=True).encode
        self._encode_lines = json.JSONEncoder(ensure_ascii=False, separators=("\n", ": ")).encode
        self._pending: list[tuple[int, str, str, str]] = []
        self._pending_size = 0
        self._group: list[pa.RecordBatch] = []
        self._group_rows = self._group_size = 0

    def __enter__(self) -> "DocumentWriter":
        return self

    def __exit__(self, kind: type | None, *_: object) -> None:
        with self._file:
            if kind is None:
                self._settle()
                if self._group or not self.documents:
                    self._end_group()

    def add(self, raw: Raw) -> None:
        """Takes one document, or counts why not."""
        text, reason = judge(raw.text, self.rules)
        meta, licence = self._meta(raw.native_id, raw.meta), raw.licence or self.rules.licence
        if not reason and not _spelled(meta, licence):
            reason = "bad_encoding"
        if reason:
            self.reading.rejected[reason] += 1
            return
        self._pending.append((document_id(self.source, raw.native_id), text, licence, meta))
        self._pending_size += len(text) + len(meta)
        if len(self._pending) == PENDING_ROWS or self._pending_size > PENDING_SIZE:
            self._settle()

    def add_column(self, native_ids: list[str], texts: pa.Array, beside: pa.RecordBatch) -> None:
        """Takes a column of texts, all of it valid UTF-8, as `add` would one by one; the columns `beside` are their meta."""
        self._settle()
        texts, kept = judge_column(texts, self.rules, self.reading.rejected)
        native_ids = [native_ids[index] for index in kept.tolist()]
        values = beside.take(pa.array(kept)).to_pydict()
        self._append(
            [document_id(self.source, native_id) for native_id in native_ids],
            texts,
            [self.rules.licence] * len(native_ids),
            self._metas({"id": native_ids, **values}),
        )

    def _meta(self, native_id: str, meta: dict[str, Any]) -> str:
        return self._encode({"id": native_id, **meta})

    def _metas(self, columns: dict[str, list[Any]]) -> list[str]:
        """What `_meta` makes of each row's scalars, with one call of the encoder for a column: it writes a line for each
        value, since no line end stands unescaped in JSON."""
        cells = []
        for name, values in sorted(columns.items()):
            found = values if {*map(type, values)} <= PLAIN else [each if is_scalar(each) else None for each in values]
            head = f"{self._encode(name)}: "
            cells.append([cell != "null" and head + cell for cell in self._encode_lines(found)[1:-1].split("\n")])
        return ["{" + ", ".join(filter(None, row)) + "}" for row in zip(*cells, strict=True)]

    def _settle(self) -> None:
        if self._pending:
            ids, texts, licences, metas = zip(*self._pending, strict=True)
            self._pending, self._pending_size = [], 0
            self._append(ids, pa.array(texts, pa.string()), licences, metas)

    def _append(self, ids: Sequence[int], texts: pa.StringArray, licences: Sequence[str], metas: Sequence[str]) -> None:
        if not ids:
            return
        said, sizes = pa.array(metas, pa.string()), pc.binary_length(texts)
        sources = pa.array([self.source] * len(ids), pa.string())
        columns = [pa.array(ids, pa.uint64()), texts, sources, pa.array(licences, pa.string()), said]
        batch, start = pa.RecordBatch.from_arrays(columns, schema=SCHEMA), 0
        for row, size in enumerate(pc.add(sizes, pc.binary_length(said)).to_pylist()):
            if self._group_rows and (self._group_rows == ROW_GROUP or self._group_size + size > GROUP_SIZE):
                self._group.append(batch.slice(start, row - start))
                self._end_group()
                start = row
            self._group_rows, self._group_size = self._group_rows + 1, self._group_size + size
        self._group.append(batch.slice(start))
        self.documents += len(ids)
        self.bytes += pc.sum(sizes).as_py()

    def _end_group(self) -> None:
        self._file.write_table(pa.Table.from_batches(self._group, SCHEMA).combine_chunks())
        self._group, self._group_rows, self._group_size = [], 0, 0


def _spelled(*texts: str) -> bool:
    """Whether UTF-8 can spell them."""
    try:
        return all(text.encode() is not None for text in texts)
    except UnicodeEncodeError:
        return False
