"""The hub command against a hub that misbehaves: the right bytes or one clear sentence, never wrong data."""

import errno
import hashlib
import json
import logging
import os
import random
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub import constants

import hub_faults as faults
import trellis.command
from local_hub import LocalHub
from trellis.command import execute
from trellis.download import hub as command
from trellis.download import transfer
from trellis.errors import TrellisError

PACKAGE = Path(__file__).parents[2] / "workflow/scripts"
REPO, TOKEN = "trellis/example", "hf_averysecrettoken"
# The first two lie in large storage, behind signed links; the last one is served by the hub itself.
A, B, PLAIN = "data/a.parquet", "data/deep/b é.json.gz", "notes #1.txt"
FILES = {path: random.Random(path).randbytes(size) for path, size in ((A, 300_000), (B, 200_000), (PLAIN, 150_000))}
SIZE = sum(len(data) for data in FILES.values())


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A hub with one dataset, the client turned to it, its patience shortened."""
    for name in [name for name in os.environ if name.startswith("HF_") or name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
    monkeypatch.setattr(transfer, "PAUSE", 0.001)
    monkeypatch.setattr(transfer, "TIMEOUT", 0.3)
    with LocalHub(lfs_above=10**6) as hub:
        hub.add("dataset", REPO, FILES)
        turn(monkeypatch, hub.endpoint)
        yield hub
        huggingface_hub.close_session()


def turn(monkeypatch, endpoint):
    """What HF_ENDPOINT does when it is set before the client is imported."""
    huggingface_hub.close_session()
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", endpoint + "/{repo_id}/resolve/{revision}/{filename}")


@pytest.fixture
def order(hub, make_spec):
    """order(files, repo, revision) -> the spec that a lock of these bytes gives."""

    def build(files=FILES, repo=f"datasets/{REPO}", revision=None):
        kind = "dataset" if repo.startswith("datasets/") else "model"
        revision = revision or hub.sha(kind, repo.removeprefix("datasets/"))
        pins = {path: {"bytes": len(data), "sha256": sha256(data)} for path, data in files.items()}
        return make_spec("download", "hub", config={"files": {"repo": repo, "revision": revision, "files": pins}})

    return build


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def sha256(data) -> str:
    return hashlib.sha256(data).hexdigest()


def below(folder) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def fetched(out) -> dict[str, bytes]:
    """The published files; nothing else may lie beside them."""
    assert {path.name for path in out.iterdir()} == {"files", "manifest.json", ".lock"}
    return below(out / "files")


def failure(spec, out) -> str:
    """The sentence of a run that fails: nothing is published, and the sentence is one and tells no secret."""
    with pytest.raises(TrellisError) as caught:
        execute(spec, out)
    said = str(caught.value)
    assert not (out / "manifest.json").exists() and not (out / "files").exists()
    assert "\n" not in said and TOKEN not in said and "Signature" not in said
    assert said.startswith(spec.config["files"]["repo"])
    return said


def served(hub) -> int:
    """Bytes of files that were answered."""
    return sum(request.sent for request in hub.requests if request.status in (200, 206))


# ---------------------------------------------------------------- the honest hub


def test_files_are_fetched_verified_and_named_as_in_the_repository(hub, order, out):
    manifest = execute(order(), out)
    assert fetched(out) == FILES and served(hub) == SIZE
    assert manifest.metrics == {"repo": f"datasets/{REPO}", "files": 3, "bytes": SIZE}
    hashes = {f"files/{path}": sha256(data) for path, data in FILES.items()}
    assert {file.path: file.sha256 for file in manifest.files} == hashes


def test_a_model_at_a_commit_that_the_branch_has_left(hub, order, out):
    files = {"config.json": b"{}", "model.safetensors": b"x" * 20_000}
    locked = hub.add("model", "org/model", files)
    hub.add("model", "org/model", {"config.json": b"{1}"})
    execute(order(files, "org/model", locked), out)
    assert fetched(out) == files


def test_empty_files_and_the_same_bytes_under_two_names(hub, order, out):
    files = {"empty.json": b"", "one.parquet": b"x" * 20_000, "two.parquet": b"x" * 20_000}
    hub.add("dataset", REPO, files)
    execute(order(files), out)
    assert fetched(out) == files


# ---------------------------------------------------------------- faults that pass


def chunked(extra=b""):
    """The body without a word about its length, and something behind it."""
    return lambda request, reply: replace(reply, body=reply.body + extra, chunked=True)


def edited_range(edit):
    """Another Content-Range than the true one."""

    def fault(request, reply):
        if reply.status != 206:
            return None
        return faults.header("Content-Range", edit(reply.headers["Content-Range"]))(request, reply)

    return fault


def earlier(request, reply):
    """The range that begins 5 bytes before the one asked for, and says so."""
    moved = faults.wrong_range(5)(request, reply)
    return moved and edited_range(lambda text: text.replace("100000-", "99995-"))(request, moved)


def ignored_and_cut(request, reply):
    whole = faults.ignore_range()(request, reply)
    return whole and faults.cut(50_000)(request, whole)


CUT = faults.cut(100_000)
PASSING = {
    "429": [faults.status(429)],
    "408": [faults.status(408)],
    "5xx": [faults.status(code) for code in (500, 502, 503, 504)],
    "cut": [CUT],
    "cut again and again": [faults.cut(size) for size in (50_000, 3, 0, 33_333, 1, 20_000, 0, 0, 0, 7, 7, 0)],
    "reset": [faults.reset(100_000)],
    "reset before the body": [faults.reset(0)],
    "body that ends too early": [faults.short(100_000), faults.short(10_000)],
    "length not announced": [chunked()],
    "stall": [faults.stall(100_000)],
    "no answer": [faults.hang()],
    "closed without an answer": [faults.hang(0.01)],
    "web page": [faults.html(), CUT, faults.html(), faults.cut(10)],
    "wrong bit": [faults.flip(1000)],
    "wrong last bit": [faults.flip(-1)],
    "short other body": [faults.other_bytes(b"short")],
    "long other body": [faults.other_bytes(b"y" * 400_000)],
    "something behind the body": [chunked(b"more")],
    "another body until the cut": [lambda request, reply: CUT(request, faults.flip(5)(request, reply))],
    "range ignored": [CUT, faults.ignore_range()],
    "range ignored, and cut": [CUT, ignored_and_cut],
    "other bytes under the right range": [CUT, faults.wrong_range(5)],
    "another range, again and again": [CUT, earlier] * 3,
    "range of another file": [CUT, edited_range(lambda text: text + "0")],
    "range without a word": [CUT, edited_range(lambda text: None)],
    "range refused": [CUT, faults.refuse_range()],
    "range that was not asked for": [lambda request, reply: replace(reply, status=206)],
}


@pytest.mark.parametrize("match", ["/cdn/", "notes"])
@pytest.mark.parametrize("name", PASSING)
def test_a_fault_that_passes(hub, order, out, name, match):
    for fault in PASSING[name]:
        hub.fail(match, fault)
    execute(order(), out)
    assert fetched(out) == FILES
    assert sum(request.spoiled for request in hub.requests) == len(PASSING[name])


def test_the_redirect_fails_too(hub, order, out):
    for fault in (faults.status(500), faults.status(429), faults.hang(0.01), faults.reset(0), faults.html()):
        hub.fail("resolve", fault)
    execute(order(), out)
    assert fetched(out) == FILES


def test_an_expired_link_is_asked_for_again_at_the_hub(hub, order, out):
    hub.fail("/cdn/", CUT)
    hub.fail("/cdn/", faults.expired(), times=2)
    execute(order({A: FILES[A]}), out)
    assert [request.server for request in hub.requests] == ["hub", "cdn"] * 4
    assert fetched(out) == {A: FILES[A]} and served(hub) == len(FILES[A])


def test_a_hub_that_refuses_every_range(hub, order, out):
    hub.fail("/cdn/", CUT)
    hub.fail("/cdn/", faults.refuse_range(), times=None)
    execute(order(), out)
    assert fetched(out) == FILES


# ---------------------------------------------------------------- going on


def test_a_cut_goes_on_where_it_was(hub, order, out):
    hub.fail("/cdn/", CUT)
    execute(order(), out)
    ranges = [request.headers.get("range") for request in hub.requests if request.server == "cdn"]
    assert ranges == [None, "bytes=100000-", None]
    assert fetched(out) == FILES and served(hub) == SIZE


def test_the_next_run_goes_on_where_the_last_one_failed(hub, order, out):
    hub.fail("b%20é", CUT)
    hub.fail("/cdn/", CUT)
    hub.fail("/cdn/", faults.status(503), times=None)
    said = failure(order({A: FILES[A]}), out)
    assert "8 attempts in a row brought nothing new (the last: the file store answered 503)" in said
    assert below(out / "work/parts") == {A: FILES[A][:100_000]}
    before = served(hub)
    hub.forget()
    execute(order(), out)
    assert before == 100_000 and served(hub) == SIZE - before
    assert fetched(out) == FILES


def test_what_is_there_is_verified_and_not_fetched_again(hub, order, out, monkeypatch):
    """The files are whole, and the process ends before the result is published."""
    with monkeypatch.context() as patched:
        patched.setattr(trellis.command, "list_files", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            execute(order(), out)
    (out / "work/parts" / B).write_bytes(FILES[B][:-1] + b"?")
    hub.forget()
    execute(order(), out)
    assert fetched(out) == FILES and served(hub) == len(FILES[B])


@pytest.mark.parametrize("left", [b"not its beginning", b"much too long" * 100_000, FILES[A][:-1], b""])
def test_whatever_lies_in_the_part_is_not_believed(hub, order, out, left):
    part = out / "work/parts" / A
    part.parent.mkdir(parents=True)
    part.write_bytes(left)
    execute(order(), out)
    assert fetched(out) == FILES


def test_a_file_system_without_hard_links(hub, order, out, monkeypatch):
    def link(*_):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)
    execute(order(), out)
    assert fetched(out) == FILES


# ---------------------------------------------------------------- patience


@pytest.mark.parametrize(
    ("fault", "least"),
    [
        (faults.status(429, retry_after=1), 1.0),
        (faults.status(503, retry_after=1), 1.0),
        (faults.status(429, retry_after=1, rate_limit=True), 1.0),
        (
            lambda *_: replace(
                faults.status(429)(*_), headers={"Retry-After": formatdate(time.time() + 2.5, usegmt=True)}
            ),
            1.0,
        ),
        (faults.status(429, retry_after=0), 0.0),
    ],
    ids=["seconds", "seconds of a 503", "RateLimit", "date", "none"],
)
def test_a_server_that_asks_to_wait_is_obeyed(hub, order, out, fault, least):
    hub.fail("notes", fault)
    started = time.monotonic()
    execute(order({PLAIN: FILES[PLAIN]}), out)
    assert least <= time.monotonic() - started < least + 2
    assert len(hub.requests) == 2


@pytest.mark.parametrize(
    ("headers", "pause"),
    [
        ({"Retry-After": "86400"}, 300),
        ({"Retry-After": "Fri, 31 Dec 2100 23:59:59 GMT"}, 300),
        ({"Retry-After": "Thu, 01 Jan 1970 00:00:00 GMT"}, 0.001),
        ({"Retry-After": "²"}, 0.001),
        ({"Retry-After": "soon"}, 0.001),
        ({"RateLimit": '"api";r=0;t=55', "Retry-After": "3"}, 55),
        ({"RateLimit": '"api";r=10;t=55'}, 0.001),
    ],
)
def test_how_long_a_server_may_ask_to_wait(hub, order, out, headers, pause, monkeypatch):
    pauses = []
    monkeypatch.setattr(transfer.time, "sleep", pauses.append)
    hub.fail("notes", lambda request, reply: faults.Reply(429, headers, b""))
    execute(order({PLAIN: FILES[PLAIN]}), out)
    assert pauses == [pause]


def test_pauses_double_and_start_anew_after_a_byte(hub, order, out, monkeypatch):
    pauses = []
    monkeypatch.setattr(transfer.time, "sleep", pauses.append)
    monkeypatch.setattr(transfer, "PAUSE", 0.5)
    hub.fail("/cdn/", faults.status(500), times=7)
    hub.fail("/cdn/", faults.cut(1))
    hub.fail("/cdn/", faults.status(500), times=None)
    failure(order(), out)
    assert pauses == [0.5, 1, 2, 4, 8, 16, 32, 0.5, 1, 2, 4, 8, 16, 32]
    assert below(out / "work/parts") == {A: FILES[A][:1]}


def test_a_body_that_trickles_is_given_up(hub, order, out, monkeypatch):
    monkeypatch.setattr(transfer, "WINDOW", 0.2)
    hub.fail("/cdn/", faults.slow(rate=10_000))
    execute(order({A: FILES[A]}), out)
    first, second = (request for request in hub.requests if request.server == "cdn")
    assert fetched(out) == {A: FILES[A]} and second.headers["range"].startswith("bytes=")
    assert first.sent < 10_000


def test_trickles_alone_do_not_count_as_progress(hub, order, out, monkeypatch):
    monkeypatch.setattr(transfer, "WINDOW", 0.1)
    monkeypatch.setattr(transfer, "ATTEMPTS", 3)
    hub.fail("/cdn/", faults.slow(rate=10_000), times=None)
    assert "bytes came in" in failure(order(), out)
    assert len([request for request in hub.requests if request.server == "cdn"]) == 3


def test_a_slow_body_that_moves_is_left_alone(hub, order, out, monkeypatch):
    monkeypatch.setattr(transfer, "WINDOW", 0.3)
    monkeypatch.setattr(transfer, "WINDOW_BYTES", 50_000)
    hub.fail("/cdn/", faults.slow(rate=300_000))
    execute(order({A: FILES[A]}), out)
    assert fetched(out) == {A: FILES[A]} and len(hub.requests) == 2


# ---------------------------------------------------------------- faults that stay


LASTING = {
    "wrong bit": (
        faults.flip(1000),
        "with sha256 " + sha256(FILES[B][:1000] + bytes([FILES[B][1000] ^ 1]) + FILES[B][1001:]),
    ),
    "short other body": (faults.other_bytes(b"short"), "got 5 bytes"),
    "long other body": (faults.other_bytes(b"y" * 400_000), "got 400000 bytes"),
    "something behind the body": (chunked(b"more"), "got more than 200000 bytes"),
}


@pytest.mark.parametrize("name", LASTING)
def test_another_file_under_the_same_name_is_refused(hub, order, out, name, monkeypatch):
    largest, append = [0], transfer.Part.append
    monkeypatch.setattr(
        transfer.Part, "append", lambda part, piece: (append(part, piece), largest.append(part.size))[0]
    )
    fault, got = LASTING[name]
    hub.fail("/cdn/datasets/trellis/example/" + hub.sha("dataset", REPO) + "/data/deep", fault, times=None)
    said = failure(order(), out)
    assert said == (
        f"datasets/{REPO}: {B} is not what the lock pins: {said.split(': ', 2)[2].split(',')[0]}, expected 200000 bytes with "
        f"sha256 {sha256(FILES[B])}; do not trust it; check HF_ENDPOINT and the lock (`python -m trellis lock test --check`)"
    )
    assert got in said and "got" in said
    assert len([request for request in hub.requests if request.spoiled]) == 2
    assert below(out / "work/parts") == {A: FILES[A]} and max(largest) <= len(FILES[A])
    hub.forget()
    execute(order(), out)
    assert fetched(out) == FILES and served(hub) == len(FILES[B]) + len(FILES[PLAIN])


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (faults.status(500), "answered 500"),
        (faults.status(429), "answered 429"),
        (faults.hang(), "timed out"),
        (faults.hang(0.01), "disconnected"),
        (faults.html(), "does this network want a sign-in"),
        (faults.short(0), "the body ended too early"),
        (faults.reset(0), "brought nothing new"),
    ],
)
def test_a_network_that_stays_broken(hub, order, out, fault, said, monkeypatch):
    monkeypatch.setattr(transfer, "TIMEOUT", 0.05)
    hub.fail("/cdn/", CUT)
    hub.fail("/cdn/", fault, times=None)
    sentence = failure(order(), out)
    assert said in sentence and A in sentence and "run again, what has arrived is kept" in sentence
    assert len([request for request in hub.requests if request.spoiled]) <= 1 + 8 + 3
    hub.forget()
    execute(order(), out)
    assert fetched(out) == FILES


def test_a_hub_that_knows_no_ranges_and_cuts_every_body(hub, order, out):
    for _ in range(20):
        hub.fail("/cdn/", CUT)
        hub.fail("/cdn/", ignored_and_cut)
    assert "8 attempts in a row brought nothing new" in failure(order(), out)


def test_no_hub_at_all(hub, order, out):
    spec = order()
    hub.close()
    assert "8 attempts in a row brought nothing new (the last: [Errno 111] Connection refused)" in failure(spec, out)


@pytest.mark.parametrize("endpoint", ["localhost", "ftp://127.0.0.1", "http://127.0.0.1:port", "http://"])
def test_an_endpoint_that_makes_no_sense(hub, order, out, endpoint, monkeypatch):
    turn(monkeypatch, endpoint)
    assert "check HF_ENDPOINT" in failure(order(), out)


@pytest.mark.parametrize("target", ["http://127.0.0.1:port/x", "ftp://127.0.0.1/x", "/loop"])
def test_a_redirect_that_makes_no_sense(hub, order, out, target):
    hub.fail("GET /", lambda request, reply: faults.Reply(302, {"Location": target}, b""), times=None)
    assert "HF_ENDPOINT" in failure(order(), out)


def test_a_token_that_no_header_can_hold_is_not_shown(hub, order, out, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", TOKEN + "ä")
    assert "check HF_ENDPOINT and HF_TOKEN" in failure(order(), out)


def test_a_full_disk_is_seen_before_anything_is_fetched(hub, order, out, monkeypatch):
    usage = shutil.disk_usage(out.parent)._replace(free=SIZE + command.RESERVE - 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    assert "make room" in failure(order(), out)
    assert not hub.requests
    (out / "work/parts/data").mkdir(parents=True)
    (out / "work/parts" / A).write_bytes(FILES[A][:1])  # one byte less is missing
    execute(order(), out)


def test_a_disk_that_fills_up(hub, order, out, monkeypatch):
    append = transfer.Part.append

    def full(part, piece):
        if part.size + len(piece) > 150_000:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        append(part, piece)

    with monkeypatch.context() as patched:
        patched.setattr(transfer.Part, "append", full)
        said = failure(order(), out)
    assert "the disk is full (No space left on device)" in said and A in said
    kept = len(below(out / "work/parts")[A])
    hub.forget()
    execute(order(), out)
    assert fetched(out) == FILES and 0 < kept <= 150_000 and served(hub) == SIZE - kept


# ---------------------------------------------------------------- who may read what


GATED = "trellis/gated"


@pytest.mark.parametrize(
    ("repo", "token", "said"),
    [
        (
            f"datasets/{GATED}",
            None,
            "is gated; accept the terms at {}/datasets/trellis/gated, create a token and set HF_TOKEN",
        ),
        (
            f"datasets/{GATED}",
            TOKEN,
            "the account of this token has no access; accept the terms at {}/datasets/trellis/gated",
        ),
        ("trellis/gated-model", None, "is gated; accept the terms at {}/trellis/gated-model, create"),
        (f"datasets/{REPO}", "hf_mistyped", "the hub refuses the token"),
        (
            "datasets/trellis/gone",
            None,
            "the hub has no such repository, or shows it to accounts with access only (set HF_TOKEN)",
        ),
        (
            "datasets/trellis/gone",
            TOKEN,
            "the hub has no such repository, or does not show it to the account of this token",
        ),
    ],
)
def test_a_repository_that_is_not_for_us(hub, order, out, repo, token, said, monkeypatch):
    revision = hub.add("dataset", GATED, FILES, gated="auto")
    hub.add("model", "trellis/gated-model", FILES, gated="manual")
    hub.refuse("hf_mistyped")
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    assert said.format(hub.endpoint) in failure(order(repo=repo, revision=revision), out)
    assert len(hub.requests) == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda hub: {"revision": "0" * 40},
            "the locked commit is gone from the repository; see what has changed with",
        ),
        (
            lambda hub: {"files": {**FILES, "a.txt": b""}, "revision": None} and hub.fail("a.parquet", faults.gone()),
            f"{A} has vanished",
        ),
        (lambda hub: hub.fail("resolve", faults.status(403)), f"the hub answered 403 for {A}; check HF_ENDPOINT"),
        (lambda hub: hub.fail("resolve", faults.status(451)), f"the hub answered 451 for {A}; check HF_ENDPOINT"),
        (
            lambda hub: hub.fail("resolve", lambda *_: faults.error(403, None, "Access to this resource is disabled.")),
            "the hub has disabled this repository",
        ),
    ],
)
def test_a_repository_that_has_changed(hub, order, out, change, said):
    sentence = failure(order(**(change(hub) or {})), out)
    assert said in sentence and "`python -m trellis lock test --check`" in sentence


@pytest.mark.parametrize("way", ["HF_TOKEN", "login"])
def test_the_token_opens_the_gate_and_goes_to_the_hub_alone(hub, order, out, way, tmp_path, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    hub.add("dataset", GATED, FILES, gated="manual")
    hub.grant(GATED, TOKEN)
    hub.fail("/cdn/", CUT)
    hub.fail("/cdn/", faults.expired())
    monkeypatch.setenv("HF_TOKEN", TOKEN) if way == "HF_TOKEN" else (tmp_path / "token").write_text(TOKEN)
    execute(order(repo=f"datasets/{GATED}"), out)
    assert fetched(out) == FILES
    seen = {(request.server, request.token) for request in hub.requests}
    assert seen == {("hub", TOKEN), ("cdn", None)}  # two ports of one host
    assert not any(TOKEN in str(request.headers) for request in hub.requests if request.server == "cdn")
    assert TOKEN not in caplog.text and "Signature" not in caplog.text


def test_offline_mode_is_obeyed(hub, order, out, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE forbids it; unset them" in failure(order(), out)
    assert not hub.requests


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "../x", "a/../../x", "a//b", "a/", "", ".", "a/./b", "a\\b", "a\nb", "a\0b", f"{PLAIN}/b"]
)
def test_paths_that_lead_elsewhere_are_refused(hub, order, out, path):
    said = failure(order({**FILES, path: b"x"}), out)
    assert "do not trust this lock" in said and repr(path) in said
    assert not hub.requests and not (out / "work").exists()


# ---------------------------------------------------------------- the real command line


def test_the_command_line_honours_the_endpoint_and_tells_no_secrets(hub, order, out, tmp_path):
    hub.add("dataset", GATED, FILES, gated="auto")
    hub.grant(GATED, TOKEN)
    hub.fail("/cdn/", faults.cut(1000))
    hub.fail("/cdn/", faults.expired())
    spec, log, home = order(repo=f"datasets/{GATED}"), tmp_path / "log.txt", tmp_path / "home"
    (tmp_path / "spec.json").write_text(spec.model_dump_json())
    words = [sys.executable, "-m", "trellis.download", "--spec", str(tmp_path / "spec.json"), "--out", str(out)]
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE), "HOME": str(home), "HF_TOKEN": TOKEN}
    environment |= {"HF_ENDPOINT": hub.endpoint, "HF_HUB_VERBOSITY": "info"}
    answer = subprocess.run([*words, "--log", str(log)], env=environment, capture_output=True, text=True)
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "", "")
    assert fetched(out) == FILES
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["metrics"] == {"repo": f"datasets/{GATED}", "files": 3, "bytes": SIZE}
    written = log.read_text() + (out / "manifest.json").read_text()
    assert "asks again" in written and f"datasets/{GATED}" in written
    for secret in (TOKEN, "Signature", "127.0.0.1", hub.sha("dataset", GATED)):
        assert secret not in written
    assert not home.exists()  # the client's cache
