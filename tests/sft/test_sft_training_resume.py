"""Nothing lost: a fine-tuning that is stopped, killed or out of disk goes on where it was, and ends with the same bytes."""

import errno
import json
import os
import pickle
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from small_tuning import (
    STEPS,
    TRAINING,
    command,
    digests,
    lines,
    publish_base,
    publish_conversations,
    tuning,
)
from trellis import checkpoint
from trellis.command import execute
from trellis.errors import TrellisError
from trellis.experiment.section import semantic
from trellis.experiment.sft import SftTraining
from trellis.sft import train
from trellis.sft.trainer import Trainer


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inputs")
    return publish_base(folder / "base"), publish_conversations(folder / "data")


@pytest.fixture
def spec_of(make_spec, inputs):
    return lambda **changes: tuning(make_spec, *inputs, **changes)


def during(monkeypatch, act, *steps):
    """Acts while one of these steps is taken; of its micro-batches, at the first."""
    take = Trainer.training_step

    def acting(self, *arguments, **named):
        if self.state.global_step + 1 in steps:
            act()
        return take(self, *arguments, **named)

    monkeypatch.setattr(Trainer, "training_step", acting)


def stop():
    os.kill(os.getpid(), signal.SIGTERM)


def stopped_after(step, spec, out, monkeypatch):
    with monkeypatch.context() as patch:
        during(patch, stop, step)
        with pytest.raises(TrellisError, match=f"stopped by SIGTERM after step {step}; run again to go on from there"):
            execute(spec, out)
    assert not (out / "manifest.json").exists()
    return out / "work" / checkpoint.NAME


def test_a_run_that_is_stopped_after_every_single_step_ends_with_the_same_bytes(spec_of, tmp_path, monkeypatch):
    spec, out = spec_of(micro_batch=2, schedule="warmup_stable_decay"), tmp_path / "out"
    expected = execute(spec, tmp_path / "whole")
    for step in range(1, STEPS + 1):
        stopped_after(step, spec, out, monkeypatch)
    monkeypatch.setattr(Trainer, "training_step", None)  # the last step, too, is kept
    resumed = execute(spec, out)
    assert digests(resumed) == digests(expected)
    assert resumed.metrics == expected.metrics
    assert not (out / "work").exists()
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_dropout_draws_the_same_numbers_in_a_run_that_goes_on(make_spec, inputs, tmp_path, monkeypatch):
    base = publish_base(tmp_path / "base", "gpt_neox")
    config = json.loads((base / "model/config.json").read_text()) | {"hidden_dropout": 0.5, "attention_dropout": 0.5}
    (base / "model/config.json").write_text(json.dumps(config))
    spec = tuning(make_spec, base, inputs[1])
    expected = execute(spec, tmp_path / "whole")
    stopped_after(2, spec, tmp_path / "out", monkeypatch)
    torch.rand(7)
    assert digests(execute(spec, tmp_path / "out")) == digests(expected)


def test_micro_batches_may_change_when_a_run_goes_on(spec_of, tmp_path, monkeypatch):
    runtime = {"micro_batch": 1, "checkpoint_minutes": 1e-6}
    assert not runtime.keys() & semantic(SftTraining(**TRAINING)).keys()
    expected = execute(spec_of(), tmp_path / "whole")
    stopped_after(2, spec_of(), tmp_path / "out", monkeypatch)
    resumed = execute(spec_of(**runtime), tmp_path / "out")
    loose = {"first_loss", "final_loss"}
    assert {key: value for key, value in resumed.metrics.items() if key not in loose} == {
        key: value for key, value in expected.metrics.items() if key not in loose
    }
    assert [line["loss"] for line in lines(resumed)] == pytest.approx([line["loss"] for line in lines(expected)], 1e-3)
    assert [line["tokens"] for line in lines(resumed)] == [line["tokens"] for line in lines(expected)]


MURDERED = """
import os, signal
from trellis import checkpoint
from trellis.command import main

write, writes = checkpoint._write, []

class Half:
    def __init__(self, file):
        self.file, self.room = file, 40_000
    def write(self, data):
        self.file.write(data[: self.room])
        self.room -= len(data)
        if self.room < 0:
            self.file.flush()
            os.kill(os.getpid(), signal.SIGKILL)

def writing(file, *rest):
    writes.append(file)
    write(Half(file) if len(writes) == 3 else file, *rest)

checkpoint._write = writing
main("sft")
"""


