"""Generation: greedy, batched by length without harm, stopped at the end of the turn, and nothing judged."""

import json

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from small_models import END, item, publish_items, publish_model
from trellis.command import execute
from trellis.errors import TrellisError
from trellis.evaluate import generate
from trellis.evaluate.decoding import Decoder
from trellis.evaluate.prompting import Prompt, load_tokenizer, prompts
from trellis.evaluate.scorers import schema
from trellis.records import read_records, write_records

CONTEXT, NEW = 96, 12
LESSONS = [(f"give {n}", json.dumps({"n": n, "word": word})) for n, word in enumerate(["oak", "elm", "yew", "ash"])]


@pytest.fixture(scope="module", params=["llama", "gpt_neox"])
def model(request, tmp_path_factory):
    return publish_model(tmp_path_factory.mktemp(request.param) / "random", request.param, CONTEXT)


@pytest.fixture(scope="module", params=["plain", "chatml"])
def taught(request, tmp_path_factory):
    return publish_model(tmp_path_factory.mktemp("taught") / "taught", template=request.param, lessons=LESSONS)


@pytest.fixture
def run(make_spec, tmp_path):
    """run(model, items, shots=..., name=..., base=..., and the keys of generation) -> manifest, records of generations."""

    def answer(model, items, shots=(), name="out", base=False, **settings):
        inputs = {"model": [model], "items": [publish_items(tmp_path / f"items-{name}", items, shots)]}
        generation = {"max_new_tokens": NEW, "batch": 8, "modes": ["free"], **settings}
        config = {"generation": generation, "template": "plain", "base": base}
        manifest = execute(make_spec("evaluate", "generate", name, config, inputs), tmp_path / name)
        return manifest, [json.loads(line) for line in (tmp_path / name / "generations.jsonl").open()]

    return answer


def greedy(net, ids):
    """The plainest decoding there is: one prompt, no cache, one token at a time."""
    answer = []
    while len(answer) < NEW and (not answer or answer[-1] != END):
        answer.append(int(net(torch.tensor([ids + answer])).logits[0, -1].argmax()))
    return answer


ITEMS = [item(f"i{n}", "x" * (n * 7 % 40) + str(n)) for n in range(20)]


def test_batched_answers_are_the_greedy_answers_of_each_prompt_alone(run, model):
    _, made = run(model, ITEMS)
    tokenizer = AutoTokenizer.from_pretrained(model / "model")
    net = AutoModelForCausalLM.from_pretrained(model / "model")
    for each, record in zip(ITEMS, made, strict=True):
        ids = tokenizer.apply_chat_template(each["messages"], add_generation_prompt=True, return_dict=False)
        answer = greedy(net, ids)
        stopped = answer[-1] == END
        assert record == {
            "id": each["id"],
            "mode": "free",
            "output": tokenizer.decode(answer[:-1] if stopped else answer),
            "n_in": len(ids),
            "n_out": len(answer),
            "stop": "eos" if stopped else "length",
            "shots": 0,
        }


def test_answers_come_in_the_order_of_the_items_and_the_same_twice(run, model):
    one, records = run(model, ITEMS, name="one")
    assert [record["id"] for record in records] == [f"i{n}" for n in range(20)]
    two, _ = run(model, ITEMS, name="two")
    assert [file.sha256 for file in one.files] == [file.sha256 for file in two.files]
    assert one.metrics["items"] == one.metrics["modes"]["free"]["items"] == 20
    assert one.metrics["modes"]["free"]["new_tokens"] == sum(record["n_out"] for record in records)
    assert one.metrics["kind"] == "schema" and one.run["tokens_per_second"]["free"] > 0
    assert one.metrics["dtype"] == "float32" and one.metrics["identical_in_float32"] is None


def test_a_prompt_without_room_stays_an_item_with_an_empty_answer(run, model):
    manifest, records = run(model, [item("short", "short"), item("long", "y" * CONTEXT)])
    assert records[1] | {"n_in": 0} == {
        **{"id": "long", "mode": "free", "output": "", "n_in": 0, "n_out": 0},
        **{"stop": "room", "shots": 0},
    }
    assert records[0]["n_out"] > 0 and manifest.metrics["modes"]["free"]["stopped"]["room"] == 1


def test_the_longest_prompt_with_room_is_answered_and_one_more_token_is_too_many(run, model):
    around = len("user\n\0assistant\n")
    longest = CONTEXT - NEW - around
    _, records = run(model, [item(f"{n}", "y" * n) for n in (longest, longest + 1)])
    assert [record["n_in"] for record in records] == [CONTEXT - NEW, CONTEXT - NEW + 1]
    assert [record["stop"] == "room" for record in records] == [False, True]


