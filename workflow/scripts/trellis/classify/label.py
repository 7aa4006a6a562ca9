"""classify_label: a sample of the documents, split, cut to the window and answered by every rubric."""

import importlib
import json
from collections import Counter
from collections.abc import Callable, Iterator
from operator import attrgetter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import xxhash
from pydantic import TypeAdapter

from trellis.classify.answers import Answer, Document, Question, Rubric, real_answer
from trellis.classify.encoder import read_tokenizer
from trellis.classify.labellers.heuristic import heuristic
from trellis.classify.ratings import agreements, gold, human, repeated
from trellis.classify.rubric import MultiLabel, Ordinal, load_rubric
from trellis.classify.sample import draw, find, quotas, split
from trellis.classify.window import Window
from trellis.command import Result
from trellis.documents import tables_by_source, write_table
from trellis.errors import TrellisError
from trellis.experiment.classify import Backend, Encoder, Labels
from trellis.manifest import Manifest, file_sha256
from trellis.spec import Spec

BATCH = 1_000
# A guess at the window's end, good enough to tell strata apart.
CHARACTERS_PER_TOKEN = 4


def run(spec: Spec, out: Path) -> Result:
    """Writes labels.parquet and rubrics.json."""
    labels = Labels.model_validate(spec.config["labels"])
    for file in labels.files:
        _check_pin(Path(file), spec.config["local"][file])
    encoder = TypeAdapter(Encoder).validate_python(spec.config["encoder"])
    window = Window(read_tokenizer(spec.input("encoder"), encoder), spec.config["window"])
    rubrics = [load_rubric(name) for name in spec.config["rubrics"]]
    chosen = _sample(spec.inputs_of("documents"), rubrics, labels, window, spec.config["seed"])
    documents = sorted(chosen, key=attrgetter("source", "doc_id"))

    answers, measured, account = _answer(documents, rubrics, labels, spec.config["seed"])
    _check_nulls(answers, labels)
    rows = write_table(out / "labels.parquet", _schema(rubrics), _rows(documents, answers))
    descriptions = {rubric.id: _description(rubric) for rubric in rubrics}
    (out / "rubrics.json").write_text(json.dumps(descriptions, indent=1) + "\n", encoding="utf-8")
    metrics = {
        "documents": len(documents),
        "splits": _counts(document.split for document in documents),
        "sources": _counts(document.source for document in documents),
        "backend": {"kind": labels.backend.kind, "model": getattr(labels.backend, "model", None)},
        "rubrics": {rubric.id: _metrics(rubric, answers[rubric.id], measured[rubric.id]) for rubric in rubrics},
    }
    return Result(metrics, {"labels.parquet": rows}, {"labelling": account} if account else {})


def _check_pin(path: Path, pin: dict[str, Any]) -> None:
    if not path.is_file():
        raise TrellisError(f"classify: labels: the file {path} is not there")
    if file_sha256(path) != pin["sha256"]:
        raise TrellisError(f"classify: labels: {path} has changed since it was locked; lock the experiment again")


def _sample(
    sources: list[Manifest], rubrics: list[Rubric], labels: Labels, window: Window, seed: int
) -> Iterator[Document]:
    """The documents to be labelled; ids are read first, and texts only of those that may be chosen."""
    tables = tables_by_source(sources)
    sizes = {name: sum(pq.ParquetFile(path).metadata.num_rows for path in paths) for name, paths in tables.items()}
    if unknown := sorted(set(labels.weights) - set(sizes)):
        raise TrellisError(f"classify.labels.weights: no source {unknown[0]!r} (allowed: {', '.join(sorted(sizes))})")
    counts = quotas(sizes, labels.weights, labels.sample)
    head = labels.characters or window.room * CHARACTERS_PER_TOKEN
    stratum = None if labels.stratify == "none" else _stratum(rubrics, head)
    for name in sorted(tables):
        weights = draw(tables[name], sizes[name], counts[name], seed, stratum)
        batch: list[dict] = []
        for row in find(tables[name], weights, ["doc_id", "text", "meta"]):
            batch.append(row)
            if len(batch) == BATCH:
                yield from _documents(name, batch, weights, labels, window, seed)
                batch = []
        yield from _documents(name, batch, weights, labels, window, seed)


def _stratum(rubrics: list[Rubric], head: int) -> Callable[[str], str]:
    """The heuristic's answer, by the text's head, to the first ordinal rubric, or else to the first one; labels by how
    many hold."""
    chosen = next((rubric for rubric in rubrics if isinstance(rubric, Ordinal)), rubrics[0])
    answer = heuristic(chosen)
    if isinstance(chosen, MultiLabel):
        return lambda text: str(min(sum(map(bool, answer(text[:head]))), 4))
    return lambda text: str(answer(text[:head]))


def _documents(
    source: str, batch: list[dict], weights: dict[int, float], labels: Labels, window: Window, seed: int
) -> Iterator[Document]:
    texts = [row["text"] for row in batch]
    read = [text[: labels.characters] for text in texts] if labels.characters else window.cut(texts)
    for row, text in zip(batch, read, strict=True):
        yield Document(
            doc_id=row["doc_id"],
            source=source,
            split=split(row["doc_id"], labels.validation_share, labels.test_share, seed),
            weight=weights[row["doc_id"]],
            window=xxhash.xxh3_64_intdigest(text.encode()),
            text=text,
            meta=_as_object(row["meta"]),
        )


