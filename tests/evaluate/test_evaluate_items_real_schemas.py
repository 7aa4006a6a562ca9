"""The json_schema suite: what is left out and why, parts that mean what they meant, and tiers in turn."""

import json
import time
import zipfile

import jsonschema
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from byte_tokenizer import publish_byte_tokenizer
from publishing import made_in_another_process, publish
from trellis.address import canonical_json
from trellis.command import execute
from trellis.errors import TrellisError
from trellis.evaluate.candidates import CONSTANTS, LONGEST, TIERS, cluster, read_candidates, select, tier
from trellis.evaluate.parts import parts
from trellis.evaluate.suites.json_schema import in_turn
from trellis.evaluate.validator import validator
from trellis.experiment.evaluation import HubSchemas, WheelSchemas
from trellis.manifest import Manifest


def asking(*names, **more):
    return {
        "type": "object",
        "properties": {name: {"type": "string"} for name in names},
        "required": list(names),
    } | more


def left_out(*schemas):
    return select((str(place), schema) for place, schema in enumerate(schemas)).left_out


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        (None, "no_json"),
        ([1], "no_json"),
        (asking("a", title="x" * LONGEST), "too_long"),
        ({"$ref": "https://localhost/schema.json", **asking("a")}, "remote_reference"),
        ({"$ref": "file:///etc/passwd"}, "remote_reference"),
        (asking("a", allOf=[{"$ref": "other.json#/x"}]), "remote_reference"),
        ({"properties": {"a": {"type": "strnig"}}, "required": ["a"]}, "not_compiled"),
        ({"required": ["a"], "properties": {"a": {"pattern": "("}}}, "not_compiled"),
        ({"$ref": "#/$defs/absent"}, "not_compiled"),
        ({"$schema": "https://localhost/mine", **asking("a")}, "not_compiled"),
        ({"allOf": [{"$ref": "#"}], "required": ["a"]}, "endless"),
        *[({"enum": [constant]}, "constant") for constant in CONSTANTS],
        ({"properties": {"a": {"type": "string"}}}, "constant"),
        ({"type": "array", "items": {"type": "object"}}, "constant"),
    ],
)
def test_what_makes_no_question_is_left_out(schema, reason):
    assert left_out(schema) == {reason: 1}


def test_the_empty_answer_is_counted_over_all_that_compile():
    made = select([("a", asking("a")), ("b", {"type": "object"}), ("c", {"type": "array"}), ("d", {"type": 3})])
    assert (made.compiled, made.empty_fits) == (3, 1)
    assert [each.id for each in made.kept] == ["a"]


def test_a_schema_that_says_the_same_in_other_words_is_a_duplicate():
    one = asking(
        "a", description="first", properties={"a": {"type": "string", "title": "A"}, "title": {"type": "null"}}
    )
    two = asking("a", title="second", properties={"title": {"type": "null"}, "a": {"type": "string"}})
    other = asking("a", properties={"a": {"type": "string"}})
    made = select([("one", one), ("two", two), ("other", other)])
    assert [each.id for each in made.kept] == ["one", "other"] and made.left_out == {"duplicate": 1}


def test_schemas_that_share_half_of_their_properties_are_one_cluster_and_so_are_their_friends():
    sets = ["abcd", "abce", "xyz", "bcef", "cefg", "xyq12"]
    assert cluster([asking(*names) for names in sets]) == [0, 0, 2, 0, 0, 5]
    assert cluster([asking("a"), asking("a", properties={"a": {"type": "number"}})]) == [0, 1], "types count"


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sets(st.sampled_from("abcdefgh"), min_size=1), min_size=1, max_size=12))
def test_clusters_are_the_connected_components(sets):
    first = cluster([asking(*sorted(names)) for names in sets])
    reached = [{place} for place in range(len(sets))]
    for _ in sets:
        for here in range(len(sets)):
            for there in range(len(sets)):
                if any(len(sets[a] & sets[b]) / len(sets[a] | sets[b]) >= 0.5 for a in reached[here] for b in [there]):
                    reached[here] |= {there} | reached[there]
    assert first == [min(each) for each in reached]


DOCUMENT = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "title": "A build",
    "type": "object",
    "definitions": {
        "step": {
            "type": "object",
            "description": "One step",
            "properties": {
                "run": {"$ref": "#/definitions/words", "minLength": 99},
                "next": {"$ref": "#/definitions/step"},
                "enum": {"enum": ["properties", {"$ref": "x"}], "markdownDescription": "no"},
            },
            "required": ["run"],
            "x-internal": {"properties": {"no": {}}},
        },
        "words": {"type": "string", "minLength": 1, "default": "true"},
        "old": {"type": "object", "properties": {"a": {"items": [{"type": "string"}]}}, "required": ["a"]},
        "remote": {"type": "object", "properties": {"a": {"$ref": "http://localhost/x"}}},
        "lost": {"type": "object", "properties": {"a": {"$ref": "#/definitions/nowhere"}}},
    },
    "properties": {"a/b": {"type": "object", "properties": {"~": {"type": "integer"}}, "required": ["~"]}},
    "required": ["a/b"],
}


