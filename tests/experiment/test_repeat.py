"""`repeat` in a config: what a source must offer, and what is said of it."""

import shutil
from pathlib import Path

import pytest
import yaml

from trellis.errors import TrellisError
from trellis.experiment.reading import read_yaml
from trellis.experiment.whole import load_experiment
from trellis.overview import describe

CONFIG = Path(__file__).parents[2] / "config"


@pytest.fixture
def study(tmp_path):
    """study(repeat, offered) -> the study with the code's share read so often, of parts that offer so many tokens."""

    def load(repeat: float, offered: int):
        content = read_yaml(CONFIG / "experiments/trellis-506m.yaml")
        parts = content["sources"]["starcoderdata"]["parts"]
        for part in parts:
            part["tokens"] = 1
        parts[0]["tokens"] = offered - len(parts) + 1
        for mixture in content["mixtures"].values():
            mixture["sources"]["starcoderdata"]["repeat"] = repeat
        shutil.copy(CONFIG / "prereg.yaml", tmp_path)
        path = tmp_path / "trellis-506m.yaml"
        path.write_text(yaml.safe_dump(content, sort_keys=False))
        return load_experiment(path)

    return load


def test_parts_must_offer_what_is_selected_not_what_is_read(study):
    assert study(4.0, 975_000_000)
    with pytest.raises(
        TrellisError, match=r"offer 974,999,999 tokens, .* asks for 975,000,000, to be read 4 times; raise"
    ):
        study(4.0, 974_999_999)
    with pytest.raises(
        TrellisError, match=r"offer 5,000,000,000 tokens, .* asks for 7,800,000,000, to be read 0.5 times"
    ):
        study(0.5, 5_000_000_000)
    with pytest.raises(TrellisError, match=r"asks for 3,900,000,000; raise"):
        study(1.0, 3_000_000_000)


@pytest.mark.parametrize("repeat", [0.24, 10.5, "often"])
def test_a_repeat_out_of_bounds_is_named(study, repeat):
    with pytest.raises(TrellisError, match=r"mixtures\.\w+\.sources\.starcoderdata\.repeat: input should be"):
        study(repeat, 10**11)


def test_the_plan_says_how_often_a_source_is_read(study):
    lines = [line for line in describe("study", study(4.0, 10**9)) if line.startswith("  starcoderdata:")]
    assert lines and all(
        "3,900,000,000 tokens (19.5 %), 975,000,000 different ones read 4 times, " in each for each in lines
    )
    lines = [line for line in describe("study", study(1.0, 10**10)) if line.startswith("  starcoderdata:")]
    assert lines and all("3,900,000,000 tokens (19.5 %), 1,904,297 rows" in each for each in lines)
