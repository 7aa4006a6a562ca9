"""What was written down before any result: the primary comparison, its margin, the secondary family, the exclusions.

`config/prereg.yaml` holds an entry for every experiment, by name. Whatever it does not name is exploratory.
"""

import difflib
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from trellis.errors import TrellisError
from trellis.experiment.evaluation import Mode
from trellis.experiment.reading import read_yaml
from trellis.experiment.section import Section
from trellis.experiment.sentences import first_sentence

Metric = Literal["parse", "parse_lenient", "schema_valid", "exact", "leaf_f1", "key_f1", "ast", "execution"]
Split = Literal["all", "seen", "unseen", "near", "far", "held_out_feature"]

# Answers that are not JSON have no schema: no grammar holds for them, and nothing is near them.
WITHOUT_SCHEMA = ("text_to_sql", "format")
BY_SCHEMA = ("near", "far", "held_out_feature")
# Metrics that only one kind of suite has, and those that no item of a kind has.
OWN = {"ast": "function_calling", "execution": "text_to_sql"}
LACKING = {
    "json_schema": ("exact", "leaf_f1"),  # no gold: any instance of the schema is an answer
    "text_to_sql": ("schema_valid", "exact", "leaf_f1", "key_f1"),
    "format": ("schema_valid",),
}


class Contrast(Section):
    """`treatment` minus `control`, both after fine-tuning, on one metric over one split of a suite: by construction `seen`
    and `unseen`, by the distance to fine-tuning's schemas `near`, `far` and `held_out_feature`."""

    treatment: str
    control: str
    suite: str
    split: Split
    metric: Metric
    mode: Mode = "free"

    def impossible(self, kind: str) -> tuple[str, str] | None:
        """(key, sentence) of what no item of such a suite has."""
        if self.mode == "constrained" and kind in WITHOUT_SCHEMA:
            return "mode", f"suite {self.suite} ({kind}) has no schemas to constrain decoding by"
        if self.split in BY_SCHEMA and kind in WITHOUT_SCHEMA:
            return "split", f"suite {self.suite} ({kind}) has no schemas, so none of its items are {self.split}"
        if OWN.get(self.metric, kind) != kind or self.metric in LACKING.get(kind, ()):
            return "metric", f"suite {self.suite} ({kind}) does not measure {self.metric}"
        return None


class Preregistration(Section):
    """`margin` is the difference (of 1) below which two models count as equivalent; `minimum_seeds` is how many
    fine-tuning seeds a verdict needs. `exclusions` says in words which items or runs are left out."""

    primary: Contrast
    secondary: list[Contrast] = []
    margin: float = Field(default=0.03, gt=0, lt=1)
    minimum_seeds: int = Field(default=3, ge=2)
    exclusions: list[str] = []

    def contrasts(self) -> dict[str, Contrast]:
        """All of them, the primary one first, by the key under which they stand."""
        return {"primary": self.primary} | {f"secondary.{n}": each for n, each in enumerate(self.secondary)}


def find_prereg(experiment: Path) -> Path:
    """The `prereg.yaml` that is nearest above an experiment's file. Raises TrellisError when there is none."""
    folders = [*experiment.parents, *experiment.absolute().parents]
    path = next((file for folder in folders if (file := folder / "prereg.yaml").is_file()), None)
    if path is None:
        raise TrellisError(f"{experiment}: there is no prereg.yaml in the folders above it; write one (see the README)")
    return path


def load_prereg(path: Path, name: str, experiment: Path) -> Preregistration:
    """The entry `name` of a `prereg.yaml`, for the experiment of that file. Raises TrellisError when there is none, or when
    it is malformed."""
    content = read_yaml(path)
    if name not in content:
        close = difflib.get_close_matches(name, map(str, content), n=1)
        raise TrellisError(
            f"{path}: there is no entry {name}{f' (did you mean {close[0]}?)' if close else ''}; write down its `primary` "
            f"comparison before any result, or name another entry ({', '.join(sorted(map(str, content)))}) as "
            f"`preregistered_as` in {experiment}"
        )
    if not isinstance(content[name], dict):
        raise TrellisError(f"{path}: {name}: holds no keys; an entry has at least a `primary` comparison")
    try:
        return Preregistration.model_validate(content[name])
    except ValidationError as error:
        raise TrellisError(first_sentence(error, path, Preregistration, name)) from None
