"""Nothing lost: a training that is stopped, killed or out of disk goes on where it was, and ends with the same bytes."""

import fcntl
import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from small_training import STEPS, command, digests, lines
from trellis import checkpoint
from trellis.command import execute
from trellis.errors import TrellisError
from trellis.pretrain import train
from trellis.pretrain.checkpoint import Identity, State, load, save
from trellis.pretrain.trainer import Trainer

MINE = Identity("a" * 64, "b" * 64)


def sigterm_after(monkeypatch, *steps):
    """Sends this process SIGTERM while it takes one of these steps."""
    step = Trainer.step

    def stopping(self, number, rows):
        if number + 1 in steps:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(self, number, rows)

    monkeypatch.setattr(Trainer, "step", stopping)


def test_a_training_that_is_stopped_after_every_single_step_ends_with_the_same_bytes(spec_of, tmp_path, monkeypatch):
    expected = execute(spec_of(), tmp_path / "whole")
    out = tmp_path / "stopped"
    with monkeypatch.context() as patch:
        sigterm_after(patch, *range(1, STEPS + 1))
        for step in range(1, STEPS + 1):
            with pytest.raises(
                TrellisError, match=f"stopped by SIGTERM after step {step}; run again to go on from there"
            ):
                execute(spec_of(), out)
            assert not (out / "manifest.json").exists()
    resumed = execute(spec_of(), out)
    assert digests(resumed) == digests(expected)
    assert not (out / "work").exists()
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_runtime_keys_may_change_when_a_training_goes_on(spec_of, tmp_path, monkeypatch):
    expected = execute(spec_of(), tmp_path / "whole")
    with monkeypatch.context() as patch:
        sigterm_after(patch, 8)
        with pytest.raises(TrellisError, match="after step 8"):
            execute(spec_of(log_interval=7, checkpoint_minutes=1e-6), tmp_path / "resumed")
    assert digests(execute(spec_of(log_interval=2), tmp_path / "resumed")) == digests(expected)


MURDERED = """
import os, signal, sys
from trellis import checkpoint
from trellis.pretrain import trainer
from trellis.command import main

moment, count = sys.argv.pop(1), int(sys.argv.pop(1))

def counted(call):
    done = []
    def calling(*arguments):
        done.append(1)
        return call(len(done) == count, *arguments)
    return calling

class Half:
    def __init__(self, file):
        self.file, self.room = file, 40_000
    def write(self, data):
        self.file.write(data[: self.room])
        self.room -= len(data)
        if self.room < 0:
            self.file.flush()
            os.kill(os.getpid(), signal.SIGKILL)

write, step = checkpoint._write, trainer.learning_rate
if moment == "save":
    checkpoint._write = counted(lambda now, file, *rest: write(Half(file) if now else file, *rest))
else:
    trainer.learning_rate = counted(lambda now, *rest: os.kill(os.getpid(), signal.SIGKILL) if now else step(*rest))
main("pretrain")
"""


def test_processes_that_are_killed_resume_to_the_same_bytes(spec_of, tmp_path):
    """kill -9 in the middle of writing a checkpoint, then within a step, then to the end."""
    expected = execute(spec_of(), tmp_path / "whole")
    words, out = command(spec_of(checkpoint_minutes=1e-6), tmp_path)[3:], tmp_path / "out"
    for moment, count in (("save", 4), ("step", 3)):
        process = subprocess.run([sys.executable, "-c", MURDERED, moment, str(count), *words])
        assert process.returncode == -signal.SIGKILL and not (out / "manifest.json").exists()
        if moment == "save":
            assert (out / "work" / f".{checkpoint.NAME}").stat().st_size == 40_000
            assert len(lines(out / "work/metrics.jsonl")) == 4  # one more than its checkpoint knows
    assert "going on from the checkpoint of step 3" in (tmp_path / "log.txt").read_text()
    assert digests(execute(spec_of(log_interval=2), out)) == digests(expected)


