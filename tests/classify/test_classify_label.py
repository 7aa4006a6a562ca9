"""classify_label: the same table twice, whatever the shards; origins and nulls counted; light to start."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xxhash

import trellis
from trellis.classify.window import Window
from trellis.command import execute
from trellis.errors import TrellisError

ALL = ("topics", "complexity", "code_quality", "structured_data", "content_type")


@pytest.fixture
def labelled(make_spec, tokenizer_wheel, tmp_path):
    def run(folders, config, name="out"):
        inputs = {"documents": folders, "encoder": [tokenizer_wheel]}
        return execute(make_spec("classify", "label", "labels", config, inputs), tmp_path / name)

    return run


def test_labels_are_split_and_counted_by_origin(labelled, sources, label_config):
    made = labelled(sources, label_config(sample=200))
    rows = pq.read_table(made.path("labels.parquet")).to_pylist()
    assert made.metrics["sources"] == {"programs": 100, "prose": 100}
    assert sum(made.metrics["splits"].values()) == len(rows) == 200
    assert set(made.metrics["splits"]) == {"train", "validation", "test"}
    assert made.metrics["backend"] == {"kind": "heuristic", "model": None}
    assert made.metrics["rubrics"]["code_quality"]["origins"] == {"heuristic": 100, "real": 100}
    assert made.metrics["rubrics"]["complexity"]["origins"] == {"heuristic": 200}
    assert all((row["code_quality_origin"] == "real") == (row["source"] == "programs") for row in rows)
    levels = Counter(row["code_quality"] for row in rows if row["code_quality_origin"] == "real")
    assert levels.keys() == {3.0, 4.0}
    assert [made.metrics["rubrics"]["code_quality"]["nulls"], made.metrics["rubrics"]["topics"]["agreement"]] == [
        {},
        {},
    ]
    assert "labelling" not in made.run


def test_every_scale_has_its_column_and_its_description(labelled, sources, label_config):
    made = labelled(sources, label_config(sample=60, rubrics=ALL))
    schema = pq.read_schema(made.path("labels.parquet"))
    types = {name: schema.field(name).type for name in ALL}
    assert types["topics"] == pa.list_(pa.field("element", pa.bool_())) and types["content_type"] == pa.int8()
    assert {types[name] for name in ("complexity", "code_quality", "structured_data")} == {pa.float32()}
    described = json.loads(made.path("rubrics.json").read_text())
    assert described["structured_data"]["levels"] == [0, 1, 2, 3] and len(described["topics"]["labels"]) == 17
    assert described["complexity"]["levels"] == [1, 2, 3, 4, 5] and len(described["content_type"]["classes"]) == 9
    places = pq.read_table(made.path("labels.parquet"))["content_type"].to_pylist()
    names = Counter(described["content_type"]["classes"][place] for place in places)
    counted = made.metrics["rubrics"]["content_type"]["classes"]
    assert {name: count for name, count in counted.items() if count} == names and counted.keys() >= {"library", "other"}


def test_the_text_is_what_the_classifier_sees_and_known_by_its_hash(
    labelled, documents, label_config, tokenizer_json, tmp_path
):
    texts = {str(number): f"theorem {number} " + "the patient and the king " * 40 for number in range(30)}
    source = documents(tmp_path / "long", "long", texts, {})
    rows = pq.read_table(labelled([source], label_config()).path("labels.parquet")).to_pylist()
    window = Window(tokenizer_json, 40)
    assert [row["text"] for row in rows] == window.cut([row["text"] for row in rows])
    assert all(row["text"] == window.cut([texts[row["text"].split()[1]]])[0] for row in rows)
    assert all(row["window"] == xxhash.xxh3_64_intdigest(row["text"].encode()) for row in rows)
    original = labelled([source], label_config(characters=300), "original")
    assert {len(row["text"]) for row in pq.read_table(original.path("labels.parquet")).to_pylist()} == {300}


def test_shards_and_sources_in_any_order_give_the_same_bytes(labelled, documents, sources, label_config, tmp_path):
    texts = {str(number): f"text {number} about the theorem and the patient" for number in range(50)}
    one = documents(tmp_path / "one", "third", texts, {}, shards=1)
    many = documents(tmp_path / "many", "third", texts, {}, shards=4)
    first = labelled([*sources, one], label_config(sample=90))
    second = labelled([many, *reversed(sources)], label_config(sample=90), "again")
    assert [file.sha256 for file in first.files] == [file.sha256 for file in second.files]


def test_rare_strata_are_raised_and_weights_give_the_source_back(labelled, documents, label_config, tmp_path):
    """3% of the documents argue formally: a plain sample of 100 has about three of them."""
    texts = {
        str(number): f"{number} theorem, lemma and proof by induction"
        if number % 33 == 0
        else f"{number} lies on a river"
        for number in range(1320)
    }
    source = documents(tmp_path / "documents", "prose", texts, {})
    plain = labelled([source], label_config(sample=100, rubrics=["topics", "complexity"], stratify="none"), "plain")
    raised = labelled([source], label_config(sample=100, rubrics=["topics", "complexity"]), "raised")
    assert plain.metrics["rubrics"]["complexity"]["classes"]["5"] < 8
    assert 8 <= raised.metrics["rubrics"]["complexity"]["classes"]["5"] <= 22
    for made in (plain, raised):
        rows = pq.read_table(made.path("labels.parquet")).to_pylist()
        formal = sum(row["weight"] for row in rows if row["complexity"] == 5)
        assert len(rows) == 100 and sum(row["weight"] for row in rows) == pytest.approx(1320)
        assert made is plain or 20 < formal < 62  # 40 are there; the candidates, 400 documents, estimate it


def test_meta_that_is_no_object_is_no_obstacle(labelled, documents, label_config, tmp_path):
    meta = {str(number): bad for number, bad in enumerate(["", "[1]", None, 5, {"educational": "7"}])}
    source = documents(tmp_path / "bad", "bad", {str(number): f"text {number}" for number in range(5)}, meta)
    made = labelled([source], label_config(rubrics=["code_quality"]))
    assert made.metrics["rubrics"]["code_quality"]["origins"] == {"heuristic": 5}


def test_an_unknown_source_in_the_weights_is_named(labelled, sources, label_config):
    with pytest.raises(TrellisError, match="classify.labels.weights: no source 'prosa' .*programs, prose"):
        labelled(sources, label_config(weights={"prosa": 2}))


def test_labelling_imports_no_torch_and_asks_no_network_without_a_model():
    modules = "'torch', 'transformers', 'httpx2'"
    code = f"import sys, trellis.classify.label; print([name for name in [{modules}] if name in sys.modules])"
    scripts = Path(trellis.__file__).parents[1]
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=scripts)
    assert run.stdout.strip() == "[]"
