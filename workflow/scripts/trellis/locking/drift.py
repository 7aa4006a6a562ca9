"""`python -m trellis lock --check`: what has changed since the data were locked; it writes nothing."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from trellis.errors import TrellisError
from trellis.experiment.lock import Lock, PinnedFile, Repo, load_lock
from trellis.experiment.pins import Need
from trellis.experiment.whole import load_experiment
from trellis.locking.listing import Gone, Snapshot, page, snapshot
from trellis.locking.lock import Wanted, all_wanted
from trellis.locking.pinning import local_paths, pin_local
from trellis.patterns import matching
from trellis.plan import lock_path

NAMED = 3  # files that a sentence names


def check(root: Path, path: Path) -> int:
    """Prints what has changed since the experiment in `path` was locked, and answers how many things that are. Raises
    TrellisError when there is no lock, or the hub cannot be asked."""
    experiment = load_experiment(path)
    file = lock_path(root, experiment)
    if not file.is_file():
        raise TrellisError(f"{path}: lock: {file} does not exist, and there is nothing to check; run without --check")
    changes = 0
    for change in _changes(root, all_wanted(root, path, experiment), load_lock(file)):
        print(change, flush=True)
        changes += 1
    if not changes:
        print(f"{file}: nothing has changed")
    return changes


def _changes(root: Path, everything: list[Wanted], locked: Lock) -> Iterator[str]:
    of_repo: dict[str, list[Wanted]] = {}
    for wanted in everything:
        need = wanted.need
        if need.repo:
            of_repo.setdefault(need.repo, []).append(wanted)
        elif not need.package:
            yield from _local_changes(root, need, locked)
        elif need.package not in locked.packages:
            yield f"{need.key}: the lock does not pin {need.package}"
    for repo, several in of_repo.items():
        if repo in locked.repos:
            yield from _repo_changes(several, locked.repos[repo])
        else:
            yield f"{several[0].need.key}: the lock does not pin {repo}"


def _repo_changes(several: list[Wanted], pinned: Repo) -> Iterator[str]:
    repo, asked = several[0].need.repo, several[0].need.revision
    try:
        now = snapshot(repo, asked)
    except Gone as gone:
        yield str(gone)
        return
    if now.gated and not pinned.gated:
        yield f"{repo}: is gated now; the terms are at {page(repo)}"
    if now.licence != pinned.licence:
        yield f"{repo}: the licence was {pinned.licence} and is {now.licence}"
    then = now
    if now.revision != pinned.revision:
        moved = _differences(now, pinned.files) or "the locked files are the same"
        yield f"{repo}: {asked} was {pinned.revision[:8]} and is {now.revision[:8]}; {moved}"
        try:
            then = snapshot(repo, pinned.revision)
        except Gone as gone:
            yield f"{gone}; the locked files cannot be fetched any more"
            return
    if wrong := _differences(then, pinned.files):
        yield f"{repo}: at the locked commit {pinned.revision[:8]} the hub has other files than the lock: {wrong}"
    for wanted in several:
        if missing := [path for path in wanted.files(then) if path not in pinned.files]:
            yield f"{wanted.need.key}: the lock does not pin {_named(missing)} of {repo}"


def _differences(at: Snapshot, files: dict[str, PinnedFile]) -> str:
    """How many of the locked files are others or gone at a commit; nothing when none is."""
    said = []
    vanished = [path for path in files if path not in at.files]
    changed = [path for path, pin in files.items() if path in at.files and not _same(at, path, pin)]
    for verb, paths in (("changed", changed), ("vanished", vanished)):
        if paths:
            said.append(f"{len(paths)} of {len(files)} locked files {verb}: {_named(paths)}")
    return "; ".join(said)


def _same(at: Snapshot, path: str, pin: PinnedFile) -> bool:
    return at.files[path].bytes == pin.bytes and at.pin(path) == pin


def _local_changes(root: Path, need: Need, locked: Lock) -> Iterator[str]:
    pinned, found = set(), set(local_paths(root, list(need.patterns)))
    for pattern in need.patterns:
        with suppress(KeyError):
            pinned.update(matching(locked.local, [pattern]))
    changed = [path for path in found & pinned if pin_local(root, path) != locked.local[path]]
    for what, paths in (("changed", changed), ("gone", pinned - found), ("not in the lock", found - pinned)):
        if paths:
            yield f"{need.key}: {len(paths)} local files {what}: {_named(paths)}"
    if not found | pinned:
        yield f"{need.key}: the lock does not pin {', '.join(need.patterns)}"


def _named(paths: Iterable[str]) -> str:
    first, *more = [", ".join(sorted(paths)[:NAMED]), *sorted(paths)[NAMED:]]
    return f"{first} and {len(more)} more" if more else first
