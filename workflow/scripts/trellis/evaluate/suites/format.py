"""Values to be written in a format that fine-tuning never showed. The stratum is the format.

Each item has names and values of its own, and is a cluster of its own.
"""

import itertools
from collections.abc import Iterator
from typing import Any

from trellis.chat import answer_json
from trellis.evaluate.suites import Built
from trellis.evaluate.suites.format_text import write
from trellis.evaluate.suites.format_values import SIZES, draw_value
from trellis.experiment.evaluation import FormatSuite
from trellis.schema_tasks import seeded
from trellis.spec import Spec

INSTRUCTIONS = {
    "yaml": "Write this JSON as YAML:",
    "toml": "Write this JSON as TOML:",
    "xml": "Write this JSON as XML. The root is <record>, a key is an element, a value in an array is an element <item>:",
    "csv": "Write this JSON as CSV with a line of names:",
}
# How many candidates there are for an item that is asked for: long ones do not fit a short context.
CANDIDATES = 12


def build(suite: FormatSuite, name: str, spec: Spec) -> Built:
    """The formats in turn, and of each the sizes in turn. The shots are small ones, each for its own format."""
    forms = suite.formats
    shots = []
    for form, place in itertools.product(forms, range(spec.config["shots"])):
        _, messages, answer = make_task(form, "small", suite.seed, "shots", place)
        shots.append({"messages": messages, "answer": answer, "stratum": form})
    return Built(make_items(suite, name), shots, suite.items, baselines={"{}": 0.0})


def make_items(suite: FormatSuite, name: str) -> Iterator[dict[str, Any]]:
    """Candidates, in their order; the first ones are the same for every number of items."""
    for index in range(suite.items * CANDIDATES):
        turn, place = divmod(index, len(suite.formats))
        form, key = suite.formats[place], f"{name}-{index:05d}"
        value, messages, answer = make_task(form, SIZES[turn % len(SIZES)], suite.seed, name, index)
        yield {
            "id": key,
            "suite": name,
            "kind": "format",
            "split": "unseen",
            "stratum": form,
            "cluster": key,
            "schema_id": key,
            "schema": None,
            "messages": messages,
            "gold": value,
            "answer": answer,
            "check": {"format": form},
        }


def make_task(form: str, size: str, *seed: Any) -> tuple[Any, list[dict[str, str]], str]:
    """(value, messages, answer): the value as JSON to be written in `form`."""
    value = draw_value(form, size, seeded(*seed))
    return value, [{"role": "user", "content": f"{INSTRUCTIONS[form]}\n{answer_json(value)}"}], write(form, value)
