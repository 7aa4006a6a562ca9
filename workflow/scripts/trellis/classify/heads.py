"""The heads of a classifier: what each answers, how it starts, what it is trained on, and what its numbers mean.

The loss of every head is the negative log-likelihood of a document's answer (of a normal deviate, for mse), so that heads on
one encoder have equal weights.
"""

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class Target:
    """One rubric's labels. float32 `values` [documents, width]: the truth of each label (multi_label), one-hot classes, or
    one level (ordinal). bool `known`: the same shape for multi_label, else [documents, 1]. `origins` [documents] says where
    a label comes from, empty where there is none."""

    values: np.ndarray
    known: np.ndarray
    origins: np.ndarray

    def rows(self, places: np.ndarray) -> "Target":
        return Target(self.values[places], self.known[places], self.origins[places])


class Cumulative(nn.Module):
    """Logits that a document's level is above each level but the last [documents, levels - 1]: one direction, which all
    steps share, and an offset for each (CORAL, Cao et al. 2020, arXiv 1901.07884)."""

    def __init__(self, hidden: int, steps: int) -> None:
        super().__init__()
        self.direction = nn.Linear(hidden, 1, bias=False)
        self.offsets = nn.Parameter(torch.zeros(steps))

    def forward(self, pooled: Tensor) -> Tensor:
        return self.direction(pooled) + self.offsets


@dataclass
class Head:
    """What a head answers; `sources` are those whose documents carry labels of the rubric.

    multi_label: a sigmoid for each of `labels`, which holds from its threshold on. classes: a softmax over `labels`.
    ordinal: a number between the first and the last of `levels`; with `loss` mse one linear output in deviations from the
    training labels' mean, with cumulative the expected level.
    """

    scale: str
    version: int
    sources: list[str]
    labels: list[str] = field(default_factory=list)
    levels: list[int] = field(default_factory=list)
    thresholds: list[float] = field(default_factory=list)
    loss: str = ""
    mean: float = 0.0
    deviation: float = 1.0

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one document's scores."""
        return () if self.scale == "ordinal" else (len(self.labels),)

    def layer(self, hidden: int) -> nn.Module:
        """The layer from pooled states [documents, hidden] to raw answers [documents, width]."""
        if self.loss == "cumulative":
            return Cumulative(hidden, len(self.levels) - 1)
        return nn.Linear(hidden, len(self.labels) or 1)

    def start(self, layer: nn.Module, train: Target) -> None:
        """A layer that at first answers every document with the training labels' shares, or mean level."""
        for parameter in layer.parameters():
            nn.init.zeros_(parameter)
        if self.loss == "mse":
            return
        answers = self._answers(torch.from_numpy(train.values)).numpy() * train.known
        # One more answer of each kind keeps a share inside 0..1.
        shares = torch.from_numpy((answers.sum(0) + 1) / (train.known.sum(0) + 2)).float()
        offsets = layer.offsets if self.loss == "cumulative" else layer.bias
        offsets.data.copy_(shares.log() if self.scale == "classes" else shares.logit())

    def loss_of(self, raw: Tensor, target: Target) -> Tensor:
        """The mean over the documents with a label; open labels count for nothing."""
        known = torch.from_numpy(target.known).to(raw.device)
        values = self._answers(torch.from_numpy(target.values).to(raw.device))
        if self.loss == "mse":
            losses = (raw - (values - self.mean) / self.deviation) ** 2
        elif self.scale == "classes":
            losses = -values * raw.log_softmax(1)
        else:
            losses = functional.binary_cross_entropy_with_logits(raw, values, reduction="none")
        return (losses * known).sum() / known.any(1).sum().clamp(min=1)

    def scores(self, raw: Tensor) -> Tensor:
        """What the raw answers mean [documents, labels] or [documents]."""
        if self.scale == "multi_label":
            return raw.sigmoid()
        if self.scale == "classes":
            return raw.softmax(1)
        if self.loss == "mse":
            return (raw[:, 0] * self.deviation + self.mean).clamp(self.levels[0], self.levels[-1])
        return self.levels[0] + raw.sigmoid() @ torch.tensor(np.diff(self.levels), device=raw.device, dtype=raw.dtype)

    def _answers(self, values: Tensor) -> Tensor:
        """What the layer learns to answer. Cumulative: whether the level is above each step, a share where it lies on one
        (labels may be means of several)."""
        if self.loss != "cumulative":
            return values
        levels = torch.tensor(self.levels, device=values.device, dtype=values.dtype)
        return ((values - levels[:-1]) / levels.diff()).clamp(0, 1)
