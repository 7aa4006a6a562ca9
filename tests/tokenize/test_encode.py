"""Token shards: every document's tokens in order, the same bytes for any pool, bounded memory, clear ends."""

import errno
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from tokenizers import Tokenizer

from publishing import publish
from trellis.documents import END_OF_TEXT
from trellis.errors import TrellisError
from trellis.tokenize import encode as module

PACKAGE = Path(__file__).parents[2] / "workflow/scripts"
ODD = [
    "",
    "a\0b",
    "🙂" * 300,
    f"{END_OF_TEXT} spelt {END_OF_TEXT}<|user|>",
    "x" * 9_000,
    " \n\t ",
    "e\u0301é",
    "\u202e\ufeff",
]


def plainly(tokenizer: Path, folder: Path) -> list[list[int]]:
    """Each document's ids, encoded one by one."""
    encoder = Tokenizer.from_file(str(tokenizer / "tokenizer/tokenizer.json"))
    encoder.encode_special_tokens = True
    texts = [
        text for path in sorted((folder / "documents").iterdir()) for text in pq.read_table(path)["text"].to_pylist()
    ]
    return [encoder.encode(text, add_special_tokens=False).ids for text in texts]


@pytest.fixture
def two_sources(documents, prose):
    """Several blocks, one of them of more rows than are read at a time, odd texts, an empty source."""
    web = documents("web", [[prose(seed, 30) for seed in range(250)], ODD, [prose(1, 900)]], ("MIT", "CC0-1.0"))
    return [web, documents("code", [[prose(seed, 9) for seed in range(20)]]), documents("none", [[]])]


def test_every_document_is_there_in_order_and_ends(encode, two_sources, small_bpe):
    made = encode(two_sources)
    for folder in two_sources:
        wanted, name = plainly(small_bpe, folder), folder.name
        tokens = np.fromfile(made.path(f"tokens/{name}.bin"), "<u2")
        assert tokens.tolist() == [token for ids in wanted for token in [*ids, 0]]
        table = pq.read_table(made.path(f"tokens/{name}.parquet"))
        assert table.schema == module.SCHEMA
        assert table["n_tokens"].to_pylist() == [len(ids) for ids in wanted]
        written = pq.read_table(folder / "documents", columns=["doc_id", "text"])
        assert table["doc_id"].to_pylist() == written["doc_id"].to_pylist()
        sidecar = json.loads(made.path(f"tokens/{name}.json").read_text())
        assert sidecar == {
            "documents": len(wanted),
            "tokens": len(tokens),
            "dtype": "uint16",
            "sha256": hashlib.sha256(tokens.tobytes()).hexdigest(),
            "tokenizer_sha256": hashlib.sha256((small_bpe / "tokenizer/tokenizer.json").read_bytes()).hexdigest(),
        }
        size = sum(len(text.encode()) for text in written["text"].to_pylist())
        licences = {"web": ["CC0-1.0", "MIT"], "code": ["CC0-1.0"], "none": []}[name]
        metrics = {"documents": len(wanted), "tokens": len(tokens), "bytes": size, "licences": licences}
        assert made.metrics["sources"][name] == metrics
    assert not (made.folder / "work").exists()


def test_a_document_that_spells_special_tokens_holds_text(encode, documents, small_bpe):
    made = encode([documents("web", [[ODD[3]]])])
    tokens = np.fromfile(made.path("tokens/web.bin"), "<u2").tolist()
    assert tokens.count(0) == 1 and tokens[-1] == 0 and 1 not in tokens
    encoder = Tokenizer.from_file(str(small_bpe / "tokenizer/tokenizer.json"))
    assert encoder.decode(tokens) == ODD[3]


def test_any_number_of_processes_gives_the_same_bytes(encode, two_sources):
    one, three = (encode(two_sources, f"t{threads}", threads=threads) for threads in (1, 3))
    assert [file.sha256 for file in one.files] == [file.sha256 for file in three.files]


def test_a_block_is_the_same_however_it_is_read(two_sources, small_bpe, tmp_path, monkeypatch):
    tables = sorted((two_sources[0] / "documents").iterdir())

    def made(name):
        (block, *_) = module.blocks_of(tables[:1], tmp_path / name)
        assert module.encode_block(block, small_bpe / "tokenizer/tokenizer.json") == 250
        with np.load(block.file) as file:
            return {key: file[key].tolist() for key in file.files}

    at_once = made("at_once")
    monkeypatch.setattr(module, "ROWS", 7)
    monkeypatch.setattr(module, "BATCH", 400)
    assert made("in_pieces") == at_once


def test_a_text_is_never_cut_nor_filled_up(encode, documents, small_bpe, tmp_path):
    """Whatever truncation and padding the tokenizer was given with."""
    given = tmp_path / "given"
    shutil.copytree(small_bpe, given)
    tokenizer = Tokenizer.from_file(str(given / "tokenizer/tokenizer.json"))
    tokenizer.enable_truncation(5)
    tokenizer.enable_padding(length=50)
    tokenizer.save(str(given / "tokenizer/tokenizer.json"))
    folder = documents("web", [["a", "the model reads a schema " * 20]])
    one, two = encode([folder], "one"), encode([folder], "two", tokenizer=publish(given, "tokenize", "tokenizer"))
    assert one.path("tokens/web.bin").read_bytes() == two.path("tokens/web.bin").read_bytes()


