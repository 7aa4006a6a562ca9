"""Everything that goes wrong between a client and an endpoint: retried, counted, never a label; kills lose nothing."""

import email.utils
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import trellis
from openai_server import KEY, OpenAIServer, Reply
from trellis.command import execute
from trellis.errors import TrellisError


def first_then_good(reply):
    """A script whose every question meets `reply` before it is answered."""
    return lambda call: Reply(call.fitting()) if call.seen else reply


@pytest.mark.parametrize(
    "fault",
    [
        Reply(status=500),
        Reply(status=503),
        Reply(status=408),
        Reply(status=429),
        Reply(status=429, headers={"Retry-After": "no number"}),
        Reply("{}", cut=True),
        Reply(raw=b"<html>a proxy's page</html>"),
        Reply(raw=b"{}"),
        Reply(raw=b'{"choices": []}'),
        Reply(raw=b'{"choices": [{"message": {"content": "{}"}}], "usage": {"prompt_tokens": "many"}}'),
    ],
    ids=lambda reply: f"{reply.status}{'-cut' if reply.cut else ''}{(reply.raw or b'').decode()[:20]}",
)
def test_what_passes_is_tried_again(ask, questions, fault):
    with OpenAIServer(first_then_good(fault)) as server:
        answers, account = ask(server, questions(5))
        assert set(server.asked.values()) == {2}
    assert all(answer.reason is None for answer in answers)
    assert account["requests"] == 5 and account["usd"] == pytest.approx(5 * 0.0002)


def test_a_request_that_hangs_is_given_up_and_tried_again(ask, questions):
    with OpenAIServer(first_then_good(Reply(hang=True))) as server:
        start = time.monotonic()
        answers, _ = ask(server, questions(4), timeout_seconds=0.3, concurrency=4)
        assert 0.3 <= time.monotonic() - start < 3
    assert all(answer.reason is None for answer in answers)


@pytest.mark.parametrize("as_date", [False, True])
def test_all_wait_as_long_as_the_server_says(ask, questions, as_date):
    arrivals = []

    def script(call):
        arrivals.append(time.monotonic())
        told = email.utils.formatdate(time.time() + 2, usegmt=True) if as_date else "1"
        return Reply(status=429, headers={"Retry-After": told}) if len(arrivals) == 1 else Reply(call.fitting())

    with OpenAIServer(script) as server:
        answers, _ = ask(server, questions(30), concurrency=2)
    assert all(answer.reason is None for answer in answers)
    # What is on its way may still arrive; then there is silence.
    after = [moment - arrivals[0] for moment in arrivals]
    assert len(after) == 31 and not [moment for moment in after if 0.4 < moment < 0.9]
    assert sum(moment >= 0.9 for moment in after) >= 20


def test_what_never_answers_is_null_and_asked_again_by_the_next_run(ask, questions):
    def script(call):
        return Reply(status=500) if call.text == "text number 3" else Reply(call.fitting())

    with OpenAIServer(script) as server:
        answers, _ = ask(server, questions(6), tolerated=1)
        assert answers[3] == (None, None, "network")
        assert max(server.asked.values()) == 3
        server.script = lambda call: Reply(call.fitting())
        again, account = ask(server, questions(6), tolerated=1)
    assert again[3].value and account["requests"] == 1
    assert [answer for answer in again if answer != again[3]] == [a for a in answers if a.value and a != again[3]]


def test_a_dead_endpoint_is_left_early(ask, questions):
    with OpenAIServer(lambda call: Reply(status=500)) as server:
        with pytest.raises(TrellisError, match=r"8 requests got no answer, the last one by network \(500.*none was"):
            ask(server, questions(500), tolerated=400, concurrency=4)
        assert len(server.calls) < 60


def test_more_failures_than_are_tolerated_stop_the_run(ask, questions):
    with OpenAIServer(lambda c: Reply(status=500) if int(c.text[12:]) % 2 else Reply(c.fitting())) as server:
        with pytest.raises(TrellisError, match=r"4 requests got no answer.*max_null_share tolerates 3.*is kept"):
            ask(server, questions(200), tolerated=3, concurrency=2)
        assert len(server.asked) < 30


