"""classify_train and classify_score: planted themes are learnt, the test split is unseen, bad scores are counted."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from trellis.classify import score as score_module
from trellis.classify.batches import by_length
from trellis.classify.model import Classifier
from trellis.command import execute
from trellis.errors import TrellisError
from trellis.manifest import Manifest, list_files


@pytest.fixture(scope="module")
def labels(encoder, sources, label_config, tmp_path_factory, module_spec):
    spec = module_spec("classify", "label", label_config(sample=360), {"documents": sources, "encoder": [encoder]})
    return execute(spec, tmp_path_factory.mktemp("labels"))


@pytest.fixture(scope="module")
def train(encoder, module_spec, tmp_path_factory, train_config):
    def run(labels, **training):
        inputs = {"labels": [labels.folder], "encoder": [encoder]}
        return execute(
            module_spec("classify", "train", train_config(**training), inputs), tmp_path_factory.mktemp("classifier")
        )

    return run


@pytest.fixture(scope="module")
def classifier(train, labels):
    return train(labels)


def test_planted_themes_and_levels_are_learnt(classifier):
    topics, quality = (classifier.metrics["rubrics"][name] for name in ("topics", "quality"))
    assert topics["labels_that_occur"] >= 3
    assert topics["micro_f1"] > 0.9
    assert topics["by_origin"]["heuristic"]["documents"] == topics["documents"]
    assert quality["spearman"] > 0.7
    assert quality["mae"] < quality["mae_of_the_mean"] / 2
    assert quality["by_origin"].keys() == {"real"}


def test_the_same_order_gives_the_same_bytes(classifier, train, labels):
    assert [file.sha256 for file in train(labels).files] == [file.sha256 for file in classifier.files]


def test_the_test_split_moves_nothing_but_the_measure(classifier, train, labels, tmp_path):
    table = pq.read_table(labels.path("labels.parquet"))
    rows = table.to_pylist()
    for row in rows:
        if row["split"] == "test":
            row["text"], row["complexity"] = "the of and", 1.0
            row["topics"] = [not holds for holds in row["topics"]]
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), tmp_path / "labels.parquet")
    (tmp_path / "rubrics.json").write_bytes(labels.path("rubrics.json").read_bytes())
    changed = labels.model_copy(update={"folder": tmp_path, "files": list_files(tmp_path, {})})
    changed.write()
    again = train(Manifest.read(tmp_path))
    assert [file.sha256 for file in again.files] == [file.sha256 for file in classifier.files]
    assert again.metrics["rubrics"]["topics"]["micro_f1"] < 0.5


def test_frozen_layers_stay_as_they_were(train, labels):
    def encoder(trained_layers):
        made = train(labels, trained_layers=trained_layers, epochs=1)
        return dict(Classifier.load(made.folder / "classifier").encoder.named_parameters())

    frozen, last = encoder(0), encoder(1)
    moved = {name for name in frozen if not torch.equal(frozen[name], last[name])}
    assert moved
    assert all(name.startswith("encoder.layer.1.") for name in moved)


def test_nothing_is_pickled_and_no_path_leaks(classifier):
    assert sorted(file.path for file in classifier.files) == [
        "classifier/config.json",
        "classifier/heads.json",
        "classifier/heads.safetensors",
        "classifier/model.safetensors",
        "classifier/tokenizer.json",
    ]
    for name in ("config.json", "heads.json"):
        assert str(classifier.folder.parent) not in classifier.path(f"classifier/{name}").read_text()
    heads = json.loads(classifier.path("classifier/heads.json").read_text())
    assert heads["quality"]["sources"] == ["programs"]
    assert len(heads["topics"]["thresholds"]) == 17


def test_a_rubric_without_a_training_label_is_named(train, labels, tmp_path):
    table = pq.read_table(labels.path("labels.parquet"))
    empty = pa.array([None] * len(table), pa.float32())
    pq.write_table(
        table.set_column(table.schema.get_field_index("quality"), "quality", empty), tmp_path / "labels.parquet"
    )
    (tmp_path / "rubrics.json").write_bytes(labels.path("rubrics.json").read_bytes())
    labels.model_copy(update={"folder": tmp_path, "files": list_files(tmp_path, {})}).write()
    with pytest.raises(TrellisError, match="training documents has a label of the rubric quality"):
        train(Manifest.read(tmp_path))


@pytest.fixture
def score(module_spec, classifier, tmp_path):
    def run(folders, batch_tokens=512, name="scores"):
        config = {"window": 40, "scoring_batch_tokens": batch_tokens}
        spec = module_spec("classify", "score", config, {"documents": folders, "classifier": [classifier.folder]})
        return execute(spec, tmp_path / name)

    return run


def test_scores_follow_the_documents_and_find_the_planted_theme(score, sources):
    made = score(sources)
    for folder in sources:
        documents = pq.read_table(Manifest.read(folder).paths("documents/"))
        scores = pq.read_table(made.path(f"scores/{folder.name}.parquet"))
        assert scores["doc_id"].to_pylist() == documents["doc_id"].to_pylist()
        topics = np.array(scores["topics"].to_pylist())
        assert topics.shape == (len(documents), 17)
        mathematics = np.array(["theorem" in text or "algebra" in text for text in documents["text"].to_pylist()])
        assert topics[mathematics, 0].mean() > 0.8 > 0.2 > topics[~mathematics, 0].mean()
    assert made.metrics["sources"]["prose"]["documents"] == 200
    assert made.metrics["labels"]["topics"][0] == "mathematics_statistics"


def test_a_head_is_silent_about_sources_that_it_never_learnt(score, sources):
    made = score(sources)
    assert pq.read_table(made.path("scores/prose.parquet"))["quality"].null_count == 200
    assert pq.read_table(made.path("scores/programs.parquet"))["quality"].null_count == 0
    assert made.metrics["sources"]["prose"]["unscored"] == 0


def test_batches_and_shards_change_no_score(score, sources, documents, tmp_path):
    texts = {str(number): "theorem " * (number % 30 + 1) for number in range(70)}
    one = score([documents(tmp_path / "one", "prose", texts, {})], 64, "small")
    many = score([documents(tmp_path / "many", "prose", texts, {}, shards=3)], 4096, "large")
    for column in ("topics", "complexity"):
        found = [np.array(pq.read_table(made.path("scores/prose.parquet"))[column].to_pylist()) for made in (one, many)]
        np.testing.assert_allclose(*found, atol=0.02)


def test_a_score_that_is_no_number_is_null_and_counted(score, sources, monkeypatch):
    def broken(model, ids, batch_tokens):
        scores = predict(model, ids, batch_tokens)
        scores["complexity"][3] = np.nan
        scores["topics"][5, 2] = np.inf
        return scores

    predict = score_module.predict
    monkeypatch.setattr(score_module, "predict", broken)
    made = score(sources[:1])
    table = pq.read_table(made.path("scores/prose.parquet"))
    assert made.metrics["sources"]["prose"]["unscored"] == 2
    assert table["complexity"].to_pylist()[3] is None
    assert table["topics"].to_pylist()[5] is None
    assert table["complexity"].null_count == table["topics"].null_count == 1


def test_batches_keep_the_budget_and_lose_nobody():
    lengths = [3, 40, 7, 7, 1, 40, 22, 90]
    batches = list(by_length(lengths, 80))
    assert sorted(place for batch in batches for place in batch) == list(range(8))
    assert all(len(batch) * max(lengths[place] for place in batch) <= 80 or len(batch) == 1 for batch in batches)
