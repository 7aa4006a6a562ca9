"""A training's numbers: those of a loop written out by hand, the same whatever the runtime keys, in files as promised."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from transformers import AutoModelForCausalLM, AutoTokenizer

from small_training import CONTEXT, LLAMA, NEOX, RECIPE, STEPS, VOCABULARY, digests, lines, losses
from trellis.command import execute
from trellis.documents import END_OF_TEXT
from trellis.errors import TrellisError
from trellis.experiment.models import Llama
from trellis.experiment.pretraining import Pretraining
from trellis.manifest import Manifest, list_files
from trellis.models.build import build
from trellis.models.size import training_flops
from trellis.pretrain.rows import Mixture
from trellis.pretrain.schedule import learning_rate

END = 256


@pytest.mark.parametrize("model", [LLAMA, NEOX], ids=["llama", "gpt_neox"])
def test_it_learns_and_exports_what_it_trained(spec_of, mixture, model, tmp_path):
    result = execute(spec_of(model), tmp_path / "out")
    assert len(losses(result)) == result.metrics["steps"] == STEPS
    assert losses(result)[0] == pytest.approx(math.log(VOCABULARY), abs=0.3)
    assert losses(result)[-1] < losses(result)[0] - 0.4
    exported = AutoModelForCausalLM.from_pretrained(result.folder / "model")
    nats = tokens = 0
    for rows, _ in Mixture(Manifest.read(mixture), VOCABULARY).validation.values():
        batch = rows.read(rows.numbers)
        logits = exported(batch[:, :-1]).logits.float()
        nats += F.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten(), reduction="sum").item()
        tokens += batch[:, 1:].numel()
    # The trainer validates under bfloat16 autocast, the export is read in float32.
    assert nats / tokens == pytest.approx(result.metrics["validation_loss"], rel=5e-3)
    assert AutoTokenizer.from_pretrained(result.folder / "model").eos_token == END_OF_TEXT


def end_documents(mixture):
    """Lets a document of the training rows end at every fifth token: three or four documents a row."""
    for path in (mixture / "train").glob("*.bin"):
        tokens = np.fromfile(path, dtype=np.uint16)
        tokens[3::5] = END
        tokens.tofile(path)
    Manifest.read(mixture).model_copy(update={"files": list_files(mixture, {})}).write()


def document_by_document(module, inputs):
    """The logits of rows [rows, context], every document of a row read alone."""
    return torch.stack(
        [
            torch.cat(
                [
                    module(document[None]).logits[0]
                    for document in row.tensor_split((row == END).nonzero().flatten() + 1)
                    if len(document)
                ]
            )
            for row in inputs
        ]
    )


@pytest.mark.parametrize("document_masks", [False, True], ids=["whole rows", "document masks"])
def test_it_is_adamw_with_decay_on_matrices_a_clipped_gradient_and_the_rate_of_each_step(
    spec_of, mixture, tmp_path, document_masks
):
    """Against a loop written out by hand: whole batches, whole logits, AdamW as Loshchilov and Hutter state it."""
    end_documents(mixture)
    recipe = {"precision": "float32", "clip": 0.7, "weight_decay": 0.3, "micro_batch": 3}
    recipe["document_masks"] = document_masks
    result = execute(spec_of(**recipe), tmp_path / "out")
    recipe = Pretraining.model_validate({**RECIPE, **recipe})
    module = build(Llama.model_validate(LLAMA), VOCABULARY, CONTEXT, END, recipe.seed)
    rows = Mixture(Manifest.read(mixture), VOCABULARY)
    weights = list(module.parameters())
    moments = [(torch.zeros_like(weight), torch.zeros_like(weight)) for weight in weights]
    (first, second), epsilon, found = recipe.betas, 1e-8, []
    for step in range(STEPS):
        batch = rows.train.read(rows.batch(step, 8))
        inputs = batch[:, :-1]
        logits = document_by_document(module, inputs) if document_masks else module(inputs).logits
        loss = F.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten())
        gradients = torch.autograd.grad(loss, weights)
        norm = math.sqrt(sum(gradient.square().sum().item() for gradient in gradients))
        found.append((loss.item(), norm))
        rate = learning_rate(step, STEPS, recipe)
        with torch.no_grad():
            for weight, gradient, (m, v) in zip(weights, gradients, moments, strict=True):
                gradient = gradient * min(1, recipe.clip / norm)
                m.mul_(first).add_((1 - first) * gradient)
                v.mul_(second).add_((1 - second) * gradient.square())
                weight.mul_(1 - rate * recipe.weight_decay * (weight.ndim == 2))
                m_hat, v_hat = m / (1 - first ** (step + 1)), v / (1 - second ** (step + 1))
                weight.sub_(rate * m_hat / (v_hat.sqrt() + epsilon))
    steps = [line for line in lines(result.folder / "metrics.jsonl") if "loss" in line]
    assert max(norm for _, norm in found) > recipe.clip > min(norm for _, norm in found)
    assert [line["loss"] for line in steps] == pytest.approx([loss for loss, _ in found], rel=1e-4)
    assert [line["gradient_norm"] for line in steps] == pytest.approx([norm for _, norm in found], rel=1e-3)
    exported = AutoModelForCausalLM.from_pretrained(result.folder / "model").state_dict()
    for name, weight in module.state_dict().items():
        assert torch.allclose(exported[name], weight, atol=1e-4), name


def test_the_files_say_what_was_promised(spec_of, tmp_path):
    result = execute(spec_of(), tmp_path / "out")
    written = lines(result.folder / "metrics.jsonl")
    steps, validations = ([line for line in written if key in line] for key in ("loss", "validation"))
    assert [line["step"] for line in written] == [1, 2, 3, 4, 5, 6, 7, 7, 8, 9, 10, 11, 12, 13, 14, 14, 15, 15]
    assert all(line.keys() == {"step", "tokens", "loss", "lr", "gradient_norm"} for line in steps)
    assert [line["tokens"] for line in steps] == [8 * CONTEXT * step for step in range(1, 16)]
    assert [line["step"] for line in validations] == [7, 14, 15]
    last = validations[-1]["validation"]
    alpha, beta = last["sources"]["alpha"], last["sources"]["beta"]
    assert last["loss"] == pytest.approx((alpha["loss"] + beta["loss"]) / 2)
    for found in (last, alpha, beta):  # two bytes of text a token
        assert found["bits_per_byte"] == pytest.approx(found["loss"] / math.log(2) / 2)
    assert result.metrics == {
        "parameters": 9_488,
        "steps": STEPS,
        "tokens": 120 * CONTEXT,
        "training_flops": 120 * CONTEXT * training_flops(Llama.model_validate(LLAMA), VOCABULARY, CONTEXT),
        "final_loss": steps[-1]["loss"],
        "validation_loss": last["loss"],
        "bits_per_byte": last["bits_per_byte"],
    }


def test_the_same_order_gives_the_same_bytes_and_log_interval_changes_none(spec_of, tmp_path):
    first = execute(spec_of(), tmp_path / "one")
    second = execute(spec_of(log_interval=5), tmp_path / "two")
    assert digests(first) == digests(second)


def test_micro_batches_and_checkpointing_change_no_result_beyond_rounding(spec_of, tmp_path):
    whole = execute(spec_of(precision="float32"), tmp_path / "whole")
    for name, keys in {"parts": {"micro_batch": 3}, "again": {"gradient_checkpointing": "full"}}.items():
        assert losses(execute(spec_of(precision="float32", **keys), tmp_path / name)) == pytest.approx(
            losses(whole), rel=1e-4
        )


def test_the_last_batch_may_be_smaller_and_its_loss_is_the_mean_over_what_it_holds(spec_of, mixture, tmp_path):
    """120 rows in batches of 16: the last holds 8. With a rate of 0 every row's loss is that of the first weights."""
    spec = spec_of(batch_tokens=16 * CONTEXT, precision="float32", max_lr=1e-30, min_lr=0.0, micro_batch=3)
    result = execute(spec, tmp_path / "out")
    module = build(Llama.model_validate(LLAMA), VOCABULARY, CONTEXT, END, 0)
    rows = Mixture(Manifest.read(mixture), VOCABULARY)
    batch = rows.train.read(np.asarray(rows.order[112:]))
    expected = F.cross_entropy(module(batch[:, :-1]).logits.flatten(0, 1), batch[:, 1:].flatten()).item()
    assert len(losses(result)) == 8 and losses(result)[-1] == pytest.approx(expected, rel=1e-5)


def test_a_wrong_parameter_count_is_named(spec_of, tmp_path):
    with pytest.raises(TrellisError, match="has 9,488 parameters and the experiment states 9,000"):
        execute(spec_of({**LLAMA, "parameters": 9000}), tmp_path / "out")
