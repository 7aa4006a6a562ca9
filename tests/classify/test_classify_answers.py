"""Rubrics and their answers: real labels first, heuristics by their own rules, nothing made up."""

import json
from pathlib import Path
from typing import get_args

import pytest

from trellis.classify import rubric as rubric_module
from trellis.classify.answers import real_answer
from trellis.classify.labellers.heuristic import heuristic
from trellis.classify.prompt import answer_schema, longest_answer, read_answer
from trellis.classify.rubric import load_rubric
from trellis.experiment.classify import Rubric
from trellis.experiment.filter import Topic

RUBRICS = get_args(Rubric)


@pytest.fixture
def topics():
    """topics(text) -> the labels that the heuristic holds."""
    rubric = load_rubric("topics")
    answer = heuristic(rubric)
    return lambda text: {name for name, holds in zip(rubric.names, answer(text), strict=True) if holds}


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


def test_a_real_topic_leaves_open_what_it_does_not_say():
    rubric = load_rubric("topics")
    said = dict(zip(rubric.names, real_answer(rubric)({"topic": "Mathematics"}), strict=True))
    assert said["mathematics_statistics"] is True and said["medicine_health"] is False
    assert said["computer_science_software_engineering"] is None
    assert real_answer(rubric)({"topic": "People"}) is None


@pytest.mark.parametrize("meta", [{}, {"topic": 5}, {"topic": ["Mathematics"]}, {"topic": None}, {"educational": "7"}])
@pytest.mark.parametrize("name", RUBRICS)
def test_meta_that_says_nothing_is_no_label(name, meta):
    assert real_answer(load_rubric(name))(meta) is None


@pytest.mark.parametrize("name", RUBRICS)
@pytest.mark.parametrize("text", ["", " ", "x", "\0", "é" * 3000, "a_" * 3000, "*" * 500])
def test_every_heuristic_answers_every_text_on_its_scale(name, text):
    rubric = load_rubric(name)
    value = heuristic(rubric)(text)
    if rubric.scale == "multi_label":
        assert len(value) == 17 and set(value) <= {True, False}
    else:
        assert value in (rubric.levels if rubric.scale == "ordinal" else range(9))


@pytest.mark.parametrize("name", RUBRICS)
def test_the_schema_is_closed_and_takes_exactly_the_scale(name):
    """Within what strict structured output allows: all keys required, none besides."""
    rubric = load_rubric(name)
    schema = answer_schema(rubric)
    assert schema["required"] == list(schema["properties"]) and schema["additionalProperties"] is False
    assert read_answer(rubric, longest_answer(rubric)).reason is None
    if rubric.scale == "multi_label":
        assert read_answer(rubric, json.dumps(dict.fromkeys(rubric.names, True))).value == [True] * 17
        assert read_answer(rubric, json.dumps(dict.fromkeys(rubric.names[1:], True))).reason == "schema"
        return
    key, values = ("level", sorted(rubric.levels)) if rubric.scale == "ordinal" else ("class", rubric.names)
    read = [read_answer(rubric, json.dumps({key: value})) for value in values]
    assert [reading.value for reading in read] == (values if key == "level" else list(range(9)))
    for wrong in ({key: 99}, {key: None}, {}, {key: values[0], "more": 1}, [values[0]], values[0]):
        assert read_answer(rubric, json.dumps(wrong))[:2] == (None, "schema")


@pytest.mark.parametrize("name", RUBRICS)
def test_every_rubric_says_what_a_model_needs(name):
    rubric = load_rubric(name)
    assert rubric.prompt.instructions.count("{scale}") == 1 and rubric.prompt.document.count("{text}") == 1
    assert rubric.prompt.document.count("{mark}") == 3 and "JSON" in rubric.prompt.instructions
    assert all(rubric.meanings.values()) and len(rubric.meanings) == len(rubric.names) == len(set(rubric.names))


def test_keywords_count_once_and_as_whole_words(topics):
    assert topics("The patient saw a doctor at the hospital.") == {"medicine_health"}
    assert topics("algebra, algebra and algebraic algebras") == set()
    assert topics("ALGEBRA and Geometry") == {"mathematics_statistics"}
    assert topics("preproofed lemmaless") == set()


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
    assert heuristic(load_rubric("complexity"))(text) == level


CLEAN = '''
def mean(values: list[float]) -> float:
    """The mean.

    Args:
        values: at least one number
    Returns:
        a float
    """
    # An empty list has no mean.
    if not values:
        raise ValueError("no values")
    return sum(values) / len(values)

class Running:
    """A running mean."""
    def __init__(self) -> None:
        # Sum and count.
        self.total: float = 0.0
        self.count: int = 0
    def add(self, value: float) -> float:
        assert value == value
        return self.total
'''


@pytest.mark.parametrize(
    ("rubric", "text", "value"),
    [
        ("code_quality", "asdf jkl", 1),
        ("code_quality", "def f(x): return g(x)", 2),
        ("code_quality", "# Adds one.\ndef f(x):\n    return x + 1", 3),
        ("code_quality", CLEAN, 5),
        ("structured_data", "for i in range(9): print(i * i)", 0),
        ("structured_data", "x = csv_path", 1),
        ("structured_data", "import json\nrow = json.loads(line)\nvalidate(row, schema)", 2),
        ("structured_data", "create table a (id int primary key); create table b (column_c int, foreign key d)", 2),
        (
            "structured_data",
            "class UserSchema(BaseModel): ...\ndef parse_user(response): return json.loads(response)\n"
            "def dump_user(record): return json.dumps(serialize_record(record))\nschema = load_schema(endpoint)",
            3,
        ),
        ("content_type", "# Code generated by protoc. DO NOT EDIT.\ndef f(): return 1", "generated"),
        ("content_type", "import pytest\ndef test_f():\n    assert f() == 1\n    assert g() == 2", "test"),
        ("content_type", "def f():\n    return 1\ndef g():\n    return 2", "library"),
        ("content_type", "parser = argparse.ArgumentParser()\ndef main(argv): ...\nmain()", "application"),
        ("content_type", "import os\nfor name in names: print(name)", "script"),
        ("content_type", "insert into a values (1); insert into a values (2);", "data"),
        ("content_type", "qwertz", "other"),
    ],
)
def test_the_code_heuristics_on_plain_cases(rubric, text, value):
    rubric = load_rubric(rubric)
    answer = heuristic(rubric)(text)
    assert (rubric.names[answer] if rubric.scale == "classes" else answer) == value


@pytest.mark.parametrize(
    ("said", "value"),
    [
        (1, 1.0),
        (4, 2.0),
        (7, 4.0),
        (10, 5.0),
        (0, None),
        (11, None),
        (True, None),
        ("7", None),
        (7.5, None),
        (None, None),
    ],
)
def test_a_score_of_the_source_becomes_a_level_by_the_table(said, value):
    assert real_answer(load_rubric("code_quality"))({"educational": said}) == value


def test_the_table_and_the_rules_stay_on_their_scales():
    real = load_rubric("code_quality").real.levels
    assert list(real) == list(range(1, 11)) and list(real.values()) == sorted(real.values())
    for name in RUBRICS:
        rubric = load_rubric(name)
        if rubric.scale == "ordinal":
            kinds = {kind for needs in rubric.heuristic.needs.values() for need in needs for kind in need.of}
            assert rubric.heuristic.needs.keys() == rubric.levels.keys() - {min(rubric.levels)}
            assert kinds <= rubric.heuristic.cues.keys()
    kinds = load_rubric("content_type")
    assert {*kinds.heuristic.order, kinds.heuristic.otherwise} == set(kinds.names)
