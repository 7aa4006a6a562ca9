"""A released model: what the experiment states of it is proven before it is used, and nothing of it is run."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoModelForCausalLM, AutoTokenizer, GPTNeoXConfig, GPTNeoXForCausalLM, PreTrainedTokenizerFast

from publishing import publish
from trellis.command import execute
from trellis.documents import END_OF_TEXT
from trellis.errors import TrellisError

VOCABULARY = 320


def train_tokenizer(text: str) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=[END_OF_TEXT], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator([text], trainer)
    return tokenizer


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    """A tiny GPT-NeoX as it lies on the hub: float16, with a pickle beside it that nobody may read."""
    folder = tmp_path_factory.mktemp("released") / "hub-tiny"
    torch.manual_seed(0)
    config = GPTNeoXConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=64,
        bos_token_id=0,
        eos_token_id=0,
    )
    GPTNeoXForCausalLM(config).half().save_pretrained(folder / "files")
    (folder / "files/generation_config.json").unlink()
    (folder / "files/pytorch_model.bin").write_bytes(b"\x80\x04not to be unpickled")
    train_tokenizer("some words and some more words for a tokenizer").save(str(folder / "files/tokenizer.json"))
    return publish(folder, "download", "hub", metrics={"repo": "someone/tiny"})


@pytest.fixture
def take_in(released, make_spec, tmp_path):
    """take_in(change=..., **stated): the stage on a copy of the released files; `change(folder)` spoils them first."""

    def run(change=None, tokenizer_text=None, vocab_size=VOCABULARY, **stated):
        files = tmp_path / "hub"
        shutil.copytree(released / "files", files / "files")
        if change:
            change(files / "files")
        publish(files, "download", "hub", metrics={"repo": "someone/tiny"})
        tokenizer = tmp_path / "tokenizer"
        ours = Tokenizer.from_file(str(released / "files/tokenizer.json"))
        PreTrainedTokenizerFast(
            tokenizer_object=train_tokenizer(tokenizer_text) if tokenizer_text else ours,
            eos_token=END_OF_TEXT,
            pad_token=END_OF_TEXT,
        ).save_pretrained(tokenizer / "tokenizer")
        publish(tokenizer, "tokenize", "tokenizer")
        counted = sum(weight.numel() for weight in load_file(released / "files/model.safetensors").values())
        model = {"kind": "pretrained", "repo": "someone/tiny", "parameters": counted, "training_tokens": 1000, **stated}
        spec = make_spec(
            "pretrain",
            "pretrained",
            "tiny",
            {"model": model, "vocab_size": vocab_size},
            {"files": [files], "tokenizer": [tokenizer]},
        )
        return execute(spec, tmp_path / "out")

    return run


def test_the_model_is_the_one_that_was_released(take_in, released):
    made = take_in()
    ours = AutoModelForCausalLM.from_pretrained(made.folder / "model", dtype=torch.float32)
    theirs = AutoModelForCausalLM.from_pretrained(released / "files", dtype=torch.float32)
    tokens = torch.arange(40)[None]
    assert torch.equal(ours(tokens).logits, theirs(tokens).logits)
    assert AutoTokenizer.from_pretrained(made.folder / "model").eos_token == END_OF_TEXT
    assert ours.generation_config.eos_token_id == 0
    assert made.metrics["tokens"] == 1000
    assert made.metrics["training_flops"] == 6 * made.metrics["parameters"] * 1000
    assert not list(made.folder.rglob("*.bin"))


def in_config(**changes):
    def change(folder):
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return change


def without_a_weight(folder):
    weights = load_file(folder / "model.safetensors")
    del weights["gpt_neox.layers.1.mlp.dense_4h_to_h.weight"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


def with_a_wrong_shape(folder):
    weights = load_file(folder / "model.safetensors")
    weights["gpt_neox.layers.0.mlp.dense_4h_to_h.weight"] = torch.zeros(32, 63)
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


def as_a_pickle(folder):
    (folder / "model.safetensors").write_bytes(b"\x80\x04 a pickle under another name")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (in_config(auto_map={"AutoModelForCausalLM": "evil.Model"}), "asks for code of its own"),
        (in_config(model_type="made_up"), "not one that transformers knows"),
        (in_config(hidden_size=64), "parameters and the experiment states"),
        (without_a_weight, "layers.1.mlp.dense_4h_to_h.weight is missing in its safetensors files"),
        (with_a_wrong_shape, "do not load as the model that config.json describes"),
        (as_a_pickle, "do not load as the model that config.json describes"),
    ],
)
def test_what_is_not_the_stated_model_is_refused(take_in, tmp_path, change, sentence):
    with pytest.raises(TrellisError, match=sentence):
        take_in(change)
    assert not (tmp_path / "out/manifest.json").exists()


def test_other_numbers_or_tokens_than_the_experiment_states_are_refused(take_in):
    with pytest.raises(TrellisError, match="correct models.tiny.parameters"):
        take_in(parameters=12)


def test_another_vocabulary_size_is_refused(take_in):
    with pytest.raises(TrellisError, match="all models of an experiment share one tokenizer"):
        take_in(vocab_size=512)


def test_another_tokenizer_is_refused(take_in):
    with pytest.raises(TrellisError, match="other tokens than the experiment's tokenizer"):
        take_in(tokenizer_text="entirely different letters: xyz xyz zyx zyx qqq")
