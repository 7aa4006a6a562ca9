"""The score command: every suite's answers judged by its own scorer, every item counted, other generations refused."""

import json
import math
from types import SimpleNamespace

import pyarrow.parquet as pq
import pytest

from trellis.command import execute
from trellis.documents import read_rows
from trellis.errors import TrellisError
from trellis.evaluate import METRICS
from trellis.evaluate.suites import extraction, format, text_to_sql
from trellis.experiment.evaluation import ExtractionSuite, FormatSuite, TextToSqlSuite
from trellis.manifest import Manifest, list_files

SCHEMA = {
    "type": "object",
    "properties": {"a": {"type": "integer"}, "day": {"type": "string", "format": "date"}},
    "required": ["a", "day"],
    "additionalProperties": False,
}
GOLD = {"a": 3, "day": "2024-02-29"}


def item(index, gold=GOLD, split="seen", suite="schema"):
    return {
        "id": f"{suite}-{split}-{index}",
        "suite": suite,
        "kind": "schema",
        "split": split,
        "stratum": "flat",
        "cluster": f"c{index}",
        "schema_id": "s",
        "schema": SCHEMA,
        "messages": [],
        "gold": gold,
        "answer": None if gold is None else json.dumps(gold),
        "check": None,
    }


def generation(made, output, mode="free", stop="eos"):
    return {"id": made["id"], "mode": mode, "output": output, "n_in": 1, "n_out": 1, "stop": stop, "shots": 0}


def likelihoods_of(items, nats=6.0):
    return [{"id": made["id"], "nats": nats, "bytes": 24} for made in items if made["answer"] is not None]


def publish(folder, fingerprint, inputs, files):
    folder.mkdir(parents=True)
    for name, rows in files.items():
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    components = {"config": {}, "code": {}, "inputs": inputs}
    Manifest(
        stage="evaluate",
        command="x",
        name=folder.name,
        fingerprint=fingerprint,
        components=components,
        files=list_files(folder, {}),
        metrics={},
        run={},
        folder=folder,
    ).write()
    return folder


@pytest.fixture
def run(make_spec, tmp_path):
    """run([(items, generations, likelihoods or None for those of the items)]) -> the manifest of the scores."""

    def score(suites, seed=0, read="fingerprint"):
        folders = {"items": [], "generations": []}
        for number, (items, generations, likelihoods) in enumerate(suites):
            mark = f"{number:064d}"
            likelihoods = likelihoods_of(items) if likelihoods is None else likelihoods
            made = {"generations.jsonl": generations, "likelihoods.jsonl": likelihoods}
            inputs = {"items": [mark if read == "fingerprint" else read]}
            folders["items"].append(publish(tmp_path / f"items-{number}", mark, {}, {"items.jsonl": items}))
            folders["generations"].append(publish(tmp_path / f"made-{number}", "1" * 64, inputs, made))
        spec = make_spec("evaluate", "score", "score", {"model": "m", "seed": seed}, folders)
        return execute(spec, tmp_path / "out")

    return score


def rows_of(manifest):
    return list(read_rows([manifest.path("scores.parquet")]))


def test_a_row_has_the_contracts_columns_and_metrics(run):
    items = [item(0), item(1, gold=None, split="unseen")]
    outputs = [generation(items[0], json.dumps(GOLD)), generation(items[1], "{}")]
    outputs += [
        generation(made, json.dumps(GOLD), "constrained", stop)
        for made, stop in zip(items, ("eos", "length"), strict=True)
    ]
    manifest = run([(items, outputs, None)])
    columns = ["id", "suite", "split", "stratum", "cluster", "mode", *METRICS]
    assert pq.read_schema(manifest.path("scores.parquet")).names == columns
    rows = rows_of(manifest)
    assert [(row["id"], row["mode"]) for row in rows] == [
        (made["id"], m) for made in items for m in ("free", "constrained")
    ]
    right = {
        "parse": 1,
        "parse_lenient": 1,
        "schema_valid": 1,
        "exact": 1,
        "leaf_f1": 1,
        "key_f1": 1,
        "type_accuracy": 1,
    }
    none = dict.fromkeys(METRICS)
    place = {"suite": "schema", "split": "seen", "stratum": "flat", "cluster": "c0", "id": "schema-seen-0"}
    assert rows[0] == none | right | place | {"mode": "free", "truncated": 0, "nll_per_byte": 0.25}
    assert rows[1] == none | right | place | {"mode": "constrained", "truncated": 0}
    place |= {"split": "unseen", "cluster": "c1", "id": "schema-unseen-1"}
    bare = none | {"parse": 1, "parse_lenient": 1, "schema_valid": 0, "key_f1": 0, "truncated": 0}
    assert rows[2] == bare | place | {"mode": "free"}
    assert rows[3]["schema_valid"] == 1 and rows[3]["truncated"] == 1 and rows[3]["exact"] is None
    assert manifest.metrics["model"] == "m" and manifest.metrics["seed"] == 0
    assert {"jsonschema_rs", "sqlite"} == set(manifest.run["judges"])


