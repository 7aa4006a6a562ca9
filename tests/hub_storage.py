"""What the local hub keeps: repos, their commits and files, and how the hub's API describes them."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

Kind = Literal["dataset", "model"]
Gate = Literal[False, "auto", "manual"]
Licence = str | list[str]

LFS_SUFFIXES = (".parquet", ".gz", ".zst", ".zip", ".safetensors", ".bin")


class Blob:
    """A file's bytes and its names: `sha256`, and `oid`, the git hash of the file or, in large storage, of its pointer."""

    def __init__(self, data: bytes, lfs: bool) -> None:
        self.data, self.lfs = data, lfs

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    @cached_property
    def pointer(self) -> bytes:
        head = "version https://git-lfs.github.com/spec/v1"
        return f"{head}\noid sha256:{self.sha256}\nsize {len(self.data)}\n".encode()

    @cached_property
    def oid(self) -> str:
        stored = self.pointer if self.lfs else self.data
        return hashlib.sha1(b"blob %d\0" % len(stored) + stored).hexdigest()

    def lfs_info(self, name: str) -> dict:
        size = {"size": len(self.data), "pointerSize": len(self.pointer)}
        return {"lfs": {name: self.sha256, **size}} if self.lfs else {}


@dataclass(frozen=True)
class Commit:
    sha: str
    title: str
    date: str
    licence: Licence
    files: dict[str, Blob]


@dataclass
class Repo:
    kind: Kind
    id: str
    gated: Gate = False
    commits: dict[str, Commit] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    def at(self, revision: str) -> Commit | None:
        return self.commits.get(self.branches.get(revision) or self.tags.get(revision) or revision)


def committed(
    repo: Repo, files: Mapping[str, bytes | None], branch: str, licence: Licence | None, message: str, lfs_above: int
) -> Commit:
    """The next commit of a branch; its name is a function of repo, parent, title, licence and files alone."""
    parent = repo.at(branch) or repo.at("main")
    tree = {**parent.files} if parent else {}
    for path, data in files.items():
        tree.pop(path, None)
        if data is not None:
            tree[path] = Blob(data, path.endswith(LFS_SUFFIXES) or len(data) > lfs_above)
    tree = dict(sorted(tree.items()))
    licence = licence or (parent.licence if parent else "odc-by")
    title = message or f"Commit {len(repo.commits) + 1}"
    names = [(path, blob.oid) for path, blob in tree.items()]
    content = [repo.kind, repo.id, parent.sha if parent else None, title, licence, names]
    sha = hashlib.sha1(json.dumps(content).encode()).hexdigest()
    return Commit(sha, title, f"2026-01-01T00:00:{len(repo.commits) % 60:02d}.000Z", licence, tree)


def info(repo: Repo, commit: Commit, blobs: bool) -> dict:
    """Of a dataset or model at a commit; `blobs` adds sizes and hashes to the list of files."""
    licence = commit.licence
    siblings = [
        {"rfilename": path} | ({"size": len(blob.data), "blobId": blob.oid, **blob.lfs_info("sha256")} if blobs else {})
        for path, blob in commit.files.items()
    ]
    return {
        "_id": hashlib.sha1(repo.id.encode()).hexdigest()[:24],
        "id": repo.id,
        "author": repo.id.split("/")[0],
        "sha": commit.sha,
        "createdAt": "2026-01-01T00:00:00.000Z",
        "lastModified": commit.date,
        "private": False,
        "gated": repo.gated,
        "disabled": False,
        "downloads": 0,
        "likes": 0,
        "tags": [f"license:{name}" for name in ([licence] if isinstance(licence, str) else licence)],
        "cardData": {"license": licence},
        "siblings": siblings,
    }


def refs(repo: Repo) -> dict:
    def listed(kind: str, names: dict[str, str]) -> list[dict]:
        return [{"name": name, "ref": f"refs/{kind}/{name}", "targetCommit": sha} for name, sha in names.items()]

    branches, tags = listed("heads", repo.branches), listed("tags", repo.tags)
    return {"branches": branches, "tags": tags, "converts": [], "pullRequests": []}


def entries(commit: Commit, folder: str, recursive: bool, expand: bool) -> list[dict]:
    """Files and folders below a folder (the root is ""), by path; `expand` adds the last commit and a scan's verdict."""
    start = f"{folder}/" if folder else ""
    scan = {"status": "safe", "avScan": {"virusFound": False}, "pickleImportScan": None}
    last = {"lastCommit": {"id": commit.sha, "title": commit.title, "date": commit.date}} if expand else {}
    found = {}
    for path, blob in commit.files.items():
        if not path.startswith(start):
            continue
        parts = path.removeprefix(start).split("/")
        for depth in range(1, len(parts) if recursive else min(len(parts), 2)):
            name = start + "/".join(parts[:depth])
            oid = hashlib.sha1(f"{commit.sha} {name}".encode()).hexdigest()
            found[name] = {"type": "directory", "oid": oid, "size": 0, "path": name, **last}
        if recursive or len(parts) == 1:
            security = {"securityFileStatus": scan} if expand else {}
            about = {"type": "file", "oid": blob.oid, "size": len(blob.data), **blob.lfs_info("oid")}
            found[path] = {**about, "path": path, **last, **security}
    return [found[path] for path in sorted(found)]
