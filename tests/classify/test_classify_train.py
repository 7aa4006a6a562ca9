"""classify_train: planted answers are learnt on every scale, the test split moves nothing, progress survives a kill."""

import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from trellis.classify import fit as fit_module
from trellis.classify.heads import Head, Target
from trellis.classify.model import Classifier
from trellis.command import execute
from trellis.errors import TrellisError
from trellis.manifest import Manifest


def digests(made: Manifest) -> dict[str, str]:
    return {file.path: file.sha256 for file in made.files}


def test_planted_answers_are_learnt_on_every_scale(classifier):
    topics, complexity, kinds = (
        classifier.metrics["rubrics"][name] for name in ("topics", "complexity", "content_type")
    )
    assert topics["micro_f1"] > 0.9 and topics["labels_that_occur"] == 3
    assert topics["documents"] == classifier.metrics["splits"]["test"] == 72
    assert topics["by_label"]["medicine_health"]["f1"] > 0.9
    assert topics["by_label"]["never"] | {"threshold": 0, "calibration_error": 0} == {
        **{"precision": None, "recall": None, "f1": None, "support": 0, "predicted": 0},
        **{"threshold": 0, "calibration_error": 0},
    }
    assert complexity["spearman"] > 0.8 and complexity["mae"] < complexity["mae_of_the_mean"] / 2
    assert complexity["by_origin"].keys() == {"heuristic", "model:planted"}
    assert kinds["accuracy"] > 0.9 > 0.6 > kinds["accuracy_of_the_commonest"]
    assert kinds["by_origin"]["real"]["documents"] == kinds["documents"] == 32
    assert np.trace(kinds["confusion"]) == round(kinds["accuracy"] * 32)
    assert sum(each["n"] for each in complexity["reliability"]["bins"]) == 72


def test_the_same_order_gives_the_same_bytes(classifier, train):
    assert digests(train()) == digests(classifier)


def test_the_test_split_moves_nothing_but_the_measure(classifier, planted, train):
    """Weights, thresholds, the chosen epoch and the diagnostics stay; the validation labels move them."""

    def spoil(split, text):
        def edit(row):
            if row["split"] == split:
                row["text"], row["complexity"] = text or row["text"], 1.0
                row["topics"] = [not holds for holds in row["topics"]]

        return edit

    again = train(planted(spoil("test", "the of and")))
    assert digests(again) == digests(classifier)
    assert again.metrics["epochs"] == classifier.metrics["epochs"]
    assert again.metrics["rubrics"]["topics"]["micro_f1"] < 0.6
    other = train(planted(spoil("validation", None)))
    assert other.metrics["epochs"][0]["loss"] == classifier.metrics["epochs"][0]["loss"]
    assert other.metrics["epochs"] != classifier.metrics["epochs"]
    assert digests(other)["classifier/heads.json"] != digests(classifier)["classifier/heads.json"]


@pytest.mark.parametrize("loss", ["mse", "cumulative"])
def test_levels_stay_inside_the_scale_and_level_5_is_reached(train, loss):
    made = train(ordinal_loss=loss)
    found = made.metrics["rubrics"]["complexity"]
    assert found["spearman"] > 0.8 and found["mae"] < found["mae_of_the_mean"] / 2
    assert found["levels"] == [1, 2, 3, 4, 5]
    assert found["confusion"][4][4] > 0.8 * sum(found["confusion"][4]) > 0
    bins = found["reliability"]["bins"]
    assert bins[-1]["predicted"] is not None and max(each["predicted"] or 0 for each in bins) <= 5


def test_one_threshold_for_all_labels_is_a_choice(classifier, train):
    fixed = train(threshold=0.3)
    assert fixed.metrics["rubrics"]["topics"]["thresholds"] == [0.3] * 4
    heads = json.loads(fixed.path("classifier/heads.json").read_text())
    assert heads["topics"]["thresholds"] == [0.3] * 4
    assert classifier.metrics["rubrics"]["topics"]["thresholds"] != [0.3] * 4
    assert set(classifier.metrics["rubrics"]["topics"]["labels"]) >= {"mathematics_statistics", "never"}


@pytest.mark.parametrize(("select", "chosen"), [("best", 2), ("last", 4)])
def test_the_best_epoch_on_validation_is_kept(train, monkeypatch, select, chosen):
    """The validation split is made to say 0.1, 0.7, 0.3, 0.7: of equals the earlier epoch is kept."""
    said, seen = iter([0.1, 0.7, 0.3, 0.7]), []
    save = fit_module.Checkpoint.save

    def remember(self, history, is_best):
        seen.append({name: weight.detach().clone() for name, weight in self.weights.items()})
        save(self, history, is_best)

    monkeypatch.setattr(fit_module, "mean_quality", lambda found: next(said))
    monkeypatch.setattr(fit_module.Checkpoint, "save", remember)
    made = train(epochs=4, select_epoch=select)
    assert made.metrics["selected_epoch"] == chosen
    kept = load_file(made.path("classifier/heads.safetensors"))
    for epoch, weights in enumerate(seen, 1):
        same = all(torch.equal(kept[name], weights[f"layers.{name}"]) for name in kept)
        assert same == (epoch == chosen)


