"""The lock against a hub that misbehaves: the right pins, or one sentence and no lock."""

import time
from email.utils import formatdate

import pytest
from huggingface_hub import constants

import hub_faults as faults
import trellis.locking.client
from lock_studies import FILES, INFO, NAME, REPO, TREE, WHOLE, everything, hub_part

# ---------------------------------------------------------------- a hub that misbehaves, and is asked again


@pytest.mark.parametrize("where", [INFO, TREE, "cursor=", "GET /datasets/trellis/example/resolve"])
@pytest.mark.parametrize(
    "fault",
    [
        faults.status(500),
        faults.status(503, retry_after=0),
        faults.status(429, retry_after=1),
        faults.hang(),
        faults.cut(10),
        faults.reset(1),
        faults.stall(5),
        faults.slow(20_000),
    ],
    ids=["500", "503", "429", "hang", "cut", "reset", "stall", "slow"],
)
def test_one_bad_answer_is_asked_for_again(hub, study, locked, where, fault):
    hub.fail(where, fault)
    start = time.monotonic()
    assert locked(study(WHOLE))["repos"] == everything(FILES, hub.sha("dataset", NAME))
    (spoiled,) = [request for request in hub.requests if request.spoiled]
    assert where in spoiled.line
    if spoiled.status == 429:
        assert time.monotonic() - start >= 1
    elif spoiled.status != 200:
        assert time.monotonic() - start < 2


@pytest.mark.parametrize(
    "headers",
    [
        lambda: {"Retry-After": formatdate(time.time() + 2, usegmt=True)},
        lambda: {"RateLimit": '"api";r=0;t=1', "RateLimit-Policy": '"fixed window";"api";q=500;w=300'},
    ],
    ids=["date", "window"],
)
def test_other_ways_to_say_when_to_come_back(hub, study, locked, headers):
    hub.fail(INFO, lambda request, reply: faults.error(429, None, "", headers()))
    start = time.monotonic()
    assert locked(study(WHOLE))["repos"]
    assert time.monotonic() - start > 0.9


@pytest.mark.parametrize("where", [INFO, TREE, "GET /datasets/trellis/example/resolve"])
@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        (faults.status(500), "answered 500 to /.*, 3 times; try again later"),
        (faults.status(429, retry_after=0), "answered 429 to /.*, 3 times; try again later"),
        (faults.status(429, retry_after=7200), "answered 429 to .* wants to be left alone for 7200 s"),
        (faults.hang(), r"cannot be reached \(.*\), 3 times; check the network"),
        (faults.status(403), f"{REPO}: .* answered 403"),
    ],
    ids=["500", "429", "429-for-hours", "hang", "403"],
)
def test_a_hub_that_stays_so_is_one_sentence_within_seconds(hub, study, refused, where, fault, sentence):
    hub.fail(where, fault, times=None)
    start = time.monotonic()
    assert hub.endpoint in refused(study(WHOLE), sentence)
    assert time.monotonic() - start < 4


def test_an_answer_that_trickles_has_a_deadline(hub, study, refused, monkeypatch):
    monkeypatch.setattr(trellis.locking.client, "DEADLINE", 1.0)
    hub.fail(TREE, faults.slow(100), times=None)
    start = time.monotonic()
    refused(study(WHOLE), "needs more than 1 s for one answer")
    assert time.monotonic() - start < 4


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:9", "http://no-such-host.invalid"])
def test_an_endpoint_that_is_not_there_is_named(hub, study, refused, turn_to, endpoint):
    turn_to(endpoint)
    refused(study(WHOLE), f"^{endpoint} cannot be reached .* check the network, or set HF_ENDPOINT")


def test_an_endpoint_that_is_no_address_is_one_sentence(hub, study, refused, turn_to):
    turn_to("hub.example")
    refused(study(WHOLE), "hub.example cannot be asked .* check HF_ENDPOINT")


def test_offline_mode_is_named(hub, study, refused, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    refused(study(WHOLE), "^HF_HUB_OFFLINE is set")
    assert hub.requests == []


# ---------------------------------------------------------------- a hub that lies


@pytest.mark.parametrize("where", [TREE, "cursor="])
@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("traversal", r"holds '../../outside.parquet'"),
        ("absolute", "holds '/tmp/outside.parquet'"),
        ("null", "holds None"),
        ("duplicate", "twice"),
        ("no_size", "has no size of"),
    ],
)
def test_a_listing_that_no_hub_sends_locks_nothing(hub, study, refused, where, kind, sentence):
    """Even where no pattern would take the file: such a listing is not believed at all."""
    hub.fail(where, faults.listing(kind))
    refused(study(hub_part(NAME, "notes/one.txt")), f"^{REPO}: the listing of .*{sentence}")


