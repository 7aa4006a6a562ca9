"""classify_train: fine-tunes the encoder with one head per rubric, and measures it on the test split."""

import json
from pathlib import Path

import torch
from pydantic import TypeAdapter

from trellis.classify.diagnostics import diagnose
from trellis.classify.encoder import extract
from trellis.classify.fit import fit
from trellis.classify.labelled import Split, read_labelled
from trellis.classify.measure import calibrate
from trellis.classify.model import Classifier, load_encoder
from trellis.classify.predict import predict
from trellis.classify.quality import epoch_quality, quality
from trellis.classify.window import Window
from trellis.command import Result
from trellis.device import deterministic, hardware, pick_device
from trellis.experiment.classify import ClassifierTraining, Encoder
from trellis.manifest import WORK
from trellis.spec import Spec

PREDICTION_BATCH_TOKENS = 8192


def run(spec: Spec, out: Path) -> Result:
    """Writes the folder classifier/ and diagnostics.json; progress is kept by the epoch."""
    torch.set_num_threads(spec.threads)
    device = pick_device(spec.machine)
    torch.manual_seed(spec.config["seed"])
    with deterministic(True):
        return _train(spec, device, out)


def _train(spec: Spec, device: torch.device, out: Path) -> Result:
    training = ClassifierTraining.model_validate(spec.config["training"])
    encoder = TypeAdapter(Encoder).validate_python(spec.config["encoder"])
    folder = extract(spec.input("encoder"), encoder, out / WORK / "encoder")
    tokenizer_json = (folder / "tokenizer.json").read_text(encoding="utf-8")
    labels = spec.input("labels")
    rubrics = json.loads(labels.path("rubrics.json").read_text(encoding="utf-8"))
    data = read_labelled(labels.path("labels.parquet"), rubrics, Window(tokenizer_json, spec.config["window"]))
    train, validation, test = (data.split(name) for name in ("train", "validation", "test"))

    model = Classifier(load_encoder(folder), data.heads(rubrics, training.ordinal_loss)).to(device)
    model.start_from(train.targets)

    def judge(model: Classifier) -> dict[str, float | None]:
        scores = _calibrated(model, validation, training)
        found = validation.targets
        return {
            name: epoch_quality(head, scores[name], found[name], train.targets[name])
            for name, head in model.heads.items()
        }

    history = fit(model, train, training, spec.config["seed"], judge, out / WORK / "training", spec.fingerprint)
    diagnostics = diagnose(model.heads, _calibrated(model, validation, training), validation.sources)
    (out / "diagnostics.json").write_text(json.dumps(diagnostics) + "\n", encoding="utf-8")

    scores = predict(model.scorer(), test.ids, PREDICTION_BATCH_TOKENS)
    metrics = {
        name: quality(head, scores[name], test.targets[name], train.targets[name]) for name, head in model.heads.items()
    }
    target = out / "classifier"
    model.save(target)
    (target / "tokenizer.json").write_text(tokenizer_json, encoding="utf-8")
    best = max(history, key=lambda epoch: epoch["quality"]) if training.select_epoch == "best" else history[-1]
    account = {"splits": data.sizes(), "epochs": history, "selected_epoch": best["epoch"], "rubrics": metrics}
    return Result(account, run=hardware(device))


def _calibrated(model: Classifier, validation: Split, training: ClassifierTraining) -> dict:
    """The validation split's scores by rubric; sets the thresholds that they, or the config, call for."""
    scores = predict(model.scorer(), validation.ids, PREDICTION_BATCH_TOKENS)
    for name, head in model.heads.items():
        if head.scale == "multi_label":
            target = validation.targets[name]
            found = calibrate(scores[name], target.values > 0, target.known)
            head.thresholds = [training.threshold] * len(head.labels) if training.threshold else found
    return scores
