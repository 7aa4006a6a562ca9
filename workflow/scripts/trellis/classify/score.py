"""classify_score: every document's scores, source by source, in the documents' order."""

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from trellis.classify.model import Classifier, Head
from trellis.classify.predict import predict
from trellis.classify.window import Window
from trellis.command import Result
from trellis.device import hardware, pick_device
from trellis.documents import ROW_GROUP, tables_by_source, write_table
from trellis.progress import Bar, bar
from trellis.spec import Spec


def run(spec: Spec, out: Path) -> Result:
    """Writes scores/<source>.parquet."""
    torch.set_num_threads(spec.threads)
    device = pick_device(spec.machine)
    folder = spec.input("classifier").folder / "classifier"
    model = Classifier.load(folder).to(device)
    window = Window((folder / "tokenizer.json").read_text(encoding="utf-8"), spec.config["window"])
    sources = tables_by_source(spec.inputs_of("documents"))
    total = sum(pq.ParquetFile(path).metadata.num_rows for paths in sources.values() for path in paths)
    metrics, rows = {}, {}
    with bar("scores", total, "document") as progress:
        for name, paths in sources.items():
            scorer = _Scorer(model, window, name, spec.config["scoring_batch_tokens"], progress)
            file = f"scores/{name}.parquet"
            rows[file] = write_table(out / file, _schema(model.heads), scorer.rows(paths))
            metrics[name] = scorer.metrics(rows[file])
    labels = {name: head.labels for name, head in model.heads.items() if head.scale == "multi_label"}
    return Result({"labels": labels, "sources": metrics}, rows, hardware(device))


class _Scorer:
    """Scores the documents of one source, a row group at a time, and counts what it sees."""

    def __init__(self, model: Classifier, window: Window, source: str, batch_tokens: int, progress: Bar) -> None:
        self.model, self.window, self.source = model, window, source
        self.batch_tokens, self.progress = batch_tokens, progress
        self.unscored = 0
        self.sums: dict[str, float] = defaultdict(float)
        self.counts: dict[str, int] = defaultdict(int)

    def rows(self, paths: list[Path]) -> Iterator[dict]:
        for path in paths:
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(batch_size=ROW_GROUP, columns=["doc_id", "text"]):
                    documents = batch.to_pydict()
                    scores = predict(self.model, self.window.ids(documents["text"]), self.batch_tokens)
                    yield from self._rows(documents["doc_id"], scores)
                    self.progress.advance(len(batch))

    def _rows(self, doc_ids: list[int], scores: dict[str, np.ndarray]) -> Iterator[dict]:
        for place, doc_id in enumerate(doc_ids):
            row: dict = {"doc_id": doc_id}
            bad = False
            for name, head in self.model.heads.items():
                value = scores[name][place]
                # A head speaks of the sources that it was trained on: what it learnt of programs says nothing of prose.
                applies, finite = self.source in head.sources, bool(np.isfinite(value).all())
                row[name] = value.tolist() if applies and finite else None
                bad |= applies and not finite
                if head.scale == "ordinal" and row[name] is not None:
                    self.sums[name] += row[name]
                    self.counts[name] += 1
            self.unscored += bad
            yield row

    def metrics(self, documents: int) -> dict:
        """Documents, how many of them got no number (null), and the mean of each ordinal score."""
        means = {name: round(self.sums[name] / count, 4) for name, count in self.counts.items()}
        return {"documents": documents, "unscored": self.unscored, "means": means}


def _schema(heads: dict[str, Head]) -> pa.Schema:
    columns = [("doc_id", pa.uint64())]
    for name, head in heads.items():
        columns.append((name, pa.list_(pa.float32()) if head.scale == "multi_label" else pa.float32()))
    return pa.schema(columns)
