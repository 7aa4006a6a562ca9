"""One result to be made, and the address that it will have."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from trellis.address import SHORT, code_digest, fingerprint
from trellis.experiment.section import semantic
from trellis.manifest import NAME as MANIFEST

RESULTS = Path("results")


@dataclass(frozen=True, eq=False)
class Job:
    """One result to be made. `config` is its slice of the experiment, `inputs` the jobs whose results it reads, by role."""

    stage: str
    command: str
    name: str
    config: dict[str, Any]
    inputs: dict[str, list["Job"]] = field(default_factory=dict)

    @cached_property
    def components(self) -> dict[str, Any]:
        """What the fingerprint is computed from."""
        return {
            "config": semantic(self.config),
            "code": code_digest(f"trellis.{self.stage}.{self.command}"),
            "inputs": {role: [job.fingerprint for job in jobs] for role, jobs in self.inputs.items()},
        }

    @cached_property
    def fingerprint(self) -> str:
        return fingerprint(stage=self.stage, command=self.command, **self.components)

    @property
    def rule(self) -> str:
        return f"{self.stage}_{self.command}"

    @property
    def label(self) -> str:
        return f"{self.stage}/{self.name}"

    @property
    def folder(self) -> Path:
        """Where the result lies, relative to the workflow's folder."""
        return RESULTS / self.stage / f"{self.name}-{self.fingerprint[:SHORT]}"

    @property
    def manifest(self) -> Path:
        return self.folder / MANIFEST
