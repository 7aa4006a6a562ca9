"""From files to the document table: formats, shares, ids, rules, and every way in which a file can be wrong."""

import bz2
import gzip
import hashlib
import io
import json
import random
import zipfile
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sharding import REPO, documents_of, jsonl, order_shard, parquet, run_bare, run_shard

from trellis.command import execute
from trellis.documents import SCHEMA, document_id
from trellis.download import lines as lines_module
from trellis.download import shard as shard_module
from trellis.download import writer as writer_module
from trellis.download.rules import SPACE
from trellis.errors import TrellisError
from trellis.manifest import file_sha256

TEXT = "Document number {}, long enough to be one."


def rows(count, start=0):
    return [{"text": TEXT.format(number), "id": f"id-{number}"} for number in range(start, start + count)]


def columns(items):
    return {key: [item.get(key) for item in items] for key in items[0]}


def zstd(content: bytes) -> bytes:
    return pa.Codec("zstd").compress(content, asbytes=True)


def zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return buffer.getvalue()


FORMATS = {
    "d/a.parquet": parquet(columns(rows(23)), 5),
    "d/a.jsonl": jsonl(rows(23)),
    "d/a.ndjson": jsonl(rows(23)),
    "d/a.json": jsonl(rows(23)),
    "d/array.json": b"\n " + json.dumps(rows(23), indent=1).encode(),
    "d/array.json.gz": gzip.compress(json.dumps(rows(23)).encode()),
    "d/a.jsonl.gz": gzip.compress(jsonl(rows(10))) + gzip.compress(jsonl(rows(13, 10))),
    "d/a.json.gz": gzip.compress(jsonl(rows(23))),
    "d/a.jsonl.zst": zstd(jsonl(rows(10))) + zstd(jsonl(rows(13, 10))),
    "d/marked.jsonl": b"\xef\xbb\xbf" + jsonl(rows(23)),
    "d/open-ended.jsonl": jsonl(rows(23)).rstrip(),
    "d/windows.jsonl": jsonl(rows(23)).replace(b"\n", b"\r\n"),
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_same_documents(tmp_path, name):
    manifest, documents = run_shard(tmp_path, {name: FORMATS[name]}, "text_column")
    natives = [f"{REPO}/{name}:{row}" for row in range(23)]
    assert [row["text"] for row in documents] == [row["text"] for row in rows(23)]
    assert [row["meta"] for row in documents] == [{"id": natives[row], "origin": f"id-{row}"} for row in range(23)]
    assert [row["doc_id"] for row in documents] == [document_id("web", native) for native in natives]
    assert {(row["source"], row["licence"]) for row in documents} == {("web", "MIT")}
    assert manifest.metrics == {
        "source": "web",
        "documents": 23,
        "bytes": sum(len(row["text"].encode()) for row in documents),
        "rejected": {},
    }
    assert [(file.path, file.rows) for file in manifest.files] == [("documents/000.parquet", 23)]
    with pq.ParquetFile(manifest.path("documents/000.parquet")) as file:
        assert file.schema_arrow == SCHEMA
        assert file.metadata.row_group(0).column(1).compression == "ZSTD"


def test_members_of_a_zip_file_have_ids_of_their_own(tmp_path):
    members = {"b.jsonl": jsonl(rows(4, 10)), "a.jsonl": b"\xef\xbb\xbf" + jsonl(rows(3)), "readme.txt": b"no data"}
    _, documents = run_shard(tmp_path, {"en.zip": zipped(members)}, "text_column")
    natives = [f"a.jsonl:{row}" for row in range(3)] + [f"b.jsonl:{row}" for row in range(4)]
    assert [row["meta"]["id"] for row in documents] == [f"{REPO}/en.zip/{native}" for native in natives]
    assert [row["meta"]["origin"] for row in documents] == [f"id-{n}" for n in (0, 1, 2, 10, 11, 12, 13)]


def by_id(row):
    return row["doc_id"]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(shards=st.integers(1, 9), members=st.integers(1, 6), data=st.data())
def test_shards_together_hold_each_row_once(tmp_path, shards, members, data):
    """Documents, ids and every count, damage included, add up to those of one shard."""
    sizes = data.draw(st.lists(st.integers(0, 12), min_size=members, max_size=members))
    bad = [b"{\n", b"\n", b'{"text": "short", "id": 1}\n', b'{"text": null}\n', b'{"text": "caf\xe9"}\n']
    items = [*rows(17), *bad, *rows(9, 40)]
    packed = gzip.compress(jsonl(items) + random.Random(1).randbytes(5000).hex().encode())
    files = {
        "a/0.parquet": parquet(columns(rows(31)), data.draw(st.integers(1, 40))),
        "a/1.jsonl": jsonl(items),
        "a/2.json.gz": packed[: len(packed) - data.draw(st.integers(0, 3000))],
        "a/3.zip": zipped({f"{number}.jsonl": jsonl(rows(size)) for number, size in enumerate(sizes)}),
        "a/4.json": json.dumps(rows(7)).encode(),
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines_module, "BLOCK", data.draw(st.sampled_from([97, 2**18])))
        whole, expected = run_bare(tmp_path, files, "text_column", min_chars=10)
        parts = [run_bare(tmp_path, files, "text_column", shard, shards, min_chars=10) for shard in range(shards)]
    found = [row for _, table in parts for row in documents_of(table)]
    assert sorted(found, key=by_id) == sorted(documents_of(expected), key=by_id)
    for shard, (_, table) in enumerate(parts):
        natives = [row["meta"]["id"] for row in documents_of(table)]
        lines = [int(native.split(":")[1]) for native in natives if "a/1.jsonl:" in native or "a/2.json.gz:" in native]
        assert {line % shards for line in lines} <= {shard}
    for key in ("documents", "bytes"):
        assert sum(metrics[key] for metrics, _ in parts) == whole[key]
    counted = sum((Counter(metrics["rejected"]) for metrics, _ in parts), Counter())
    assert counted == whole["rejected"] and {"malformed", "too_short", "null_text"} <= set(counted)


def test_whole_text_files_are_shared_out_by_their_order(tmp_path):
    files = {
        f"notes/{name}": f"\ufeff{name}: one text\r\nof two lines.\n".encode() for name in ("c.txt", "a.md", "b.txt")
    }
    files["notes/d.txt.gz"] = gzip.compress(b"d: a packed text")
    found = [run_shard(tmp_path, files, "text_file", shard, 3)[1] for shard in range(3)]
    assert [[row["meta"]["id"] for row in part] for part in found] == [
        [f"{REPO}/notes/a.md", f"{REPO}/notes/d.txt.gz"],
        [f"{REPO}/notes/b.txt"],
        [f"{REPO}/notes/c.txt"],
    ]
    assert found[0][0]["text"] == "a.md: one text\nof two lines."


def test_a_shard_without_documents_is_a_table_without_rows(tmp_path):
    manifest, documents = run_shard(tmp_path, {"a.parquet": parquet(columns(rows(3)))}, "text_column", 1, 2)
    assert documents == [] and manifest.metrics["documents"] == 0 and manifest.metrics["rejected"] == {}
    assert pq.read_schema(manifest.path("documents/000.parquet")) == SCHEMA


def test_the_same_order_gives_the_same_bytes(tmp_path):
    files = {name: FORMATS[name] for name in ("d/a.parquet", "d/a.jsonl.gz")}
    first, second = (run_shard(tmp_path, files, "text_column")[0] for _ in range(2))
    assert [file.sha256 for file in first.files] == [file.sha256 for file in second.files]


RULES = {"min_chars": 20, "max_chars": 400, "min_compression": 0.3, "language": "en"}
ENGLISH = "This is a plain English sentence about the weather, and the committee reads all of it twice."
JUDGED = {
    ENGLISH: None,
    "\r\n\u2003" + ENGLISH + "\x1c\n": None,
    None: "null_text",
    " \u3000\n": "too_short",
    "ab" * 9: "too_short",
    "é" * 19 + "\n": "too_short",
    "ab" * 300: "too_long",
    "é" * 401: "too_long",
    "a line again and again\n" * 15: "compressible",
    "Dies ist ein ganz gewöhnlicher deutscher Satz über das schöne Wetter von gestern und heute.": "other_language",
}


@pytest.mark.parametrize("format", ["parquet", "jsonl"])
def test_the_rules(tmp_path, format):
    texts = list(JUDGED)
    content = parquet({"text": texts}) if format == "parquet" else jsonl([{"text": text} for text in texts])
    manifest, documents = run_shard(tmp_path, {f"a.{format}": content}, "text_column", **RULES)
    assert [row["text"] for row in documents] == [ENGLISH, ENGLISH]
    reasons = [reason for reason in JUDGED.values() if reason]
    assert manifest.metrics["rejected"] == {reason: reasons.count(reason) for reason in sorted(set(reasons))}


def test_the_borders_of_length_count_characters(tmp_path):
    texts = [letter * count for letter in ("a", "é", "語", "🌍") for count in (9, 10, 20, 21)]
    for content in ({"a.parquet": parquet({"text": texts})}, {"a.jsonl": jsonl([{"text": text} for text in texts])}):
        manifest, documents = run_shard(tmp_path, content, "text_column", min_chars=10, max_chars=20)
        assert [len(row["text"]) for row in documents] == [10, 20] * 4
        assert manifest.metrics["rejected"] == {"too_long": 4, "too_short": 4}


def test_white_space_is_what_python_takes_it_for():
    assert set(SPACE) == {chr(code) for code in range(0x110000) if chr(code).isspace()}


def test_text_that_utf8_cannot_spell_is_counted(tmp_path):
    lines = [
        *rows(1),
        b'{"text": "A lone surrogate \\ud800 here"}\n',
        b'{"text": "In its meta", "title": "\\udfff"}\n',
        b'{"text": "Where nothing is read", "other": "\\ud800"}\n',
        b'{"text": "caf\xe9 and more"}\n',
    ]
    manifest, documents = run_shard(tmp_path, {"a.jsonl": jsonl(lines)}, "text_column")
    assert [row["text"] for row in documents] == [TEXT.format(0), "Where nothing is read"]
    assert manifest.metrics["rejected"] == {"bad_encoding": 3}

    texts = pa.array([b"A good text", b"A bad \xff text", b"Another good text"]).cast(pa.binary())
    texts = pa.StringArray.from_buffers(3, *texts.buffers()[1:])
    for reader, column in (("text_column", "text"), ("code_file", "content")):
        manifest, documents = run_shard(tmp_path, {"a.parquet": parquet({column: texts})}, reader)
        assert [row["text"] for row in documents] == ["A good text", "Another good text"]
        assert [row["meta"]["id"][-1] for row in documents] == ["0", "2"]
        assert manifest.metrics["rejected"] == {"bad_encoding": 1}


def test_rows_and_columns_of_one_file_keep_its_order(tmp_path):
    """A batch that is not all UTF-8 goes row by row, the next one does not have to."""
    texts = [f"text number {number}".encode() for number in range(40)]
    texts[3] = texts[25] = b"\xff"
    column = pa.StringArray.from_buffers(40, *pa.array(texts, pa.binary()).buffers()[1:])
    metrics, table = run_bare(tmp_path, {"a.parquet": parquet({"text": column}, 10)}, "text_column")
    expected = [text.decode() for text in texts if text != b"\xff"]
    assert [row["text"] for row in documents_of(table)] == expected and metrics["rejected"] == {"bad_encoding": 2}


scalar = st.one_of(st.none(), st.text(max_size=9), st.integers(-(2**63), 2**63 - 1), st.floats(), st.booleans())
piece = st.sampled_from(
    ["a", "word ", "\r\n", "\r", "\n", " ", "\u2003", "\x1c", "\u200b", "é", "語", "🌍", '"', "\\", "\0"]
)


@st.composite
def tables(draw):
    count = draw(st.integers(0, 30))
    text = st.one_of(st.none(), st.lists(piece, max_size=12).map("".join))
    found = {
        "text": pa.array([draw(text) for _ in range(count)], draw(st.sampled_from([pa.string(), pa.large_string()])))
    }
    for name, kind in {"id": pa.string(), "score": pa.float64(), "int_score": pa.int64(), "dump": pa.bool_()}.items():
        if draw(st.booleans()):
            fit = [
                value if draw(st.booleans()) else None
                for value in draw(st.lists(scalar, min_size=count, max_size=count))
            ]
            fit = [value if _of(kind, value) else None for value in fit]
            found[name] = pa.array(fit, kind)
    if draw(st.booleans()):
        found["created"] = pa.array([7] * count, pa.timestamp("s"))  # no scalar: not in meta
    return found


def _of(kind, value):
    allowed = {pa.string(): str, pa.float64(): float, pa.int64(): int, pa.bool_(): bool}[kind]
    return type(value) is allowed


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(table=tables(), group=st.integers(1, 40), most=st.integers(1, 9))
def test_columns_and_rows_give_the_same_file(tmp_path, table, group, most):
    """The fast way must not be another way: the same bytes, the same counts."""
    content = {"a.parquet": parquet(table, group)}
    bounds = {"min_chars": 3, "max_chars": 14, "min_compression": 0.9}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer_module, "GROUP_SIZE", 40)
        patch.setattr(writer_module, "ROW_GROUP", most)
        columns = run_bare(tmp_path, content, "text_column", **bounds)
        patch.setattr(shard_module, "_is_valid", lambda batch: False)
        assert run_bare(tmp_path, content, "text_column", **bounds) == columns


