"""Bad input: one sentence for each; what was trained is kept, and a second try ends as the first."""

import json
import os
import signal

import numpy as np
import pytest
import torch
from safetensors import safe_open

from small_training import CONTEXT, RECIPE, VOCABULARY, digests, lines
from trellis import checkpoint, device
from trellis.command import execute
from trellis.errors import TrellisError
from trellis.experiment.pretraining import Pretraining
from trellis.manifest import Manifest, list_files
from trellis.pretrain.objective import NextTokenLoss
from trellis.pretrain.rows import Mixture
from trellis.pretrain.train import _too_large
from trellis.pretrain.trainer import Trainer


def rows_of(mixture, step):
    """The rows that a step reads, and where they are, by arithmetic on the fixture: 60 rows of alpha, then those of beta."""
    packed = Mixture(Manifest.read(mixture), VOCABULARY)
    numbers = np.load(mixture / "train/order.npy")[8 * (step - 1) : 8 * step]
    places = [{"source": ("alpha", "beta")[number // 60], "row": int(number % 60)} for number in numbers]
    return packed.train.read(numbers), places


@pytest.mark.parametrize(
    ("part", "value", "sentence"),
    [
        ("loss", "nan", r"the loss is nan and the gradient norm nan at step 8"),
        ("loss", "inf", r"the loss is inf and the gradient norm (nan|inf) at step 8"),
        ("gradient", "inf", r"the loss is \d\.\d+ and the gradient norm (nan|inf) at step 8"),
    ],
)
def test_what_is_no_number_stops_the_training_before_a_checkpoint_keeps_it(
    spec_of, mixture, tmp_path, monkeypatch, part, value, sentence
):
    """Step 8 goes wrong, and is looked at after step 10; the checkpoint is from step 5."""
    out, spec = tmp_path / "out", spec_of(log_interval=5, validation_interval=100)
    expected = execute(spec, tmp_path / "whole")
    bad, places = rows_of(mixture, 8)
    forward, step = NextTokenLoss.forward, Trainer.step

    def poisonous(self, rows):
        loss = forward(self, rows)
        if not torch.equal(rows, bad):
            return loss
        if part == "gradient":
            loss.register_hook(lambda gradient: gradient * float(value))
        return loss * float(value) if part == "loss" else loss

    def stopping(self, number, rows):
        os.kill(os.getpid(), signal.SIGTERM) if number == 4 else None
        return step(self, number, rows)

    with monkeypatch.context() as patch:
        patch.setattr(NextTokenLoss, "forward", poisonous)
        patch.setattr(Trainer, "step", stopping)
        with pytest.raises(TrellisError, match="after step 5"):
            execute(spec, out)
        kept = (out / "work" / checkpoint.NAME).read_bytes()
        said = []
        for _ in range(2):  # a retry of Snakemake's
            with pytest.raises(TrellisError, match=sentence) as error:
                execute(spec, out)
            said.append(str(error.value))
    assert said[0] == said[1]
    first = ", ".join(f"row {place['row']} of {place['source']}" for place in places[:4])
    assert (
        f"which read {first}, ... (all in {out / 'work/stopped_at.json'}); the last good checkpoint is kept" in said[0]
    )
    assert (out / "work" / checkpoint.NAME).read_bytes() == kept
    stopped = json.loads((out / "work/stopped_at.json").read_text())
    assert stopped["step"] == 8 and stopped["rows"] == places
    assert not np.isfinite([float(stopped["loss"]), float(stopped["gradient_norm"])]).all()
    assert [line["step"] for line in lines(out / "work/metrics.jsonl")] == [1, 2, 3, 4, 5, 6, 7]
    assert digests(execute(spec, out)) == digests(expected)


@pytest.mark.parametrize("value", ["nan", "inf"])
def test_a_validation_loss_that_is_no_number_stops_the_training_before_a_checkpoint_keeps_it(
    spec_of, mixture, tmp_path, monkeypatch, value
):
    """Step 7 is validated, and beta's loss is none; the checkpoint is from step 6."""
    out, spec = tmp_path / "out", spec_of(checkpoint_minutes=1e-6)
    expected = execute(spec, tmp_path / "whole")
    beta, _ = Mixture(Manifest.read(mixture), VOCABULARY).validation["beta"]
    bad, forward = beta.read(beta.numbers), NextTokenLoss.forward

    def poisonous(self, rows):
        loss = forward(self, rows)
        return loss * float(value) if not self.training and torch.equal(rows, bad) else loss

    with monkeypatch.context() as patch:
        patch.setattr(NextTokenLoss, "forward", poisonous)
        for _ in range(2):  # a retry of Snakemake's
            with pytest.raises(TrellisError) as error:
                execute(spec, out)
            assert str(error.value) == (
                f"the validation loss is {value} after step 7, on beta; the last good checkpoint is kept; look at these "
                f"validation rows, or lower pretraining.max_lr"
            )
    with safe_open(out / "work" / checkpoint.NAME, framework="pt") as file:
        assert json.loads(file.metadata()["state"])["step"] == 6
    written = (out / "work/metrics.jsonl").read_text()
    assert "validation" not in written and [line["step"] for line in lines(out / "work/metrics.jsonl")][-1] == 7
    assert digests(execute(spec, out)) == digests(expected)


DAMAGED = r"damaged \(its sha256 is not the one in its manifest\)"


def with_a_token_changed(path):
    tokens = np.fromfile(path, dtype=np.uint16)
    tokens[50] ^= 1
    tokens.tofile(path)


def cut_short(path):
    path.write_bytes(path.read_bytes()[:-32])


@pytest.mark.parametrize("name", ["train/beta.bin", "train/order.npy", "validation/alpha.bin"])
@pytest.mark.parametrize(
    ("spoil", "what"),
    [
        (with_a_token_changed, DAMAGED),
        (cut_short, DAMAGED),
        (lambda path: path.unlink(), "missing"),
    ],
    ids=["changed", "short", "missing"],
)
def test_a_mixture_that_is_not_what_was_packed_is_refused_before_the_first_step(
    spec_of, mixture, tmp_path, monkeypatch, name, spoil, what
):
    spoil(mixture / name)
    monkeypatch.setattr(Trainer, "step", None)
    with pytest.raises(TrellisError, match=f"{name} is {what}; delete {mixture} and run snakemake to pack it again"):
        execute(spec_of(), tmp_path / "out")


def test_how_long_verifying_took_is_logged(spec_of, tmp_path, caplog):
    with caplog.at_level("INFO", logger="trellis"):
        execute(spec_of(), tmp_path / "out")
    assert any(message.startswith("mixture verified: 0.0 MiB in 0.") for message in caplog.messages)


@pytest.mark.parametrize(("split", "source", "row"), [("train", "beta", 41), ("validation", "alpha", 3)])
def test_a_token_out_of_the_vocabulary_is_named_with_its_place(spec_of, mixture, tmp_path, split, source, row):
    path = mixture / split / f"{source}.bin"
    tokens = np.fromfile(path, dtype=np.uint16)
    tokens[row * CONTEXT + 7] = VOCABULARY
    tokens.tofile(path)
    made = Manifest.read(mixture)
    made.model_copy(update={"files": list_files(mixture, {})}).write()
    sentence = f"row {row} of source {source} .* holds token 300, and the vocabulary ends at 299"
    with pytest.raises(TrellisError, match=sentence):
        execute(spec_of(), tmp_path / "out")


@pytest.mark.parametrize(
    ("keys", "remedy"),
    [
        ({"micro_batch": 8}, "set pretraining.micro_batch to 4, and run again: results stay the same"),
        ({"micro_batch": 64}, "set pretraining.micro_batch to 4,"),
        ({"micro_batch": 3}, "set pretraining.micro_batch to 1,"),
        ({"micro_batch": 1}, "set pretraining.gradient_checkpointing to full,"),
        ({"micro_batch": 1, "gradient_checkpointing": "full"}, "take a GPU with more memory, or a smaller model,"),
    ],
)
def test_out_of_memory_names_what_to_set_and_nothing_is_lost(spec_of, tmp_path, monkeypatch, keys, remedy):
    """A batch has 8 rows: no micro-batch is larger."""
    spec, out, forward = spec_of(checkpoint_minutes=1e-6), tmp_path / "out", NextTokenLoss.forward
    expected, calls = execute(spec, tmp_path / "whole"), []

    def too_large(self, rows):
        calls.append(1)
        if len(calls) == 12:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return forward(self, rows)

    with monkeypatch.context() as patch:
        patch.setattr(NextTokenLoss, "forward", too_large)
        with pytest.raises(
            TrellisError, match=f"does not hold micro-batches of {min(keys['micro_batch'], 8)} rows .*; {remedy}"
        ):
            execute(spec_of(checkpoint_minutes=1e-6, **keys), out)
    assert (out / "work" / checkpoint.NAME).exists()
    if keys == {"micro_batch": 8}:
        assert digests(execute(spec, out)) == digests(expected)


@pytest.mark.parametrize(
    ("processes", "micro_batch", "rows", "remedy"),
    [
        (1, 64, 17, "set pretraining.micro_batch to 8,"),
        (2, 64, 9, "set pretraining.micro_batch to 4,"),
        (2, 6, 6, "set pretraining.micro_batch to 3,"),
        (16, 64, 2, "set pretraining.micro_batch to 1,"),
        (17, 64, 1, "set pretraining.gradient_checkpointing to full,"),
        (40, 64, 1, "set pretraining.gradient_checkpointing to full,"),
    ],
)
def test_out_of_memory_speaks_of_the_rows_that_a_process_takes(processes, micro_batch, rows, remedy):
    """17 rows a batch; the first of several processes has the largest share."""
    recipe = Pretraining.model_validate({**RECIPE, "batch_tokens": 17 * CONTEXT, "micro_batch": micro_batch})
    sentence = str(_too_large(recipe, processes))
    assert f"micro-batches of {rows} rows of {CONTEXT} tokens" in sentence and remedy in sentence


@pytest.fixture
def two_gpus(monkeypatch):
    """What torch says on a machine with two GPUs, and which of them is made the current one."""
    current = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: ("NVIDIA A100-SXM4-80GB", "NVIDIA L4")[index])
    monkeypatch.setattr(torch.cuda, "set_device", current.append)
    return current


def as_process(monkeypatch, number):
    for name, value in {"RANK": number, "LOCAL_RANK": number, "WORLD_SIZE": 3, "TORCHELASTIC_RUN_ID": "x"}.items():
        monkeypatch.setenv(name, str(value))


def test_a_missing_gpu_is_said_with_its_cure(spec_of, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    spec = spec_of().model_copy(update={"machine": {"device": "cuda", "gpu_model": "any"}})
    with pytest.raises(TrellisError, match="torch finds no GPU here; run on a GPU machine or set `device: cpu`"):
        execute(spec, tmp_path / "out")


def test_each_process_gets_the_gpu_of_its_number(two_gpus, monkeypatch):
    for number in (0, 1):
        as_process(monkeypatch, number)
        assert device.pick_device({"device": "cuda", "gpu_model": "any"}) == torch.device("cuda", number)
    assert two_gpus == [0, 1]
    as_process(monkeypatch, 2)
    with pytest.raises(TrellisError, match="a process for GPU 3, and torch finds 2 here; lower machine.gpus"):
        device.pick_device({"device": "cuda", "gpu_model": "any"})
    as_process(monkeypatch, 1)
    with pytest.raises(
        TrellisError, match="this machine's GPU is NVIDIA L4, and machine.gpu_model .* pins NVIDIA A100"
    ):
        device.pick_device({"device": "cuda", "gpu_model": "NVIDIA A100-SXM4-80GB"})