@pytest.mark.parametrize(
    "path", ["data\\a.parquet", "data//a.parquet", "./a", "a/", "", "a\x00b", "a\nb", "..", "\x1b[2J", 7]
)
def test_paths_that_are_no_files_lock_nothing(hub, study, refused, path):
    hub.fail(TREE, faults.edit_json(lambda page: [{**page[0], "path": path}, *page[1:]]))
    refused(study(WHOLE), "^datasets/trellis/example: the listing of ")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"lfs": {"size": 1000, "pointerSize": 100}}, "answered what is not the hub's"),
        ({"lfs": {"oid": None, "size": 1000, "pointerSize": 100}}, "answers None where the sha256 of data/part-000"),
        (
            {"lfs": {"oid": "A" * 64, "size": 1000, "pointerSize": 9}},
            "where the sha256 of data/part-000.parquet belongs",
        ),
        ({"lfs": {"oid": "0" * 64, "size": 999, "pointerSize": 100}}, "has no size of data/part-000.parquet"),
        ({"oid": "../x"}, "answers '../x' where the git hash"),
        ({"size": -1, "lfs": None}, "has no size of"),
        ({"size": True, "lfs": None}, "has no size of"),
        ({"size": 2**40, "lfs": None}, "the listing has no sha256 of data/part-000.parquet"),
        ({"type": "file", "path": []}, "the listing of .* holds"),
    ],
)
def test_entries_that_say_too_little_lock_nothing(hub, study, refused, change, sentence):
    def spoil(page):
        at = next(index for index, entry in enumerate(page) if entry["path"] == "data/part-000.parquet")
        return [*page[:at], {**page[at], **change}, *page[at + 1 :]]

    hub.fail(TREE, faults.edit_json(spoil))
    refused(study(WHOLE), sentence)


def test_a_large_file_without_its_hash_is_not_locked_by_its_pointer(hub, study, refused):
    hub.fail("cursor=", faults.listing("no_sha256"))
    refused(study(WHOLE), "is not what the listing says .* do not trust")


@pytest.mark.parametrize("fault", [faults.flip(), faults.other_bytes(b"other"), faults.short(3)])
def test_a_small_file_of_other_bytes_is_not_locked(hub, study, refused, fault):
    hub.fail("GET /datasets/trellis/example/resolve", fault, times=None)
    refused(study(WHOLE), f"^{REPO}: README.md at .* is not what the listing says")


@pytest.mark.parametrize("where", [INFO, TREE, "cursor="])
@pytest.mark.parametrize(
    "fault",
    [
        faults.cut_json(60),
        faults.short(60),
        faults.html(),
        faults.edit_json(lambda answer: None),
        faults.edit_json(lambda answer: "text"),
        faults.edit_json(lambda answer: [{"type": "file"}]),
        faults.edit_json(lambda answer: [None]),
    ],
    ids=["cut-json", "short", "html", "null", "text", "no-keys", "null-entry"],
)
def test_an_answer_that_is_not_the_hubs_locks_nothing(hub, study, refused, where, fault):
    hub.fail(where, fault)
    refused(study(WHOLE), f"^{REPO}: {hub.endpoint} answered what is not the hub's: try again, and check HF_ENDPOINT")


@pytest.mark.parametrize("sha", [None, "main", "ABC", 7])
def test_a_revision_without_a_commit_locks_nothing(hub, study, refused, sha):
    hub.fail(INFO, faults.edit_json(lambda info: {**info, "sha": sha}))
    refused(study(WHOLE), f"answers {sha!r} where the commit belongs")


def test_a_commit_that_is_answered_with_another_locks_nothing(hub, study, refused):
    asked = hub.sha("dataset", NAME)
    hub.fail(INFO, faults.edit_json(lambda info: {**info, "sha": "0" * 40}))
    refused(study(hub_part(NAME, "data/*", revision=asked)), f"answers commit {asked[:8]} with 00000000")


def test_an_empty_listing_locks_nothing(hub, study, refused):
    hub.fail(TREE, faults.edit_json(lambda page: []), times=None)
    refused(study(WHOLE), r"^sources.own.parts.0: \*\*/\* matches none of the \d+ files of")
