"""A lock for an experiment whose data nobody has fetched."""

import hashlib

from trellis.experiment.lock import Lock, Package, PinnedFile, Repo
from trellis.experiment.pins import needs
from trellis.experiment.whole import Experiment


def pinned(name: str, size: int = 2 * 10**9) -> PinnedFile:
    return PinnedFile(bytes=size, sha256=hashlib.sha256(name.encode()).hexdigest())


def imagined_lock(experiment: Experiment, files: int = 2, revision: str = "a" * 40) -> Lock:
    """A lock with `files` files for every pattern that the experiment names."""
    packages, repos, local = {}, {}, {}
    for need in needs(experiment):
        if need.package:
            packages[need.package] = Package(version="1.0", sha256="0" * 64, bytes=1, licence="MIT")
        paths = [pattern.replace("*", str(n)) for pattern in need.patterns for n in range(files)]
        if need.repo:
            repo = repos.setdefault(need.repo, Repo(revision=revision, licence="MIT", files={}))
            repo.files.update({path: pinned(need.repo + path) for path in paths})
        elif not need.package:
            local.update({path: pinned(path) for path in paths})
    return Lock(packages=packages, repos=repos, local=local)
