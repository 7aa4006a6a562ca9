"""Generation: greedy, batched by length without harm, stopped at the end of the turn, and nothing judged."""

import json

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from publishing import publish
from trellis.chat import attach
from trellis.command import execute

CONTEXT, NEW = 96, 12


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A byte-level model with random weights, sharp enough that its greedy choices are no ties."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    bpe = Tokenizer(models.BPE({token: i for i, token in enumerate(["<|endoftext|>", *alphabet])}, []))
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token="<|endoftext|>", pad_token="<|endoftext|>")
    attach(tokenizer)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=257,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=CONTEXT,
        initializer_range=0.5,
        eos_token_id=0,
        pad_token_id=0,
    )
    net = LlamaForCausalLM(config)
    folder = tmp_path_factory.mktemp("model")
    net.save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    return publish(folder)


@pytest.fixture
def run(make_spec, model, tmp_path):
    def generate(contents, batch, name="out"):
        folder = tmp_path / f"items-{name}"
        (folder / "items").mkdir(parents=True)
        rows = [{"id": f"i{n}", "messages": [{"role": "user", "content": c}]} for n, c in enumerate(contents)]
        (folder / "items" / "schema.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        config = {"generation": {"max_new_tokens": NEW, "batch": batch}}
        inputs = {"model": [model], "items": [publish(folder)]}
        manifest = execute(make_spec("evaluate", "generate", name, config, inputs), tmp_path / name)
        lines = (tmp_path / name / "generations.jsonl").read_text().splitlines()
        return manifest, [json.loads(line) for line in lines]

    return generate


CONTENTS = ["x" * (i * 7 % 40) + str(i) for i in range(20)]


def test_batched_answers_are_the_greedy_answers_of_each_prompt_alone(run, model):
    _, made = run(CONTENTS, batch=8)
    tokenizer = AutoTokenizer.from_pretrained(model / "model")
    net = AutoModelForCausalLM.from_pretrained(model / "model")
    for content, record in zip(CONTENTS, made, strict=True):
        ids = tokenizer.apply_chat_template(
            [{"role": "user", "content": content}], add_generation_prompt=True, return_dict=False
        )
        assert record["n_in"] == len(ids)
        answer = []
        while len(answer) < NEW and (not answer or answer[-1] != 0):
            logits = net(torch.tensor([ids + answer])).logits[0, -1]
            answer.append(int(logits.argmax()))
        stopped = answer[-1] == 0
        assert record["stop"] == ("eos" if stopped else "length")
        assert record["n_out"] == len(answer)
        assert record["output"] == tokenizer.decode(answer[:-1] if stopped else answer)


def test_answers_come_in_the_order_of_the_items_and_the_same_twice(run):
    one, records = run(CONTENTS, batch=8, name="one")
    assert [record["id"] for record in records] == [f"i{n}" for n in range(20)]
    assert one.files[0].sha256 == run(CONTENTS, batch=8, name="two")[0].files[0].sha256
    assert one.metrics["items"] == 20 and sum(one.metrics["stopped"].values()) == 20


def test_a_prompt_without_room_stays_an_item_with_an_empty_answer(run):
    manifest, records = run(["short", "y" * CONTEXT], batch=2)
    assert manifest.metrics["over_context"] == 1
    assert records[1]["output"] == "" and records[1]["stop"] == "length" and records[1]["n_out"] == 0
    assert records[0]["n_out"] > 0
