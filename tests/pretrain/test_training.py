"""Training on the CPU: resumed runs end with the same bytes, and what is exported is what was trained."""

import itertools
import json
import math
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer

from publishing import publish
from trellis.command import execute
from trellis.documents import END_OF_TEXT
from trellis.errors import TrellisError
from trellis.experiment.pretraining import Pretraining
from trellis.manifest import Manifest
from trellis.pretrain import checkpoint
from trellis.pretrain.rows import Mixture
from trellis.pretrain.schedule import learning_rate

CONTEXT, VOCABULARY = 16, 300
LLAMA = {
    "kind": "llama", "mixture": "m", "hidden_size": 16, "intermediate_size": 32, "layers": 2, "heads": 2, "kv_heads": 1,
    "tie_embeddings": True, "parameters": 9_488,
}  # fmt: skip
NEOX = {
    "kind": "gpt_neox", "mixture": "m", "hidden_size": 16, "intermediate_size": 32, "layers": 2, "heads": 2,
    "tie_embeddings": True, "parameters": 9_280,
}  # fmt: skip
RECIPE = {
    "context": CONTEXT, "batch_tokens": 8 * CONTEXT, "max_lr": 3e-2, "min_lr": 3e-3, "warmup_steps": 2,
    "validation_interval": 7, "micro_batch": 8, "log_interval": 3,
}  # fmt: skip


@pytest.fixture
def mixture(tmp_path):
    """Two sources of a learnable pattern: every token follows from the one before."""
    folder = tmp_path / "mixture"
    random = np.random.default_rng(0)
    sources, validation = [], []
    for split, entries, count in (("train", sources, 60), ("validation", validation, 5)):
        (folder / split).mkdir(parents=True)
        for name, stride in (("alpha", 3), ("beta", 7)):
            start = random.integers(0, 256)
            tokens = (start + stride * np.arange(count * CONTEXT + 1)) % 256
            tokens.astype(np.uint16).tofile(folder / split / f"{name}.bin")
            entries.append({"source": name, "rows": count, "bytes": count * CONTEXT})
    np.save(folder / "train/order.npy", random.permutation(120).astype(np.uint32))
    return publish(folder, metrics={"context": CONTEXT, "sources": sources, "validation": validation})


