"""Documents, a tokenizer and evaluation texts as the stages before would hand them over."""

import json
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from pools import MATHS, Tables
from publishing import publish
from trellis.command import execute
from trellis.documents import SCHEMA, document_id, read_rows, write_table
from trellis.records import write_records

FIRST, LAST = "ba ce di fo gu ha je ki lo mu", "ran les mit nos tur"
WORDS = [first + last for first in FIRST.split() for last in LAST.split()]


@pytest.fixture(scope="session")
def sentence():
    """sentence(rng, words) -> a text of that many words from a small vocabulary."""
    return lambda rng, words: " ".join(rng.choices(WORDS, k=words))


@pytest.fixture
def documents(tmp_path):
    """documents(source, {native id: text}, shards=1) -> the folder of the source's documents, by doc_id."""

    def make(source: str, texts: dict[str, str], shards: int = 1, place: str = "documents") -> Path:
        rows = [
            {"doc_id": document_id(source, native), "text": text, "source": source, "licence": "CC0-1.0", "meta": "{}"}
            for native, text in texts.items()
        ]
        rows.sort(key=lambda row: row["doc_id"])
        folder, size = tmp_path / place / source, -(-len(rows) // shards)
        for shard in range(shards):
            part = rows[shard * size : (shard + 1) * size]
            write_table(folder / f"documents/{shard:03}.parquet", SCHEMA, part)
        return publish(folder, "download", "ingest", source, {"source": source})

    return make


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory) -> Path:
    """A byte-level BPE of 300 tokens."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer, bpe.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=["<|endoftext|>"], initial_alphabet=alphabet, show_progress=False
    )
    rng = random.Random(0)
    bpe.train_from_iterator([" ".join(rng.choices(WORDS, k=50)) for _ in range(100)], trainer)
    folder = tmp_path_factory.mktemp("tokenizer")
    (folder / "tokenizer").mkdir()
    bpe.save(str(folder / "tokenizer/tokenizer.json"))
    return publish(folder, "tokenize", "tokenizer", "tokenizer")


@pytest.fixture
def tokens(tmp_path):
    """tokens(folders) -> the token counts of the documents in these folders, as encoding leaves them: here, invented from
    the lengths of the texts."""

    def make(folders: list[Path], place: str = "tokens") -> Path:
        schema = pa.schema([("doc_id", pa.uint64()), ("n_tokens", pa.uint32())])
        for folder in folders:
            rows = (
                {"doc_id": row["doc_id"], "n_tokens": 3 + len(row["text"]) // 2} for row in read_rows(tables(folder))
            )
            write_table(tmp_path / place / f"tokens/{folder.name}.parquet", schema, rows)
        return publish(tmp_path / place, "tokenize", "encode", "encode")

    def tables(folder: Path) -> list[Path]:
        return sorted((folder / "documents").iterdir())

    return make


@pytest.fixture
def schemas(tmp_path):
    """schemas([{id, suite, text}]) -> the folder of the evaluation texts."""

    def make(records: list[dict]) -> Path:
        write_records(tmp_path / "schemas/reference.jsonl", records)
        return publish(tmp_path / "schemas", "evaluate", "schemas", "schemas")

    return make


@pytest.fixture
def side_tables(tmp_path):
    """side_tables({source: rows}) -> (features, scores): rows are dicts with doc_id and any other column."""
    features = pa.schema(
        [
            ("doc_id", pa.uint64()),
            ("n_tokens", pa.uint32()),
            ("n_tokens_reference", pa.uint32()),
            ("signature", pa.list_(pa.uint32())),
            ("contaminated_by", pa.string()),
        ]
    )
    scores = pa.schema(
        [
            ("doc_id", pa.uint64()),
            ("topics", pa.list_(pa.float32())),
            ("complexity", pa.float32()),
            ("quality", pa.float32()),
        ]
    )
    defaults = {"n_tokens": 10, "n_tokens_reference": 0}

    def make(sources: dict[str, list[dict]], place: str = "one") -> tuple[Path, Path]:
        root = tmp_path / "tables" / place
        for name, rows in sources.items():
            for folder, schema in (("features", features), ("scores", scores)):
                part = [{key: {**defaults, **row}.get(key) for key in schema.names} for row in rows]
                write_table(root / folder / folder / f"{name}.parquet", schema, part)
        labels = {"topics": ["mathematics_statistics", "law_government"]}
        publish(root / "features", "filter", "features", "features")
        return root / "features", publish(root / "scores", "classify", "score", "scores", {"labels": labels})

    return make


@pytest.fixture
def plan():
    return lambda manifest: json.loads(manifest.path("plan.json").read_text())


@pytest.fixture
def tables(tmp_path):
    """tables({source: rows}, place, shards=1, drop=()) -> their side tables."""
    return lambda sources, place="one", **cut: Tables(tmp_path / "tables" / place, sources, **cut)


@pytest.fixture
def select(make_spec, tmp_path):
    """select(tables, shares, ...) -> the manifest of the selection; `rules` are filter.selection."""

    def run(tables, shares, name="mix", rules=None, gone=None, contaminated=False, **changes):
        mixture = {"tokens": sum(share["tokens"] for share in shares.values()), "sources": shares}
        mixture |= {key: changes.pop(key) for key in ("tolerance", "arm") if key in changes}
        config = {"mixture": mixture, "selection": rules or {}, "relevance_topics": [MATHS]}
        config |= {"validation_share": 0.1, "seed": 3, "context": 64, **changes}
        inputs = {"features": tables.features, "scores": tables.scores}
        inputs["duplicates"] = [tables.duplicates(gone or {}, contaminated)]
        return execute(make_spec("filter", "select", f"select-{name}", config, inputs), tmp_path / name)

    return run


@pytest.fixture
def selected():
    """selected(manifest, source, split="train") -> {doc_id: rank}."""

    def read(made, source, split="train") -> dict[int, int]:
        rows = pq.read_table(made.path(f"selected/{source}.parquet")).to_pylist()
        return {row["doc_id"]: row["rank"] for row in rows if row["split"] == split}

    return read
