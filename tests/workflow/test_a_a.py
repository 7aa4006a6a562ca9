"""An A/A test of everything: the same model twice, under two names, from its pretraining to the statistics.

It is the smoke experiment, which has the demo's stages at a tenth of its price. Seeds are the same, so that the twins are: it
shows that no name, no order and no bookkeeping makes a difference. How often chance makes one is simulated in
tests/evaluate/test_statistics_simulated.py.
"""

import json

import pytest
import yaml

from trellis.experiment.reading import read_yaml

pytestmark = pytest.mark.slow

SMOKE, TWINS = "config/experiments/smoke.yaml", ("trellis", "trellis-again")
SUITES = {"schema": ("seen", "unseen", "all"), "format": ("all",)}


@pytest.fixture(scope="module")
def twins(finished, tmp_path_factory) -> dict:
    """The statistics of a study of twins, with two fine-tuning seeds; what it shares with the smoke experiment is there."""
    workflow = finished.clone(tmp_path_factory.mktemp("twins") / "trellis")
    content = read_yaml(workflow.folder / SMOKE)
    content["models"] = dict.fromkeys(TWINS, content["models"]["trellis"])
    content["mixtures"] = {"curated": content["mixtures"]["curated"]}
    content["sft"]["training"]["seeds"] = [0, 1]
    # The twins' mappings are one object; written out, they are two models.
    (workflow.folder / "config/experiments/twins.yaml").write_text(yaml.dump(content, Dumper=_WrittenOut))
    pair = dict(zip(("treatment", "control"), TWINS, strict=True))
    contrasts = [
        pair | {"suite": suite, "split": split, "metric": metric}
        for suite, splits in SUITES.items()
        for split in splits
        for metric in ("parse", "exact")
    ]
    prereg = read_yaml(workflow.folder / "config/prereg.yaml")
    prereg["twins"] = {"primary": contrasts[0], "secondary": contrasts[1:], "minimum_seeds": 2}
    (workflow.folder / "config/prereg.yaml").write_text(yaml.dump(prereg))
    before = set(workflow.folder.glob("results/*/*"))
    answer = workflow.snakemake(experiment="twins")
    assert answer.returncode == 0, workflow.log
    made = set(workflow.folder.glob("results/*/*")) - before
    assert any(path.match("pretrain/trellis-again-*") for path in made), "the twin is trained, not found"
    (path,) = (path / "statistics.json" for path in made if path.match("evaluate/compare-*"))
    return json.loads(path.read_text())


class _WrittenOut(yaml.SafeDumper):
    def ignore_aliases(self, data) -> bool:
        return True


def test_no_difference_between_twins_is_significant(twins):
    assert twins["primary"]["p"] > 0.05 and twins["primary"]["low"] <= 0 <= twins["primary"]["high"]
    assert twins["primary"]["enough_seeds"]
    assert len(twins["secondary"]) == 7
    for contrast in (*twins["secondary"], *twins["interactions"]):
        assert contrast["p"] > 0.05 and contrast["low"] <= 0 <= contrast["high"]
    assert not any(contrast["holm_significant"] for contrast in twins["secondary"])


def test_a_name_changes_no_number(twins):
    """On a processor the same seeds give the same weights, so twins do not differ by a single answer."""
    for contrast in (twins["primary"], *twins["secondary"], *twins["interactions"]):
        assert contrast["difference"] == 0 and contrast["mcnemar_p"] in (1, None)
        assert not contrast["equivalent"], "sixteen equal answers do not show that two models are the same"
    for part in ("table", "seeds", "decomposition", "format_tax"):
        first, second = ([{**row, "model": ""} for row in twins[part] if row["model"] == name] for name in TWINS)
        assert first and first == second, part


def test_the_twins_are_no_dead_models(twins):
    """Two models that learn nothing would agree as well."""
    rows = [
        row
        for row in twins["table"]
        if (row["suite"], row["split"], row["metric"]) == ("schema", "all", "nll_per_byte")
    ]
    nats = {(row["model"], row["variant"]): row["mean"] for row in rows}
    assert {row["seeds"] for row in rows} == {0, 2}
    for name in TWINS:
        assert nats[name, "tuned"] < 0.9 * nats[name, "base"]
