"""Where a training's numbers can be watched: TensorBoard or Weights & Biases, beside metrics.jsonl.

Only what the files say already goes there. A tracker's own files lie in the result's folder under `tracking/`; they are no
part of the result, and stay when the work is done: `tensorboard --logdir results/pretrain` shows all trainings together.
"""

from pathlib import Path
from typing import Protocol

from trellis.errors import TrellisError
from trellis.spec import Spec

FOLDER = "tracking"
PROJECT = "trellis"


class Tracker(Protocol):
    """Takes numbers by name, step after step."""

    def log(self, step: int, values: dict[str, float]) -> None: ...

    def close(self) -> None: ...


class NoTracker:
    """Where nobody watches."""

    def __init__(self, done: int) -> None:
        pass

    def log(self, step: int, values: dict[str, float]) -> None:
        pass

    def close(self) -> None:
        pass


class TensorBoard:
    """Event files; what an earlier run wrote of later steps than `done` is hidden, for it comes again."""

    def __init__(self, folder: Path, done: int) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise _not_installed("tensorboard") from None
        self.writer = SummaryWriter(str(folder), purge_step=done + 1)

    def log(self, step: int, values: dict[str, float]) -> None:
        for name, value in values.items():
            self.writer.add_scalar(name, value, step)

    def close(self) -> None:
        self.writer.close()


class WeightsAndBiases:
    """One run a result, found again by the result's address; it ignores the steps that it has already."""

    def __init__(self, folder: Path, spec: Spec) -> None:
        try:
            import wandb
        except ImportError:
            raise _not_installed("wandb") from None
        folder.mkdir(parents=True, exist_ok=True)
        address = spec.fingerprint[:16]
        try:
            self.run = wandb.init(
                project=PROJECT,
                id=address,
                name=f"{spec.name}-{address}",
                resume="allow",
                dir=str(folder),
                config=spec.config,
                allow_val_change=True,
            )
        except Exception as error:
            raise TrellisError(
                f"Weights & Biases could not start ({error}); run `wandb login`, or set WANDB_MODE=offline, or set "
                f"pretraining.tracker to none"
            ) from None

    def log(self, step: int, values: dict[str, float]) -> None:
        self.run.log(values, step=step)

    def close(self) -> None:
        self.run.finish()


def open_tracker(kind: str, out: Path, spec: Spec, done: int) -> Tracker:
    """The tracker of a run of which `done` steps are done. Raises TrellisError when it is not installed or not set up."""
    if kind == "tensorboard":
        return TensorBoard(out / FOLDER, done)
    return WeightsAndBiases(out / FOLDER, spec) if kind == "wandb" else NoTracker(done)


def _not_installed(package: str) -> TrellisError:
    return TrellisError(
        f"pretraining.tracker is {package}, which is not installed; run `pip install {package}`, or set it to none"
    )
