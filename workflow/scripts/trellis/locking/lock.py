"""`python -m trellis lock`: what the experiment reads from elsewhere, pinned to the byte in `config/locks/<lock>.json`.

Nothing is written before everything is resolved, and the same experiment and hub give the same bytes. Experiments of
`config/experiments` that name the same lock are locked together. Where a source asks for tokens, `choice``choice` takes files
for them and a margin of 10 %.
"""

import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from trellis.errors import TrellisError
from trellis.experiment.lock import Lock, Package, PinnedFile, Repo
from trellis.experiment.pins import Need, needs
from trellis.experiment.reading import read_yaml
from trellis.experiment.whole import Experiment, load_experiment
from trellis.locking.choice import MARGIN, choose
from trellis.locking.listing import Gone, Snapshot, page, snapshot
from trellis.locking.pinning import local_paths, pin_local, pin_package
from trellis.manifest import write_atomically
from trellis.patterns import matching
from trellis.plan import lock_path

UNITS = (("GB", 1e9), ("MB", 1e6), ("kB", 1e3))


@dataclass(frozen=True)
class Wanted:
    """A need, the seed of its experiment, and the bytes of a token, where a source says how many it asks for."""

    need: Need
    seed: int
    bytes_per_token: float | None

    def files(self, at: Snapshot) -> list[str]:
        """The chosen paths. Raises TrellisError when a pattern matches nothing."""
        need = self.need
        try:
            return choose(need.repo, at.sizes, list(need.patterns), need.bytes, self.seed)
        except KeyError as missing:
            raise TrellisError(
                f"{need.key}: {missing.args[0]} matches none of the {len(at.files)} files of {need.repo} at "
                f"{need.revision} ({at.revision[:8]}); {page(need.repo)}/tree/{at.revision} shows them"
            ) from None


def lock(root: Path, path: Path) -> None:
    """Writes the lock of the experiment in `path`, and prints what it pins. Raises TrellisError, and writes nothing."""
    experiment = load_experiment(path)
    file = lock_path(root, experiment)
    packages: dict[str, Package] = {}
    repos: dict[str, Repo] = {}
    local: dict[str, PinnedFile] = {}
    snapshots: dict[str, Snapshot] = {}
    for wanted in all_wanted(root, path, experiment):
        need = wanted.need
        if need.package:
            packages[need.package] = pin = pin_package(need.package, file)
            print(f"{need.key}: {need.package} {pin.version}, {_size(pin.bytes)}")
        elif need.repo:
            if need.repo not in snapshots:
                snapshots[need.repo] = at = _taken(need)
                repos[need.repo] = Repo(revision=at.revision, licence=at.licence, gated=at.gated, files={})
            at, files = snapshots[need.repo], repos[need.repo].files
            chosen = wanted.files(at)
            files.update({each: at.pin(each) for each in chosen if each not in files})
            print("\n".join(_summary(wanted, at, chosen)), flush=True)
        else:
            found = {each: pin_local(root, each) for each in _local(root, need)}
            local.update(found)
            print(f"{need.key}: {len(found)} local files, {_total(found.values())}")
    made = Lock(packages=packages, repos=repos, local=local)
    sections = {name: section for name, section in made.model_dump(mode="json").items() if section}
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(file, json.dumps(sections, indent=1, sort_keys=True) + "\n")
    fetched = [pin for repo in repos.values() for pin in repo.files.values()]
    print(f"to download: {len(fetched)} files of the hub, {_total(fetched)} (budgets with {MARGIN:.0%} more)")
    print(f"             {len(packages)} packages, {_total(packages.values())}")
    for repo in sorted(repo for repo, pinned in repos.items() if pinned.gated):
        print(f"gated: accept the terms at {page(repo)}, and set HF_TOKEN to a token of that account")
    print(f"written: {file}; commit it, so that every run reads the same bytes")


def all_wanted(root: Path, path: Path, experiment: Experiment) -> list[Wanted]:
    """What the experiment in `path` needs, and then what those need that share its lock; each thing once. Raises
    TrellisError when two need the same repository at different revisions."""
    found: dict[tuple[Need, int], Wanted] = {}
    asked: dict[str, Need] = {}
    for name, each in {"": experiment, **_sharing(root, path, experiment.lock)}.items():
        rates = _bytes_per_token(each)
        for need in needs(each):
            wanted = Wanted(replace(need, key=f"{name}{need.key}"), each.seed, rates.get(need.key))
            found.setdefault((replace(need, key=""), each.seed), wanted)
            first = asked.setdefault(need.repo, wanted.need)
            if first.revision != need.revision:
                raise TrellisError(
                    f"{wanted.need.key}: {need.repo} is asked for at {need.revision}, and by {first.key} at "
                    f"{first.revision}; a lock holds one commit of a repository"
                )
    return list(found.values())


def _sharing(root: Path, path: Path, lock: str) -> dict[str, Experiment]:
    """The other experiments of `config/experiments` that name the lock, by the prefix of their keys."""
    others = {}
    for other in sorted((root / "config" / "experiments").glob("*.yaml")):
        with suppress(TrellisError):  # no YAML: it cannot share a lock
            if other.resolve() != path.resolve() and read_yaml(other).get("lock") == lock:
                others[f"{other.stem}: "] = other
    return {name: load_experiment(other) for name, other in others.items()}


def _bytes_per_token(experiment: Experiment) -> dict[str, float]:
    """By the key of the need."""
    return {
        f"sources.{name}.parts.{index}": part.bytes_per_token
        for name, source in experiment.sources.items()
        for index, part in enumerate(source.parts)
        if part.kind == "hub"
    }


def _taken(need: Need) -> Snapshot:
    try:
        return snapshot(need.repo, need.revision)
    except Gone as gone:
        raise TrellisError(f"{need.key}: {gone}") from None


def _local(root: Path, need: Need) -> list[str]:
    try:
        return matching(local_paths(root, list(need.patterns)), list(need.patterns))
    except KeyError as missing:
        raise TrellisError(f"{need.key}: {missing.args[0]} matches no file of this machine") from None


def _summary(wanted: Wanted, at: Snapshot, chosen: list[str]) -> Iterator[str]:
    need = wanted.need
    candidates = matching(at.files, list(need.patterns))
    held = sum(at.files[path].bytes for path in chosen)
    tokens = f", about {held / wanted.bytes_per_token:,.0f} tokens" if wanted.bytes_per_token else ""
    files = f"{len(chosen)} of {len(candidates)} files, {_size(held)}{tokens}"
    yield f"{need.key}: {need.repo}@{at.revision[:8]}, {files}, {'gated' if at.gated else 'not gated'}"
    if need.bytes and held < need.bytes:
        yield (
            f"warning: {need.key}: all {len(candidates)} files hold {_size(held)}, {held / need.bytes:.1%} of the "
            f"{_size(need.bytes)} ({need.bytes / wanted.bytes_per_token:,.0f} tokens) asked for"
        )


def _size(amount: int) -> str:
    unit, size = next((each for each in UNITS if amount >= each[1]), UNITS[-1])
    return f"{amount / size:,.1f} {unit}"


def _total(pins: Iterable[Package | PinnedFile]) -> str:
    return _size(sum(pin.bytes for pin in pins))
