"""Rows, lines, members and dictionaries of any size, and bytes that are damaged: bounded memory, counts, no crash."""

import gzip
import io
import json
import random
import subprocess
import sys
import tracemalloc
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sharding import REPO, documents_of, jsonl, order_shard, parquet, run_bare

from trellis.download import lines, shard
from trellis.download.reading import Reading
from trellis.download.tables import batches
from trellis.errors import TrellisError

MEASURED = """
import json, sys
from pathlib import Path
from trellis.download import shard
from trellis.spec import Spec
result = shard.run(Spec.model_validate_json(sys.stdin.read()), Path(sys.argv[1]))
(peak,) = [line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM:")]
print(json.dumps([result.metrics, int(peak) // 1024]))
"""
LONG = ("A line of a text that goes on. " * 700_000)[: 20 * 2**20]


def measured(folder, files, reader, **rules):
    """Metrics of a shard, and the most resident memory of its process, in MiB."""
    spec, out = order_shard(folder, files, reader, **rules)
    answer = subprocess.run(
        [sys.executable, "-c", MEASURED, str(out)],
        input=spec.model_dump_json(),
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(answer.stdout)


@pytest.mark.slow
@pytest.mark.parametrize(("reader", "count"), [("text_column", 215), ("dolma", 60)])
def test_a_dictionary_of_one_long_text_does_not_unfold(tmp_path, reader, count):
    """215 rows of 20 MiB, 4.2 GiB, that are stored once; as columns, and fewer as rows of Python objects."""
    repeated = pa.DictionaryArray.from_arrays(pa.array([0] * count, pa.int32()), pa.array([LONG]))
    content = parquet({"text": repeated}, compression="zstd", store_schema=False, dictionary_pagesize_limit=2**30)
    assert len(content) < 2**20
    metrics, peak = measured(tmp_path, {"a.parquet": content}, reader)
    assert metrics["rejected"] == {"too_long": count} and peak < 1024


@pytest.mark.slow
def test_long_rows_stored_as_they_are_do_not_pile_up(tmp_path):
    """A row group of 64 rows of 20 MiB, 1.3 GiB; taken, not rejected."""
    sink = pa.BufferOutputStream()
    table = pa.table({"text": [LONG] * 16})
    options = {"compression": "zstd", "use_dictionary": False, "write_statistics": False, "write_batch_size": 1}
    with pq.ParquetWriter(sink, table.schema, **options) as writer:
        writer.write_table(pa.concat_tables([table] * 4), row_group_size=64)
    content = {"a.parquet": sink.getvalue().to_pybytes()}
    metrics, peak = measured(tmp_path, content, "text_column", max_chars=10**9)
    assert metrics["documents"] == 64 and peak < 800


@pytest.mark.slow
def test_many_tiny_rows_take_little_memory(tmp_path):
    table = {"text": [f"tiny row {number}" for number in range(600_000)], "id": list(range(600_000))}
    metrics, peak = measured(tmp_path, {"a.parquet": parquet(table)}, "text_column")
    assert metrics["documents"] == 600_000 and peak < 400


@pytest.mark.slow
@pytest.mark.parametrize("pack", [gzip.compress, lambda content: pa.Codec("zstd").compress(content, asbytes=True)])
def test_a_bomb_ends_at_its_limit_of_memory_and_of_bytes(tmp_path, pack):
    suffix = "gz" if pack is gzip.compress else "zst"
    for content in (b" " * 2**29, b"\n" * 2**27, b"[" * 2**29):
        metrics, peak = measured(tmp_path, {f"a.jsonl.{suffix}": pack(content)}, "text_column")
        assert metrics["rejected"] == {"too_large": 1} and metrics["documents"] == 0
        assert peak < 400


def sizes(content, tmp_path, columns=("text",)):
    (tmp_path / "a.parquet").write_bytes(content)
    return [len(batch) for _, batch in batches(tmp_path / "a.parquet", list(columns), [], Reading(0, 1))]


def test_batches_follow_the_size_of_rows(tmp_path):
    """The dictionary that every writer begins with costs nothing where it repeats nothing."""
    different = [f"{number} " + "x" * 1000 for number in range(1000)]
    assert sizes(parquet({"text": different}), tmp_path) == [256, 256, 256, 232]
    assert sizes(parquet({"text": [text * 400 for text in different[:250]]}, use_dictionary=False), tmp_path)[
        0
    ] in range(75, 90)
    repeated = {"text": ["y" * 2**23, *different[:9]] * 3}
    assert max(sizes(parquet(repeated, dictionary_pagesize_limit=2**30), tmp_path)) <= 8
    for options in ({"write_page_checksum": True}, {"data_page_version": "2.0"}, {"compression": "none"}):
        content = parquet(repeated, dictionary_pagesize_limit=2**30, **options)
        assert max(sizes(content, tmp_path)) <= 8
    nested = {"answers": [["z" * 2**20] * 64] * 3}
    assert sizes(parquet(nested, dictionary_pagesize_limit=2**30), tmp_path, ["answers"]) == [1] * 3


def test_a_long_line_costs_no_other(tmp_path, monkeypatch):
    monkeypatch.setattr(lines, "MAX_LINE", 1000)
    monkeypatch.setattr(lines, "BLOCK", 300)
    good = b'{"text": "a good line"}\n'
    for long in (b'{"text": "%s"}\n' % (b"x" * 1001), b"y" * 5000 + b"\n", b"z" * 1300):
        content = good * 2 + long + (good if long.endswith(b"\n") else b"")
        for shards in (1, 3):
            found = [run_bare(tmp_path, {"a.jsonl": content}, "text_column", part, shards) for part in range(shards)]
            assert [metrics["rejected"].get("too_large", 0) for metrics, _ in found].count(1) == 1
            assert sum(metrics["documents"] for metrics, _ in found) == 2 + long.endswith(b"\n")


def test_a_line_over_the_limit_is_not_held(tmp_path, monkeypatch):
    monkeypatch.setattr(lines, "MAX_LINE", 2**20)
    (tmp_path / "a.jsonl").write_bytes(b"x" * 2**26 + b"\n{}\n")
    reading = Reading(0, 1)
    tracemalloc.start()
    assert list(lines.rows(tmp_path / "a.jsonl", reading)) == [(1, b"{}")]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert reading.rejected == {"too_large": 1} and peak < 2**23


def test_what_unpacks_to_too_much_keeps_what_came_before(tmp_path, monkeypatch):
    monkeypatch.setattr(lines, "ALLOWANCE", 10_000)
    monkeypatch.setattr(lines, "MAX_RATIO", 2)
    monkeypatch.setattr(lines, "BLOCK", 500)
    content = gzip.compress(jsonl([{"text": "over and over"}] * 5000))
    metrics, _ = run_bare(tmp_path, {"a.jsonl.gz": content}, "text_column")
    assert metrics["rejected"] == {"too_large": 1} and 300 < metrics["documents"] < 1000


def test_an_array_or_a_text_is_held_within_the_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(lines, "MAX_WHOLE", 1000)
    array = json.dumps([{"text": "a good row"}] * 100).encode()
    for files in ({"a.json": array}, {"a.json.gz": gzip.compress(array)}):
        with pytest.raises(TrellisError, match=f"{REPO}/a.json.* is one JSON array of more than"):
            run_bare(tmp_path, files, "text_column")
    texts = {
        "a.txt": b"x" * 1001,
        "b.txt": b"y" * 1000,
        "c.txt": b"\xff" * 9,
        "d.txt.gz": gzip.compress(b"z" * 900)[:-9],
    }
    metrics, table = run_bare(tmp_path, texts, "text_file")
    assert [row["text"] for row in documents_of(table)] == ["y" * 1000]
    assert metrics["rejected"] == {"bad_encoding": 1, "corrupt": 1, "too_large": 1}


def test_an_array_that_is_damaged_or_no_json_is_counted(tmp_path):
    array = json.dumps([{"text": "a good row"}] * 1000).encode()
    for content in (array[:-5], b"[" * 100_000, b"[1, 2}"):
        assert run_bare(tmp_path, {"a.json": content}, "text_column")[0]["rejected"] == {"malformed": 1}
    packed = gzip.compress(array)[:-9]
    assert run_bare(tmp_path, {"a.json.gz": packed}, "text_column")[0]["rejected"] == {"corrupt": 1}


def test_a_damaged_member_costs_no_other(tmp_path):
    chance = random.Random(4)
    members = {f"{name}.jsonl": jsonl([{"text": chance.randbytes(200).hex()} for _ in range(300)]) for name in "abc"}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name, content)
        info = file.getinfo("b.jsonl")
    content = bytearray(buffer.getvalue())
    middle = info.header_offset + 30 + len("b.jsonl") + info.compress_size // 2
    content[middle : middle + 20] = b"\xff" * 20
    metrics, table = run_bare(tmp_path, {"a.zip": bytes(content)}, "text_column")
    assert metrics["rejected"].pop("corrupt") == 1 and set(metrics["rejected"]) <= {"malformed"}
    names = [row["meta"]["id"].split("/")[-1].split(":")[0] for row in documents_of(table)]
    assert names.count("a.jsonl") == names.count("c.jsonl") == 300


