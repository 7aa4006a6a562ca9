"""The plan: the jobs of the configured experiment, their orders, and where they run."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trellis.dataflow import build_jobs
from trellis.errors import TrellisError
from trellis.experiment.lock import Lock, load_lock
from trellis.experiment.pins import check_pins
from trellis.experiment.section import complete
from trellis.experiment.whole import (
    Config,
    Experiment,
    experiment_path,
    load_config,
    load_experiment,
)
from trellis.job import Job
from trellis.manifest import write_atomically
from trellis.spec import NAME as SPEC
from trellis.spec import Spec


@dataclass(frozen=True)
class Plan:
    """The jobs of one experiment in an order in which they can run."""

    name: str
    experiment: Experiment
    config: Config
    jobs: list[Job]

    def of_rule(self, rule: str) -> list[Job]:
        """The jobs that a rule makes."""
        return [job for job in self.jobs if job.rule == rule]

    @property
    def report(self) -> Job:
        """The last job, which all others lead to."""
        return self.jobs[-1]

    @property
    def device(self) -> str:
        """`cuda` or `cpu`: what `device: auto` comes to on this machine."""
        if self.experiment.device != "auto":
            return self.experiment.device
        return "cuda" if gpu_names() else "cpu"

    def check_gpu(self) -> None:
        """Raises TrellisError when this machine has GPUs and none is the pinned model. A machine without any may be the
        one that jobs are submitted from; there the training itself checks."""
        found, wanted = gpu_names(), self.config.machine.gpu_model
        if self.device == "cuda" and found and wanted not in ("any", *found):
            raise TrellisError(
                f"config/config.yaml: machine.gpu_model: training is pinned to {wanted}, and this machine has {found[0]}; "
                f"set it to {found[0]!r}, or to any"
            )

    def spec(self, job: Job) -> Spec:
        """The order that the job's stage runs from."""
        return Spec(
            experiment=self.name,
            stage=job.stage,
            command=job.command,
            name=job.name,
            fingerprint=job.fingerprint,
            components=job.components,
            config=complete(job.config),
            inputs={role: [str(made.folder) for made in jobs] for role, jobs in job.inputs.items()},
            machine={"device": self.device, **self.config.machine.model_dump()},
        )

    def write_specs(self) -> None:
        """Writes `spec.json` into the folder of every result that is not there yet."""
        for job in self.jobs:
            if not job.manifest.exists():
                job.folder.mkdir(parents=True, exist_ok=True)
                content = json.dumps(self.spec(job).model_dump(), indent=1, sort_keys=True, ensure_ascii=False)
                write_atomically(job.folder / SPEC, content + "\n")


def gpu_names() -> list[str]:
    """The NVIDIA GPUs of this machine, asked of the driver: importing torch would cost seconds at every parse."""
    try:
        answer = subprocess.run(
            ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"], capture_output=True, text=True, timeout=20
        )
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return []
    return answer.stdout.strip().splitlines() if answer.returncode == 0 else []


def load_plan(root: Path, overrides: dict[str, Any] | None = None) -> Plan:
    """The plan of the configured experiment. Raises TrellisError for whatever is wrong with config, lock or code."""
    config = load_config(root / "config" / "config.yaml", overrides or {})
    path = experiment_path(root, config.experiment)
    experiment = load_experiment(path)
    return Plan(path.stem, experiment, config, build_jobs(experiment, load_pins(root, path, experiment)))


def lock_path(root: Path, experiment: Experiment) -> Path:
    """Where the experiment's lock lies."""
    return root / "config" / "locks" / f"{experiment.lock}.json"


def load_pins(root: Path, path: Path, experiment: Experiment) -> Lock:
    """The lock of the experiment in `path`, once it pins all that the experiment reads. Raises TrellisError."""
    locking = f"python -m trellis lock {path.stem if path.parent == root / 'config' / 'experiments' else path}"
    file = lock_path(root, experiment)
    if not file.is_file():
        raise TrellisError(
            f"{path}: lock: {file.relative_to(root)}, which pins every file of the data, does not exist; run `{locking}` "
            f"where the network is, and commit what it writes"
        )
    lock = load_lock(file)
    try:
        check_pins(experiment, lock, locking)
    except TrellisError as error:
        raise TrellisError(f"{path}: {error}") from None
    return lock
