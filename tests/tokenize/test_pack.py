"""Packing: exact rows, every token exactly as often as the mixture says, the same bytes however documents lie in shards."""

import json
from collections import Counter
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from packed_streams import byte_tokenizer, documents_of, imagined_source, is_cut, packing_order, token_shards, tokens_of
from trellis.budget import rows_per_source, rows_within, to_read, to_select, tokens_needed
from trellis.command import execute
from trellis.documents import END_OF_TEXT
from trellis.errors import TrellisError
from trellis.experiment.mixture import Mixture
from trellis.manifest import Manifest, file_sha256
from trellis.progress import bar
from trellis.tokenize import pack as command
from trellis.tokenize import token_shards as token_files
from trellis.tokenize.token_shards import Documents, TokenShards

SIZES = {
    "ROWS": token_files.ROWS,
    "DOCUMENTS": token_files.DOCUMENTS,
    "WINDOW": token_files.WINDOW,
    "WRITTEN": token_files.WRITTEN,
}


@pytest.fixture(scope="module", autouse=True)
def small_windows():
    """What is done some at a time is done a few at a time."""
    with pytest.MonkeyPatch.context() as patch:
        for name, size in (("ROWS", 5), ("DOCUMENTS", 11), ("WINDOW", 97), ("WRITTEN", 23)):
            patch.setattr(token_files, name, size)
        patch.setattr(command, "COUNTED", 13)
        yield


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory) -> Path:
    return byte_tokenizer(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture
def pack(tokenizer, tmp_path):
    """pack(sources, rows, name="packed", ...) -> the manifest."""

    def run(sources, rows, name="packed", **changes):
        return execute(packing_order(tmp_path / name, sources, rows, tokenizer, **changes), tmp_path / name / "out")

    return run


@pytest.fixture
def two_sources():
    return {"alpha": imagined_source(any_lengths(1, 90), 10), "beta": imagined_source(any_lengths(2, 90), 11)}


def any_lengths(seed: int, count: int) -> list[int]:
    return np.random.default_rng(seed).integers(0, 60, count).tolist()


def plain_passes(source, needed: int, seed: int) -> list[list[list[int]]]:
    """The documents in reading order, pass by pass, until there are `needed` tokens; the last one is cut."""
    passes, left = [], needed
    while left:
        ranks = np.arange(len(source.train), dtype=np.uint32)
        if passes:
            np.random.Generator(np.random.PCG64([seed, len(passes)])).shuffle(ranks)
        passes.append([])
        for document in source.read([source.train[rank] for rank in ranks]):
            if left:
                passes[-1].append(document[:left])
                left -= len(passes[-1][-1])
    return passes


def cut_documents(tokens: list[int], context: int) -> int:
    cut = begin = 0
    for document in documents_of(tokens):
        cut += is_cut(begin, len(document), context)
        begin += len(document)
    return cut


@settings(deadline=None, max_examples=60)
@given(
    lengths=st.lists(st.one_of(st.just(0), st.integers(0, 6), st.integers(0, 70)), min_size=1, max_size=40),
    repeat=st.one_of(st.sampled_from([0.25, 1.0, 2.0, 2.5, 10.0]), st.integers(25, 1000).map(lambda r: r / 100)),
    context=st.integers(1, 24),
    packing=st.sampled_from(["best_fit", "concatenate"]),
    shards=st.integers(1, 4),
    left_out=st.integers(0, 5),
    full=st.floats(0, 1),
)
def test_every_token_is_read_exactly_as_often_as_the_mixture_says(
    tokenizer, lengths, repeat, context, packing, shards, left_out, full
):
    source = imagined_source(lengths + [3] * left_out, len(lengths), left_out=left_out)
    available = sum(map(len, source.read(source.train)))
    rows = round(full * rows_within(to_read(available, repeat), context))
    with TemporaryDirectory() as folder:
        root = Path(folder)
        spec = packing_order(root, {"web": source}, {"web": rows}, tokenizer, context, packing, repeat, 3, shards)
        (root / "out").mkdir()
        metrics = command.run(spec, root / "out").metrics
        written = tokens_of(root / "out/train/web.bin") if rows else []
    needed = rows * context + 1 if rows else 0
    assert metrics["rows"] == rows and len(written) == needed
    if not rows:
        return
    passes = plain_passes(source, needed, 3)
    expected = [token for each in passes for document in each for token in document]
    assert Counter(documents_of(written)) == Counter(documents_of(expected))
    (entry,) = metrics["sources"]
    assert packing == "best_fit" or written == expected
    assert entry["cut_documents"] == cut_documents(written, context)
    assert entry["cut_in_reading_order"] == cut_documents(expected, context)
    begin = 0
    for each in passes:
        # A pass is packed by itself: its documents stand together.
        end = begin + sum(map(len, each))
        own = [token for document in each for token in document]
        assert Counter(documents_of(written[begin:end])) == Counter(documents_of(own))
        begin = end
    # Every document as often as any other or once more, and never more often than the mixture says.
    whole, rest = divmod(needed, available)
    assert len(passes) == whole + (rest > 0) <= -(-repeat // 1)
    assert entry["documents"] == sum(map(len, passes))
    assert entry["unique_documents"] == (len(source.train) if whole else len(passes[0]))
    assert entry["unique_tokens"] == min(needed, available)
    last = len(source.read([source.train[len(passes[0]) - 1]])[0]) if len(passes) == 1 else None
    assert last is None or entry["left_over_tokens"] == last - len(passes[0][-1])
    assert 0 <= entry["left_over_tokens"] < max(map(len, source.read(source.train)))
    assert (entry["granted_tokens"], entry["repeat"]) == (rows * context, repeat)


def test_copies_of_a_document_do_not_meet_in_a_row(pack):
    """But where one pass ends and the next begins: 60 documents of unlike lengths, read six times."""
    source = imagined_source(any_lengths(2, 60))
    rows = rows_within(6 * sum(map(len, source.read(source.train))), 64)
    manifest = pack({"web": source}, {"web": rows}, context=64, repeat=6.0)
    met, begin, rows_with = 0, 0, {}
    for document in documents_of(tokens_of(manifest.path("train/web.bin"))):
        if len(document) > 5:  # shorter ones may be equal by chance
            row = begin // 64
            met += rows_with.get(document) == row
            rows_with[document] = row
        begin += len(document)
    assert met <= 5


def test_the_order_is_the_seeded_permutation_of_all_rows_in_the_order_of_the_mixture(pack, two_sources):
    rows = {"beta": 60, "alpha": 100}
    manifest = pack(two_sources, rows, seed=5)
    order = np.load(manifest.path("train/order.npy"))
    assert order.dtype == np.uint32
    assert order.tolist() == np.random.Generator(np.random.PCG64(5)).permutation(160).tolist()
    assert sorted(order.tolist()) == list(range(160))
    assert [entry["source"] for entry in manifest.metrics["sources"]] == ["beta", "alpha"]
    assert manifest.metrics == json.loads(manifest.path("mixture.json").read_text())
    assert np.load(pack(two_sources, rows, "other", seed=6).path("train/order.npy")).tolist() != order.tolist()


@pytest.mark.parametrize("packing", ["best_fit", "concatenate"])
def test_the_same_bytes_however_documents_lie_in_shards_and_how_many_are_looked_at_together(
    pack, two_sources, packing, monkeypatch
):
    rows = {"alpha": 250, "beta": 20}
    made = [
        pack(two_sources, rows, f"in {shards}", shards=shards, packing=packing, repeat=2.5) for shards in (1, 2, 7, 100)
    ]
    for name, size in SIZES.items():
        monkeypatch.setattr(token_files, name, size)
    made.append(pack(two_sources, rows, "at once", packing=packing, repeat=2.5))
    files = [[(file.path, file.sha256) for file in each.files if file.path != "mixture.json"] for each in made]
    assert all(each == files[0] for each in files)
    assert made[1].metrics["sources"][0]["licences"] == ["CC0-encode-0", "CC0-encode-1"]


def test_best_fit_cuts_fewer_documents_and_says_so(pack):
    source = imagined_source(np.random.default_rng(0).lognormal(3, 1, 400).astype(int).tolist())
    rows = rows_within(sum(map(len, source.read(source.train))), 64)
    one, other = (
        pack({"web": source}, {"web": rows}, packing, context=64, packing=packing).metrics["sources"][0]
        for packing in ("best_fit", "concatenate")
    )
    assert one["cut_documents"] < 0.5 * one["cut_in_reading_order"]
    assert one["cut_in_reading_order"] == other["cut_documents"] == other["cut_in_reading_order"]


def test_validation_rows_are_the_held_out_documents_by_rank_once_and_their_bytes_are_exact(pack):
    source = imagined_source(any_lengths(4, 120), held_out=40)
    unused = imagined_source(any_lengths(5, 30), 1, held_out=12)
    rows = rows_within(3 * sum(map(len, source.read(source.train))), 16)
    manifest = pack({"web": source, "unused": unused}, {"web": rows}, repeat=3.0, shards=3)
    for name, each in (("web", source), ("unused", unused)):
        expected = [token for document in each.read(each.validation) for token in document]
        (entry,) = (found for found in manifest.metrics["validation"] if found["source"] == name)
        written = tokens_of(manifest.path(f"validation/{name}.bin"))
        assert entry["rows"] == (len(expected) - 1) // 16
        assert written == expected[: entry["rows"] * 16 + 1]
        # The end of text is no text, every other token here is a byte.
        assert entry["bytes"] == sum(token < 256 for token in written[1:])
    held_out = {tuple(document) for document in source.read(source.validation) if len(document) > 5}
    assert not held_out & set(documents_of(tokens_of(manifest.path("train/web.bin"))))


def test_a_source_without_held_out_documents_or_too_few_has_no_validation_rows(pack):
    sources = {"none": imagined_source([15] * 8), "few": imagined_source([15] * 5, held_out=1)}
    manifest = pack(sources, {"none": 4})
    assert [(each["rows"], each["bytes"]) for each in manifest.metrics["validation"]] == [(0, 0), (0, 0)]
    assert manifest.path("validation/few.bin").stat().st_size == 0


def test_token_bytes_add_up_to_the_text(tokenizer):
    made = Tokenizer.from_file(str(tokenizer / "tokenizer/tokenizer.json"))
    made.encode_special_tokens = True
    made.add_tokens(["naïve – 日本"])
    sizes = command.bytes_of_tokens(made)
    for text in ("the model reads naïve – 日本 and writes", f'{{"a": "ü"}} {END_OF_TEXT} goes on'):
        assert sizes[made.encode(text).ids].sum() == len(text.encode())
    assert sizes[made.token_to_id(END_OF_TEXT)] == 0


def test_a_selection_that_falls_short_is_named(tokenizer, tmp_path):
    source = imagined_source([9] * 20)
    for repeat, needed in ((1.0, 257), (1.2, 215)):
        spec = packing_order(tmp_path / str(repeat), {"web": source}, {"web": 16}, tokenizer, repeat=repeat)
        sentence = (
            f"source web: 16 rows of 16 need {needed} tokens, read {repeat:g} times, .* hold 200; run the selection"
        )
        with pytest.raises(TrellisError, match=sentence):
            execute(spec, tmp_path / str(repeat) / "out")
        assert not (tmp_path / str(repeat) / "out/manifest.json").exists()
    assert execute(
        packing_order(tmp_path / "fits", {"web": source}, {"web": 16}, tokenizer, repeat=1.29), tmp_path / "o"
    )


def _relist(bin: Path) -> None:
    table = pq.read_table(bin.with_suffix(".parquet"))
    pq.write_table(
        table.set_column(1, "n_tokens", pa.array([8] * len(table), pa.uint32())), bin.with_suffix(".parquet")
    )


def _edit(bin: Path, **changes) -> None:
    sidecar = bin.with_suffix(".json")
    sidecar.write_text(json.dumps({**json.loads(sidecar.read_text()), **changes}))


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (
            lambda bin: bin.write_bytes(bin.read_bytes()[:-2]),
            r"web.bin holds 398 bytes, not the 400 of its tokens; delete",
        ),
        (lambda bin: bin.write_bytes(b"\0\1" + bin.read_bytes()[2:]), "web.bin was changed after it was written"),
        (lambda bin: _edit(bin, sha256="0" * 64), "web.bin was changed after it was written"),
        (lambda bin: _edit(bin, tokenizer_sha256="0" * 64), "web.bin was written with another tokenizer"),
        (_relist, "web.parquet does not list the 200 tokens of its shard"),
    ],
    ids=["truncated", "changed", "other hash", "other tokenizer", "other table"],
)
def test_a_token_file_that_is_not_what_was_written_is_one_sentence(tokenizer, tmp_path, spoil, sentence):
    spec = packing_order(tmp_path, {"web": imagined_source([9] * 20)}, {"web": 5}, tokenizer)
    spoil(tmp_path / "tokens/encode-0/tokens/web.bin")
    with pytest.raises(TrellisError, match=sentence) as error:
        execute(spec, tmp_path / "out")
    assert f"delete {tmp_path}/tokens/encode-0 and run snakemake again" in str(error.value)


