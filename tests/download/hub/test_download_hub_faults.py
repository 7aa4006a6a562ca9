"""A hub that misbehaves: the right bytes or one clear sentence, never wrong data."""

import errno
import logging
import os
import shutil
from dataclasses import replace

import pytest

import hub_faults as faults
from hub_downloads import CUT, FILES, PLAIN, REPO, SIZE, TOKEN, A, B, below, failure, fetched, served, sha256, turn
from trellis.command import execute
from trellis.download import hub as command
from trellis.download import transfer

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
def test_a_fault_that_passes(hub, order, out, name, match, caplog, monkeypatch):
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(transfer, "TIMEOUT", 0.3)
    for fault in PASSING[name]:
        hub.fail(match, fault)
    execute(order(), out)
    assert fetched(out) == FILES
    assert f"{SIZE} of {SIZE} bytes" in caplog.text  # however often some of them were discarded
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


# ---------------------------------------------------------------- faults that stay

FLIPPED = FILES[B][:1000] + bytes([FILES[B][1000] ^ 1]) + FILES[B][1001:]
LASTING = {
    "wrong bit": (faults.flip(1000), f"200000 bytes with sha256 {sha256(FLIPPED)}"),
    "short other body": (faults.other_bytes(b"short"), "5 bytes"),
    "long other body": (faults.other_bytes(b"y" * 400_000), "400000 bytes"),
    "something behind the body": (chunked(b"more"), "more than 200000 bytes"),
}


@pytest.mark.parametrize("name", LASTING)
def test_another_file_under_the_same_name_is_refused(hub, order, out, name, monkeypatch):
    largest, append = [0], transfer.Part.append

    def measured(part, piece):
        append(part, piece)
        largest.append(part.size)

    monkeypatch.setattr(transfer.Part, "append", measured)
    fault, got = LASTING[name]
    hub.fail(f"/cdn/datasets/{REPO}/{hub.sha('dataset', REPO)}/{B}", fault, times=None)
    assert failure(order(), out) == (
        f"datasets/{REPO}: {B} is not what the lock pins: got {got}, expected 200000 bytes with sha256 {sha256(FILES[B])}; "
        "do not trust it; check HF_ENDPOINT and the lock (`python -m trellis lock test --check`)"
    )
    assert sum(request.spoiled for request in hub.requests) == 2
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
    monkeypatch.setattr(transfer, "TIMEOUT", 0.3)
    hub.fail("/cdn/", CUT)
    hub.fail("/cdn/", fault, times=None)
    sentence = failure(order(), out)
    assert said in sentence and A in sentence and "run again, what has arrived is kept" in sentence
    assert sum(request.spoiled for request in hub.requests) <= 8
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
