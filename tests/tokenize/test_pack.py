"""Packing: exact rows, no token lost or invented, the same bytes however the documents lie in shards."""

import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from publishing import publish
from trellis.budget import rows_per_source, tokens_needed
from trellis.command import execute
from trellis.documents import END_OF_TEXT, SCHEMA, document_id, write_table
from trellis.errors import TrellisError
from trellis.experiment.mixture import Mixture
from trellis.tokenize.pack import _bytes_of_tokens

SELECTED = pa.schema([("doc_id", pa.uint64()), ("split", pa.string()), ("rank", pa.uint32())])
WORDS = ["the", "model", "reads", "a", "schema", "and", "writes", '{"key":', "12}", "naïve", "or", "not", "–", "日本"]


def documents_of(source, count, seed=0):
    random = np.random.default_rng(seed)
    texts = [" ".join(random.choice(WORDS, size=int(random.integers(5, 60)))) for _ in range(count)]
    texts[0] += f" spelt out: {END_OF_TEXT} goes on"
    rows = [
        {"doc_id": document_id(source, str(i)), "text": t, "source": source, "licence": "x", "meta": "{}"}
        for i, t in enumerate(texts)
    ]
    return sorted(rows, key=lambda row: row["doc_id"])


@pytest.fixture
def pool(tmp_path, make_spec):
    """Two sources, a tokenizer trained on them, and a selection of most documents in a shuffled order."""
    sources = {name: documents_of(name, 80, seed) for seed, name in enumerate(("alpha", "beta"))}
    folders = []
    for name, rows in sources.items():
        write_table(tmp_path / name / "documents/000.parquet", SCHEMA, rows)
        folders.append(publish(tmp_path / name, "download", "ingest", metrics={"source": name}))
    spec = make_spec(
        "tokenize",
        "tokenizer",
        config={"tokenizer": {"kind": "train", "vocab_size": 300, "sample_bytes": 8000}, "seed": 1},
        inputs={"documents": folders},
    )
    tokenizer = execute(spec, tmp_path / "tokenizer").folder

    for name, rows in sources.items():
        ranks = np.random.default_rng(5).permutation(len(rows))
        chosen = [
            {"doc_id": row["doc_id"], "split": "validation" if rank < 8 else "train", "rank": int(rank)}
            for row, rank in zip(rows, ranks, strict=True)
            if rank < 70
        ]
        write_table(tmp_path / f"selection/selected/{name}.parquet", SELECTED, chosen)
    selected = publish(tmp_path / "selection", "filter", "select")
    return sources, folders, tokenizer, selected


