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
    """One result to be made. `config` is its slice of the experiment, `inputs` the jobs whose results it reads, by role.

    `modules` are modules that the command imports because its config names them. A `pinned` job fetches files that the
    lock fixes to the byte: no change of the code that fetches them can change them, so the code is not part of its address.
    `after` are jobs that must have succeeded before this one starts, though it reads nothing of theirs: no part of its
    address.
    """

    stage: str
    command: str
    name: str
    config: dict[str, Any]
    inputs: dict[str, list["Job"]] = field(default_factory=dict)
    modules: tuple[str, ...] = ()
    pinned: bool = False
    after: tuple["Job", ...] = ()

    @cached_property
    def components(self) -> dict[str, Any]:
        """What the fingerprint is computed from."""
        return {
            "config": semantic(self.config),
            "code": self._code(),
            "inputs": {role: [job.fingerprint for job in jobs] for role, jobs in self.inputs.items()},
        }

    def _code(self) -> dict[str, str]:
        if self.pinned:
            return {}
        entry = f"trellis.{self.stage}.{self.command}"
        return {name: digest for module in (entry, *self.modules) for name, digest in code_digest(module).items()}

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
