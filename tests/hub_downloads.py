"""The repository that the tests of download_hub fetch, and what they look at afterwards."""

import hashlib
import random

import pytest
from huggingface_hub import constants

import hub_faults as faults
from trellis.command import execute
from trellis.errors import TrellisError

REPO, TOKEN = "trellis/example", "hf_averysecrettoken"
# The first two lie in large storage, behind signed links; the last one is served by the hub itself.
A, B, PLAIN = "data/a.parquet", "data/deep/b é.json.gz", "notes #1.txt"
FILES = {path: random.Random(path).randbytes(size) for path, size in ((A, 300_000), (B, 200_000), (PLAIN, 150_000))}
SIZE = sum(len(data) for data in FILES.values())
CUT = faults.cut(100_000)


def sha256(data) -> str:
    return hashlib.sha256(data).hexdigest()


def turn(monkeypatch, endpoint) -> None:
    """What HF_ENDPOINT does when it is set before the client is imported."""
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", endpoint + "/{repo_id}/resolve/{revision}/{filename}")


def below(folder) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def fetched(out) -> dict[str, bytes]:
    """The published files; nothing else may lie beside them."""
    assert {path.name for path in out.iterdir()} == {"files", "manifest.json", ".lock"}
    return below(out / "files")


def failure(spec, out) -> str:
    """The sentence of a run that fails: nothing is published, and the sentence is one and tells no secret."""
    with pytest.raises(TrellisError) as caught:
        execute(spec, out)
    said = str(caught.value)
    assert not (out / "manifest.json").exists() and not (out / "files").exists()
    assert "\n" not in said and TOKEN not in said and "Signature" not in said
    assert said.startswith(spec.config["files"]["repo"])
    return said


def served(hub) -> int:
    """Bytes of files that were answered."""
    return sum(request.sent for request in hub.requests if request.status in (200, 206))
