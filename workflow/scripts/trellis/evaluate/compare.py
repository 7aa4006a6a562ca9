"""evaluate_compare: the comparisons that were written down beforehand, and every model's means with their intervals.

statistics.json holds

primary       a contrast; secondary: a family of them, in the preregistration's order, with holm_p and holm_significant
prereg        sha256 of the entry's canonical JSON, entry
method        name, resamples, confidence, power, seed, margin, minimum_seeds
table         a row per model, variant (tuned, base), suite, split, mode and metric: mean, low, high, n_items, n_clusters,
              seeds (0: a base model), exploratory (unless a contrast rests on it)
interactions  contrasts of a split `against` seen schemas: how much more the treatment gains there; exploratory
seeds         the means by_seed of what the contrasts measure
by_similarity bins over the similarity to the nearest schema of fine-tuning: low, high, items, models {mean, low, high}
decomposition shares of correct, truncated, no_parse, bad_schema and wrong_value answers, which sum to 1, over the items with
              a schema: each answer under the first of these that is true
format_tax    constrained minus free, over the items answered in both modes
knowledge     lm-eval's figures: task, metric, value, stderr, items

A contrast: treatment, control, suite, split, metric, mode; difference (treatment minus control), low, high, p with seeds and
schemas as `estimate` says; items_low, items_high of the schemas alone; treatment_mean, control_mean, n_items, n_clusters,
seeds (how many, by role); components (items_se, treatment_seed_se, control_seed_se, overlap_se, total_se, df, as `estimate`
says; a seed component is null where a model has one seed, and low and high are then those of the items alone); mde (minimum
detectable effect at the method's power); equivalent (within the margin); mcnemar_p (null where answers are graded);
enough_seeds. Splits are `all`, the suite's own seen and unseen, and near, far and held_out_feature by `distance`.
"""

import json
from pathlib import Path
from typing import Any

from trellis.address import digest
from trellis.command import Result
from trellis.evaluate.contrast import contrasts
from trellis.evaluate.score_tables import read_scores
from trellis.evaluate.summary import knowledge, summary
from trellis.experiment.evaluation import Statistics
from trellis.experiment.prereg import Preregistration
from trellis.experiment.section import complete
from trellis.spec import Spec

METHOD = (
    "Student's intervals: cluster bootstrap over schemas, variance of fine-tuning seeds; Holm over the secondary family"
)


def run(spec: Spec, out: Path) -> Result:
    """Writes `statistics.json`. Raises TrellisError when the models were not scored on the same items, or when a contrast
    names what the items do not have."""
    settings = Statistics.model_validate(spec.config["statistics"])
    prereg = Preregistration.model_validate(spec.config["prereg"])
    found, seeds = read_scores(spec.inputs_of("scores"), spec.input("distance"))
    suites = {scores.suite: scores for scores in found}
    primary, secondary, interactions = contrasts(suites, prereg, settings)
    entry = complete(prereg)
    method = {"name": METHOD, **settings.model_dump()}
    method |= {"margin": prereg.margin, "minimum_seeds": prereg.minimum_seeds}
    statistics = {
        "primary": primary,
        "secondary": secondary,
        "prereg": {"sha256": digest(entry), "entry": entry},
        "method": method,
        **summary(suites, seeds, prereg, settings),
        "interactions": interactions,
        "knowledge": knowledge(spec.inputs_of("knowledge")),
    }
    text = json.dumps(_rounded(statistics), indent=1, ensure_ascii=False, allow_nan=False)
    (out / "statistics.json").write_text(text + "\n", encoding="utf-8")
    return Result(_rounded({"primary": primary, "method": method}))


def _rounded(value: Any) -> Any:
    """Ten significant digits: what follows depends on the order in which a processor adds."""
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return float(f"{value:.10g}") if isinstance(value, float) else value
