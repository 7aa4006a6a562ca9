"""The data lock: what the experiment reads from elsewhere, pinned to the byte."""

import json
from pathlib import Path
from typing import Annotated

from pydantic import Field, NonNegativeInt, PositiveInt, ValidationError

from trellis.errors import TrellisError
from trellis.experiment.section import Runtime, Section
from trellis.experiment.sentences import first_sentence
from trellis.patterns import matching

Sha256 = Field(pattern=r"^[0-9a-f]{64}$")
Revision = Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]


class Package(Section):
    """A wheel on a Python package index."""

    version: str
    sha256: str = Sha256
    bytes: PositiveInt
    licence: str


class PinnedFile(Section):
    """One file, by its size and content."""

    bytes: NonNegativeInt
    sha256: str = Sha256


class Repo(Section):
    """A hub repository at one commit: the files of it that are read. `licence` and `gated` are what its card said when it
    was locked."""

    revision: Revision
    licence: str
    gated: bool = False
    files: dict[str, PinnedFile]


class RepoFiles(Section):
    """The order to fetch files of a repository (its key in the lock). Their hashes decide what is fetched; at which commit
    they are found changes nothing."""

    repo: str
    revision: Runtime[Revision]
    files: dict[str, PinnedFile]


class Lock(Section):
    """Everything that is read from elsewhere, by name; committed as `config/locks/<name>.json`. `repos` are keyed as in the
    hub's addresses, datasets as `datasets/OWNER/NAME`, models as `OWNER/NAME`; `local` by path."""

    packages: dict[str, Package] = {}
    repos: dict[str, Repo] = {}
    local: dict[str, PinnedFile] = {}

    def repo_files(self, repo: str, patterns: list[str]) -> RepoFiles:
        """The locked files of a repository that match, in the order of their paths. Raises KeyError for what is not
        locked: the repository, or a pattern of which it has no file."""
        pinned = self.repos[repo]
        chosen = matching(pinned.files, patterns)
        return RepoFiles(repo=repo, revision=pinned.revision, files={path: pinned.files[path] for path in chosen})

    def local_files(self, patterns: list[str]) -> dict[str, PinnedFile]:
        """The locked local files that match, in the order of their paths. Raises KeyError as `repo_files`."""
        return {path: self.local[path] for path in matching(self.local, patterns)}


def load_lock(path: Path) -> Lock:
    """Raises TrellisError when the lock is missing or malformed."""
    try:
        return Lock.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise TrellisError(
            f"{path}: this lock, which pins the data to the byte, does not exist; "
            f"`lock:` names a file in {path.parent} that is there"
        ) from None
    except ValidationError as error:
        raise TrellisError(first_sentence(error, path, Lock)) from None
    except ValueError as error:
        raise TrellisError(f"{path}: not JSON ({error})") from None