def test_frozen_layers_stay_as_they_were(train):
    def encoder(trained_layers):
        made = train(trained_layers=trained_layers, epochs=1)
        return dict(Classifier.load(made.folder / "classifier").encoder.named_parameters())

    frozen, last = encoder(0), encoder(1)
    moved = {name for name in frozen if not torch.equal(frozen[name], last[name])}
    assert moved
    assert all(name.startswith("encoder.layer.1.") for name in moved)


@pytest.mark.slow
def test_killed_processes_resume_to_the_same_bytes(encoder, planted, module_spec, train_config, tmp_path):
    """kill -9 after whichever epoch, three times, then once to the end."""
    inputs = {"labels": [planted()], "encoder": [encoder]}
    spec = module_spec("classify", "train", train_config(epochs=30), inputs)
    expected = execute(spec, tmp_path / "whole")
    out, order, log = tmp_path / "killed", tmp_path / "spec.json", tmp_path / "log"
    order.write_text(spec.model_dump_json())
    command = [sys.executable, "-m", "trellis.classify", "--spec", order, "--out", out, "--log", log]
    last = out / "work/training/last.safetensors"
    for _ in range(3):
        before = last.stat().st_mtime_ns if last.exists() else 0
        process = subprocess.Popen(command)
        while process.poll() is None and (not last.exists() or last.stat().st_mtime_ns == before):
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    assert subprocess.run(command).returncode == 0
    assert log.read_text().count("going on after epoch") == 3
    resumed = Manifest.read(out)
    assert digests(resumed) == digests(expected)
    assert resumed.metrics == expected.metrics
    assert not (out / "work").exists()


@pytest.fixture
def order(encoder, planted, module_spec, train_config):
    inputs = {"labels": [planted()], "encoder": [encoder]}
    return module_spec("classify", "train", train_config(epochs=3), inputs)


@pytest.fixture
def interrupted(order, tmp_path, monkeypatch):
    """The folder of a training that stopped after its second epoch of three."""
    save = fit_module.Checkpoint.save

    def stopping(self, history, is_best):
        save(self, history, is_best)
        if len(history) == 2:
            raise RuntimeError("power")

    with monkeypatch.context() as patch:
        patch.setattr(fit_module.Checkpoint, "save", stopping)
        with pytest.raises(RuntimeError, match="power"):
            execute(order, tmp_path / "interrupted")
    return tmp_path / "interrupted"


def test_an_interrupted_training_goes_on_and_ends_with_the_same_bytes(order, interrupted, tmp_path, monkeypatch):
    expected, epochs = execute(order, tmp_path / "whole"), []
    run = fit_module._epoch
    monkeypatch.setattr(fit_module, "_epoch", lambda *given: epochs.append(given[-2]) or run(*given))
    resumed = execute(order, interrupted)
    assert epochs == [2]
    assert digests(resumed) == digests(expected)
    assert resumed.metrics == expected.metrics


def test_every_epoch_has_all_documents_in_an_order_of_its_own(train, monkeypatch):
    orders = []
    monkeypatch.setattr(fit_module, "_epoch", lambda *given: orders.append(np.concatenate(given[3])) or 1.0)
    made = train(epochs=3)
    assert all(sorted(order) == list(range(made.metrics["splits"]["train"])) for order in orders)
    assert len({tuple(order) for order in orders}) == 3


def test_a_checkpoint_of_another_training_or_a_damaged_one_is_refused(order, interrupted):
    with pytest.raises(TrellisError, match="belongs to fingerprint"):
        execute(order.model_copy(update={"fingerprint": "f" * 64}), interrupted)
    last = interrupted / "work/training/last.safetensors"
    last.write_bytes(last.read_bytes()[:500])
    with pytest.raises(TrellisError, match="is damaged"):
        execute(order, interrupted)


