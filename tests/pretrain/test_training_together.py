"""Several processes train one model: as one process would, ending together, and one going on where two have stopped."""

import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest

from small_training import CONTEXT, STEPS, command, digests, lines, losses
from trellis import checkpoint
from trellis.command import execute
from trellis.manifest import Manifest

pytestmark = pytest.mark.slow

COMMON = Path(__file__).parents[2] / "workflow/rules/common.smk"
# What a process does before its command: `number` is its own, `steps` how many it has begun.
AT_STEP = """
import os, signal, time
import torch
from trellis.pretrain.trainer import Trainer
number, steps, step = int(os.environ["RANK"]), [], Trainer.step
def acting(self, *arguments):
    steps.append(1)
    {action}
    return step(self, *arguments)
Trainer.step = acting
from trellis.command import main
main("pretrain")
"""


def launch(spec, folder, action=None):
    """Starts a training in two processes as the rule does. Returns the launcher, whose stderr is a pipe."""
    launcher = re.search(r'f"(.* torchrun .*)"', COMMON.read_text())[1].format(count=2)
    words = command(spec, folder)[1:]
    if action:
        (folder / "process.py").write_text(AT_STEP.format(action=action))
        words[:2] = [str(folder / "process.py")]
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    line = f"exec env {launcher} {shlex.join(words)}"
    return subprocess.Popen(
        line, shell=True, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def end(launcher):
    """Waits for the launcher to end. Returns its exit code, and what our own processes said."""
    with launcher:
        try:
            _, said = launcher.communicate(timeout=120)
        except subprocess.TimeoutExpired:
            launcher.kill()
            raise
    return launcher.returncode, [line for line in said.splitlines() if line.startswith("error:")]


def two(spec, folder, action=None):
    """Trains in two processes to the end."""
    return end(launch(spec, folder, action))


def test_two_processes_train_as_one_does(spec_of, tmp_path):
    """120 rows in batches of 17: the last has one row, so that one of the processes has none."""
    spec = spec_of(batch_tokens=17 * CONTEXT, precision="float32", micro_batch=4)
    alone = execute(spec, tmp_path / "alone")
    assert two(spec, tmp_path / "two") == (0, [])
    made = Manifest.read(tmp_path / "two/out")
    ours, theirs = (lines(each.folder / "metrics.jsonl") for each in (made, alone))
    assert [line["step"] for line in ours] == [line["step"] for line in theirs] and len(losses(made)) == 8
    for mine, other in zip(ours, theirs, strict=True):
        if "loss" in other:
            assert mine == pytest.approx(other, rel=1e-4)
        for name, found in other.get("validation", {}).get("sources", {}).items():
            assert mine["validation"]["sources"][name] == pytest.approx(found, rel=1e-4)
    # One of them logs and publishes.
    log = (tmp_path / "two/log.txt").read_text()
    assert log.count(": fingerprint ") == log.count("done: ") == log.count("mixture verified") == 1
    files = {"manifest.json", ".lock", "model", "metrics.jsonl", "speed.jsonl"}
    assert {path.name for path in made.folder.iterdir()} == files
    assert len(lines(made.folder / "speed.jsonl")) == 3


def test_what_two_processes_have_begun_one_ends(spec_of, tmp_path):
    """The second process alone is told to stop: they agree on the step, and the first one saves. 8 rows are 4 each, in
    micro-batches of 3 and 1."""
    spec = spec_of(precision="float32", micro_batch=3)
    alone = execute(spec, tmp_path / "alone")
    action = """
    if len(steps) == 6 and number: os.kill(os.getpid(), signal.SIGTERM)
    assert [len(part) for part in arguments[1].split(self.recipe.micro_batch)] == [3, 1]"""
    code, (said,) = two(spec, tmp_path, action)
    assert code and "stopped by SIGTERM after step 6; run again to go on from there" in said
    assert (tmp_path / "out/work" / checkpoint.NAME).exists()
    made = execute(spec, tmp_path / "out")
    assert losses(made) == pytest.approx(losses(alone), rel=1e-4) and digests(made).keys() == digests(alone).keys()


def test_a_launcher_that_is_told_to_stop_lets_its_processes_save(spec_of, tmp_path, caplog):
    """As Slurm and `kill` do: SIGTERM goes to torchrun alone, once a step is written down."""
    spec, out = spec_of(precision="float32", micro_batch=3, log_interval=1), tmp_path / "out"
    alone = execute(spec, tmp_path / "alone")
    launcher, written = launch(spec, tmp_path, "time.sleep(0.5)"), out / "work/metrics.jsonl"
    patience = time.monotonic() + 100
    while not (written.exists() and written.read_text().endswith("\n")):
        assert launcher.poll() is None and time.monotonic() < patience
        time.sleep(0.05)
    launcher.terminate()
    code, (said,) = end(launcher)
    stopped = int(re.search(r"stopped by SIGTERM after step (\d+); run again to go on from there", said)[1])
    assert code and 1 <= stopped < STEPS and len(lines(written)) == stopped + (stopped >= 7)
    assert (out / "work" / checkpoint.NAME).exists() and not (out / "manifest.json").exists()
    with caplog.at_level("INFO", logger="trellis"):
        made = execute(spec, out)
    assert f"going on from the checkpoint of step {stopped}" in caplog.messages
    assert losses(made) == pytest.approx(losses(alone), rel=1e-4) and digests(made).keys() == digests(alone).keys()


@pytest.mark.parametrize(
    ("action", "sentence"),
    [
        (
            "if len(steps) == 6 and number: raise torch.OutOfMemoryError('too large')",
            "set pretraining.micro_batch to 2",
        ),
        (
            "if len(steps) == 6 and number: os.kill(os.getpid(), signal.SIGKILL)",
            "another process of this training is gone",
        ),
    ],
    ids=["fails", "killed"],
)
def test_when_one_process_ends_all_do_with_one_sentence(spec_of, tmp_path, action, sentence):
    code, (said,) = two(spec_of(checkpoint_minutes=1e-6), tmp_path, action)
    assert code and sentence in said and said.endswith(f"; log: {tmp_path}/log.txt")
    log = (tmp_path / "log.txt").read_text()
    assert log.count(sentence) == 1
    assert (tmp_path / "out/work" / checkpoint.NAME).exists() and not (tmp_path / "out/manifest.json").exists()
