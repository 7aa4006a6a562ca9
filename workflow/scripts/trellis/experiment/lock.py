"""The data lock: what the experiment reads from elsewhere, pinned to the byte."""

import json
from pathlib import Path

from pydantic import Field, PositiveInt, ValidationError

from trellis.errors import TrellisError
from trellis.experiment.section import Section
from trellis.experiment.sentences import first_sentence

Sha256 = Field(pattern=r"^[0-9a-f]{64}$")


class Package(Section):
    """A wheel on a Python package index."""

    version: str
    sha256: str = Sha256
    bytes: PositiveInt
    licence: str


class RepoFile(Section):
    """One file of a hub repository."""

    bytes: PositiveInt
    sha256: str = Sha256


class Repo(Section):
    """A hub repository at one commit."""

    revision: str = Field(pattern=r"^[0-9a-f]{40}$")
    licence: str
    files: dict[str, RepoFile]


class Lock(Section):
    """Everything that is fetched, by name; committed as `config/locks/<name>.json`."""

    packages: dict[str, Package] = {}
    repos: dict[str, Repo] = {}


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
