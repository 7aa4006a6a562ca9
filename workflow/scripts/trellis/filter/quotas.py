"""From shares to tokens per cell: quotas, what the pool has for them, and who takes over what others lack."""

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Target:
    """A group's or bin's share of the whole (None: what the others leave); `cap` bounds what redistribution adds."""

    name: str
    share: float | None = None
    cap: float | None = None


@dataclass(frozen=True)
class Layout:
    """The cells of a rule: groups times bins, cell = group * bins + bin. With `overlapping` groups a cell is a set of
    groups, the bits of its number, times bins. Cells of one group and bin are filled best rank first."""

    groups: list[Target]
    bins: list[Target] = field(default_factory=lambda: [Target("all")])
    overlapping: bool = False
    redistribute: bool = True

    @property
    def cells(self) -> int:
        return (1 << len(self.groups) if self.overlapping else len(self.groups)) * len(self.bins)

    def cells_of(self, group: int, bin: int) -> np.ndarray:
        """The numbers of the cells whose documents count for a group, in one bin."""
        sets = np.arange(self.cells // len(self.bins))
        return np.flatnonzero(sets >> group & 1 if self.overlapping else sets == group) * len(self.bins) + bin


@dataclass(frozen=True)
class Plan:
    """`tokens` int64 [cells]: what each cell gives. `asked`, `available`, `granted` int64 [groups, bins], where a cell of
    several groups counts for each."""

    tokens: np.ndarray
    asked: np.ndarray
    available: np.ndarray
    granted: np.ndarray


def solve(layout: Layout, tokens: np.ndarray, total: int) -> Plan:
    """Shares `total` tokens out over the cells; `tokens` [cells, ranks] is what there is. The plan's tokens sum to `total`
    unless the pool, the caps, or deficits that are left open do not let them."""
    return _Solver(layout, tokens, total).plan()


class _Solver:
    def __init__(self, layout: Layout, tokens: np.ndarray, total: int) -> None:
        self.layout, self.tokens, self.total = layout, tokens, total
        self.reached = np.cumsum(tokens, axis=1)
        self.taken = np.zeros(layout.cells, np.int64)
        self.bins = range(len(layout.bins))

    def plan(self) -> Plan:
        groups = self.layout.groups
        asked = parts(self.total, [group.share for group in groups])
        for group, wanted in enumerate(asked):
            if self.layout.overlapping:
                rest = groups[group].share is None
                wanted = self.total - self.taken.sum() if rest else wanted - self._counted(group)
            self._take(group, min(int(wanted), self.total - int(self.taken.sum())))
        if self.layout.redistribute:
            for group, target in enumerate(groups):
                missing = self.total - int(self.taken.sum())
                if target.cap is not None:
                    missing = min(missing, int(target.cap * self.total) - self._counted(group))
                self._take(group, missing)
        shares = [target.share for target in self.layout.bins]
        return Plan(
            tokens=self.taken,
            asked=np.array([parts(tokens, shares) for tokens in asked]).reshape(len(groups), -1),
            available=self._table(self.reached[:, -1]),
            granted=self._table(self.taken),
        )

    def _take(self, group: int, wanted: int) -> None:
        """Fills a group by its bins' shares; what they lack its bins take over in their order."""
        if wanted <= 0:
            return
        left = wanted
        for bin, tokens in zip(self.bins, parts(wanted, [target.share for target in self.layout.bins]), strict=True):
            left -= self._fill(self.layout.cells_of(group, bin), tokens)
        for bin in self.bins if self.layout.redistribute else ():
            left -= self._fill(self.layout.cells_of(group, bin), left)

    def _fill(self, cells: np.ndarray, wanted: int) -> int:
        """Takes the best `wanted` tokens of what these cells have left; returns how many there were. In the last rank each
        cell gives in proportion to what it has there."""
        if wanted <= 0:
            return 0
        left = np.minimum(self.tokens[cells], np.maximum(self.reached[cells] - self.taken[cells, None], 0))
        ranks = np.cumsum(left.sum(axis=0))
        if ranks[-1] <= wanted:
            self.taken[cells] = self.reached[cells, -1]
            return int(ranks[-1])
        last = int(np.searchsorted(ranks, wanted))
        before = left[:, :last].sum(axis=1)
        shares = np.cumsum(left[:, last]) / left[:, last].sum()
        self.taken[cells] += before + np.diff(np.floor(shares * (wanted - before.sum())), prepend=0).astype(np.int64)
        return wanted

    def _counted(self, group: int) -> int:
        return int(sum(self.taken[self.layout.cells_of(group, bin)].sum() for bin in self.bins))

    def _table(self, per_cell: np.ndarray) -> np.ndarray:
        groups = range(len(self.layout.groups))
        return np.array([[per_cell[self.layout.cells_of(group, bin)].sum() for bin in self.bins] for group in groups])


def parts(total: int, shares: list[float | None]) -> list[int]:
    """`total` in whole parts by shares; one share may be None: what the others leave. The parts sum to `total`, and none
    is off by a whole one."""
    rest = 1 - sum(share or 0 for share in shares)
    ends = np.rint(np.cumsum([rest if share is None else share for share in shares]) * total).astype(np.int64)
    ends[-1] = total
    return np.diff(ends, prepend=0).tolist()
