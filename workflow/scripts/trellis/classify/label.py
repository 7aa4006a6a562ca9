"""classify_label: a sample of the documents, split, cut to the window and answered by every rubric."""

import json
from collections.abc import Iterator
from operator import itemgetter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import TypeAdapter

from trellis.classify.answers import answerer
from trellis.classify.encoder import read_tokenizer
from trellis.classify.rubric import MultiLabel, Ordinal, load_rubric
from trellis.classify.sample import quotas, split, take
from trellis.classify.window import Window
from trellis.command import Result
from trellis.documents import read_rows, tables_by_source, write_table
from trellis.errors import TrellisError
from trellis.experiment.classify import Encoder, Labels
from trellis.manifest import Manifest
from trellis.spec import Spec

BATCH = 1_000


def run(spec: Spec, out: Path) -> Result:
    """Writes labels.parquet and rubrics.json."""
    labels = Labels.model_validate(spec.config["labels"])
    encoder = TypeAdapter(Encoder).validate_python(spec.config["encoder"])
    window = Window(read_tokenizer(spec.input("encoder"), encoder), spec.config["window"])
    rubrics = [load_rubric(name) for name in spec.config["rubrics"]]
    chosen = _choose(spec.inputs_of("documents"), labels, spec.config["seed"])
    rows = sorted(_label(chosen, window, rubrics, labels, spec.config["seed"]), key=itemgetter("source", "doc_id"))
    written = write_table(out / "labels.parquet", _schema(rubrics), rows)
    descriptions = {rubric.id: _description(rubric) for rubric in rubrics}
    (out / "rubrics.json").write_text(json.dumps(descriptions, indent=1) + "\n", encoding="utf-8")
    return Result(_metrics(rows, rubrics, descriptions), {"labels.parquet": written})


def _choose(sources: list[Manifest], labels: Labels, seed: int) -> Iterator[list[dict]]:
    """The sampled documents in batches; the ids are read first, and the texts only in passing."""
    files = tables_by_source(sources)
    sizes = {name: sum(pq.ParquetFile(path).metadata.num_rows for path in paths) for name, paths in files.items()}
    if unknown := sorted(set(labels.weights) - set(sizes)):
        raise TrellisError(f"classify.labels.weights: no source {unknown[0]!r} (allowed: {', '.join(sorted(sizes))})")
    counts = quotas(sizes, labels.weights, labels.sample)
    batch = []
    for name in sorted(files):
        ids = take((row["doc_id"] for row in read_rows(files[name], ["doc_id"])), counts[name], seed)
        for row in read_rows(files[name], ["doc_id", "source", "text", "meta"]):
            if row["doc_id"] in ids:
                batch.append(row)
            if len(batch) == BATCH:
                yield batch
                batch = []
    yield batch


def _label(batches, window: Window, rubrics: list, labels: Labels, seed: int) -> Iterator[dict]:
    answerers = {rubric.id: answerer(rubric) for rubric in rubrics}
    for batch in batches:
        texts = window.cut([row["text"] for row in batch])
        for document, text in zip(batch, texts, strict=True):
            part = split(document["doc_id"], labels.validation_share, labels.test_share, seed)
            row = {"doc_id": document["doc_id"], "source": document["source"], "split": part, "text": text}
            for name, answer in answerers.items():
                row[name], row[f"{name}_origin"] = answer(text, document["meta"])
            yield row


def _schema(rubrics: list) -> pa.Schema:
    columns = [("doc_id", pa.uint64()), ("source", pa.string()), ("split", pa.string()), ("text", pa.string())]
    for rubric in rubrics:
        columns.append((rubric.id, pa.list_(pa.bool_()) if isinstance(rubric, MultiLabel) else pa.float32()))
        columns.append((f"{rubric.id}_origin", pa.string()))
    return pa.schema(columns)


def _description(rubric: MultiLabel | Ordinal) -> dict:
    """What a classifier must know of a rubric."""
    common = {"version": rubric.version, "scale": rubric.scale}
    if isinstance(rubric, MultiLabel):
        return {**common, "heuristic": rubric.heuristic.name, "labels": rubric.names}
    heuristic = rubric.heuristic.name if rubric.heuristic else None
    return {**common, "heuristic": heuristic, "levels": sorted(rubric.levels)}


def _metrics(rows: list[dict], rubrics: list, descriptions: dict) -> dict:
    """Labels by rubric, origin and class, and documents by split and source."""
    metrics = {"documents": len(rows), "splits": _counts(rows, "split"), "sources": _counts(rows, "source")}
    metrics["rubrics"] = {}
    for rubric in rubrics:
        labelled = [row for row in rows if row[rubric.id] is not None]
        if isinstance(rubric, MultiLabel):
            answers = zip(*(row[rubric.id] for row in labelled), strict=True)
            classes = {name: sum(map(bool, given)) for name, given in zip(rubric.names, answers, strict=False)}
        else:
            classes = {str(level): sum(row[rubric.id] == level for row in labelled) for level in sorted(rubric.levels)}
        origins = _counts(labelled, f"{rubric.id}_origin")
        metrics["rubrics"][rubric.id] = {
            **{key: descriptions[rubric.id][key] for key in ("version", "scale", "heuristic")},
            "labelled": len(labelled),
            "origins": origins,
            "classes": classes,
        }
    return metrics


def _counts(rows: list[dict], key: str) -> dict[str, int]:
    values = [row[key] for row in rows]
    return {value: values.count(value) for value in sorted(set(values))}
