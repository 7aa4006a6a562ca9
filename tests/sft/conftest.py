"""A tiny base model, schemas and SFT data in the shape that the earlier stages publish."""

import json

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from publishing import publish
from sft_rows import QUESTION

SIZE = {"vocab_size": 384, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}


def schema_of(**properties):
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


@pytest.fixture(scope="session")
def schemas(tmp_path_factory):
    """Twelve training schemas and twelve held-out ones, with other names."""
    folder = tmp_path_factory.mktemp("schemas")
    for side, prefix in (("training", "t"), ("held_out", "h")):
        kinds = [{"type": "integer"}, {"type": "boolean"}, {"type": "string"}]
        rows = [
            {
                "schema_id": f"{side}-{i}",
                "cluster": f"{side}-{i}",
                "stratum": "flat",
                "schema": schema_of(**{f"{prefix}{i}": kinds[i % 3]}),
                "origin": [],
            }
            for i in range(12)
        ]
        (folder / f"{side}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    held_out = [{"id": row["schema_id"], "suite": "schema", "text": json.dumps(row["schema"])} for row in rows]
    held_out.append({"id": "question-1", "suite": "bfcl", "text": QUESTION})
    (folder / "reference.jsonl").write_text("".join(json.dumps(row) + "\n" for row in held_out))
    return publish(folder)


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory):
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=384, special_tokens=["<|endoftext|>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    text = json.dumps(schema_of(a={"type": "integer"}, b={"type": "boolean"}, c={"type": "string"}))
    bpe.train_from_iterator([text, "user\nassistant\n"] * 9, trainer)
    folder = tmp_path_factory.mktemp("tokenizer")
    made = PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token="<|endoftext|>", pad_token="<|endoftext|>")
    made.save_pretrained(folder / "tokenizer")
    return publish(folder)


@pytest.fixture(scope="session")
def bases(tmp_path_factory, tokenizer):
    """{"llama", "neox"}: folders of published base models with random weights."""
    found = {}
    for name, config in (
        ("llama", LlamaConfig(**SIZE, intermediate_size=64, max_position_embeddings=128)),
        ("neox", GPTNeoXConfig(**SIZE, intermediate_size=64, max_position_embeddings=128)),
    ):
        torch.manual_seed(0)
        model = {"llama": LlamaForCausalLM, "neox": GPTNeoXForCausalLM}[name](config)
        folder = tmp_path_factory.mktemp(name)
        model.save_pretrained(folder / "model")
        PreTrainedTokenizerFast.from_pretrained(tokenizer / "tokenizer").save_pretrained(folder / "model")
        found[name] = publish(folder)
    return found
