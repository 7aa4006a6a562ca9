"""The rules of selection: which documents may be taken, for which quota each counts, and in which order they are taken."""

import numpy as np

from trellis.document_split import mixed
from trellis.errors import TrellisError
from trellis.experiment.selection import CodeRule, Quota, Rule, Topic, TopicRule
from trellis.filter.histogram import HASH_BITS, RECORD, ranks
from trellis.filter.pool import AVAILABLE, OUTSIDE, UNSCORED, Part
from trellis.filter.quotas import Layout, Target

LABEL_BONUS_LIMIT = 0.15
TOP_LEVEL = 5


class Placing:
    """What every rule does alike; as it stands, the rule `random`. `layout` holds the quotas, `groups` and `bins` what the
    plan counts selected documents by, whether the quotas use them or not. `relevance_topics` are columns of topics."""

    layout = Layout([Target("all")])
    groups: list[Target] = []
    bins: list[Target] = []

    def __init__(self, seed: int, relevance_topics: list[int]) -> None:
        self.seed, self.relevance_topics = seed, relevance_topics

    @property
    def hash_bits(self) -> int:
        """Sets of groups are many cells; there the score alone is rank enough."""
        return 0 if self.layout.overlapping else HASH_BITS

    def place(self, part: Part) -> tuple[np.ndarray, np.ndarray]:
        """(fate of every document, records of those that may be taken)."""
        topics = part.topics[:, self.relevance_topics]
        relevance = topics.max(axis=1) if self.relevance_topics else np.full(len(topics), np.nan, np.float32)
        records = np.zeros(len(part.doc_id), RECORD)
        records["place"] = part.start + np.arange(len(records))
        records["hash"] = mixed(part.doc_id, self.seed, "selection")
        records["group"] = records["bin"] = -1
        records["relevance"] = relevance
        for name in ("doc_id", "tokens", "complexity", "code_quality", "structured_data"):
            records[name] = getattr(part, name)
        score, unscored, outside = self._judge(part, records)
        fate = part.fate.copy()
        fate[(fate == AVAILABLE) & unscored] = UNSCORED
        fate[(fate == AVAILABLE) & outside] = OUTSIDE
        chosen = fate == AVAILABLE
        records = records[chosen]
        records["rank"] = ranks(score[chosen], records["hash"], self.hash_bits)
        return fate, records

    def _judge(self, part: Part, records: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(score 0..1, without the scores that the rule needs, not for this rule); fills in cell, groups, group and bin."""
        nothing = np.zeros(len(records), bool)
        return np.zeros(len(records)), nothing, nothing


class TopicPlacing(Placing):
    """Quotas by topic group and complexity bin; `labels` are the columns of topics, `thresholds` one for each."""

    def __init__(
        self, rule: TopicRule, seed: int, relevance_topics: list[int], labels: list[str], thresholds: list[float] | None
    ) -> None:
        super().__init__(seed, relevance_topics)
        self.rule = rule
        one_for_all = isinstance(rule.threshold, float)
        self.thresholds = np.array([rule.threshold] * len(labels) if one_for_all else thresholds or [], np.float32)
        # Where topics have no say, groups are counted as far as the classifier knows them.
        groups = rule.groups if rule.uses_topics or len(self.thresholds) else []
        self.columns = [
            None if group.topics is None else columns_of(group.topics, labels, f"groups.{group.name}.topics")
            for group in groups
        ]
        self.groups = _targets(groups)
        self.bins = [Target(f"{each.at_least:g}", each.share) for each in rule.bins]
        self.lows = np.array([each.at_least for each in rule.bins])
        self.layout = Layout(
            self.groups if rule.uses_topics else [Target("all")],
            self.bins if rule.uses_complexity else [Target("all", 1.0)],
            overlapping=rule.uses_topics and not rule.caps,
            redistribute=rule.redistribute,
        )

    def _judge(self, part: Part, records: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        rule, no_topics, no_complexity = self.rule, np.isnan(records["relevance"]), np.isnan(part.complexity)
        active = part.topics >= self.thresholds if len(self.thresholds) else np.zeros(part.topics.shape, bool)
        for group, columns in enumerate(self.columns):
            members = ~no_topics if columns is None else active[:, columns].any(axis=1)
            records["groups"] |= members.astype(np.uint32) << np.uint32(group)
            records["group"][members & (records["group"] < 0)] = group
        order = np.argsort(self.lows)
        found = np.searchsorted(self.lows[order], part.complexity, side="right") - 1
        known = (found >= 0) & ~no_complexity
        records["bin"][known] = order[found[known]]
        unscored, outside = np.zeros(len(records), bool), _outside(part, rule)
        if rule.uses_topics:
            unscored, outside = unscored | no_topics, outside | (records["group"] < 0)
        if rule.uses_complexity:
            unscored, outside = unscored | no_complexity, outside | (records["bin"] < 0)
        sets = records["groups"] if self.layout.overlapping else records["group"] * rule.uses_topics
        records["cell"] = sets.astype(np.int32) * len(self.layout.bins) + records["bin"] * rule.uses_complexity
        return self._score(records, active.sum(axis=1)), unscored, outside

    def _score(self, records: np.ndarray, active: np.ndarray) -> np.ndarray:
        rule = self.rule
        if rule.kind == "random":
            return np.zeros(len(records))
        if rule.kind == "complexity_only":
            return np.nan_to_num(records["complexity"].astype(np.float64)) / TOP_LEVEL
        score = records["relevance"].astype(np.float64) + np.minimum(rule.label_bonus * active, LABEL_BONUS_LIMIT)
        top = 1 + LABEL_BONUS_LIMIT * (rule.label_bonus > 0)
        if rule.kind == "topics_and_complexity":
            score += rule.complexity_weight * records["complexity"].astype(np.float64)
            top += rule.complexity_weight * TOP_LEVEL
        return np.nan_to_num(score) / top


class CodePlacing(Placing):
    """Quotas by slice of code."""

    def __init__(self, rule: CodeRule, seed: int, relevance_topics: list[int]) -> None:
        super().__init__(seed, relevance_topics)
        self.rule = rule
        self.groups = _targets(rule.slices)
        self.layout = Layout(self.groups, redistribute=rule.redistribute)
        self.by_value = {value: place for place, each in enumerate(rule.slices) for value in each.values or []}
        self.rest = len(rule.slices) - 1 if rule.slices[-1].values is None else -1

    def _judge(self, part: Part, records: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        slices = part.slice.combine_chunks().dictionary_encode()
        group_of = np.array(
            [*(self.by_value.get(value, self.rest) for value in slices.dictionary.to_pylist()), self.rest]
        )
        group = group_of[slices.indices.fill_null(len(group_of) - 1).to_numpy()]
        records["group"], records["cell"] = group, np.maximum(group, 0)
        records["groups"] = np.uint32(1) << np.maximum(group, 0).astype(np.uint32)
        rule, quality, structured = self.rule, part.code_quality, part.structured_data
        ranked = np.array([each.order == "structured" for each in rule.slices])[group]
        floor = np.array([each.structured_floor for each in rule.slices])[group]
        picky = (ranked | rule.floor_everywhere) & (rule.quality_floor > 0)
        unscored = (ranked | (floor > 0)) & np.isnan(structured) | picky & np.isnan(quality)
        outside = (group < 0) | (structured < floor) | picky & (quality <= rule.quality_floor) | _outside(part, rule)
        score = structured.astype(np.float64) / 3 + rule.quality_bonus * (quality >= rule.quality_bonus_from)
        return np.where(ranked, np.nan_to_num(score) / (1 + rule.quality_bonus), 0.0), unscored, outside


def placing(
    rule: Rule | None, seed: int, relevance_topics: list[Topic], labels: list[str], thresholds: list[float] | None
) -> Placing:
    """The rule at work on a source whose topics are scored by `labels` (none: not at all). Raises TrellisError when these
    lack a topic of the rule, or a calibrated threshold."""
    needed = isinstance(rule, TopicRule) and rule.uses_topics
    relevant = columns_of(relevance_topics, labels, "filter.relevance_topics") if needed or labels else []
    if isinstance(rule, CodeRule):
        return CodePlacing(rule, seed, relevant)
    if not isinstance(rule, TopicRule):
        return Placing(seed, relevant)
    if rule.threshold == "calibrated" and thresholds is None and needed:
        raise TrellisError("the classifier gives no thresholds; set `threshold` of the rule to a number")
    return TopicPlacing(rule, seed, relevant, labels, thresholds)


def columns_of(topics: list[Topic], labels: list[str], key: str) -> list[int]:
    """Where topics stand among the labels."""
    if unknown := [topic for topic in topics if topic not in labels]:
        raise TrellisError(f"{key}: no classifier scores {unknown[0]!r} (scored: {', '.join(labels) or 'none'})")
    return [labels.index(topic) for topic in topics]


def _targets(quotas: list[Quota]) -> list[Target]:
    return [Target(quota.name, quota.share, quota.cap) for quota in quotas]


def _outside(part: Part, rule: Rule) -> np.ndarray:
    """Which documents the rule leaves out for their length, the end of text not counted."""
    longest = np.inf if rule.max_tokens is None else rule.max_tokens
    return (part.tokens - 1 < rule.min_tokens) | (part.tokens - 1 > longest)
