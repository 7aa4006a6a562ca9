"""What was written down before any result: the primary comparison, its margin, the secondary family, the exclusions.

`config/prereg.yaml` holds an entry for every experiment, by name. Whatever it does not name is exploratory.
"""

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


class Contrast(Section):
    """`treatment` minus `control`, both after fine-tuning, on one metric over one split of a suite: by construction `seen`
    and `unseen`, by the distance to fine-tuning's schemas `near`, `far` and `held_out_feature`."""

    treatment: str
    control: str
    suite: str
    split: Split
    metric: Metric
    mode: Mode = "free"


class Preregistration(Section):
    """`margin` is the difference (of 1) below which two models count as equivalent; `minimum_seeds` is how many
    fine-tuning seeds a verdict needs. `exclusions` says in words which items or runs are left out."""

    primary: Contrast
    secondary: list[Contrast] = []
    margin: float = Field(default=0.03, gt=0, lt=1)
    minimum_seeds: int = Field(default=3, ge=2)
    exclusions: list[str] = []


def load_prereg(experiment: Path, name: str) -> Preregistration:
    """The entry `name` of the `prereg.yaml` that is nearest above an experiment's file. Raises TrellisError when there is
    none, or when it is malformed."""
    path = next((file for folder in experiment.absolute().parents if (file := folder / "prereg.yaml").is_file()), None)
    if path is None:
        raise TrellisError(f"{experiment}: there is no prereg.yaml in the folders above it; write one (see the README)")
    content = read_yaml(path)
    if name not in content:
        raise TrellisError(
            f"{path}: there is no entry {name}; write down its `primary` comparison before any result, or name one of "
            f"{', '.join(sorted(content))} as `preregistered_as` in {experiment}"
        )
    try:
        return Preregistration.model_validate(content[name])
    except ValidationError as error:
        raise TrellisError(f"{name}: {first_sentence(error, path, Preregistration)}") from None
