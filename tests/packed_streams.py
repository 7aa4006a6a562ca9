"""Token shards and selections as the stages before packing leave them, made of token lists; and packed rows read back."""

import hashlib
import json
import random
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from publishing import publish
from trellis.documents import END_OF_TEXT, write_table
from trellis.manifest import file_sha256
from trellis.spec import Spec

TOKENS = pa.schema([("doc_id", pa.uint64()), ("n_tokens", pa.uint32())])
SELECTED = pa.schema([("doc_id", pa.uint64()), ("split", pa.string()), ("rank", pa.uint32())])
END = 256


@dataclass
class Source:
    """Documents {doc_id: tokens} in their order; those chosen for training and held out, each in reading order."""

    documents: dict[int, list[int]]
    train: list[int]
    validation: list[int] = field(default_factory=list)

    def read(self, doc_ids: list[int]) -> list[list[int]]:
        return [[*self.documents[doc_id], END] for doc_id in doc_ids]


def imagined_source(lengths: list[int], seed: int = 0, held_out: int = 0, left_out: int = 0) -> Source:
    """Documents of these many tokens, the last ones held out or not selected, in a random order and with random ranks."""
    rng = random.Random(seed)
    ids = [rng.getrandbits(64) for _ in lengths]
    documents = {doc_id: rng.choices(range(256), k=length) for doc_id, length in zip(ids, lengths, strict=True)}
    rng.shuffle(ids)
    train = len(lengths) - held_out - left_out
    return Source(dict(sorted(documents.items())), ids[:train], ids[train : train + held_out])


def byte_tokenizer(folder: Path) -> Path:
    """A tokenizer of the 256 bytes and the end of text."""
    (folder / "tokenizer").mkdir(parents=True)
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = Tokenizer(models.BPE(vocab={letter: place for place, letter in enumerate(letters)}, merges=[]))
    made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    made.add_special_tokens([END_OF_TEXT])
    assert made.token_to_id(END_OF_TEXT) == END
    made.save(str(folder / "tokenizer/tokenizer.json"))
    return publish(folder, "tokenize", "tokenizer", "tokenizer")


def token_shards(root: Path, sources: dict[str, Source], tokenizer: Path, shards: int = 1) -> list[Path]:
    """Results of encode: the documents of each source in `shards` runs, of which the last may be empty."""
    made = []
    for shard in range(shards):
        metrics = {}
        for name, source in sources.items():
            ids, size = list(source.documents), -(-len(source.documents) // shards) or 1
            metrics[name] = _token_files(
                root / f"encode-{shard}/tokens/{name}", source, ids[shard * size : (shard + 1) * size], tokenizer
            )
        made.append(publish(root / f"encode-{shard}", "tokenize", "encode", metrics={"sources": metrics}))
    return made


def _token_files(stem: Path, source: Source, ids: list[int], tokenizer: Path) -> dict:
    tokens = np.array([token for document in source.read(ids) for token in document], np.uint16)
    rows = [{"doc_id": doc_id, "n_tokens": len(source.documents[doc_id])} for doc_id in ids]
    write_table(stem.with_suffix(".parquet"), TOKENS, rows)
    stem.with_suffix(".bin").write_bytes(tokens.tobytes())
    sidecar = {
        "documents": len(ids),
        "tokens": len(tokens),
        "dtype": "uint16",
        "tokenizer_sha256": file_sha256(tokenizer / "tokenizer/tokenizer.json"),
        "sha256": hashlib.sha256(tokens.tobytes()).hexdigest(),
    }
    stem.with_suffix(".json").write_text(json.dumps(sidecar))
    return {"documents": len(ids), "tokens": len(tokens), "bytes": 0, "licences": [f"CC0-{stem.parts[-3]}"]}


def selection(folder: Path, sources: dict[str, Source], granted: dict[str, int]) -> Path:
    """A result of select that grants these tokens."""
    plan = {}
    for name, source in sources.items():
        ranks = {doc_id: ("train", rank) for rank, doc_id in enumerate(source.train)}
        ranks |= {doc_id: ("validation", rank) for rank, doc_id in enumerate(source.validation)}
        rows = [{"doc_id": doc_id, "split": split, "rank": rank} for doc_id, (split, rank) in ranks.items()]
        order = list(source.documents)
        write_table(
            folder / f"selected/{name}.parquet", SELECTED, sorted(rows, key=lambda row: order.index(row["doc_id"]))
        )
        held_out = sum(map(len, source.read(source.validation)))
        plan[name] = {"granted_tokens": granted.get(name, 0), "tokens": {"held_out": held_out}}
    (folder / "plan.json").write_text(json.dumps({"sources": plan}))
    return publish(folder, "filter", "select")


def packing_order(
    root: Path,
    sources: dict[str, Source],
    rows: dict[str, int],
    tokenizer: Path,
    context: int = 16,
    packing: str = "best_fit",
    repeat: float = 1.0,
    seed: int = 3,
    shards: int = 1,
) -> Spec:
    """What to pack, below `root`: of each source so many rows, every one read `repeat` times."""
    shares = {name: {"tokens": max(count, 1) * context, "repeat": repeat} for name, count in rows.items()}
    mixture = {"tokens": sum(share["tokens"] for share in shares.values()), "sources": shares}
    tokens = token_shards(root / "tokens", sources, tokenizer, shards)
    selected = selection(root / "selection", sources, {name: count * context for name, count in rows.items()})
    return Spec(
        experiment="test",
        stage="tokenize",
        command="pack",
        name="mixture",
        fingerprint="0" * 64,
        components={},
        config={"mixture": mixture, "context": context, "packing": packing, "seed": seed},
        inputs={"tokens": list(map(str, tokens)), "selected": [str(selected)], "tokenizer": [str(tokenizer)]},
        machine={},
    )


def tokens_of(path: Path) -> list[int]:
    return np.fromfile(path, np.uint16).tolist()


def documents_of(tokens: list[int]) -> list[tuple[int, ...]]:
    """The documents of a stream with their ends; the last may be a part of one."""
    found: list[tuple[int, ...]] = []
    begin = 0
    for place, token in enumerate(tokens):
        if token == END:
            found.append(tuple(tokens[begin : place + 1]))
            begin = place + 1
    return [*found, tuple(tokens[begin:])] if begin < len(tokens) else found


def rows_of(begin: int, length: int, context: int) -> int:
    """In how many rows of `context + 1` tokens a document lies, counted row by row."""
    row, count = begin // context, 1
    while begin + length - 1 > (row + 1) * context:
        row, count = row + 1, count + 1
    return count


def is_cut(begin: int, length: int, context: int) -> bool:
    return rows_of(begin, length, context) > min(rows_of(other, length, context) for other in range(context))
