"""Rules of selection: which documents of a source a mixture takes when it does not take all."""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from trellis.experiment.section import Section

Topic = Literal[
    "mathematics_statistics",
    "computer_science_software_engineering",
    "machine_learning_ai",
    "physical_sciences",
    "life_sciences_biology",
    "medicine_health",
    "engineering_technology",
    "business_economics",
    "law_government",
    "social_sciences",
    "history_geography",
    "philosophy_ethics",
    "education_pedagogy",
    "language_writing",
    "arts_humanities",
    "environmental_science_energy",
    "personal_finance_practical_life",
]

MOST_GROUPS = 32
# With overlapping labels every set of groups is a cell: 2^12 sets of 4 bins are 128 MiB of histogram.
MOST_OVERLAPPING = 12


class Quota(Section):
    """A group's part of a source's tokens: `share` is its target (None, for the last group only: what the others leave),
    `cap` the most that it may hold once it has taken over what other groups lack (None: no such limit)."""

    name: str
    share: float | None = Field(default=None, ge=0, le=1)
    cap: float | None = Field(default=None, gt=0, le=1)


class Group(Quota):
    """A topic group: the documents in which one of `topics` is active; None takes every document that is left."""

    topics: list[Topic] | None = Field(default=None, min_length=1)


class Bin(Section):
    """A complexity bin: from `at_least` up to the next bin's; `share` of each group's tokens."""

    at_least: float
    share: float = Field(ge=0, le=1)


class TopicRule(Section):
    """Quotas by topic group and complexity bin. Groups are filled in their order, and a document counts once, for the first
    group that it is active in; inside a group each bin gets its share, the best documents first. What a bin lacks goes to
    the group's other bins, what a group lacks to the other groups, in the order in which they are written.

    kind: `topics_only` leaves out the bins, `complexity_only` the groups, `random` both: ablations over the same pool.
    threshold: a topic is active from its classifier's calibrated threshold, or from one number for all (original: 0.3).
    caps: false is the original's accounting: shares are floors, tokens chosen through another group count as well, and a
        last group without share takes what is left of the whole.
    redistribute: false leaves deficits open, as the original did; the mixture's tolerance decides whether that may be.
    Inside a cell documents rank by relevance (the highest score of `filter.relevance_topics`) + complexity_weight *
    complexity + min(label_bonus * active topics, 0.15), leaving out what the kind leaves out (complexity_only: by
    complexity alone), in steps of 1/1024 of that sum's range, equals by hash. The original's label_bonus is 0.05; it is at
    its limit for nine in ten documents, so it is 0 here.
    Documents outside min_tokens..max_tokens are left out (original: 50..100,000)."""

    kind: Literal["topics_and_complexity", "topics_only", "complexity_only", "random"]
    groups: list[Group] = Field(default=[], max_length=MOST_GROUPS)
    bins: list[Bin] = []
    threshold: Literal["calibrated"] | float = "calibrated"
    caps: bool = True
    redistribute: bool = True
    complexity_weight: float = Field(default=0.1, ge=0)
    label_bonus: float = Field(default=0.0, ge=0)
    min_tokens: NonNegativeInt = 0
    max_tokens: PositiveInt | None = None

    @model_validator(mode="after")
    def _consistent(self) -> "TopicRule":
        _check_quotas(self.groups, "groups", [group.topics for group in self.groups])
        lows = [each.at_least for each in self.bins]
        if self.bins and abs(sum(each.share for each in self.bins) - 1) > 1e-9:
            raise ValueError(f"the shares of bins sum to {sum(each.share for each in self.bins):.4f}, not to 1")
        if len(set(lows)) < len(lows):
            raise ValueError("two bins begin at the same complexity")
        if (self.uses_topics and not self.groups) or (self.uses_complexity and not self.bins):
            raise ValueError(f"kind {self.kind} needs {'groups' if self.uses_topics and not self.groups else 'bins'}")
        if isinstance(self.threshold, float) and not 0 < self.threshold < 1:
            raise ValueError("threshold must lie between 0 and 1, or be calibrated")
        if not self.caps and (any(group.cap for group in self.groups) or len(self.groups) > MOST_OVERLAPPING):
            raise ValueError(f"caps: false goes with groups without `cap`, at most {MOST_OVERLAPPING} of them")
        return self

    @property
    def uses_topics(self) -> bool:
        return self.kind in ("topics_and_complexity", "topics_only")

    @property
    def uses_complexity(self) -> bool:
        return self.kind in ("topics_and_complexity", "complexity_only")

    @property
    def rubrics(self) -> list[str]:
        """The scores without which the rule takes no document."""
        return ["topics"] * self.uses_topics + ["complexity"] * self.uses_complexity


