"""What lies in `results/`: finding it, proving it whole, adopting it after a harmless change, and letting go of it."""

import os
import shutil
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from trellis.address import fingerprint
from trellis.errors import TrellisError
from trellis.job import RESULTS, Job
from trellis.manifest import BESIDE, NAME, Manifest, file_sha256
from trellis.plan import Plan


def stored(root: Path = RESULTS) -> Iterator[Manifest]:
    """Every finished result, in the order of paths."""
    for path in sorted(root.glob(f"*/*/{NAME}")):
        yield Manifest.read(path.parent)


def predecessors(job: Job) -> list[Manifest]:
    """Finished results of other fingerprints under the job's name, the nearest first: the fewest components differ."""
    folders = job.folder.parent.glob(f"{job.name}-*")
    others = [Manifest.read(folder) for folder in sorted(folders) if folder != job.folder and (folder / NAME).exists()]
    others = [other for other in others if (other.command, other.name) == (job.command, job.name)]
    return sorted(others, key=lambda other: len(differences(other.components, job.components)))


def differences(before: Any, after: Any, key: str = "") -> list[tuple[str, Any, Any]]:
    """Where two JSON values differ, as (key, before, after); None stands for what is not there."""
    if isinstance(before, dict) and isinstance(after, dict):
        return [
            difference
            for name in sorted(before.keys() | after.keys())
            for difference in differences(before.get(name), after.get(name), f"{key}.{name}" if key else name)
        ]
    return [] if before == after else [(key, before, after)]


def problems(manifest: Manifest) -> Iterator[str]:
    """What is wrong with a stored result: files missing or changed, a fingerprint that its components do not give."""
    for file in manifest.files:
        path = manifest.folder / file.path
        if not path.exists():
            yield f"{path} is missing"
        elif path.stat().st_size != file.bytes or file_sha256(path) != file.sha256:
            yield f"{path} has changed since it was made"
    given = fingerprint(stage=manifest.stage, command=manifest.command, **manifest.components)
    if given != manifest.fingerprint:
        yield f"{manifest.folder}/{NAME}: its components give fingerprint {given[:16]}, not {manifest.fingerprint[:16]}"
    elif not manifest.folder.name.endswith(manifest.fingerprint[:16]):
        yield f"{manifest.folder} holds a result of fingerprint {manifest.fingerprint[:16]}"


def unreached(plans: list[Plan], root: Path = RESULTS) -> list[tuple[Path, int]]:
    """The result folders that no plan leads to, with their bytes."""
    reached = {job.folder for plan in plans for job in plan.jobs}
    folders = [
        path for stage in sorted(root.glob("*")) if stage.is_dir() for path in sorted(stage.glob("*")) if path.is_dir()
    ]
    return [
        (folder, sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()))
        for folder in folders
        if folder not in reached
    ]


def adopt(plan: Plan, patterns: list[str], reason: str) -> list[tuple[Job, Manifest]]:
    """Declares that the code changes of the jobs named by `patterns` (like `pretrain/trellis` or `sft/*`) alter no result:
    gives the results of their old code the new address, and with them every result further down whose own code is the
    same. Returns what was adopted. Raises TrellisError when there is nothing to adopt.

    The report is never adopted: it states its fingerprint, and takes seconds.
    """
    heir_of: dict[str, str] = {}
    adopted = []
    for job in plan.jobs:
        if job.manifest.exists() or job.stage == "report":
            continue
        named = any(fnmatch(job.label, pattern) for pattern in patterns)
        for old in predecessors(job):
            if _is_heir(job, old, named, heir_of):
                _give_address(job, old, reason)
                heir_of[job.fingerprint] = old.fingerprint
                adopted.append((job, old))
                break
    if not adopted:
        labels = ", ".join(sorted({job.label for job in plan.jobs if not job.manifest.exists()})) or "none"
        raise TrellisError(
            f"nothing to adopt: no result of {', '.join(patterns)} differs from the plan by its code alone "
            f"(missing results: {labels}; `python -m trellis why` says why)"
        )
    return adopted


def _is_heir(job: Job, old: Manifest, named: bool, heir_of: dict[str, str]) -> bool:
    """Whether only code that was declared harmless lies between an old result and the job."""
    wanted = job.components
    inputs = {role: [heir_of.get(mark, mark) for mark in marks] for role, marks in wanted["inputs"].items()}
    same_inputs = old.components["inputs"] in (inputs, wanted["inputs"])
    return (
        old.components["config"] == wanted["config"]
        and same_inputs
        and (named or old.components["code"] == wanted["code"])
    )


def _give_address(job: Job, old: Manifest, reason: str) -> None:
    """The old result under the new address: hard links, so that gigabytes of weights are not copied; the manifest last."""
    for file in old.files:
        target = job.folder / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        try:
            os.link(old.folder / file.path, target)
        except OSError:
            shutil.copy2(old.folder / file.path, target)
    for name in BESIDE - {NAME, ".lock"}:
        source = old.folder / name
        if source.is_dir():
            shutil.copytree(source, job.folder / name, dirs_exist_ok=True)
        elif source.exists():
            shutil.copy2(source, job.folder / name)
    record = {"from": old.fingerprint, "reason": reason}
    old.model_copy(
        update={
            "folder": job.folder,
            "fingerprint": job.fingerprint,
            "components": job.components,
            "adopted": [*old.adopted, record],
        }
    ).write()
