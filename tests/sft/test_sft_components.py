"""Training examples that hang together with evaluation's schemas leave, step by step; nothing else does."""

import json

import pytest

from trellis.records import write_records
from trellis.sft.components import Components


def example(name, *properties, role="user"):
    schema = {"type": "object", "properties": {key: {"type": "string"} for key in properties}}
    return {"id": name, "messages": [{"role": role, "content": json.dumps(schema)}]}


@pytest.fixture
def components(tmp_path):
    def made(least=0.5):
        schema = json.loads(example("", "a", "b", "c")["messages"][0]["content"])
        rows = [{"id": "e", "suite": "s", "text": json.dumps(schema)}, {"id": "w", "suite": "s", "text": "only words"}]
        write_records(tmp_path / "reference.jsonl", rows)
        return Components(tmp_path / "reference.jsonl", least)

    return made


def test_a_chain_of_similar_schemas_leaves_whole(components):
    found = components()
    for each in (
        example("same", "c", "b", "a"),
        example("near", "b", "c", "d", "a"),
        example("two steps away", "b", "c", "d", "e"),
        example("three", "c", "d", "e", "f"),
        example("apart", "x", "y", "z"),
        example("also same", "a", "b", "c"),
    ):
        found.add(each)
    assert found.connected() == {"same", "also same", "near", "two steps away", "three"}


def test_the_similarity_of_a_link_is_the_configs(components):
    found = components(0.8)
    found.add(example("near", "b", "c", "d", "a"))
    assert found.connected() == set()


def test_small_schemas_and_answers_link_nothing(components):
    found = components(0.3)
    found.add(example("small", "a", "b"))
    found.add(example("answer", "a", "b", "c", role="assistant"))
    assert found.connected() == set()
