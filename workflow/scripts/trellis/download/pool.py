"""The documents of a source on their way to the table: unique by id, sampled by hash, sorted; held on disk, not in memory.

| reason | what was set aside |
|---|---|
| null_text | no text at all |
| too_short, too_long | characters outside the source's `min_chars`..`max_chars` |
| bad_encoding | text or meta that UTF-8 cannot spell (lone surrogates) |
| duplicate_id | a native id that the source has given before; the first one stays |
"""

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import xxhash

from trellis.documents import document_id
from trellis.download.archive import Raw
from trellis.experiment.sources import Source

# SQLite's integers are signed: shifted by this much, an unsigned 64-bit id keeps its place in the order.
SHIFT = 2**63


class Pool:
    """Takes documents in, gives the sample out. `path` is a scratch file, which must not exist yet."""

    def __init__(self, path: Path, name: str, source: Source, seed: int) -> None:
        self.name, self.source, self.seed = name, source, seed
        self.rejected: Counter[str] = Counter()
        self._table = sqlite3.connect(path, isolation_level=None)
        self._table.execute("PRAGMA journal_mode = OFF")
        self._table.execute("PRAGMA synchronous = OFF")
        self._table.execute("CREATE TABLE pool (doc_id INTEGER PRIMARY KEY, draw INTEGER, text, licence, meta)")
        self._table.execute("BEGIN")

    def __len__(self) -> int:
        return self._table.execute("SELECT count(*) FROM pool").fetchone()[0]

    def close(self) -> None:
        self._table.close()

    def add(self, raw: Raw) -> None:
        """Takes a document in, or counts why not."""
        reason = self._insert(raw)
        if reason:
            self.rejected[reason] += 1

    def _insert(self, raw: Raw) -> str | None:
        if raw.text is None:
            return "null_text"
        text = raw.text.replace("\r\n", "\n").strip()
        if len(text) < self.source.min_chars:
            return "too_short"
        if len(text) > self.source.max_chars:
            return "too_long"
        meta = json.dumps({"id": raw.native_id, **raw.meta}, ensure_ascii=False, sort_keys=True)
        try:
            text.encode(), meta.encode()
        except UnicodeEncodeError:
            return "bad_encoding"
        key = document_id(self.name, raw.native_id)
        draw = xxhash.xxh3_64_intdigest(f"sample\0{self.name}\0{raw.native_id}".encode(), seed=self.seed)
        row = (key - SHIFT, draw - SHIFT, text, raw.licence or self.source.licence, meta)
        taken = self._table.execute("INSERT OR IGNORE INTO pool VALUES (?, ?, ?, ?, ?)", row).rowcount
        return None if taken else "duplicate_id"

    def sample(self) -> Iterator[dict[str, Any]]:
        """The `max_documents` documents with the smallest seeded hashes (all, where that is None), by doc_id.

        Whether a document is drawn depends on its own id and on how many others there are, never on where it stands.
        """
        limit = -1 if self.source.max_documents is None else self.source.max_documents
        drawn = "SELECT doc_id FROM pool ORDER BY draw, doc_id LIMIT ?"
        query = f"SELECT doc_id, text, licence, meta FROM pool WHERE doc_id IN ({drawn}) ORDER BY doc_id"
        for key, text, licence, meta in self._table.execute(query, [limit]):
            yield {"doc_id": key + SHIFT, "text": text, "source": self.name, "licence": licence, "meta": meta}