@pytest.mark.parametrize(
    ("reply", "sentence"),
    [
        (Reply(status=404), "answers 404: so the script says"),
        (Reply(status=403), "answers 403"),
        (Reply(status=302), "answers 302"),
        (Reply(status=429, error={"code": "insufficient_quota"}), "answers 429"),
    ],
)
def test_what_no_request_would_survive_ends_the_run_at_once(ask, questions, reply, sentence):
    with OpenAIServer(lambda call: reply) as server:
        with pytest.raises(TrellisError, match=sentence):
            ask(server, questions(50), concurrency=2)
        assert len(server.calls) <= 2


def test_a_wrong_key_is_named_and_not_shown(ask, questions, monkeypatch, caplog):
    caplog.set_level("INFO")
    monkeypatch.setenv("TEST_KEY", "sk-another-secret")
    with (
        OpenAIServer() as server,
        pytest.raises(TrellisError, match=r"401: Incorrect API key provided: Bearer \[key\]"),
    ):
        ask(server, questions(3))
    assert "another-secret" not in caplog.text


@pytest.mark.parametrize("key", ["", "  ", "two\nlines", "schlüssel"])
def test_a_key_that_cannot_be_one(ask, questions, monkeypatch, key):
    monkeypatch.setenv("TEST_KEY", key)
    with OpenAIServer() as server, pytest.raises(TrellisError, match="variable TEST_KEY holds no key"):
        ask(server, questions(3))


def test_an_endpoint_without_keys(ask, questions):
    with OpenAIServer(key=None) as server:
        answers, _ = ask(server, questions(3), key_variable=None)
    assert all(answer.reason is None for answer in answers)


# ---------------------------------------------------------------- the whole stage, as a process


@pytest.fixture
def stage(make_spec, documents, tokenizer_wheel, label_config, openai_backend, tmp_path):
    """stage(server, name, **labels) -> (spec, folder) of a labelling of 60 documents by the server's model."""
    texts = {str(number): f"document {number} on the theorem" for number in range(60)}
    source = documents(tmp_path / "documents", "prose", texts, {})

    def build(server, name="out", backend=None, **labels):
        labels = {"backend": openai_backend(server, **(backend or {})), "stratify": "none", **labels}
        config = label_config(sample=60, rubrics=("topics", "complexity"), **labels)
        inputs = {"documents": [source], "encoder": [tokenizer_wheel]}
        return make_spec("classify", "label", "labels-test", config, inputs), tmp_path / name

    return build


@pytest.fixture
def start(tmp_path):
    """start(spec, out) -> the stage running by itself, as Snakemake would start it."""
    running = []

    def run(spec, out):
        out.mkdir(parents=True, exist_ok=True)
        (out / "spec.json").write_text(spec.model_dump_json())
        command = [sys.executable, "-m", "trellis.classify", "--spec", str(out / "spec.json"), "--out", str(out)]
        environment = {**os.environ, "PYTHONPATH": str(Path(trellis.__file__).parents[1])}
        running.append(subprocess.Popen([*command, "--log", str(out / "log.txt")], env=environment))
        return running[-1]

    yield run
    for process in running:
        process.kill()
        process.wait()


def wait_until(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.01)


def hashes(folder):
    """The result's files by content, as its manifest has them."""
    manifest = json.loads((folder / "manifest.json").read_text())
    return {file["path"]: file["sha256"] for file in manifest["files"]}, manifest


