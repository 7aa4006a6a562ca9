"""The wheel command against a package index of our own on 127.0.0.1, through the real pip."""

import hashlib
import io
import logging
import os
import shutil
import sys
import tarfile
import threading
import zipfile
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from trellis.command import execute
from trellis.download import wheel as command
from trellis.errors import TrellisError

NAME = "tinydata-1.0-py3-none-any.whl"


def wheel_bytes(version="1.0", filler=b"") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("tinydata/data.bin", filler)
        archive.writestr(
            f"tinydata-{version}.dist-info/METADATA",
            # The dependency does not exist: asking for it would fail.
            f"Metadata-Version: 2.1\nName: tinydata\nVersion: {version}\nRequires-Dist: nowhere-to-be-found\n",
        )
        archive.writestr(
            f"tinydata-{version}.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nTag: py3-none-any\n"
        )
        archive.writestr(f"tinydata-{version}.dist-info/RECORD", "")
    return buffer.getvalue()


class Index:
    """A simple index: `files` are on offer, `cut` of each file's first answers break off, each elsewhere."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.cut = 0
        self.asked: Counter[str] = Counter()
        index = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                name = self.path.rstrip("/").rsplit("/", 1)[-1]
                if name == "tinydata" and index.files:
                    page = "".join(f'<a href="/files/{file}">{file}</a>' for file in index.files)
                    self.answer(f"<!DOCTYPE html><html><body>{page}</body></html>".encode(), "text/html")
                elif name in index.files:
                    index.asked[name] += 1
                    broken = index.asked[name] <= index.cut
                    self.answer(index.files[name], "application/octet-stream", broken)
                else:
                    self.send_error(404)

            def answer(self, body, kind, broken=False):
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                whole = len(body) // 2 + sum(index.asked.values()) if broken else len(body)
                self.wfile.write(body[:whole])

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server.server_address[1]}"


@pytest.fixture
def index(monkeypatch):
    server = Index()
    for name in [name for name in os.environ if name.upper().startswith("PIP_") or name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", f"http://somebody:secret@{server.address}/simple/")
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("PIP_RESUME_RETRIES", "0")
    monkeypatch.setattr(command, "PAUSE", 0.0)
    yield server
    server.server.shutdown()
    server.server.server_close()


@pytest.fixture
def order(make_spec):
    """Builds the spec of a pinned wheel; `pinned` are the bytes that the lock was made from."""

    def build(pinned: bytes, version="1.0"):
        pin = {"version": version, "sha256": hashlib.sha256(pinned).hexdigest(), "bytes": len(pinned), "licence": "MIT"}
        return make_spec("download", "wheel", config={"package": "tinydata", "pin": pin})

    return build


def kept(out):
    return sorted(path.name for path in out.rglob("*") if path.is_file() and path.name != ".lock")


def failure(spec, out) -> str:
    with pytest.raises(TrellisError) as caught:
        execute(spec, out)
    assert kept(out) == []
    assert "\n" not in str(caught.value) and "tinydata 1.0" in str(caught.value)
    return str(caught.value)


def test_the_pinned_wheel_is_fetched_alone(index, order, tmp_path):
    data = wheel_bytes()
    index.files = {NAME: data, "tinydata-2.0-py3-none-any.whl": wheel_bytes("2.0")}
    manifest = execute(order(data), tmp_path / "out")
    assert kept(tmp_path / "out") == ["manifest.json", NAME]
    assert manifest.path(NAME).read_bytes() == data
    assert manifest.metrics == {"package": "tinydata", "version": "1.0", "bytes": len(data)}


def test_other_bytes_under_the_same_name_are_refused(index, order, tmp_path):
    index.files = {NAME: wheel_bytes(filler=b"tampered")}
    pinned = wheel_bytes()
    said = failure(order(pinned), tmp_path / "out")
    assert hashlib.sha256(index.files[NAME]).hexdigest() in said
    assert hashlib.sha256(pinned).hexdigest() in said
    assert index.asked[NAME] == 2  # once more, in case the transfer was cut; the same bytes twice are no accident


def test_a_pip_that_does_not_verify_is_caught(index, order, tmp_path, monkeypatch):
    script = tmp_path / "lying_pip.py"
    script.write_text(f"import pathlib, sys\npathlib.Path(sys.argv[-1], {NAME!r}).write_bytes(b'anything')\n")
    monkeypatch.setattr(command, "PIP", (sys.executable, str(script)))
    assert "sha256" in failure(order(wheel_bytes()), tmp_path / "out")


def test_a_package_that_is_not_there_is_named(index, order, tmp_path):
    assert "No matching distribution found for tinydata==1.0" in failure(order(wheel_bytes()), tmp_path / "out")


def test_a_version_that_is_not_there_is_named(index, order, tmp_path):
    index.files = {"tinydata-2.0-py3-none-any.whl": wheel_bytes("2.0")}
    assert "No matching distribution found for tinydata==1.0" in failure(order(wheel_bytes()), tmp_path / "out")


def test_a_source_archive_is_never_taken_nor_run(index, order, tmp_path):
    evidence, buffer = tmp_path / "setup_ran", io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        code = f"open({str(evidence)!r}, 'w')".encode()
        info = tarfile.TarInfo("tinydata-1.0/setup.py")
        info.size = len(code)
        archive.addfile(info, io.BytesIO(code))
    index.files = {"tinydata-1.0.tar.gz": buffer.getvalue()}
    failure(order(buffer.getvalue()), tmp_path / "out")
    assert not evidence.exists()


def test_a_broken_download_is_tried_again(index, order, tmp_path):
    data = wheel_bytes(filler=os.urandom(100_000))
    index.files, index.cut = {NAME: data}, 1
    manifest = execute(order(data), tmp_path / "out")
    assert manifest.path(NAME).read_bytes() == data and index.asked[NAME] == 2


def test_a_download_that_breaks_every_time_keeps_nothing(index, order, tmp_path):
    data = wheel_bytes(filler=os.urandom(100_000))
    index.files, index.cut = {NAME: data}, 99
    said = failure(order(data), tmp_path / "out")
    assert "network failed 3 times" in said or "sha256" in said  # a pip before 25 cannot tell the two apart
    assert index.asked[NAME] == 3


def test_no_server_is_a_network_failure_without_credentials(index, order, tmp_path, caplog, monkeypatch):
    index.server.shutdown()
    index.server.server_close()
    monkeypatch.setenv("PIP_RETRIES", "1")  # with none at all, pip keeps to itself why it got no page
    caplog.set_level(logging.INFO)
    said = failure(order(wheel_bytes()), tmp_path / "out")
    assert "network failed 3 times" in said
    assert "secret" not in said + caplog.text


def test_a_python_without_pip_says_how_to_get_it(index, order, tmp_path, monkeypatch):
    monkeypatch.setattr(command, "PIP", (sys.executable, "-S", "-m", *command.PIP[2:]))
    assert "ensurepip" in failure(order(wheel_bytes()), tmp_path / "out")


def test_a_full_disk_is_seen_before_fetching(index, order, tmp_path, monkeypatch):
    data = wheel_bytes()
    index.files = {NAME: data}
    usage = shutil.disk_usage(tmp_path)._replace(free=len(data))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    assert "make room" in failure(order(data), tmp_path / "out")
    assert not index.asked


def test_what_a_killed_run_left_is_not_in_the_way(index, order, tmp_path):
    data, rest = wheel_bytes(), tmp_path / "out" / "work" / "fetch" / "wheel"
    index.files = {NAME: data}
    rest.mkdir(parents=True)
    (rest / "other-1.0-py3-none-any.whl").write_bytes(b"half")
    execute(order(data), tmp_path / "out")
    assert kept(tmp_path / "out") == ["manifest.json", NAME]