def test_every_item_is_in_the_denominator_whatever_came_out(run):
    hostile = ["[" * 100_000, "\ud800", "x" * 1_000_000, '{"a":NaN}', "1" * 100_000, "\x00", ""]
    items = [item(i) for i in range(len(hostile) + 5)]
    outputs = [*hostile, *[json.dumps(GOLD)] * 5]
    stops = ["length", "eos", "room", *["eos"] * 9]
    made = [generation(one, text, stop=stop) for one, text, stop in zip(items, outputs, stops, strict=True)]
    manifest = run([(items, made, None)])
    free = manifest.metrics["suites"]["schema"]["seen"]["free"]
    assert free["items"] == 12
    assert free["parse"] == free["schema_valid"] == free["exact"] == pytest.approx(5 / 12)
    assert free["truncated"] == pytest.approx(1 / 12)  # a prompt without room was not cut short
    assert [row["exact"] for row in rows_of(manifest)] == [0] * 7 + [1] * 5


def test_means_are_by_suite_split_and_mode_and_null_where_nothing_has_the_metric(run):
    items = [item(0), item(1), item(2, gold=None, split="unseen")]
    made = [generation(one, "{" if place else json.dumps(GOLD)) for place, one in enumerate(items)]
    made += [generation(one, json.dumps(GOLD), "constrained") for one in items]
    suites = run([(items, made, None)]).metrics["suites"]
    assert suites["schema"]["seen"]["free"]["exact"] == 0.5 and suites["schema"]["seen"]["free"]["items"] == 2
    assert suites["schema"]["seen"]["constrained"]["exact"] == 1
    assert suites["schema"]["unseen"]["free"] == dict.fromkeys(METRICS) | {
        **{"items": 1, "parse": 0, "parse_lenient": 0, "schema_valid": 0, "key_f1": 0, "truncated": 0}
    }
    assert suites["schema"]["seen"]["constrained"]["nll_per_byte"] is None
    assert suites["schema"]["seen"]["free"]["nll_per_byte"] == 0.25


def own_suites(count):
    shots = SimpleNamespace(config={"shots": 1})
    for kind, suite, module in (
        ("extraction", ExtractionSuite, extraction),
        ("format", FormatSuite, format),
        ("text_to_sql", TextToSqlSuite, text_to_sql),
    ):
        yield list(module.build(suite(kind=kind, items=1), kind, shots).items)[:count]


def test_a_copier_of_the_gold_scores_everything_on_every_suite_and_metric(run):
    suites = []
    for items in ([item(index) for index in range(4)], *own_suites(4)):
        made = [generation(one, one["answer"]) for one in items]
        made += [generation(one, one["answer"], "constrained") for one in items if one["schema"] is not None]
        suites.append((items, made, None))
    manifest = run(suites)
    judged = set()
    for splits in manifest.metrics["suites"].values():
        for modes in splits.values():
            for mode, means in modes.items():
                own = {name for name, value in means.items() if value is not None}
                judged |= own
                assert all(means[name] == 1 for name in own - {"items", "truncated", "nll_per_byte"})
                assert means["items"] == 4 and means["truncated"] == 0 and (mode == "free") == ("nll_per_byte" in own)
    assert judged == {"items", *METRICS} - {"name_accuracy", "ast", "called"}
    assert set(manifest.metrics["suites"]["format"]["unseen"]) == {"free"}


