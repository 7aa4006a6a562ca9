"""A mixture as rows: every selected document's tokens in reading order, cut to exactly the rows that the budget grants."""

import json
import logging
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from trellis.budget import tokens_needed
from trellis.command import Result
from trellis.documents import END_OF_TEXT, read_rows, tables_by_source
from trellis.errors import TrellisError
from trellis.experiment.mixture import Mixture
from trellis.manifest import WORK
from trellis.progress import bar
from trellis.spec import Spec

LOG = logging.getLogger("trellis")
BATCH = 256


def run(spec: Spec, out: Path) -> Result:
    """Writes the mixture's rows. Raises TrellisError when a source's documents hold fewer tokens than were selected."""
    mixture = Mixture.model_validate(spec.config["mixture"])
    context = spec.config["context"]
    tokenizer = Tokenizer.from_file(str(spec.input("tokenizer").path("tokenizer/tokenizer.json")))
    # A document that spells out <|endoftext|> holds text, not the end of a document.
    tokenizer.encode_special_tokens = True
    selected = spec.input("selected")
    plan = json.loads(selected.path("plan.json").read_text(encoding="utf-8"))["sources"]
    granted = {name: plan[name]["granted_tokens"] // context for name in mixture.sources}
    streams = _Streams(out, tokenizer)
    sources, validation = [], []
    tables = tables_by_source(spec.inputs_of("documents"))
    with bar("packing", len(tables), "sources") as progress:
        for name, files in tables.items():
            chosen = _chosen(selected.path(f"selected/{name}.parquet"))
            offsets = streams.encode(files, chosen)
            if rows := granted.get(name, 0):
                sources.append(_train(name, mixture, context, rows, streams, chosen, offsets))
            validation.append(_validation(name, context, streams, chosen, offsets, tokenizer))
            progress.advance()
    sources.sort(key=lambda entry: list(granted).index(entry["source"]))
    rows = sum(entry["rows"] for entry in sources)
    order = np.random.Generator(np.random.PCG64(spec.config["seed"])).permutation(rows).astype(np.uint32)
    np.save(out / "train" / "order.npy", order)
    metrics = {"context": context, "rows": rows, "tokens": rows * context, "sources": sources, "validation": validation}
    (out / "mixture.json").write_text(json.dumps(metrics, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return Result(metrics, rows={"train/order.npy": rows})


class _Streams:
    """Tokens of one source's documents on disk, in document order, from which rows are cut in reading order."""

    def __init__(self, out: Path, tokenizer: Tokenizer) -> None:
        self.out, self.tokenizer = out, tokenizer
        self.end = tokenizer.token_to_id(END_OF_TEXT)
        self.scratch = out / WORK / "tokens.bin"
        for folder in ("train", "validation", WORK):
            (out / folder).mkdir(exist_ok=True)

    def encode(self, files: list[Path], chosen: dict[int, tuple[str, int]]) -> dict[int, tuple[int, int]]:
        """Encodes the chosen documents into the scratch file; returns begin and end of each, by doc_id."""
        offsets, position, batch = {}, 0, []
        with self.scratch.open("wb") as file:

            def flush() -> None:
                nonlocal position
                encodings = self.tokenizer.encode_batch_fast([row["text"] for row in batch], add_special_tokens=False)
                for row, encoding in zip(batch, encodings, strict=True):
                    tokens = np.array([*encoding.ids, self.end], dtype=np.uint16)
                    file.write(tokens.tobytes())
                    offsets[row["doc_id"]] = (position, position + len(tokens))
                    position += len(tokens)
                batch.clear()

            for row in read_rows(files, ["doc_id", "text"]):
                if row["doc_id"] in chosen:
                    batch.append(row)
                if len(batch) == BATCH:
                    flush()
            flush()
        return offsets

    def cut(self, offsets: list[tuple[int, int]], length: int, path: Path) -> int:
        """Writes the first `length` tokens of the documents in this order; returns how many documents were begun."""
        tokens = np.memmap(self.scratch, dtype=np.uint16, mode="r") if offsets else np.empty(0, np.uint16)
        written = documents = 0
        with path.open("wb") as file:
            for begin, end in offsets:
                if written >= length:
                    break
                part = tokens[begin : min(end, begin + length - written)]
                file.write(part.tobytes())
                written, documents = written + len(part), documents + 1
        return documents


def _chosen(path: Path) -> dict[int, tuple[str, int]]:
    return {row["doc_id"]: (row["split"], row["rank"]) for row in read_rows([path])}


def _reading_order(split: str, chosen: dict, offsets: dict) -> list[tuple[int, int]]:
    members = sorted((rank, doc_id) for doc_id, (part, rank) in chosen.items() if part == split)
    missing = [doc_id for _, doc_id in members if doc_id not in offsets]
    if missing:
        raise TrellisError(
            f"{len(missing)} selected documents ({missing[0]}, ...) are not among the source's documents"
        )
    return [offsets[doc_id] for _, doc_id in members]


def _train(name: str, mixture: Mixture, context: int, rows: int, streams: _Streams, chosen, offsets) -> dict:
    members = _reading_order("train", chosen, offsets)
    available, needed = sum(end - begin for begin, end in members), tokens_needed(rows, context)
    asked = mixture.sources[name].tokens
    if available < needed:
        raise TrellisError(
            f"source {name}: its selected documents hold {available:,} tokens and {rows} rows of {context} need "
            f"{needed:,}; run the selection again or lower mixtures.*.sources.{name}.tokens"
        )
    documents = streams.cut(members, needed, streams.out / "train" / f"{name}.bin")
    return {
        "source": name,
        "asked_tokens": asked,
        "granted_tokens": rows * context,
        "rows": rows,
        "documents": documents,
        "left_over_tokens": available - needed,
    }


def _validation(name: str, context: int, streams: _Streams, chosen, offsets, tokenizer: Tokenizer) -> dict:
    """All whole rows of the held-out documents, with the bytes of text that their targets spell: bits per byte need it."""
    members = _reading_order("validation", chosen, offsets)
    rows = max(sum(end - begin for begin, end in members) - 1, 0) // context
    path = streams.out / "validation" / f"{name}.bin"
    streams.cut(members, tokens_needed(rows, context), path)
    targets = np.fromfile(path, dtype=np.uint16)[1:]
    return {"source": name, "rows": rows, "bytes": int(_bytes_of_tokens(tokenizer)[targets].sum())}


def _bytes_of_tokens(tokenizer: Tokenizer) -> np.ndarray:
    """The bytes of text behind each token id: byte-level tokens have one character per byte, added tokens are literal
    text, special tokens none."""
    sizes = np.zeros(max(tokenizer.get_vocab().values()) + 1, dtype=np.int64)
    for token, index in tokenizer.get_vocab(with_added_tokens=False).items():
        sizes[index] = len(token)
    for index, token in tokenizer.get_added_tokens_decoder().items():
        sizes[index] = 0 if token.special else len(token.content.encode())
    return sizes