def test_parts_stand_by_themselves_and_mean_what_they_meant():
    found = dict(parts(DOCUMENT, 2_000))
    assert set(found) == {"", "/definitions/step", "/properties/a~1b"}
    step = found["/definitions/step"]
    assert step == {
        "type": "object",
        "properties": {
            "run": {"$ref": "#/$defs/words"},
            "next": {"$ref": "#/$defs/step"},
            "enum": {"enum": ["properties", {"$ref": "x"}]},
        },
        "required": ["run"],
        "$defs": {"words": {"type": "string", "minLength": 1}, "step": {k: v for k, v in step.items() if k != "$defs"}},
    }
    whole = {**DOCUMENT["definitions"]["step"], "$schema": DOCUMENT["$schema"], "definitions": DOCUMENT["definitions"]}
    for instance in ({"run": "x"}, {"run": ""}, {}, {"run": "x", "next": {"run": ""}}, {"run": "x", "enum": 1}, 3):
        old = jsonschema.Draft7Validator(whole).is_valid(instance)
        assert validator(step).is_valid(instance) == old, instance


def test_a_part_that_grows_without_end_is_left_out_at_once():
    wide = {
        "definitions": {
            f"d{i}": {"properties": {f"p{j}": {"$ref": f"#/definitions/d{j}"} for j in range(500)}} for i in range(500)
        }
    }
    start = time.monotonic()
    assert list(parts(wide, 1_000)) == []
    assert time.monotonic() - start < 5


@pytest.fixture
def origin(tmp_path):
    """A wheel with DOCUMENT, a text that is no JSON, and twelve schemas of rising size."""
    wheel = tmp_path / "wheel" / "real_schemas-1-py3-none-any.whl"
    wheel.parent.mkdir()
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("real/build.json", json.dumps(DOCUMENT))
        archive.writestr("real/broken.json", "{" * 100_000)
        for size in range(1, 13):
            archive.writestr(f"real/s{size}.json", json.dumps(asking(*(f"name{size}x{i}" for i in range(size * 3)))))
    publish(wheel.parent, "download", "wheel", "real-schemas", metrics={"package": "real-schemas"})
    return {"kind": "wheel", "package": "real-schemas", "members": ["real/*.json"]}, wheel.parent


def test_a_wheel_gives_its_documents_and_their_parts(origin):
    section, folder = origin
    found = read_candidates([WheelSchemas.model_validate(section)], [Manifest.read(folder)], [])
    assert found.left_out == {"no_json": 1}
    assert {each.id for each in found.kept} == {
        *(f"real-schemas:real/build.json#{part}" for part in ("", "/definitions/step", "/properties/a~1b")),
        *(f"real-schemas:real/s{size}.json#" for size in range(1, 13)),
    }
    missing = WheelSchemas.model_validate(section | {"members": ["real/absent.json"]})
    with pytest.raises(TrellisError, match="real_schemas-1.* holds no real/absent.json"):
        read_candidates([missing], [Manifest.read(folder)], [])


def test_a_repository_gives_a_schema_a_file_or_a_row(tmp_path):
    files = tmp_path / "files"
    (files / "a").mkdir(parents=True)
    (files / "a/one.json").write_text(json.dumps(asking("one")))
    (files / "bad.json").write_bytes(b"\xff\xfe{")
    rows = [json.dumps(asking("two", description="kept")), "no schema", None]
    pa.parquet.write_table(pa.table({"json_schema": rows, "unique_id": ["a", "b", "c"]}), files / "rows.parquet")
    lines = [
        json.dumps({"json_schema": json.dumps(asking("three"))}),
        "no row",
        json.dumps({"json_schema": asking("x")}),
    ]
    (files / "rows.jsonl").write_text("\n".join(lines))
    fetched = Manifest.read(publish(tmp_path, "download", "hub", "set", metrics={"repo": "datasets/who/set"}))
    section = HubSchemas(kind="hub", repo="who/set", files=["**"])
    found = read_candidates([section], [], [fetched])
    assert [each.id for each in found.kept] == [
        "set:a/one.json",
        "set:rows.jsonl:0",
        "set:rows.jsonl:2",
        "set:rows.parquet:0",
    ]
    assert found.kept[-1].schema["description"] == "kept"
    assert found.left_out == {"no_json": 4}
    pa.parquet.write_table(pa.table({"schema": rows}), files / "rows.parquet")
    with pytest.raises(TrellisError, match="rows.parquet cannot be read as rows with a column json_schema"):
        read_candidates([section], [], [fetched])