@pytest.mark.parametrize("output", ["{}", ""])
def test_a_constant_scores_nothing_on_any_suite(run, output):
    suites = [(items, [generation(one, output) for one in items], None) for items in own_suites(4)]
    found = run(suites).metrics["suites"]
    # Of the formats, `{}` is a text of YAML alone.
    assert found["extraction"]["unseen"]["free"]["parse"] == (output == "{}")
    assert found["format"]["unseen"]["free"]["parse"] == (0.25 if output else 0)
    assert found["text_to_sql"]["unseen"]["free"]["parse"] == 0
    for suite in found.values():
        means = suite["unseen"]["free"]
        assert not any(means[name] for name in ("schema_valid", "exact", "leaf_f1", "execution", "type_accuracy"))


def test_a_likelihood_that_could_not_be_had_is_null(run):
    items = [item(0), item(1)]
    likelihoods = [{"id": items[0]["id"], "nats": None, "bytes": 24}, {"id": items[1]["id"], "nats": 0.0, "bytes": 24}]
    rows = rows_of(run([(items, [generation(one, "") for one in items], likelihoods)]))
    assert [row["nll_per_byte"] for row in rows] == [None, 0]


def test_a_model_without_free_answers_is_scored_on_what_it_has(run):
    items = [item(0), item(1)]
    suites = [(items, [generation(one, "{}", "constrained") for one in items], None)]
    (formats,) = [items for items in own_suites(2) if items[0]["kind"] == "format"]
    manifest = run([*suites, (formats, [], None)])
    assert {row["mode"] for row in rows_of(manifest)} == {"constrained"}
    assert set(manifest.metrics["suites"]) == {"schema"}


ITEMS = [item(0), item(1, gold=None)]
FREE = [generation(one, "{}") for one in ITEMS]
HELD = [generation(one, "{}", "constrained") for one in ITEMS]


@pytest.mark.parametrize(
    ("generations", "likelihoods"),
    [
        (FREE[:1], None),
        (FREE[::-1], None),
        ([], None),
        ([*FREE, FREE[0]], None),
        ([*FREE, *HELD[:1]], None),
        ([*HELD[:1], *FREE], None),
        ([FREE[0], {**FREE[1], "id": "schema-seen-9"}], None),
        (FREE, []),
        (FREE, [{"id": one["id"], "nats": 1.0, "bytes": 1} for one in ITEMS]),
    ],
)
def test_generations_of_other_items_are_refused(run, generations, likelihoods):
    with pytest.raises(TrellisError, match="made-0 does not answer the items of .*items-0; generate them again"):
        run([(ITEMS, generations, likelihoods)])


def test_generations_of_items_of_the_same_names_are_refused(run):
    """Another seed gives other items the same ids."""
    with pytest.raises(TrellisError, match="does not answer the items"):
        run([(ITEMS, FREE, None)], read="2" * 64)


def test_a_suite_without_generations_is_refused(make_spec, tmp_path):
    given = publish(tmp_path / "items", "0" * 64, {}, {"items.jsonl": ITEMS})
    spec = make_spec("evaluate", "score", "s", {"model": "m", "seed": None}, {"items": [given], "generations": []})
    with pytest.raises(TrellisError, match="1 suites of items and 0 of generations"):
        execute(spec, tmp_path / "out")


def test_the_scores_are_the_same_bytes_twice(run, tmp_path, make_spec):
    items = [one for of in own_suites(3) for one in of]
    manifest = run(
        [([*of], [generation(one, one["answer"][:-1]) for one in of], None) for of in (items[:3], items[6:])]
    )
    folders = {role: sorted(tmp_path.glob(f"{name}-*")) for role, name in (("items", "items"), ("generations", "made"))}
    again = execute(make_spec("evaluate", "score", "score", {"model": "m", "seed": 0}, folders), tmp_path / "again")
    assert again.files == manifest.files and again.metrics == manifest.metrics
    assert not any(math.isnan(row["truncated"]) for row in rows_of(again))
