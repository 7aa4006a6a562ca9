"""Batches: files within limits, results in any order, losses sent again, and one batch whoever waits for it."""

import asyncio
import json

import pytest

from openai_server import OpenAIServer, Reply
from trellis.classify.labellers.batch import Batch, _Batches
from trellis.classify.labellers.cache import Cache
from trellis.errors import TrellisError
from trellis.experiment.classify import OpenAI


@pytest.fixture
def batch(ask):
    return lambda server, questions, tolerated=0, **keys: ask(server, questions, tolerated, mode="batch", **keys)


def test_batches_and_single_requests_give_the_same_answers_under_the_same_keys(ask, batch, questions):
    with OpenAIServer() as server:
        by_batch, _ = batch(server, questions(20, "topics", "complexity"))
        assert len(server.batches) == 1
        by_one, account = ask(server, questions(20, "topics", "complexity"))
    assert by_one == by_batch and account["from_cache"] == 40


def test_files_stay_under_the_limit(batch, questions):
    with OpenAIServer() as server:
        batch(server, questions(40), batch_bytes=20_000)
        files = [server.files[each["input_file_id"]] for each in server.batches.values()]
    assert len(files) > 3 and all(len(file) <= 20_000 for file in files)
    lines = [json.loads(line) for file in files for line in file.splitlines()]
    assert len({line["custom_id"] for line in lines}) == 40
    assert {(line["method"], line["url"]) for line in lines} == {("POST", "/v1/chat/completions")}
    assert all(len(line["custom_id"]) == 64 for line in lines)


def test_lost_and_expired_requests_are_submitted_again(batch, questions):
    with OpenAIServer() as server:
        server.lost = lambda call: call.seen == 0 and int(call.text[12:]) % 5 == 0
        server.expired = lambda call: call.seen == 0 and int(call.text[12:]) % 5 == 1
        answers, account = batch(server, questions(20))
        sizes = [len(server.files[each["input_file_id"]].splitlines()) for each in server.batches.values()]
    assert all(answer.reason is None for answer in answers)
    assert sizes == [20, 8] and account["usd"] == pytest.approx(20 * 0.0002)
    assert set(server.asked.values()) == {1}


def test_a_request_that_no_batch_answers_is_null(batch, questions):
    with OpenAIServer() as server:
        server.lost = lambda call: call.text == "text number 2"
        answers, _ = batch(server, questions(5), tolerated=1)
        assert answers[2] == (None, None, "network") and len(server.batches) == 3


def test_errors_inside_a_batch_are_retried_or_reasons(batch, questions):
    def script(call):
        if call.text == "text number 1" and not call.seen:
            return Reply(status=500)
        return Reply(status=400) if call.text == "text number 2" else Reply(call.fitting())

    with OpenAIServer(script) as server:
        answers, _ = batch(server, questions(5), tolerated=1)
        assert answers[1].value and answers[2].reason == "rejected" and len(server.batches) == 2


def test_a_batch_that_is_turned_down_says_why(batch, questions):
    with OpenAIServer() as server:
        server.turned_down = "enqueued token limit reached"
        with pytest.raises(TrellisError, match="batch batch0 was turned down: enqueued token limit reached"):
            batch(server, questions(5))
        server.turned_down = ""
        answers, _ = batch(server, questions(5))
    assert all(answer.reason is None for answer in answers)


def test_what_a_full_queue_turns_down_waits_for_its_turn(batch, questions):
    with OpenAIServer() as server:
        server.queue, server.polls_until_done = 2, 3
        answers, account = batch(server, questions(40), batch_bytes=12_000)
        states = [each["state"]["status"] for each in server.batches.values()]
        assert set(server.asked.values()) == {1}
        # Every batch beyond the second is turned down once, before the client knows the queue.
        assert states.count("completed") > 4 and 0 < states.count("failed") <= states.count("completed") - 2
        server.queue = 0
        with pytest.raises(TrellisError, match="turned down: Enqueued token limit reached"):
            batch(server, questions(5, first=100))
    assert all(answer.reason is None for answer in answers) and account["requests"] == 40


def test_line_separators_inside_answers_are_no_ends_of_lines(batch, questions):
    def script(call):
        return Reply('{"level":\u20284}' if not call.is_repair else '{"level": 4}')

    with OpenAIServer(script) as server:
        answers, _ = batch(server, questions(3))
        assert len(server.batches) == 2 and set(server.asked.values()) == {1}
    assert [answer.value for answer in answers] == [4.0] * 3


