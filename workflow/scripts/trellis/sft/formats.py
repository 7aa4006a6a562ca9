"""Formats that evaluation asks for because fine-tuning never showed them (`experiment.evaluation.FormatSuite`)."""

import re
from typing import Any

from trellis.tool_calls import INSTRUCTION

# As words only: `xmlns` and `read_csv` name something else. A fence (```yml) and a file name (boats.csv) name them, too.
NAMED = re.compile(r"\b(?:ya?ml|toml|xml|csv)s?\b", re.IGNORECASE)


def names_format(example: dict[str, Any]) -> bool:
    """Whether a turn of this conversation, whoever's, names one of them; a list of tools may, as it shows JSON.

    Unfenced text in a format is told by who asks for it; one that nobody names is not recognised.
    """
    turns = [turn["content"] for turn in example["messages"] if not turn["content"].startswith(INSTRUCTION)]
    return any(map(NAMED.search, turns))
