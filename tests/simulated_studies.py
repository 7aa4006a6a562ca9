"""Simulated studies of which the truth is known: two fine-tuned models, their seeds, items in clusters of one schema.

The chance that a seed of a model answers an item is a logistic function of the item's difficulty, of the luck that this
model has with the item's schema (shared by all its seeds), and of the luck of the seed (shared by all items).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from trellis.evaluate.estimate import Estimate, Term, estimates
from trellis.experiment.evaluation import Statistics

BATCH = 200
# Sizes of the 351 clusters of 1,053 items that BFCL's live_multiple has: as many, as large, and with a design effect of
# 3.4 at an intraclass correlation of 0.3 (3.3 on the real ones).
LIVE_MULTIPLE = np.repeat([27, 15, 8, 4, 2, 1], [6, 10, 20, 60, 86, 169])


@dataclass(frozen=True)
class Setting:
    """Standard deviations are in logits, as is `effect`, by which the treatment is better."""

    sizes: np.ndarray
    seeds: int = 3
    item_sd: float = 1.0
    schema_sd: float = 0.6
    seed_sd: float = 0.0
    effect: float = 0.0

    @property
    def clusters(self) -> np.ndarray:
        return np.repeat(np.arange(len(self.sizes)), self.sizes)

    def draw(self, studies: int, rng: np.random.Generator) -> np.ndarray:
        """Right or wrong: [2 models, seeds, items, studies]."""
        index, k = self.clusters, self.seeds
        chance = rng.normal(0, self.item_sd, (1, 1, len(index), studies))
        chance = chance + rng.normal(0, self.schema_sd, (2, 1, len(self.sizes), studies))[:, :, index]
        chance = (
            chance + rng.normal(0, self.seed_sd, (2, k, 1, studies)) + np.array([self.effect, 0])[:, None, None, None]
        )
        return (rng.random(chance.shape) < 1 / (1 + np.exp(-chance))).astype(float)

    @property
    def truth(self) -> float:
        """The difference that the models have over all schemas and seeds that there could be."""
        spread = np.sqrt(self.item_sd**2 + self.schema_sd**2 + self.seed_sd**2)
        nodes, weights = np.polynomial.hermite_e.hermegauss(60)
        rate = [weights @ (1 / (1 + np.exp(-(shift + spread * nodes)))) / weights.sum() for shift in (self.effect, 0)]
        return float(rate[0] - rate[1])

    def with_difference(self, difference: float) -> "Setting":
        """The setting in which the treatment is better by this much (of 1)."""
        low, high = 0.0, 20.0
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if replace(self, effect=middle).truth < difference else (low, middle)
        return replace(self, effect=low)


def simulate(
    setting: Setting, studies: int, seed: int, settings: Statistics | None = None
) -> Iterator[tuple[Estimate, np.ndarray]]:
    """(the difference as `compare` estimates it, the study's scores [2 models, seeds, items]), study by study."""
    rng = np.random.default_rng(seed)
    settings = settings or Statistics(resamples=1000)
    for start in range(0, studies, BATCH):
        drawn = setting.draw(min(BATCH, studies - start), rng)
        pairs: list[tuple[Term, ...]] = [
            ((1, drawn[0, ..., at]), (-1, drawn[1, ..., at])) for at in range(drawn.shape[-1])
        ]
        found = estimates(pairs, setting.clusters, settings.model_copy(update={"seed": start}))
        for at, estimate in enumerate(found):
            assert estimate is not None
            yield estimate, drawn[..., at]
