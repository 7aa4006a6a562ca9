"""The results that the report reads, found by what made them."""

import json
from pathlib import Path
from typing import Any

from trellis.errors import TrellisError
from trellis.manifest import Manifest


class Results:
    """Every manifest of a study, in the plan's order."""

    def __init__(self, manifests: list[Manifest]) -> None:
        self.manifests = manifests

    def of(self, stage: str, command: str) -> list[Manifest]:
        """The results of one command."""
        return [made for made in self.manifests if (made.stage, made.command) == (stage, command)]

    def find(self, stage: str, command: str, name: str | None = None) -> Manifest | None:
        """The first result of a command (with this name), None when the study has none."""
        return next((made for made in self.of(stage, command) if name in (None, made.name)), None)

    def need(self, stage: str, command: str, name: str | None = None) -> Manifest:
        """As `find`. Raises TrellisError where the report cannot do without."""
        if (made := self.find(stage, command, name)) is None:
            raise TrellisError(f"the report's inputs hold no result of {stage}_{command} {name or ''}".rstrip())
        return made


def read_json(path: Path) -> Any:
    """Raises TrellisError when the file is no JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise TrellisError(f"{path} is not JSON ({error}); delete its folder and run snakemake again") from None
