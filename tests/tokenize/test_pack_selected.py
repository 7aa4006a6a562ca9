"""Packing agrees with the stages before: it packs to the row what was selected, and the tokens that were encoded."""

from collections import Counter

import numpy as np
import pyarrow.parquet as pq
import pytest
from tokenizers import Tokenizer

from packed_streams import Source, byte_tokenizer, documents_of, selection, token_shards, tokens_of
from pools import Tables, pool
from trellis.command import execute
from trellis.documents import END_OF_TEXT

CONTEXT = 32
REPEATS = {"once": 1.0, "often": 10.0, "now and then": 2.5, "sometimes": 0.25, "rarely": 0.7}
HELD_OUT = 0.1


@pytest.mark.parametrize("packing", ["best_fit", "concatenate"])
@pytest.mark.parametrize("tolerance", [0.0, 0.5])
def test_every_budget_is_packed_to_the_row_from_documents_read_as_often_as_asked(
    make_spec, tmp_path, packing, tolerance
):
    rng = np.random.default_rng(0)
    rows = {name: pool(seed, 150, contaminated_by=None) for seed, name in enumerate(REPEATS)}
    tokenizer = byte_tokenizer(tmp_path / "tokenizer")
    tables = Tables(tmp_path / "tables", rows)
    sources = {
        name: Source({row["doc_id"]: rng.integers(0, 256, row["n_tokens"]).tolist() for row in each}, [])
        for name, each in rows.items()
    }
    asked = 20_000 if tolerance else 1_000
    shares = {name: {"tokens": asked + place, "repeat": repeat} for place, (name, repeat) in enumerate(REPEATS.items())}
    shares = {name: share for name, share in shares.items() if not tolerance or name in ("often", "now and then")}
    mixture = {"tokens": sum(share["tokens"] for share in shares.values()), "tolerance": tolerance, "sources": shares}
    config = {"mixture": mixture, "selection": {}, "relevance_topics": [], "validation_share": HELD_OUT}
    config |= {"seed": 3, "context": CONTEXT}
    inputs = {"features": tables.features, "scores": tables.scores, "duplicates": [tables.duplicates({})]}
    selected = execute(make_spec("filter", "select", "select-mix", config, inputs), tmp_path / "selected")
    made = {"tokens": token_shards(tmp_path / "tokens", sources, tokenizer, 2), "selected": [selected.folder]}
    config = {"mixture": mixture, "context": CONTEXT, "packing": packing, "seed": 3}
    spec = make_spec("tokenize", "pack", "mix", config, {**made, "tokenizer": [tokenizer]})
    packed = execute(spec, tmp_path / "packed")

    plan = selected.metrics["sources"]
    assert packed.metrics["rows"] == sum(plan[name]["granted_tokens"] for name in shares) // CONTEXT
    assert tolerance or packed.metrics["rows"] == mixture["tokens"] // CONTEXT
    for entry in packed.metrics["sources"]:
        name, repeat = entry["source"], entry["repeat"]
        assert (entry["asked_tokens"], repeat) == (shares[name]["tokens"], shares[name]["repeat"])
        assert entry["granted_tokens"] == plan[name]["granted_tokens"] == entry["rows"] * CONTEXT
        written = tokens_of(packed.path(f"train/{name}.bin"))
        assert len(written) == entry["rows"] * CONTEXT + 1
        chosen = pq.read_table(selected.path(f"selected/{name}.parquet")).to_pylist()
        train = {tuple(sources[name].read([row["doc_id"]])[0]) for row in chosen if row["split"] == "train"}
        times = Counter(documents_of(written))
        cut = [document for document in times if document not in train]
        assert len(cut) <= 1 and all(any(whole[: len(part)] == part for whole in train) for part in cut)
        assert all(count <= -(-repeat // 1) for count in times.values())
        # The selected documents exceed what is needed by less than one of them.
        longest = max(map(len, train))
        read = len(written) / sum(map(len, train))
        assert repeat - 1.1 * repeat * longest / sum(map(len, train)) < read <= repeat
        seen = [times[document] for document in train]
        assert min(seen) >= max(seen) - 1 - bool(cut)


def test_the_texts_that_were_encoded_come_back_from_the_rows(make_spec, documents, encode, small_bpe, prose, tmp_path):
    texts = [*(prose(seed, seed % 40) for seed in range(90)), f"spelt {END_OF_TEXT} out", "\N{SNOWMAN} ", "", "last"]
    encoded = encode([documents("web", [texts[:50], texts[50:]])])
    ids = pq.read_table(encoded.path("tokens/web.parquet"))["doc_id"].to_pylist()
    source = Source({doc_id: [] for doc_id in ids}, ids[:70], ids[70:])
    available = int(pq.read_table(encoded.path("tokens/web.parquet"))["n_tokens"].to_numpy()[:70].sum()) + 70
    rows = (available - 1) // CONTEXT
    selected = selection(tmp_path / "selected", {"web": source}, {"web": rows * CONTEXT})
    mixture = {"tokens": rows * CONTEXT, "sources": {"web": {"tokens": rows * CONTEXT}}}
    config = {"mixture": mixture, "context": CONTEXT, "packing": "best_fit", "seed": 3}
    inputs = {"tokens": [encoded.folder], "selected": [selected], "tokenizer": [small_bpe]}
    packed = execute(make_spec("tokenize", "pack", "mix", config, inputs), tmp_path / "packed")

    tokenizer = Tokenizer.from_file(str(small_bpe / "tokenizer/tokenizer.json"))
    end = tokenizer.token_to_id(END_OF_TEXT)

    def texts_of(split: str) -> list[str]:
        tokens = np.fromfile(packed.path(f"{split}/web.bin"), np.uint16)
        return [tokenizer.decode(part) for part in np.split(tokens, np.flatnonzero(tokens == end) + 1)]

    # Behind the last end of text there is the part of a document that the budget still needs, or nothing.
    *whole, part = texts_of("train")
    left = Counter(texts[:70]) - Counter(whole)
    assert sum(left.values()) == 70 - len(whole) <= 1 and any(text.startswith(part) for text in left or [""])
    *whole, part = texts_of("validation")
    assert [*whole, part] == [*texts[70 : 70 + len(whole)], texts[70 + len(whole)][: len(part)]]
    (entry,) = packed.metrics["validation"]
    first = tokenizer.id_to_token(int(np.fromfile(packed.path("validation/web.bin"), np.uint16)[0]))  # is no target
    assert entry["bytes"] == len("".join([*whole, part]).encode()) - len(first)
