"""The answer to the research question: one sentence that says no more than the headline comparison does."""

from dataclasses import dataclass
from typing import Any

from trellis.report.study import Arm, Tuning
from trellis.report.wording import count, listed, percent, plural, points, short

METRICS = {
    "parse": "strictly parsed JSON",
    "schema_valid": "schema-valid JSON",
    "exact": "exact match with the expected object",
    "leaf_f1": "F1 over leaf values",
    "key_f1": "F1 over keys",
}
FLOOR = 0.01


@dataclass(frozen=True)
class Answer:
    """`verdict` is supports, contradicts or cannot tell; `claim` and `evidence` are the two halves of one sentence;
    `limits` is what the study does not identify."""

    verdict: str
    claim: str
    evidence: str
    limits: list[str]
    difference: float
    low: float
    high: float


def answer(
    experiment: dict[str, Any],
    headline: dict[str, Any],
    rates: dict[str, float],
    arms: list[Arm],
    tuning: Tuning,
    heuristic: list[str],
) -> Answer:
    """`headline` as in statistics.json, `rates` the means of the two arms by model, `heuristic` the rubrics whose labels
    are not (all) human or source labels."""
    chosen = experiment["evaluation"]["headline"]
    by_name = {arm.name: arm for arm in arms}
    treatment, control = by_name[chosen["treatment"]], by_name[chosen["control"]]
    low, high = headline["low"], headline["high"]
    verdict = "supports" if low > 0 else "contradicts" if high < 0 else "cannot tell"
    if tuning.problem:
        verdict = "cannot tell"
    return Answer(
        verdict=verdict,
        claim=_claim(verdict, experiment, tuning),
        evidence=_evidence(experiment, headline, rates, treatment, control, tuning),
        limits=_limits(experiment, rates, treatment, control, tuning, heuristic),
        difference=headline["difference"],
        low=low,
        high=high,
    )


def is_miniature(experiment: dict[str, Any]) -> bool:
    """A study whose sources stand for others is a miniature of the study that has those."""
    return any(source.get("stands_for") for source in experiment["sources"].values())


def _claim(verdict: str, experiment: dict[str, Any], tuning: Tuning) -> str:
    study = "This study in miniature" if is_miniature(experiment) else "This study"
    if verdict == "cannot tell":
        because = ", because its models were not fine-tuned identically" if tuning.problem else ""
        return f"{study} cannot tell whether curated pretraining improves structured output beyond fine-tuning{because}"
    return f"{study} {verdict} the hypothesis that curated pretraining improves structured output beyond fine-tuning"


def _evidence(experiment, headline, rates, treatment: Arm, control: Arm, tuning: Tuning) -> str:
    chosen = experiment["evaluation"]["headline"]
    confidence = experiment["evaluation"]["statistics"]["confidence"]
    after = "after fine-tuning" if tuning.problem else "after identical fine-tuning"
    rate = listed([f"{percent(rates[arm.name])} for {_described(arm)}" for arm in (treatment, control)])
    return (
        f"{after}, the rate of {METRICS[chosen['metric']]} on {chosen['split']} schemas is {rate}, a difference of "
        f"{points(headline['difference'])} percentage points ({100 * confidence:g}% interval {points(headline['low'])} "
        f"to {points(headline['high'])}; {plural(headline['n_items'], 'item')} over "
        f"{plural(headline['n_clusters'], 'schema cluster')}; {plural(len(tuning.seeds), 'fine-tuning seed')}, "
        f"one pretraining run per model)."
    )


def _described(arm: Arm) -> str:
    return f"{arm.name} ({arm.mixture} mixture)" if arm.mixture else arm.name


def _limits(experiment, rates, treatment: Arm, control: Arm, tuning: Tuning, heuristic: list[str]) -> list[str]:
    """What stands between this difference and the effect of curation, each in a sentence computed from the records."""
    limits = []
    if tuning.problem:
        limits.append(f"Fine-tuning was not identical: {tuning.problem}.")
    if is_miniature(experiment):
        sources = experiment["sources"].values()
        stand_ins = sum(bool(source.get("stands_for")) for source in sources)
        sizes = listed([f"{short(arm.parameters)} parameters ({arm.name})" for arm in (treatment, control)])
        limits.append(
            f"This is the miniature: {stand_ins} of {len(sources)} sources are small stand-ins, and the two models have "
            f"{sizes}; what holds here need not hold at the study's scale."
        )
    limits.append(
        "There is one pretraining run per model, so the interval covers the choice of items and schemas"
        + (" and of fine-tuning seeds" if len(tuning.seeds) > 1 else ", neither the fine-tuning seed")
        + (", but not" if len(tuning.seeds) > 1 else " nor")
        + " the luck of a pretraining run."
    )
    for what, one, other in (
        ("architecture", treatment.architecture, control.architecture),
        ("number of parameters", count(treatment.parameters), count(control.parameters)),
        ("number of pretraining tokens", count(treatment.tokens), count(control.tokens)),
    ):
        if one != other:
            limits.append(
                f"The two models also differ in their {what} ({one} and {other}): "
                f"its effect cannot be told apart from that of the data."
            )
    limits += _mixture_limits(experiment, treatment, control)
    if heuristic:
        limits.append(
            f"Documents were judged by classifiers whose labels come at least partly from a heuristic rubric, not from "
            f"people ({listed(heuristic)}): “curated” means what those rules find."
        )
    if all(rates[arm.name] <= FLOOR for arm in (treatment, control)):
        limits.append("Both rates are at the floor of the metric: this comparison could hardly have shown a benefit.")
    if all(rates[arm.name] >= 1 - FLOOR for arm in (treatment, control)):
        limits.append("Both rates are at the ceiling of the metric: this comparison could hardly have shown a benefit.")
    return limits


def _mixture_limits(experiment, treatment: Arm, control: Arm) -> list[str]:
    mixtures = [experiment["mixtures"].get(arm.mixture) for arm in (treatment, control)]
    if None in mixtures:
        return ["One of the two models was pretrained elsewhere, on data and by a recipe that differ in every respect."]
    if mixtures[0] == mixtures[1]:
        return ["Both models were pretrained on the same mixture: the difference is not one of curation."]
    if set(mixtures[0]["sources"]) != set(mixtures[1]["sources"]):
        return [
            "The two mixtures differ in their sources and shares as well as in how documents were chosen: "
            "the effect is that of the whole recipe, not of the classifiers alone."
        ]
    return []
