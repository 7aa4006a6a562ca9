"""The suites, a module a kind: `build(suite, name, spec) -> Built`, imported by the name that the config gives.

Everything is a function of the suite's seed and the index of an item, so that a larger suite holds the smaller one
unchanged. `evaluate_items` leaves out what does not fit the context and checks every gold; a suite only makes items.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Built:
    """What a suite hands over: `items` as the contract of `evaluate` says (in the order in which the first `wanted` that fit
    are taken, None: all; and at most `of_each` of a stratum), `shots` (messages, answer, and `stratum` where it is for items of
    that only) that are no items, and `baselines`
    (the main metric of a constant answer over these items, by name)."""

    items: Iterable[dict[str, Any]]
    shots: list[dict[str, Any]]
    wanted: int | None = None
    baselines: dict[str, float] = field(default_factory=dict)
    of_each: int | None = None
