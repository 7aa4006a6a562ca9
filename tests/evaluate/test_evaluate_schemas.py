"""The split: real names on one side only, index-stable schemas, and a vocabulary too small is said."""

import json
import zipfile
from pathlib import Path

import jsonschema
import pytest

from publishing import made_in_another_process, publish
from trellis.command import execute
from trellis.contamination import Reference
from trellis.errors import TrellisError
from trellis.evaluate import schemas as evaluate_schemas
from trellis.evaluate.schemas import limit_names
from trellis.evaluate.validator import validator
from trellis.evaluate.vocabulary import HELD_OUT_CATEGORIES, TRAINING_CATEGORIES, plain, read_vocabulary
from trellis.experiment.decontamination import Decontamination
from trellis.experiment.evaluation import SchemaPool
from trellis.experiment.whole import load_experiment
from trellis.records import read_records
from trellis.schema_tasks import make_task, seeded

ROOT = Path(__file__).parents[2]
POOL = {
    "packages": ["bfcl-eval", "cfn-lint"],
    "training": 20,
    "held_out": 10,
    "training_names": 50,
    "properties": [1, 2],
}


def entry(key, **properties):
    return {
        "id": key,
        "question": [[{"role": "user", "content": f"Question {key}?"}]],
        "function": [
            {"name": "f", "description": "Does it.", "parameters": {"type": "dict", "properties": properties}}
        ],
    }


@pytest.fixture
def wheels(tmp_path):
    """Two wheels in the real shape: names t* to train on, h* to hold out, and `sharedName` in two spellings on both."""
    bfcl = tmp_path / "bfcl" / "bfcl_eval-1-py3-none-any.whl"
    cfn = tmp_path / "cfn" / "cfn_lint-1-py3-none-any.whl"
    for path in (bfcl, cfn):
        path.parent.mkdir()
    with zipfile.ZipFile(bfcl, "w") as archive:
        for side, categories in (("t", TRAINING_CATEGORIES), ("h", HELD_OUT_CATEGORIES)):
            for number, category in enumerate(categories):
                shared = "shared_name" if side == "t" else "sharedName"
                properties = {
                    f"{side}_int{number}": {"type": "integer"},
                    f"{side}_num{number}": {"type": "float"},
                    f"{side}_list{number}": {"type": "array", "items": {"type": "String"}},
                    f"{side}_enum{number}": {"type": "string", "enum": ["a", "b", 3, "c", "d", "e"]},
                    shared: {"type": "boolean"},
                    f"{side}_object": {"type": "dict", "properties": {f"{side}_inner{number}": {"type": "boolean"}}},
                    "no identifier!": {"type": "string"},
                }
                lines = [json.dumps(entry(f"{category}_{i}", **properties)) for i in range(2)]
                archive.writestr(f"bfcl_eval/data/BFCL_v4_{category}.json", "\n".join(lines))
    with zipfile.ZipFile(cfn, "w") as archive:
        resource = {
            "typeName": "AWS::X::Y",
            "properties": {"H_Int0": {"type": "integer"}, "TName": {"type": "string"}, "AnyType": {}},
            "definitions": {
                "D": {"properties": {"TDeep": {"type": "boolean"}, "AVeryLongNameOfAProperty": {"type": "string"}}}
            },
        }
        archive.writestr("cfnlint/data/schemas/resources/0a.json", json.dumps(resource))
    for path, package in ((bfcl, "bfcl-eval"), (cfn, "cfn-lint")):
        publish(path.parent, "download", "wheel", package, metrics={"package": package})
    return {"bfcl-eval": bfcl, "cfn-lint": cfn}


@pytest.fixture
def make_schemas(make_spec, wheels, tmp_path):
    def make(name="schemas", **changes):
        inputs = {"wheels": [path.parent for path in wheels.values()]}
        config = {"schemas": POOL | changes, "origins": [], "component": 0.5}
        manifest = execute(make_spec("evaluate", "schemas", name, config, inputs), tmp_path / name)
        rows = {file.stem: [json.loads(line) for line in file.read_text().splitlines()] for file in manifest.paths("")}
        return manifest, rows

    return make


def test_a_name_on_both_sides_in_any_spelling_is_on_neither(wheels):
    vocabulary = read_vocabulary(wheels, 20)
    training, held_out = (
        {plain(p.name) for properties in side.values() for p in properties}
        for side in (vocabulary.training, vocabulary.held_out)
    )
    assert "sharedname" not in training | held_out
    assert "hint0" not in training | held_out, "cfn-lint's H_Int0 is bfcl's h_int0"
    assert {"tname", "tdeep", "tinner0", "tlist3"} <= training
    assert {"hnum0", "henum8", "hinner1"} <= held_out
    assert not training & held_out


