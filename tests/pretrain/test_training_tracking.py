"""Trackers show what the files say, once, also of a training that was interrupted; and they are no part of the result."""

import os
import signal
import sys
from types import ModuleType

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from small_training import digests, lines, losses
from trellis.command import execute
from trellis.errors import TrellisError
from trellis.pretrain.trainer import Trainer

INTERRUPTED = (5, 11)


def interrupt(monkeypatch):
    """SIGTERM after step 5; the next run dies in step 11, when 9 steps are written down and 5 are saved."""
    step = Trainer.step

    def failing(self, number, rows):
        if number == 4:
            os.kill(os.getpid(), signal.SIGTERM)
        if number == 10:
            raise TrellisError("a power cut")
        return step(self, number, rows)

    monkeypatch.setattr(Trainer, "step", failing)


def test_tensorboard_shows_every_step_once_though_the_training_was_interrupted(spec_of, tmp_path, monkeypatch):
    spec, out = spec_of(tracker="tensorboard"), tmp_path / "out"
    with monkeypatch.context() as patch:
        interrupt(patch)
        for sentence in ("after step 5", "a power cut"):
            with pytest.raises(TrellisError, match=sentence):
                execute(spec, out)
    made = execute(spec, out)
    shown = EventAccumulator(str(out / "tracking"), size_guidance={"scalars": 0}).Reload()
    events = {tag: [(event.step, event.value) for event in shown.Scalars(tag)] for tag in shown.Tags()["scalars"]}
    assert [step for step, _ in events["loss"]] == list(range(1, 16))
    assert [value for _, value in events["loss"]] == pytest.approx(losses(made))
    validation = lines(out / "metrics.jsonl")[-1]["validation"]
    assert events["validation/sources/beta/bits_per_byte"][-1] == (
        15, pytest.approx(validation["sources"]["beta"]["bits_per_byte"])
    )  # fmt: skip
    assert {"lr", "gradient_norm", "tokens_per_second", "validation/loss"} < events.keys()
    assert not any(path.startswith("tracking") for path in digests(made))
    assert digests(made) == digests(execute(spec_of(), tmp_path / "untracked"))


@pytest.fixture
def wandb(monkeypatch):
    """A module in wandb's place that notes what it is told, and like wandb refuses to go back a step."""
    module, told = ModuleType("wandb"), []

    class Run:
        def log(self, values, step):
            assert step >= max((entry["step"] for entry in told[-1]["log"]), default=0)
            told[-1]["log"].append({"step": step, **values})

        def finish(self):
            told[-1]["finished"] = True

    def init(**keys):
        told.append({"init": keys, "log": [], "finished": False})
        return Run()

    module.init = init
    monkeypatch.setitem(sys.modules, "wandb", module)
    return told


def test_wandb_goes_on_with_the_run_of_the_same_address(spec_of, tmp_path, monkeypatch, wandb):
    spec, out = spec_of(tracker="wandb"), tmp_path / "out"
    with monkeypatch.context() as patch:
        interrupt(patch)
        with pytest.raises(TrellisError, match="after step 5"):
            execute(spec, out)
    made = execute(spec, out)
    first, second = wandb
    assert first["init"] == second["init"] and first["finished"] and second["finished"]
    assert first["init"]["id"] == spec.fingerprint[:16] and first["init"]["resume"] == "allow"
    assert first["init"]["dir"] == str(out / "tracking")
    assert first["init"]["config"]["pretraining"]["max_lr"] == 3e-2
    told = [entry for run in wandb for entry in run["log"] if "loss" in entry]
    assert [entry["step"] for entry in told] == list(range(1, 16))
    assert [entry["loss"] for entry in told] == losses(made)
    assert any("validation/sources/alpha/loss" in entry for entry in second["log"])


@pytest.mark.parametrize(("tracker", "module"), [("tensorboard", "torch.utils.tensorboard"), ("wandb", "wandb")])
def test_a_tracker_that_is_not_installed_is_said_before_the_first_step(spec_of, tmp_path, monkeypatch, tracker, module):
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setattr(Trainer, "step", None)
    sentence = (
        rf"pretraining.tracker is {tracker}, which is not installed; run `pip install {tracker}`, or set it to none"
    )
    with pytest.raises(TrellisError, match=sentence):
        execute(spec_of(tracker=tracker), tmp_path / "out")


def test_a_wandb_that_does_not_start_is_said_with_its_cures(spec_of, tmp_path, wandb):
    def nobody(**_):
        raise RuntimeError("api_key not configured")

    sys.modules["wandb"].init = nobody
    with pytest.raises(TrellisError, match=r"could not start \(api_key not configured\); run `wandb login`"):
        execute(spec_of(tracker="wandb"), tmp_path / "out")


def test_nobody_is_told_anything_without_a_tracker(spec_of, tmp_path, wandb):
    execute(spec_of(), tmp_path / "out")
    assert not wandb and not (tmp_path / "out/tracking").exists()
