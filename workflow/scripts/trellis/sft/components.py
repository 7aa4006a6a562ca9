"""Which examples hang together with evaluation's schemas: links of similar schemas, from example to example.

An evaluation item is unseen only if nothing similar to it was trained on, nor anything similar to that. Whole components
leave the training data, never the evaluation.
"""

from collections import defaultdict
from pathlib import Path
from typing import Any

from trellis.contamination.schemas import find_schemas
from trellis.records import read_records
from trellis.schema_distance import Elements, SchemaSet, elements

# Schemas that say less are alike by chance, and would link everything with everything.
FEWEST_ELEMENTS = 3


class Components:
    """Collects the schemas of examples; `reference` holds the evaluation's texts, `least` the similarity of a link."""

    def __init__(self, reference: Path, least: float) -> None:
        self.least = least
        self.evaluation = {found for row in read_records(reference) for found in _elements(row["text"])}
        self.examples: dict[Elements, list[str]] = defaultdict(list)

    def add(self, example: dict[str, Any]) -> None:
        """Takes note of an example's schemas, those of its answers left out: an answer shows no schema."""
        text = "\n".join(turn["content"] for turn in example["messages"] if turn["role"] != "assistant")
        for found in _elements(text):
            self.examples[found].append(example["id"])

    def connected(self) -> set[str]:
        """The ids of the examples in a component with an evaluation schema."""
        known = list(self.examples)
        reached = SchemaSet(known).connected(sorted(self.evaluation, key=sorted), self.least)
        return {id_ for found, hit in zip(known, reached, strict=True) if hit for id_ in self.examples[found]}


def _elements(text: str) -> set[Elements]:
    schemas = (elements(found.schema) for found in find_schemas(text) if not found.inner)
    return {found for found in schemas if len(found) >= FEWEST_ELEMENTS}
