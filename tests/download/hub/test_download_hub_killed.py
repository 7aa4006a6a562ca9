"""kill -9 at random moments of a download through the real command line: nothing is lost, and nothing is different."""

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

import hub_faults as faults
from hub_downloads import below, served, sha256
from local_hub import LocalHub

PACKAGE = Path(__file__).parents[3] / "workflow/scripts"
REPO, KILLS = "trellis/example", 20
SIZES = {"a.parquet": 80_000, "b/c.json.gz": 70_000, "b/d.txt": 50_000, "e.parquet": 1, "f.parquet": 1_400_000}
FILES = {path: random.Random(path).randbytes(size) for path, size in SIZES.items()}
RATE = 150_000  # bytes per second: the whole takes three times as long as the kills leave


@pytest.fixture
def hub():
    with LocalHub() as hub:
        hub.add("dataset", REPO, FILES)
        yield hub


@pytest.fixture
def start(hub, make_spec, tmp_path):
    """start(folder) -> the running process that downloads into it."""
    pins = {path: {"bytes": len(data), "sha256": sha256(data)} for path, data in FILES.items()}
    files = {"repo": f"datasets/{REPO}", "revision": hub.sha("dataset", REPO), "files": pins}
    (tmp_path / "spec.json").write_text(make_spec("download", "hub", config={"files": files}).model_dump_json())
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE), "HF_ENDPOINT": hub.endpoint}
    words = [sys.executable, "-m", "trellis.download", "--spec", str(tmp_path / "spec.json"), "--log", os.devnull]
    return lambda folder: subprocess.Popen([*words, "--out", str(tmp_path / folder)], env=environment)


def published(folder) -> tuple[dict, dict]:
    """Every file of a result but the lock, and its manifest without what may differ between two runs."""
    files = below(folder)
    manifest = json.loads(files.pop("manifest.json"))
    return {name: data for name, data in files.items() if name != ".lock"}, manifest | {"run": None}


@pytest.mark.slow
def test_twenty_kills_change_nothing(hub, start, tmp_path):
    assert start("whole").wait() == 0
    size, chance = served(hub), random.Random(42)
    assert size == sum(SIZES.values())
    hub.forget()
    hub.fail("GET", faults.slow(RATE), times=None)
    lengths = []
    for kill in range(KILLS):
        process, before = start("killed"), len(hub.requests)
        while kill % 5 and len(hub.requests) == before and process.poll() is None:
            time.sleep(0.005)  # every fifth kill may also come while the process starts or hashes what it has
        time.sleep(chance.uniform(0, 0.4))
        process.kill()
        assert process.wait() == -9, "the download ended before it was killed"
        assert not (tmp_path / "killed/manifest.json").exists()
        lengths.append(sum(len(data) for data in below(tmp_path / "killed/work/parts").values()))
    assert lengths == sorted(lengths) and size / 10 < lengths[-1] < size
    wasted = served(hub) - lengths[-1]
    hub.forget()
    assert start("killed").wait() == 0
    assert published(tmp_path / "killed") == published(tmp_path / "whole")
    assert served(hub) == size - lengths[-1] and wasted < size / 2
