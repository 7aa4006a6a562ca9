"""Rubrics and their answers: real labels first, heuristics by their own rules, nothing made up."""

import json
from pathlib import Path
from typing import get_args

import pytest

from trellis.classify import rubric as rubric_module
from trellis.classify.answers import answerer
from trellis.classify.rubric import load_rubric
from trellis.experiment.classify import Rubric
from trellis.experiment.filter import Topic


@pytest.fixture
def topics():
    rubric = load_rubric("topics")
    answer = answerer(rubric)

    def answered(text, meta=None):
        value, origin = answer(text, json.dumps(meta or {}))
        held = {name for name, holds in zip(rubric.names, value, strict=True) if holds}
        return held, {name for name, holds in zip(rubric.names, value, strict=True) if holds is None}, origin

    return answered


def test_rubrics_config_and_data_files_name_the_same():
    files = {f"rubrics/{path.name}" for path in (Path(rubric_module.__file__).parent / "rubrics").iterdir()}
    assert files == set(rubric_module.DATA_FILES) == {f"rubrics/{name}.yaml" for name in get_args(Rubric)}
    assert all(load_rubric(name).id == name for name in get_args(Rubric))
    assert load_rubric("topics").names == list(get_args(Topic))
    assert len(get_args(Topic)) == 17


def test_every_real_value_names_known_labels():
    rubric = load_rubric("topics")
    for value, filed in rubric.real.values.items():
        assert set(filed.sure + filed.open) <= set(rubric.names), value
        assert not set(filed.sure) & set(filed.open), value


def test_a_real_topic_replaces_the_heuristic_and_leaves_open_what_it_does_not_say(topics):
    text = "The patient saw a doctor at the hospital."
    assert topics(text) == ({"medicine_health"}, set(), "heuristic")
    held, unknown, origin = topics(text, {"topic": "Mathematics"})
    assert (held, origin) == ({"mathematics_statistics"}, "real")
    assert "computer_science_software_engineering" in unknown
    assert topics(text, {"topic": "People"})[2] == "heuristic"


@pytest.mark.parametrize("meta", ["", "not json", "[1]", '{"topic": 5}', '{"topic": ["Mathematics"]}', "null"])
def test_meta_that_says_nothing_is_no_label(meta):
    assert answerer(load_rubric("topics"))("the hospital and the patient", meta).origin == "heuristic"
    assert answerer(load_rubric("quality"))("def f(): pass", meta) == (None, None)


def test_keywords_count_once_and_as_whole_words(topics):
    assert topics("algebra, algebra and algebraic algebras") == (set(), set(), "heuristic")
    assert topics("ALGEBRA and Geometry")[0] == {"mathematics_statistics"}
    assert topics("preproofed lemmaless")[0] == set()


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("Paris is a city. It lies on a river.", 1),
        ("Paris is larger.", 2),
        ("Sales fell because prices rose; therefore the shop closed.", 3),
        ("If x is odd, then x + 1 is even, because two odd numbers add up; hence, next, let y be x, unless x is 0.", 4),
        ("Theorem 1. Proof: by induction on n, for all n there exists a k.", 5),
    ],
)
def test_the_complexity_heuristic_on_plain_cases(text, level):
    assert answerer(load_rubric("complexity"))(text, "{}") == (level, "heuristic")


@pytest.mark.parametrize(("said", "value"), [(7, 7.0), (0, None), (11, None), (True, None), ("7", None), (None, None)])
def test_quality_takes_only_real_levels_on_its_scale(said, value):
    answer = answerer(load_rubric("quality"))("x = 1", json.dumps({"educational": said}))
    assert answer == (value, None if value is None else "real")
