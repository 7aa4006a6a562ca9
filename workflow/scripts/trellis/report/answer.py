"""The answer to the research question: one sentence that says no more than the primary comparison does."""

from dataclasses import dataclass
from typing import Any

from trellis.report.study import Arm, Tuning
from trellis.report.wording import count, listed, percent, plural, points, short

METRICS = {
    "parse": "the rate of strictly parsed JSON",
    "schema_valid": "the rate of schema-valid JSON",
    "exact": "the rate of exact matches with the expected object",
    "leaf_f1": "the mean F1 over leaf values",
    "key_f1": "the mean F1 over keys",
    "parse_lenient": "the rate of answers that hold parsable JSON",
    "ast": "the rate of correct function calls",
    "execution": "the rate of queries with the right result",
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
    experiment: dict[str, Any], primary: dict[str, Any], arms: list[Arm], tuning: Tuning, heuristic: list[str]
) -> Answer:
    """`primary` as in statistics.json; `heuristic` the rubrics whose labels do not all come with the sources."""
    by_name = {arm.name: arm for arm in arms}
    treatment, control = by_name[primary["treatment"]], by_name[primary["control"]]
    low, high = primary["low"], primary["high"]
    obstacle = _obstacle(experiment, primary, treatment, control, tuning)
    verdict = "supports" if low > 0 else "contradicts" if high < 0 else "cannot tell"
    if obstacle:
        verdict = "cannot tell"
    return Answer(
        verdict=verdict,
        claim=_claim(verdict, experiment, obstacle),
        evidence=_evidence(primary, treatment, control, tuning),
        limits=_limits(experiment, primary, treatment, control, tuning, heuristic),
        difference=primary["difference"],
        low=low,
        high=high,
    )


def is_miniature(experiment: dict[str, Any]) -> bool:
    """A study whose sources stand for others is a miniature of the study that has those."""
    return any(source.get("stands_for") for source in experiment["sources"].values())


def _obstacle(
    experiment: dict[str, Any], primary: dict[str, Any], treatment: Arm, control: Arm, tuning: Tuning
) -> str | None:
    """Why no interval, however clear, could answer the question."""
    if tuning.problem:
        return "its models were not fine-tuned identically"
    mixtures = [experiment["mixtures"].get(arm.mixture) for arm in (treatment, control)]
    if mixtures[0] is None or not _is_curated(mixtures[0]):
        return f"{treatment.name} was not pretrained on a curated mixture"
    if mixtures[0] == mixtures[1]:
        return "both models were pretrained on the same mixture"
    # With fewer, the luck of one fine-tuning run passes for an effect: identical runs of small models differ by more than
    # such intervals are wide.
    if not primary["enough_seeds"]:
        seeds = plural(len(tuning.seeds), "fine-tuning seed")
        return f"{seeds} per model cannot tell an effect of the data from the luck of the draw"
    return None


def _is_curated(mixture: dict[str, Any]) -> bool:
    """Whether any source's documents were chosen by a rule."""
    return mixture["arm"] != "random" and any(share["select"] != "random" for share in mixture["sources"].values())


def _claim(verdict: str, experiment: dict[str, Any], obstacle: str | None) -> str:
    study = "This study in miniature" if is_miniature(experiment) else "This study"
    if verdict == "cannot tell":
        because = f", because {obstacle}" if obstacle else ""
        return f"{study} cannot tell whether curated pretraining improves structured output beyond fine-tuning{because}"
    return f"{study} {verdict} the hypothesis that curated pretraining improves structured output beyond fine-tuning"


def _evidence(primary: dict[str, Any], treatment: Arm, control: Arm, tuning: Tuning) -> str:
    after = "after fine-tuning" if tuning.problem else "after identical fine-tuning"
    means = ((primary["treatment_mean"], treatment), (primary["control_mean"], control))
    return (
        f"{after}, {METRICS[primary['metric']]} on {primary['split'].replace('_', ' ')} items is "
        f"{listed([f'{percent(mean)} for {_described(arm)}' for mean, arm in means])}, a difference of "
        f"{points(primary['difference'])} percentage points ({100 * primary['confidence']:g}% interval "
        f"{points(primary['low'])} to {points(primary['high'])}{_null(primary)}; {plural(primary['n_items'], 'item')} over "
        f"{plural(primary['n_clusters'], 'schema cluster')}; {plural(len(tuning.seeds), 'fine-tuning seed')}, "
        f"one pretraining run per model)."
    )


def _null(primary: dict[str, Any]) -> str:
    """What a difference that is not significant leaves open: nothing may be called absent that could not be seen."""
    if not primary["low"] <= 0 <= primary["high"]:
        return ""
    return f"; the smallest difference that this design would find is {100 * primary['mde']:.1f} points"


def _described(arm: Arm) -> str:
    return f"{arm.name} ({arm.mixture} mixture)" if arm.mixture else arm.name


def _limits(experiment, primary, treatment: Arm, control: Arm, tuning: Tuning, heuristic: list[str]) -> list[str]:
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
    seeds = min(primary["seeds"].values())
    covered = (
        f", and of {plural(seeds, 'seed')} per model, but not"
        if seeds > 1
        else ", but neither the fine-tuning seed nor"
    )
    limits.append(
        f"The interval covers the choice of schemas and items{covered} the luck of the one pretraining run per model."
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
    means = (primary["treatment_mean"], primary["control_mean"])
    for place, there in (("floor", max(means) <= FLOOR), ("ceiling", min(means) >= 1 - FLOOR)):
        if there:
            limits.append(f"Both means are at the {place} of the metric: a benefit could hardly have been seen.")
    return limits


def _mixture_limits(experiment, treatment: Arm, control: Arm) -> list[str]:
    mixtures = [experiment["mixtures"].get(arm.mixture) for arm in (treatment, control)]
    if None in mixtures:
        return [
            "At least one of the two was pretrained elsewhere, on data and by a recipe that differ in every respect."
        ]
    shares = [{name: share["tokens"] for name, share in mixture["sources"].items()} for mixture in mixtures]
    if shares[0] != shares[1]:
        return [
            "The two mixtures differ in how much they take of which source as well as in how documents were chosen: "
            "the effect is that of the whole recipe, not of the classifiers alone."
        ]
    return []