def test_blocks_hold_whole_row_groups_and_lose_none(tmp_path, monkeypatch):
    import pyarrow as pa

    table = pa.table({"doc_id": range(90), "text": [f"{n:01000}" for n in range(90)]})
    for number in range(2):
        pq.write_table(table, tmp_path / f"{number}.parquet", row_group_size=7, use_dictionary=False)
    monkeypatch.setattr(module, "BLOCK", 20_000)
    blocks = module.blocks_of([tmp_path / "0.parquet", tmp_path / "1.parquet"], tmp_path / "work")
    groups = [(block.table.stem, group) for block in blocks for group in block.row_groups]
    assert groups == [(stem, group) for stem in "01" for group in range(13)]
    assert [block.rows for block in blocks] == [21, 21, 21, 21, 6] * 2
    assert len({block.file for block in blocks}) == 10 and blocks[3].file < blocks[4].file < blocks[5].file


def test_batches_are_bounded_by_characters(monkeypatch):
    monkeypatch.setattr(module, "BATCH", 10)
    texts = ["aaaa", "bbbb", "cccc", "", "d" * 30, "e"]
    assert list(module._batches(texts)) == [["aaaa", "bbbb"], ["cccc", ""], ["d" * 30], ["e"]]


def test_ids_beyond_the_embedding_are_refused_before_any_work(encode, two_sources, tmp_path):
    with pytest.raises(TrellisError, match=r"tokenizer.json gives ids up to 299, and tokenizer.vocab_size is 299, so"):
        encode(two_sources, vocab_size=299)
    assert [path.name for path in (tmp_path / "encoded").iterdir()] == [".lock"]
    assert encode(two_sources, vocab_size=300)


def test_a_full_disk_leaves_nothing_that_looks_whole(encode, two_sources, monkeypatch, tmp_path):
    """While the blocks are joined; the next run joins the same blocks."""
    join, out = module._join, tmp_path / "encoded"

    def full(blocks, folder, name, sha256):
        join(blocks, folder, name, sha256)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(module, "_join", full)
    with pytest.raises(
        TrellisError, match=f"the disk of {out} is full; make room.* the blocks that are encoded are kept"
    ):
        encode(two_sources)
    assert sorted(path.name for path in out.iterdir()) == [".lock", "work"]
    monkeypatch.setattr(module, "_join", join)
    monkeypatch.setattr(module, "ProcessPoolExecutor", None)
    again = encode(two_sources)
    monkeypatch.undo()
    assert [file.sha256 for file in again.files] == [file.sha256 for file in encode(two_sources, "other").files]


def test_another_trouble_with_a_file_is_not_called_a_full_disk(encode, two_sources):
    (two_sources[0] / "documents/001.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(Exception, match="Parquet") as raised:
        encode(two_sources)
    assert not isinstance(raised.value, TrellisError)


def on_a_small_disk(size: int, disk: Path, *words: str) -> subprocess.CompletedProcess:
    """Runs a command where `disk` holds `size` bytes; its output ends with the files left there."""
    script = f'mount -t tmpfs -o size={size} t {disk} && "$@"; code=$?; find {disk} -type f; exit $code'
    disk.mkdir(exist_ok=True)
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE)}
    return subprocess.run(
        ["unshare", "-rm", "sh", "-c", script, "sh", *words], capture_output=True, text=True, env=environment
    )


@pytest.fixture
def small_disks(tmp_path):
    if not shutil.which("unshare") or on_a_small_disk(10**6, tmp_path / "probe", "true").returncode:
        pytest.skip("no disk can be mounted here")


@pytest.mark.parametrize(("share", "blocks"), [(0.6, range(1, 4)), (1.5, range(4, 5))], ids=["blocks", "joining"])
def test_a_disk_that_is_really_full_is_one_sentence(
    share, blocks, small_disks, encode, encode_spec, documents, prose, tmp_path
):
    """While blocks are written, and while all of them are joined."""
    folder = documents("web", [[prose(seed, 800) for seed in range(20)] for _ in range(4)])
    size, disk = encode([folder]).path("tokens/web.bin").stat().st_size, tmp_path / "disk"
    (tmp_path / "spec.json").write_text(encode_spec([folder]).model_dump_json())
    words = ["-m", "trellis.tokenize", "--spec", str(tmp_path / "spec.json"), "--log", str(tmp_path / "log")]
    answer = on_a_small_disk(round(size * share), disk, sys.executable, *words, "--out", str(disk), "--threads", "2")
    assert answer.stderr == (
        f"error: tokenize_encode encode: the disk of {disk} is full; make room, as much as the text takes, and run again: "
        f"the blocks that are encoded are kept; log: {tmp_path}/log\n"
    )
    left = [Path(line) for line in answer.stdout.splitlines() if not line.endswith(".lock")]
    assert answer.returncode == 1 and all("work" in path.parts for path in left)
    assert sum(path.suffix == ".npz" for path in left) in blocks