def _as_object(meta: str) -> dict[str, Any]:
    try:
        value = json.loads(meta)
    except (TypeError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _answer(
    documents: list[Document], rubrics: list[Rubric], labels: Labels, seed: int
) -> tuple[dict[str, list[Answer]], dict[str, dict], dict[str, Any]]:
    """By rubric the answers in the order of the documents, the agreement of labellings, and what the labelling took."""
    real = {rubric.id: [real_answer(rubric)(document.meta) for document in documents] for rubric in rubrics}
    questions = [
        Question(rubric, document)
        for rubric in rubrics
        for document, value in zip(documents, real[rubric.id], strict=True)
        if value is None
    ]
    rules = labels.agreement
    again = repeated(rules, questions, seed)
    given, account = _ask(labels.backend, questions + again, labels)
    first, repeats = given[: len(questions)], given[len(questions) :]
    others = {"repeats": (again, repeats), "human": human(rules, questions)}
    if rules.second:
        judged = gold(rules, questions, seed)
        second, cost = _ask(rules.second, judged, labels)
        others["second"], account = (judged, second), {**account, "second": cost}

    rest = iter(first)
    answers = {
        name: [next(rest) if value is None else Answer(value, "real") for value in values]
        for name, values in real.items()
    }
    return answers, agreements(rubrics, (questions, first), others), account


def _ask(backend: Backend, questions: list[Question], labels: Labels) -> tuple[list[Answer], dict[str, Any]]:
    labeller = importlib.import_module(f"trellis.classify.labellers.{backend.kind}")
    return labeller.label(backend, questions, int(labels.max_null_share * len(questions)))


def _check_nulls(answers: dict[str, list[Answer]], labels: Labels) -> None:
    """Raises TrellisError when too many answers to one rubric are missing."""
    for name, given in answers.items():
        reasons = Counter(answer.reason for answer in given if answer.reason)
        asked = sum(answer.origin != "real" for answer in given)
        if reasons.total() > labels.max_null_share * asked:
            shown = ", ".join(f"{reason} {count}" for reason, count in sorted(reasons.items()))
            raise TrellisError(
                f"classify: labels.max_null_share: {reasons.total()} of {asked} documents have no label of the rubric {name} "
                f"({shown}), and a share of {labels.max_null_share} is tolerated"
            )


def _rows(documents: list[Document], answers: dict[str, list[Answer]]) -> Iterator[dict]:
    for place, document in enumerate(documents):
        row = document._asdict()
        for name, given in answers.items():
            row |= {name: given[place].value, f"{name}_origin": given[place].origin}
            row[f"{name}_reason"] = given[place].reason
        yield row


def _schema(rubrics: list[Rubric]) -> pa.Schema:
    """Labels by place need their names: the column carries them."""
    fields = [pa.field("doc_id", pa.uint64()), pa.field("source", pa.string()), pa.field("split", pa.string())]
    fields += [pa.field("weight", pa.float64()), pa.field("window", pa.uint64()), pa.field("text", pa.string())]
    types = {"multi_label": pa.list_(pa.bool_()), "ordinal": pa.float32(), "classes": pa.int8()}
    for rubric in rubrics:
        fields.append(pa.field(rubric.id, types[rubric.scale], metadata={"names": json.dumps(rubric.names)}))
        fields += [pa.field(f"{rubric.id}_origin", pa.string()), pa.field(f"{rubric.id}_reason", pa.string())]
    return pa.schema(fields)


def _description(rubric: Rubric) -> dict[str, Any]:
    """What a classifier must know of a rubric."""
    names = {"multi_label": "labels", "ordinal": "levels", "classes": "classes"}
    listed = sorted(rubric.levels) if isinstance(rubric, Ordinal) else rubric.names
    described = {"version": rubric.version, "scale": rubric.scale, "heuristic": rubric.heuristic.name}
    return {**described, names[rubric.scale]: listed}


def _metrics(rubric: Rubric, answers: list[Answer], agreement: dict[str, Any]) -> dict[str, Any]:
    """Labels by origin and class, nulls by reason."""
    labelled = [answer for answer in answers if answer.value is not None]
    if isinstance(rubric, MultiLabel):
        classes = {name: sum(bool(a.value[place]) for a in labelled) for place, name in enumerate(rubric.names)}
    else:
        places = sorted(rubric.levels) if isinstance(rubric, Ordinal) else range(len(rubric.names))
        classes = {
            name: sum(a.value == place for a in labelled) for name, place in zip(rubric.names, places, strict=True)
        }
    return {
        "version": rubric.version,
        "scale": rubric.scale,
        "heuristic": rubric.heuristic.name,
        "labelled": len(labelled),
        "origins": _counts(answer.origin for answer in labelled),
        "nulls": _counts(answer.reason for answer in answers if answer.reason),
        "classes": classes,
        "agreement": agreement,
    }


def _counts(values) -> dict[str, int]:
    return dict(sorted(Counter(values).items()))