def test_types_become_json_schema_and_unusable_properties_are_left(wheels):
    vocabulary = read_vocabulary(wheels, 20)
    found = {p.name: p.spec for properties in vocabulary.training.values() for p in properties}
    assert found["t_num0"] == {"type": "number"}
    assert found["t_list0"] == {"type": "array", "items": {"type": "string"}}
    assert found["t_enum0"] == {"type": "string", "enum": ["a", "b", "c"]}
    assert not {"no identifier!", "AnyType", "t_object", "AVeryLongNameOfAProperty"} & set(found)


def test_no_held_out_name_is_in_a_training_schema(make_schemas):
    _, rows = make_schemas()
    names = {
        side: {plain(name) for row in rows[side] for name in row["schema"]["properties"]}
        for side in ("training", "held_out")
    }
    assert len(names["training"]) > 10 and len(names["held_out"]) > 5
    assert not names["training"] & names["held_out"]
    assert not {row["schema_id"] for row in rows["training"]} & {row["schema_id"] for row in rows["held_out"]}


STRATA = ["flat", "nested", "arrays", "optional", "conditional", "adversarial"]


def test_no_held_out_name_is_on_the_training_side_in_any_stratum(make_schemas):
    """Those of objects, of arrays and inside branches included."""
    _, rows = make_schemas(training=24, held_out=12, training_strata=STRATA, held_out_strata=STRATA, properties=[2, 3])
    names = {side: [_names(row["schema"]) for row in rows[side]] for side in ("training", "held_out")}
    held_out = set().union(*names["held_out"])
    assert len(held_out) > 10
    for row, used in zip(rows["training"], names["training"], strict=True):
        assert not used & held_out, row["stratum"]
    assert [row["stratum"] for row in rows["held_out"]] == STRATA * 2


def _names(node):
    """Every key of every `properties`, however deep."""
    if isinstance(node, list):
        return set().union(*map(_names, node))
    if not isinstance(node, dict):
        return set()
    own = {plain(name) for name in node.get("properties", ())}
    return own.union(*map(_names, node.values()))


def test_the_strata_are_taken_in_turn_and_counted(make_schemas):
    manifest, rows = make_schemas(training_strata=["flat", "nested"], held_out_strata=["arrays"])
    assert [row["stratum"] for row in rows["training"]] == ["flat", "nested"] * 10
    assert manifest.metrics["training"]["strata"] == {"flat": 10, "nested": 10}
    assert manifest.metrics["held_out"]["strata"] == {"arrays": 10}


def test_every_stratum_grows_without_changing_what_was_there(make_schemas):
    changes = {"training_strata": STRATA, "held_out_strata": STRATA, "properties": [2, 3]}
    _, small = make_schemas("small", **changes)
    _, large = make_schemas("large", training=40, held_out=15, **changes)
    assert large["training"][:20] == small["training"] and large["held_out"][:10] == small["held_out"]


def test_a_side_without_an_enum_cannot_be_conditional(wheels):
    by_kind = read_vocabulary(wheels, 20).training | {"enum": []}
    pool = SchemaPool.model_validate(POOL)
    with pytest.raises(TrellisError, match=r"evaluation\.schemas\.training_strata: no enum .* conditional needs one"):
        list(evaluate_schemas.make_schemas("training", by_kind, 3, ["flat", "conditional"], pool))


def test_schemas_are_closed_valid_and_no_two_have_the_same_properties(make_schemas):
    _, rows = make_schemas()
    for side in ("training", "held_out"):
        for row in rows[side]:
            jsonschema.Draft202012Validator.check_schema(row["schema"])
            assert list(row["schema"]["properties"]) == row["schema"]["required"]
            assert row["schema"]["additionalProperties"] is False
        sets = [frozenset(row["schema"]["properties"]) for row in rows[side]]
        assert len(set(sets)) == len(sets)


def test_a_larger_pool_begins_with_the_smaller_one(make_schemas):
    _, small = make_schemas("small")
    _, large = make_schemas("large", training=40, held_out=15)
    assert large["training"][:20] == small["training"] and large["held_out"][:10] == small["held_out"]


