"""Files of the hub: fetched, verified, gone on with, and asked for with patience."""

import errno
import os
import time
from email.utils import formatdate

import pytest

import hub_faults as faults
import trellis.command
from hub_downloads import CUT, FILES, PLAIN, REPO, SIZE, A, B, below, failure, fetched, served, sha256
from trellis.command import execute
from trellis.download import transfer


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


# ---------------------------------------------------------------- going on


def test_a_cut_goes_on_where_it_was(hub, order, out):
    hub.fail("/cdn/", CUT)
    execute(order(), out)
    ranges = [request.headers.get("range") for request in hub.requests if request.server == "cdn"]
    assert ranges == [None, "bytes=100000-", None]
    assert fetched(out) == FILES and served(hub) == SIZE


def test_the_next_run_goes_on_where_the_last_one_failed(hub, order, out):
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


def until(seconds):
    """Retry-After as a date."""
    date = formatdate(time.time() + seconds, usegmt=True)
    return lambda request, reply: faults.Reply(429, {"Retry-After": date}, b"")


@pytest.mark.parametrize(
    ("make", "least"),
    [
        (lambda: faults.status(429, retry_after=1), 1),
        (lambda: faults.status(503, retry_after=1), 1),
        (lambda: faults.status(429, retry_after=1, rate_limit=True), 1),
        (lambda: until(2.5), 1),
        (lambda: faults.status(429, retry_after=0), 0),
    ],
    ids=["seconds", "seconds of a 503", "RateLimit", "date", "none"],
)
def test_a_server_that_asks_to_wait_is_obeyed(hub, order, out, make, least):
    hub.fail("notes", make())
    started = time.monotonic()
    execute(order({PLAIN: FILES[PLAIN]}), out)
    assert least <= time.monotonic() - started < least + 5
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
    monkeypatch.setattr(transfer, "WINDOW_BYTES", 10_000)
    hub.fail("/cdn/", faults.slow(rate=300_000))
    execute(order({A: FILES[A]}), out)
    assert fetched(out) == {A: FILES[A]} and len(hub.requests) == 2