def test_a_process_that_is_killed_in_the_middle_of_a_checkpoint_ends_with_the_same_bytes(spec_of, tmp_path):
    expected, spec, out = execute(spec_of(), tmp_path / "whole"), spec_of(checkpoint_minutes=1e-9), tmp_path / "out"
    process = subprocess.run([sys.executable, "-c", MURDERED, *command(spec, tmp_path)])
    assert process.returncode == -signal.SIGKILL and not (out / "manifest.json").exists()
    assert (out / "work" / f".{checkpoint.NAME}").stat().st_size == 40_000
    assert load_file(out / "work" / checkpoint.NAME)["step/lm_head.weight"] == 2
    assert digests(execute(spec, out)) == digests(expected)


def test_a_checkpoint_is_written_when_it_is_time_and_at_the_end(spec_of, tmp_path, caplog):
    def saved(**changes):
        caplog.clear()
        with caplog.at_level("INFO", logger="trellis"):
            execute(spec_of(**changes), tmp_path / str(changes))
        return sum(message.startswith("checkpoint after step") for message in caplog.messages)

    assert saved(checkpoint_minutes=1e-9) == STEPS
    assert saved() == 1


def test_a_checkpoint_is_tensors_and_json_and_what_it_holds_is_the_whole_state(spec_of, inputs, tmp_path, monkeypatch):
    path = stopped_after(3, spec_of(), tmp_path / "out", monkeypatch)
    assert [each.name for each in path.parent.iterdir()] == [checkpoint.NAME]
    tensors, weights = load_file(path), load_file(inputs[0] / "model/model.safetensors")
    kinds = {f"{kind}/{name}" for kind in ("weight", "exp_avg", "exp_avg_sq", "step") for name in weights}
    assert tensors.keys() == kinds | {"random/cpu", "digest"}
    assert all(tensors[f"step/{name}"] == 3 for name in weights)
    for module, name in ((torch, "load"), (torch, "save"), (pickle, "load"), (pickle, "Unpickler")):
        monkeypatch.setattr(module, name, None)
    execute(spec_of(checkpoint_minutes=1e-9), tmp_path / "out")


def test_a_checkpoint_is_on_the_disk_before_its_name_is(spec_of, tmp_path, monkeypatch):
    """The order of fsync and rename; power cannot be cut in a test."""
    order, fsync, replace = [], os.fsync, os.replace

    def syncing(number):
        order.append(Path(os.readlink(f"/proc/self/fd/{number}")).name)
        fsync(number)

    def renaming(old, new):
        order.append(f"-> {Path(new).name}")
        replace(old, new)

    monkeypatch.setattr(os, "fsync", syncing)
    monkeypatch.setattr(os, "replace", renaming)
    stopped_after(2, spec_of(), tmp_path / "out", monkeypatch)
    assert order == [f".{checkpoint.NAME}", f"-> {checkpoint.NAME}", "work"]


def truncated(data):
    return data[:-10]


def with_a_bit_turned(data):
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 16]) + data[middle + 1 :]


def emptied(_):
    return b""


def of_another_kind(_):
    header = json.dumps({"a": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}}).encode()
    return len(header).to_bytes(8, "little") + header + b"x"


@pytest.mark.parametrize("spoil", [truncated, with_a_bit_turned, emptied, of_another_kind])
def test_a_damaged_checkpoint_is_refused_before_anything_is_trained(spec_of, tmp_path, monkeypatch, spoil):
    path = stopped_after(1, spec_of(), tmp_path / "out", monkeypatch)
    path.write_bytes(spoil(path.read_bytes()))
    monkeypatch.setattr(Trainer, "fit", None)
    with pytest.raises(TrellisError, match=r"safetensors is damaged \(.*\); delete it and run again to begin anew$"):
        execute(spec_of(), tmp_path / "out")


