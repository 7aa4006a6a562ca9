"""classify_label: the same table twice, whatever the shards; origins counted; light to start."""

import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import trellis
from trellis.command import execute
from trellis.errors import TrellisError


@pytest.fixture
def labelled(make_spec, encoder, tmp_path):
    def run(folders, config, name="out"):
        inputs = {"documents": folders, "encoder": [encoder]}
        return execute(make_spec("classify", "label", "labels", config, inputs), tmp_path / name)

    return run


def test_labels_are_stratified_split_and_counted_by_origin(labelled, sources, label_config):
    made = labelled(sources, label_config(sample=200))
    rows = pq.read_table(made.path("labels.parquet")).to_pylist()
    assert made.metrics["sources"] == {"programs": 100, "prose": 100}
    assert sum(made.metrics["splits"].values()) == len(rows) == 200
    assert set(made.metrics["splits"]) == {"train", "validation", "test"}
    assert made.metrics["rubrics"]["quality"]["origins"] == {"real": 100}
    assert made.metrics["rubrics"]["quality"]["labelled"] == 100
    assert made.metrics["rubrics"]["complexity"]["origins"] == {"heuristic": 200}
    assert all((row["quality"] is None) == (row["source"] == "prose") for row in rows)
    levels = made.metrics["rubrics"]["quality"]["classes"]
    assert levels["5"] + levels["8"] == 100


def test_shards_and_sources_in_any_order_give_the_same_bytes(labelled, documents, sources, label_config, tmp_path):
    texts = {str(number): f"text {number} about the theorem and the patient" for number in range(50)}
    one = documents(tmp_path / "one", "third", texts, {}, shards=1)
    many = documents(tmp_path / "many", "third", texts, {}, shards=4)
    first = labelled([*sources, one], label_config(sample=90))
    second = labelled([many, *reversed(sources)], label_config(sample=90), "again")
    assert [file.sha256 for file in first.files] == [file.sha256 for file in second.files]


def test_an_unknown_source_in_the_weights_is_named(labelled, sources, label_config):
    with pytest.raises(TrellisError, match="classify.labels.weights: no source 'prosa' .*programs, prose"):
        labelled(sources, label_config(weights={"prosa": 2}))


def test_labelling_imports_no_torch():
    code = "import sys, trellis.classify.label; print('torch' in sys.modules or 'transformers' in sys.modules)"
    scripts = Path(trellis.__file__).parents[1]
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=scripts)
    assert run.stdout.strip() == "False"
