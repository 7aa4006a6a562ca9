"""A stage's order: everything that one run of a command needs, in one JSON file.

`spec.json` lies in the result's folder before the stage runs, so that `python -m trellis.<stage> --spec S --out D` does
on any machine what Snakemake would have done.
"""

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from trellis.errors import TrellisError
from trellis.manifest import Manifest

NAME = "spec.json"


class Spec(BaseModel):
    """What to make: `config` is the resolved slice of the experiment with its runtime keys, `inputs` the result folders
    to read, by role, `machine` where it runs (device, gpu_model)."""

    experiment: str
    stage: str
    command: str
    name: str
    fingerprint: str
    components: dict[str, Any]
    config: dict[str, Any]
    inputs: dict[str, list[str]]
    machine: dict[str, Any]
    threads: int = 1

    @classmethod
    def load(cls, path: Path) -> "Spec":
        """Raises TrellisError when the file is missing or is no spec."""
        try:
            return cls.model_validate(json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            raise TrellisError(f"{path} is missing: `python -m trellis specs` writes it") from None
        except ValueError as error:
            raise TrellisError(f"{path} is not a spec ({error})") from None

    def inputs_of(self, role: str) -> list[Manifest]:
        """The manifests read in this role, in the plan's order."""
        return [Manifest.read(folder) for folder in self.inputs.get(role, [])]

    def input(self, role: str) -> Manifest:
        """The one manifest read in this role."""
        (manifest,) = self.inputs_of(role)
        return manifest
