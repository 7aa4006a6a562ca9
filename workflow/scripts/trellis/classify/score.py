"""classify_score: every document's scores, source by source, in the documents' order.

A part is a row group of a document table. Its scores are kept in work/ as soon as they are there, so that a run that was
killed goes on after its last part and ends with the same bytes.
"""

import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from trellis.classify.heads import Head
from trellis.classify.model import Classifier
from trellis.classify.predict import predict
from trellis.classify.window import Window
from trellis.command import Result
from trellis.device import hardware, pick_device
from trellis.documents import tables_by_source
from trellis.manifest import WORK, write_atomically
from trellis.progress import bar
from trellis.spec import Spec


def run(spec: Spec, out: Path) -> Result:
    """Writes scores/<source>.parquet."""
    torch.set_num_threads(spec.threads)
    device = pick_device(spec.machine)
    folder = spec.input("classifier").folder / "classifier"
    model = Classifier.load(folder).to(device).scorer()
    window = Window((folder / "tokenizer.json").read_text(encoding="utf-8"), spec.config["window"])
    work = out / WORK / spec.fingerprint
    sources = {
        name: parts_of(paths, work / name) for name, paths in tables_by_source(spec.inputs_of("documents")).items()
    }
    score_parts(model, window, sources, spec.config["scoring_batch_tokens"])
    metrics, rows = {}, {}
    for name, parts in sources.items():
        file = f"scores/{name}.parquet"
        applying = [rubric for rubric, head in model.heads.items() if name in head.sources]
        metrics[name] = _join(parts, out / file, _schema(model.heads), applying)
        rows[file] = metrics[name]["documents"]
    heads = model.heads.items()
    account = {
        "labels": {name: head.labels for name, head in heads if head.labels},
        "thresholds": {name: head.thresholds for name, head in heads if head.thresholds},
        "sources": metrics,
    }
    return Result(account, rows, hardware(device))


@dataclass(frozen=True)
class Part:
    """One row group of a document table, and where its scores are kept."""

    table: Path
    row_group: int
    rows: int
    scores: Path


def parts_of(tables: list[Path], folder: Path) -> list[Part]:
    """The parts of a source's tables, in their order; their scores are to be kept in `folder`."""
    parts = []
    for path in tables:
        metadata = pq.read_metadata(path)
        for group in range(metadata.num_row_groups):
            rows = metadata.row_group(group).num_rows
            parts.append(Part(path, group, rows, folder / f"{len(parts):06}.parquet"))
    return parts


def score_parts(model: Classifier, window: Window, sources: dict[str, list[Part]], batch_tokens: int) -> None:
    """Writes the scores of every part that has none; NaN and infinite ones, and those of a head that was not trained on
    the source, are null."""
    every = [(name, part) for name, parts in sources.items() for part in parts]
    pending = [(name, part) for name, part in every if not part.scores.exists()]
    schema = _schema(model.heads)
    with bar("scores", sum(part.rows for _, part in every), "document") as progress:
        progress.advance(progress.total - sum(part.rows for _, part in pending))
        for (name, part), (doc_ids, ids) in zip(pending, _read_ahead(pending, window), strict=True):
            scores = predict(model, ids, batch_tokens)
            # A head speaks of the sources that it was trained on: what it learnt of programs says nothing of prose.
            columns = [_column(scores[rubric], name in head.sources) for rubric, head in model.heads.items()]
            buffer = io.BytesIO()
            pq.write_table(pa.Table.from_arrays([doc_ids, *columns], schema=schema), buffer, compression="zstd")
            part.scores.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(part.scores, buffer.getvalue())
            progress.advance(part.rows)


def _read_ahead(parts: list[tuple[str, Part]], window: Window) -> Iterator[tuple[pa.Array, list[list[int]]]]:
    """The doc_ids and token ids of each part; the next part is read and tokenised while the last one is scored."""

    def read(part: Part) -> tuple[pa.Array, list[list[int]]]:
        with pq.ParquetFile(part.table) as file:
            table = file.read_row_group(part.row_group, columns=["doc_id", "text"])
        return table["doc_id"].combine_chunks(), window.ids(table["text"].to_pylist())

    with ThreadPoolExecutor(1) as reader:
        following = [reader.submit(read, part) for _, part in parts[:1]]
        for place in range(len(parts)):
            current = following.pop()
            following += [reader.submit(read, part) for _, part in parts[place + 1 : place + 2]]
            yield current.result()


def _column(scores: np.ndarray, applies: bool) -> pa.Array:
    """Scores [documents] or [documents, labels] as an Arrow column, null for a document without a finite score."""
    missing = ~np.isfinite(scores).all(axis=tuple(range(1, scores.ndim))) | (not applies)
    if scores.ndim == 1:
        return pa.array(scores, mask=missing)
    offsets = np.concatenate([[0], np.cumsum(np.where(missing, 0, scores.shape[1]))]).astype(np.int32)
    return pa.ListArray.from_arrays(offsets, scores[~missing].reshape(-1), mask=pa.array(missing))


def _schema(heads: dict[str, Head]) -> pa.Schema:
    # Not float16: half the bytes of a table that is a hundredth of the text, for ties where documents are ranked.
    columns = [("doc_id", pa.uint64())]
    columns += [(name, pa.list_(pa.float32()) if head.shape else pa.float32()) for name, head in heads.items()]
    return pa.schema(columns)


def _join(parts: list[Part], path: Path, schema: pa.Schema, applying: list[str]) -> dict:
    """Writes the parts as one table; documents, how many of them lack a score that applies to them, and the mean of each
    ordinal score."""
    path.parent.mkdir(parents=True, exist_ok=True)
    documents, unscored, sums, counts = 0, 0, {}, {}
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for part in parts:
            table = pq.read_table(part.scores)
            writer.write_table(table)
            documents += len(table)
            missing = [table[name].is_null().to_numpy() for name in applying]
            unscored += int(np.any(missing, axis=0).sum()) if missing else 0
            for name in applying:
                if pa.types.is_floating(schema.field(name).type):
                    known = table[name].drop_null().to_numpy()
                    sums[name] = sums.get(name, 0.0) + float(known.sum(dtype=np.float64))
                    counts[name] = counts.get(name, 0) + len(known)
    means = {name: round(sums[name] / count, 4) for name, count in counts.items() if count}
    return {"documents": documents, "unscored": unscored, "means": means}
