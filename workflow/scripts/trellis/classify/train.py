"""classify_train: fine-tunes the encoder with one head per rubric, and measures it on the test split."""

import json
import os
from pathlib import Path

import numpy as np
import torch
from pydantic import TypeAdapter
from torch import Tensor, nn

from trellis.classify.batches import pad
from trellis.classify.encoder import extract
from trellis.classify.labelled import Labelled, Target, read_labelled
from trellis.classify.measure import calibrate, multi_label, ordinal
from trellis.classify.model import Classifier, Head, load_encoder
from trellis.classify.predict import predict
from trellis.classify.window import Window
from trellis.command import Result
from trellis.device import hardware, pick_device
from trellis.experiment.classify import ClassifierTraining, Encoder
from trellis.manifest import WORK
from trellis.progress import bar
from trellis.spec import Spec

PREDICTION_BATCH_TOKENS = 8192


def run(spec: Spec, out: Path) -> Result:
    """Writes the folder classifier/."""
    torch.set_num_threads(spec.threads)
    device = pick_device(spec.machine)
    _make_deterministic(spec.config["seed"])
    folder = extract(
        spec.input("encoder"), TypeAdapter(Encoder).validate_python(spec.config["encoder"]), out / WORK / "encoder"
    )
    tokenizer_json = (folder / "tokenizer.json").read_text(encoding="utf-8")
    labels = spec.input("labels")
    rubrics = json.loads(labels.path("rubrics.json").read_text(encoding="utf-8"))
    data = read_labelled(labels.path("labels.parquet"), rubrics, Window(tokenizer_json, spec.config["window"]))

    model = Classifier(load_encoder(folder), data.heads(rubrics)).to(device)
    model.start_from({name: target.prevalence() for name, target in data.targets("train").items()})
    training = ClassifierTraining.model_validate(spec.config["training"])
    _fit(model, data.ids("train"), data.targets("train"), training, spec.config["seed"])

    _calibrate(model, data)
    test = predict(model, data.ids("test"), PREDICTION_BATCH_TOKENS)
    metrics = {name: _measure(head, test[name], data.targets("test")[name]) for name, head in model.heads.items()}
    target = out / "classifier"
    model.save(target)
    (target / "tokenizer.json").write_text(tokenizer_json, encoding="utf-8")
    return Result({"splits": data.sizes(), "rubrics": metrics}, run=hardware(device))


def _make_deterministic(seed: int) -> None:
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False
    torch.manual_seed(seed)


def _fit(model: Classifier, ids: list, targets: dict[str, Target], training: ClassifierTraining, seed: int) -> None:
    """AdamW with linear warm-up and decay; the documents in a new seeded order every epoch."""
    _freeze(model.encoder, training.trained_layers)
    learning = [parameter for parameter in model.encoder.parameters() if parameter.requires_grad]
    groups = [
        {"params": learning, "lr": training.learning_rate},
        {"params": list(model.linear.parameters()), "lr": training.head_learning_rate},
    ]
    optimizer = torch.optim.AdamW([group for group in groups if group["params"]], weight_decay=training.weight_decay)
    steps = training.epochs * -(-len(ids) // training.batch)
    warmup = max(1, round(steps * training.warmup_share))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / warmup, (steps - step) / max(1, steps - warmup))
    )
    order = np.random.default_rng(seed)
    with bar("classifier", steps, "step") as progress:
        for _ in range(training.epochs):
            places = order.permutation(len(ids))
            for start in range(0, len(ids), training.batch):
                batch = places[start : start + training.batch]
                raw = model.raw(*pad([ids[place] for place in batch], model.pad_id, model.device))
                loss = sum(_loss(model.heads[name], raw[name], target.rows(batch)) for name, target in targets.items())
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                nn.utils.clip_grad_norm_((p for group in groups for p in group["params"]), training.clip)
                optimizer.step()
                schedule.step()
                progress.advance(note=f"loss {loss.item():.3f}")


def _freeze(encoder: nn.Module, trained_layers: int | None) -> None:
    """Leaves the last `trained_layers` layers to learn; the embeddings learn only with the whole encoder."""
    if trained_layers is None:
        return
    encoder.requires_grad_(False)
    layers = next(part for part in encoder.modules() if isinstance(part, nn.ModuleList))
    for layer in list(layers)[len(layers) - trained_layers :]:
        layer.requires_grad_(True)


def _loss(head: Head, raw: Tensor, target: Target) -> Tensor:
    """The mean over labelled documents of the cross-entropy, summed over known labels, or of the squared error."""
    known = torch.from_numpy(target.known).to(raw.device)
    values = torch.from_numpy(target.values).to(raw.device)
    if head.scale == "multi_label":
        losses = nn.functional.binary_cross_entropy_with_logits(raw, values, reduction="none")
    else:
        losses = (raw - (values - head.mean) / head.deviation) ** 2
    return (losses * known).sum() / known.any(1).sum().clamp(min=1)


def _calibrate(model: Classifier, data: Labelled) -> None:
    scores, targets = predict(model, data.ids("validation"), PREDICTION_BATCH_TOKENS), data.targets("validation")
    for name, head in model.heads.items():
        if head.scale == "multi_label":
            head.thresholds = calibrate(scores[name], targets[name].values > 0, targets[name].known)


def _measure(head: Head, scores: np.ndarray, target: Target) -> dict:
    """The quality on the test split, in all and by the labels' origin."""
    measured = _measure_rows(head, scores, target, target.origins != "")
    origins = sorted(set(target.origins) - {""})
    return {**measured, "by_origin": {o: _measure_rows(head, scores, target, target.origins == o) for o in origins}}


def _measure_rows(head: Head, scores: np.ndarray, target: Target, rows: np.ndarray) -> dict:
    if head.scale == "multi_label":
        return multi_label(scores[rows], target.values[rows] > 0, target.known[rows], head.thresholds)
    return ordinal(scores[rows], target.values[rows, 0], head.mean)