@pytest.mark.parametrize(("status", "tries"), [(400, 1), (500, 3)])
def test_an_endpoint_that_creates_no_batches(batch, questions, status, tries):
    with OpenAIServer() as server:
        server.refuse_creations = status
        with pytest.raises(TrellisError, match=f"creates no batch: {status}: no batches today"):
            batch(server, questions(5))
        assert server.refused == tries
        server.refuse_creations = 0
        batch(server, questions(5))
        assert len(server.batches) == 1


class Killed(BaseException):
    """Stands for a kill: nothing of the client's own handling of errors runs."""


def kill_at(monkeypatch, polls):
    """The client dies at its n-th sleep between polls."""
    seen, sleep = [], asyncio.sleep

    async def dying(seconds):
        if seconds:
            seen.append(seconds)
        if len(seen) == polls:
            raise Killed
        await sleep(seconds)

    monkeypatch.setattr(asyncio, "sleep", dying)


def test_a_killed_client_waits_for_the_same_batches_again(batch, questions, monkeypatch):
    with OpenAIServer() as server:
        server.polls_until_done = 4
        with monkeypatch.context() as patch, pytest.raises(Killed):
            kill_at(patch, 2)
            batch(server, questions(30), batch_bytes=20_000)
        created = len(server.batches)
        assert created > 2
        # Other questions besides: what is on its way stays there, what is new goes into a batch of its own.
        answers, account = batch(server, questions(35), batch_bytes=20_000)
        assert len(server.batches) == created + 1
        assert set(server.asked.values()) == {1}
    assert all(answer.reason is None for answer in answers)
    assert account["requests"] == 35 and account["usd"] == pytest.approx(35 * 0.0002)


def test_batches_at_another_endpoint_are_not_waited_for(batch, questions, monkeypatch):
    with OpenAIServer() as one, OpenAIServer() as other:
        one.polls_until_done = 1000
        with monkeypatch.context() as patch, pytest.raises(Killed):
            kill_at(patch, 1)
            batch(one, questions(5))
        answers, _ = batch(other, questions(5))
        assert len(one.batches) == len(other.batches) == 1
    assert all(answer.reason is None for answer in answers)


@pytest.mark.parametrize("cuts", [1, 2])
def test_a_batch_whose_creation_was_never_confirmed_is_found_and_not_created_twice(batch, questions, cuts):
    with OpenAIServer() as server:
        batch(server, questions(4, first=50))
        batch(server, questions(4, first=60))
        batch(server, questions(4, first=70))
        server.cut_creations = cuts
        answers, _ = batch(server, questions(5))
        assert len(server.batches) == 4 and set(server.asked.values()) == {1}
    assert all(answer.reason is None for answer in answers)


def test_a_kill_between_creation_and_its_confirmation(batch, questions, monkeypatch, openai_backend):
    with OpenAIServer() as server:

        async def dying(self, found):
            raise Killed

        server.cut_creations = 1
        with monkeypatch.context() as patch, pytest.raises(Killed):
            patch.setattr(_Batches, "_find", dying)
            batch(server, questions(5))
        (record,) = (Cache(OpenAI.model_validate(openai_backend(server))).folder / "batches").glob("*.json")
        assert json.loads(record.read_text())["id"] is None
        answers, _ = batch(server, questions(5))
        assert len(server.batches) == 1 and not record.exists()
    assert all(answer.reason is None for answer in answers)


def test_a_kill_between_the_record_and_the_creation(batch, questions, monkeypatch):
    """The record names a batch that nobody created: it is not waited for."""
    with OpenAIServer() as server:

        def dying(self, save=Batch.save):
            save(self)
            raise Killed

        with monkeypatch.context() as patch, pytest.raises(Killed):
            patch.setattr(Batch, "save", dying)
            batch(server, questions(5))
        assert not server.batches
        answers, _ = batch(server, questions(5))
        assert len(server.batches) == 1
    assert all(answer.reason is None for answer in answers)


def test_a_small_budget_goes_out_in_several_batches(batch, questions):
    with OpenAIServer() as server:
        answers, account = batch(server, questions(60), max_usd=0.5)
        sizes = [len(server.files[each["input_file_id"]].splitlines()) for each in server.batches.values()]
    assert all(answer.reason is None for answer in answers) and sum(sizes) == 60 and len(sizes) > 1
    assert account["usd"] <= 0.5
