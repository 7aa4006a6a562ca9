"""Schema tasks: the instance fits, the text states it, the sides share no value, and a task depends on its seed alone."""

import json

import jsonschema
import pytest

from trellis import schema_tasks as tasks

SCHEMA = {
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "days": {"type": "integer"},
        "price": {"type": "number"},
        "open": {"type": "boolean"},
        "size": {"type": "string", "enum": ["small", "large"]},
        "guests": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["city", "days", "price", "open", "size", "guests"],
    "additionalProperties": False,
}


def draw(side, index, share=1.0):
    return tasks.make_task(SCHEMA, side, share, tasks.seeded(index))


@pytest.mark.parametrize("side", ["training", "evaluation"])
def test_every_instance_fits_its_schema_in_the_order_of_its_properties(side):
    for index in range(200):
        _, instance, _ = draw(side, index)
        jsonschema.validate(instance, SCHEMA)
        assert list(instance) == SCHEMA["required"]


def test_where_nothing_is_stated_the_answer_is_the_one_smallest_instance():
    for index in range(20):
        _, instance, stated = draw("training", index, share=0.0)
        jsonschema.validate(instance, SCHEMA)
        assert not stated
        assert instance == {"city": "", "days": 0, "price": 0, "open": False, "size": "small", "guests": []}


def test_no_word_of_a_training_value_is_a_word_of_an_evaluation_value():
    def words(side):
        instances = [draw(side, index)[1] for index in range(300)]
        texts = [text for i in instances for text in (i["city"], *i["guests"])]
        return {word for text in texts for word in text.split()}

    assert words("training") and words("evaluation")
    assert not words("training") & words("evaluation")


def test_a_stated_text_holds_every_value_and_an_unstated_one_no_text_at_all():
    for index in range(100):
        (message,), instance, stated = draw("evaluation", index, share=0.5)
        schema, *text = message["content"].split("\n")
        assert json.loads(schema) == SCHEMA and bool(text) == stated
        if stated:
            assert sorted(line.split()[0].rstrip(":") for line in text) == sorted(instance)
            for name, value in instance.items():
                (line,) = [line for line in text if line.startswith(name)]
                assert line.endswith(tasks.answer_json(value))


def test_the_share_of_stated_tasks_is_the_one_asked_for():
    stated = [draw("training", index, share=0.25)[2] for index in range(2000)]
    assert 0.21 < sum(stated) / len(stated) < 0.29


def test_a_task_is_a_function_of_its_seed():
    assert draw("training", 7) == draw("training", 7)
    assert draw("training", 7) != draw("training", 8)
