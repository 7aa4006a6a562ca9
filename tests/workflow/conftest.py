"""A copy of the workflow in which Snakemake runs for real, with the smoke experiment finished once for all tests."""

import os
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from filelock import FileLock

ROOT = Path(__file__).parents[2]
PARTS = ("Snakefile", "workflow", "config", "profiles", "envs")


@dataclass
class Workflow:
    """A clone of the workflow, and Snakemake in it."""

    folder: Path
    log: str = field(default="")

    def snakemake(self, *arguments: str, experiment: str = "smoke") -> subprocess.CompletedProcess:
        """Runs Snakemake as a user would, with nothing of the caller's PYTHONPATH."""
        command = [
            "snakemake",
            "--cores",
            "2",
            *arguments,
            "results/report.html",
            "--config",
            f"experiment={experiment}",
        ]
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        answer = subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True)
        self.log = answer.stdout + answer.stderr
        return answer

    def stale(self) -> dict[str, int]:
        """The rules that Snakemake would run now, with how many jobs of each."""
        answer = self.snakemake("--dry-run")
        assert answer.returncode == 0, self.log
        jobs = re.findall(r"^(?:local)?rule (\w+):", self.log, re.MULTILINE)
        assert bool(jobs) != ("Nothing to be done" in self.log), self.log
        return {rule: jobs.count(rule) for rule in sorted(set(jobs))}

    def edit(self, file: str, old: str, new: str) -> None:
        """Replaces text in a file of this clone that must occur in it."""
        path = self.folder / file
        text = path.read_text()
        assert old in text, f"{file} does not hold {old!r}"
        path.write_text(text.replace(old, new))

    def clone(self, target: Path) -> "Workflow":
        """The workflow's own files copied; bulk results linked, as nobody may change them in place."""
        target.mkdir(parents=True)
        for part in PARTS:
            source = self.folder / part
            copy = shutil.copytree if source.is_dir() else shutil.copy2
            copy(source, target / part)
        for part in ("results", ".snakemake"):
            if (self.folder / part).exists():
                shutil.copytree(self.folder / part, target / part, copy_function=_link_wheels)
        return Workflow(target)


def _link_wheels(source: str, target: str) -> None:
    os.link(source, target) if source.endswith(".whl") else shutil.copy2(source, target)


@pytest.fixture(scope="session")
def pristine(tmp_path_factory) -> Workflow:
    """A clone without results."""
    ignore = shutil.ignore_patterns("__pycache__", "*.egg-info")
    target = tmp_path_factory.mktemp("pristine") / "trellis"
    target.mkdir()
    for part in PARTS:
        source = ROOT / part
        shutil.copytree(source, target / part, ignore=ignore) if source.is_dir() else shutil.copy2(
            source, target / part
        )
    return Workflow(target)


@pytest.fixture(scope="session")
def finished(pristine, tmp_path_factory) -> Workflow:
    """The smoke experiment, run from nothing to its report, by the first of pytest's workers that needs it. Never to be
    changed: clone it."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    folder = shared / "finished"
    with FileLock(shared / "finished.lock"):
        if folder.exists():
            assert (folder / "results/report.html").exists(), "another worker could not finish it"
            return Workflow(folder)
        workflow = pristine.clone(folder)
        answer = workflow.snakemake()
        assert answer.returncode == 0, workflow.log
        return workflow


@pytest.fixture(scope="session")
def all_jobs(pristine, tmp_path_factory) -> dict[str, int]:
    """Every rule of the smoke experiment with its number of jobs, as Snakemake counts them before the first run."""
    return pristine.clone(tmp_path_factory.mktemp("counted") / "trellis").stale()


@pytest.fixture
def workflow(finished, tmp_path) -> Workflow:
    """A clone of the finished smoke run, to be changed."""
    return finished.clone(tmp_path / "trellis")