def pack(pool, make_spec, out, tokens=4000, context=32, folders=None):
    _, default, tokenizer, selected = pool
    mixture = {
        "tokens": tokens,
        "sources": {"beta": {"tokens": tokens // 4}, "alpha": {"tokens": tokens - tokens // 4}},
    }
    mixture = Mixture.model_validate(mixture)
    granted = {name: {"granted_tokens": rows * context} for name, rows in rows_per_source(mixture, context).items()}
    (selected / "plan.json").write_text(json.dumps({"sources": granted}))
    publish(selected, "filter", "select")
    spec = make_spec(
        "tokenize",
        "pack",
        config={"mixture": mixture, "context": context, "seed": 3},
        inputs={"documents": folders or default, "selected": [selected], "tokenizer": [tokenizer]},
    )
    return execute(spec, out)


def stream(pool, source, split):
    """What the selection says, encoded here by the plainest means."""
    sources, _, tokenizer_folder, selected = pool
    import pyarrow.parquet as pq

    tokenizer = Tokenizer.from_file(str(tokenizer_folder / "tokenizer/tokenizer.json"))
    tokenizer.encode_special_tokens = True
    texts = {row["doc_id"]: row["text"] for row in sources[source]}
    chosen = sorted(
        (row["rank"], row["doc_id"])
        for row in pq.read_table(selected / f"selected/{source}.parquet").to_pylist()
        if row["split"] == split
    )
    end = tokenizer.token_to_id(END_OF_TEXT)
    return [token for _, doc in chosen for token in [*tokenizer.encode(texts[doc]).ids, end]]


def test_every_row_is_what_the_selection_says(pool, make_spec, tmp_path):
    manifest = pack(pool, make_spec, tmp_path / "packed")
    for entry in manifest.metrics["sources"]:
        written = np.fromfile(manifest.folder / "train" / f"{entry['source']}.bin", dtype=np.uint16)
        expected = stream(pool, entry["source"], "train")
        assert len(written) == entry["rows"] * 32 + 1
        assert written.tolist() == expected[: len(written)]
        assert entry["left_over_tokens"] == len(expected) - len(written)
    order = np.load(manifest.folder / "train/order.npy")
    assert sorted(order.tolist()) == list(range(4000 // 32))
    assert order.tolist() != sorted(order.tolist())


def test_validation_rows_are_the_held_out_documents_and_their_bytes_are_exact(pool, make_spec, tmp_path):
    manifest = pack(pool, make_spec, tmp_path / "packed")
    tokenizer = Tokenizer.from_file(str(pool[2] / "tokenizer/tokenizer.json"))
    for entry in manifest.metrics["validation"]:
        written = np.fromfile(manifest.folder / "validation" / f"{entry['source']}.bin", dtype=np.uint16)
        assert written.tolist() == stream(pool, entry["source"], "validation")[: len(written)]
        sizes = _bytes_of_tokens(tokenizer)
        assert entry["bytes"] == sum(int(sizes[token]) for token in written[1:])


def test_token_bytes_add_up_to_the_text(pool):
    tokenizer = Tokenizer.from_file(str(pool[2] / "tokenizer/tokenizer.json"))
    sizes = _bytes_of_tokens(tokenizer)
    for row in pool[0]["alpha"][:20]:
        text = row["text"].replace(END_OF_TEXT, "")
        assert sizes[tokenizer.encode(text).ids].sum() == len(text.encode())


def test_same_bytes_twice(pool, make_spec, tmp_path):
    first, second = (pack(pool, make_spec, tmp_path / name) for name in ("one", "two"))
    assert [(f.path, f.sha256) for f in first.files] == [(f.path, f.sha256) for f in second.files]


def test_a_selection_that_falls_short_is_named(pool, make_spec, tmp_path):
    with pytest.raises(
        TrellisError, match="source alpha: its selected documents hold .* tokens and .* rows of 32 need"
    ):
        pack(pool, make_spec, tmp_path / "packed", tokens=64_000)
    assert not (tmp_path / "packed" / "manifest.json").exists()


@given(
    shares=st.lists(st.integers(1, 10_000_000), min_size=1, max_size=12),
    context=st.sampled_from([1, 7, 128, 2048]),
)
def test_budgets_become_rows_by_largest_remainder(shares, context):
    mixture = Mixture.model_validate(
        {"tokens": sum(shares), "sources": {f"s{i}": {"tokens": share} for i, share in enumerate(shares)}}
    )
    rows = rows_per_source(mixture, context)
    assert sum(rows.values()) == sum(shares) // context
    for name, count in rows.items():
        quota = mixture.sources[name].tokens * sum(rows.values()) / mixture.tokens
        assert abs(count - quota) < 1
        assert tokens_needed(count, context) == (count * context + 1 if count else 0)


def test_the_order_of_the_inputs_does_not_matter_to_the_content(pool, make_spec, tmp_path):
    one = pack(pool, make_spec, tmp_path / "one")
    two = pack(pool, make_spec, tmp_path / "two", folders=pool[1][::-1])
    train = [[f.sha256 for f in m.files if f.path.startswith("train")] for m in (one, two)]
    assert train[0] == train[1]
    assert json.dumps(one.metrics["sources"]) == json.dumps(two.metrics["sources"])