class Slice(Quota):
    """A slice of code: documents whose `slice` (the features' column: a language or a folder of the source) is one of
    `values`; None takes all that no other slice names. Documents below `structured_floor` are left out; the others are
    taken by `order`: by structured-data relevance, or at random."""

    values: list[str] | None = Field(default=None, min_length=1)
    order: Literal["structured", "random"] = "structured"
    structured_floor: float = Field(default=0.0, ge=0, le=3)


class CodeRule(Section):
    """Quotas by slice of code. A document ranks by structured_data / 3, and `quality_bonus` more from code quality
    `quality_bonus_from` on.

    quality_floor: documents at or below it are left out, and those without code quality; 0 asks for neither.
    floor_everywhere: false spares the slices in random order this floor, as the original did.
    redistribute, min_tokens, max_tokens: as for topics (original: 20..100,000, by bytes / 4)."""

    kind: Literal["code_slices"]
    slices: list[Slice] = Field(min_length=1, max_length=MOST_GROUPS)
    quality_floor: float = Field(default=1.5, ge=0, le=5)
    floor_everywhere: bool = True
    quality_bonus: float = Field(default=0.1, ge=0)
    quality_bonus_from: float = 3.5
    redistribute: bool = True
    min_tokens: NonNegativeInt = 0
    max_tokens: PositiveInt | None = None

    @model_validator(mode="after")
    def _consistent(self) -> "CodeRule":
        _check_quotas(self.slices, "slices", [each.values for each in self.slices])
        named = [value for each in self.slices for value in each.values or []]
        if len(set(named)) < len(named):
            raise ValueError("a value stands in two slices")
        return self

    @property
    def rubrics(self) -> list[str]:
        """The scores without which the rule takes no document of some slice."""
        structured = any(each.order == "structured" or each.structured_floor for each in self.slices)
        return ["structured_data"] * structured + ["code_quality"] * (self.quality_floor > 0)


Rule = Annotated[TopicRule | CodeRule, Field(discriminator="kind")]
RANDOM = "random"


def rule_of(select: str, arm: str | None, rules: dict[str, Rule]) -> Rule | None:
    """The rule by which a source's documents are taken in an arm of an ablation; None is at random. An arm only takes away:
    what went by topics alone is at random where complexity alone counts. Code slices know neither: only the arm `random`
    changes them."""
    rule = None if select == RANDOM else rules[select]
    if isinstance(rule, TopicRule):
        kind = rule.kind if arm in (None, rule.kind) else arm if rule.kind == "topics_and_complexity" else RANDOM
        return TopicRule.model_validate({**rule.model_dump(), "kind": kind})
    return None if arm == RANDOM else rule


def _check_quotas(quotas: list[Quota], what: str, members: list[list[str] | None]) -> None:
    names = [quota.name for quota in quotas]
    if len(set(names)) < len(names):
        raise ValueError(f"two {what} have the same name")
    if any(quota.share is None for quota in quotas[:-1]) or None in members[:-1]:
        raise ValueError(
            f"only the last of the {what} may go without a share, and only the last may take every document"
        )
    total = sum(quota.share or 0 for quota in quotas)
    if quotas and (total > 1 + 1e-9 or (quotas[-1].share is not None and total < 1 - 1e-9)):
        raise ValueError(f"the shares of {what} sum to {total:.4f}, not to 1")
    for quota in quotas:
        if quota.cap is not None and quota.cap < (1 - total if quota.share is None else quota.share) - 1e-9:
            raise ValueError(f"{quota.name} has a cap below its share")
