"""The hand-off between stages: what a result is, what it came from, and the hash of every file in it.

`manifest.json` is the only file that one stage looks for in another's result, and the last one to be written: where it
stands, the result is whole.
"""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from trellis.errors import TrellisError

NAME = "manifest.json"
# What a result folder may hold beside its result: the workflow's own files, and what differs from run to run (a training's
# speed, a tracker's files); never handed on.
BESIDE = {NAME, "spec.json", "log.txt", "benchmark.tsv", ".lock", "speed.jsonl", "tracking"}
WORK = "work"


class File(BaseModel):
    """One file of a result; `path` is relative to the result's folder, `rows` is None where rows mean nothing."""

    path: str
    bytes: int
    sha256: str
    rows: int | None = None


class Manifest(BaseModel):
    """A result. `components` is what the fingerprint was computed from; `run` is how the result came about (seconds,
    peak memory in MiB, versions, commit, hardware) and never enters a fingerprint."""

    stage: str
    command: str
    name: str
    fingerprint: str
    components: dict[str, Any]
    files: list[File]
    metrics: dict[str, Any]
    run: dict[str, Any]
    adopted: list[dict[str, str]] = []
    folder: Path = Path()

    @classmethod
    def read(cls, folder: Path | str) -> "Manifest":
        """The manifest of a result folder. Raises TrellisError when it is missing or unreadable."""
        path = Path(folder) / NAME
        try:
            return cls.model_validate({**json.loads(path.read_text(encoding="utf-8")), "folder": Path(folder)})
        except FileNotFoundError:
            raise TrellisError(f"{path} is missing: the stage that makes it has not finished; run snakemake") from None
        except ValueError as error:
            raise TrellisError(f"{path} is not a manifest ({error}); delete it and run snakemake again") from None

    def write(self) -> None:
        """Writes `manifest.json` atomically."""
        content = self.model_dump(mode="json", exclude={"folder"})
        write_atomically(self.folder / NAME, json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n")

    def path(self, name: str) -> Path:
        """Where the file `name` of this result lies. Raises TrellisError when the result has no such file."""
        if not any(file.path == name for file in self.files):
            raise TrellisError(f"{self.folder} holds no {name}: it holds {', '.join(f.path for f in self.files)}")
        return self.folder / name

    def paths(self, prefix: str) -> list[Path]:
        """The files whose path begins with `prefix`, in the order of their paths."""
        return [self.folder / file.path for file in self.files if file.path.startswith(prefix)]


def list_files(folder: Path, rows: dict[str, int]) -> list[File]:
    """Every file of a result with its bytes and sha256, in the order of paths; the workflow's own files are left out."""
    files = []
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if path.is_file() and relative.parts[0] not in {WORK, *BESIDE}:
            name = relative.as_posix()
            files.append(File(path=name, bytes=path.stat().st_size, sha256=file_sha256(path), rows=rows.get(name)))
    return files


def file_sha256(path: Path) -> str:
    """sha256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_atomically(path: Path, content: str | bytes) -> None:
    """Writes a file so that a reader sees the old or the new content, never a part, even after a crash."""
    data = content.encode() if isinstance(content, str) else content
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
