"""A run that was cut goes on where it was, and ends with the bytes of one that was not."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest

from small_models import item, publish_items, publish_model
from trellis.command import execute
from trellis.evaluate import batches
from trellis.evaluate.batches import Batches
from trellis.evaluate.prompting import Prompt

FILES = ("generations.jsonl", "likelihoods.jsonl")
SCHEMA = {"type": "array", "items": {"type": "boolean"}, "maxItems": 3}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return publish_model(tmp_path_factory.mktemp("model") / "model", context=96)


@pytest.fixture
def order(make_spec, model, tmp_path):
    """order(items, batch) -> the spec of a run over that many items."""

    def write(count, batch, new=6):
        rows = [item(f"i{n}", "x" * (n * 7 % 50), SCHEMA, "[true]" if n % 2 else None) for n in range(count)]
        config = {"generation": {"max_new_tokens": new, "batch": batch}, "template": "plain", "base": False}
        inputs = {"model": [model], "items": [publish_items(tmp_path / "items", rows)]}
        return make_spec("evaluate", "generate", "cut", config, inputs)

    return write


def contents(out: Path) -> list[bytes]:
    return [(out / name).read_bytes() for name in FILES]


class Cut(Exception):
    pass


def test_wherever_a_run_is_cut_it_ends_the_same(order, tmp_path, monkeypatch):
    """A batch may be the last before the cut, or the first after it: it has the same company."""
    monkeypatch.setattr(batches, "SHARD", 8)
    spec, made = order(20, 4), []
    execute(spec, tmp_path / "whole")
    write = batches.write_atomically

    def cut_at(limit):
        def counting(path, content):
            if len(made) == limit:
                raise Cut
            made.append(path.name)
            write(path, content)

        return counting

    out, shards = tmp_path / "cut", []
    for limit in (1, 1, 2, 3):
        made.clear()
        monkeypatch.setattr(batches, "write_atomically", cut_at(limit))
        with pytest.raises(Cut):
            execute(spec, out)
        shards += made
    monkeypatch.setattr(batches, "write_atomically", write)
    execute(spec, out)
    assert contents(out) == contents(tmp_path / "whole")
    assert len(set(shards)) == len(shards) == 7, "a finished shard was made again"
    assert not (out / "work").exists()


@pytest.mark.parametrize(("size", "sizes"), [(64, [64, 64, 64, 64, 44]), (100, [100, 100, 100]), (300, [300])])
def test_batches_have_one_size_and_go_from_long_to_short(tmp_path, size, sizes):
    work = [Prompt(f"p{n}", [0] * (1 + n * 7 % 50), 0) for n in range(300)]
    seen = []

    def make(batch):
        seen.append([(len(prompt), prompt.id) for prompt in batch])
        return [{"id": prompt.id} for prompt in batch]

    found = Batches(tmp_path, size, "test").make("free", work, make)
    assert [len(batch) for batch in seen] == sizes
    lengths = [length for batch in seen for length, _ in batch]
    assert lengths == sorted(lengths, reverse=True) and set(found) == {prompt.id for prompt in work}
    assert all(one < other for batch in seen for (a, one), (b, other) in pairwise(batch) if a == b)
    files = sorted(path.name for path in tmp_path.iterdir())
    lines = [len((tmp_path / name).read_text().splitlines()) for name in files]
    assert lines == {64: [256, 44], 100: [200, 100], 300: [300]}[size]


@pytest.mark.slow
def test_a_killed_process_loses_at_most_a_shard(order, tmp_path):
    """Killed without a word once two shards are there; what they hold is not made again, and another process ends it with
    the bytes of a run in this one."""
    spec = order(900, 32, new=24)
    execute(spec, tmp_path / "whole")
    out, path = tmp_path / "cut", tmp_path / "spec.json"
    path.write_text(spec.model_dump_json())
    command = [sys.executable, "-m", "trellis.evaluate", "--spec", str(path), "--out", str(out)]
    command += ["--log", str(tmp_path / "log.txt")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(command, env=environment)
    deadline = time.monotonic() + 120
    while len(list(out.glob("work/*/*/*.jsonl"))) < 2:
        assert time.monotonic() < deadline and process.poll() is None, (tmp_path / "log.txt").read_text()
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (out / "manifest.json").exists()
    shards = sorted(out.glob("work/*/*/*.jsonl"))
    marked = tmp_path / "marked"
    shutil.copytree(out, marked)
    assert subprocess.run(command, env=environment).returncode == 0
    assert contents(out) == contents(tmp_path / "whole")

    sign = marked / shards[0].relative_to(out)
    first, *rest = sign.read_text().splitlines()
    sign.write_text("\n".join([json.dumps({**json.loads(first), "output": "kept"}), *rest]) + "\n")
    execute(spec, marked)
    outputs = [json.loads(line)["output"] for line in (marked / "generations.jsonl").open()]
    assert outputs.count("kept") == 1
