"""Labels in a file: the labels.parquet of another run, or JSON lines, as people write them.

A JSON line is {"doc_id", "window", RUBRIC: answer}; an answer is a list of the labels that hold, a level, or the name of a
class. `doc_id` and `window` are those of labels.parquet: a label holds for the text that it was given on.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from trellis.classify.answers import Document, Rubric, Value
from trellis.classify.rubric import Classes, MultiLabel
from trellis.errors import TrellisError


class LabelFile:
    """The labels that a file holds for `rubrics`; `holds` names those that it has any of. Raises TrellisError for what is
    no answer on a rubric's scale."""

    def __init__(self, path: Path, rubrics: list[Rubric]) -> None:
        self.path = path
        self.labels: dict[int, tuple[int, dict[str, Value]]] = {}
        lines = path.suffix != ".parquet"
        self.holds: set[str] = set()
        for place, row in enumerate(_lines(path) if lines else _table(path, rubrics), 1):
            values = {}
            for rubric in (rubric for rubric in rubrics if rubric.id in row):
                self.holds.add(rubric.id)
                value = row[rubric.id]
                if value is not None:
                    values[rubric.id] = _in_words(rubric, value) if lines else _by_place(rubric, value)
                    if values[rubric.id] is None:
                        raise TrellisError(
                            f"{path}, row {place}: {value!r:.100} is no answer to the rubric {rubric.id}"
                        )
            self.labels[row["doc_id"]] = row["window"], values

    def find(self, rubric: Rubric, document: Document) -> tuple[Value, str | None]:
        """The label and None, or None and the reason: `missing`, or `other_window`."""
        window, values = self.labels.get(document.doc_id, (document.window, {}))
        if window != document.window:
            return None, "other_window"
        value = values.get(rubric.id)
        return value, "missing" if value is None else None


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                row = json.loads(line)
                if not isinstance(row["doc_id"], int) or not isinstance(row["window"], int):
                    raise TypeError
            except (ValueError, KeyError, TypeError):
                raise TrellisError(f"{path}:{number}: no JSON object with the numbers doc_id and window") from None
            yield row


def _table(path: Path, rubrics: list[Rubric]) -> Iterator[dict[str, Any]]:
    with pq.ParquetFile(path) as file:
        schema = file.schema_arrow
        for rubric in rubrics:
            said = (schema.field(rubric.id).metadata or {}).get(b"names") if rubric.id in schema.names else None
            if said and json.loads(said) != rubric.names:
                raise TrellisError(f"{path}: its labels of {rubric.id} are on another scale than the rubric's")
        wanted = {"doc_id", "window", *(rubric.id for rubric in rubrics)}
        if missing := sorted({"doc_id", "window"} - set(schema.names)):
            raise TrellisError(f"{path} has no column {missing[0]}; a labels.parquet is wanted")
        for batch in file.iter_batches(columns=[name for name in schema.names if name in wanted]):
            yield from batch.to_pylist()


def _in_words(rubric: Rubric, value: Any) -> Value:
    if isinstance(rubric, MultiLabel):
        known = isinstance(value, list) and all(name in rubric.names for name in value)
        return [name in value for name in rubric.names] if known else None
    if isinstance(rubric, Classes):
        return rubric.names.index(value) if value in rubric.names else None
    return float(value) if type(value) is int and value in rubric.levels else None


def _by_place(rubric: Rubric, value: Any) -> Value:
    if isinstance(rubric, MultiLabel):
        return value if isinstance(value, list) and len(value) == len(rubric.names) else None
    if isinstance(rubric, Classes):
        return value if isinstance(value, int) and 0 <= value < len(rubric.names) else None
    return value if value in rubric.levels else None
