"""A hub that the unmodified client is turned to, and orders to fetch from it."""

import os

import huggingface_hub
import pytest
from huggingface_hub import constants

from hub_downloads import FILES, REPO, sha256, turn
from local_hub import LocalHub
from trellis.download import transfer


@pytest.fixture(scope="module", autouse=True)
def environment():
    """The client reads proxies once, when its session begins."""
    huggingface_hub.close_session()
    with pytest.MonkeyPatch.context() as patched:
        for name in [name for name in os.environ if name.startswith("HF_") or name.lower().endswith("_proxy")]:
            patched.delenv(name)
        patched.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
        yield
    huggingface_hub.close_session()


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A hub with one dataset, the client turned to it, its pauses shortened."""
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setattr(transfer, "PAUSE", 0.001)
    with LocalHub(lfs_above=10**6) as hub:
        hub.add("dataset", REPO, FILES)
        turn(monkeypatch, hub.endpoint)
        yield hub


@pytest.fixture
def order(hub, make_spec):
    """order(files, repo, revision) -> the spec that a lock of these bytes gives."""

    def build(files=FILES, repo=f"datasets/{REPO}", revision=None):
        kind = "dataset" if repo.startswith("datasets/") else "model"
        revision = revision or hub.sha(kind, repo.removeprefix("datasets/"))
        pins = {path: {"bytes": len(data), "sha256": sha256(data)} for path, data in files.items()}
        return make_spec("download", "hub", config={"files": {"repo": repo, "revision": revision, "files": pins}})

    return build


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"
