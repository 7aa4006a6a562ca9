"""A packed mixture, a tokenizer, and orders for a pretraining in miniature on them."""

import json

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from publishing import publish
from small_training import CONTEXT, LLAMA, RECIPE, VOCABULARY
from trellis.documents import END_OF_TEXT

# What the card of a model tells of a source, and a training does not ask for.
ACCOUNT = {
    "asked_tokens": 960, "granted_tokens": 960, "repeat": 1.0, "documents": 9, "unique_documents": 9, "unique_tokens": 960,
    "left_over_tokens": 0, "cut_documents": 0, "cut_in_reading_order": 0, "licences": {"CC0-1.0": 9},
}  # fmt: skip


@pytest.fixture
def mixture(tmp_path):
    """Two sources of a learnable pattern: every token follows from the one before. 60 rows of each, 5 for validation."""
    folder = tmp_path / "mixture"
    random = np.random.default_rng(0)
    sources, validation = [], []
    for split, entries, count in (("train", sources, 60), ("validation", validation, 5)):
        (folder / split).mkdir(parents=True)
        for name, stride in (("alpha", 3), ("beta", 7)):
            start = random.integers(0, 256)
            tokens = (start + stride * np.arange(count * CONTEXT + 1)) % 256
            tokens.astype(np.uint16).tofile(folder / split / f"{name}.bin")
            entries.append({"source": name, "rows": count, "bytes": 2 * count * CONTEXT, **ACCOUNT})
    np.save(folder / "train/order.npy", random.permutation(120).astype(np.uint32))
    return publish(folder, metrics={"context": CONTEXT, "sources": sources, "validation": validation})


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokens") / "tokenizer"
    folder.mkdir()
    vocabulary = {token: index for index, token in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([END_OF_TEXT])
    tokenizer.save(str(folder / "tokenizer.json"))
    special = {"eos_token": END_OF_TEXT, "pad_token": END_OF_TEXT}
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", **special}))
    return publish(folder.parent)


@pytest.fixture
def spec_of(mixture, tokenizer, make_spec):
    """spec_of(model, **recipe): the order for a training of 15 steps of 8 rows. Runtime keys are no part of its address."""

    def build(model=LLAMA, **recipe):
        config = {"model": model, "vocab_size": VOCABULARY, "pretraining": {**RECIPE, **recipe}}
        spec = make_spec("pretrain", "train", config=config, inputs={"mixture": [mixture], "tokenizer": [tokenizer]})
        return spec.model_copy(update={"fingerprint": "f" * 64})

    return build