def test_a_fine_tuned_model_answers_through_its_own_template_and_stops(run, taught):
    """Learnt from the template's text alone: another prompt or another end would show."""
    asked = [item(f"i{n}", question) for n, (question, _) in enumerate(LESSONS)]
    manifest, records = run(taught, asked, max_new_tokens=40)
    assert [record["output"] for record in records] == [answer for _, answer in LESSONS]
    assert [record["n_out"] for record in records] == [len(answer) + 1 for _, answer in LESSONS]
    assert manifest.metrics["modes"]["free"]["stopped"] == dict.fromkeys(generate.STOPS, 0) | {"eos": 4}


@pytest.fixture
def decoder(taught):
    tokenizer = load_tokenizer(taught / "model", None)
    return Decoder(taught / "model", tokenizer, torch.device("cpu"), 60, torch.float32)


def test_a_batch_ends_with_its_longest_answer(decoder):
    items = [item(f"i{n}", question) for n, (question, _) in enumerate(LESSONS)]
    asked = list(prompts(items, [], 0, decoder.tokenizer, [30] * len(items)))
    steps = []
    decoder.model.register_forward_hook(lambda *_: steps.append(1))
    made = decoder.free(asked)
    assert len(steps) == max(record["n_out"] for record in made) == max(len(answer) for _, answer in LESSONS) + 1


def test_an_answer_is_what_was_written_before_the_end_of_turn(decoder):
    """Another special token is no end, and no strict reader of the answer may overlook it."""
    words = decoder.tokenizer("a , b n't", add_special_tokens=False)["input_ids"]
    other = decoder.tokenizer.convert_tokens_to_ids("<|im_start|>")
    written = [*words, *([other] if other is not None else []), *words, decoder.end, *words]
    record = decoder.read(Prompt("i", [5], 0), written)
    assert record["output"] == f"a , b n't{'<|im_start|>' if other is not None else ''}a , b n't"
    assert record["n_out"] == written.index(decoder.end) + 1 and record["stop"] == "eos"


# In a byte-level vocabulary ÿ is the byte FF, which no UTF-8 has, and Ã the byte C3, the first of a character of two.
@pytest.mark.parametrize(
    "tokens",
    [
        ["ÿ", *LESSONS[0][1].replace(" ", "")],
        [*'{"n":0,"word":"oak', "ÿ", *'"}'],
        [*'{"n":0,"word":"oak', "Ã", *'"}'],
        [*'{"n":0,"word":"oak', "Ã"],
        ["ÿ"] * 1000,
    ],
    ids=["before", "in a string", "half a character", "cut off in one", "nothing else"],
)
def test_bytes_that_are_no_text_are_replaced_and_no_json(decoder, tmp_path, tokens):
    written = decoder.tokenizer.convert_tokens_to_ids(tokens)
    assert len(set(written)) == len(set(tokens)) and None not in written
    record = decoder.read(Prompt("i", [5], 0), [*written, decoder.end])
    assert record["output"].count("\ufffd") == sum(token in "ÿÃ" for token in tokens)
    write_records(tmp_path / "generations.jsonl", [record])
    (read,) = read_records(tmp_path / "generations.jsonl")
    assert read == record
    asked = {"schema": {"type": "object"}, "gold": json.loads(LESSONS[0][1])}
    assert schema.score(asked, LESSONS[0][1])["exact"] == 1
    found = schema.score(asked, read["output"])
    assert found["parse"] == found["schema_valid"] == found["exact"] == 0


def test_an_answer_cut_at_the_limit_is_counted_apart(run, taught):
    """The end of turn would be token 23: with 22 the whole text is there, and the turn has not ended."""
    question, answer = LESSONS[0]
    manifest, (record,) = run(taught, [item("i", question)], max_new_tokens=len(answer))
    assert record["output"] == answer and record["stop"] == "length" and record["n_out"] == len(answer)
    assert manifest.metrics["modes"]["free"]["stopped"]["length"] == 1


def test_a_fine_tuned_model_without_a_template_is_one_sentence(run, tmp_path):
    bare = publish_model(tmp_path / "bare", template=None)
    with pytest.raises(TrellisError, match="has no chat template in its tokenizer"):
        run(bare, ITEMS)


def test_what_memory_does_not_hold_is_one_sentence_with_the_key(run, model, monkeypatch):
    def full(self, batch):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(Decoder, "free", full)
    with pytest.raises(TrellisError, match=r"does not hold 8 prompts .* lower evaluation.generation.batch"):
        run(model, ITEMS)


def test_a_gpu_answers_in_bfloat16_and_a_part_again_in_float32(run, model, monkeypatch):
    monkeypatch.setattr(generate, "CHECKED", 16)
    exact = {record["id"]: record["output"] for record in run(model, ITEMS, name="exact")[1]}
    monkeypatch.setattr(generate, "precision", lambda device: torch.bfloat16)
    manifest, made = run(model, ITEMS, name="half")
    assert manifest.metrics["dtype"] == "bfloat16"
    same = [record["output"] == exact[record["id"]] for record in made]
    share = manifest.metrics["identical_in_float32"]
    assert share * 16 == int(share * 16) and sum(same) - 4 <= share * 16 <= sum(same)
    assert not all(same), "bfloat16 was not what answered"
