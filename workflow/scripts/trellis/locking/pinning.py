"""Pins of what does not lie on the hub: packages, as pip finds them, and files of this machine."""

import email
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from trellis.errors import TrellisError
from trellis.experiment.lock import Package, PinnedFile, load_lock
from trellis.manifest import file_sha256
from trellis.patterns import matching

PIP = (sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:")
PLAIN = ("--no-input", "--disable-pip-version-check", "--progress-bar=off")
MAX_METADATA = 2**20  # bytes


def pin_package(package: str, lock: Path) -> Package:
    """The pin of `package` in the lock that is to be replaced, else in one beside it, else of the wheel that pip
    fetches. Raises TrellisError."""
    for file in [lock, *sorted(lock.parent.glob("*.json"))]:
        if file.exists() and (pin := load_lock(file).packages.get(package)):
            return pin
    with tempfile.TemporaryDirectory() as folder:
        answer = subprocess.run(
            [*PIP, *PLAIN, "-d", folder, package], stdin=subprocess.DEVNULL, capture_output=True, text=True
        )
        wheels = list(Path(folder).iterdir())
        if answer.returncode or len(wheels) != 1:
            said = [line for line in answer.stderr.splitlines() if line.startswith("ERROR")] or ["no wheel"]
            reason = re.sub(r"://[^/\s@]+@", "://", " ".join(said[-1].split()))
            raise TrellisError(
                f"{package}: pip says `{reason}`; check the name and the index that pip is configured with"
            )
        return _pin(package, wheels[0])


def _pin(package: str, wheel: Path) -> Package:
    """Of a wheel that was just fetched, as its own METADATA describes it."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            (member,) = [name for name in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", name)]
            with archive.open(member) as file:
                about = email.message_from_bytes(file.read(MAX_METADATA))
    except (zipfile.BadZipFile, ValueError):
        raise TrellisError(f"{package}: {wheel.name}, which pip fetched, is not a wheel with METADATA") from None
    size = wheel.stat().st_size
    return Package(version=about["Version"], sha256=file_sha256(wheel), bytes=size, licence=_licence(about))


def _licence(about: email.message.Message) -> str:
    """The SPDX expression, else the first line of the free text, else the classifiers."""
    for field in ("License-Expression", "License"):
        if text := (about[field] or "").strip().removeprefix("UNKNOWN"):
            return text.splitlines()[0]
    classifiers = [text.split(" :: ")[-1] for text in about.get_all("Classifier", []) if text.startswith("License ::")]
    return "; ".join(classifiers) or "unknown"


def local_paths(root: Path, patterns: list[str]) -> list[str]:
    """The files below `root`, or wherever an absolute pattern points, that match any pattern, written as the patterns
    write them, sorted. Links to folders are not followed."""
    found = set()
    for pattern in patterns:
        try:
            found.update(matching(_below(root, pattern), [pattern]))
        except KeyError:
            continue
    return sorted(found)


def _below(root: Path, pattern: str) -> Iterator[str]:
    """The files that could match: all below the last folder that the pattern names in full."""
    start = pattern.split("*")[0].rpartition("/")
    top = start[0] + start[1]
    if "*" not in pattern:
        yield from [pattern] if (root / pattern).is_file() else []
        return
    for folder, folders, names in os.walk(root / top):
        folders[:] = sorted(folders) if "/" in pattern[len(top) :] else []
        below = Path(folder).relative_to(root / top)
        yield from (f"{top}{(below / name).as_posix()}" for name in names if Path(folder, name).is_file())


def pin_local(root: Path, path: str) -> PinnedFile:
    """Raises TrellisError when the file cannot be read."""
    try:
        return PinnedFile(bytes=(root / path).stat().st_size, sha256=file_sha256(root / path))
    except OSError as error:
        raise TrellisError(f"{path}: this local file cannot be read ({error.strerror})") from None
