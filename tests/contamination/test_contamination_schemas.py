"""Planted schemas are found in any order, layout and language of types, with some or all names changed; others are not."""

import json
import random

import pytest

from trellis.address import canonical_json
from trellis.contamination import Reference
from trellis.contamination.schemas import find_schemas
from trellis.experiment.decontamination import Decontamination

TICKET = {
    "type": "object",
    "properties": {
        "departure_station": {"type": "string", "description": "Where the train leaves."},
        "arrival_station": {"type": "string"},
        "travel_class": {"type": "string", "enum": ["standard", "comfort", "first"]},
        "passengers": {"type": "integer", "minimum": 1, "maximum": 9},
        "discount_card": {"type": "string", "enum": ["none", "half", "quarter"]},
        "seat_reserved": {"type": "boolean"},
    },
    "required": ["departure_station", "arrival_station"],
    "additionalProperties": False,
}


def found_in(text, *schemas, **rules):
    records = [
        {"id": str(i), "suite": "s", "text": each if isinstance(each, str) else canonical_json(each)}
        for i, each in enumerate(schemas)
    ]
    (hit,) = Reference(records, Decontamination(**rules)).hits([text])
    return (hit.id, hit.how) if hit else None


def renamed(schema, names):
    return {**schema, "properties": {names.get(k, k): v for k, v in schema["properties"].items()}}


def turned(value):
    """Every key in another order, and with words for people."""
    if isinstance(value, list):
        return [turned(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {key: turned(value[key]) for key in sorted(value, reverse=True)}


def described(schema):
    properties = {name: {**spec, "description": f"Another {name}."} for name, spec in schema["properties"].items()}
    return {**schema, "title": "Ticket", "properties": properties, "required": ["arrival_station"]}


@pytest.mark.parametrize("indent", [None, 2])
def test_order_layout_and_descriptions_hide_nothing(indent):
    text = f"Here is it:\n```json\n{json.dumps(turned(described(TICKET)), indent=indent)}\n```\nand {{more}}"
    assert found_in(text, "unrelated", TICKET) == ("1", "schema")


def test_one_new_name_in_six_is_seen_by_the_others():
    text = json.dumps(turned(renamed(TICKET, {"seat_reserved": "window_seat"})))
    assert found_in(text, TICKET, schema_similarity=0.7) == ("0", "structure")
    changed = renamed(TICKET, {"seat_reserved": "window_seat"})
    changed["properties"]["passengers"] = {"type": "integer"}
    assert found_in(json.dumps(turned(changed)), TICKET, schema_similarity=0.7) == ("0", "names")
    assert found_in(json.dumps(turned(changed)), TICKET) is None


def test_a_schema_with_all_keys_renamed_is_seen_by_its_structure():
    text = json.dumps(turned(renamed(TICKET, {name: f"feld_{i}" for i, name in enumerate(TICKET["properties"])})))
    assert found_in(text, TICKET) == ("0", "structure")
    assert found_in(text, TICKET, schema_bits=200) is None


def test_spelling_and_dialect_of_types_are_one():
    text = json.dumps(renamed(TICKET, {"departure_station": "departureStation", "seat_reserved": "SeatReserved"}))
    assert found_in(text.replace('"integer"', '"long"').replace('"boolean"', '"Bool"'), TICKET) is not None


def test_a_schema_inside_another_and_inside_a_string_is_found():
    outer = {"openapi": "3.1", "components": {"schemas": {"Other": {"properties": {"a": {}}}, "Ticket": TICKET}}}
    assert found_in(json.dumps(outer), TICKET) == ("0", "schema")
    assert found_in(json.dumps({"tools": json.dumps([{"name": "book", "parameters": TICKET}])}), TICKET) is not None
    cut = json.dumps({"first": TICKET, "second": outer})[:-40]
    assert found_in(f"config = {cut}", TICKET) == ("0", "schema")


def test_an_inner_schema_of_the_evaluation_is_not_looked_for():
    inner = {
        "properties": {"latitude": {"type": "number"}, "longitude": {"type": "number"}, "altitude": {"type": "number"}}
    }
    assert found_in(json.dumps(inner), {"properties": {"place": inner, **TICKET["properties"]}}) is None
    assert found_in(json.dumps(inner), inner) == ("0", "schema")


def tool(name, **properties):
    return json.dumps({"name": name, "description": "It.", "parameters": {"type": "dict", "properties": properties}})


def test_a_small_tool_is_told_by_its_name():
    area = tool("calculate_triangle_area", base={"type": "integer"}, height={"type": "integer"})
    other = tool("rectangle_to_polygon", base={"type": "integer"}, height={"type": "integer"})
    same = area.replace("It.", "Area of a triangle from base and height.").replace("dict", "object")
    assert found_in(f"<tools>{same}</tools>", area) == ("0", "schema")
    assert found_in(f"<tools>{other}</tools>", area) is None


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"query": {"type": "string"}}},
        {"properties": {"id": {"type": "integer"}, "name": {"type": "string"}}},
        {"properties": {}},
    ],
)
def test_tiny_schemas_are_no_evidence(schema):
    record = {"id": "0", "suite": "s", "text": canonical_json(schema)}
    reference = Reference([record], Decontamination())
    assert reference.schemas == 0
    assert reference.hits([json.dumps(turned({**schema, "type": "object"}))]) == [None]


def test_flat_schemas_of_plain_types_do_not_match_each_other():
    rng = random.Random(1)

    def flat(side):
        kinds = rng.choices(["string", "integer", "number", "boolean"], k=rng.randint(3, 12))
        return {"properties": {f"{side}{rng.randrange(10**6)}": {"type": kind} for kind in kinds}}

    reference = [{"id": str(i), "suite": "s", "text": canonical_json(flat("eval"))} for i in range(300)]
    hits = Reference(reference, Decontamination()).hits([json.dumps(flat("web")) for _ in range(300)])
    assert not any(hits)


ODD = [
    '{"properties": {"a": ',
    '"properties": {}',
    '}}}} "properties": {{{{',
    '{"properties": {"a": {"minimum": NaN, "enum": [Infinity, null, {"b": 1}]}}}',
    '{"properties": {"a": 1, "b": [2], "c": {"type": ["string", 3, {}]}}, "required": 7, "enum": 5, "pattern": 9}',
    '{"properties":' * 3000,
    '{"properties": {"a": ' * 300 + "{}" + "}}" * 300,
    '{"a":' * 40_000 + '{"properties": {}}',
    '{"properties": {"n": {"const": 1' + "0" * 5000 + "}}}",
    '\\"properties\\": {',
    '{\\"properties\\": {\\"\\ud800\\": {}}}',
    "\0{\0",
]


@pytest.mark.parametrize("text", ODD, ids=range(len(ODD)))
def test_odd_texts_stop_nothing(text):
    for schema in find_schemas(text):
        assert schema.exact(0) and schema.structure and schema.bits >= 0 and schema.properties is not None
    assert found_in(text, TICKET) is None
    assert found_in(json.dumps(TICKET), text, TICKET) == ("1", "schema")
