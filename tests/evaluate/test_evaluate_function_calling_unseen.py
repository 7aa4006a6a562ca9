"""No model has seen BFCL's functions: none of the pool's training schemas is near one, and texts with one are found."""

import json
from pathlib import Path

import pytest

from publishing import publish
from trellis.command import execute
from trellis.contamination import Reference
from trellis.errors import TrellisError
from trellis.evaluate.schemas import Near, limit_names, make_schemas
from trellis.evaluate.suites.function_calling import make_items
from trellis.evaluate.vocabulary import KINDS, Property, read_vocabulary
from trellis.experiment.decontamination import Decontamination
from trellis.experiment.evaluation import Distance, SchemaPool
from trellis.experiment.whole import load_experiment
from trellis.records import read_records, write_records
from trellis.schema_distance import SchemaSet, elements
from trellis.sft.data import make_examples
from trellis.tool_calls import system_turn

# Those that give names to the training side of the pool.
TRAINING = ("irrelevance", "multiple", "parallel", "parallel_multiple")
ROOT = Path(__file__).parents[2]
NAMES = {kind: [] for kind in KINDS} | {
    "string": [Property(f"n{n}", "string", {"type": "string"}, "x") for n in range(9)]
}
POOL = SchemaPool(packages=["x"], training=1, held_out=1, training_names=9, properties=[1, 2])


def reference(*names):
    tool = {"name": "f", "parameters": {"type": "object", "properties": {name: {"type": "string"} for name in names}}}
    return json.dumps([tool])


def drawn(count, *texts, least=0.5):
    return list(make_schemas("training", NAMES, count, ["flat"], POOL, Near(list(texts), least)))


def test_what_is_near_is_drawn_again_and_the_rest_stays():
    free, held = drawn(20), drawn(20, reference("n1"))
    assert any("n1" in row["schema"]["properties"] for row in free)
    assert not any("n1" in row["schema"]["properties"] for row in held), "one property of two is a half"
    assert held[:12] == drawn(12, reference("n1"))
    first = next(place for place, row in enumerate(free) if "n1" in row["schema"]["properties"])
    assert first > 3 and held[:first] == free[:first]


def test_only_from_the_bound_on():
    apart = drawn(20, reference("n3"), least=0.6)
    assert ["n3"] not in [list(row["schema"]["properties"]) for row in apart]
    assert any("n3" in row["schema"]["properties"] for row in apart)


def test_names_of_which_everything_is_near_are_too_few():
    with pytest.raises(TrellisError, match=r"evaluation\.schemas\.training: 1 schemas cannot be made of 9 names"):
        drawn(1, *(reference(f"n{n}") for n in range(9)))


@pytest.fixture
def distance(make_spec, wheel, tmp_path):
    """distance(training schemas): the stage, over the items of TRAINING and one example of each of these schemas."""
    items = [item for category in TRAINING for item in make_items(wheel("bfcl-eval"), category, "calls", 42)]

    def measure(schemas):
        for folder, file, rows in (
            ("items", "items.jsonl", items),
            ("data", "train.jsonl", make_examples(schemas, len(schemas), 0.5, 42)),
        ):
            write_records(tmp_path / folder / file, rows)
            publish(tmp_path / folder)
        inputs = {"items": [tmp_path / "items"], "data": [tmp_path / "data"]}
        return execute(
            make_spec("evaluate", "distance", config={"distance": Distance()}, inputs=inputs), tmp_path / "out"
        )

    return measure


@pytest.mark.slow
@pytest.mark.wheels
def test_the_demo_learns_no_schema_that_a_function_has(wheel, make_spec, distance, tmp_path):
    """Its schemas of one or two properties collide with functions by chance, and the pool's names are BFCL's own; drawn
    again, none is near, and no item leaks."""
    experiment = load_experiment(ROOT / "config/experiments/demo.yaml")
    pool, component = experiment.evaluation.schemas, experiment.evaluation.distance.component
    wheels = {package: wheel(package) for package in pool.packages}
    inputs = {"wheels": []}
    for package, path in wheels.items():
        (tmp_path / package).mkdir()
        (tmp_path / package / path.name).symlink_to(path)
        inputs["wheels"].append(publish(tmp_path / package, "download", "wheel", package, metrics={"package": package}))
    config = {"schemas": pool, "origins": [], "component": component}
    made = execute(make_spec("evaluate", "schemas", "schemas", config, inputs), tmp_path / "pool")
    training = list(read_records(made.path("training.jsonl")))

    vocabulary = read_vocabulary(wheels, pool.longest_name)
    offered = [json.loads(text) for text in vocabulary.functions.values()]
    functions = SchemaSet([elements(tool["parameters"]) for tool in offered])
    similarity, _ = functions.nearest([elements(row["schema"]) for row in training])
    assert 0 < similarity.max() < component
    assert distance(training).metrics["suites"]["calls"]["buckets"]["seen"] == 0

    names = limit_names(vocabulary.training, pool.training_names, pool.seed)
    careless = list(make_schemas("training", names, pool.training, pool.training_strata, pool))
    assert sum(one != other for one, other in zip(training, careless, strict=True)) < 0.05 * len(training)
    with pytest.raises(TrellisError, match="unseen items have schemas that fine-tuning shows: calls-"):
        distance(careless)

    texts = Reference.load(made.path("reference.jsonl"), Decontamination())
    hits = texts.hits([system_turn([tool])["content"] for tool in offered])
    assert len(hits) > 3_000 and None not in hits
