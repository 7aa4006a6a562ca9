"""What becomes of a wheel's members: sampling, order, and every kind of damage, on small wheels of our own."""

import gzip
import io
import json
import random
import tracemalloc
import zipfile

import pytest

from trellis.command import execute
from trellis.documents import document_id, read_rows
from trellis.download import archive as archive_module
from trellis.download.archive import Archive
from trellis.download.ingest import TABLE
from trellis.errors import TrellisError
from trellis.experiment.sources import Source
from trellis.manifest import Manifest, list_files

LONG = "A sentence that is long enough to be a document of its own, number {}. " + "More words follow. " * 4


def rows(count, start=0):
    return [{"text": LONG.format(number), "type": "c4"} for number in range(start, start + count)]


def jsonl(items) -> bytes:
    return b"".join(item if isinstance(item, bytes) else json.dumps(item).encode() + b"\n" for item in items)


@pytest.fixture
def ingest(make_spec, tmp_path):
    """ingest({member: bytes}, parts, ...) publishes a wheel with these members, ingests it, gives (manifest, rows)."""
    runs = iter(range(100))

    def run(members=None, parts=None, wheel=None, seed=42, **source):
        run_folder = tmp_path / str(next(runs))
        if wheel is None:
            wheel = run_folder / "made.whl"
            run_folder.mkdir()
            with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as file:
                for name, content in (members or {}).items():
                    file.writestr(name, content)
        folder = run_folder / "wheel"
        folder.mkdir(parents=True)
        (folder / "tiny-1.0-py3-none-any.whl").write_bytes(wheel.read_bytes())
        upstream = Manifest(
            stage="download",
            command="wheel",
            name="wheel-tiny",
            fingerprint="0",
            components={},
            files=list_files(folder, {}),
            metrics={"package": "tiny", "version": "1.0", "bytes": 1},
            run={},
            folder=folder,
        )
        upstream.write()
        parts = [
            {"kind": "wheel", "package": "tiny", **part}
            for part in parts or [{"reader": "text_compression", "members": ["data.jsonl"]}]
        ]
        config = {"name": "web", "source": Source(licence="MIT", parts=parts, **source), "seed": seed}
        spec = make_spec("download", "ingest", "web", config, {"wheels": [folder]})
        manifest = execute(spec, run_folder / "out")
        return manifest, list(read_rows([manifest.path(TABLE)]))

    return run


def test_a_seeded_sample_sorted_by_id(ingest):
    members = {"data.jsonl": jsonl(rows(400))}
    manifest, table = ingest(members, max_documents=100)
    assert manifest.metrics["documents"] == len(table) == 100 and manifest.metrics["sampled_from"] == 400
    assert manifest.metrics["bytes"] == sum(len(row["text"].encode()) for row in table)
    assert [file.rows for file in manifest.files] == [100]
    ids = [row["doc_id"] for row in table]
    assert ids == sorted(ids) and len(set(ids)) == 100
    natives = [json.loads(row["meta"])["id"] for row in table]
    assert ids == [document_id("web", native) for native in natives]
    lines = sorted(int(native.rsplit(":", 1)[1]) for native in natives)
    assert lines[:100] != list(range(1, 101)) and 150 < sum(lines) / 100 < 250  # not the head, nor any end

    again, _ = ingest(members, max_documents=100)
    assert [file.sha256 for file in again.files] == [file.sha256 for file in manifest.files]
    other = {row["doc_id"] for row in ingest(members, max_documents=100, seed=43)[1]}
    assert 5 < len(other & set(ids)) < 60  # 25 expected by chance
    larger = {row["doc_id"] for row in ingest(members, max_documents=150)[1]}
    assert set(ids) < larger


def test_members_in_any_order_give_the_same_bytes(ingest):
    parts = [{"reader": "text_compression", "members": ["b/*.jsonl", "a/**/*.jsonl"]}]
    members = {f"{folder}/{name}.jsonl": jsonl(rows(20)) for folder in ("a", "a/c", "b") for name in "xyz"}
    forward, table = ingest(members, parts, max_documents=50)
    backward, _ = ingest(dict(reversed(members.items())), parts, max_documents=50)
    assert len(table) == 50 and forward.metrics["sampled_from"] == 180
    assert [file.sha256 for file in forward.files] == [file.sha256 for file in backward.files]


