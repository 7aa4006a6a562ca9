"""Documents and a small tokenizer as the stages before would hand them over, and token shards made of them."""

import random
from pathlib import Path

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from publishing import publish
from trellis.command import execute
from trellis.documents import END_OF_TEXT, SCHEMA, document_id, write_table

WORDS = ["the", "model", "reads", "a", "schema", "and", "writes", '{"key":', "12}", "naïve", "or", "not", "–", "日本"]


@pytest.fixture(scope="session")
def prose():
    """prose(seed, words) -> a text."""
    return lambda seed, words: " ".join(random.Random(seed).choices(WORDS, k=words))


@pytest.fixture(scope="session")
def small_bpe(tmp_path_factory, prose) -> Path:
    """A result of the tokenizer command: a byte-level BPE of 300 tokens, two of them special."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer, bpe.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    special = [END_OF_TEXT, "<|user|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    bpe.train_from_iterator([prose(seed, 200) for seed in range(20)], trainer)
    folder = tmp_path_factory.mktemp("small_bpe")
    (folder / "tokenizer").mkdir()
    bpe.save(str(folder / "tokenizer/tokenizer.json"))
    return publish(folder, "tokenize", "tokenizer", "tokenizer")


@pytest.fixture
def documents(tmp_path):
    """documents(source, [texts, texts, ...]) -> the folder of a source's document tables, one of each list of texts."""

    def make(source: str, tables: list[list[str]], licences: tuple[str, ...] = ("CC0-1.0",)) -> Path:
        folder = tmp_path / "documents" / source
        for number, texts in enumerate(tables):
            rows = [
                {
                    "doc_id": document_id(source, f"{number}:{index}"),
                    "text": text,
                    "source": source,
                    "licence": licences[index % len(licences)],
                    "meta": "{}",
                }
                for index, text in enumerate(texts)
            ]
            write_table(folder / f"documents/{number:03}.parquet", SCHEMA, rows)
        return publish(folder, "download", "ingest", source, {"source": source})

    return make


@pytest.fixture
def encode_spec(make_spec, small_bpe):
    """encode_spec(folders, ...) -> the order to encode the documents in these folders with the small tokenizer."""

    def build(folders: list[Path], threads: int = 2, vocab_size: int = 384, tokenizer: Path = small_bpe):
        inputs = {"documents": folders, "tokenizer": [tokenizer]}
        return make_spec("tokenize", "encode", "encode", {"vocab_size": vocab_size}, inputs, threads)

    return build


@pytest.fixture
def encode(encode_spec, tmp_path):
    """encode(folders, name) -> the manifest of their token shards."""
    return lambda folders, name="encoded", **settings: execute(encode_spec(folders, **settings), tmp_path / name)