def test_diagnostics_count_the_validation_split(classifier):
    found = json.loads(classifier.path("diagnostics.json").read_text())
    assert found["documents"] == classifier.metrics["splits"]["validation"] == 72
    topics, together = found["histograms"]["topics"], found["co_occurrence"]["topics"]
    assert all(sum(counts) == 72 for counts in topics["counts"].values())
    assert sum(together["documents_by_number_of_labels"]) == 72
    assert sum(found["histograms"]["complexity"]["counts"]) == 72
    # Only programs carry a content type.
    assert {sum(counts) for counts in found["histograms"]["content_type"]["counts"].values()} == {32}
    (heat,) = found["heat_maps"]
    assert heat["rubrics"] == ["topics", "complexity"] and heat["levels"] == [1, 2, 3, 4, 5]
    rows = np.array(heat["counts"])
    assert rows.sum(1).tolist() == np.diag(together["counts"]).tolist()
    # Mathematics was planted at level 5, history at level 1.
    assert rows[0].argmax() == 4 and rows[2].argmax() == 0


def test_what_labelling_writes_is_what_training_reads(sources, encoder, label_config, module_spec, train, tmp_path):
    """All five rubrics, by their heuristics: no hand-written table stands between the stages."""
    rubrics = ("topics", "complexity", "code_quality", "structured_data", "content_type")
    inputs = {"documents": sources, "encoder": [encoder]}
    labels = execute(module_spec("classify", "label", label_config(rubrics=rubrics), inputs), tmp_path)
    made = train(labels.folder, epochs=1)
    found = made.metrics["rubrics"]
    assert set(found) == set(rubrics)
    assert len(found["topics"]["thresholds"]) == 17 and found["complexity"]["levels"] == [1, 2, 3, 4, 5]
    assert found["structured_data"]["levels"] == [0, 1, 2, 3] and len(found["content_type"]["labels"]) == 9
    assert made.metrics["splits"] == labels.metrics["splits"]


def test_nothing_is_pickled_and_no_path_leaks(classifier):
    assert sorted(digests(classifier)) == [
        "classifier/config.json",
        "classifier/heads.json",
        "classifier/heads.safetensors",
        "classifier/model.safetensors",
        "classifier/tokenizer.json",
        "diagnostics.json",
    ]
    for name in ("config.json", "heads.json"):
        assert str(classifier.folder.parent) not in classifier.path(f"classifier/{name}").read_text()
    heads = json.loads(classifier.path("classifier/heads.json").read_text())
    assert heads["content_type"]["sources"] == ["programs"]
    assert heads["topics"]["sources"] == ["programs", "prose"]


def test_a_rubric_without_a_training_label_is_named(planted, train):
    def edit(row):
        if row["split"] == "train":
            row["content_type"] = row["content_type_origin"] = None

    with pytest.raises(TrellisError, match="training documents has a label of the rubric content_type"):
        train(planted(edit))


def test_a_loss_that_is_no_number_stops_the_training(train):
    with pytest.raises(TrellisError, match="the loss of step .* lower training.learning_rate"):
        train(learning_rate=1e30, head_learning_rate=1e30)


def test_a_cumulative_head_expects_the_level_that_its_steps_give():
    head = Head("ordinal", 1, [], levels=[0, 1, 2, 3], loss="cumulative")
    chances = torch.tensor([[0.9, 0.6, 0.2], [0.5, 0.0, 0.0]])
    torch.testing.assert_close(head.scores(chances.logit()), torch.tensor([1.7, 0.5]))


def test_an_untrained_head_says_what_the_labels_say_on_average():
    levels = np.array([[1.0], [2.0], [2.0], [5.0], [4.0]] * 40, np.float32)
    target = Target(levels, np.ones_like(levels, bool), np.array(["real"] * 200, dtype=object))
    head = Head("ordinal", 1, [], levels=[1, 2, 3, 4, 5], loss="cumulative")
    layer = head.layer(8)
    head.start(layer, target)
    assert head.scores(layer(torch.randn(3, 8))).tolist() == pytest.approx([2.8] * 3, abs=0.03)


@pytest.mark.parametrize("scale", ["multi_label", "classes", "mse", "cumulative"])
def test_open_labels_teach_nothing(scale):
    head = Head("ordinal", 1, [], levels=[1, 2, 3], loss=scale, mean=2.0)
    if scale in ("multi_label", "classes"):
        head = Head(scale, 1, [], labels=["a", "b", "c"])
    layer = head.layer(4)
    raw = layer(torch.randn(6, 4)).detach().requires_grad_()
    width = 1 if head.scale == "ordinal" else 3
    known = np.ones((6, width if scale == "multi_label" else 1), bool)
    known[2] = known[4, -1] = False
    target = Target(np.ones((6, width), np.float32), known, np.array(["real"] * 6, dtype=object))
    head.loss_of(raw, target).backward()
    moved = (raw.grad != 0).numpy()
    assert not moved[2].any() and moved[0].all()
    assert not moved[4, -1] and moved[4].any() == (scale == "multi_label")
