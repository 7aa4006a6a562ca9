"""Rules of selection as they stand in a config: what an experiment may say, and what each mistake is called."""

import shutil
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from pools import LABELS
from trellis.errors import TrellisError
from trellis.experiment.filter import Filter
from trellis.experiment.reading import read_yaml
from trellis.experiment.section import semantic
from trellis.experiment.selection import CodeRule, TopicRule, rule_of
from trellis.experiment.whole import load_experiment
from trellis.plan import load_plan

ROOT = Path(__file__).parents[2]
MATHS, REST = {"name": "maths", "topics": LABELS[:1], "share": 0.3}, {"name": "rest"}
BINS = [{"at_least": 2, "share": 0.5}, {"at_least": 0, "share": 0.5}]
RULE = {"kind": "topics_and_complexity", "groups": [MATHS, REST], "bins": BINS}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"groups": [MATHS, {**REST, "share": 0.6}]}, "shares of groups sum to 0.9000, not to 1"),
        ({"groups": [{**MATHS, "share": 1.0}, {**MATHS, "name": "b"}]}, "shares of groups sum to 1.3000"),
        ({"groups": [MATHS, {**MATHS, "share": 0.7}]}, "two groups have the same name"),
        ({"groups": [REST, MATHS]}, "only the last of the groups may go without a share"),
        ({"groups": [{"name": "all", "share": 0.7}, MATHS]}, "only the last may take every document"),
        ({"groups": [{**MATHS, "cap": 0.2}, REST]}, "maths has a cap below its share"),
        ({"groups": [MATHS, {**REST, "cap": 0.5}]}, "rest has a cap below its share"),
        ({"bins": [{"at_least": 2, "share": 0.5}]}, "shares of bins sum to 0.5000"),
        ({"bins": [BINS[0], BINS[0]]}, "two bins begin at the same complexity"),
        ({"bins": []}, "kind topics_and_complexity needs bins"),
        ({"kind": "topics_only", "groups": []}, "kind topics_only needs groups"),
        ({"threshold": 1.5}, "threshold must lie between 0 and 1"),
        ({"caps": False, "groups": [{**MATHS, "cap": 0.5}, REST]}, "caps: false goes with groups without `cap`"),
    ],
)
def test_mistakes_in_a_rule(changes, sentence):
    with pytest.raises(ValidationError, match=sentence):
        TopicRule.model_validate({**RULE, **changes})


def test_mistakes_in_slices():
    slices = [{"name": "a", "share": 0.5, "values": ["c", "go"]}, {"name": "b", "share": 0.5, "values": ["go"]}]
    with pytest.raises(ValidationError, match="a value stands in two slices"):
        CodeRule.model_validate({"kind": "code_slices", "slices": slices})


def spoilt(tmp_path, change) -> Path:
    """The path of the miniature, changed."""
    content = read_yaml(ROOT / "config/experiments/miniature.yaml")
    change(content)
    path = tmp_path / "miniature.yaml"
    shutil.copy(ROOT / "config/prereg.yaml", tmp_path)
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            lambda c: c["mixtures"]["curated"]["sources"]["pes2o"].update(select="curatd"),
            r"mixtures.curated.sources.pes2o.select: there is no rule 'curatd' .allowed: code, curated, random, subjects.",
        ),
        (
            lambda c: c["mixtures"]["curated"]["sources"]["pes2o"].update(select="code"),
            "pes2o.select: rule code needs scores of structured_data, and no classifier makes them of pes2o",
        ),
        (
            lambda c: c["filter"]["selection"].update(random=c["filter"]["selection"]["code"]),
            "filter.selection.random: random is the rule of sources that name none",
        ),
    ],
)
def test_mistakes_between_mixtures_rules_and_classifiers(tmp_path, change, sentence):
    with pytest.raises(TrellisError, match=sentence):
        load_experiment(spoilt(tmp_path, change))


def test_an_arm_costs_one_line_and_changes_nothing_but_the_rule():
    mixtures = load_experiment(ROOT / "config/experiments/miniature.yaml").mixtures
    for arm in ("topics_only", "complexity_only"):
        assert semantic(mixtures[arm]) == {**semantic(mixtures["curated"]), "arm": arm}


def test_an_arm_turns_rules_of_topics_into_its_kind_and_code_only_into_chance():
    rules = Filter.model_validate(
        {
            "relevance_topics": LABELS[:1],
            "selection": {"a": RULE, "code": {"kind": "code_slices", "slices": [{"name": "all"}]}},
        }
    ).selection
    assert rule_of("random", None, rules) is None
    assert rule_of("a", None, rules) == rules["a"]
    for arm in ("topics_only", "complexity_only", "random"):
        assert semantic(rule_of("a", arm, rules)) == {**semantic(rules["a"]), "kind": arm}
    for kind, arm in (
        ("topics_only", "complexity_only"),
        ("complexity_only", "topics_only"),
        ("random", "topics_only"),
    ):
        narrow = {"a": TopicRule.model_validate({**RULE, "kind": kind})}
        assert rule_of("a", arm, narrow).kind == "random", "an arm only takes away"
        assert rule_of("a", kind, narrow) == narrow["a"]
    assert rule_of("code", "topics_only", rules) == rules["code"]
    assert rule_of("code", "random", rules) is None


def test_the_studys_groups_shares_and_bins():
    rule = load_experiment(ROOT / "config/experiments/trellis-506m.yaml").filter.selection["curated"]
    shares = [round(100 * group.share) for group in rule.groups]
    assert shares == [7, 8, 5, 4, 3, 5, 2, 4, 4, 3, 55]
    assert len({topic for group in rule.groups for topic in group.topics}) == 17
    assert sorted((each.at_least, each.share) for each in rule.bins) == [(0, 0.1), (1.75, 0.2), (2.5, 0.4), (3.25, 0.3)]
    assert (rule.threshold, rule.caps, rule.redistribute) == ("calibrated", True, True)


def test_a_selection_depends_on_the_rules_that_its_mixture_uses_and_no_others():
    jobs = {job.name: job for job in load_plan(ROOT, {"experiment": "demo"}).jobs}
    assert set(jobs["select-curated"].config["selection"]) == {"curated", "subjects", "code"}
    assert jobs["select-uncurated"].config["selection"] == {}
