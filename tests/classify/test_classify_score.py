"""classify_score: scores follow the documents, bad ones are counted, and a killed run ends with the same bytes."""

import signal
import subprocess
import sys
import time

import numpy as np
import pyarrow.parquet as pq
import pytest

from trellis.classify import score as score_module
from trellis.classify.batches import by_length
from trellis.classify.model import Classifier
from trellis.classify.predict import predict
from trellis.command import execute
from trellis.manifest import Manifest


@pytest.fixture
def spec_of(module_spec, classifier):
    def build(folders, batch_tokens=512):
        config = {"window": 40, "scoring_batch_tokens": batch_tokens}
        return module_spec("classify", "score", config, {"documents": folders, "classifier": [classifier.folder]})

    return build


@pytest.fixture
def score(spec_of, tmp_path):
    return lambda folders, batch_tokens=512, name="scores": execute(spec_of(folders, batch_tokens), tmp_path / name)


def test_scores_follow_the_documents_and_find_the_planted_theme(score, sources):
    made = score(sources)
    for folder in sources:
        documents = pq.read_table(Manifest.read(folder).paths("documents/"))
        scores = pq.read_table(made.path(f"scores/{folder.name}.parquet"))
        assert scores["doc_id"].to_pylist() == documents["doc_id"].to_pylist()
        topics = np.array(scores["topics"].to_pylist())
        assert topics.shape == (len(documents), 4)
        mathematics = np.array(["theorem" in text or "algebra" in text for text in documents["text"].to_pylist()])
        assert topics[mathematics, 0].mean() > 0.8 > 0.2 > topics[~mathematics, 0].mean()
        level = np.array(scores["complexity"].to_pylist())
        assert level[mathematics].mean() > 4.2 > 3 > level[~mathematics].mean()
        assert made.metrics["sources"][folder.name]["means"]["complexity"] == pytest.approx(level.mean(), abs=1e-4)
    kinds = np.array(pq.read_table(made.path("scores/programs.parquet"))["content_type"].to_pylist())
    np.testing.assert_allclose(kinds.sum(1), 1, atol=1e-5)
    assert made.metrics["sources"]["prose"]["documents"] == 200


def test_labels_and_thresholds_are_published_for_selection(score, sources, classifier):
    made = score(sources[:1])
    topics = classifier.metrics["rubrics"]["topics"]
    assert made.metrics["labels"]["topics"] == topics["labels"]
    assert made.metrics["thresholds"] == {"topics": topics["thresholds"]}
    assert made.metrics["labels"]["content_type"] == ["library", "test", "script", "other"]


def test_a_head_is_silent_about_sources_that_it_never_learnt(score, sources):
    made = score(sources)
    assert pq.read_table(made.path("scores/prose.parquet"))["content_type"].null_count == 200
    assert pq.read_table(made.path("scores/programs.parquet"))["content_type"].null_count == 0
    assert made.metrics["sources"]["prose"]["unscored"] == 0


def test_batches_and_shards_change_no_score(score, documents, tmp_path):
    texts = {str(number): "theorem " * (number % 30 + 1) for number in range(70)}
    one = score([documents(tmp_path / "one", "prose", texts, {})], 64, "small")
    many = score([documents(tmp_path / "many", "prose", texts, {}, shards=3)], 4096, "large")
    for column in ("topics", "complexity"):
        found = [np.array(pq.read_table(made.path("scores/prose.parquet"))[column].to_pylist()) for made in (one, many)]
        np.testing.assert_allclose(*found, atol=0.05)


def test_a_score_that_is_no_number_is_null_and_counted(score, sources, monkeypatch):
    def broken(model, ids, batch_tokens):
        scores = predict(model, ids, batch_tokens)
        scores["complexity"][3] = np.nan
        scores["topics"][5, 2] = np.inf
        scores["content_type"][7] = np.nan
        return scores

    whole = pq.read_table(score(sources[:1]).path("scores/prose.parquet"))
    monkeypatch.setattr(score_module, "predict", broken)
    made = score(sources[:1], name="broken")
    table = pq.read_table(made.path("scores/prose.parquet"))
    # Of prose the content type says nothing, so that its NaN is no loss.
    assert made.metrics["sources"]["prose"]["unscored"] == 2
    assert table["complexity"].to_pylist() == [
        None if n == 3 else v for n, v in enumerate(whole["complexity"].to_pylist())
    ]
    assert table["topics"].to_pylist() == [None if n == 5 else v for n, v in enumerate(whole["topics"].to_pylist())]