def test_tiers_take_turns_and_clusters_within_them():
    schemas = [asking(*(f"n{size}_{copy}_{i}" for i in range(size))) for size in (1, 9, 18) for copy in range(4)]
    schemas += [asking("n1_0_0", minProperties=k) for k in (1, 2, 3)]
    made = select((str(place), schema) for place, schema in enumerate(schemas))
    order = in_turn(made.kept, 42)
    assert sorted(order) == sorted(made.kept)
    assert [each.tier for each in order[:6]] == ["to_250", "to_500", "to_1000"] * 2
    small = [each.cluster for each in order if each.tier == "to_250"]
    assert len(set(small[:4])) == 4 and len(set(small[4:])) == 1, "one of each cluster first"
    assert in_turn(made.kept, 42) == order != in_turn(made.kept, 43)
    assert [tier({"const": "x" * (bound - 12)}) for bound in TIERS.values()] == list(TIERS)


def test_the_suite_takes_as_many_as_are_asked_for_and_grows(make_spec, origin, tmp_path):
    section, folder = origin
    pool = tmp_path / "pool"
    pool.mkdir()
    row = {"schema_id": "t-0", "cluster": "t-0", "stratum": "flat", "origin": [], "schema": asking("t")}
    (pool / "training.jsonl").write_text(json.dumps(row) + "\n")
    inputs = {
        "schemas": [publish(pool)],
        "tokenizer": [publish_byte_tokenizer(tmp_path / "tokens")],
        "wheels": [folder],
    }

    def make(count, room=2_000):
        suite = {"kind": "json_schema", "origins": [section], "items": count, "seed": 42}
        config = {"name": "real", "suite": suite, "text_share": 1.0, "template": "plain", "room": room, "shots": 2}
        config["max_new_tokens"] = 512
        spec = make_spec("evaluate", "items", "real", config, inputs)
        made = execute(spec, tmp_path / "made")
        return spec, made, [json.loads(line) for line in made.path("items.jsonl").read_text().splitlines()]

    spec, made, items = make(10)
    assert len(items) == 10 and {item["split"] for item in items} == {"unseen"}
    assert all(item["gold"] is item["answer"] is None and item["kind"] == "json_schema" for item in items)
    assert all(json.loads(item["messages"][0]["content"]) == item["schema"] for item in items)
    assert made.metrics["splits"] == {"unseen": {"items": 10, "clusters": 9, "with_gold": 0}}
    assert made.metrics["baselines"] == {
        **{"{}": 0.0, "{} before the filter": 0.0, "any of a dozen constants before the filter": 0.0}
    }
    shots = [json.loads(line) for line in made.path("shots.jsonl").read_text().splitlines()]
    assert [shot["answer"] for shot in shots] == ['{"t":""}'] * 2
    other = made_in_another_process(spec, tmp_path / "other", "7")
    assert other == {file.path: file.sha256 for file in made.files}
    assert make(4)[2] == items[:4]
    with pytest.raises(
        TrellisError, match=r"evaluation\.suites\.real: 10 items are asked for, and \d have a prompt of"
    ):
        make(10, room=300)


@pytest.mark.wheels
def test_real_schemas_of_the_demo(wheel, tmp_path):
    """check-jsonschema's: `{}` satisfies more than a third of what compiles, and no constant any that is kept."""
    folder = tmp_path / "wheel"
    folder.mkdir()
    (folder / wheel("check-jsonschema").name).symlink_to(wheel("check-jsonschema"))
    made = publish(folder, "download", "wheel", "check-jsonschema", metrics={"package": "check-jsonschema"})
    section = WheelSchemas(
        kind="wheel", package="check-jsonschema", members=["check_jsonschema/builtin_schemas/vendor/*.json"]
    )
    start = time.monotonic()
    found = read_candidates([section], [Manifest.read(made)], [])
    assert time.monotonic() - start < 60
    assert len(found.kept) > 250 and len({each.cluster for each in found.kept}) > 140
    assert found.empty_fits / found.compiled > 1 / 3
    assert len({each.id for each in found.kept}) == len({canonical_json(each.schema) for each in found.kept})
    for each in found.kept:
        reference = jsonschema.Draft202012Validator(each.schema)
        reference.check_schema(each.schema)
        assert not any(reference.is_valid(constant) for constant in CONSTANTS), each.id