def test_every_kind_of_bad_row_is_counted(ingest, monkeypatch):
    monkeypatch.setattr(archive_module, "MAX_LINE", 50_000)
    good = rows(3)
    bad = [
        {"text": None, "type": "c4"},
        {"text": "", "type": "c4"},
        {"text": "too short", "type": "c4"},
        {"text": "long " * 1000, "type": "c4"},
        {"text": LONG, "type": "Some/other-set"},
        {"text": 7, "type": "c4"},
        {"type": "c4"},
        ["not", "an", "object"],
        b"{not json\n",
        b"\n",
        b'{"text": "caf\xe9 %s", "type": "c4"}\n' % (b"x" * 200),
        b'{"text": "\\ud800 %s", "type": "c4"}\n' % (b"x" * 200),
        b"[" * 20_000 + b"\n",
        b'{"text": "%s", "type": "c4"}\n' % (b"y" * 120_000),
    ]
    manifest, table = ingest({"data.jsonl": jsonl([good[0], *bad, *good[1:]])}, max_chars=2_000)
    assert sorted(row["text"] for row in table) == sorted(row["text"].strip() for row in good)
    assert manifest.metrics["rejected"] == {
        "bad_encoding": 1,
        "malformed": 6,
        "not_allowed": 1,
        "null_text": 1,
        "too_large": 1,
        "too_long": 1,
        "too_short": 2,
    }


def test_text_that_utf8_cannot_spell_is_counted(ingest):
    # The JSON parser refuses such text; the Python parser lets it through.
    code = 'def good():\n    """' + LONG * 5 + '"""\n\ndef bad():\n    """\\ud800' + LONG * 5 + '"""\n'
    manifest, table = ingest({"m.py": code}, [{"reader": "docstrings", "members": ["m.py"]}])
    assert [row["text"].split()[0] for row in table] == ["m.good"]
    assert manifest.metrics["rejected"] == {"bad_encoding": 1}


def test_the_same_id_twice_stays_once(ingest):
    part = {"reader": "text_compression", "members": ["data.jsonl"]}
    manifest, table = ingest({"data.jsonl": jsonl(rows(5))}, [part, part])
    assert len(table) == 5 and manifest.metrics["rejected"] == {"duplicate_id": 5}