def test_documents_without_text_stop_nothing(score, documents, tmp_path):
    texts = {"empty": "", "blank": " \n", "odd": "\u200b\x00", "plain": "theorem algebra"}
    made = score([documents(tmp_path / "bad", "prose", texts, {}), documents(tmp_path / "none", "programs", {}, {}, 1)])
    assert made.metrics["sources"]["prose"] | {"means": {}} == {"documents": 4, "unscored": 0, "means": {}}
    assert made.metrics["sources"]["programs"]["documents"] == 0
    assert pq.read_table(made.path("scores/programs.parquet")).num_rows == 0


def test_a_document_without_a_token_gets_no_number_and_harms_no_other(classifier):
    model = Classifier.load(classifier.folder / "classifier").scorer()
    alone, among = predict(model, [[2, 9, 3]], 64), predict(model, [[], [2, 9, 3], []], 64)
    assert np.isnan(among["complexity"][[0, 2]]).all() and np.isnan(among["topics"][[0, 2]]).all()
    np.testing.assert_allclose(among["topics"][1], alone["topics"][0], atol=0.02)
    assert np.isnan(predict(model, [[]], 64)["complexity"]).all()


@pytest.fixture
def shards(documents, tmp_path):
    """Twelve row groups of two sources."""
    texts = {str(number): "theorem algebra patient century of " * (number % 7 + 1) for number in range(600)}
    return [documents(tmp_path / "many", source, texts, {}, shards=6) for source in ("prose", "programs")]


def test_an_interrupted_run_scores_what_is_left_and_ends_with_the_same_bytes(spec_of, shards, tmp_path, monkeypatch):
    scored = []

    def failing(model, ids, batch_tokens):
        if len(scored) == 7:
            raise RuntimeError("power")
        scored.append(len(ids))
        return predict(model, ids, batch_tokens)

    expected = execute(spec_of(shards), tmp_path / "whole")
    monkeypatch.setattr(score_module, "predict", failing)
    with pytest.raises(RuntimeError, match="power"):
        execute(spec_of(shards), tmp_path / "cut")
    scored.clear()
    resumed = execute(spec_of(shards), tmp_path / "cut")
    assert len(scored) == 12 - 7
    assert [file.sha256 for file in resumed.files] == [file.sha256 for file in expected.files]
    assert resumed.metrics == expected.metrics


def test_progress_of_another_order_is_not_taken(spec_of, shards, tmp_path, monkeypatch):
    other, order = spec_of(shards[:1]), spec_of(shards)
    join = score_module._join
    monkeypatch.setattr(score_module, "_join", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        execute(other, tmp_path / "out")
    monkeypatch.setattr(score_module, "_join", join)
    calls = []
    monkeypatch.setattr(score_module, "predict", lambda *given: calls.append(1) or predict(*given))
    execute(order, tmp_path / "out")
    assert len(calls) == 12


@pytest.mark.slow
def test_killed_processes_resume_to_the_same_bytes(spec_of, shards, tmp_path):
    """kill -9 in the middle of a source, twice, then once to the end."""
    spec = spec_of(shards)
    expected = execute(spec, tmp_path / "whole")
    out, order = tmp_path / "killed", tmp_path / "spec.json"
    order.write_text(spec.model_dump_json())
    command = [sys.executable, "-m", "trellis.classify", "--spec", order, "--out", out, "--log", tmp_path / "log"]
    for _ in range(2):
        before = len(list(out.glob("work/*/*/*.parquet")))
        process = subprocess.Popen(command)
        while process.poll() is None and len(list(out.glob("work/*/*/*.parquet"))) <= before + 2:
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    assert subprocess.run(command).returncode == 0
    assert [file.sha256 for file in Manifest.read(out).files] == [file.sha256 for file in expected.files]
    assert not (out / "work").exists()


def test_batches_keep_the_budget_and_lose_nobody():
    lengths = [3, 40, 7, 7, 1, 40, 22, 90]
    batches = list(by_length(lengths, 80))
    assert sorted(place for batch in batches for place in batch) == list(range(8))
    assert all(len(batch) * max(lengths[place] for place in batch) <= 80 or len(batch) == 1 for batch in batches)
