"""The learning rate: what its formula gives at chosen steps, and a warm-up that leaves steps to train in."""

import itertools
from pathlib import Path

import pytest
import yaml

from small_training import RECIPE
from trellis.errors import TrellisError
from trellis.experiment.pretraining import Pretraining
from trellis.experiment.reading import read_yaml
from trellis.experiment.whole import load_experiment
from trellis.pretrain.schedule import learning_rate

CONFIG = Path(__file__).parents[2] / "config"


@pytest.mark.parametrize(
    ("schedule", "steps", "expected"),
    [
        # From step 10 to step 100: a third of the way the cosine of 60 degrees, half-way that of 90.
        ("cosine", 101, {0: 3e-3, 4: 1.5e-2, 9: 3e-2, 10: 3e-2, 40: 2.325e-2, 55: 1.65e-2, 70: 9.75e-3, 100: 3e-3}),
        # 20 of 100 steps of decay, of which the last leaves a twentieth.
        ("warmup_stable_decay", 100, {0: 3e-3, 4: 1.5e-2, 9: 3e-2, 50: 3e-2, 80: 3e-2, 90: 1.65e-2, 99: 4.35e-3}),
        # The last step of warm-up is the last but one of all.
        ("cosine", 11, {9: 3e-2, 10: 3e-2}),
    ],
)
def test_a_schedule_is_its_formula(schedule, steps, expected):
    """Rates from 3e-2 to 3e-3 after 10 steps of warm-up."""
    recipe = Pretraining.model_validate({**RECIPE, "schedule": schedule, "warmup_steps": 10, "decay_share": 0.2})
    rates = [learning_rate(step, steps, recipe) for step in range(steps)]
    assert {step: rates[step] for step in expected} == pytest.approx(expected, rel=1e-12)
    assert all(later > earlier for earlier, later in itertools.pairwise(rates[:10]))
    assert all(later <= earlier for earlier, later in itertools.pairwise(rates[10:]))


def test_a_warm_up_as_long_as_the_training_is_refused(tmp_path):
    """Of the mixtures that are trained on, the shortest counts."""
    content = read_yaml(CONFIG / "experiments/smoke.yaml")
    content["preregistered_as"] = "smoke"
    path = tmp_path / "config/experiments/mine.yaml"
    path.parent.mkdir(parents=True)
    (tmp_path / "config/prereg.yaml").write_text((CONFIG / "prereg.yaml").read_text())
    trained_on = {model["mixture"] for model in content["models"].values() if "mixture" in model}
    steps = -(
        -min(content["mixtures"][name]["tokens"] for name in trained_on) // content["pretraining"]["batch_tokens"]
    )
    content["pretraining"]["warmup_steps"] = steps - 1
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    assert load_experiment(path).pretraining.warmup_steps == steps - 1
    content["pretraining"]["warmup_steps"] = steps
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    sentence = (
        rf"mine.yaml: pretraining.warmup_steps: {steps} steps of warm-up leave none of the {steps} in which "
        rf"mixtures.\w+ is read \(allowed: at most {steps - 1}\)$"
    )
    with pytest.raises(TrellisError, match=sentence):
        load_experiment(path)
