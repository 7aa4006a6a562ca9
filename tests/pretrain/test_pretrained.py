"""A released model: what the experiment states of it is proven before it is used, and nothing of it is run."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GPT2Config,
    GPTNeoXConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
)

from publishing import publish
from trellis.command import execute
from trellis.documents import END_OF_TEXT
from trellis.errors import TrellisError
from trellis.manifest import file_sha256

VOCABULARY, WORDS = 320, 283
SHAPES = {
    "gpt_neox": (GPTNeoXConfig, {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}),
    "gpt2": (GPT2Config, {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64}),
    "qwen2": (
        Qwen2Config,
        {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_key_value_heads": 2}
        | {"tie_word_embeddings": True},
    ),
}


def train_tokenizer(text: str) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=WORDS, special_tokens=[END_OF_TEXT], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator([text], trainer)
    return tokenizer


def release(folder, kind: str) -> None:
    """A tiny model as it lies on the hub: float16, with a pickle beside it that nobody may read."""
    torch.manual_seed(0)
    config, shape = SHAPES[kind]
    heads = {} if kind == "gpt2" else {"num_attention_heads": 4, "max_position_embeddings": 64}
    made = config(vocab_size=VOCABULARY, bos_token_id=0, eos_token_id=0, **shape, **heads)
    AutoModelForCausalLM.from_config(made).half().save_pretrained(folder)
    (folder / "generation_config.json").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04not to be unpickled")
    train_tokenizer("some words and some more words for a tokenizer").save(str(folder / "tokenizer.json"))


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    """released(kind) -> the folder of such a model, made once."""
    made = {}

    def of(kind: str):
        if kind not in made:
            made[kind] = tmp_path_factory.mktemp("released") / kind
            release(made[kind], kind)
        return made[kind]

    return of


@pytest.fixture
def take_in(released, make_spec, tmp_path):
    """take_in(change=..., **stated): the stage on a copy of the released files; `change(folder)` spoils them first. From
    a folder of this machine (`local`), `late(folder)` spoils them once they are locked."""

    def run(change=None, tokenizer=None, vocab_size=VOCABULARY, kind="gpt_neox", local=False, late=None, **stated):
        files = tmp_path / "hub" / "files"
        shutil.copytree(released(kind), files)
        if change:
            change(files)
        words = tokenizer or Tokenizer.from_file(str(released(kind) / "tokenizer.json"))
        PreTrainedTokenizerFast(tokenizer_object=words, eos_token=END_OF_TEXT, pad_token=END_OF_TEXT).save_pretrained(
            tmp_path / "tokenizer" / "tokenizer"
        )
        inputs = {"tokenizer": [publish(tmp_path / "tokenizer", "tokenize", "tokenizer")]}
        counted = AutoModelForCausalLM.from_pretrained(released(kind)).num_parameters()
        model = {"parameters": counted, "training_tokens": 1000, **stated}
        config = {"model": model, "vocab_size": vocab_size}
        if local:
            model |= {"kind": "pretrained_folder", "folder": str(files)}
            locked = [
                path for pattern in ("config.json", "*.safetensors*", "tokenizer.json") for path in files.glob(pattern)
            ]
            config["local"] = {
                str(path): {"bytes": path.stat().st_size, "sha256": file_sha256(path)} for path in locked
            }
            if late:
                late(files)
        else:
            model |= {"kind": "pretrained", "repo": "someone/tiny"}
            inputs["files"] = [publish(files.parent, "download", "hub", metrics={"repo": "someone/tiny"})]
        return execute(make_spec("pretrain", "pretrained", "tiny", config, inputs), tmp_path / "out")

    return run


@pytest.mark.parametrize("local", [False, True], ids=["hub", "folder"])
@pytest.mark.parametrize("kind", SHAPES)
def test_the_model_is_the_one_that_was_released(take_in, released, tmp_path, kind, local):
    made = take_in(kind=kind, local=local)
    ours = AutoModelForCausalLM.from_pretrained(made.folder / "model", dtype=torch.float32)
    theirs = AutoModelForCausalLM.from_pretrained(released(kind), dtype=torch.float32)
    tokens = torch.arange(40)[None]
    assert torch.equal(ours(tokens).logits, theirs(tokens).logits)
    assert AutoTokenizer.from_pretrained(made.folder / "model").eos_token == END_OF_TEXT
    assert ours.generation_config.eos_token_id == 0
    assert made.metrics == {
        "architecture": kind,
        "parameters": theirs.num_parameters(),
        "tokens": 1000,
        "training_flops": 6 * theirs.num_parameters() * 1000,
        **({"folder": str(tmp_path / "hub/files")} if local else {"repo": "someone/tiny"}),
    }
    assert {path.name for path in (made.folder / "model").iterdir()} == {
        *("config.json", "generation_config.json", "model.safetensors", "README.md"),
        *("tokenizer.json", "tokenizer_config.json"),
    }
    card = (made.folder / "model/README.md").read_text()
    assert f"{type(theirs).__name__}\n" in card and f"{theirs.num_parameters():,}, counted" in card
    assert ("A copy of files, pretrained" if local else "A copy of someone/tiny, pretrained") in card
    assert str(tmp_path) not in card


def test_a_model_in_several_files_is_taken_whole(take_in, released):
    def in_several_files(folder):
        (folder / "model.safetensors").unlink()
        AutoModelForCausalLM.from_pretrained(released("gpt_neox")).save_pretrained(folder, max_shard_size="40KB")

    made = take_in(in_several_files, local=True)
    assert len(made.paths("model/model-0000")) > 1
    theirs = AutoModelForCausalLM.from_pretrained(released("gpt_neox")).state_dict()
    ours = AutoModelForCausalLM.from_pretrained(made.folder / "model").state_dict()
    assert all(torch.equal(ours[name], weight) for name, weight in theirs.items())


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


def with_another_last_byte(folder):
    data = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(data[:-1] + bytes([data[-1] ^ 1]))


def with_an_index_that_leads_to_a_pickle(folder):
    weights = dict.fromkeys(load_file(folder / "model.safetensors"), "../../hub/files/pytorch_model.bin")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weights}))


def without_json(folder):
    (folder / "config.json").write_text("{")


@pytest.mark.parametrize("local", [False, True], ids=["hub", "folder"])
@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (in_config(auto_map={"AutoModelForCausalLM": "evil.Model"}), "asks for code of its own"),
        (in_config(text_config={"auto_map": {"AutoConfig": "evil.Config"}}), "asks for code of its own"),
        (in_config(attn_implementation="evil/kernel"), "asks for code of its own"),
        (in_config(_attn_implementation={"": "evil/kernel"}), "asks for code of its own"),
        (in_config(model_type="made_up"), "describes no causal language model that transformers knows"),
        (in_config(model_type="t5"), "describes no causal language model that transformers knows"),
        (in_config(hidden_size="wide"), "describes no causal language model that transformers knows .*expected int"),
        (in_config(hidden_act="evil"), "describes no causal language model that transformers knows"),
        (without_json, "config.json is not JSON"),
        (in_config(hidden_size=64), "parameters and the experiment states"),
        (without_a_weight, "layers.1.mlp.dense_4h_to_h.weight is missing in its safetensors files"),
        (with_a_wrong_shape, "do not load as the model that config.json describes"),
        (as_a_pickle, "do not load as the model that config.json describes"),
        (with_an_index_that_leads_to_a_pickle, r"index.json names \.\./\.\./hub/files/pytorch_model.bin"),
    ],
)
def test_what_is_not_the_stated_model_is_refused(take_in, tmp_path, change, sentence, local):
    with pytest.raises(TrellisError, match=sentence) as caught:
        take_in(change, local=local)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out/manifest.json").exists()


@pytest.mark.parametrize(
    ("late", "sentence"),
    [
        (without_a_weight, "model.safetensors has changed since it was locked"),
        (with_another_last_byte, "model.safetensors has changed since it was locked"),
        (lambda folder: (folder / "tokenizer.json").unlink(), "tokenizer.json, which the lock pins, is not there"),
        (lambda folder: shutil.rmtree(folder), "config.json, which the lock pins, is not there"),
    ],
)
def test_a_folder_that_is_not_what_was_locked_is_refused(take_in, late, sentence):
    with pytest.raises(TrellisError, match=sentence):
        take_in(local=True, late=late)


def test_other_numbers_or_tokens_than_the_experiment_states_are_refused(take_in):
    with pytest.raises(TrellisError, match="correct models.tiny.parameters"):
        take_in(parameters=12)


def test_another_vocabulary_size_is_refused(take_in):
    with pytest.raises(TrellisError, match="all models of an experiment share one tokenizer"):
        take_in(vocab_size=512)


def with_tokens(folder, *special: str, plain: str = "") -> Tokenizer:
    """The released tokenizer with more tokens."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.add_special_tokens(list(special))
    if plain:
        tokenizer.add_tokens([plain])
    return tokenizer