def test_a_killed_client_asks_nothing_twice_and_ends_with_the_same_bytes(stage, start, tmp_path):
    with OpenAIServer() as server:
        execute(*stage(server, "whole", {"cache": str(tmp_path / "other cache")}))
        calls = len(server.calls)
        # The server answers 50 requests and leaves the others hanging; the client is killed while they hang.
        server.script = lambda call: Reply(call.fitting()) if len(server.answered) < calls + 50 else Reply(hang=True)
        spec, out = stage(server, "killed", {"concurrency": 4, "timeout_seconds": 60.0})
        client = start(spec, out)

        def answers_kept():
            return sum(path.read_bytes().count(b"\n") for path in (tmp_path / "cache").rglob("*.jsonl"))

        wait_until(lambda: answers_kept() >= 50 and server.at_once == 4)
        client.send_signal(signal.SIGKILL)
        client.wait()
        assert not (out / "manifest.json").exists()
        before = set(server.answered[calls:])
        held, server.script = answers_kept(), lambda call: Reply(call.fitting())
        server.calls.clear()
        assert start(spec, out).wait(60) == 0
        asked = server.asked
    assert held == len(before) and 50 <= held < 54
    assert not before & asked.keys() and len(asked) == 120 - held and set(asked.values()) == {1}
    whole, _ = hashes(tmp_path / "whole")
    files, manifest = hashes(out)
    assert files == whole and whole.keys() == {"labels.parquet", "rubrics.json"}
    account = manifest["run"]["labelling"]
    assert (account["requests"], account["from_cache"]) == (120 - held, held)


def test_two_clients_at_the_same_questions_do_not_disturb_each_other(stage, start, tmp_path):
    with OpenAIServer(lambda call: Reply(call.fitting(), delay=0.01)) as server:
        clients = [start(*stage(server, name)) for name in ("one", "other")]
        assert [client.wait(60) for client in clients] == [0, 0]
        calls = len(server.calls)
        execute(*stage(server, "third"))
        assert len(server.calls) == calls and len(server.asked) == 120
    (one, _), (other, _), (third, _) = (hashes(tmp_path / name) for name in ("one", "other", "third"))
    assert one == other == third


def test_the_key_is_in_no_file(stage, start, tmp_path):
    """Whatever happens: answers, retries, repairs, an error that repeats the key, a failed and a published result."""

    def script(call):
        if not call.seen:
            return Reply(status=500, error={"message": f"the key {KEY} is tired"})
        return Reply(call.fitting() if call.is_repair else "no JSON")

    with OpenAIServer(script) as server:
        assert start(*stage(server, "good", {"concurrency": 120})).wait(60) == 0
        server.script = lambda call: Reply(status=403, error={"message": f"go away, {KEY}"})
        assert start(*stage(server, "bad", {"model": "another"})).wait(60) == 1
        assert start(*stage(server, "batch", {"model": "a third", "mode": "batch"})).wait(60) == 1
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.name for path in files} >= {"manifest.json", "log.txt", "spec.json", "labels.parquet"}
    assert not [path for path in files if KEY.encode() in path.read_bytes()]
    assert "go away, [key]" in (tmp_path / "bad" / "log.txt").read_text()


def test_too_many_nulls_fail_the_stage_with_figures_and_few_do_not(stage):
    bad = [Reply("no JSON"), Reply('{"level": 9}'), Reply(None, refusal="no")]

    def script(call):
        number = int(call.text.split()[1])
        return bad[number % 3] if call.rubric == "complexity" and number < 9 else Reply(call.fitting())

    with OpenAIServer(script) as server:
        with pytest.raises(
            TrellisError,
            match=r"9 of 60 documents have no label of the rubric complexity \(malformed 3, refused 3, schema 3\)",
        ):
            execute(*stage(server))
        manifest = execute(*stage(server, "more", max_null_share=0.15))
    assert manifest.metrics["rubrics"]["complexity"]["nulls"] == {"malformed": 3, "refused": 3, "schema": 3}
    assert manifest.metrics["rubrics"]["complexity"]["labelled"] == 51
    assert manifest.metrics["rubrics"]["topics"]["nulls"] == {}
    table = pq.read_table(manifest.path("labels.parquet")).to_pylist()
    nulls = [row for row in table if row["complexity"] is None]
    assert len(nulls) == 9 and all(row["complexity_origin"] is None and row["complexity_reason"] for row in nulls)
    assert all(row["complexity_origin"] == "model:a-model" for row in table if row["complexity"] is not None)
    assert {row["topics_origin"] for row in table} == {"model:a-model"}
    assert manifest.run["labelling"]["requests"] == 0
