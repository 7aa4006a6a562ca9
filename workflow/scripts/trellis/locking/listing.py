"""What the hub is asked when data are locked: the commit of a revision, its files, its licence and its gate.

Whatever is answered is checked before it is used.
"""

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from huggingface_hub import HfApi, get_session, hf_hub_url
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils import build_hf_headers, hf_raise_for_status, httpx

from trellis.errors import TrellisError
from trellis.experiment.lock import PinnedFile
from trellis.locking.client import connect, endpoint, safe

MAX_PLAIN = 16 * 2**20  # bytes; the hub keeps larger files in large storage (LFS), which knows their sha256


class Gone(TrellisError):
    """The repository or the revision is not there, or not for this account."""


@dataclass(frozen=True)
class Listed:
    """A file as the hub lists it: `sha256` where it lies in large storage, `blob` is git's hash of what git holds."""

    bytes: int
    sha256: str | None
    blob: str


@dataclass(frozen=True)
class Snapshot:
    """A repository, named as in the lock, at the commit `revision`."""

    repo: str
    revision: str
    licence: str
    gated: bool
    files: dict[str, Listed]

    @property
    def sizes(self) -> dict[str, int]:
        """Bytes by path."""
        return {path: file.bytes for path, file in self.files.items()}

    def pin(self, path: str) -> PinnedFile:
        """The file's size and sha256; a file that the listing has no sha256 of is fetched. Raises TrellisError."""
        file = self.files[path]
        if file.sha256:
            return PinnedFile(bytes=file.bytes, sha256=file.sha256)
        if file.bytes > MAX_PLAIN:
            raise TrellisError(
                f"{self.repo}: the listing has no sha256 of {path} ({file.bytes:,} bytes); nothing is locked"
            )
        with _asking(self.repo, self.revision):
            kind, name = _named(self.repo)
            url = hf_hub_url(name, path, repo_type=kind, revision=self.revision)
            answer = get_session().get(url, headers=build_hf_headers())
            hf_raise_for_status(answer)
        content = answer.content
        blob = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
        if (len(content), blob) != (file.bytes, file.blob):
            raise TrellisError(
                f"{self.repo}: {path} at {self.revision[:8]} is not what the listing says ({len(content):,} bytes, git "
                f"{blob[:8]}; listed: {file.bytes:,} bytes, git {file.blob[:8]}); do not trust {endpoint()}"
            )
        return PinnedFile(bytes=len(content), sha256=hashlib.sha256(content).hexdigest())


def snapshot(repo: str, revision: str) -> Snapshot:
    """A branch, tag or commit, resolved once: what is listed is the commit. Raises Gone, or TrellisError for an answer
    that is missing, late or not to be trusted."""
    kind, name = _named(repo)
    with _asking(repo, revision):
        info = HfApi().repo_info(name, repo_type=kind, revision=revision)
        sha = _checked(repo, "commit", info.sha, r"[0-9a-f]{40}")
        if re.fullmatch(r"[0-9a-f]{40}", revision) and sha != revision:
            raise TrellisError(f"{repo}: {endpoint()} answers commit {revision[:8]} with {sha[:8]}")
        stated = getattr(info.card_data, "license", None) or "unknown"
        licence = stated if isinstance(stated, str) else " AND ".join(stated)
        files = _files(repo, HfApi().list_repo_tree(name, repo_type=kind, revision=sha, recursive=True))
    return Snapshot(repo, sha, licence, bool(info.gated), files)


def page(repo: str) -> str:
    """Where a reader finds the repository, and the terms of a gated one."""
    return f"{endpoint()}/{repo}"


def _files(repo: str, entries: Iterator[Any]) -> dict[str, Listed]:
    files, seen = {}, set()
    for entry in entries:
        path = entry.path
        parts = path.split("/") if isinstance(path, str) else [""]
        if {"", ".", ".."} & set(parts) or "\\" in path or not path.isprintable() or path in seen:
            raise TrellisError(f"{repo}: the listing of {endpoint()} holds {path!r}, twice or as no path of a file")
        seen.add(path)
        if isinstance(entry, RepoFile):
            if type(entry.size) is not int or entry.size < 0 or (entry.lfs and entry.lfs.size != entry.size):
                raise TrellisError(f"{repo}: the listing of {endpoint()} has no size of {path}")
            sha256 = _checked(repo, f"sha256 of {path}", entry.lfs.sha256, r"[0-9a-f]{64}") if entry.lfs else None
            files[path] = Listed(
                entry.size, sha256, _checked(repo, f"git hash of {path}", entry.blob_id, "[0-9a-f]{40}")
            )
    return files


def _checked(repo: str, what: str, value: Any, pattern: str) -> str:
    if not isinstance(value, str) or not re.fullmatch(pattern, value):
        raise TrellisError(f"{repo}: {endpoint()} answers {value!r} where the {what} belongs")
    return value


def _named(repo: str) -> tuple[str, str]:
    """(kind, OWNER/NAME) of a repository as the lock names it."""
    return ("dataset" if repo.startswith("datasets/") else "model"), repo.removeprefix("datasets/")


@contextmanager
def _asking(repo: str, revision: str) -> Iterator[None]:
    """Through the patient client; what `huggingface_hub` raises becomes one sentence."""
    connect()
    try:
        yield
    except GatedRepoError:
        raise TrellisError(
            f"{repo} is gated: accept its terms at {page(repo)} and set HF_TOKEN to a token of that account"
        ) from None
    except RepositoryNotFoundError:
        raise Gone(
            f"{repo}: {endpoint()} knows no such repository; check the name or, if it is private or gated, set "
            "HF_TOKEN to a token of an account that may read it"
        ) from None
    except RevisionNotFoundError:
        raise Gone(f"{repo}: {endpoint()} knows no branch, tag or commit {revision!r} of it") from None
    except HfHubHTTPError as error:
        status = error.response.status_code
        advice = "; HF_TOKEN is not accepted: renew or unset it" if status == 401 else ""
        raise TrellisError(
            f"{repo}: {endpoint()} answered {status} ({safe(error.server_message or '')}){advice}"
        ) from None
    except httpx.HTTPError as error:
        raise TrellisError(f"{repo}: {endpoint()} cannot be asked ({safe(error)}); check HF_ENDPOINT") from None
    except UnicodeEncodeError:
        raise TrellisError("HF_TOKEN holds characters that no token has; set it again") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise TrellisError(
            f"{repo}: {endpoint()} answered what is not the hub's: try again, and check HF_ENDPOINT and whether the "
            "network asks to sign in"
        ) from None