def test_chat_tokens_take_free_rows_of_the_embedding(take_in, released):
    ours = with_tokens(released("gpt_neox"), "<|user|>", "<|assistant|>")
    made = take_in(tokenizer=ours, local=True)
    exported = AutoTokenizer.from_pretrained(made.folder / "model")
    assert exported.encode("<|user|><|assistant|>") == [WORDS, WORDS + 1]
    model = AutoModelForCausalLM.from_pretrained(made.folder / "model")
    assert model(torch.tensor([[5, WORDS, WORDS + 1]])).logits.shape == (1, 3, VOCABULARY)


def test_chat_tokens_of_the_model_itself_may_be_others(take_in, released):
    def with_its_own(folder):
        with_tokens(folder, "<|theirs|>").save(str(folder / "tokenizer.json"))

    assert take_in(with_its_own, with_tokens(released("gpt_neox"), "<|user|>", "<|assistant|>"))


def test_tokens_fill_the_embedding_and_no_more(take_in, released):
    full = [f"<|{number}|>" for number in range(VOCABULARY - WORDS)]
    assert take_in(tokenizer=with_tokens(released("gpt_neox"), *full))


def test_a_token_past_the_last_row_of_the_embedding_is_refused(take_in, released):
    many = [f"<|{number}|>" for number in range(VOCABULARY - WORDS + 1)]
    with pytest.raises(TrellisError, match=r"has 320 rows in its embedding, .* gives <\|37\|> the id 320"):
        take_in(tokenizer=with_tokens(released("gpt_neox"), *many))


@pytest.mark.parametrize(
    "other",
    [
        lambda folder: train_tokenizer("entirely different letters: xyz xyz zyx zyx qqq"),
        lambda folder: with_tokens(folder, plain="a word"),
    ],
    ids=["another BPE", "a word more"],
)
def test_another_tokenizer_is_refused(take_in, released, other):
    with pytest.raises(TrellisError, match="other tokens than the experiment's tokenizer"):
        take_in(tokenizer=other(released("gpt_neox")))