def test_a_selected_document_without_tokens_is_named(tokenizer, tmp_path):
    one, other = imagined_source([9] * 20), imagined_source([9] * 20, 7)
    spec = packing_order(tmp_path / "one", {"web": one}, {"web": 5}, tokenizer)
    others = packing_order(tmp_path / "other", {"web": other}, {"web": 5}, tokenizer)
    spec.inputs["tokens"] = others.inputs["tokens"]
    with pytest.raises(TrellisError, match=r"source web: 20 selected documents \(\d+, ...\) are not among its tokens"):
        execute(spec, tmp_path / "out")


def test_what_is_put_in_order_at_once_is_bounded():
    """By WINDOW (97 here) and one document, and by DOCUMENTS (11)."""
    length = np.array(any_lengths(3, 500), np.uint32) + 1
    length[7] = 1000
    order = np.random.default_rng(0).permutation(500)
    windows = list(token_files._windows(order, length))
    assert np.concatenate(windows).tolist() == order.tolist()
    assert all(0 < len(window) <= 11 and length[window[1:]].sum() < 97 for window in windows)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_one_sentence(tokenizer, tmp_path):
    (folder,) = token_shards(tmp_path, {"web": imagined_source([9] * 20)}, tokenizer)
    shards = TokenShards("web", [Manifest.read(folder)], file_sha256(tokenizer / "tokenizer/tokenizer.json"))
    documents = Documents(np.arange(0, 200, 10), np.full(20, 10, np.uint32))
    with (
        bar("packing", 200, "token") as progress,
        pytest.raises(TrellisError, match="/dev/full: the disk is full .*400"),
    ):
        shards.write(Path("/dev/full"), documents, [np.arange(20, dtype=np.uint32)], 200, progress)


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
        quota = Fraction(mixture.sources[name].tokens * sum(rows.values()), mixture.tokens)
        assert abs(count - quota) < 1
        assert tokens_needed(count, context) == (count * context + 1 if count else 0)
        assert rows_within(tokens_needed(count, context), context) == count
        assert rows_within(tokens_needed(count, context) - 1, context) == max(count - 1, 0)


@given(tokens=st.integers(0, 10**12), hundredths=st.integers(25, 1000))
def test_what_is_selected_is_enough_when_it_is_read_again_and_one_token_less_is_not(tokens, hundredths):
    repeat = hundredths / 100
    selected = to_select(tokens, repeat)
    assert to_read(selected, repeat) >= tokens
    assert not tokens or to_read(selected - 1, repeat) < tokens
    assert selected == -(-100 * tokens // hundredths)