@pytest.fixture
def tokenizer(tmp_path):
    folder = tmp_path / "tokens" / "tokenizer"
    folder.mkdir(parents=True)
    vocabulary = {token: index for index, token in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([END_OF_TEXT])
    tokenizer.save(str(folder / "tokenizer.json"))
    special = {"eos_token": END_OF_TEXT, "pad_token": END_OF_TEXT}
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", **special}))
    return publish(folder.parent)


@pytest.fixture
def spec_of(mixture, tokenizer, make_spec):
    def build(model=LLAMA, **recipe):
        config = {"model": model, "vocab_size": VOCABULARY, "pretraining": {**RECIPE, **recipe}}
        return make_spec("pretrain", "train", config=config, inputs={"mixture": [mixture], "tokenizer": [tokenizer]})

    return build


def digests(manifest):
    return {file.path: file.sha256 for file in manifest.files}


def weights(manifest):
    return AutoModelForCausalLM.from_pretrained(manifest.folder / "model").state_dict()


def losses(manifest):
    lines = [json.loads(line) for line in (manifest.folder / "metrics.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines if "loss" in line]


@pytest.mark.parametrize("model", [LLAMA, NEOX], ids=["llama", "gpt_neox"])
def test_it_learns_and_exports_what_it_trained(spec_of, mixture, model, tmp_path):
    result = execute(spec_of(model), tmp_path / "out")
    assert len(losses(result)) == result.metrics["steps"] == 15
    assert losses(result)[0] == pytest.approx(math.log(VOCABULARY), abs=0.3)
    assert losses(result)[-1] < losses(result)[0] - 0.4
    exported = AutoModelForCausalLM.from_pretrained(result.folder / "model")
    nats = tokens = 0
    for rows, _ in Mixture(Manifest.read(mixture)).validation.values():
        batch = rows.read(np.arange(len(rows)))
        logits = exported(batch[:, :-1]).logits.float()
        nats += torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten(), reduction="sum").item()
        tokens += batch[:, 1:].numel()
    # The trainer validates under bfloat16 autocast, the export is read in float32.
    assert nats / tokens == pytest.approx(result.metrics["validation_loss"], rel=5e-3)
    assert AutoTokenizer.from_pretrained(result.folder / "model").eos_token == END_OF_TEXT


def test_the_same_spec_gives_the_same_bytes_and_log_interval_changes_none(spec_of, tmp_path):
    first = execute(spec_of(), tmp_path / "one")
    second = execute(spec_of(log_interval=5), tmp_path / "two")
    assert digests(first) == digests(second)


def test_micro_batches_change_no_result_beyond_rounding(spec_of, tmp_path):
    whole = execute(spec_of(precision="float32"), tmp_path / "whole")
    parts = execute(spec_of(precision="float32", micro_batch=3), tmp_path / "parts")
    assert losses(parts) == pytest.approx(losses(whole), rel=1e-4)


@pytest.mark.parametrize("stop_after", [1, 7, 14])
def test_a_run_that_was_stopped_ends_with_the_bytes_of_one_that_was_not(spec_of, tmp_path, stop_after, monkeypatch):
    expected = execute(spec_of(), tmp_path / "whole")
    from trellis.pretrain.loop import Loop

    step = Loop._step

    def stopping(self, number):
        self.stopped = number + 1 == stop_after
        return step(self, number)

    monkeypatch.setattr(Loop, "_step", stopping)
    with pytest.raises(TrellisError, match=f"stopped by SIGTERM after step {stop_after}"):
        execute(spec_of(), tmp_path / "resumed")
    monkeypatch.setattr(Loop, "_step", step)
    assert not (tmp_path / "resumed/manifest.json").exists()
    resumed = execute(spec_of(), tmp_path / "resumed")
    assert digests(resumed) == digests(expected)
    assert not (tmp_path / "resumed/work").exists()


def test_killed_processes_resume_to_the_same_bytes(spec_of, tmp_path):
    """kill -9 at whatever moment, three times, then once to the end."""
    spec = spec_of(checkpoint_minutes=1e-6)
    expected = execute(spec, tmp_path / "whole")
    out, order = tmp_path / "killed", tmp_path / "spec.json"
    order.write_text(spec.model_dump_json())
    command = [
        sys.executable,
        "-m",
        "trellis.pretrain",
        "--spec",
        str(order),
        "--out",
        str(out),
        "--log",
        str(tmp_path / "log"),
    ]
    for _ in range(3):
        process = subprocess.Popen(command)
        before = (out / "work" / checkpoint.NAME).stat().st_mtime_ns if (out / "work" / checkpoint.NAME).exists() else 0
        while process.poll() is None:
            path = out / "work" / checkpoint.NAME
            if path.exists() and path.stat().st_mtime_ns > before:
                break
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert subprocess.run(command).returncode == 0
    assert "going on from the checkpoint" in (tmp_path / "log").read_text()
    assert digests(Manifest.read(out)) == digests(expected)


def test_a_second_process_in_the_same_folder_is_refused(spec_of, tmp_path):
    import fcntl

    out = tmp_path / "out"
    out.mkdir()
    with (out / ".lock").open("w") as lock:
        lock.write(str(os.getpid()))
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(TrellisError, match=f"process {os.getpid()} is already writing"):
            execute(spec_of(), out)


def test_checkpoints_of_another_fingerprint_and_damaged_ones_are_refused(tmp_path):
    module = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(module.parameters(), fused=True)
    module(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    checkpoint.save(tmp_path, "a" * 64, 5, module, optimizer)
    other = torch.nn.Linear(3, 2)
    restored = torch.optim.AdamW(other.parameters(), fused=True)
    assert checkpoint.load(tmp_path, "a" * 64, other, restored) == 5
    assert torch.equal(module.weight, other.weight)
    with pytest.raises(TrellisError, match="belongs to fingerprint aaaaaaaaaaaaaaaa"):
        checkpoint.load(tmp_path, "b" * 64, module, optimizer)
    path = tmp_path / checkpoint.NAME
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(TrellisError, match="is damaged"):
        checkpoint.load(tmp_path, "a" * 64, module, optimizer)


def test_a_loss_that_is_no_number_stops_and_names_step_and_rows(spec_of, tmp_path, monkeypatch):
    from trellis.pretrain.loop import Loop

    loss = Loop._loss
    monkeypatch.setattr(Loop, "_loss", lambda self, rows: loss(self, rows) * float("nan"))
    with pytest.raises(TrellisError, match=r"the loss is nan at step 1, which read rows \["):
        execute(spec_of(), tmp_path / "out")


def test_a_wrong_parameter_count_is_named(spec_of, tmp_path):
    with pytest.raises(TrellisError, match="has 9,488 parameters and the experiment states 9,000"):
        execute(spec_of({**LLAMA, "parameters": 9000}), tmp_path / "out")


@pytest.mark.parametrize("schedule", ["cosine", "warmup_stable_decay"])
def test_schedules(schedule):
    recipe = Pretraining.model_validate({**RECIPE, "schedule": schedule, "warmup_steps": 10})
    rates = [learning_rate(step, 100, recipe) for step in range(100)]
    assert rates[0] == pytest.approx(3e-3)
    assert rates.index(max(rates)) in (9, 10) and max(rates) == pytest.approx(recipe.max_lr)
    assert rates[-1] == pytest.approx(recipe.min_lr, rel=0.5)
    assert all(later <= earlier + 1e-9 for earlier, later in itertools.pairwise(rates[10:]))
    if schedule == "warmup_stable_decay":
        assert rates[79] == recipe.max_lr > rates[81]