def test_the_reference_holds_every_held_out_schema_every_question_and_every_function(make_schemas):
    manifest, rows = make_schemas()
    texts = {row["id"]: row["text"] for row in rows["reference"]}
    functions = {key: json.loads(text) for key, text in texts.items() if key.endswith(":f")}
    assert functions["live_simple_0:f"]["parameters"]["properties"]["h_num3"] == {"type": "number"}
    for row in rows["held_out"]:
        assert json.loads(texts[row["schema_id"]]) == row["schema"]
    assert texts["live_simple_1"] == "Question live_simple_1?"
    # Both questions of a category have the same function; those in Java and JavaScript are no items.
    assert len(functions) == 11
    assert len(texts) == 10 + 2 * 13 + 11 == manifest.metrics["reference_texts"]


def test_names_are_limited_evenly_over_kinds_with_function_definitions_first(wheels):
    limited = limit_names(read_vocabulary(wheels, 20).training, 13, seed=1)
    assert sum(map(len, limited.values())) == 13
    assert {len(properties) for kind, properties in limited.items() if kind != "string"} <= {2, 3, 4}
    assert all(p.origin != "cfn-lint" for p in limited["boolean"])


def test_too_many_schemas_for_the_names_is_said(make_schemas):
    with pytest.raises(TrellisError, match=r"evaluation\.schemas\.training: 500 schemas cannot be made of 10 names"):
        make_schemas(training=500, training_names=10)


def test_another_process_gives_the_same_bytes(make_spec, make_schemas, wheels, tmp_path):
    """Whatever order it gives its sets."""
    changes = {"training_strata": STRATA, "held_out_strata": STRATA, "properties": [2, 3]}
    manifest, _ = make_schemas(**changes)
    inputs = {"wheels": [path.parent for path in wheels.values()]}
    spec = make_spec(
        "evaluate", "schemas", "schemas", {"schemas": POOL | changes, "origins": [], "component": 0.5}, inputs
    )
    hashes = made_in_another_process(spec, tmp_path / "other", "7")
    assert hashes == {file.path: file.sha256 for file in manifest.files}


def test_the_same_spec_gives_the_same_bytes(make_schemas):
    assert [f.sha256 for f in make_schemas("a")[0].files] == [f.sha256 for f in make_schemas("b")[0].files]


@pytest.mark.wheels
def test_the_real_wheels_give_the_counted_names(wheel):
    vocabulary = read_vocabulary({package: wheel(package) for package in ("bfcl-eval", "cfn-lint")}, 20)
    assert len(vocabulary.questions) == 3641, "BFCL's single-turn items"
    held_out = [p for properties in vocabulary.held_out.values() for p in properties]
    training = [p for properties in vocabulary.training.values() for p in properties]
    assert len(held_out) > 1000 and len(training) > 5000
    assert all(p.origin.startswith("bfcl-eval:") for p in held_out)
    assert not {plain(p.name) for p in held_out} & {plain(p.name) for p in training}


@pytest.mark.wheels
def test_the_study_gets_its_pool(wheel, make_spec, tmp_path):
    """The pool of trellis-506m: every schema of every stratum compiles, takes its own gold, and shares no name with the
    other side; nothing of the training side gives a held-out schema away."""
    experiment = load_experiment(ROOT / "config/experiments/trellis-506m.yaml")
    inputs = {"wheels": []}
    for package in ("bfcl-eval", "cfn-lint"):
        folder = tmp_path / package
        folder.mkdir()
        (folder / wheel(package).name).symlink_to(wheel(package))
        inputs["wheels"].append(publish(folder, "download", "wheel", package, metrics={"package": package}))
    config = {"schemas": experiment.evaluation.schemas, "origins": [], "component": 0.5}
    made = execute(make_spec("evaluate", "schemas", "schemas", config, inputs), tmp_path / "out")
    sides = {side: list(read_records(made.path(f"{side}.jsonl"))) for side in ("training", "held_out")}
    assert len(sides["held_out"]) >= 500 and set(made.metrics["held_out"]["strata"]) == set(STRATA)
    assert not set().union(*(_names(r["schema"]) for r in sides["training"])) & set().union(
        *(_names(r["schema"]) for r in sides["held_out"])
    )
    for row in sides["held_out"]:
        checks = validator(row["schema"])
        _, gold, _ = make_task(row["schema"], row["stratum"], "evaluation", 1.0, seeded(row["schema_id"]))
        assert checks.is_valid(gold), row["schema_id"]
        assert not checks.is_valid({}), row["schema_id"]
    reference = Reference.load(made.path("reference.jsonl"), Decontamination())
    texts = [
        make_task(row["schema"], row["stratum"], "training", 1.0, seeded(row["schema_id"]))[0][0]["content"]
        for row in sides["training"]
    ]
    assert not any(reference.hits(texts))