def test_row_groups_are_bounded_by_rows_and_by_bytes(tmp_path, monkeypatch):
    """Meta counts as text does: a title may be as long."""
    meta = len(json.dumps({"id": f"{REPO}/a.parquet:0"}))
    monkeypatch.setattr(writer_module, "GROUP_SIZE", 3 * (300 + meta) + 99)
    monkeypatch.setattr(writer_module, "ROW_GROUP", 7)
    texts = ["x" * 300] * 7 + ["y" * 2500] + ["z" * 10] * 50
    manifest, documents = run_shard(tmp_path, {"a.parquet": parquet({"text": texts})}, "text_column")
    assert [row["text"] for row in documents] == texts
    assert row_groups(manifest) == [3, 3, 1, 1, *[7] * 7, 1]
    titles = parquet({"text": ["a text"] * 6, "title": ["t" * 500] * 6})
    assert row_groups(run_shard(tmp_path, {"a.parquet": titles}, "text_column")[0]) == [2, 2, 2]


def row_groups(manifest):
    with pq.ParquetFile(manifest.path("documents/000.parquet")) as file:
        return [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]


def test_a_missing_column_is_named_with_those_there_are(tmp_path):
    content = {"data/a.parquet": parquet({"body": ["x"], "id": ["y"]})}
    with pytest.raises(
        TrellisError, match=r"sources\.web: .*data/a\.parquet has the columns body, id, and no text: `read"
    ):
        run_shard(tmp_path, content, "text_column")
    with pytest.raises(TrellisError, match="no schema and no question and no query.*`reader: text_to_sql`"):
        run_shard(tmp_path, content, "text_to_sql")


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.parquet", b"no parquet", "is no parquet file"),
        ("a.parquet", b"", "is no parquet file"),
        ("a.jsonl.gz", jsonl(rows(3)), r"does not begin like a \.gz file"),
        ("a.json.zst", jsonl(rows(3)), r"does not begin like a \.zst file"),
        ("a.zip", b"no zip", "is no zip file"),
        ("a.zip", zipped({"readme.txt": b""}), "has no member that ends in"),
        ("a.csv", b"text\n", "ends in none of"),
        ("a.jsonl.bz2", bz2.compress(b"{}"), "ends in none of"),
        ("a.txt", b"text\n", "ends in none of"),
    ],
)
def test_a_file_that_is_not_what_its_name_says_is_named(tmp_path, name, content, reason):
    with pytest.raises(TrellisError, match=reason) as caught:
        run_shard(tmp_path, {name: content}, "text_column")
    assert f"{REPO}/{name}" in str(caught.value) and "correct the part's `reader` or `files`" in str(caught.value)


