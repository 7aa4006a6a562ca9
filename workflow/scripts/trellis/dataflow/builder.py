"""The jobs of a study as they are written down: each is added once, after all that it reads."""

from collections.abc import Iterable
from typing import Any

from trellis.experiment.lock import Lock, RepoFiles
from trellis.experiment.repository import OnHub
from trellis.experiment.whole import Experiment
from trellis.job import Job


class Builder:
    """Collects jobs; a wheel or a file of a repository is fetched by one job, however many read it."""

    def __init__(self, experiment: Experiment, lock: Lock) -> None:
        self.experiment, self.lock = experiment, lock
        self.jobs: list[Job] = []
        self.wheels: dict[str, Job] = {}
        self.fetched_files: dict[tuple[str, ...], Job] = {}
        self.before_training: tuple[Job, ...] = ()

    def add(
        self,
        stage: str,
        command: str,
        name: str,
        config: dict[str, Any],
        modules: Iterable[str] = (),
        pinned: bool = False,
        after: tuple[Job, ...] = (),
        **inputs: Iterable[Job],
    ) -> Job:
        """Adds a job; a role without jobs is left out."""
        read = {role: made for role, jobs in inputs.items() if (made := list(jobs))}
        job = Job(stage, command, name, config, read, tuple(modules), pinned, after)
        self.jobs.append(job)
        return job

    def wheel(self, package: str) -> Job:
        """The job that fetches a wheel."""
        if package not in self.wheels:
            config = {"package": package, "pin": self.lock.packages[package]}
            self.wheels[package] = self.add("download", "wheel", f"wheel-{package}", config, pinned=True)
        return self.wheels[package]

    def hub(self, repo: str, patterns: list[str]) -> Job:
        """The job that fetches all locked files of a repository that match."""
        return self.fetched(self.lock.repo_files(repo, patterns), repo.split("/")[-1])

    def fetched(self, files: RepoFiles, name: str) -> Job:
        """The job that fetches these files."""
        key = (files.repo, *files.files)
        if key not in self.fetched_files:
            self.fetched_files[key] = self.add("download", "hub", f"hub-{name}", {"files": files}, pinned=True)
        return self.fetched_files[key]


def unrevised(section: Any) -> Any:
    """A section without the revision that its repository was locked at: the files' hashes, upstream, say more."""
    return section.model_copy(update={"revision": "main"}) if isinstance(section, OnHub) else section