def damaged(members, victim) -> bytes:
    """A zip file in which the compressed bytes of one member are overwritten."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name, content)
        info = file.getinfo(victim)
    content = bytearray(buffer.getvalue())
    middle = info.header_offset + 30 + len(victim) + info.compress_size // 2
    content[middle : middle + 20] = b"\xff" * 20
    return bytes(content)


def test_a_damaged_member_costs_no_other(ingest, tmp_path):
    random.seed(1)
    noise = [{"text": LONG + random.randbytes(300).hex(), "type": "c4"} for _ in range(500)]
    members = {"a.jsonl": jsonl(rows(4)), "b.jsonl": jsonl(noise), "c.jsonl": jsonl(rows(4))}
    (tmp_path / "w.whl").write_bytes(damaged(members, "b.jsonl"))
    parts = [{"reader": "text_compression", "members": ["*.jsonl"]}]
    manifest, table = ingest(parts=parts, wheel=tmp_path / "w.whl")
    assert manifest.metrics["rejected"]["corrupt"] == 1
    origins = {json.loads(row["meta"])["id"].split(":")[0] for row in table}
    assert {"a.jsonl", "c.jsonl"} <= origins


def test_a_gzip_member_that_breaks_off_keeps_its_whole_rows(ingest):
    random.seed(2)
    programs = [
        {"task_description": "Do it.", "code_sample": f"# {number} {random.randbytes(300).hex()}"}
        for number in range(200)
    ]
    packed = gzip.compress(jsonl(programs))
    parts = [{"reader": "codeio", "members": ["p.jsonl.gz"]}]
    manifest, table = ingest({"p.jsonl.gz": packed[: len(packed) // 2]}, parts)
    assert manifest.metrics["rejected"] == {"corrupt": 1} and 50 < len(table) < 150


@pytest.mark.parametrize(("name", "read"), [("bomb.json", "json"), ("bomb.jsonl", "rows"), ("bomb.jsonl.gz", "rows")])
def test_a_bomb_is_set_aside_within_its_limit_of_memory(tmp_path, monkeypatch, name, read):
    monkeypatch.setattr(archive_module, "MAX_WHOLE", 2**22)
    monkeypatch.setattr(archive_module, "MAX_LINE", 2**20)
    content = b" " * 2**26
    with zipfile.ZipFile(tmp_path / "w.whl", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(name, gzip.compress(content) if name.endswith(".gz") else content)
    tracemalloc.start()
    with Archive(tmp_path / "w.whl", [name]) as opened:
        found = getattr(opened, read)(name, dict)
        assert found is None or not list(found)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert opened.rejected == {"too_large": 1}
    assert peak < 2**24


def test_an_endless_member_ends_at_the_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(archive_module, "MAX_STREAMED", 2**20)
    with zipfile.ZipFile(tmp_path / "w.whl", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("data.jsonl", b'{"number": 1}\n' * 2**18)
    with Archive(tmp_path / "w.whl", ["data.jsonl"]) as opened:
        read = sum(1 for _ in opened.rows("data.jsonl", dict))
    assert opened.rejected == {"too_large": 1} and read == 2**20 // len(b'{"number": 1}\n')


def test_a_password_is_corruption_not_a_crash(tmp_path):
    with zipfile.ZipFile(tmp_path / "w.whl", "w") as file:
        file.writestr("data.jsonl", jsonl(rows(1)))
    content = bytearray((tmp_path / "w.whl").read_bytes())
    for magic, flags in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        content[content.index(magic) + flags] |= 1
    (tmp_path / "w.whl").write_bytes(content)
    with Archive(tmp_path / "w.whl", ["data.jsonl"]) as opened:
        assert opened.text("data.jsonl") is None
    assert opened.rejected == {"corrupt": 1}


def test_any_flipped_bytes_are_counted_or_named(tmp_path):
    """500 wheels, each damaged somewhere: documents, a count, or one sentence; never another exception."""
    with zipfile.ZipFile(tmp_path / "w.whl", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.jsonl", jsonl(rows(30)))
        file.writestr("b.jsonl.gz", gzip.compress(jsonl(rows(30))))
    whole, chance, outcomes = (tmp_path / "w.whl").read_bytes(), random.Random(3), set()
    for _ in range(500):
        content = bytearray(whole)
        for _ in range(chance.choice((1, 4, 40))):
            content[chance.randrange(len(content))] = chance.randrange(256)
        (tmp_path / "d.whl").write_bytes(content)
        try:
            with Archive(tmp_path / "d.whl", ["*.jsonl", "*.gz"]) as opened:
                for member in opened.members:
                    list(opened.rows(member, dict))
            outcomes.add("counted" if opened.rejected else "unharmed")
        except TrellisError:
            outcomes.add("named")
    assert {"counted", "named"} <= outcomes


@pytest.mark.parametrize("pattern", ["missing.jsonl", "*.csv", "data.jsonl/**/*", "**/dat.jsonl"])
def test_a_pattern_that_matches_nothing_is_named(ingest, pattern):
    with pytest.raises(TrellisError, match="matches none") as caught:
        ingest({"data.jsonl": jsonl(rows(1))}, [{"reader": "text_compression", "members": [pattern]}])
    assert pattern in str(caught.value)


def test_star_stays_in_its_folder_and_two_stars_do_not(tmp_path):
    with zipfile.ZipFile(tmp_path / "w.whl", "w") as file:
        for name in ("a/x.py", "a/b/y.py", "a/b/c/z.py", "ax.py", "a/x_py"):
            file.writestr(name, "")
    for pattern, expected in (
        ("a/*.py", ["a/x.py"]),
        ("a/**/*.py", ["a/b/c/z.py", "a/b/y.py", "a/x.py"]),
        ("**/y.py", ["a/b/y.py"]),
        ("a/*/*.py", ["a/b/y.py"]),
    ):
        with Archive(tmp_path / "w.whl", [pattern]) as opened:
            assert opened.members == expected


def test_no_zip_file_is_named(tmp_path):
    (tmp_path / "w.whl").write_bytes(b"no zip")
    with pytest.raises(TrellisError, match=r"w\.whl is not a readable zip file"):
        Archive(tmp_path / "w.whl", ["*"])


def test_a_source_without_one_document_is_named_with_the_reasons(ingest):
    with pytest.raises(TrellisError, match=r"sources\.web: no document is left; set aside: 2 malformed, 1 too_short"):
        ingest({"data.jsonl": jsonl([b"{\n", b"[]\n", {"text": "short", "type": "c4"}])})


def test_what_a_killed_run_left_is_not_in_the_way(ingest, tmp_path):
    rest = tmp_path / "0" / "out" / "work"
    rest.mkdir(parents=True)
    (tmp_path / "0" / "made.whl").parent.mkdir(exist_ok=True)
    (rest / "pool.sqlite").write_bytes(b"half a database")
    with zipfile.ZipFile(tmp_path / "w.whl", "w") as file:
        file.writestr("data.jsonl", jsonl(rows(5)))
    manifest, table = ingest(wheel=tmp_path / "w.whl")
    assert len(table) == 5 and not (manifest.folder / "work").exists()
