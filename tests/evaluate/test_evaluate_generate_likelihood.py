"""The likelihood of the right answer: what one prompt alone gives, and null with a count where it does not fit."""

import json
import math

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from small_models import item, publish_items, publish_model
from trellis.command import execute
from trellis.documents import END_OF_TEXT
from trellis.evaluate import likelihood

CONTEXT = 120
ANSWERS = ['{"a":1}', '{"a":"caf\u00e9 \U0001f600"}', None, "[]", "x" * 60, f"an end: {END_OF_TEXT}", "[1]" * 11]
ITEMS = [item(f"i{n}", "q" * (17 * n % 40), answer=answer) for n, answer in enumerate(ANSWERS)]
SHOTS = [{"messages": [{"role": "user", "content": "s"}], "answer": "t"}]


@pytest.fixture
def run(make_spec, tmp_path):
    def answer(model, items, base=False, new=8):
        inputs = {"model": [model], "items": [publish_items(tmp_path / "items", items, SHOTS)]}
        generation = {"max_new_tokens": new, "batch": 4, "modes": ["free"], "shots": 1}
        config = {"generation": generation, "template": "plain", "base": base}
        manifest = execute(make_spec("evaluate", "generate", "out", config, inputs), tmp_path / "out")
        return manifest, [json.loads(line) for line in (tmp_path / "out/likelihoods.jsonl").open()]

    return answer


def alone(net, prompt, answer):
    """One token after another, each by a forward pass of its own."""
    total = 0.0
    for place, token in enumerate(answer):
        logits = net(torch.tensor([prompt + answer[:place]])).logits[0, -1].double()
        total -= logits.log_softmax(-1)[token].item()
    return total


@pytest.mark.parametrize("kind", ["llama", "gpt_neox"])
@pytest.mark.parametrize("base", [False, True])
def test_likelihoods_are_those_of_every_answer_computed_alone(run, tmp_path, monkeypatch, kind, base):
    monkeypatch.setattr(likelihood, "POSITIONS", 16)
    model = publish_model(tmp_path / "model", kind, CONTEXT, template=None if base else "plain")
    manifest, made = run(model, ITEMS, base)
    tokenizer = AutoTokenizer.from_pretrained(model / "model")
    net = AutoModelForCausalLM.from_pretrained(model / "model").eval()
    with_shots = 0
    expected = [each for each in ITEMS if each["answer"] is not None]
    assert [record["id"] for record in made] == [each["id"] for each in expected]
    with torch.inference_mode():
        for each, record in zip(expected, made, strict=True):
            prompt = tokenizer(f"user\n{each['messages'][0]['content']}{END_OF_TEXT}assistant\n")["input_ids"]
            answer = tokenizer(each["answer"], split_special_tokens=True)["input_ids"]
            shot = tokenizer(f"user\ns{END_OF_TEXT}assistant\nt{END_OF_TEXT}")["input_ids"]
            if base and len(shot + prompt + answer) <= CONTEXT:
                prompt = shot + prompt
                with_shots += 1
            assert record["nats"] == pytest.approx(alone(net, prompt, answer), rel=1e-5)
            assert record["bytes"] == len(each["answer"].encode()) == len(answer)
    assert manifest.metrics["likelihoods"] == {"items": len(expected), "over_context": 0}
    assert with_shots == (5 if base else 0), "where the gold leaves no room for the shot, the shot goes"


def test_an_answer_beyond_the_context_has_no_likelihood_and_is_counted(run, tmp_path):
    model = publish_model(tmp_path / "model", context=CONTEXT)
    room = CONTEXT - len("user\n\0assistant\n")
    items = [item("fits", "", answer="y" * room), item("over", "", answer="y" * (room + 1)), item("none", "")]
    items.append(item("prompt", "q" * CONTEXT, answer="y"))
    manifest, made = run(model, items)
    assert [(record["id"], record["nats"] is None) for record in made] == [
        ("fits", False),
        ("over", True),
        ("prompt", True),
    ]
    assert [record["bytes"] for record in made] == [room, room + 1, 1]
    assert manifest.metrics["likelihoods"] == {"items": 3, "over_context": 2}


def test_a_prompt_that_leaves_no_room_to_answer_may_leave_room_for_the_gold(run, tmp_path):
    model = publish_model(tmp_path / "model", context=CONTEXT)
    manifest, made = run(model, [item("i", "q" * 80, answer="y")], new=60)
    assert manifest.metrics["modes"]["free"]["stopped"]["room"] == 1
    assert made[0]["nats"] > 0


def test_a_model_that_knows_the_answer_finds_it_likely(run, tmp_path):
    lessons = [("a", '{"n":1}'), ("b", '{"n":2}')]
    model = publish_model(tmp_path / "model", lessons=lessons)
    _, made = run(model, [item("right", "a", answer='{"n":1}'), item("wrong", "a", answer='{"n":2}')])
    right, wrong = (record["nats"] / record["bytes"] for record in made)
    assert right < 0.1 < wrong and math.isfinite(wrong)