@pytest.mark.parametrize(("before", "room"), [("read_lines", 300), ("export", 20_000)], ids=["journal", "weights"])
def test_a_training_that_is_done_but_not_published_takes_no_step_again(spec_of, tmp_path, monkeypatch, before, room):
    """The operating system lets no file grow any more, once all steps are taken: neither the journals nor the weights."""
    limits, real, out = resource.getrlimit(resource.RLIMIT_FSIZE), getattr(train, before), tmp_path / "out"

    def filling(*arguments):
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, limits[1]))
        return real(*arguments)

    expected = execute(spec_of(), tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr(train, before, filling)
        try:
            with pytest.raises(TrellisError) as error:
                execute(spec_of(), out)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    said = str(error.value)
    assert said.startswith(f"the model could not be written to {out} (") and "File too large" in said
    assert said.endswith("; its last checkpoint is kept: make room and run again") and "\n" not in said
    assert not (out / "manifest.json").exists()
    monkeypatch.setattr(Trainer, "step", None)
    assert digests(execute(spec_of(), tmp_path / "out")) == digests(expected)


def test_a_second_process_in_the_same_folder_is_refused(spec_of, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    with (out / ".lock").open("w") as lock:
        lock.write(str(os.getpid()))
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(TrellisError, match=f"process {os.getpid()} is already writing"):
            execute(spec_of(), out)


def small_state(seed=0):
    torch.manual_seed(seed)
    module = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(module.parameters(), fused=True)
    for _ in range(seed + 2):
        module(torch.ones(1, 3)).sum().backward()
        optimizer.step()
    return State(dict(module.named_parameters()), optimizer)


def test_a_checkpoint_holds_the_whole_state_and_nothing_but_tensors(tmp_path):
    state, other = small_state(0), small_state(1)
    save(tmp_path, MINE, 5, state)
    drawn = torch.rand(3)
    file = load_file(tmp_path / checkpoint.NAME)  # any reader of safetensors reads it
    kinds = {f"{kind}/{name}" for kind in ("weight", "exp_avg", "exp_avg_sq", "step") for name in ("weight", "bias")}
    assert file.keys() == kinds | {"random/cpu", "digest"}
    assert load(tmp_path, MINE, other) == 5
    assert torch.equal(torch.rand(3), drawn)
    restored = other.tensors()
    for name, value in state.tensors().items():
        assert name == "random/cpu" or torch.equal(restored[name], value), name
    with (tmp_path / checkpoint.NAME).open("r+b") as file:  # what was restored does not live in the file
        file.write(bytes((tmp_path / checkpoint.NAME).stat().st_size))
    assert torch.equal(other.tensors()["exp_avg/weight"], state.tensors()["exp_avg/weight"])
    assert [path.name for path in tmp_path.iterdir()] == [checkpoint.NAME]


def test_what_a_checkpoint_relies_on_is_on_the_disk_before_its_name_is(spec_of, tmp_path, monkeypatch):
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
    sigterm_after(monkeypatch, 4)
    with pytest.raises(TrellisError, match="after step 4"):
        execute(spec_of(), tmp_path / "out")
    saving = ["metrics.jsonl", "speed.jsonl", f".{checkpoint.NAME}", f"-> {checkpoint.NAME}", "work"]
    assert order[-5:] == saving


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
def test_a_damaged_checkpoint_is_refused(tmp_path, spoil):
    state = small_state()
    save(tmp_path, MINE, 5, state)
    path = tmp_path / checkpoint.NAME
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(TrellisError, match=r"safetensors is damaged \(.*\); delete it and run again to begin anew$"):
        load(tmp_path, MINE, state)


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        (
            Identity("c" * 64, "b" * 64),
            "belongs to fingerprint aaaaaaaaaaaaaaaa, and this run's is cccccccccccccccc",
        ),
        (Identity("a" * 64, "d" * 64), "belongs to mixture bbbbbbbbbbbbbbbb, and this run's is dddddddddddddddd"),
    ],
)
def test_a_checkpoint_of_another_run_or_mixture_is_refused(tmp_path, other, sentence):
    save(tmp_path, MINE, 5, small_state())
    with pytest.raises(TrellisError, match=sentence):
        load(tmp_path, other, small_state())


@pytest.mark.parametrize("lost", ["some", "all"])
def test_a_journal_that_lacks_steps_of_the_checkpoint_is_refused(spec_of, tmp_path, monkeypatch, lost):
    sigterm_after(monkeypatch, 4)
    with pytest.raises(TrellisError, match="after step 4"):
        execute(spec_of(), tmp_path / "out")
    path = tmp_path / "out/work/metrics.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[1:])) if lost == "some" else path.unlink()
    with pytest.raises(
        TrellisError, match=r"holds [03] of the 4 steps that its checkpoint knows; delete .*/work and run"
    ):
        execute(spec_of(), tmp_path / "out")


@pytest.mark.parametrize("rest", [b'{"gradient_norm": 0.4', b"\0" * 40, b"\xff\xfe\n"], ids=["torn", "zeros", "noise"])
def test_what_a_power_cut_left_of_a_line_after_the_checkpoint_is_dropped(spec_of, tmp_path, monkeypatch, rest):
    expected = execute(spec_of(), tmp_path / "whole")
    with monkeypatch.context() as patch:
        sigterm_after(patch, 8)
        with pytest.raises(TrellisError, match="after step 8"):
            execute(spec_of(), tmp_path / "out")
    for name in ("metrics.jsonl", "speed.jsonl"):
        path = tmp_path / "out/work" / name
        path.write_bytes(path.read_bytes() + rest)
    assert digests(execute(spec_of(), tmp_path / "out")) == digests(expected)


def test_a_disk_that_is_full_keeps_the_last_checkpoint(spec_of, tmp_path, monkeypatch):
    """The operating system itself refuses to let a file grow, as a full disk would, once three steps are saved."""
    spec = spec_of(checkpoint_minutes=1e-6)
    expected = execute(spec, tmp_path / "whole")
    limits, step = resource.getrlimit(resource.RLIMIT_FSIZE), Trainer.step

    def filling(self, number, rows):
        if number == 3:
            resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, limits[1]))
        return step(self, number, rows)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", filling)
        try:
            with pytest.raises(TrellisError, match=r"no checkpoint could be written to .* \(File too large\)"):
                execute(spec, tmp_path / "out")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    work = tmp_path / "out/work"
    assert sorted(path.name for path in work.iterdir()) == [checkpoint.NAME, "metrics.jsonl", "speed.jsonl"]
    taken = []
    monkeypatch.setattr(Trainer, "step", lambda self, number, rows: taken.append(number) or step(self, number, rows))
    assert digests(execute(spec, tmp_path / "out")) == digests(expected)
    assert taken[0] == 3


def test_a_disk_that_is_full_when_metrics_are_written_is_one_sentence(spec_of, tmp_path, monkeypatch):
    limits, step = resource.getrlimit(resource.RLIMIT_FSIZE), Trainer.step

    def filling(self, number, rows):
        resource.setrlimit(resource.RLIMIT_FSIZE, (300, limits[1]))
        return step(self, number, rows)

    monkeypatch.setattr(Trainer, "step", filling)
    try:
        with pytest.raises(TrellisError, match=r"nothing more can be written to .*metrics.jsonl \(File too large\)"):
            execute(spec_of(), tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
