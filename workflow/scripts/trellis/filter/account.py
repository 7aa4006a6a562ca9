"""What a selection did, in numbers that come out the same however a source is cut into shards."""

import numpy as np

from trellis.filter.pool import FATES, SCORES
from trellis.filter.quotas import Layout, Plan, Target
from trellis.filter.rules import Placing

RANGES = {"relevance": (0.0, 1.0), **{name: SCORES[name] for name in ("complexity", "code_quality", "structured_data")}}
BARS = 20
# Sums of scores are kept in whole millionths: sums of floats would depend on their order.
UNIT = 1_000_000


class Tally:
    """Counts documents and tokens by group and bin (int64 [groups + 1, bins + 1, 2], the last place for neither), by set of
    groups, and by score."""

    def __init__(self, placing: Placing) -> None:
        self.groups, self.bins = len(placing.groups), len(placing.bins)
        self.table = np.zeros((self.groups + 1, self.bins + 1, 2), np.int64)
        self.overlapping = np.zeros(self.groups, np.int64)
        self.sums = dict.fromkeys(RANGES, 0)
        self.bars = {name: np.zeros(BARS, np.int64) for name in RANGES}

    def add(self, records: np.ndarray) -> None:
        places = (records["group"], records["bin"])
        np.add.at(self.table[..., 0], places, 1)
        np.add.at(self.table[..., 1], places, records["tokens"])
        for group in range(self.groups):
            self.overlapping[group] += records["tokens"][records["groups"] >> np.uint32(group) & 1 > 0].sum()
        for name, (low, high) in RANGES.items():
            known = records[name][~np.isnan(records[name])].astype(np.float64)
            self.sums[name] += int(np.rint(known * UNIT).astype(np.int64).sum())
            bars = np.clip(np.floor((known - low) / (high - low) * BARS), 0, BARS - 1).astype(np.int64)
            self.bars[name] += np.bincount(bars, minlength=BARS)

    @property
    def documents(self) -> int:
        return int(self.table[..., 0].sum())

    @property
    def tokens(self) -> int:
        return int(self.table[..., 1].sum())

    def mean(self, score: str) -> float | None:
        known = int(self.bars[score].sum())
        return round(self.sums[score] / UNIT / known, 4) if known else None


class Account:
    """A source's part of the plan, as it comes about."""

    def __init__(self, placing: Placing) -> None:
        self.placing = placing
        self.fates = np.zeros((len(FATES), 2), np.int64)
        self.pool, self.selected = Tally(placing), Tally(placing)

    def count(self, fate: np.ndarray, tokens: np.ndarray) -> None:
        np.add.at(self.fates[:, 0], fate, 1)
        np.add.at(self.fates[:, 1], fate, tokens)

    def entry(self, asked: int, granted: int) -> dict:
        """The source's budget, the fates of its documents, and their scores."""
        available, selected = self.pool.tokens, self.selected.tokens
        scored = [name for name in RANGES if self.pool.bars[name].any()]
        return {
            "asked_tokens": asked,
            "available_tokens": available,
            "selected_tokens": selected,
            "granted_tokens": granted,
            "selection_ratio": _share(selected, available),
            "documents": self._fates(0, self.selected.documents),
            "tokens": self._fates(1, selected),
            "complexity": {"pool": self.pool.mean("complexity"), "selected": self.selected.mean("complexity")},
            "relevance": {"pool": self.pool.mean("relevance"), "selected": self.selected.mean("relevance")},
            "histograms": {
                name: {
                    "low": RANGES[name][0],
                    "high": RANGES[name][1],
                    "available": self.pool.bars[name].tolist(),
                    "selected": self.selected.bars[name].tolist(),
                }
                for name in scored
            },
            "groups": self._by_group(),
            "bins": self._by_bin(),
        }

    def _fates(self, unit: int, selected: int) -> dict[str, int]:
        counts = dict(zip(FATES, self.fates[:, unit].tolist(), strict=True))
        return {"raw": sum(counts.values()), **counts, "selected": selected}

    def _by_group(self) -> list[dict]:
        """Targets and what came of them: a document in one group, and in each that it is active in."""
        rows = self._rows(self.placing.groups, 1)
        for place, row in enumerate(rows):
            for tally, what in ((self.pool, "available"), (self.selected, "selected")):
                row[f"{what}_tokens_overlapping"] = int(tally.overlapping[place])
            row["selected_share_overlapping"] = _share(int(self.selected.overlapping[place]), self.selected.tokens)
        return rows

    def _by_bin(self) -> list[dict]:
        return self._rows(self.placing.bins, 0)

    def _rows(self, targets: list[Target], axis: int) -> list[dict]:
        pool, selected = (tally.table.sum(axis=axis) for tally in (self.pool, self.selected))
        rest = 1 - sum(target.share or 0 for target in targets)
        return [
            {
                "name": target.name,
                "share": round(rest if target.share is None else target.share, 6),
                "cap": target.cap,
                "available_documents": int(pool[place, 0]),
                "selected_documents": int(selected[place, 0]),
                "available_tokens": int(pool[place, 1]),
                "selected_tokens": int(selected[place, 1]),
                "selected_share": _share(int(selected[place, 1]), self.selected.tokens),
            }
            for place, target in enumerate(targets)
        ]


def cells(layout: Layout, plan: Plan) -> list[dict]:
    """Every quota of the plan: asked by the shares, available in the pool, granted after redistribution."""
    return [
        {
            "group": group.name,
            "bin": bin.name,
            "asked_tokens": int(plan.asked[row, column]),
            "available_tokens": int(plan.available[row, column]),
            "granted_tokens": int(plan.granted[row, column]),
        }
        for row, group in enumerate(layout.groups)
        for column, bin in enumerate(layout.bins)
    ]


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None
