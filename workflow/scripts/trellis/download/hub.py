"""Files of one hub repository at the locked commit, each verified by its size and sha256."""

import errno
import logging
import os
import shutil
from pathlib import Path
from urllib.parse import urlsplit

from huggingface_hub import hf_hub_url
from huggingface_hub.errors import DisabledRepoError, OfflineModeIsEnabled
from huggingface_hub.utils import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
    build_hf_headers,
    httpx,
)

from trellis.command import Result
from trellis.download.transfer import ATTEMPTS, Part, Transfer, Unreachable, WrongContent
from trellis.errors import TrellisError
from trellis.experiment.lock import RepoFiles
from trellis.manifest import WORK
from trellis.progress import Bar, bar
from trellis.spec import Spec

LOG = logging.getLogger("trellis")
RESERVE = 100 * 10**6  # bytes of disk that are left to others


def run(spec: Spec, out: Path) -> Result:
    """Raises TrellisError when a file cannot be had as it is pinned; all that has arrived is kept for the next run, but
    not a file that turned out to be another."""
    order, lock = RepoFiles.model_validate(spec.config["files"]), f"python -m trellis lock {spec.experiment}"
    parts, total = out / WORK / "parts", sum(pin.bytes for pin in order.files.values())
    _check_paths(order)
    _check_space(order, parts, out)
    logging.getLogger(httpx.__name__).setLevel(logging.WARNING)  # its lines on requests would show signed links
    with bar(f"fetching {order.repo}", total, "bytes") as progress:
        for path in sorted(order.files):
            _fetch(order, path, parts / path, progress, lock)
    for path in order.files:
        _place(parts / path, out / "files" / path)
    return Result(metrics={"repo": order.repo, "files": len(order.files), "bytes": total})


def _check_paths(order: RepoFiles) -> None:
    """The lock is a file that people send each other: nothing in it may lead out of the result's folder."""
    for path in order.files:
        parts = path.split("/")
        clash = any("/".join(parts[:depth]) in order.files for depth in range(1, len(parts)))
        if clash or "\\" in path or not path.isprintable() or {"", ".", ".."} & set(parts):
            raise TrellisError(
                f"{order.repo}: the lock names a file {path!r}, and no file of a repository has such a path; "
                "do not trust this lock"
            )


def _check_space(order: RepoFiles, parts: Path, out: Path) -> None:
    missing = 0
    for path, pin in order.files.items():
        have = (parts / path).stat().st_size if (parts / path).is_file() else 0
        missing += max(0, pin.bytes - have)
    free = shutil.disk_usage(out).free
    if missing and free < missing + RESERVE:
        raise TrellisError(
            f"{order.repo}: {missing / 1e6:,.0f} MB are to be fetched and {free / 1e6:,.0f} MB are free under "
            f"{out.parent}, where {RESERVE / 1e6:,.0f} MB stay reserved; make room and run again"
        )


def _fetch(order: RepoFiles, path: str, target: Path, progress: Bar, lock: str) -> None:
    """Completes one part and verifies it. Raises TrellisError."""
    repo, pin = order.repo, order.files[path]
    kind = "dataset" if repo.startswith("datasets/") else "model"
    url = hf_hub_url(repo.removeprefix("datasets/"), path, repo_type=kind, revision=order.revision)
    headers = build_hf_headers()
    LOG.info("%s: %s, %d bytes", repo, path, pin.bytes)
    try:
        with Part(target, progress.advance) as part:
            Transfer(path, url, headers, pin, part).run()
    except WrongContent as error:
        target.unlink()
        raise TrellisError(
            f"{repo}: {path} is not what the lock pins: got {error}, expected {pin.bytes} bytes with sha256 {pin.sha256}; "
            f"do not trust it; check HF_ENDPOINT and the lock (`{lock} --check`)"
        ) from None
    except Unreachable as error:
        raise TrellisError(
            f"{repo}: {path} could not be fetched, {ATTEMPTS} attempts in a row brought nothing new (the last: {error}); "
            "check the network and HF_ENDPOINT and run again, what has arrived is kept"
        ) from None
    except OfflineModeIsEnabled:
        raise TrellisError(
            f"{repo}: {path} is to be fetched, and HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE forbids it; unset them"
        ) from None
    except HfHubHTTPError as error:
        raise TrellisError(f"{repo}: {_refusal(error, path, _page(url), 'authorization' in headers, lock)}") from None
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeEncodeError) as error:  # their messages may show the token
        raise TrellisError(
            f"{repo}: {path} cannot be asked for ({type(error).__name__}); check HF_ENDPOINT and HF_TOKEN"
        ) from None
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise TrellisError(
            f"{repo}: the disk is full ({error.strerror}) at {path}; make room and run again, what has arrived is kept"
        ) from None


def _refusal(error: HfHubHTTPError, path: str, page: str, with_token: bool, lock: str) -> str:
    """What the hub's 4xx means, and what to do."""
    check = f"see what has changed with `{lock} --check`, and lock again"
    match error:
        case GatedRepoError() if not with_token:
            return f"is gated; accept the terms at {page}, create a token and set HF_TOKEN"
        case GatedRepoError():
            return (
                f"is gated, and the account of this token has no access; accept the terms at {page} with that account"
            )
        case DisabledRepoError():
            return f"the hub has disabled this repository; {check}"
        case RepositoryNotFoundError() if not with_token:
            return f"the hub has no such repository, or shows it to accounts with access only (set HF_TOKEN); {check}"
        case RepositoryNotFoundError():
            return f"the hub has no such repository, or does not show it to the account of this token; {check}"
        case RevisionNotFoundError():
            return f"the locked commit is gone from the repository; {check}"
        case EntryNotFoundError():
            return f"{path} has vanished from the locked commit; {check}"
    status = error.response.status_code
    if status == 401 and with_token:
        return "the hub refuses the token; create another and set HF_TOKEN, or unset it where no access is needed"
    return f"the hub answered {status} for {path}; check HF_ENDPOINT, what the token may do, and the lock (`{lock} --check`)"


def _page(url: str) -> str:
    """The repository's page, without what a mirror's address may hold of user and password."""
    page = urlsplit(url.split("/resolve/")[0])
    return page._replace(netloc=page.netloc.rpartition("@")[2]).geturl()


def _place(part: Path, target: Path) -> None:
    """Hard-links the part, which stays until the result is published: a kill before that costs nothing."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(part, target)
    except OSError:  # a file system without links
        part.replace(target)