def test_a_damaged_row_group_costs_no_other(tmp_path):
    chance = random.Random(5)
    rows = [chance.randbytes(100).hex() for _ in range(300)]
    content = bytearray(parquet({"text": rows}, 100, compression="zstd"))
    column = pq.ParquetFile(io.BytesIO(bytes(content))).metadata.row_group(1).column(0)
    middle = column.dictionary_page_offset + column.total_compressed_size // 2
    content[middle : middle + 50] = b"\xff" * 50
    metrics, table = run_bare(tmp_path, {"a.parquet": bytes(content)}, "text_column")
    assert metrics["rejected"] == {"corrupt": 1}
    found = documents_of(table)
    assert [row["text"] for row in found] == rows[:100] + rows[200:]
    assert found[100]["meta"]["id"] == f"{REPO}/a.parquet:200"


def damaged_files():
    chance = random.Random(6)
    rows = [{"text": chance.randbytes(40).hex(), "answers": [{"text": "x" * number}]} for number in range(60)]
    columns = {"text": [row["text"] for row in rows], "answers": [row["answers"] for row in rows]}
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_LZMA) as file:
        file.writestr("a.jsonl", jsonl(rows))
    return {
        "a.parquet": parquet(columns, 20, compression="zstd"),
        "b.parquet": parquet(columns, 20, compression="snappy", use_dictionary=False, data_page_version="2.0"),
        "a.jsonl.gz": gzip.compress(jsonl(rows)),
        "a.jsonl.zst": pa.Codec("zstd").compress(jsonl(rows), asbytes=True),
        "a.zip": packed.getvalue(),
    }


@pytest.mark.parametrize("name", damaged_files())
def test_any_flipped_bytes_are_counted_or_named(tmp_path, name):
    """200 files, each damaged somewhere: documents, a count, or one sentence; never another exception."""
    whole, chance, outcomes = damaged_files()[name], random.Random(7), set()
    spec, out = order_shard(tmp_path, {name: whole}, "text_column")
    path = Path(spec.inputs["files"][0]) / "files" / name
    for _ in range(200):
        content = bytearray(whole)
        for _ in range(chance.choice((1, 4, 40))):
            content[chance.randrange(len(content))] = chance.randrange(256)
        path.write_bytes(content)
        try:
            result = shard.run(spec, out)
            outcomes.add("counted" if result.metrics["rejected"] else "unharmed")
        except TrellisError:
            outcomes.add("named")
    assert {"counted", "named"} <= outcomes | ({"counted"} if name == "b.parquet" else set())
