"""A mixture as rows: the selected documents' tokens in exactly the rows that its budget grants."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from trellis.budget import rows_within, to_select, tokens_needed
from trellis.command import Result
from trellis.errors import TrellisError
from trellis.experiment.mixture import Mixture
from trellis.manifest import Manifest, file_sha256
from trellis.progress import Bar, bar
from trellis.spec import Spec
from trellis.tokenize.stream import Stream
from trellis.tokenize.token_shards import Documents, TokenShards

# Tokens of a finished file that are counted together.
COUNTED = 1 << 24


def run(spec: Spec, out: Path) -> Result:
    """Writes the mixture's rows. Raises TrellisError when a source's tokens are not what they should be, or too few."""
    mixture = Mixture.model_validate(spec.config["mixture"])
    context, seed = spec.config["context"], spec.config["seed"]
    tokenizer, selected = spec.input("tokenizer").path("tokenizer/tokenizer.json"), spec.input("selected")
    plan = json.loads(selected.path("plan.json").read_text(encoding="utf-8"))["sources"]
    rows_of = {name: plan[name]["granted_tokens"] // context for name in mixture.sources}
    shards = _verified(spec.inputs_of("tokens"), file_sha256(tokenizer))
    for folder in ("train", "validation"):
        (out / folder).mkdir()
    train, validation = {}, []
    total = sum(rows_of.values()) * context + sum(each["tokens"]["held_out"] for each in plan.values())
    with bar("packing", total, "token") as progress:
        spelt = bytes_of_tokens(Tokenizer.from_file(str(tokenizer)))
        packer = Packer(mixture, context, spec.config["packing"], seed, spelt, out, progress)
        for name, tokens in shards.items():
            documents, held_out = tokens.locate(selected.path(f"selected/{name}.parquet"))
            if rows := rows_of.get(name, 0):
                train[name] = packer.train(tokens, documents, rows)
            validation.append(packer.validation(tokens, held_out))
            del documents, held_out  # before the next source's come: there may be many
    sources = [train[name] for name, rows in rows_of.items() if rows]
    rows = sum(entry["rows"] for entry in sources)
    order = np.random.Generator(np.random.PCG64(seed)).permutation(rows).astype(np.uint32)
    np.save(out / "train/order.npy", order)
    metrics = {"context": context, "rows": rows, "tokens": rows * context, "sources": sources, "validation": validation}
    (out / "mixture.json").write_text(json.dumps(metrics, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return Result(metrics, rows={"train/order.npy": rows})


def _verified(made: list[Manifest], tokenizer_sha256: str) -> dict[str, TokenShards]:
    """The tokens of each source."""
    names = list(dict.fromkeys(name for manifest in made for name in manifest.metrics["sources"]))
    shards = {}
    with bar("verifying tokens", len(names), "source") as progress:
        for name in names:
            shards[name] = TokenShards(name, made, tokenizer_sha256)
            progress.advance()
    return shards


@dataclass(frozen=True)
class Packer:
    """How every source of a mixture is packed, and where to; `spelt` are the bytes of text of each token."""

    mixture: Mixture
    context: int
    packing: str
    seed: int
    spelt: np.ndarray
    out: Path
    progress: Bar

    def train(self, shards: TokenShards, documents: Documents, rows: int) -> dict[str, Any]:
        """Writes a source's training rows; returns its part of mixture.json."""
        name, needed = shards.source, tokens_needed(rows, self.context)
        share = self.mixture.sources[name]
        stream = Stream(documents.length, needed, self.context, self.packing, self.seed)
        if stream.available < to_select(needed, share.repeat):
            raise TrellisError(
                f"source {name}: {rows:,} rows of {self.context} need {to_select(needed, share.repeat):,} tokens, read "
                f"{share.repeat:g} times, and its selected documents hold {stream.available:,}; run the selection again "
                f"or lower mixtures.*.sources.{name}.tokens"
            )
        shards.write(self.out / f"train/{name}.bin", documents, stream.orders(), needed, self.progress)
        return {
            "source": name,
            "asked_tokens": share.tokens,
            "granted_tokens": rows * self.context,
            "rows": rows,
            "repeat": share.repeat,
            "documents": stream.documents,
            "unique_documents": min(stream.documents, len(documents.length)),
            "unique_tokens": min(needed, stream.available),
            "left_over_tokens": stream.left_over,
            "cut_documents": stream.cut,
            "cut_in_reading_order": stream.cut_in_reading_order,
            "licences": shards.licences,
        }

    def validation(self, shards: TokenShards, documents: Documents) -> dict[str, Any]:
        """Writes all whole rows of a source's held-out documents, by rank; returns its part of mixture.json, with the bytes
        of text that the targets spell: bits per byte need them."""
        name, available = shards.source, int(documents.length.sum(dtype=np.int64))
        rows = rows_within(available, self.context)
        path, by_rank = self.out / f"validation/{name}.bin", np.arange(len(documents.length), dtype=np.uint32)
        shards.write(path, documents, [by_rank], tokens_needed(rows, self.context), self.progress)
        targets = np.memmap(path, "<u2", mode="r")[1:] if rows else np.empty(0, np.uint16)
        spelt = 0
        for start in range(0, len(targets), COUNTED):
            counts = np.bincount(targets[start : start + COUNTED], minlength=len(self.spelt))
            spelt += int((counts * self.spelt).sum())
        return {"source": name, "rows": rows, "bytes": spelt}


def bytes_of_tokens(tokenizer: Tokenizer) -> np.ndarray:
    """The bytes of text behind each token id: byte-level tokens have one character per byte, added tokens are literal
    text, special tokens none."""
    sizes = np.zeros(max(tokenizer.get_vocab().values()) + 1, dtype=np.int64)
    for token, index in tokenizer.get_vocab(with_added_tokens=False).items():
        sizes[index] = len(token)
    for index, token in tokenizer.get_added_tokens_decoder().items():
        sizes[index] = 0 if token.special else len(token.content.encode())
    return sizes