def local(path, content=None):
    content = path.read_bytes() if content is None else content
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def test_local_files_are_verified_and_keep_their_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/b.jsonl").write_bytes(jsonl(rows(2)))
    (tmp_path / "mine/a.parquet").write_bytes(parquet(columns(rows(2, 5))))
    pins = {f"mine/{name}": local(tmp_path / "mine" / name) for name in ("b.jsonl", "a.parquet")}
    _, documents = run_shard(tmp_path, {}, "text_column", local=pins)
    natives = ["mine/a.parquet:0", "mine/a.parquet:1", "mine/b.jsonl:0", "mine/b.jsonl:1"]
    assert [row["meta"]["id"] for row in documents] == natives
    assert [row["doc_id"] for row in documents] == [document_id("web", native) for native in natives]

    for change in (jsonl(rows(3)), jsonl(rows(2)).replace(b"0", b"1")):
        (tmp_path / "mine/b.jsonl").write_bytes(change)
        with pytest.raises(TrellisError, match=r"mine/b\.jsonl has changed .*`python -m trellis lock test` again"):
            run_shard(tmp_path, {}, "text_column", local=pins)
    (tmp_path / "mine/b.jsonl").unlink()
    with pytest.raises(TrellisError, match=r"mine/b\.jsonl, which the lock pins, is not there"):
        run_shard(tmp_path, {}, "text_column", local=pins)


def test_a_run_that_failed_half_way_leaves_nothing_in_the_way(tmp_path, monkeypatch):
    spec, out = order_shard(tmp_path, {"a.parquet": FORMATS["d/a.parquet"], "b.parquet": b"none"}, "text_column")
    with pytest.raises(TrellisError):
        execute(spec, out)
    assert not (out / "manifest.json").exists()
    fetched = Path(spec.inputs["files"][0])
    (fetched / "files/b.parquet").write_bytes(FORMATS["d/a.parquet"])
    assert execute(spec, out).metrics["documents"] == 46
    assert file_sha256(out / "documents/000.parquet") == execute(spec, out).files[0].sha256
