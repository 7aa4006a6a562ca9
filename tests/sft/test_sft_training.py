"""SFT: what carries the loss, the same order for every model, the same bytes twice, and a model that stands alone."""

import json
import math

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from trellis.command import execute
from trellis.errors import TrellisError
from trellis.experiment.sft import SftTraining
from trellis.sft.order import training_order
from trellis.sft.recorder import Record, Recorder

TRAINING = {
    "epochs": 2,
    "batch": 8,
    "max_length": 128,
    "learning_rate": 3e-3,
    "schedule": "warmup_stable_decay",
    "precision": "float32",
    "seeds": [3],
    "micro_batch": 8,
}


@pytest.fixture
def data(make_spec, schemas, tokenizer, tmp_path):
    config = {"schema_examples": 40, "text_share": 0.5, "max_length": 128, "seed": 42, "template": "plain", "hub": []}
    config |= {"decontamination": {}, "distance": {}}
    spec = make_spec("sft", "data", "data", config, {"schemas": [schemas], "tokenizer": [tokenizer]})
    execute(spec, tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture
def tune(make_spec, bases, data, tmp_path):
    def run(name, base="llama", **changes):
        training = SftTraining.model_validate(TRAINING | changes)
        spec = make_spec("sft", "train", name, {"training": training, "template": "plain"}, {"base": [bases[base]], "data": [data]})
        return execute(spec, tmp_path / name)

    return run


def examples_of(data):
    return [json.loads(line) for line in (data / "train.jsonl").read_text().splitlines()]


def test_every_model_sees_the_same_examples_in_the_same_order(tune, data):
    llama, neox = tune("a"), tune("b", base="neox")
    for key in ("data_sha256", "order_sha256", "examples", "tokens", "assistant_tokens", "steps"):
        assert llama.metrics[key] == neox.metrics[key], key
    examples = examples_of(data)
    order = training_order(examples, 2, 8, 3)
    assert llama.metrics["order_sha256"] == order_sha256([examples[i]["id"] for i in order])


def test_the_tokens_that_carry_loss_are_those_of_the_answers(tune, data, tokenizer):
    manifest = tune("a", epochs=1)
    tok = AutoTokenizer.from_pretrained(tokenizer / "tokenizer")
    answers = [example["messages"][-1]["content"] for example in examples_of(data)]
    assert manifest.metrics["assistant_tokens"] == sum(len(tok(answer)["input_ids"]) + 1 for answer in answers)
    assert manifest.metrics["assistant_tokens"] < manifest.metrics["tokens"] / 3


def test_a_loss_on_the_prompt_is_refused(bases):
    tok = AutoTokenizer.from_pretrained(bases["llama"] / "model")
    ids = tok("user\nx")["input_ids"]
    example = {"id": "e7", "input_ids": ids, "labels": ids, "messages": [{"role": "assistant", "content": "x"}]}
    with pytest.raises(TrellisError, match="e7"):
        Recorder(tok)([example])


def test_the_same_spec_gives_the_same_bytes(tune):
    one, two = tune("one", precision="bfloat16"), tune("two", precision="bfloat16")
    assert [file.sha256 for file in one.files] == [file.sha256 for file in two.files]
    assert one.metrics == two.metrics
    assert tune("other", seeds=[4]).metrics["order_sha256"] != one.metrics["order_sha256"]


def test_accumulation_in_micro_batches_gives_the_same_model_up_to_rounding(tune):
    whole, parts = tune("whole", epochs=1), tune("parts", epochs=1, micro_batch=3)
    one, two = (AutoModelForCausalLM.from_pretrained(m.folder / "model") for m in (whole, parts))
    assert parts.metrics["steps"] == whole.metrics["steps"] == 5
    for a, b in zip(one.parameters(), two.parameters(), strict=True):
        assert torch.allclose(a, b, atol=2e-3)


def test_the_loss_is_that_of_the_plain_model_and_falls(tune, bases, data):
    manifest = tune("a", learning_rate=1e-8, epochs=1, batch=40, micro_batch=40)
    lines = [json.loads(line) for line in (manifest.folder / "metrics.jsonl").read_text().splitlines()]
    tok = AutoTokenizer.from_pretrained(manifest.folder / "model")
    model = AutoModelForCausalLM.from_pretrained(bases["llama"] / "model")
    losses, count = 0.0, 0
    for example in examples_of(data):
        made = tok.apply_chat_template(
            example["messages"], return_dict=True, return_assistant_tokens_mask=True, return_tensors="pt"
        )
        labels = made["input_ids"].masked_fill(made["assistant_masks"] == 0, -100)
        losses += model(made["input_ids"], labels=labels).loss.item() * int((labels[:, 1:] != -100).sum())
        count += int((labels[:, 1:] != -100).sum())
    assert math.isclose(lines[0]["loss"], losses / count, rel_tol=1e-4)
    trained = tune("b", epochs=12)
    assert trained.metrics["final_loss"] < 0.6 * trained.metrics["first_loss"]


def test_the_log_has_a_line_a_step_and_the_schedule_holds_and_decays(tune):
    manifest = tune("a", epochs=4)
    lines = [json.loads(line) for line in (manifest.folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, 21))
    assert lines[-1]["tokens"] == manifest.metrics["tokens"]
    rates = [line["lr"] for line in lines]
    assert max(rates) == 3e-3 and rates.count(3e-3) >= 12 and rates[0] < 3e-3 and rates[-1] < 3e-3 / 2


def test_the_model_stands_alone_and_nothing_unsafe_or_temporary_is_published(tune):
    manifest = tune("a", epochs=1)
    assert {file.path for file in manifest.files} == {
        "metrics.jsonl",
        "model/chat_template.jinja",
        "model/config.json",
        "model/generation_config.json",
        "model/model.safetensors",
        "model/tokenizer.json",
        "model/tokenizer_config.json",
    }
    texts = [path.read_text() for path in manifest.folder.rglob("*.json*") if path.name != "manifest.json"]
    assert not any(str(manifest.folder.parent) in text for text in texts), "no path of this machine is published"
    tok = AutoTokenizer.from_pretrained(manifest.folder / "model")
    model = AutoModelForCausalLM.from_pretrained(manifest.folder / "model")
    prompt = tok.apply_chat_template(
        [{"role": "user", "content": "hi"}], add_generation_prompt=True, return_tensors="pt"
    )
    assert model.generate(**prompt, max_new_tokens=3).shape[1] <= prompt["input_ids"].shape[1] + 3
    assert model.generation_config.eos_token_id == tok.eos_token_id
