"""The training loop: steps, and between them what is written down, validated and saved."""

import contextlib
import itertools
import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from trellis.checkpoint import told_to_stop
from trellis.errors import TrellisError
from trellis.pretrain import checkpoint, divergence
from trellis.pretrain.checkpoint import Identity
from trellis.pretrain.journal import Journal
from trellis.pretrain.speed import Cost, Speedometer
from trellis.pretrain.tracking import NoTracker, Tracker
from trellis.pretrain.trainer import Taken, Trainer
from trellis.progress import Bar, bar

LOG = logging.getLogger("trellis")


class Loop:
    """Trains to the last step, from the checkpoint in `work` if there is one, which must belong to `identity`. Of several
    processes the first one writes: the journal, the checkpoints, and to the tracker that `track` opens after the steps
    that are done already."""

    def __init__(
        self,
        trainer: Trainer,
        work: Path,
        identity: Identity,
        cost: Cost,
        track: Callable[[int], Tracker] = NoTracker,
    ) -> None:
        self.trainer, self.work, self.identity, self.track = trainer, work, identity, track
        self.recipe, self.world = trainer.recipe, trainer.world
        self.speedometer = Speedometer(cost, trainer.device)
        self.journal: Journal | None = None
        self.taken: list[Taken] = []
        self.saved = 0.0
        self.note = ""

    def run(self) -> None:
        """Raises TrellisError when SIGTERM stops it, when a loss is no number or when nothing more can be written; run
        again, it goes on."""
        done, steps = checkpoint.load(self.work, self.identity, self.trainer.state), self.trainer.steps
        if done:
            LOG.info("going on from the checkpoint of step %d", done)
        batches = zip(range(done, steps), self.trainer.batches(done), strict=True)
        with self._writing(done), _progress(steps - done, self.world.first) as progress, told_to_stop() as received:
            self.saved = time.monotonic()
            self.speedometer.start()
            for step, rows in batches:
                self.taken.append(self.trainer.step(step, rows))
                self._between(step + 1, bool(received))
                progress.advance(note=self.note)

    def _between(self, finished: int, sigterm: bool) -> None:
        """What is due after `finished` steps; where nothing is, the host does not wait for the device."""
        overdue = self.journal is not None and time.monotonic() - self.saved > 60 * self.recipe.checkpoint_minutes
        stop, save = self.world.any(sigterm, overdue)
        last = finished == self.trainer.steps
        log = last or finished % self.recipe.log_interval == 0
        validate = last or finished % self.recipe.validation_interval == 0
        if not (stop or save or log or validate):
            return
        self._collect()
        if validate:
            validation = self.trainer.validate()
            divergence.require_finite(validation, finished)
            self._write([{**self._position(finished), "validation": validation}])
        if log and self.journal:
            self.journal.speed({**self._position(finished), **self.speedometer.reading()})
        if (stop or save or last) and self.journal:
            self._save(finished)
        if stop:
            raise TrellisError(f"stopped by SIGTERM after step {finished}; run again to go on from there")
        self.speedometer.start()

    def _collect(self) -> None:
        """Writes down the steps since the last time: here alone the host waits for the device. Raises TrellisError for a
        loss that is no number, before a checkpoint could keep what came of it."""
        read = torch.stack([torch.stack((taken.loss, taken.norm)) for taken in self.taken]).tolist()
        losses = self.world.summed([loss for loss, _ in read])
        lines = [
            {**self._position(taken.step + 1), "loss": loss, "lr": taken.rate, "gradient_norm": norm}
            for taken, loss, (_, norm) in zip(self.taken, losses, read, strict=True)
        ]
        self.speedometer.stop(lines[-1]["tokens"] - self.trainer.tokens(self.taken[0].step))
        self.taken = []
        good = list(itertools.takewhile(divergence.is_finite, lines))
        self._write(good)
        if good != lines:
            self._refuse(lines[len(good)])
        self.note = f"loss {losses[-1]:.3f}, {self.speedometer.rate:,.0f} tokens/s"

    def _refuse(self, line: dict[str, Any]) -> None:
        batch = self.trainer.mixture.batch(line["step"] - 1, self.trainer.batch_rows)
        read = [self.trainer.mixture.train.place(number) for number in batch]
        if self.journal:
            divergence.write(line, read, self.work)
        raise divergence.sentence(line, read, self.work)

    def _position(self, finished: int) -> dict[str, int]:
        return {"step": finished, "tokens": self.trainer.tokens(finished)}

    def _write(self, lines: list[dict[str, Any]]) -> None:
        if self.journal:
            self.journal.metrics(lines)

    def _save(self, finished: int) -> None:
        self.journal.sync()
        checkpoint.save(self.work, self.identity, finished, self.trainer.state)
        self.saved = time.monotonic()
        LOG.info("checkpoint after step %d", finished)

    @contextlib.contextmanager
    def _writing(self, done: int) -> Iterator[None]:
        """Opens the journal, if this is the process that keeps one."""
        if not self.world.first:
            yield
            return
        self.work.mkdir(exist_ok=True)
        self.journal = Journal(self.work, done, self.track)
        try:
            yield
        finally:
            self.journal.close()


def _progress(steps: int, shown: bool) -> contextlib.AbstractContextManager[Bar]:
    label, unit = "pretraining", "steps"
    return bar(label, steps, unit) if shown else contextlib.nullcontext(Bar(label, steps, unit, None))
