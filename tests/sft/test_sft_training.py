"""SFT: what carries the loss, the same of everything for every model, as recorded, and the same bytes twice."""

import hashlib
import json
import math
import struct

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from small_tuning import publish_base
from trellis.chat import attach, template
from trellis.command import execute
from trellis.errors import TrellisError
from trellis.experiment.sft import SftTraining
from trellis.manifest import file_sha256
from trellis.sft import trainer
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
        spec = make_spec(
            "sft", "train", name, {"training": training, "template": "plain"}, {"base": [bases[base]], "data": [data]}
        )
        return execute(spec, tmp_path / name)

    return run


def examples_of(data):
    return [json.loads(line) for line in (data / "train.jsonl").read_text().splitlines()]


def test_every_model_sees_the_same_examples_in_the_same_order(tune, data):
    llama, neox = tune("a"), tune("b", base="neox")
    shared = llama.metrics.keys() - {"parameters", "trained_parameters", "first_loss", "final_loss"}
    assert {key: llama.metrics[key] for key in shared} == {key: neox.metrics[key] for key in shared}
    assert llama.metrics["parameters"] != neox.metrics["parameters"]


def test_the_record_is_of_the_ids_the_tokens_and_the_labels_as_they_were_batched(tune, data, tokenizer):
    metrics, examples = tune("a", micro_batch=3).metrics, examples_of(data)
    tok = AutoTokenizer.from_pretrained(tokenizer / "tokenizer", chat_template=template("plain"))
    order, chain = b"", b""
    for index in training_order(examples, 2, 8, 3):
        made = tok.apply_chat_template(
            examples[index]["messages"], return_dict=True, return_assistant_tokens_mask=True, tokenize=True
        )
        pairs = list(zip(made["input_ids"], made["assistant_masks"], strict=True))
        content = [token for token, _ in pairs] + [token if mask else -100 for token, mask in pairs]
        order = hashlib.sha256(order + examples[index]["id"].encode()).digest()
        chain = hashlib.sha256(chain + struct.pack(f"<{len(content)}i", *content)).digest()
    assert metrics["order_sha256"] == order.hex() and metrics["tokens_sha256"] == chain.hex()
    assert metrics["examples"] == 80 and metrics["data_sha256"] == file_sha256(data / "train.jsonl")


def test_the_recorded_hyperparameters_are_those_of_the_trainer_and_not_of_the_config(tune, monkeypatch):
    held = tune("a").metrics["hyperparameters"]
    assert held["learning_rate"] == 3e-3 and held["batch"] == 8 and held["assistant_only_loss"] is True
    assert held["lr_scheduler_kwargs"] == {"num_decay_steps": 2, "decay_type": "linear"}
    assert (held["seed"], held["precision"], held["optim"]) == (3, "float32", "adamw_torch_fused")
    assert tune("b", micro_batch=2).metrics["hyperparameters"] == held
    original = trainer.arguments

    def forgetful(*given, **named):
        args = original(*given, **named)
        args.learning_rate, args.weight_decay = 1e-4, 0.5
        return args

    monkeypatch.setattr(trainer, "arguments", forgetful)
    assert tune("c").metrics["hyperparameters"] == held | {"learning_rate": 1e-4, "weight_decay": 0.5}


def test_seeds_give_the_same_examples_in_different_orders(tune):
    one, two = tune("one", seeds=[4]).metrics, tune("two", seeds=[5]).metrics
    for key in ("data_sha256", "examples", "tokens", "assistant_tokens", "steps", "template", "tokenizer_sha256"):
        assert one[key] == two[key], key
    assert one["order_sha256"] != two["order_sha256"] and one["tokens_sha256"] != two["tokens_sha256"]
    assert one["hyperparameters"] | {"seed": 5} == two["hyperparameters"]


def test_the_tokens_that_carry_loss_are_those_of_the_answers(tune, data, tokenizer):
    manifest = tune("a", epochs=1)
    tok = AutoTokenizer.from_pretrained(tokenizer / "tokenizer")
    answers = [example["messages"][-1]["content"] for example in examples_of(data)]
    assert manifest.metrics["assistant_tokens"] == sum(len(tok(answer)["input_ids"]) + 1 for answer in answers)
    assert manifest.metrics["assistant_tokens"] < manifest.metrics["tokens"] / 3


@pytest.mark.parametrize("name", ["plain", "chatml"])
def test_a_loss_on_anything_but_the_assistants_turns_is_refused(tmp_path, name):
    tok = AutoTokenizer.from_pretrained(publish_base(tmp_path / "base") / "model")
    attach(tok, name)
    messages = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "x<|im_end|><|endoftext|>y"}]
    made = tok.apply_chat_template(messages, return_dict=True, return_assistant_tokens_mask=True)
    ids, mask = made["input_ids"], made["assistant_masks"]
    first, last = mask.index(1), len(mask) - 1 - mask[::-1].index(1)
    assert tok.decode(ids[first : last + 1]) == "x  y" + {"plain": "<|endoftext|>", "chatml": "<|im_end|>"}[name]

    def record(begin, end, length=None, max_length=128):
        labels = [token if begin <= place <= end else -100 for place, token in enumerate(ids)]
        example = {"id": "e7", "input_ids": ids[:length], "labels": labels[:length], "messages": messages}
        recorder = Recorder(tok, max_length, Record())
        recorder([example])
        return recorder.records[-1]

    assert record(first, last).assistant_tokens == last + 1 - first
    assert record(first, last, length=last, max_length=last).assistant_tokens == last - first, "cut at max_length"
    wrong = [(first - 1, last), (first, last - 1), (first + 1, last), (0, len(ids))]
    for begin, end in wrong + [(first, last + 1)] * (name == "chatml"):
        with pytest.raises(TrellisError, match="in example e7 the loss falls on other tokens than those of the assi"):
            record(begin, end)
    assert record(first, last).tokens_sha256 != record(first, last, length=last, max_length=last).tokens_sha256


def test_the_same_spec_gives_the_same_bytes(tune):
    one, two = tune("one", precision="bfloat16"), tune("two", precision="bfloat16")
    assert [file.sha256 for file in one.files] == [file.sha256 for file in two.files]
    assert one.metrics == two.metrics


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


def test_nothing_unsafe_or_temporary_is_published(tune):
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
