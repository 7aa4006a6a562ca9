"""Training on converted sets: every role trains, and the loss falls on what the assistant says and on nothing else."""

import json
import shutil

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from publishing import publish
from sft_rows import array, fetched, parquet
from trellis.command import execute
from trellis.errors import TrellisError
from trellis.experiment.sft import SftHubSet, SftTraining
from trellis.records import read_records, write_records

TIDE = {"name": "tide", "description": "", "parameters": {"port": {"type": "str"}}}
CALLS = [
    {
        "query": f"Tide at {port}?",
        "tools": json.dumps([TIDE]),
        "answers": json.dumps([{"name": "tide", "arguments": {"port": port}}] * (1 + number % 2)),
    }
    for number, port in enumerate(("Brest", "Sète", "Oban", "Łeba", "横浜", "Ny-Ålesund"))
]
ACE = {
    "system": f"Functions: {json.dumps([TIDE | {'parameters': {'type': 'dict', 'properties': {'port': {}}}}])}",
    "conversations": [
        {"from": "user", "value": "Tide?"},
        {"from": "assistant", "value": "Where?"},
        {"from": "user", "value": "Brest<|endoftext|>assistant\nNoon."},
        {"from": "assistant", "value": '[tide(port="Brest")]'},
        {"from": "tool", "value": '[{"name": "tide", "results": "noon"}]'},
        {"from": "assistant", "value": "<|endoftext|>\n\n  At noon<|endoftext|>, cafe\u0301 time 🌊 \n"},
    ],
}


@pytest.fixture
def neox(bases, tmp_path):
    """A random GPT-NeoX with a tokenizer that, like the real one, normalises to NFC and has tokens of several newlines."""
    bpe = Tokenizer(models.BPE())
    bpe.normalizer = normalizers.NFC()
    bpe.pre_tokenizer, bpe.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=384, special_tokens=["<|endoftext|>"], initial_alphabet=alphabet)
    bpe.train_from_iterator(["assistant\n\n\n", json.dumps([TIDE])] * 9, trainer)
    folder = tmp_path / "neox"
    shutil.copytree(bases["neox"] / "model", folder / "model")
    made = PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token="<|endoftext|>", pad_token="<|endoftext|>")
    made.save_pretrained(folder / "model")
    return publish(folder)


@pytest.fixture
def data(make_spec, schemas, tokenizer, tmp_path):
    """Schema examples, calls of one turn and a conversation with calls and results."""
    calls = fetched(tmp_path / "calls", "datasets/harbour/calls", {"a.parquet": parquet(CALLS)})
    talks = fetched(tmp_path / "talks", "datasets/harbour/talks", {"data.json": array([ACE] * 4)})
    hub = [
        SftHubSet(repo="harbour/calls", files=["*"], converter="apigen", examples=6),
        SftHubSet(repo="harbour/talks", files=["*"], converter="toolace", examples=4),
    ]
    config = {
        "schema_examples": 24,
        "text_share": 0.5,
        "max_length": 400,
        "seed": 42,
        "hub": hub,
        "decontamination": {},
        "distance": {},
        "template": "plain",
    }
    inputs = {"schemas": [schemas], "tokenizer": [tokenizer], "sets": [calls, talks]}
    return execute(make_spec("sft", "data", "data", config, inputs), tmp_path / "data")


def test_calls_results_and_words_train_with_the_loss_on_the_assistant_alone(data, neox, make_spec, tmp_path):
    examples = list(read_records(data.path("train.jsonl")))
    turns = [turn for example in examples for turn in example["messages"]]
    assert {turn["role"] for turn in turns} == {"system", "user", "assistant", "tool"}
    manifest = tune(make_spec, neox, data.folder, tmp_path / "tuned")
    assert manifest.metrics["examples"] == len(examples) == 34 and manifest.metrics["steps"] == 5
    tok = AutoTokenizer.from_pretrained(neox / "model")
    answers = [turn["content"] for turn in turns if turn["role"] == "assistant"]
    assert manifest.metrics["assistant_tokens"] == sum(len(tok(answer)["input_ids"]) + 1 for answer in answers)
    assert manifest.metrics["final_loss"] < manifest.metrics["first_loss"]


@pytest.mark.parametrize("content", ["\n\nAt noon.", "Cafe\u0301."], ids=["outer-space", "not-nfc"])
def test_contents_that_no_converter_has_finished_are_what_training_refuses(make_spec, neox, tmp_path, content):
    turns = [{"role": "user", "content": "Tide?"}, {"role": "assistant", "content": content}]
    write_records(tmp_path / "raw/train.jsonl", [{"id": "e0", "schema_id": None, "messages": turns}])
    with pytest.raises(TrellisError, match="in example e0 the loss falls on other tokens"):
        tune(make_spec, neox, publish(tmp_path / "raw"), tmp_path / "tuned")


def tune(make_spec, base, data, out):
    training = SftTraining(
        epochs=1, batch=8, max_length=400, learning_rate=3e-3, precision="float32", seeds=[3], micro_batch=8
    )
    config = {"training": training, "template": "plain"}
    return execute(make_spec("sft", "train", "t", config, {"base": [base], "data": [data]}), out)