def test_a_checkpoint_of_another_run_or_of_other_examples_is_refused(spec_of, tmp_path, monkeypatch):
    path, mine = stopped_after(1, spec_of(), tmp_path / "out", monkeypatch), spec_of().fingerprint
    other = spec_of().model_copy(update={"fingerprint": "c" * 64})
    with pytest.raises(
        TrellisError, match=f"belongs to fingerprint {mine[:16]}, and this .* is cccccccccccccccc; dele"
    ):
        execute(other, tmp_path / "out")
    with pytest.raises(TrellisError, match=r"belongs to data_sha256 [0-9a-f]{16}, and this run's is dddd"):
        checkpoint.load(path.parent, {"fingerprint": mine, "data_sha256": "d" * 64})


def test_a_disk_that_is_full_keeps_the_last_checkpoint(spec_of, tmp_path, monkeypatch):
    """The operating system itself refuses to let a file grow, as a full disk would."""
    spec, limits = spec_of(checkpoint_minutes=1e-9), resource.getrlimit(resource.RLIMIT_FSIZE)
    expected = execute(spec, tmp_path / "whole")
    with monkeypatch.context() as patch:
        during(patch, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, limits[1])), 4)
        try:
            with pytest.raises(
                TrellisError, match=r"no checkpoint could be written to .* \(File too large\); the one before is kept"
            ):
                execute(spec, tmp_path / "out")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [path.name for path in (tmp_path / "out/work").iterdir()] == [checkpoint.NAME]
    taken = []
    during(monkeypatch, lambda: taken.append(1), *range(1, STEPS + 1))
    assert digests(execute(spec, tmp_path / "out")) == digests(expected)
    assert len(taken) == STEPS - 3


def test_a_model_that_the_disk_has_no_room_for_is_trained_only_once(spec_of, tmp_path, monkeypatch):
    def no_room(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    expected = execute(spec_of(), tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr(train, "_export", no_room)
        with pytest.raises(
            TrellisError, match=r"the model could not be .*No space left.* checkpoint is kept: make room"
        ):
            execute(spec_of(), tmp_path / "out")
    monkeypatch.setattr(Trainer, "training_step", None)
    assert digests(execute(spec_of(), tmp_path / "out")) == digests(expected)


@pytest.mark.parametrize(
    ("part", "value", "sentence"),
    [
        ("loss", "nan", "the loss is nan and the gradient norm nan at step 4"),
        ("gradient", "inf", r"the loss is \d+\.\d+ and the gradient norm (nan|inf) at step 4"),
    ],
)
def test_what_is_no_number_stops_the_run_before_a_checkpoint_keeps_it(
    spec_of, tmp_path, monkeypatch, part, value, sentence
):
    spec, out, compute = spec_of(checkpoint_minutes=1e-9), tmp_path / "out", Trainer.compute_loss
    expected = execute(spec, tmp_path / "whole")

    def poisonous(self, *arguments, **named):
        loss = compute(self, *arguments, **named)
        if self.state.global_step != 3:
            return loss
        if part == "gradient":
            loss.register_hook(lambda gradient: gradient * float(value))
        return loss * float(value) if part == "loss" else loss

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "compute_loss", poisonous)
        with pytest.raises(TrellisError, match=sentence + r", which read e\d+, .*; the last good checkpoint is kept"):
            execute(spec, out)
    assert load_file(out / "work" / checkpoint.NAME)["step/lm_head.weight"] == 3
    assert digests(execute(spec, out)) == digests(expected)


def test_out_of_memory_names_what_to_set_and_nothing_is_lost(spec_of, tmp_path, monkeypatch):
    def too_large():
        raise torch.OutOfMemoryError("CUDA out of memory.")

    spec, out = spec_of(checkpoint_minutes=1e-9), tmp_path / "out"
    remedies = {4: "set sft.training.micro_batch to 2", 1: "take a GPU with more memory, or a smaller model"}
    with monkeypatch.context() as patch:
        during(patch, too_large, 3)
        for size, remedy in remedies.items():
            with pytest.raises(TrellisError, match=f"not hold micro-batches of {size} examples .*; {remedy}, and run"):
                execute(spec_of(micro_batch=size), out) if size == 1 else execute(spec, out)
    assert load_file(out / "work" / checkpoint.NAME)["step/lm_head.weight"] == 2
    assert digests(execute(spec, out)) == digests(execute(spec, tmp_path / "whole"))
